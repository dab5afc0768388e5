"""Peak memory of fine-tuning, one run a process: our recipe and transformers' Trainer on the same rows."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib import assets, corpora, machine
from course_lib.batching import load_tokenizer, tokenize
from course_lib.finetuning import fit_recipe, recipe, recipe_cost

from .contenders import DOCUMENTED_EPOCHS, DOCUMENTED_RATE, MAX_LENGTH, Contender
from .training_runs import load_libraries, make_trainer

BATCH = 32
LONGEST = 10  # batches' worth of the longest rows that every sample holds


def sample(steps: int) -> pd.DataFrame:
    """Movie reviews for one epoch of so many steps: the longest training rows of all, and others evenly.

    The peak is reached in the batch with most tokens; it is the same as in a run over the whole corpus, since batches
    of equal lengths are cut from the longest rows there too.
    """
    frame = corpora.part("movie_reviews", "train")
    ids = tokenize(frame["text"].tolist(), load_tokenizer(assets.path("course_encoder")), MAX_LENGTH)
    order = np.argsort([-len(row) for row in ids], kind="stable")
    longest = min(LONGEST, steps) * BATCH
    others = order[longest:]
    spread = others[np.linspace(0, len(others) - 1, (steps * BATCH) - longest).astype(int)]
    return frame.iloc[np.sort(np.concatenate([order[:longest], spread]))].reset_index(drop=True)


def estimate() -> float:
    """Bytes that the course tells a learner before the whole default recipe."""
    return recipe_cost(recipe("default"), corpora.load("movie_reviews")).bytes


def measure(argument: dict[str, Any]) -> dict[str, Any]:
    """Peak bytes of one run, to be called in a fresh process: `side`, `precision`, `steps`."""
    frame = sample(argument["steps"])
    load_libraries()
    run = _ours if argument["side"] == "ours" else _trainer
    with machine.PeakMemory() as before:
        pass
    with machine.PeakMemory() as peak:
        run(frame, argument)
    return {"peak_bytes": peak.bytes, "before_bytes": before.bytes, "rows": len(frame)}


def _ours(frame: pd.DataFrame, argument: dict[str, Any]) -> None:
    default = recipe("default")
    validation = corpora.part("movie_reviews", "validation")  # the recipe looks at it after each epoch
    training = replace(default.training, epochs=1, precision=argument["precision"])
    fit_recipe(replace(default, training=training), pd.concat([frame, validation], ignore_index=True))


def _trainer(frame: pd.DataFrame, argument: dict[str, Any]) -> None:
    contender = Contender("trainer", "trainer", argument["precision"], DOCUMENTED_RATE, DOCUMENTED_EPOCHS)
    with tempfile.TemporaryDirectory() as folder:
        make_trainer(contender, frame, 0, Path(folder), max_steps=argument["steps"]).train()
