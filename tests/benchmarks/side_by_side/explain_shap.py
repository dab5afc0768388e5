"""Shapley values: the course beside the `shap` package on a pipeline, and a thousand sentences in one call.

The two explain different games. The package cuts the text into the tokenizer's pieces, puts the mask token for what is
out, and shares credit in a tree of the text (Owen values); the course deletes words and gives Shapley values. So each
is held against what its own method comes to when nothing is left to chance or undone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from course_lib import corpora
from course_lib.classifier import TextClassifier
from course_lib.explain import MaskableText, explain
from course_lib.explain.attribution import Attribution, Floats

from .claims import Claim
from .clock import now
from .explain_setting import POSITIVE, REFERENCE_SEED, Part, Row, Subject, in_turns, pipeline, sentences
from .surroundings import load

OURS, STOCK, BATCHED = "ours", "shap package, pipeline", "shap package, pipeline in batches of 32"
CURVE = (64, 128, 256, 512)  # samples
ADJUSTED = (64, 96, 128, 192, 256)  # samples with a surrogate
EXACT_WORDS = 12
ALL_EVALUATIONS = 1_000_000  # more than any sentence needs: Owen values of a tree of words end by themselves


def measured(subject: Subject, asked: argparse.Namespace) -> Iterator[Row]:
    """Seconds a sentence, one at a time, and the gap to the converged values of the same method."""
    classifier, texts = subject.classifier, sentences(asked.sentences)
    stock, batched = stock_shap(subject, 1), stock_shap(subject, 32)
    contenders: dict[str, Callable[[str], Floats]] = {STOCK: stock, BATCHED: batched}
    ways: dict[str, tuple[int | None, bool]] = {OURS: (None, False)}
    ways |= {f"ours, {samples} samples": (samples, False) for samples in CURVE}
    ways |= {f"ours, surrogate, {samples} samples": (samples, True) for samples in ADJUSTED}
    contenders |= {name: partial(_ours, classifier, *way) for name, way in ways.items()}
    before = load()
    seconds, said = in_turns(contenders, texts)
    owen, unfinished = converged_owen(subject, texts)
    shapley = converged_shapley(classifier, texts, asked.converged)
    words = [len(one.scores) for one in shapley]
    for name, times in seconds.items():
        row: Row = {"contender": name, "load": before, "seconds": times, "words": words}
        if name in (STOCK, BATCHED):
            errors = [relative_error(one, true) for one, true in zip(said[name], owen, strict=True)]
            yield row | {"errors": errors, "unfinished": unfinished}
            continue
        again = [[_ours(classifier, *ways[name], text, seed) for text in texts] for seed in range(1, asked.seeds)]
        tables = [[relative_error(one, true.scores) for one, true in zip(run, shapley, strict=True)]
                  for run in (said[name], *again)]  # fmt: skip
        errors = np.mean(tables, axis=0).tolist()
        yield row | {"errors": errors, "errors_by_seed": tables, "reference_error": _stated(shapley)}
    started = now()
    explain(classifier, texts, "shap", target=POSITIVE)
    yield {"contender": "ours, all in one call", "load": before, "seconds": [(now() - started) / len(texts)]}


def stock_shap(subject: Subject, batch: int) -> Callable[[str], Floats]:
    """`shap.Explainer` of a pipeline with its defaults; (tokens,), the values of the positive class.

    A batch above 1 is told to both: the explainer else asks for six texts at once, the pipeline for one.
    """
    import shap

    settings: dict[str, Any] = {} if batch == 1 else {"batch_size": batch}
    explainer = shap.Explainer(pipeline(subject.folder, **settings))

    def values(text: str) -> Floats:
        np.random.seed(0)  # it breaks ties by chance
        said = explainer([text], silent=True, **settings)
        return np.asarray(said.values[0][:, POSITIVE], np.float64)

    return values


def converged_owen(subject: Subject, texts: Sequence[str]) -> tuple[list[Floats], int]:
    """The same explainer's values when its tree is done, asked through our batches; how many texts did not end."""
    import shap

    classifier = subject.classifier

    def predict(masked: Any) -> Floats:
        return np.asarray(classifier.predict_proba([str(one) for one in masked]), np.float64)

    explainer = shap.Explainer(predict, pipeline(subject.folder).tokenizer)
    found, unfinished = [], 0
    for text in texts:
        said = explainer([text], max_evals=ALL_EVALUATIONS, batch_size=4096, silent=True)
        found.append(np.asarray(said.values[0][:, POSITIVE], np.float64))
        unfinished += explainer.last_eval_count >= ALL_EVALUATIONS - 2
    return found, unfinished


def converged_shapley(classifier: TextClassifier, texts: Sequence[str], samples: int) -> list[Attribution]:
    """Exact where a text has few words, else by many samples with a seed of their own."""
    words = [len(MaskableText.of(text)) for text in texts]
    found: dict[str, Attribution] = {}
    for method, fits in (("exact", True), ("shap", False)):
        some = [text for text, n in zip(texts, words, strict=True) if (n <= EXACT_WORDS) == fits]
        settings: dict[str, Any] = {} if method == "exact" else {"samples": samples, "seed": REFERENCE_SEED}
        found |= zip(some, explain(classifier, some, method, target=POSITIVE, **settings), strict=True)
    return [found[text] for text in texts]


