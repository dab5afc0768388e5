"""What the course says a cell will take against what it takes: seconds, predicted and measured.

python tests/benchmarks/bench_estimate.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from side_by_side.claims import Claim, off_by
from side_by_side.clock import take_turns
from side_by_side.report import Report
from side_by_side.saved_models import saved_classifier

from course_lib import corpora
from course_lib.classifier import TextClassifier
from course_lib.finetuning import fit_recipe, recipe, recipe_cost
from course_lib.training import TrainingConfig

HEADING = ("cell", "predicted s", "measured s", "predicted / measured", "rounds")
Cell = tuple[str, float, Callable[[], object]]  # name, predicted seconds, the work


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times that each cell runs; the median counts")
    parser.add_argument("--train-rows", type=int, default=600, help="sentences to fine-tune on (fewer: a trial)")
    parser.add_argument("--predict-rows", type=int, default=1000, help="sentences to predict (fewer: a trial)")
    return parser.parse_args(arguments)


def cells(asked: argparse.Namespace, model: Path) -> Iterator[Cell]:
    """Typical cells of the notebooks."""
    frame = corpora.part("movie_reviews", "train", limit=asked.train_rows)
    texts, labels = frame["text"].tolist(), frame["label"].to_numpy()
    default = recipe("default")
    short = replace(default, training=replace(default.training, epochs=1))
    name = f"fine-tune {len(frame)} sentences, 1 epoch"
    yield f"{name}, default recipe", recipe_cost(short, frame).seconds, lambda: fit_recipe(short, frame)
    plain = TextClassifier(training=TrainingConfig(epochs=1))
    yield f"{name}, TextClassifier", plain.fit_cost(texts).seconds, lambda: plain.fit(texts, labels)
    classifier = TextClassifier.from_pretrained(model)
    test = corpora.part("movie_reviews", "train", limit=asked.predict_rows)["text"].tolist()
    cost = classifier.predict_cost(test).seconds
    yield f"predict {len(test)} sentences", cost, lambda: classifier.predict_proba(test)


def rows_of(all_cells: Sequence[Cell], rounds: int) -> Iterator[dict[str, Any]]:
    """One row a cell. The estimates were made beforehand, as in a notebook."""
    seconds = take_turns({name: work for name, _, work in all_cells}, rounds)
    for name, predicted, _ in all_cells:
        yield {"cell": name, "predicted_seconds": predicted, "measured_seconds": seconds[name]}


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    predicted, measured = row["predicted_seconds"], median(row["measured_seconds"])
    times = str(len(row["measured_seconds"]))
    return row["cell"], f"{predicted:.1f}", f"{measured:.1f}", f"{predicted / measured:.2f}", times


def claims(rows: Sequence[dict[str, Any]]) -> list[Claim]:
    """Each estimate is right within a factor of 1.5."""
    return [
        Claim(
            f"{row['cell']}: factor between prediction and measurement",
            1.5,
            off_by(row["predicted_seconds"], median(row["measured_seconds"])),
            at_most=True,
        )
        for row in rows
    ]


def main(asked: argparse.Namespace) -> None:
    """Predicts first, measures then."""
    report = Report("estimate", vars(asked), asked.rounds < 3 or asked.train_rows < 600 or asked.predict_rows < 1000)
    with tempfile.TemporaryDirectory() as scratch:
        model, _ = saved_classifier(Path(scratch))
        for row in rows_of(list(cells(asked, model)), asked.rounds):
            report.add(row)
    report.close(HEADING, [line(row) for row in report.rows], claims(report.rows))


if __name__ == "__main__":
    main(options())
