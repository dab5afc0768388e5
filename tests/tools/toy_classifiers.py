"""Toy sentences that two random layers can learn, and classifiers on them, shared by several test modules."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from course_lib import assets
from course_lib.classifier import TextClassifier
from course_lib.training import TrainingConfig

GOOD = ("good", "great", "fine", "lovely")
BAD = ("bad", "awful", "poor", "dull")
# 40 sentences whose label is in one word; 8 different lengths.
TEXTS = [f"a {word} film" + " and so on" * i for i in range(5) for word in GOOD + BAD]
LABELS = [int(word in GOOD) for _ in range(5) for word in GOOD + BAD]
RATINGS = [2.0 if label else -2.0 for label in LABELS]

# Of all lengths: one twice, one empty, one far beyond what is read.
MIXED = [
    "a good film",
    "",
    "an awful film and so on",
    "好",
    "a good film",
    "x" * 3000,
    "a good film and so on and so on",
]

# float32 on every machine, so that numbers agree to the last digits. QUICK learns next to nothing, LEARNING all.
QUICK = TrainingConfig(epochs=1, batch_size=16, learning_rate=3e-3, precision="float32")
LEARNING = replace(QUICK, epochs=12, batch_size=8)


def tiny(training: TrainingConfig = QUICK, **parameters: Any) -> TextClassifier:
    """An unfitted classifier on two random layers."""
    return TextClassifier("tiny", training=training, **parameters)


@cache
def fitted() -> TextClassifier:
    """One classifier that has learned the toy sentences, for tests that only look at it."""
    return tiny(LEARNING).fit(TEXTS, LABELS)


def transformers_folder(model: torch.nn.Module, folder: Path) -> Path:
    """What transformers itself writes, with the course's tokenizer."""
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(assets.path("course_encoder")).save_pretrained(folder)
    return folder


def transformers_logits(folder: Path, texts: list[str]) -> np.ndarray:
    """Logits as anybody would compute them, without this course."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(
            **tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        ).logits.numpy()


def weights(classifier: TextClassifier) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in classifier.module_.state_dict().items()}


def same_bits(one: TextClassifier, other: TextClassifier) -> bool:
    mine, theirs = weights(one), weights(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
