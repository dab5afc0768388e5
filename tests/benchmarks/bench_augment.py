"""What augmentation is worth: test accuracy with and without it, by number of labels, over several seeds.

python tests/benchmarks/bench_augment.py --labels 100 500 --methods eda aeda --seeds 5

Both sides take the same optimizer steps on as many sentences: with augmentation, half of them are rewrites. `none` is
always run. Finished runs are stored with the course's other runs: an interrupted call continues where it stopped, and
a call for one part shows the other parts that were run before. What was never run is listed.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd
from side_by_side.claims import Claim
from side_by_side.report import Report

from course_lib import corpora
from course_lib.augmentation import METHODS, as_gains, augmentation_study
from course_lib.augmentation.ablation import NONE

SIZES = ("100", "500", "2000", "all")
COMPARED = ("eda", "aeda", "contextual", "typo")
SEEDS = 5
HEADING = ("labels, method", "seeds", "test accuracy", "gain, points", "95 % interval")

Config = dict[str, Any]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", nargs="+", type=size, default=list(SIZES), help="numbers of sentences, or all")
    parser.add_argument("--methods", nargs="+", choices=METHODS[1:], default=list(COMPARED), help="besides none")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds 0, 1, ... (fewer than 5: a trial)")
    asked = parser.parse_args(arguments)
    if asked.seeds < 1:
        parser.error(f"--seeds is {asked.seeds}: use 1 or more")
    return asked


def size(text: str) -> str:
    """A number of labels as it was written, if it is one."""
    if text != "all" and not (text.isdecimal() and int(text) > 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of labels: use 2 or more, or all")
    return text


def configs(labels: Sequence[str], methods: Sequence[str], seeds: int) -> list[Config]:
    """All runs: small sets first, and all methods of a seed before the next seed, so that pairs are complete early."""
    every = len(corpora.part("movie_reviews", "train"))
    sizes = sorted({every if text == "all" else int(text) for text in labels})
    runs = product(sizes, range(seeds), dict.fromkeys([NONE, *methods]))
    return [{"labels": size, "method": method, "seed": seed} for size, seed, method in runs]


def stored_besides(wanted: Sequence[Config], whole: Sequence[Config]) -> list[Config]:
    """Runs of the whole benchmark that were not asked for now, but were made before, with their `none`."""
    made = [one for one in whole if one not in wanted and (augmentation_study.folder(one) / "run.json").exists()]
    return [one for one in made if (none := one | {"method": NONE}) in made or none in wanted]


def not_run(done: Sequence[Config], whole: Sequence[Config]) -> list[str]:
    """What the whole benchmark has and these runs lack, in words."""
    lacking = Counter((one["labels"], one["method"]) for one in whole if one not in done)
    return [f"{labels:,} labels, {method}: {seeds} of {SEEDS} seeds" for (labels, method), seeds in lacking.items()]


def claims(gains: pd.DataFrame) -> list[Claim]:
    """That each method helps for each size for certain: the lower end of its gain's interval is above 0."""
    return [
        Claim(
            f"{row['labels']:,} labels, {row['method']}: gain of {row['gain']:+.2f} points, lower end of its interval",
            0.0,
            None if math.isnan(row["low"]) else row["low"],
        )
        for row in gains.to_dict("records")
        if row["method"] != NONE
    ]


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    between = "one seed: none" if math.isnan(row["low"]) else f"[{row['low']:+.2f}, {row['high']:+.2f}]"
    gained = (f"{row['gain']:+.2f}", between) if row["method"] != NONE else ("-", "-")
    return (f"{row['labels']:,}, {row['method']}", str(row["seeds"]), f"{row['accuracy']:.2%}", *gained)


def main(asked: argparse.Namespace) -> None:
    """Run after run."""
    wanted, whole = configs(asked.labels, asked.methods, asked.seeds), configs(SIZES, COMPARED, SEEDS)
    done = [*wanted, *stored_besides(wanted, whole)]
    report = Report("augment", vars(asked), trial=asked.seeds < SEEDS)
    print(f"{len(wanted)} runs. {augmentation_study.forecast(wanted)}", flush=True)
    for config in done:
        run = augmentation_study.run(config, files=True, show=False)  # what this machine computes, not what ships
        report.add({**run.config, **run.result, "seconds": run.seconds, "expected_seconds": run.expected_seconds})
        spent = "stored" if run.source == "stored" else f"{run.seconds:.0f} s"
        print(f"{config}: {run.result['test_accuracy']:.2%} in {run.result['steps']} steps ({spent})", flush=True)
    gains = as_gains(pd.DataFrame(report.rows))
    report.content["gains"] = gains.astype(object).where(gains.notna(), None).to_dict("records")
    left = report.content["not_run"] = not_run(done, whole)
    report.close(HEADING, [line(row) for row in gains.to_dict("records")], claims(gains))
    count = int((gains["method"] != NONE).sum())
    print("Intervals are Student's over the seeds, paired with none: they hold the luck of training, not of the test.")
    print(f"Of {count} such intervals about {count / 40:.1f} would lie above 0 by chance alone.")
    print("Not run:\n  " + "\n  ".join(left) if left else "All of the benchmark was run.")


if __name__ == "__main__":
    main(options())
