"""Shapley values in one pass: a student taught on the training sentences, held against converged values."""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from course_lib import corpora
from course_lib.classifier import TextClassifier
from course_lib.explain import MaskableText, amortise, explain, rank_correlation
from course_lib.explain.attribution import Attribution

from .claims import Claim
from .clock import now
from .explain_setting import REFERENCE_SEED, Part, Row, Subject, sentences
from .surroundings import load

FEW_SAMPLES = {20: 72, 32: 96}  # coalitions of a sentence of fewer words than that; longer ones get the usual number
TAUGHT_AT_ONCE = 250  # sentences, after which the file is written
REFERENCE_SAMPLES = 2000
EXPLAINED = 1000  # sentences, timed


def measured(subject: Subject, asked: argparse.Namespace) -> Iterator[Row]:
    """One row: what was taught, how near the student comes, and what a thousand sentences take."""
    classifier = subject.classifier
    taught = lessons(classifier, asked.lessons, asked.taught)
    started = now()
    student = amortise(classifier, [one.text for one in taught], taught=taught)
    training = now() - started
    texts = sentences(asked.held, seed=1)
    truth = explain(classifier, texts, "shap", samples=REFERENCE_SAMPLES, seed=REFERENCE_SEED)
    guessed = student.explain(texts)
    ranks = [rank_correlation(one.scores, true.scores) for one, true in zip(guessed, truth, strict=True)]
    many = corpora.part("movie_reviews", "test", EXPLAINED)["text"].tolist()
    before, started = load(), now()
    student.explain(many)
    yield {
        "lessons": len(taught), "queries": sum(one.queries for one in taught), "training_seconds": training,
        "held_out": len(texts), "correlations": ranks, "stated_error": student.error,
        "stated_correlation": student.correlation, "explained": len(many), "seconds": now() - started, "load": before,
        "reference_error": float(np.median([one.error / np.abs(one.scores).max() for one in truth])),
    }  # fmt: skip


def lessons(classifier: TextClassifier, wanted: int, path: Path | None) -> list[Attribution]:
    """Explained training sentences; a file keeps them, so that an interrupted run continues."""
    found: list[Attribution] = pickle.loads(path.read_bytes()) if path and path.exists() else []
    texts = list(dict.fromkeys(corpora.part("movie_reviews", "train")["text"]))[:wanted]
    known = {one.text for one in found}
    left = [text for text in texts if text not in known]
    for start in range(0, len(left), TAUGHT_AT_ONCE):
        found += explained(classifier, left[start : start + TAUGHT_AT_ONCE])
        if path:
            beside = path.with_suffix(".part")
            beside.write_bytes(pickle.dumps(found))
            os.replace(beside, path)
    of = {one.text: one for one in found}
    return [of[text] for text in texts]


def explained(classifier: TextClassifier, texts: Sequence[str]) -> list[Attribution]:
    """Shapley values from few samples, fewer for fewer words."""
    by_samples: dict[int | None, list[str]] = {}
    for text in texts:
        words = len(MaskableText.of(text))
        by_samples.setdefault(next((few for most, few in FEW_SAMPLES.items() if words < most), None), []).append(text)
    return [one for samples, some in by_samples.items() for one in explain(classifier, some, "shap", samples=samples)]


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Near the converged values, and fast."""
    return [
        claim
        for row in rows
        for claim in (
            Claim("amortised: rank correlation with converged Shapley values", 0.9,
                  float(np.nanmean(row["correlations"]))),
            Claim("amortised: seconds for 1,000 sentences", 15, 1000 * row["seconds"] / row["explained"], at_most=True),
        )
    ]  # fmt: skip


HEADING = ("taught on", "queries", "training s", "held out", "rank correlation", "stated", "s for", "sentences")


def line(row: Row) -> tuple[str, ...]:
    """The row of the table."""
    return (
        str(row["lessons"]), f"{row['queries']:,}", f"{row['training_seconds']:.0f}", str(row["held_out"]),
        f"{np.nanmean(row['correlations']):.3f}", f"{row['stated_correlation']:.3f}", f"{row['seconds']:.1f}",
        str(row["explained"]),
    )  # fmt: skip


def notes(rows: Sequence[Row]) -> list[str]:
    """How sure the converged values are."""
    return [f"converged values: stated error {row['reference_error']:.1%} of the largest score (median); "
            f"the student's own error {row['stated_error']:.3f}" for row in rows]  # fmt: skip


AMORTISED = Part(measured, claims, HEADING, line, notes)
