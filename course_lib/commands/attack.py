"""`python -m course_lib attack`: adversarial texts against a saved model."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from course_lib.attacks import Attack, AttackReport

_FIGURES = ("success_rate", "accuracy", "accuracy_under_attack", "queries_per_text", "words_changed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, recipe and sentences."""
    parser.add_argument(
        "--model", default="sentiment", help="a saved model's folder, or one that ships: sentiment (default), defended"
    )
    parser.add_argument("--recipe", default="deepwordbug", help="the attack, or list for all names (deepwordbug)")
    parser.add_argument("--data", default="movie_reviews", help="a corpus whose test part is attacked (movie_reviews)")
    parser.add_argument("--n", type=int, default=100, help="sentences, from the test part's beginning (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the attack's draws (0)")
    parser.add_argument("--target", help="the label that the model is to give, instead of any wrong one")
    parser.add_argument("--budget", type=int, help="queries that a sentence may cost (no bound)")
    parser.add_argument("--surrogate", action="store_true", help="search on an 8-bit export, confirm on the model")
    parser.add_argument("--html", type=Path, help="writes the texts beside each other, changes marked, to this file")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """The attack's figures, and with --json each text beside the original."""
    from course_lib import corpora
    from course_lib.attacks import RECIPES, similarity
    from course_lib.attacks.recipes import attack_cost
    from course_lib.defenses import load
    from course_lib.errors import BadInput

    if options.recipe == "list":
        names = {name: (make.__doc__ or "").splitlines()[0] for name, make in RECIPES.items()}
        return {"recipes": names}, [f"{name:18} {what}" for name, what in names.items()], 0
    if options.n < 1:
        raise BadInput(f"--n is {options.n}", "use 1 or more")
    frame = corpora.part(options.data, "test", options.n)
    attack = _attack(options)
    classifier = load(options.model)
    attack = _aimed(attack, options.target, classifier.classes_)
    texts = frame["text"].tolist()
    cost = attack_cost(attack.name, classifier, texts)
    if cost is not None:
        print(f"This will take {cost}.", file=sys.stderr, flush=True)
    with _surrogate(classifier, options.surrogate) as surrogate:
        report = attack.run(classifier, texts, frame["label"].to_numpy(), seed=options.seed, surrogate=surrogate)
    won = [result for result in report.results if result.status == "succeeded"]
    near = similarity([one.text for one in won], [one.adversarial for one in won])
    if options.html:
        _write_html(options.html, report)
    return _json(report, options, near), [str(attack), "", *_lines(report, near)], 0


@contextmanager
def _surrogate(classifier: Any, wanted: bool) -> Iterator[Any]:
    """The classifier in 8 bits, for ONNX Runtime; None where nobody wants it."""
    if not wanted:
        yield None
        return
    from course_lib.compression import Bits, OnnxClassifier, export_onnx

    with tempfile.TemporaryDirectory() as scratch:
        yield OnnxClassifier(export_onnx(classifier, Path(scratch) / "surrogate", Bits(8, 8)).folder)


def _attack(options: argparse.Namespace) -> Attack:
    from course_lib.attacks import recipe

    return replace(recipe(options.recipe), query_budget=options.budget)


def _aimed(attack: Attack, target: str | None, classes: np.ndarray[Any, Any]) -> Attack:
    """The attack with the label that the command line names as its goal."""
    from course_lib.attacks import Targeted
    from course_lib.errors import BadInput

    if target is None:
        return attack
    names = [str(label) for label in classes.tolist()]
    if target not in names:
        raise BadInput(f"--target is {target!r}, which the model does not know", f"use one of {', '.join(names)}")
    return replace(attack, goal=Targeted(names.index(target)))


def _write_html(file: Path, report: AttackReport) -> None:
    from course_lib.attacks import side_by_side
    from course_lib.checkpoints import write_atomically

    pairs = [(one.text, one.adversarial) for one in report.results if one.status == "succeeded"]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{report.recipe}</title>{side_by_side(pairs)}'
    write_atomically(file, page + "</html>\n")


def _json(report: AttackReport, options: argparse.Namespace, near: np.ndarray[Any, Any]) -> dict[str, Any]:
    figures = {name: getattr(report, name) for name in _FIGURES}
    figures["similarity"] = float(near.mean()) if len(near) else math.nan
    return {
        "model": str(options.model), "recipe": report.recipe, "data": options.data, "n": len(report.results),
        "seed": report.seed, **{name: None if math.isnan(x) else round(x, 4) for name, x in figures.items()},
        "seconds": round(report.seconds, 2), "model_seconds": round(report.model_seconds, 2),
        "texts": [asdict(result) for result in report.results],
    }  # fmt: skip


def _lines(report: AttackReport, near: np.ndarray[Any, Any]) -> list[str]:
    from course_lib.attacks import marked

    won = [result for result in report.results if result.status == "succeeded"]
    shown = [f"  {marked(one.text, one.adversarial)}" for one in won[:3]]
    return [
        *shown,
        "" if shown else "No text was turned.",
        f"accuracy               {report.accuracy:.1%} of {len(report.results)} texts",
        f"accuracy under attack  {report.accuracy_under_attack:.1%}",
        f"success rate           {report.success_rate:.1%} of the texts that were right before",
        f"words changed          {report.words_changed:.1%} of a text",
        f"similarity             {near.mean():.2f} (cosine of sentence vectors)" if len(near) else "",
        f"queries                {report.queries_per_text:.1f} a text",
        f"time                   {report.seconds:.1f} s, {report.model_seconds:.1f} s of it in the model",
    ]
