"""Sentences a second of `predict_proba` against `transformers.pipeline`, and the forward's share of the peak.

And the seconds of one sentence in a fresh process: `python -m course_lib predict` against the pipeline.

python tests/benchmarks/bench_predict.py [--rounds 5] [--parts start]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
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
PARTS = ("throughput", "start")
ONE_TEXT = "a warm and funny film"
PIPELINE = """
import sys
from transformers import pipeline
print(pipeline("text-classification", model=sys.argv[1], tokenizer=sys.argv[1])(sys.argv[2]))
"""
Predict = Callable[[list[str]], NDArray[np.float32]]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="times that each contender runs; the median counts")
    parser.add_argument("--rows", type=int, default=1000, help="sentences (fewer than 1,000: a trial)")
    parser.add_argument("--forward-rows", type=int, default=2000, help="sentences for the share of the peak")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="fewer than all: a trial")
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


def start_seconds(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds from the start of a process to its end, for one sentence, and for what every command of ours begins with.

    Each runs once before the clock starts, so that all files are in the system's cache.
    """
    commands = {
        "predict": ["-m", "course_lib", "predict", "--model", str(folder), "--json", ONE_TEXT],
        "predict, the model that ships": ["-m", "course_lib", "predict", "--json", ONE_TEXT],
        "pipeline": ["-c", PIPELINE, str(folder), ONE_TEXT],
        "import torch": ["-c", "import torch"],
        "--help": ["-m", "course_lib", "--help"],
    }

    def started(arguments: list[str]) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    processes = {name: started(arguments) for name, arguments in commands.items()}
    for once in processes.values():
        once()
    return take_turns(processes, rounds)


def start_claims(seconds: dict[str, list[float]]) -> list[Claim]:
    """One sentence with the model that ships, in seconds and over the pipeline."""
    mine = median(seconds["predict, the model that ships"])
    return [
        Claim("one sentence in a fresh process, seconds", 3.0, mine, at_most=True),
        Claim("the same, pipeline over predict, seconds", 2.0, median(seconds["pipeline"]) / mine),
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
    """The start, then speed, then the share of the peak."""
    trial = asked.rows < 1000 or asked.forward_rows < 2000 or asked.rounds < 5 or set(asked.parts) != set(PARTS)
    report, found = Report("predict", vars(asked), trial), []
    with tempfile.TemporaryDirectory() as scratch:
        folder, report.content["model"] = saved_classifier(Path(scratch))
        if "start" in asked.parts:
            report.content["start"] = seconds = start_seconds(folder, asked.rounds)
            found += start_claims(seconds)
            for name, times in seconds.items():
                print(f"a fresh process, {name}: {median(times):.2f} s, {min(times):.2f} to {max(times):.2f}")
        if "throughput" in asked.parts:
            found += throughput(folder, asked, report)
    report.close(HEADING, [line(row) for row in report.rows], found)


def throughput(folder: Path, asked: argparse.Namespace, report: Report) -> list[Claim]:
    """Sentences a second of all contenders, and the share of the peak."""
    for row in rows_of(mixed_sentences(asked.rows), contenders(folder), asked.rounds):
        report.add(row)
    precisions = ["float32"] + (["auto"] if str(machine.precision()) != "torch.float32" else [])
    shares = {name: forward_share(folder, asked.forward_rows, name, asked.rounds) for name in precisions}
    report.content["forward"] = {name: vars(share) for name, share in shares.items()}
    for name, share in shares.items():
        print(f"forward, {name}: {share.gflops:.0f} of {share.peak_gflops:.0f} GFLOP/s, {share.share:.1%} of the peak")
    return claims(report.rows, shares["float32"].share)


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
