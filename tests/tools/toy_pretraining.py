"""A toy corpus and small pretraining runs, for the tests of pretraining, also in several processes."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from course_lib.checkpoints import CheckpointFolder
from course_lib.encoder import EncoderConfig
from course_lib.pretraining import (
    Document,
    Material,
    PretrainingCorpus,
    PretrainingRecipe,
    pretrain,
    train_wordpiece,
)
from course_lib.training import TrainingConfig
from course_lib.training.parallel import rank

NOUNS = ["cat", "dog", "king", "queen", "ship", "house", "river", "poet"]
VERBS = ["sees", "likes", "follows", "paints", "builds", "crosses"]
SHAPE = EncoderConfig(vocab_size=200, hidden_size=32, n_layers=2, n_heads=4, intermediate_size=64, max_positions=48)
# Runs of several processes. Their parts of a batch have unequal numbers of predicted tokens; the last one has a single
# row in each batch, so that the second process has none.
SHARED_RUNS: dict[str, dict[str, Any]] = {
    "pairs": {"objective": "mlm+nsp"},
    "next word": {"objective": "causal"},
    "one row": {"objective": "mlm", "batch_tokens": 32, "tokens": 32 * 16},
}


def document(number: int, sentences: int = 12) -> Document:
    """Simple sentences about one subject, so that a following sentence can be told from one of another document."""
    random = np.random.default_rng(number)
    subject = NOUNS[number % len(NOUNS)]
    lines = [f"the {subject} {random.choice(VERBS)} the old {random.choice(NOUNS)} ." for _ in range(sentences)]
    return Document(f"text {number}", "speeches", tuple(lines))


def toy_material(folder: Path) -> Material:
    """A tokenizer of 200 words at most, 50 documents to learn from and 10 to measure on, stored in the folder."""
    documents = [document(number) for number in range(60)]
    tokenizer = train_wordpiece([line for d in documents for line in d.sentences], vocab_size=200, min_frequency=1)
    train = PretrainingCorpus.build(documents[:50], tokenizer, folder / "train")
    return Material(tokenizer, train, PretrainingCorpus.build(documents[50:], tokenizer, folder / "held_out"))


def toy_recipe(material: Material, **changes: Any) -> PretrainingRecipe:
    """16 steps of 8 rows."""
    shape = replace(SHAPE, vocab_size=len(material.tokenizer), causal=changes.get("objective") == "causal")
    usual = {
        "shape": shape, "length": 32, "batch_tokens": 256, "tokens": 256 * 16,
        "training": TrainingConfig(learning_rate=3e-3, precision="float32"),
    }  # fmt: skip
    return PretrainingRecipe("toy", **(usual | changes))


def weights_of(done: Any) -> dict[str, Tensor]:
    """The weights of a finished run."""
    return {name: tensor.clone() for name, tensor in done.model.state_dict().items()}


def run_shared(folder: Path, victim: int = -1, step: int = -1) -> None:
    """All shared runs, in a process group; the first process stores their weights.

    The process `victim` kills itself (SIGKILL) after the step.
    """

    def kill(row: dict[str, float]) -> None:
        if row["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    material = toy_material(folder / f"process-{rank()}")
    for name, changes in SHARED_RUNS.items():
        done = pretrain(
            toy_recipe(material, **changes), material=material, log_every=1,
            callbacks=[kill] if rank() == victim else [],
            checkpoints=CheckpointFolder(folder / f"checkpoints {name}", every=3),
        )  # fmt: skip
        if rank() == 0:
            losses = {"losses": done.history.column("loss")[1]}
            save_file(weights_of(done), folder / f"{name}.safetensors", {"losses": str(losses["losses"])})
