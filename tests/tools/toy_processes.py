"""What several processes do together, in one launch for several tests:

torchrun --standalone --nproc-per-node 2 tests/tools/toy_processes.py FOLDER [RANK STEP]

With RANK and STEP that process kills itself (SIGKILL) after the step of the first run.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import distributed
from toy_classifiers import LABELS, MIXED, TEXTS, same_bits, tiny
from toy_pretraining import run_shared, toy_material, toy_recipe, weights_of

from course_lib.checkpoints import CheckpointFolder
from course_lib.classifier import TextClassifier
from course_lib.errors import CourseError
from course_lib.pretraining import pretrain
from course_lib.scaling.batch_inference import predict_in_parts
from course_lib.training import TrainingConfig
from course_lib.training.parallel import from_first_process, process_group, rank

# 33 sentences: each epoch has a batch of 8, which two processes divide equally, and one of a single row. With batches
# of 7 their counts differ in each step.
TRAINING = TrainingConfig(epochs=2, batch_size=8, learning_rate=3e-3, precision="float32", patience=2)
COUNTS = {"equal": TRAINING, "unequal": replace(TRAINING, batch_size=7)}
ROWS = 33


def learned(training: TrainingConfig, checkpoints: Path | None = None) -> TextClassifier:
    """A classifier of the toy sentences; without dropout, whose random numbers each process draws for itself."""
    folder = CheckpointFolder(checkpoints, every=2, keep=100) if checkpoints else None
    held_out = TEXTS[ROWS:], LABELS[ROWS:]
    model = tiny(training, dropout=0.0)
    return model.fit(TEXTS[:ROWS], LABELS[:ROWS], validation=held_out, checkpoints=folder)


def resumed(training: TrainingConfig, folder: Path, step: int) -> TextClassifier:
    """The same run from its checkpoint of `step`: the later ones are removed."""
    distributed.barrier()
    if rank() == 0:
        for later in CheckpointFolder(folder).steps():
            if later > step:
                shutil.rmtree(folder / f"step-{later:08d}")
    distributed.barrier()
    return learned(training, folder)


def refused(call: Any) -> str:
    """The message of the error that a call raises."""
    try:
        call()
    except CourseError as error:
        return error.message
    return ""


def fine_tuned(folder: Path, name: str) -> dict[str, Any]:
    """Trains with equal and unequal counts, continues a run, and tries what cannot be done."""
    kept = folder / f"checkpoints {name}"
    whole = learned(COUNTS["unequal"], kept)
    models = {"unequal": whole, "equal": learned(COUNTS["equal"])}
    for counts, model in models.items():
        if rank() == 0:
            model.save(folder / f"{name} {counts}")
    return {
        "to_the_bit": same_bits(whole, resumed(COUNTS["unequal"], kept, step=4)),
        "bytes": whole.history_.process_bytes,
        "losses": whole.history_.column("loss")[1],
        "accumulate": refused(lambda: learned(replace(TRAINING, accumulate=2))),
        "muon": refused(lambda: learned(replace(TRAINING, optimizer="muon"))) if name == "fsdp" else "",
    }


def main(folder: Path, victim: int = -1, step: int = -1) -> None:
    """Everything; each process prints what it has found."""
    with process_group():
        run_shared(folder, victim, step)
        agreed = from_first_process(5.0 + rank())
        found: dict[str, Any] = {"rank": rank(), "agreed": agreed, "ddp": fine_tuned(folder, "ddp")}
        model = learned(TRAINING)
        parts = [predict_in_parts(model.predict_proba, texts) for texts in (MIXED, MIXED[:1], [])]
        np.savez(folder / f"predicted-{rank()}.npz", *parts, model.predict_proba(MIXED))
        with process_group(sharded=True):
            found["fsdp"] = fine_tuned(folder, "fsdp")
            material = toy_material(folder / f"sharded-{rank()}")
            done = pretrain(toy_recipe(material, objective="causal"), material=material)
            if rank() == 0:
                save_file(weights_of(done), folder / "sharded.safetensors")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
