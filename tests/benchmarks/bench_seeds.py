"""Test accuracy of a recipe over several seeds: mean, standard deviation, and what a run costs.

python tests/benchmarks/bench_seeds.py --preset best --seeds 5

Finished seeds are stored with the course's other runs: an interrupted call continues where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from side_by_side.claims import Claim
from side_by_side.report import Report

from course_lib.finetuning import RECIPES, finetune

HEADING = ("seed", "test accuracy", "training s", "whole run s", "expected s", "peak GB", "stored")
LONGEST_DEFAULT_RUN = 7 * 60  # seconds


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=list(RECIPES), default="default", help="the recipe")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ... (fewer than 5: a trial)")
    parser.add_argument("--data", default="movie_reviews", help="the corpus (another than movie_reviews: a trial)")
    return parser.parse_args(arguments)


def one_seed(asked: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The row of a seed, trained now or read from the store."""
    config = {"data": asked.data, "recipe": asked.preset, "seed": seed}
    run = finetune.run(config, files=True)
    kept = ("test_accuracy", "test_rows", "training_seconds", "peak_bytes")
    whole = {"seconds": run.seconds, "expected_seconds": run.expected_seconds, "stored": run.source == "stored"}
    return {"seed": seed, **{key: run.result[key] for key in kept}, **whole}


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    return (
        str(row["seed"]),
        f"{row['test_accuracy']:.2%}",
        f"{row['training_seconds']:.0f}",
        f"{row['seconds']:.0f}",
        f"{row['expected_seconds']:.0f}" if row["expected_seconds"] else "-",
        f"{row['peak_bytes'] / 1e9:.2f}",
        "yes" if row["stored"] else "no",
    )


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Mean and standard deviation (n - 1) of the accuracy in points, mean seconds of a run."""
    points = [100 * row["test_accuracy"] for row in rows]
    return {
        "mean": mean(points),
        "standard_deviation": stdev(points) if len(points) > 1 else None,
        "lowest": min(points),
        "highest": max(points),
        "seconds_a_run": mean(row["seconds"] for row in rows),
    }


def claims(preset: str, rows: Sequence[dict[str, Any]]) -> list[Claim]:
    """What is promised for the recipe; nothing for `quick`."""
    found = summary(rows)
    if preset == "default":
        slowest = max(row["seconds"] for row in rows)
        return [
            Claim("default: lowest test accuracy over the seeds, %", 86.0, found["lowest"]),
            Claim("default: longest run, s", LONGEST_DEFAULT_RUN, slowest, at_most=True),
        ]
    if preset == "best":
        return [
            Claim("best: mean test accuracy, %", 88.0, found["mean"]),
            Claim("best: standard deviation over the seeds, points", 0.5, found["standard_deviation"], at_most=True),
        ]
    return []


def main(asked: argparse.Namespace) -> None:
    """Seed after seed."""
    trial = asked.seeds < 5 or asked.data != "movie_reviews"
    report = Report(f"seeds-{asked.preset}", vars(asked), trial)
    for seed in range(asked.seeds):
        report.add(one_seed(asked, seed))
        print("; ".join(map(" ".join, zip(HEADING, line(report.rows[-1]), strict=True))), flush=True)
    found = report.content["summary"] = summary(report.rows)
    report.close(HEADING, [line(row) for row in report.rows], claims(asked.preset, report.rows))
    spread = found["standard_deviation"]
    print(
        f"{asked.preset}: {found['mean']:.2f} %"
        + (f", standard deviation {spread:.2f}" if spread is not None else "")
        + f" over {len(report.rows)} seeds; {found['seconds_a_run']:.0f} s a run"
    )


if __name__ == "__main__":
    main(options())
