"""Methods of explanation judged: how faithful each is to the model, and whether it finds a planted reason."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from course_lib.evaluation import bootstrap, wilson_interval
from course_lib.explain import (
    Attribution,
    MaskedModel,
    aopc_bounds,
    comprehensiveness,
    curves,
    explain,
    random_baseline,
    shortcut_study,
    sufficiency,
)
from course_lib.explain.attribution import Floats

from .claims import Claim
from .clock import now
from .explain_setting import Part, Row, Subject, sentences
from .surroundings import load

METHODS = ("shap", "lime", "occlusion", "ig", "gradient", "smoothgrad", "attention", "rollout")
MOST_WORDS = 30  # of a sentence: bounds and curves grow with the square of it
FIGURES = ("comprehensiveness", "sufficiency", "aopc", "normalised")
PLANTED_METHODS = ("shap", "lime", "occlusion", "ig", "gradient", "attention", "rollout")
PROMISED = ("shap", "lime")  # those that must find the planted word
FOUND = 0.95


def measured(subject: Subject, asked: argparse.Namespace) -> Iterator[Row]:
    """A row a method, and random orders last."""
    classifier, texts = subject.classifier, sentences(asked.judged, MOST_WORDS)
    low, high = aopc_bounds(MaskedModel(classifier, texts[: asked.bounded]))
    found: list[Attribution] = []
    for method in METHODS:
        before, started = load(), now()
        found = explain(classifier, texts, method)
        cost = {"seconds": (now() - started) / len(texts), "queries": mean(one.queries for one in found)}
        yield {"method": method, "load": before, **cost, **faithful(classifier, found, low, high)}
    yield {"method": "random", "seconds": 0.0, "queries": 0, **faithful(classifier, random_baseline(found), low, high)}


def faithful(classifier: Any, found: Sequence[Attribution], low: Floats, high: Floats) -> Row:
    """Each figure's mean over texts with its 95 % interval; the bounds are those of the first texts."""
    aopc = np.array([curve.aopc for curve in curves(classifier, found)])
    room = high - low
    known = room > 1e-9
    figures = {
        "comprehensiveness": comprehensiveness(classifier, found),
        "sufficiency": sufficiency(classifier, found),
        "aopc": aopc,
        "normalised": ((aopc[: len(low)] - low)[known] / room[known]),
    }
    return {name: bootstrap(values).to_dict() | {"n": len(values)} for name, values in figures.items()}


HEADING = ("method", "seconds", "queries", "comprehensiveness", "sufficiency (small)", "AOPC", "normalised AOPC")


def line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    figures = (_interval(row[name]) for name in FIGURES)
    return row["method"], f"{row['seconds']:.4f}", f"{row['queries']:.0f}", *figures


def _interval(of: dict[str, float]) -> str:
    return f"{of['estimate']:.3f} [{of['low']:.3f}, {of['high']:.3f}]"


# No notes: methods on the same texts are compared by paired differences (notebook 09), not by their intervals.
FAITHFULNESS = Part(measured, lambda rows: [], HEADING, line, lambda rows: [])


# ---- a planted reason ----------------------------------------------------------------------------------------------


def planted_measured(_: Subject, asked: argparse.Namespace) -> Iterator[Row]:
    """A row a seed and method; each seed trains the course's encoder again, in a folder that is thrown away."""
    for seed in range(asked.seeds):
        config = {"methods": list(PLANTED_METHODS), "rows": asked.rows, "seed": seed, "tested": asked.tested}
        before, started = load(), now()
        with tempfile.TemporaryDirectory() as folder:
            result = shortcut_study(config, Path(folder))
        of_seed = {"seed": seed, "load": before, "study_seconds": now() - started, "accuracy": result["accuracy"],
                   "turned": result["turned"]["estimate"], "tested": result["tested"]}  # fmt: skip
        for method, figures in result["methods"].items():
            yield {**of_seed, "method": method, "ranks": figures["ranks"], "seconds": figures["seconds"],
                   "queries": figures["queries"]}  # fmt: skip


def at_one(rows: Sequence[Row], method: str) -> tuple[int, int]:
    """In how many affected sentences of all seeds the word came first, and of how many."""
    places = [place for row in rows if row["method"] == method for place in row["ranks"]]
    return sum(place == 1 for place in places), len(places)


def planted_claims(rows: Sequence[Row]) -> list[Claim]:
    """Of the methods that promise it."""
    found = []
    for method in PROMISED:
        hits, n = at_one(rows, method)
        if any(row["method"] == method for row in rows):
            text = f"{method}: share of {n} affected sentences with the planted word first"
            found.append(Claim(text, FOUND, hits / n if n else None))
    return found


def planted_notes(rows: Sequence[Row]) -> list[str]:
    """Each method over all seeds, with Wilson's interval, and whether it fails."""
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        hits, n = at_one(rows, method)
        if n:
            verdict = "finds it" if hits / n >= FOUND else "fails"
            found.append(f"{method}: {verdict}, first in {wilson_interval(hits, n)} of {n} sentences")
    return found


PLANTED_HEADING = ("method", "seed", "accuracy", "turned", "affected", "first", "mean rank", "seconds", "")


def planted_line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    hits, n = at_one([row], row["method"])
    first = f"{hits / n:.2f}" if n else "-"
    rank = f"{mean(row['ranks']):.2f}" if n else "-"
    fails = "fails" if n and hits / n < FOUND else ""
    return (
        row["method"], str(row["seed"]), f"{row['accuracy']:.2%}", f"{row['turned']:.2f}", str(n), first, rank,
        f"{row['seconds']:.4f}", fails,
    )  # fmt: skip


SHORTCUT = Part(planted_measured, planted_claims, PLANTED_HEADING, planted_line, planted_notes)
