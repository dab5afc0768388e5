"""Attacks on the course's models as experiments.

Their results hold no text: a changed text is stored as its edits to a sentence of the test part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib import baselines, corpora
from course_lib.attacks.pgd import PGD, fgsm
from course_lib.attacks.recipes import QUERIES_PER_WORD, recipe
from course_lib.attacks.report import AttackReport, AttackResult
from course_lib.classifier import TextClassifier
from course_lib.experiments import Run, experiment
from course_lib.pretraining import LanguageModel, pseudo_perplexity

CORPUS = "movie_reviews"
DATA = ("course_encoder", "sentiment_ratings", "sentiment")  # what the results rest on


def _sentiment() -> TextClassifier:
    return TextClassifier.from_pretrained("sentiment")


def _tfidf() -> Any:
    train = corpora.part(CORPUS, "train")
    return baselines.tfidf_logistic().fit(train["text"].tolist(), train["label"])


# The models under attack: the fine-tuned one, and one that has only the training sentences in common with it.
MODELS: dict[str, Callable[[], Any]] = {"sentiment": _sentiment, "TF-IDF": _tfidf}


def _queries(config: Mapping[str, Any]) -> float:
    """About how many queries; those of TF-IDF cost next to nothing."""
    queries: float = config["n"] * QUERIES_PER_WORD.get(config["recipe"], 3.0)
    return queries if config["model"] == "sentiment" else queries / 50


def _outcomes(runs: Sequence[Run]) -> pd.DataFrame:
    """`as_attacks` of the runs' reports, with the model that was attacked."""
    table = pd.concat([as_attacks({run.config["recipe"]: report_of(run)}) for run in runs], ignore_index=True)
    return table.assign(model=[run.config["model"] for run in runs])


@experiment(
    "attack_study",
    cost=_queries,
    table=_outcomes,
    tolerance={"before": 0.05, "under": 0.08, "success": 0.1, "queries": 5.0, "words": 0.05, "attacked": 3},
    data=DATA,
)
def attack_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: `recipe` against `model` (of MODELS) on the first `n` test sentences, with `seed`.

    `report_of` makes a report of the stored run again.
    """
    test = corpora.part(CORPUS, "test", config["n"])
    classifier = MODELS[config["model"]]()
    report = recipe(config["recipe"]).run(classifier, test["text"].tolist(), test["label"].to_numpy(), config["seed"])
    return {
        "results": [_without_text(result) for result in report.results],
        "seconds": report.seconds,
        "model_seconds": report.model_seconds,
    }


def configurations(*recipes: str, model: str = "sentiment", n: int = 60, seed: int = 0) -> list[dict[str, Any]]:
    """One of `attack_study` for each recipe."""
    return [{"recipe": name, "n": n, "seed": seed, "model": model} for name in recipes]


def reports(
    *recipes: str, model: str = "sentiment", n: int = 60, seed: int = 0, fresh: bool = False
) -> dict[str, AttackReport]:
    """Reports of `attack_study` by recipe: those of the course's results, or computed here with `fresh`."""
    runs = attack_study.runs(configurations(*recipes, model=model, n=n, seed=seed), fresh=fresh)
    return {run.config["recipe"]: report_of(run) for run in runs}


def _without_text(result: AttackResult) -> dict[str, Any]:
    stored = asdict(result)
    del stored["text"], stored["adversarial"], stored["label"]
    return stored | {"edits": edits(result.text, result.adversarial)}


def edits(text: str, changed: str) -> list[tuple[int, int, str]]:
    """What turns one text into another: (from, to, characters that replace them), from left to right."""
    steps = SequenceMatcher(None, text, changed, autojunk=False).get_opcodes()
    return [(start, end, changed[low:high]) for kind, start, end, low, high in steps if kind != "equal"]


def edited(text: str, changes: Sequence[Sequence[Any]]) -> str:
    """The text with its `edits` made."""
    for start, end, new in reversed(changes):
        text = text[:start] + new + text[end:]
    return text


