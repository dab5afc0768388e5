"""Seconds until a model is right on 85 % of the movie reviews' test part: the course against transformers' Trainer.

python tests/benchmarks/bench_finetune.py                                    # everybody, one seed
python tests/benchmarks/bench_finetune.py --contenders ours,trainer --lr 5e-5 --seeds 3 --resume
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from side_by_side.contenders import Contender, all_contenders, claims
from side_by_side.process import in_fresh_process
from side_by_side.report import Report
from side_by_side.training_runs import measure

from course_lib import machine

HEADING = ("contender", "seed", "precision", "rate", "s to target", "epochs", "best", "at the end", "rows/s", "load")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", help="names, separated by commas (default: all that race here)")
    parser.add_argument("--list", action="store_true", help="name the contenders and end")
    parser.add_argument("--target", type=float, default=0.85, help="test accuracy to reach")
    parser.add_argument("--lr", type=float, nargs="*", default=[], help="more learning rates for the Trainer")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each contender; the median counts")
    parser.add_argument("--every", type=float, default=0.25, help="share of an epoch between two looks at the accuracy")
    parser.add_argument("--full", action="store_true", help="do not stop a run that has reached the target")
    parser.add_argument("--resume", action="store_true", help="keep rows that an earlier run measured here")
    parser.add_argument("--rows", type=int, help="training rows (a trial, not a result)")
    parser.add_argument("--test-rows", type=int, help="test rows (a trial, not a result)")
    return parser.parse_args(arguments)


def chosen(names: str | None, known: Sequence[Contender]) -> list[Contender]:
    """The contenders by name, all when nobody is named.

    Raises:
        SystemExit: nobody has that name.
    """
    by_name = {contender.name: contender for contender in known}
    wanted = names.split(",") if names else list(by_name)
    if unknown := sorted(set(wanted) - set(by_name)):
        raise SystemExit(f"no contender is called {', '.join(unknown)}; there are {', '.join(by_name)}")
    return [by_name[name] for name in wanted]


def race(contender: Contender, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """One contender's row, measured in a fresh process."""
    how = {
        "contender": asdict(contender),
        "seed": seed,
        "rows": asked.rows,
        "test_rows": asked.test_rows,
        "target": asked.target,
        "fraction": asked.every,
        "to_the_end": asked.full,
    }
    return {"contender": contender.settings(), "seed": seed, **in_fresh_process(measure, how)}


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    contender, arrived = row["contender"], row["seconds_to_target"] is not None
    return (
        contender["name"],
        str(row["seed"]),
        contender["precision"],
        f"{contender['learning_rate']:g}",
        f"{row['seconds_to_target']:.1f}" if arrived else f"not in {row['seconds']:.1f}",
        f"{row['epochs_to_target']:.2f}" if arrived else "-",
        f"{row['best_accuracy']:.2%}",
        f"{row['final_accuracy']:.2%}" if row["final_accuracy"] is not None else "stopped",
        f"{row['rows_a_second']:.0f}",
        f"{row['load_before']}",
    )


def main(asked: argparse.Namespace) -> None:
    """Races everybody, one after the other."""
    fast = str(machine.precision()).removeprefix("torch.")
    contenders = chosen(asked.contenders, all_contenders(fast, list(dict.fromkeys([1e-4, *asked.lr]))))
    if asked.list:
        print("\n".join(contender.name for contender in contenders))
        return
    trial = asked.rows is not None or asked.test_rows is not None
    settings = {key: getattr(asked, key) for key in ("target", "every", "full", "rows", "test_rows")}
    report = Report("finetune", settings, trial)
    if asked.resume:
        print(f"{report.resume()} rows kept from {report.file.name}: same device, versions and settings")
    for contender in contenders:
        for seed in range(asked.seeds):
            if any(row["contender"] == contender.settings() and row["seed"] == seed for row in report.rows):
                continue
            report.add(race(contender, seed, asked))
            print("; ".join(map(" ".join, zip(HEADING, line(report.rows[-1]), strict=True))), flush=True)
    report.close(HEADING, [line(row) for row in report.rows], claims(report.rows, fast))


if __name__ == "__main__":
    main(options())