def _ours(classifier: TextClassifier, samples: int | None, surrogate: bool, text: str, seed: int = 0) -> Floats:
    """As many samples as were asked, but no fewer than a text of so many words needs."""
    asked = samples and max(samples, 2 * len(MaskableText.of(text)))
    settings = {"samples": asked, "seed": seed, "surrogate": surrogate}
    return explain(classifier, [text], "shap", target=POSITIVE, **settings)[0].scores


def relative_error(found: Floats, true: Floats) -> float:
    """Root mean square gap, as a share of the root mean square of the true values."""
    return float(np.sqrt(((found - true) ** 2).mean() / (true**2).mean()))


def _stated(reference: Sequence[Attribution]) -> float:
    """The reference's own largest standard error of a word over its root mean square, the median over texts."""
    return float(median(one.error / np.sqrt((one.scores**2).mean()) for one in reference))


def as_near(rows: Sequence[Row]) -> Row | None:
    """Our fastest row whose median error is not above the package's; the default's where none is."""
    stock = next((row for row in rows if row["contender"] == STOCK), None)
    ours = [row for row in rows if row["contender"].startswith("ours") and "errors" in row]
    if stock is None or not ours:
        return None
    near = [row for row in ours if median(row["errors"]) <= median(stock["errors"])]
    if not near:
        return next((row for row in ours if row["contender"] == OURS), None)
    return min(near, key=lambda row: median(row["seconds"]))


def claims(rows: Sequence[Row]) -> list[Claim]:
    """The package at its default against ours: at the default, and at the fewest samples that come as near."""
    of = {row["contender"]: row for row in rows}
    if not {OURS, STOCK} <= of.keys():
        return []
    ours, stock, near = of[OURS], of[STOCK], as_near(rows)
    assert near is not None
    rates = {row["contender"]: median(stock["seconds"]) / median(row["seconds"]) for row in (ours, near)}
    apart = {row["contender"]: median(row["errors"]) - median(stock["errors"]) for row in (ours, near)}
    found = []
    for name, rate in rates.items():
        called = "ours at the default samples" if name == OURS else name
        found.append(Claim(f"SHAP, {called}: times the package's rate", 20, rate))
        found.append(Claim(f"SHAP, {called}: median error, less the package's own", 0, apart[name], at_most=True))
    return found


def notes(rows: Sequence[Row]) -> list[str]:
    """Where the package's error is nothing, and how sure the reference is."""
    found = []
    for row in rows:
        if row["contender"] == STOCK:
            done = sum(error < 1e-6 for error in row["errors"])
            found.append(f"the package's tree was done within its default evaluations in {done} of "
                         f"{len(row['errors'])} sentences; {row['unfinished']} references did not end")  # fmt: skip
        if row["contender"] == OURS:
            found.append(f"converged Shapley values: stated error {row['reference_error']:.2%} of their size (median)")
    return found


HEADING = ("contender", "median s", "slowest s", "median error", "largest error")


def line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    times = row["seconds"]
    errors = (f"{median(row['errors']):.2%}", f"{max(row['errors']):.2%}") if "errors" in row else ("", "")
    return row["contender"], f"{median(times):.3f}", f"{max(times):.3f}", *errors


SHAP = Part(measured, claims, HEADING, line, notes)


# ---- many sentences in one call ------------------------------------------------------------------------------------


def many_measured(subject: Subject, asked: argparse.Namespace) -> Iterator[Row]:
    """All in one call, for each number of samples; 0 is the method's own number."""
    texts = corpora.part("movie_reviews", "test", asked.many)["text"].tolist()
    classifier = subject.classifier
    explain(classifier, texts[:2], "shap")
    for samples in asked.many_samples:
        before, started = load(), now()
        found = explain(classifier, texts, "shap", samples=samples or None)
        yield {
            "samples": samples or "default", "texts": len(texts), "load": before, "seconds": now() - started,
            "queries": sum(one.queries for one in found) / len(found), "errors": quantiles(_errors(found)),
            "shares": quantiles([error / abs(one.scores).max() for one, error in zip(found, _errors(found), strict=True)
                                 if len(one.scores) and abs(one.scores).max()]),
        }  # fmt: skip


def _errors(found: Sequence[Attribution]) -> list[float]:
    return [one.error for one in found]


def quantiles(numbers: Sequence[float]) -> list[float]:
    """The median and the 90th percentile of those that are numbers."""
    found: list[float] = np.nanquantile(np.array(numbers), [0.5, 0.9]).tolist()
    return found


def many_claims(rows: Sequence[Row]) -> list[Claim]:
    """Five minutes for a thousand; of fewer, the same rate."""
    return [
        Claim(f"seconds for 1,000 sentences, samples: {row['samples']}", 300, 1000 * row["seconds"] / row["texts"],
              at_most=True)
        for row in rows
    ]  # fmt: skip


MANY_HEADING = ("samples", "texts", "seconds", "queries", "error", "90 %", "of the largest score", "90 %")


def many_line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    (middle, most), (share, most_share) = row["errors"], row["shares"]
    return (
        str(row["samples"]), str(row["texts"]), f"{row['seconds']:.1f}", f"{row['queries']:.0f}", f"{middle:.4f}",
        f"{most:.4f}", f"{share:.1%}", f"{most_share:.1%}",
    )  # fmt: skip


MANY = Part(many_measured, many_claims, MANY_HEADING, many_line, lambda rows: [])