def report_of(run: Run) -> AttackReport:
    """The report of a run of `attack_study`."""
    test = corpora.part(CORPUS, "test", run.config["n"])
    results = []
    for stored, text, label in zip(run.result["results"], test["text"], test["label"], strict=True):
        facts = {**stored, "changed": tuple(stored["changed"]), "text": text, "label": label}
        results.append(AttackResult(adversarial=edited(text, facts.pop("edits")), **facts))
    seconds = (run.result["seconds"], run.result["model_seconds"])
    return AttackReport(run.config["recipe"], tuple(results), *seconds, run.config["seed"])


def _rises(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a run: recipe, texts, odder (rate of the texts whose pseudo-perplexity rises), times (median ratio)."""
    rows = []
    for run in runs:
        ratios = np.array(run.result["after"]) / np.array(run.result["before"])
        odder, times = float(np.mean(ratios > 1)), float(np.median(ratios))
        rows.append({"recipe": run.config["recipe"], "texts": len(ratios), "odder": odder, "times": times})
    return pd.DataFrame(rows)


@experiment(
    "perplexity_study",
    cost=lambda config: config["n"],
    table=_rises,
    tolerance={"texts": 5, "odder": 0.1, "times": 0.5},
    data=(*DATA, "course-words"),
)
def perplexity_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: pseudo-perplexities of the texts that an attack turned, before and after.

    `config` is that of the `attack_study`; its run is made where it is missing.
    """
    report = report_of(attack_study.run(config, show=False))
    won = [result for result in report.results if result.status == "succeeded"]
    model = LanguageModel.from_pretrained("course")
    before, after = ([getattr(result, name) for result in won] for name in ("text", "adversarial"))
    return {"before": pseudo_perplexity(model, before).tolist(), "after": pseudo_perplexity(model, after).tolist()}


RADII: list[dict[str, Any]] = [  # of `embedding_attack_study`: both methods in the L2 ball
    {"method": method, "norm": "l2", "epsilons": [0.0, 0.1, 0.2, 0.4, 0.8], "steps": 5, "n": 60, "seed": 0}
    for method in ("FGSM", "PGD")
]


def as_attacks(reports: Mapping[str, AttackReport]) -> pd.DataFrame:
    """One row a report: attack, texts, attacked, before and under (accuracies), success, queries, words (fraction)."""
    rows = [
        {
            "attack": name,
            "texts": len(report.results),
            "attacked": len(report.results) - report.count("skipped"),
            "before": report.accuracy,
            "under": report.accuracy_under_attack,
            "success": report.success_rate,
            "queries": report.queries_per_text,
            "words": report.words_changed,
        }
        for name, report in reports.items()
    ]
    return pd.DataFrame(rows)


def _embedding_attack(method: str, norm: str, epsilon: float, steps: int) -> PGD:
    return fgsm(epsilon, norm) if method == "FGSM" else PGD(epsilon, norm, steps)


def _radii(runs: Sequence[Run]) -> pd.DataFrame:
    """Rows of radii: method, norm, n, epsilon, accuracy."""
    rows = [
        {**{name: run.config[name] for name in ("method", "norm", "n")}, "epsilon": epsilon, "accuracy": accuracy}
        for run in runs
        for epsilon, accuracy in zip(run.config["epsilons"], run.result["accuracies"], strict=True)
    ]
    return pd.DataFrame(rows)


@experiment(
    "embedding_attack_study",
    cost=lambda config: config["n"] * len(config["epsilons"]) * (3 if config["method"] == "FGSM" else config["steps"]),
    table=_radii,
    tolerance={"accuracy": 0.06},
    data=DATA,
)
def embedding_attack_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: accuracy of the sentiment model at several radii of a ball in embedding space.

    `config`: `method` (FGSM or PGD), `norm`, `epsilons`, `steps` (of PGD), `n` test sentences, `seed`.
    """
    test, classifier = corpora.part(CORPUS, "test", config["n"]), _sentiment()
    accuracies = []
    for epsilon in config["epsilons"]:
        attack = _embedding_attack(config["method"], config["norm"], epsilon, config["steps"])
        report = attack.run(classifier, test["text"].tolist(), test["label"].to_numpy(), config["seed"])
        accuracies.append(report.accuracy_under_attack)
    return {"accuracies": accuracies}
