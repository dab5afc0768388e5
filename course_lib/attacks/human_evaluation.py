"""Validity by hand: a reader's votes on adversarial texts, kept on the disk, and what they say.

An attack counts only where a reader would still give the old label and find the old meaning (Morris et al. 2020,
Reevaluating Adversarial Examples in Natural Language, arXiv:2004.14174).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from course_lib.assets.files import write_atomically
from course_lib.errors import BadInput, CorruptAsset, CourseError
from course_lib.evaluation import Interval, wilson_interval


@dataclass(frozen=True)
class Vote:
    """What a reader says of one adversarial text.

    Args:
        original: the text before.
        adversarial: the text that was shown.
        label: of the original: a string, a number or a truth value.
        given: the label that the reader gives without knowing the original; None for "cannot tell".
        same: whether it means the same as the original; None where that was not answered yet.

    Raises:
        BadInput: a label that JSON cannot hold.
    """

    original: str
    adversarial: str
    label: Any
    given: Any
    same: bool | None = None

    def __post_init__(self) -> None:
        for name in ("label", "given"):
            value = getattr(self, name)
            value = value.item() if isinstance(value, np.generic) else value
            if not isinstance(value, str | int | float | None) or (name == "label" and value is None):
                raise BadInput(f"{name} is {value!r}", "use a string, a number or a truth value")
            object.__setattr__(self, name, value)


_COLUMNS = [field.name for field in fields(Vote)]


@dataclass(frozen=True)
class Validity:
    """What the votes say, with 95 % intervals (Wilson).

    Attributes:
        n: changed texts that were voted on.
        label_kept: fraction of them that got the original's label; "cannot tell" does not count as kept.
        meaning_kept: fraction of those with an answer that mean the same; None without an answer.
        control: the first fraction over unchanged texts, the highest value to expect; None without any.
    """

    n: int
    label_kept: Interval
    meaning_kept: Interval | None
    control: Interval | None

    def __str__(self) -> str:
        summary = f"{self.n} changed {'text' if self.n == 1 else 'texts'}: {_percent(self.label_kept)} keep the label"
        if self.meaning_kept:
            summary += f", {_percent(self.meaning_kept)} keep the meaning"
        if self.control:
            summary += f". Of the unchanged texts, {_percent(self.control)} get their stored label"
        return summary + "."


def add_vote(file: str | Path, vote: Vote) -> None:
    """Appends a vote to a JSON file, which is made if it is not there. A later vote on the same pair counts instead.

    Raises:
        CorruptAsset: the file is damaged; it is left as it is.
        CourseError: it cannot be written; what it held is intact.
    """
    path = Path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # a second notebook's vote is not lost
            votes = [asdict(one) for one in (*_load(path), vote)]
            write_atomically(path, json.dumps({"votes": votes}, indent=1) + "\n")
    except OSError as error:
        raise CourseError(
            f"the vote could not be written to {path}: {error}", "make room on the disk, or name another file"
        ) from error


def read_votes(file: str | Path) -> pd.DataFrame:
    """The last vote on each pair: original, adversarial, label, given, same. No rows where there is no file yet.

    Raises:
        CorruptAsset: the file is damaged; it is left as it is.
        CourseError: it cannot be read.
    """
    last = {(vote.original, vote.adversarial): vote for vote in _load(Path(file))}
    return pd.DataFrame([asdict(vote) for vote in last.values()], columns=_COLUMNS, dtype=object)


def validity(votes: pd.DataFrame) -> Validity:
    """How many adversarial texts a reader finds valid.

    Args:
        votes: as `read_votes` gives them.

    Raises:
        BadInput: a column is missing, or no changed text was voted on.
    """
    if missing := [name for name in _COLUMNS if name not in votes]:
        raise BadInput(f"the votes have no column {missing[0]!r}", "pass what read_votes gives")
    is_changed = votes["original"] != votes["adversarial"]
    changed, control = votes[is_changed], votes[~is_changed]
    if changed.empty:
        raise BadInput(f"there are {len(votes)} votes, none on a changed text", "vote on adversarial texts first")
    kept = _kept(changed)
    assert kept is not None
    answered = changed["same"].dropna()
    meaning = wilson_interval(int(answered.astype(bool).sum()), len(answered)) if len(answered) else None
    return Validity(len(changed), kept, meaning, _kept(control))


def _kept(votes: pd.DataFrame) -> Interval | None:
    """Fraction of texts whose reader gave the original's label."""
    return wilson_interval(int((votes["given"] == votes["label"]).sum()), len(votes)) if len(votes) else None


def _load(path: Path) -> list[Vote]:
    """All votes, the oldest first."""
    try:
        return [_vote(row) for row in json.loads(path.read_text(encoding="utf-8"))["votes"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error}", "allow it, or name another file") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptAsset(
            f"{path} does not hold votes as they were written: {type(error).__name__} {error}",
            "correct it, or rename it to keep what it holds; a new file is then begun",
        ) from error


def _vote(row: Any) -> Vote:
    """A stored vote.

    Raises:
        TypeError, ValueError: it has another form.
    """
    vote = Vote(**row)
    texts = isinstance(vote.original, str) and isinstance(vote.adversarial, str)
    if not texts or not (vote.same is None or isinstance(vote.same, bool)):
        raise ValueError(f"in {str(row)[:80]}")
    return vote


def _percent(interval: Interval) -> str:
    return f"{interval.estimate:.0%} [{interval.low:.0%}, {interval.high:.0%}]"
