"""`python -m course_lib attack`: adversarial texts against a saved model."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.commands.inputs import (
    add_data,
    add_model,
    check_output_file,
    find_label,
    garbage_collector_paused,
    labels_of,
    load_data,
    load_model,
    load_test_part,
    say,
    write_text,
)
from course_lib.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from course_lib.attacks import AttackReport

_FIGURES = ("success_rate", "accuracy", "accuracy_under_attack", "queries_per_text", "words_changed")
_SURROGATE_FIGURES = ("surrogate_queries_per_text", "surrogate_seconds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, recipe and sentences."""
    add_model(parser)
    parser.add_argument("--recipe", default="deepwordbug", help="the attack, or list for all names (deepwordbug)")
    add_data(parser, "a corpus or a CSV file, whose test part is attacked (movie_reviews)")
    parser.add_argument("--n", type=int, default=100, help="how many sentences of the test part (100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the attack's random choices (0)")
    parser.add_argument("--target", help="the label that the model should predict, instead of any wrong one")
    parser.add_argument("--budget", type=int, help="the most queries of the model for one sentence (no limit)")
    parser.add_argument(
        "--surrogate",
        nargs="?",
        const="",
        metavar="MODEL",
        help="a cheaper model chooses what the model is queried for, so that fewer queries suffice: a saved model, or "
        "without MODEL a linear one, trained on the training part of --data",
    )
    parser.add_argument("--html", type=Path, help="write the texts side by side, with changes marked, to this file")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """The attack's figures, and with --json each text with its original."""
    with garbage_collector_paused():
        from course_lib.attacks import RECIPES, Targeted, recipe, similarity
        from course_lib.attacks.recipes import attack_cost
        from course_lib.text.classifiers import check_classifier

    if options.recipe == "list":
        names = {name: (make.__doc__ or "").splitlines()[0] for name, make in RECIPES.items()}
        return {"recipes": names}, [f"{name:18} {what}" for name, what in names.items()], 0
    if options.n < 1:
        raise BadInput(f"--n is {options.n}", "use 1 or more")
    if options.html:
        check_output_file(options.html, "--html")
    attack = replace(recipe(options.recipe), query_budget=options.budget)
    frame = load_test_part(options)
    classifier = load_model(options.model)
    check_classifier(classifier, f"--model {options.model}")
    if options.target is not None:
        label = find_label(classifier, options.target)
        attack = replace(attack, goal=Targeted(classifier.classes_.tolist().index(label)))
    texts, labels = frame["text"].tolist(), labels_of(frame, classifier)
    cost = attack_cost(attack.name, classifier, texts)
    if cost is not None:
        say(
            f"Without a surrogate this would take {cost}."
            if options.surrogate is not None
            else f"This will take {cost}."
        )
    surrogate = None if options.surrogate is None else _surrogate(classifier, options)
    report = attack.run(classifier, texts, labels, seed=options.seed, surrogate=surrogate)
    won = [result for result in report.results if result.status == "succeeded"]
    near = similarity([one.text for one in won], [one.adversarial for one in won])
    if options.html:
        _write_html(options.html, report)
    return _json(report, options, near), [str(attack), "", *_lines(report, near)], 0


def _surrogate(classifier: Any, options: argparse.Namespace) -> Any:
    """The saved model of `--surrogate`, or TF-IDF with logistic regression, fitted to the training part of `--data`.

    Raises:
        BadInput: there is no such model; a class of the model that the training part does not have.
    """
    if options.surrogate:
        return load_model(options.surrogate)
    from course_lib import baselines

    frame = load_data(options)
    train = frame[frame["split"] == "train"]
    labels = labels_of(train, classifier)
    if missing := [label for label in classifier.classes_.tolist() if label not in labels]:
        raise BadInput(
            f"--surrogate is trained on --data {options.data}, whose training part has no text with the label "
            f"{missing[0]!r}",
            "give texts of all classes, or leave --surrogate out",
        )
    return baselines.tfidf_logistic().fit(train["text"].tolist(), labels)


def _write_html(file: Path, report: AttackReport) -> None:
    from course_lib.attacks import side_by_side

    pairs = [(one.text, one.adversarial) for one in report.results if one.status == "succeeded"]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{report.recipe}</title>{side_by_side(pairs)}'
    write_text(file, page + "</html>\n", "--html")


def _json(report: AttackReport, options: argparse.Namespace, near: np.ndarray[Any, Any]) -> dict[str, Any]:
    names = (*_FIGURES, *_SURROGATE_FIGURES) if options.surrogate is not None else _FIGURES
    figures = {name: getattr(report, name) for name in names}
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
        "" if shown else "No attack succeeded.",
        f"accuracy               {report.accuracy:.1%} of {len(report.results)} texts",
        f"accuracy under attack  {report.accuracy_under_attack:.1%}",
        f"success rate           {report.success_rate:.1%} of the texts that were classified correctly before",
        f"words changed          {report.words_changed:.1%} of the words of a text",
        f"similarity             {near.mean():.2f} (cosine of sentence vectors)" if len(near) else "",
        f"queries                {report.queries_per_text:.1f} per text"
        + (f", and {report.surrogate_queries_per_text:.1f} of the surrogate" if report.surrogate_seconds else ""),
        f"time                   {report.seconds:.1f} s, {report.model_seconds:.1f} s of it in the model",
    ]
