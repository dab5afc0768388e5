"""Pretraining (masked words): the course against transformers' Trainer with its own data collator.

python tests/benchmarks/bench_pretrain.py                    # speed, time to a loss, cost by tokens
python tests/benchmarks/bench_pretrain.py --parts speed --seconds 10
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from side_by_side.claims import Claim
from side_by_side.pretraining_runs import contenders, cost_of_tokens, seconds_to_loss, speed, trainer_loss
from side_by_side.process import in_fresh_process
from side_by_side.report import Report

from course_lib import machine

PARTS = ("speed", "loss", "tokens")
HEADING = ("contender", "tokens/s", "GFLOP/s", "share of peak", "s", "to loss", "load")
SPANS = (16_384, 65_536, 262_144)  # tokens: a factor of 16 from first to last


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=45, help="measured for each speed (under 30: a trial)")
    parser.add_argument(
        "--trainer-seconds", type=float, default=300, help="that the Trainer trains (under 300: a trial)"
    )
    return parser.parse_args(arguments)


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""

    def shown(name: str, form: str) -> str:
        return format(row[name], form) if row.get(name) is not None else "-"

    return (
        row["name"], shown("tokens_a_second", ".0f"), shown("gflops", ".0f"), shown("share_of_peak", ".1%"),
        shown("seconds", ".1f"), shown("loss", ".3f"), shown("load_before", ""),
    )  # fmt: skip


def measure_speed(report: Report, seconds: float, fast: str) -> list[Claim]:
    """Tokens a second of everybody."""
    found = {}
    for contender in contenders(fast):
        row = in_fresh_process(speed, {"contender": asdict(contender), "seconds": seconds})
        found[contender.name] = row
        report.add({"name": contender.name, "part": "speed", **row})
        print("; ".join(map(" ".join, zip(HEADING, line(report.rows[-1]), strict=True))), flush=True)
    claims = []
    for mark in dict.fromkeys(["", "" if fast == "float32" else f"-{fast}"]):
        kind, mine = mark[1:] or "float32", found[f"ours{mark}"]
        claims += [
            Claim(f"{kind}: training's share of the measured matmul peak", 0.75, mine["share_of_peak"]),
            _times(f"{kind}: tokens a second over Trainer, a sentence a row", 5, mine, found[f"trainer{mark}"]),
            _times(f"{kind}: tokens a second over Trainer, texts grouped", 2, mine, found[f"trainer-grouped{mark}"]),
        ]
    return claims


def _times(text: str, target: float, ours: dict[str, Any], theirs: dict[str, Any]) -> Claim:
    return Claim(text, target, ours["tokens_a_second"] / theirs["tokens_a_second"])


def measure_loss(report: Report, seconds: float, fast: str) -> list[Claim]:
    """Time to the loss that the Trainer at its defaults has after so many seconds."""
    by_name = {contender.name: asdict(contender) for contender in contenders(fast)}
    peer = in_fresh_process(trainer_loss, {"contender": by_name["trainer"], "seconds": seconds})
    report.add({"name": "trainer to a loss", "part": "loss", **peer})
    ours = by_name["ours" if fast == "float32" else f"ours-{fast}"]
    mine = in_fresh_process(seconds_to_loss, {"contender": ours, "loss": peer["loss"], "tokens": 400_000})
    report.add({"name": "ours to that loss", "part": "loss", "loss": peer["loss"], **mine})
    ratio = peer["seconds"] / mine["seconds"] if mine["seconds"] else None
    return [Claim("seconds to the same held-out loss, Trainer's over ours", 8, ratio)]


def measure_tokens(report: Report, fast: str) -> list[Claim]:
    """Seconds for 1, 4 and 16 times as many tokens."""
    ours = asdict(next(c for c in contenders(fast) if c.side == "ours" and c.precision == fast))
    rates = []
    for tokens in SPANS:
        row = in_fresh_process(cost_of_tokens, {"contender": ours, "tokens": tokens})
        rates.append(row["seconds"] / row["tokens"])
        report.add({"name": f"ours, {row['tokens']:,} tokens", "part": "tokens", **row})
    spread = max(rates) / min(rates)
    return [Claim("seconds a token, slowest over fastest of 1x, 4x, 16x tokens", 1.25, spread, at_most=True)]


def main(asked: argparse.Namespace) -> None:
    """Part after part."""
    parts, fast = asked.parts.split(","), str(machine.precision()).removeprefix("torch.")
    if unknown := sorted(set(parts) - set(PARTS)):
        raise SystemExit(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    trial = asked.seconds < 30 or asked.trainer_seconds < 300 or set(parts) != set(PARTS)
    report = Report("pretrain", vars(asked), trial)
    claims: list[Claim] = []
    if "speed" in parts:
        claims += measure_speed(report, asked.seconds, fast)
    if "loss" in parts:
        claims += measure_loss(report, asked.trainer_seconds, fast)
    if "tokens" in parts:
        claims += measure_tokens(report, fast)
    report.close(HEADING, [line(row) for row in report.rows], claims)


if __name__ == "__main__":
    main(options())
