"""Processor time of training steps, alone and beside busy processes, by how OpenMP's threads wait.

Imports neither torch nor course_lib at the top: which of them comes first decides who sets the variables.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

BATCH = 32
BUSY = "while True: pass"


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """So many processes that each want a core, while the block runs."""
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(argument: dict[str, Any]) -> dict[str, Any]:
    """Seconds of `steps` training steps beside `busy` processes, to be called in a fresh process.

    `waiting` is "course" (what course_lib sets), "default" (OpenMP's own), "passive" or a value of GOMP_SPINCOUNT.
    """
    waiting = argument["waiting"]
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        os.environ.pop(name, None)  # set by course_lib in the process that started this one
    if waiting == "passive":
        os.environ["OMP_WAIT_POLICY"] = waiting
    elif waiting.isdigit():
        os.environ["GOMP_SPINCOUNT"] = waiting
    import_module("course_lib" if waiting == "course" else "torch")  # after torch, course_lib sets nothing
    train = _prepared(argument["steps"])
    with busy_processes(argument["busy"]):
        processor, wall = time.process_time(), time.perf_counter()
        train()
        processor, wall = time.process_time() - processor, time.perf_counter() - wall
    return {"processor_seconds": processor, "wall_seconds": wall}


def _prepared(steps: int) -> Callable[[], object]:
    """A function that trains the course's encoder for so many steps; everything is loaded and was used before."""
    import torch

    from course_lib import assets, corpora
    from course_lib.batching import Batch, LengthBuckets, load_tokenizer, tokenize
    from course_lib.classifier import TextClassifier
    from course_lib.training import TrainingConfig, train

    frame = corpora.part("movie_reviews", "train", limit=BATCH * steps)
    texts, labels = frame["text"].tolist(), torch.tensor(frame["label"].to_numpy())
    config = TrainingConfig(epochs=1, batch_size=BATCH)
    module = TextClassifier(training=config).fit(texts[: 2 * BATCH], labels[: 2 * BATCH].numpy()).module_
    ids = tokenize(texts, load_tokenizer(assets.path("course_encoder")), 128)

    def loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(batch.input_ids, batch.attention_mask), labels[batch.index])

    return lambda: train(module, LengthBuckets(ids, BATCH), loss, config)
