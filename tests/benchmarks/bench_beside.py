"""Processor time of training beside other programs, with what course_lib sets for OpenMP's threads and without it.

python tests/benchmarks/bench_beside.py [--rounds 3] [--others passive 10000]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import median
from typing import Any

from side_by_side.beside_runs import measure
from side_by_side.claims import Claim
from side_by_side.process import in_fresh_process
from side_by_side.report import Report

HEADING = ("threads wait", "busy processes", "processor s", "wall s", "processor, beside / alone")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (fewer than 3: a trial)")
    parser.add_argument("--steps", type=int, default=20, help="training steps of 32 sentences (fewer than 20: a trial)")
    parser.add_argument("--others", nargs="*", default=[], help="also passive, or values of GOMP_SPINCOUNT")
    return parser.parse_args(arguments)


def seconds(rows: Sequence[dict[str, Any]], waiting: str, busy: int, clock: str = "processor_seconds") -> float:
    """The median over the rounds."""
    return median(row[clock] for row in rows if (row["waiting"], row["busy"]) == (waiting, busy))


def line(rows: Sequence[dict[str, Any]], waiting: str, busy: int) -> tuple[str, ...]:
    """A row of the table."""
    own, alone = seconds(rows, waiting, busy), seconds(rows, waiting, 0)
    return waiting, str(busy), f"{own:.1f}", f"{seconds(rows, waiting, busy, 'wall_seconds'):.1f}", f"{own / alone:.2f}"


def claims(rows: Sequence[dict[str, Any]]) -> list[Claim]:
    """Beside other programs the setting saves processor time; alone it costs no time."""
    beside = seconds(rows, "course", 2) / seconds(rows, "course", 0)
    gain = seconds(rows, "default", 2) / seconds(rows, "course", 2)
    alone = seconds(rows, "course", 0, "wall_seconds") / seconds(rows, "default", 0, "wall_seconds")
    return [
        Claim("processor time beside two busy processes, over that alone", 1.3, beside, at_most=True),
        Claim("beside two busy processes, OpenMP's own processor time over ours", 1.5, gain),
        Claim("wall time alone, over that with OpenMP's own waiting", 1.05, alone, at_most=True),
    ]


def main(asked: argparse.Namespace) -> None:
    """All contenders take turns, each in a fresh process: the variables are read when torch is loaded."""
    report = Report("beside", vars(asked), trial=asked.rounds < 3 or asked.steps < 20)
    contenders = [(waiting, busy) for waiting in ("course", "default", *asked.others) for busy in (0, 2)]
    for _ in range(asked.rounds):
        for waiting, busy in contenders:
            argument = {"waiting": waiting, "busy": busy, "steps": asked.steps}
            report.add({**argument, **in_fresh_process(measure, argument)})
    report.close(HEADING, [line(report.rows, *contender) for contender in contenders], claims(report.rows))


if __name__ == "__main__":
    main(options())
