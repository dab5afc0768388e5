"""The parameters of a `TextClassifier`, checked before anything is computed with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from course_lib.classifier.targets import HEADS
from course_lib.errors import BadInput
from course_lib.training import TrainingConfig

if TYPE_CHECKING:
    from course_lib.classifier.estimator import TextClassifier


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


PRECISIONS = ("float32", "auto")
# Name, what it must be, and how to mend it.
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("encoder", lambda value: isinstance(value, (str, os.PathLike)), "give 'course', a folder or a hub name"),
    ("head", lambda value: value in HEADS, f"use one of {', '.join(HEADS)}"),
    ("training", lambda value: value is None or isinstance(value, TrainingConfig), "give a TrainingConfig, or None"),
    ("lora_rank", lambda value: _is_whole(value) and value >= 0, "use 0 for none, or 4 to 64"),
    ("max_length", lambda value: _is_whole(value) and value >= 3, "use 3 or more: [CLS], a token, [SEP]"),
    ("dropout", lambda value: isinstance(value, Real) and 0 <= float(value) < 1, "use a number from 0 to below 1"),
    ("precision", lambda value: value in PRECISIONS, f"use one of {', '.join(PRECISIONS)}"),
)


def check_parameters(classifier: TextClassifier) -> None:
    """Says which parameter no classifier can have.

    Raises:
        BadInput: the first such one.
    """
    for name, good, fix in _RULES:
        value = getattr(classifier, name)
        if not good(value):
            raise BadInput(f"{name} is {value!r}", fix)
    if classifier.lora_rank and classifier.frozen_encoder:
        raise BadInput(
            f"lora_rank is {classifier.lora_rank} and frozen_encoder is True",
            "choose one: low-rank updates change the encoder, which a linear probe leaves as it is",
        )
