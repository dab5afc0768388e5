"""A small training run in a process of its own, for tests that kill it. Not a test module."""

from __future__ import annotations

import hashlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertModel

from course_lib import checkpoints as checkpoints_module
from course_lib.batching import Batch, LengthBuckets, collate
from course_lib.checkpoints import CheckpointFolder
from course_lib.classifier import BERTForSentimentAnalysis
from course_lib.machine import seed_everything
from course_lib.training import TrainingConfig, train

# What a checkpoint has to carry is switched on: dropout, accumulation.
CONFIG = TrainingConfig(epochs=3, batch_size=4, learning_rate=1e-3, accumulate=2, precision="float32")
STEPS = 24  # optimizer steps of the whole run
_SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def rows() -> tuple[list[list[int]], torch.Tensor]:
    """62 rows of 3 to 12 made-up token ids, and labels that depend on the first of them."""
    random = np.random.default_rng(7)
    ids = [[101, *random.integers(200, 260, size=random.integers(1, 11)).tolist(), 102] for _ in range(62)]
    return ids, torch.tensor([row[1] % 2 for row in ids])


def train_small(
    folder: Path,
    every: int = 3,
    kill_at: int | None = None,
    kill_in_write: int | None = None,
    patience: int | None = None,
) -> str:
    """Trains with checkpoints in `folder` and gives the sha256 of the final weights.

    Args:
        folder: of the checkpoints.
        every: steps between two of them.
        kill_at: the process kills itself (SIGKILL) when this step is done, before its checkpoint is written.
        kill_in_write: the process kills itself in the middle of writing its n-th checkpoint.
        patience: early stopping; the final weights are then those of the best epoch.
    """
    torch.set_num_threads(1)
    seed_everything(0)
    ids, labels = rows()
    bert = BertModel(BertConfig(vocab_size=300, max_position_embeddings=16, **_SHAPE))
    module = BERTForSentimentAnalysis(2, bert, dropout=0.1)
    held_out = collate(ids, range(16))

    def objective(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return F.cross_entropy(model(batch.input_ids, batch.attention_mask), labels[batch.index])

    def validate(model: torch.nn.Module) -> dict[str, float]:
        return {"validation_loss": objective(model, held_out).item()}

    config = CONFIG if patience is None else replace(CONFIG, patience=patience)

    def kill(row: dict[str, float]) -> None:
        if row["step"] == kill_at and "loss" in row:
            os.kill(os.getpid(), signal.SIGKILL)

    if kill_in_write:
        _kill_while_writing(kill_in_write)
    train(
        module, LengthBuckets(ids, CONFIG.batch_size), objective, config,
        validate=validate, callbacks=[kill], checkpoints=CheckpointFolder(folder, every), log_every=1,
    )  # fmt: skip
    return digest(module)


def _kill_while_writing(which: int) -> None:
    """Makes the n-th call of the function that flushes tensors to the disk the last thing that this process does."""
    calls = 0
    real = checkpoints_module.flush_file

    def flush(path: Path) -> None:
        nonlocal calls
        if path.name == "tensors.safetensors":
            calls += 1
            if calls == which:
                with open(path, "rb+") as file:  # half a file, as a crash would leave it
                    file.truncate(path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
        real(path)

    checkpoints_module.flush_file = flush  # type: ignore[assignment]


def digest(module: torch.nn.Module) -> str:
    """sha256 over names and bits of all weights."""
    total = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        total.update(name.encode() + tensor.numpy().tobytes())
    return total.hexdigest()


def in_child(arguments: dict[str, Any], answer: Any) -> None:
    """Entry point of the child process: puts the digest into the queue `answer`."""
    answer.put(train_small(**arguments))
