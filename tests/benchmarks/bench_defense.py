"""The default defense against typing errors and synonyms: accuracy with and without it, and what the training costs.

python tests/benchmarks/bench_defense.py [--seeds 3] [--n 200] [--defences none "spelling and words"]

Every part is a stored run of the course: a second call continues where the first was interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from side_by_side.claims import Claim
from side_by_side.report import Report
from side_by_side.surroundings import load

from course_lib.defenses import DEFAULT_DEFENSE, DEFENSES, defend, defense_study
from course_lib.finetuning import SENTIMENT, finetune

ATTACKS = ("deepwordbug", "pwws")
Row = dict[str, Any]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="of training and attack (fewer than 3: a trial)")
    parser.add_argument("--n", type=int, default=100, help="test sentences that are attacked (fewer than 100: a trial)")
    parser.add_argument("--defences", nargs="+", choices=list(DEFENSES), default=["none", DEFAULT_DEFENSE])
    return parser.parse_args(arguments)


def main(asked: argparse.Namespace) -> None:
    """Defence by defense and seed by seed; each row is written when it is there."""
    trial = asked.seeds < 3 or asked.n < 100
    report = Report("defense", vars(asked), trial)
    for seed in range(asked.seeds):
        for name in asked.defences:
            report.add(_row(name, seed, asked.n))
    report.close(HEADING, [line(row) for row in report.rows], claims(report.rows))


def _row(name: str, seed: int, n: int) -> Row:
    before = load()
    usual = finetune.run(SENTIMENT | {"seed": seed})
    training = usual.result["training_seconds"]
    if name == DEFAULT_DEFENSE:
        training = defend.run({"seed": seed}).result["training_seconds"]
    config = {"defence": name, "attacks": list(ATTACKS), "n": n, "seed": seed}
    run = defense_study.run(config, files=True)  # what this machine computes, not what ships
    return {"defence": name, "seed": seed, "load": before, "training_seconds": training,
            "usual_training_seconds": usual.result["training_seconds"], **run.result}  # fmt: skip


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Means over the seeds of the default defense, beside the undefended model."""
    found: list[Claim] = []
    mine = [row for row in rows if row["defence"] == DEFAULT_DEFENSE]
    bare = [row for row in rows if row["defence"] == "none"]
    if not mine:
        return found
    for name in ATTACKS:
        beside = f" (undefended {100 * mean([row['under'][name] for row in bare]):.1f} %)" if bare else ""
        found.append(Claim(f"accuracy under {name}{beside}", 0.5, mean([row["under"][name] for row in mine])))
    if bare:
        lost = mean([row["clean_accuracy"] for row in bare]) - mean([row["clean_accuracy"] for row in mine])
        found.append(Claim("points of clean accuracy lost", 1.0, 100 * lost, at_most=True))
    longest = max(row["training_seconds"] for row in mine) / 60
    found.append(Claim("minutes of training, the longest", 15, longest, at_most=True))
    times = mean([row["training_seconds"] / row["usual_training_seconds"] for row in mine])
    found.append(Claim("training time over the usual one's", 2.5, times, at_most=True))
    return found


def mean(values: Sequence[float]) -> float:
    """Of at least one number."""
    return sum(values) / len(values)


HEADING = ("defence", "seed", "clean", *(f"under {name}" for name in ATTACKS), "training s", "ms a text")


def line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    return (
        row["defence"], str(row["seed"]), f"{row['clean_accuracy']:.1%}",
        *(f"{row['under'][name]:.1%}" for name in ATTACKS),
        f"{row['training_seconds']:.0f}", f"{1000 * row['seconds_a_text']:.1f}",
    )  # fmt: skip


if __name__ == "__main__":
    main(options())
