"""Sentences a second of `predict_proba` against `transformers.pipeline`, and the forward's share of the peak.

python tests/benchmarks/bench_predict.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from side_by_side.claims import Claim
from side_by_side.clock import take_turns
from side_by_side.matmul import Share, share_of_peak
from side_by_side.report import Report
from side_by_side.saved_models import saved_classifier

from course_lib import corpora, machine
from course_lib.batching import tokenize
from course_lib.classifier import TextClassifier
from course_lib.classifier.model import forward

REPEATS_SHARE, MAX_LENGTH = 0.2, 128
Predict = Callable[[list[str]], NDArray[np.float32]]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="times that each contender runs; the median counts")
    parser.add_argument("--rows", type=int, default=1000, help="sentences (fewer than 1,000: a trial)")
    parser.add_argument("--forward-rows", type=int, default=2000, help="sentences for the share of the peak")
    return parser.parse_args(arguments)


def mixed_sentences(rows: int) -> list[str]:
    """Sentences of all four corpora in equal parts, shuffled; a fifth of them are repeats of others."""
    distinct = rows - int(rows * REPEATS_SHARE)
    share = -(-distinct // len(corpora.NAMES))
    texts = [text for name in corpora.NAMES for text in corpora.part(name, "train", limit=share)["text"]]
    random = np.random.default_rng(0)
    texts = [texts[i] for i in random.permutation(len(texts))[:distinct]]
    texts += [texts[i] for i in random.integers(0, distinct, rows - distinct)]
    return [texts[i] for i in random.permutation(rows)]


def pipeline(folder: Path, batch_size: int, **settings: Any) -> Predict:
    """`transformers.pipeline` with all classes' probabilities, in the order of the classes."""
    import transformers

    pipe = transformers.pipeline(
        "text-classification", model=str(folder), tokenizer=str(folder), device=machine.device(), top_k=None, **settings
    )
    order = [pipe.model.config.id2label[i] for i in range(pipe.model.config.num_labels)]

    def predict(texts: list[str]) -> NDArray[np.float32]:
        answers = pipe(texts, batch_size=batch_size, truncation=True, max_length=MAX_LENGTH)
        scores = [{one["label"]: one["score"] for one in answer} for answer in answers]
        return np.array([[score[name] for name in order] for score in scores], dtype=np.float32)

    return predict


def contenders(folder: Path) -> dict[str, Predict]:
    """By name; those in another precision only where the hardware multiplies it fast."""
    ours = TextClassifier.from_pretrained(folder)
    found: dict[str, Predict] = {"ours": ours.predict_proba}
    found |= {f"pipeline, batch {size}": pipeline(folder, size) for size in (1, 32)}
    fast = str(machine.precision()).removeprefix("torch.")
    if fast != "float32":
        auto = TextClassifier.from_pretrained(folder).set_params(precision="auto")
        found[f"ours, {fast}"] = auto.predict_proba
        found |= {f"pipeline, batch {size}, {fast}": pipeline(folder, size, dtype=fast) for size in (1, 32)}
    return found


def forward_share(folder: Path, rows: int, precision: str, rounds: int) -> Share:
    """Share of the matmul peak that our forward pass reaches on movie sentences in sorted batches."""
    classifier = TextClassifier.from_pretrained(folder)
    texts = corpora.part("movie_reviews", "train", limit=rows)["text"].tolist()
    ids = tokenize(texts, classifier.tokenizer_, MAX_LENGTH)
    dtype = machine.precision() if precision == "auto" else torch.float32
    module, pad = classifier.module_, classifier.tokenizer_.pad_token_id
    return share_of_peak(lambda: forward(module, ids, pad, precision=precision), machine.device(), dtype, rounds)


def rows_of(texts: list[str], racing: dict[str, Predict], rounds: int) -> list[dict[str, Any]]:
    """One row a contender: speed, and how far its probabilities are from ours."""
    for predict in racing.values():
        predict(texts[:64])
    answers: dict[str, NDArray[np.float32]] = {}

    def keep(name: str) -> Callable[[], None]:
        return lambda: answers.update({name: racing[name](texts)})

    seconds = take_turns({name: keep(name) for name in racing}, rounds)
    return [
        {
            "contender": name,
            "sentences_a_second": len(texts) / median(times),
            "seconds": times,
            "largest_difference": float(abs(answers[name] - answers["ours"]).max()),
        }
        for name, times in seconds.items()
    ]


def claims(rows: Sequence[dict[str, Any]], share: float) -> list[Claim]:
    """Speed against the best pipeline in the same precision, and the share of the peak."""
    found = []
    for tail, text in (("", "float32"), (", bfloat16", "bfloat16")):
        mine = [row for row in rows if row["contender"] == "ours" + tail]
        theirs = [row for row in rows if row["contender"] in {f"pipeline, batch {size}{tail}" for size in (1, 32)}]
        if mine and theirs:
            best = max(theirs, key=lambda row: row["sentences_a_second"])
            ratio = mine[0]["sentences_a_second"] / best["sentences_a_second"]
            found.append(Claim(f"{text}: predict_proba over {best['contender']}, sentences a second", 2.0, ratio))
        if mine and theirs and not tail:
            apart = max(row["largest_difference"] for row in theirs)
            found.append(Claim("float32: largest difference of a probability", 1e-4, apart, at_most=True))
    return [*found, Claim("float32: forward's share of the measured matmul peak", 0.85, share)]


def main(asked: argparse.Namespace) -> None:
    """Speed, then the share of the peak."""
    trial = asked.rows < 1000 or asked.forward_rows < 2000 or asked.rounds < 5
    report = Report("predict", vars(asked), trial)
    with tempfile.TemporaryDirectory() as scratch:
        folder, model = saved_classifier(Path(scratch))
        report.content["model"] = model
        texts = mixed_sentences(asked.rows)
        for row in rows_of(texts, contenders(folder), asked.rounds):
            report.add(row)
        precisions = ["float32"] + (["auto"] if str(machine.precision()) != "torch.float32" else [])
        shares = {name: forward_share(folder, asked.forward_rows, name, asked.rounds) for name in precisions}
    report.content["forward"] = {name: vars(share) for name, share in shares.items()}
    report.close(HEADING, [line(row) for row in report.rows], claims(report.rows, shares["float32"].share))
    for name, share in shares.items():
        print(f"forward, {name}: {share.gflops:.0f} of {share.peak_gflops:.0f} GFLOP/s, {share.share:.1%} of the peak")


HEADING = ("contender", "sentences/s", "median s", "slowest s", "probabilities apart")


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    seconds = row["seconds"]
    return (
        row["contender"],
        f"{row['sentences_a_second']:.0f}",
        f"{median(seconds):.2f}",
        f"{max(seconds):.2f}",
        f"{row['largest_difference']:.1e}",
    )


if __name__ == "__main__":
    main(options())
