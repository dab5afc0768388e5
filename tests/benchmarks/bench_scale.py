"""Two processes of one thread each against one process of two threads: training, batch inference, gradients.

python tests/benchmarks/bench_scale.py [--rounds 5] [--parts train predict gradients]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from side_by_side.claims import Claim
from side_by_side.report import Report
from side_by_side.scaling_runs import gradient_errors, training_speed

from course_lib import corpora
from course_lib.scaling import run_torchrun

HEADING = ("part", "processes x threads", "rows/s", "slowest", "fastest")
SETTINGS = ((1, 2), (2, 1))  # processes, threads of each
COUNTS = ([16, 16], [28, 4], [1, 31])
PARTS = ("train", "predict", "gradients")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (fewer than 5: a trial)")
    parser.add_argument("--rows", type=int, default=640, help="sentences to train on (fewer than 640: a trial)")
    parser.add_argument("--texts", type=int, default=1000, help="sentences to predict (fewer than 1,000: a trial)")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="fewer: a trial")
    return parser.parse_args(arguments)


def predict(processes: int, threads: int, texts: list[str]) -> float:
    """Texts a second of the shipped model, start left out: two runs of different size, and what the longer adds."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        for some in (texts[: len(texts) // 10], texts):
            file.write_text(json.dumps(some), encoding="utf-8")
            command = ["-m", "course_lib", "predict", "--json", "--texts-json", str(file)]
            started = time.perf_counter()
            (found,) = run_torchrun(command, processes, threads)
            seconds.append(time.perf_counter() - started)
            assert [row["text"] for row in found["predictions"]] == some
    return (len(texts) - len(texts) // 10) / (seconds[1] - seconds[0])


def ratios(report: Report, part: str) -> np.ndarray:
    """In each round, the speed of two processes over that of one."""
    one, two = ([row["rate"] for row in report.rows if (row["part"], row["processes"]) == (part, n)] for n in (1, 2))
    return np.array(two) / np.array(one)


def lines(report: Report) -> list[tuple[str, ...]]:
    """The table."""
    found = []
    for part in ("train", "predict"):
        for processes, threads in SETTINGS:
            rates = [row["rate"] for row in report.rows if (row["part"], row["processes"]) == (part, processes)]
            if rates:
                numbers = (f"{number:.0f}" for number in (median(rates), min(rates), max(rates)))
                found.append((part, f"{processes} x {threads}", *numbers))
    return found


def claims(report: Report, asked: argparse.Namespace, errors: Sequence[dict[str, Any]]) -> list[Claim]:
    """The medians of the rounds' ratios; the largest error of a gradient."""
    found = []
    for part in ("train", "predict"):
        if part in asked.parts:
            each = ratios(report, part)
            report.content[f"{part}_ratio"] = each.tolist()
            # Of n rounds, the true median is between the least and the greatest with probability 1 - 2 / 2**n.
            print(f"{part}: median ratio {np.median(each):.3f}, {1 - 2.0 ** (1 - len(each)):.0%} interval "
                  f"{each.min():.3f} to {each.max():.3f}")  # fmt: skip
            text = f"{part}: rows a second, 2 processes x 1 thread over 1 x 2"
            found.append(Claim(text, 0.85, float(np.median(each))))
    if errors:
        worst = max(one["weighted"] for one in errors)
        plain = min(one["mean_of_means"] for one in errors if one["weight"] != 1)
        report.content["gradients"] = list(errors)
        found.append(Claim("largest relative error of a gradient, weighted by rows", 1e-5, worst, at_most=True))
        found.append(Claim("smallest such error of the mean of means with unequal counts", 0.01, plain))
    return found


def main(asked: argparse.Namespace) -> None:
    """Both settings take turns in each round, and each round begins with another one."""
    trial = asked.rounds < 5 or asked.rows < 640 or asked.texts < 1000 or set(asked.parts) < set(PARTS)
    report = Report("scale", vars(asked), trial)
    texts = corpora.part("movie_reviews", "train", limit=asked.texts)["text"].tolist()
    for number in range(asked.rounds):
        for processes, threads in SETTINGS[:: -1 if number % 2 else 1]:
            for part in asked.parts:
                if part != "gradients":
                    work = asked.rows if part == "train" else texts
                    rate = (training_speed if part == "train" else predict)(processes, threads, work)
                    report.add({"part": part, "processes": processes, "threads": threads, "rate": rate})
    errors = gradient_errors(*COUNTS) if "gradients" in asked.parts else []
    report.close(HEADING, lines(report), claims(report, asked, errors))


if __name__ == "__main__":
    main(options())
