"""Peak memory of fine-tuning at batch 32: measured, estimated beforehand, and beside transformers' Trainer.

python tests/benchmarks/bench_memory.py [--steps 60]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from side_by_side.claims import Claim, off_by
from side_by_side.memory_runs import estimate, measure
from side_by_side.process import in_fresh_process
from side_by_side.report import Report

from course_lib import machine

HEADING = ("contender", "precision", "peak GB", "before GB", "estimate GB", "measured / estimate")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60, help="training steps (fewer than 60: a trial)")
    parser.add_argument("--sides", default="ours,trainer", help="whose memory: ours, trainer or both")
    return parser.parse_args(arguments)


def contenders(sides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Side and precision: each side in float32, and in what the hardware multiplies fastest."""
    fast = str(machine.precision()).removeprefix("torch.")
    for side in sides:
        for precision in dict.fromkeys([fast, "float32"]):
            yield side, precision


def claims(rows: Sequence[dict[str, Any]]) -> list[Claim]:
    """The estimate holds for the recipe as it runs here, and no peer needs less."""
    found = []
    peaks = {(row["side"], row["precision"]): row["peak_bytes"] for row in rows}
    for row in (row for row in rows if row["side"] == "ours"):
        text = f"fine-tuning in {row['precision']}"
        missed = off_by(row["estimate_bytes"], row["peak_bytes"])
        found.append(Claim(f"{text}: factor between peak and estimate", 1.5, missed, at_most=True))
        theirs = peaks.get(("trainer", row["precision"]))
        if theirs:
            found.append(Claim(f"{text}: our peak over the Trainer's", 1.0, row["peak_bytes"] / theirs, at_most=True))
    return found


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    estimated = row["estimate_bytes"]
    return (
        row["side"],
        row["precision"],
        f"{row['peak_bytes'] / 1e9:.2f}",
        f"{row['before_bytes'] / 1e9:.2f}",
        f"{estimated / 1e9:.2f}" if estimated else "-",
        f"{row['peak_bytes'] / estimated:.2f}" if estimated else "-",
    )


def main(asked: argparse.Namespace) -> None:
    """Each contender in its own process: memory that an earlier one left would count as its own."""
    report = Report("memory", vars(asked), trial=asked.steps < 60)
    expected = estimate()
    for side, precision in contenders(asked.sides.split(",")):
        measured = in_fresh_process(measure, {"side": side, "precision": precision, "steps": asked.steps})
        estimated = expected if side == "ours" else None
        report.add({"side": side, "precision": precision, "estimate_bytes": estimated, **measured})
    report.close(HEADING, [line(row) for row in report.rows], claims(report.rows))


if __name__ == "__main__":
    main(options())
