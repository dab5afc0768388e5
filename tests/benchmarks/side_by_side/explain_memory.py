"""Peak memory of one explanation of a long text, each in a fresh process: the course beside the `lime` package.

A stub answers in place of a model, so that the explainer's own memory is what is seen. Two runs have the real model.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from course_lib import corpora, machine
from course_lib.classifier import TextClassifier
from course_lib.explain import MaskableText, explain
from course_lib.explain.attribution import Floats

from .claims import Claim
from .clock import now
from .explain_setting import Part, Predict, Row, Subject, stock_lime
from .process import in_fresh_process

WORDS = 500
WITH_MODEL = 5000  # samples; the middle of the default sizes
SPARE = 4_000_000_000  # bytes of address space that a run under the limit may take beyond what it has when it begins
MEGABYTE = 1_000_000


def measured(subject: Subject, asked: argparse.Namespace) -> Iterator[Row]:
    """The course and the package on a stub by samples; then both on the model under a limit."""
    cases = [("ours", method, size, "stub") for method in ("lime", "shap") for size in asked.sizes]
    cases += [("lime package", "lime", size, "stub") for size in asked.sizes]
    with_model = min(WITH_MODEL, max(asked.sizes))
    cases += [("ours", "lime", with_model, "model"), ("lime package", "lime", with_model, "model, all texts at once")]
    for contender, method, samples, answers in cases:
        given = {"contender": contender, "method": method, "samples": samples, "answers": answers}
        folder = "" if answers == "stub" else str(subject.folder)
        yield given | in_fresh_process(measure, {**given, "folder": folder, "words": WORDS})


def measure(given: dict[str, Any]) -> dict[str, Any]:
    """Peak bytes of one explanation, to be called in a fresh process; the first line of the error where it died."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the explainer's memory lies in the process
    text = long_text(given["words"])
    run = _run(given, text)
    if given["answers"] != "stub":
        _limit(SPARE)
    failed, started = None, now()
    with machine.PeakMemory() as before:
        pass
    with machine.PeakMemory() as peak:
        try:
            run()
        except (MemoryError, RuntimeError) as error:
            failed = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return {"peak_bytes": peak.bytes, "before_bytes": before.bytes, "seconds": now() - started, "failed": failed,
            "samples": _enough(given, text), "words": len(MaskableText.of(text))}  # fmt: skip


def long_text(words: int) -> str:
    """Movie reviews in a row until so many words are there."""
    parts: list[str] = []
    for text in corpora.part("movie_reviews", "test")["text"]:
        if sum(len(MaskableText.of(one)) for one in parts) >= words:
            break
        parts.append(text)
    return " ".join(parts)


def _limit(spare: int) -> None:
    """No more address space than what this process has now and so many bytes."""
    import resource

    import psutil

    most = psutil.Process().memory_info().vms + spare
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _run(given: dict[str, Any], text: str) -> Callable[[], object]:
    """All that is needed is loaded here, and a few samples are asked, before anything is measured."""
    samples, method = _enough(given, text), given["method"]
    if given["contender"] == "ours":
        model = Stub() if given["answers"] == "stub" else TextClassifier.from_pretrained(given["folder"])
        explain(model, [text[:200]], method, samples=128)
        return lambda: explain(model, [text], method, samples=samples)
    predict = Stub().predict_proba if given["answers"] == "stub" else all_at_once(given["folder"])
    stock_lime(predict, text[:200], 20)
    return lambda: stock_lime(predict, text, samples)


def _enough(given: dict[str, Any], text: str) -> int:
    """The samples that were asked, but for Shapley values two a word at least."""
    samples = int(given["samples"])
    return max(samples, 2 * len(MaskableText.of(text))) if given["method"] == "shap" else samples


class Stub:
    """Answers at once, by the share of one letter in a text."""

    classes_ = np.array([0, 1])

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """(m, 2)."""
        shares = np.array([text.count("e") / max(1, len(text)) for text in texts])
        return np.column_stack([1 - shares, shares])


def all_at_once(folder: str) -> Predict:
    """What tutorials give the package: tokenise all texts that it asks about, one forward pass, softmax.

    Kinder than many of them: no gradients are kept, and a text is cut at 128 tokens as the course cuts it.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def predict(texts: Sequence[str]) -> Floats:
        batch = tokenizer(list(texts), padding=True, truncation=True, max_length=128, return_tensors="pt")
        with torch.no_grad():
            probabilities = model(**batch).logits.softmax(-1)
        return np.asarray(probabilities.numpy(), np.float64)

    return predict


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Ours with most samples over ours with fewest."""
    found = []
    for method in ("lime", "shap"):
        mine = [row for row in rows if (row["contender"], row["method"], row["answers"]) == ("ours", method, "stub")]
        if len(mine) > 1:
            least, most = (end(mine, key=lambda row: row["samples"]) for end in (min, max))
            text = f"{method.upper()}: peak memory with {most['samples']} samples over that with {least['samples']}"
            found.append(Claim(text, 1.1, most["peak_bytes"] / least["peak_bytes"], at_most=True))
    return found


def notes(rows: Sequence[Row]) -> list[str]:
    """What died, and of what."""
    spare = f"{SPARE / 1e9:.0f} GB of address space beyond the loaded model"
    return [f"{row['contender']}, {row['answers']}, {row['samples']} samples, died under a limit of {spare}: "
            f"{row['failed']}" for row in rows if row["failed"]]  # fmt: skip


HEADING = ("contender", "method", "answers", "samples", "peak MB", "before MB", "more MB", "seconds", "ended")


def line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    peak, before = row["peak_bytes"] / MEGABYTE, row["before_bytes"] / MEGABYTE
    return (
        row["contender"], row["method"], row["answers"], str(row["samples"]), f"{peak:.0f}", f"{before:.0f}",
        f"{peak - before:.0f}", f"{row['seconds']:.1f}", "no" if row["failed"] else "yes",
    )  # fmt: skip


MEMORY = Part(measured, claims, HEADING, line, notes)
