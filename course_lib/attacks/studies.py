"""Attacks that are made once and stored: the dear part of a notebook, read back at once the next time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from course_lib import baselines, corpora, experiments, machine
from course_lib.attacks.embedding import PGD, fgsm
from course_lib.attacks.recipes import attack_cost, recipe
from course_lib.attacks.report import AttackReport, AttackResult
from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput
from course_lib.experiments import Run
from course_lib.finetuning.recipes import sentiment_folder
from course_lib.pretraining import LanguageModel, pseudo_perplexity

DATA = "movie_reviews"
BACKWARD = 2  # times the work of a forward pass


def _sentiment() -> TextClassifier:
    return TextClassifier.from_pretrained(sentiment_folder())


def _tfidf() -> Any:
    train = corpora.part(DATA, "train")
    return baselines.tfidf_logistic().fit(train["text"].tolist(), train["label"])


# Who is attacked: the course's fine-tuned model, and one that shares nothing with it but the training sentences.
MODELS: dict[str, Callable[[], Any]] = {"sentiment": _sentiment, "TF-IDF": _tfidf}


def attack_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: `recipe` against `model` (of MODELS) on the first `n` test sentences, with `seed`.

    `report_of` makes a report of the stored run again.
    """
    test = corpora.part(DATA, "test", config["n"])
    classifier = MODELS[config["model"]]()
    report = recipe(config["recipe"]).run(classifier, test["text"].tolist(), test["label"].to_numpy(), config["seed"])
    return {
        "results": [asdict(result) for result in report.results],
        "seconds": report.seconds,
        "model_seconds": report.model_seconds,
    }


def attack_study_cost(config: dict[str, Any]) -> machine.Cost:
    """What `attack_study` takes here."""
    texts = corpora.part(DATA, "test", config["n"])["text"].tolist()
    if config["model"] != "sentiment":
        return machine.Cost(0.0, 5.0, machine.base_bytes())  # to count words and fit; its answers cost next to nothing
    cost = attack_cost(config["recipe"], TextClassifier(), texts)
    if cost is None:
        raise BadInput(f"nothing tells what {config['recipe']} costs", "add it to attacks.recipes.QUERIES_A_WORD")
    return cost


def report_of(run: Run) -> AttackReport:
    """The report of a run of `attack_study`."""
    results = tuple(AttackResult(**{**row, "changed": tuple(row["changed"])}) for row in run.result["results"])
    seconds = (run.result["seconds"], run.result["model_seconds"])
    return AttackReport(run.config["recipe"], results, *seconds, run.config["seed"])


def oddness_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: pseudo-perplexities of the texts that an attack turned, before and after.

    `config` is that of the `attack_study`; its run is made where it is missing.
    """
    run = experiments.run(attack_study, config, cost=lambda: attack_study_cost(config))
    won = [result for result in report_of(run).results if result.status == "succeeded"]
    model = LanguageModel.from_pretrained("course")
    before, after = ([getattr(result, name) for result in won] for name in ("text", "adversarial"))
    return {"before": pseudo_perplexity(model, before).tolist(), "after": pseudo_perplexity(model, after).tolist()}


def oddness_study_cost(config: dict[str, Any]) -> machine.Cost:
    """What `oddness_study` takes here when the attack is stored: a pass for each token of each text, twice."""
    texts = corpora.part(DATA, "test", config["n"])["text"].tolist()
    tokens = sum(len(text.split()) for text in texts) / max(1, len(texts)) * 1.3
    return TextClassifier().predict_cost(texts) * (2 * tokens)


def as_attacks(reports: Mapping[str, AttackReport]) -> pd.DataFrame:
    """One row a report: attack, texts, attacked, before and under (accuracies), success, queries, words (share)."""
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


def embedding_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: accuracy of the sentiment model at several radii of a ball in embedding space.

    `config`: `method` (FGSM or PGD), `norm`, `epsilons`, `steps` (of PGD), `n` test sentences, `seed`.
    """
    test, classifier = corpora.part(DATA, "test", config["n"]), _sentiment()
    accuracies = []
    for epsilon in config["epsilons"]:
        attack = _embedding_attack(config["method"], config["norm"], epsilon, config["steps"])
        report = attack.run(classifier, test["text"].tolist(), test["label"].to_numpy(), config["seed"])
        accuracies.append(report.accuracy_under_attack)
    return {"accuracies": accuracies}


def embedding_study_cost(config: dict[str, Any]) -> machine.Cost:
    """What `embedding_study` takes here."""
    texts = corpora.part(DATA, "test", config["n"])["text"].tolist()
    steps = 1 if config["method"] == "FGSM" else config["steps"]
    passes = steps * (1 + BACKWARD) + 2
    return TextClassifier().predict_cost(texts) * (len(config["epsilons"]) * passes)


def as_curves(runs: list[Run]) -> pd.DataFrame:
    """Runs of `embedding_study` as rows: method, norm, epsilon, accuracy, n."""
    rows = [
        {**{name: run.config[name] for name in ("method", "norm", "n")}, "epsilon": epsilon, "accuracy": accuracy}
        for run in runs
        for epsilon, accuracy in zip(run.config["epsilons"], run.result["accuracies"], strict=True)
    ]
    return pd.DataFrame(rows)
