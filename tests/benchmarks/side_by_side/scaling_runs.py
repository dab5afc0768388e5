"""Gradients of a batch, and the speed of fine-tuning, in several processes that `run_torchrun` starts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import corpora, machine
from course_lib.batching import Batch, LengthBuckets
from course_lib.classifier import TextClassifier
from course_lib.classifier.data import task_loss
from course_lib.scaling import run_torchrun
from course_lib.training import TrainingConfig
from course_lib.training.parallel import data_parallel, process_group, rank, world_size

_TRAINING = TrainingConfig(epochs=1, precision="float32")
_WARM = 10  # steps before the timed ones; the log has a row every 10 steps


def gradient_errors(*counts: Sequence[int], encoder: str = "tiny") -> list[dict[str, Any]]:
    """The gradients of one batch in several processes, against those of one process with the whole batch.

    Args:
        counts: rows of each process, such as `[16, 16], [28, 4]` for two batches in two processes.
        encoder: as for `TextClassifier`.

    Returns:
        For each batch and process `rank`, `rows`, `weight`, and the largest difference of a gradient from the right
        one, relative to the largest gradient: `weighted` by rows, and in the plain `mean_of_means`.
    """
    found = _run("gradients", len(counts[0]), 1, counts=[list(each) for each in counts], encoder=encoder)
    return [process["batches"][number] for number in range(len(counts)) for process in found]


def training_speed(processes: int, threads: int, rows: int, encoder: str = "course") -> float:
    """Rows per second of fine-tuning on movie reviews, measured over the steps after the first ten.

    Args:
        processes: that compute each batch together.
        threads: of each process.
        rows: in batches of 32; at least twenty batches.
        encoder: as for `TextClassifier`.
    """
    return float(_run("speed", processes, threads, encoder=encoder, rows=rows)[0]["rows_per_second"])


def _run(job: str, processes: int, threads: int, **options: Any) -> list[dict[str, Any]]:
    return run_torchrun([__file__, job, json.dumps(options)], processes, threads)


# ---- in each process ---------------------------------------------------------------------------------------------


def _gradients(counts: Sequence[Sequence[int]], encoder: str) -> dict[str, Any]:
    model = TextClassifier(encoder, training=_TRAINING, dropout=0.0)
    with process_group(), machine.seeded(0):
        model._build_or_keep(np.array([0, 1]))
        return {"rank": rank(), "batches": [_gradients_of_batch(model, each) for each in counts]}


def _gradients_of_batch(model: TextClassifier, counts: Sequence[int]) -> dict[str, Any]:
    frame = corpora.part("movie_reviews", "train", limit=sum(counts))
    loss = task_loss({"labels": torch.tensor(frame["label"].tolist())}, 2)
    (whole,) = LengthBuckets(model._tokenize(frame["text"].tolist()), sum(counts)).epoch(0)
    start = sum(counts[: rank()])
    rows = slice(start, start + counts[rank()])
    part = Batch(whole.input_ids[rows], whole.attention_mask[rows], whole.index[rows])
    weight = world_size() * counts[rank()] / sum(counts)
    right = _gradient(model.module_, loss, whole)
    trained = data_parallel(model.module_, loss)
    errors = {
        name: float((_gradient(trained.module, trained.objective, each) - right).abs().max() / right.abs().max())
        for name, each in (("weighted", replace(part, weight=weight)), ("mean_of_means", part))
    }
    return {"rank": rank(), "rows": counts[rank()], "weight": weight, **errors}


def _gradient(module: nn.Module, objective: Callable[[nn.Module, Any], Tensor], batch: Batch) -> Tensor:
    """All gradients of a batch as one vector."""
    module.train()
    module.zero_grad(set_to_none=True)
    objective(module, batch).backward()
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]).clone()


def _speed(rows: int, encoder: str) -> dict[str, Any]:
    frame = corpora.part("movie_reviews", "train", limit=rows)
    with process_group():
        model = TextClassifier(encoder, training=_TRAINING).fit(frame["text"].tolist(), frame["label"].to_numpy())
        steps, seconds = model.history_.column("seconds")
        timed = _TRAINING.batch_size * (steps[-1] - _WARM)
        return {"rank": rank(), "rows_per_second": timed / (seconds[-1] - seconds[steps.index(_WARM)])}


_JOBS: dict[str, Callable[..., dict[str, Any]]] = {"gradients": _gradients, "speed": _speed}


def main() -> None:
    """One job, by its name and its options as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=_JOBS)
    parser.add_argument("options", type=json.loads)
    asked = parser.parse_args()
    sys.stdout.write(json.dumps(_JOBS[asked.job](**asked.options)) + "\n")


if __name__ == "__main__":
    main()
