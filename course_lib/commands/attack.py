"""`python -m course_lib attack`: adversarial texts against a saved model."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.attacks import AttackReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, recipe and sentences."""
    parser.add_argument("--model", default="sentiment", help="a saved model's folder, or sentiment (made when missing)")
    parser.add_argument("--recipe", default="deepwordbug", help="the attack (deepwordbug)")
    parser.add_argument("--data", default="movie_reviews", help="a corpus whose test part is attacked (movie_reviews)")
    parser.add_argument("--n", type=int, default=100, help="sentences, from the test part's beginning (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the attack's draws (0)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """The attack's figures, and with --json each text beside the original."""
    from course_lib import corpora
    from course_lib.attacks import recipe
    from course_lib.classifier import TextClassifier
    from course_lib.errors import BadInput

    if options.n < 1:
        raise BadInput(f"--n is {options.n}", "use 1 or more")
    attack = recipe(options.recipe)
    frame = corpora.part(options.data, "test", options.n)
    classifier = TextClassifier.from_pretrained(options.model)
    report = attack.run(classifier, frame["text"].tolist(), frame["label"].to_numpy(), seed=options.seed)
    return _json(report, options), [str(attack), "", *_lines(report)], 0


def _json(report: AttackReport, options: argparse.Namespace) -> dict[str, Any]:
    figures = {
        name: getattr(report, name)
        for name in ("success_rate", "accuracy", "accuracy_under_attack", "queries_per_text", "words_changed")
    }
    return {
        "model": str(options.model), "recipe": report.recipe, "data": options.data, "n": len(report.results),
        "seed": report.seed, **{name: None if math.isnan(x) else round(x, 4) for name, x in figures.items()},
        "seconds": round(report.seconds, 2), "model_seconds": round(report.model_seconds, 2),
        "texts": [asdict(result) for result in report.results],
    }  # fmt: skip


def _lines(report: AttackReport) -> list[str]:
    won = [result for result in report.results if result.status == "succeeded"]
    shown = [line for one in won[:3] for line in (f"  - {one.text}", f"  + {one.adversarial}", "")]
    return [
        *shown,
        f"accuracy               {report.accuracy:.1%} of {len(report.results)} texts",
        f"accuracy under attack  {report.accuracy_under_attack:.1%}",
        f"success rate           {report.success_rate:.1%} of the texts that were right before",
        f"words changed          {report.words_changed:.1%} of a text",
        f"queries                {report.queries_per_text:.1f} a text",
        f"time                   {report.seconds:.1f} s, {report.model_seconds:.1f} s of it in the model",
    ]
