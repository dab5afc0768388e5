"""LIME: the course beside the `lime` package on a pipeline, in time and in how well both rank a text's words."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from statistics import median

import numpy as np

from course_lib.classifier import TextClassifier
from course_lib.evaluation import Interval, over_seeds
from course_lib.explain import explain, rank_correlation
from course_lib.explain.attribution import Attribution, Floats

from .claims import Claim
from .clock import now
from .explain_setting import (
    POSITIVE,
    REFERENCE_SEED,
    Part,
    Row,
    Subject,
    in_turns,
    pipeline,
    predictor,
    sentences,
    stock_lime,
)
from .surroundings import load

OURS, STOCK = "ours", "lime package, pipeline"
ADJUSTED = "ours, surrogate"  # asks a quarter of the samples
BATCHED, OUR_BATCHES = "lime package, pipeline in batches of 32", "lime package, our batches"


def measured(subject: Subject, asked: argparse.Namespace) -> Iterator[Row]:
    """Seconds a sentence, one sentence at a time and all in one call; then rank correlations with many samples."""
    texts = sentences(asked.sentences)
    yield from _times(subject, texts, asked.samples)
    yield from _ranks(subject.classifier, texts, asked)


def _times(subject: Subject, texts: list[str], samples: int) -> Iterator[Row]:
    plain = predictor(pipeline(subject.folder))
    batched = predictor(pipeline(subject.folder, batch_size=32))

    def ours(method: str, samples: int = samples, **settings: bool) -> Callable[[str], Floats]:
        return lambda text: _explained(subject.classifier, [text], method, samples, **settings)[0].scores

    contenders: dict[str, Callable[[str], Floats]] = {
        OURS: ours("lime"),
        ADJUSTED: ours("lime", samples // 4, surrogate=True),
        STOCK: lambda text: stock_lime(plain, text, samples),
        BATCHED: lambda text: stock_lime(batched, text, samples),
        OUR_BATCHES: ours("lime-package"),
    }
    before = load()
    seconds, said = in_turns(contenders, texts)
    for name, times in seconds.items():
        row: Row = {"what": "time", "contender": name, "samples": samples, "load": before, "seconds": times}
        if name not in (OURS, ADJUSTED):  # the package's own numbers, whichever model predicts
            row["apart"] = max(float(abs(a - b).max()) for a, b in zip(said[name], said[STOCK], strict=True))
        yield row
    started = now()
    _explained(subject.classifier, texts, "lime", samples)
    each = (now() - started) / len(texts)
    yield {"what": "time", "contender": "ours, all in one call", "samples": samples, "load": before, "seconds": [each]}


def _explained(
    classifier: TextClassifier, texts: Sequence[str], method: str, samples: int, seed: int = 0, **settings: bool
) -> list[Attribution]:
    return explain(classifier, texts, method, target=POSITIVE, samples=samples, bow=True, seed=seed, **settings)


def _ranks(classifier: TextClassifier, texts: list[str], asked: argparse.Namespace) -> Iterator[Row]:
    """Both are held against the package's own explainer at many samples, with a seed that neither had."""
    truth = _explained(classifier, texts, "lime-package", asked.reference, REFERENCE_SEED)
    for name, method in ((OURS, "lime"), (OUR_BATCHES, "lime-package"), (ADJUSTED, "lime")):
        samples = asked.samples // 4 if name == ADJUSTED else asked.samples
        settings = {"surrogate": True} if name == ADJUSTED else {}
        runs = [_explained(classifier, texts, method, samples, seed, **settings) for seed in range(asked.seeds)]
        table = [[rank_correlation(one.scores, true.scores) for one, true in zip(run, truth, strict=True)]
                 for run in runs]  # fmt: skip
        yield {
            "what": "rank", "contender": name, "samples": samples, "reference": asked.reference,
            "seeds": asked.seeds, "correlations": np.mean(table, axis=0).tolist(),
        }  # fmt: skip


def difference(rows: Sequence[Row], contender: str = OURS) -> Interval | None:
    """Ours less the package's rank correlation: the mean over sentences, each with the mean over its seeds."""
    of = {row["contender"]: np.array(row["correlations"]) for row in rows if row["what"] == "rank"}
    if not {contender, OUR_BATCHES} <= of.keys():
        return None
    apart = of[contender] - of[OUR_BATCHES]
    apart = apart[np.isfinite(apart)]
    return over_seeds(apart) if len(apart) > 1 else None


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Speed against the package as its users write it; not worse in ranks; its numbers do not depend on who asks."""
    times = {row["contender"]: row for row in rows if row["what"] == "time"}
    found = []
    for name, way in ((OURS, ""), (ADJUSTED, " with a surrogate, at a quarter of them")):
        if {name, STOCK} <= times.keys():
            ratio = median(times[STOCK]["seconds"]) / median(times[name]["seconds"])
            text = f"LIME at {times[STOCK]['samples']} samples{way}: times the package's rate"
            found.append(Claim(text, 20, ratio))
        if (apart := difference(rows, name)) is not None:
            text = f"rank correlation{way} not shown to be worse: upper end of the 95 % interval of the difference"
            found.append(Claim(text, 0, apart.high))
    if OUR_BATCHES in times:
        text = "the package's scores by our batches and by the pipeline: largest difference"
        found.append(Claim(text, 1e-4, times[OUR_BATCHES]["apart"], at_most=True))
    return found


def notes(rows: Sequence[Row]) -> list[str]:
    """The paired differences in words."""
    return [f"{name}: rank correlation less the package's, paired over sentences: {apart}"
            for name in (OURS, ADJUSTED) if (apart := difference(rows, name)) is not None]  # fmt: skip


HEADING = ("contender", "samples", "median s", "slowest s", "rank correlation")


def line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    if row["what"] == "rank":
        name = f"{row['contender']}, {row['seeds']} seeds against {row['reference']}"
        return name, str(row["samples"]), "", "", f"{np.nanmean(row['correlations']):.4f}"
    times = row["seconds"]
    return row["contender"], str(row["samples"]), f"{median(times):.3f}", f"{max(times):.3f}", ""


LIME = Part(measured, claims, HEADING, line, notes)
