"""Adversarial texts made against one model, read by another (Papernot et al. 2016, arXiv:1605.07277)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from course_lib.attacks.report import AttackResult
from course_lib.errors import BadInput


class Reader(Protocol):
    """Whoever gives texts a label."""

    def predict(self, texts: Sequence[str]) -> Any: ...


def transfer_table(made: Mapping[str, Sequence[AttackResult]], readers: Mapping[str, Reader]) -> pd.DataFrame:
    """How many of the texts that fooled one model fool another.

    Asked are successful texts whose original the reader has right: what it had wrong before says nothing.

    Args:
        made: model that was attacked -> results of the attack.
        readers: by name.

    Returns:
        A row for each pair: made_against, read_by, n (texts that count), success (share of them that the reader gets
        wrong).

    Raises:
        BadInput: no text of a pair counts.
    """
    rows = []
    for source, results in made.items():
        won = [result for result in results if result.status == "succeeded"]
        for name, reader in readers.items():
            n, success = _fooled(won, reader) if won else (0, np.nan)
            if not n:
                raise BadInput(
                    f"of {len(won)} texts that fooled {source}, {name} has no original right", "attack more texts"
                )
            rows.append((source, name, n, success))
    return pd.DataFrame(rows, columns=["made_against", "read_by", "n", "success"])


def _fooled(won: Sequence[AttackResult], reader: Reader) -> tuple[int, float]:
    """Texts whose original is read rightly, and the share of them that is read wrongly now."""
    labels = np.array([result.label for result in won])
    right = np.asarray(reader.predict([result.text for result in won])) == labels
    wrong = np.asarray(reader.predict([result.adversarial for result in won])) != labels
    return int(right.sum()), float((right & wrong).sum() / max(1, right.sum()))
