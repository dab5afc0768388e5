"""Shapley values of sentences of 12 words beside the exact ones, at equal queries: ours, and shapiq's approximators.

All coalitions of a sentence are asked once; each contender then reads the outputs that it draws from this table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

from course_lib import corpora
from course_lib.explain import MaskableText, MaskedModel, shapley_values
from course_lib.explain.attribution import Floats
from course_lib.explain.shapley import adjusted_values, all_coalitions, draw_pairs, kernel_values

from .claims import Claim
from .explain_setting import POSITIVE, Part, Row, Subject
from .explain_shap import relative_error

WORDS = 12
SAMPLES = (96, 128, 192, 256)
PLAIN, ADJUSTED = "ours", "ours, surrogate"
PEERS = ("KernelSHAPIQ", "ProxySHAP")
Found = tuple[Floats, Floats | None]  # values, and their standard errors where they are stated
Draw = Callable[[Floats, int, int], Found]  # outputs of all coalitions, samples, seed


def measured(subject: Subject, asked: argparse.Namespace) -> Iterator[Row]:
    """For each contender and number of samples the errors by sentence, means of the draws, and what is covered."""
    test = corpora.part("movie_reviews", "test")["text"]
    texts = [text for text in test if len(MaskableText.of(text)) == WORDS][: asked.exact]
    model = MaskedModel(subject.classifier, texts, target=POSITIVE)
    tables = model.evaluate([all_coalitions(WORDS)] * len(texts))
    for name, draw in contenders().items():
        for samples in SAMPLES:
            yield _row(name, samples, draw, tables, asked.draws)


def contenders() -> dict[str, Draw]:
    """Ours, and those of shapiq where it is installed."""
    found: dict[str, Draw] = {PLAIN: _ours(kernel_values), ADJUSTED: _ours(adjusted_values)}
    if find_spec("shapiq"):
        found |= {f"shapiq, {name}": _peer(name) for name in PEERS}
    return found


def _ours(estimate: Callable[..., tuple[Floats, Floats]]) -> Draw:
    def draw(table: Floats, samples: int, seed: int) -> Found:
        pairs = draw_pairs(WORDS, samples, np.random.default_rng(seed))
        values, complements = (_outputs(table, rows) for rows in (pairs.coalitions, ~pairs.coalitions))
        return estimate(pairs, values, complements, table[0], table[-1])

    return draw


def _peer(name: str) -> Draw:
    def draw(table: Floats, samples: int, seed: int) -> Found:
        import shapiq

        index = "k-SII" if name == "KernelSHAPIQ" else "SV"  # of order 1 they are the same
        approximator = getattr(shapiq, name)(n=WORDS, max_order=1, index=index, random_state=seed)
        said = approximator.approximate(budget=samples, game=lambda rows: _outputs(table, np.asarray(rows, bool)))
        return np.array([said[(word,)] for word in range(WORDS)]), None

    return draw


def _outputs(table: Floats, rows: Any) -> Floats:
    found: Floats = table[rows @ 2 ** np.arange(WORDS)]
    return found


def _row(name: str, samples: int, draw: Draw, tables: Sequence[Floats], draws: int) -> Row:
    errors, covered = [], []
    for table in tables:
        true = shapley_values(table)
        runs = [draw(table, samples, seed) for seed in range(draws)]
        errors.append(float(np.mean([relative_error(values, true) for values, _ in runs])))
        covered += [np.abs(values - true) <= 2 * stated for values, stated in runs if stated is not None]
    return {"contender": name, "samples": samples, "errors": errors,
            "covered": float(np.mean(covered)) if covered else None}  # fmt: skip


def claims(rows: Sequence[Row]) -> list[Claim]:
    """The surrogate's error beside ours without it and beside the peer's; what two standard errors cover."""
    of = {(row["contender"], row["samples"]): median(row["errors"]) for row in rows}
    found = []
    for samples in SAMPLES:
        for other in (PLAIN, f"shapiq, {PEERS[-1]}"):
            if {(ADJUSTED, samples), (other, samples)} <= of.keys():
                text = f"{samples} samples: median error with a surrogate over that of {other}"
                found.append(Claim(text, 1, of[ADJUSTED, samples] / of[other, samples], at_most=True))
    known = [row for row in rows if row["covered"] is not None]
    if known:
        least = min(row["covered"] for row in known)
        found.append(Claim("exact values within two stated standard errors, the smallest fraction", 0.93, least))
    return found


def notes(rows: Sequence[Row]) -> list[str]:
    """Whether the peer was there."""
    if any(row["contender"].startswith("shapiq") for row in rows):
        return []
    return ["shapiq is not installed here (1.8 needs Python 3.12): its approximators were left out"]


HEADING = ("contender", "samples", "median error", "largest error", "covered")


def line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    covered = "" if row["covered"] is None else f"{row['covered']:.1%}"
    errors = row["errors"]
    return row["contender"], str(row["samples"]), f"{median(errors):.2%}", f"{max(errors):.2%}", covered


EXACT = Part(measured, claims, HEADING, line, notes)
