"""Definitions of clinical terms by organ system, and whether a model knows a branch of medicine that it never saw."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from course_lib import assets, corpora
from course_lib.baselines import tfidf_logistic
from course_lib.classifier import TextClassifier, sentence_vectors
from course_lib.corpora import hash_fraction
from course_lib.corpora.ontology import ancestors, depths, parse_obo
from course_lib.errors import BadInput
from course_lib.evaluation import auc, calibration, cluster_bootstrap, fit_temperature, nearest_similarity, temper
from course_lib.experiments import entries_of, experiment
from course_lib.training import TrainingConfig

ROOT = "HP:0000118"  # phenotypic abnormality; its children are the organ systems
SPLITS = ("random", "depth 4", "depth 3")  # of definitions; "depth 3" holds out whole branches three steps below ROOT
MODELS = ("TF-IDF", "frozen encoder", "fine-tuned encoder")
OUTSIDE = 500  # product reviews, which belong to no organ system
FEWEST = 200  # definitions that a system needs
Rows = NDArray[np.bool_]


@functools.lru_cache(maxsize=1)
def _definitions() -> pd.DataFrame:
    terms = parse_obo(assets.path("phenotype_ontology").read_text(encoding="utf-8"))
    depth, rows = depths(terms, ROOT), []
    for name in depth:
        above = ancestors(terms, name)
        at: dict[int, tuple[str, ...]] = {d: tuple(sorted(a for a in above if depth.get(a) == d)) for d in (1, 3, 4)}
        if terms[name].definition and len(at[1]) == 1 and depth[name] > 1:
            system = terms[at[1][0]].name.removeprefix("Abnormality of ").removeprefix("the ")
            rows.append((name, terms[name].name, terms[name].definition, system, at[3], at[4]))
    frame = pd.DataFrame(rows, columns=["id", "name", "text", "system", "depth 3", "depth 4"])
    sizes = frame["system"].value_counts()
    kept = frame[frame["system"].isin(sizes.index[sizes >= FEWEST])]
    return kept.sort_values("id", ignore_index=True)


def load_definitions() -> pd.DataFrame:
    """Definitions of the terms that belong to exactly one organ system, of the systems with 200 or more.

    Returns:
        id, name, text (the definition), system, and in "depth 3" and "depth 4" the ids of the branches (terms that many
        steps below ROOT) that a term belongs to: none, one or several.
    """
    return _definitions().copy()


def split_definitions(frame: pd.DataFrame, by: str, seed: int = 0) -> pd.DataFrame:
    """The part and the group of each definition, from hashes: the same on every machine.

    By "random", 20 % of the definitions are `test` and 10 % `validation`. By "depth 3" or "depth 4", a branch belongs
    to `test` (20 %), `new validation` (10 %) or training, with all definitions below it; one below several goes where
    the first of these parts is. 10 % of the definitions of the training branches are `validation`.

    Returns:
        part; and group: what was drawn together, for `evaluation.cluster_bootstrap`.

    Raises:
        BadInput: an unknown split, or a table without the columns of `load_definitions`.
    """
    if by not in SPLITS:
        raise BadInput(f"there is no split {by!r}", f"use one of {', '.join(SPLITS)}")
    if lacking := [name for name in ("id", by) if name != "random" and name not in getattr(frame, "columns", ())]:
        raise BadInput(f"the table has no column {lacking[0]!r}", "use rows of medicine.load_definitions()")
    own = frame["id"].map(lambda name: hash_fraction(f"{seed} definition {name}"))
    if by == "random":
        part = np.select([own < 0.2, own < 0.3], ["test", "validation"], "train")
        return pd.DataFrame({"part": part, "group": frame["id"]})
    drawn = {branch: hash_fraction(f"{seed} branch {branch}") for branch in set().union(*frame[by])}
    first = frame[by].map(lambda branches: min(branches, key=drawn.__getitem__, default=""))
    fraction = first.map(lambda branch: drawn.get(branch, 1.0))
    part = np.select([fraction < 0.2, fraction < 0.3, own < 0.1], ["test", "new validation", "validation"], "train")
    return pd.DataFrame({"part": part, "group": first})


# ---------------- what was measured on definitions


@functools.lru_cache(maxsize=1)
def definition_vectors() -> NDArray[np.float32]:
    """The untouched encoder's vectors of all definitions, (10,085, 384); about a minute on two cores."""
    return sentence_vectors(_definitions()["text"].tolist())


Predict = Callable[[Rows | Sequence[str]], NDArray[np.float64]]  # rows of the frame, or other texts -> probabilities


def _fit(model: str, frame: pd.DataFrame, train: Rows, seed: int) -> Predict:
    """A trained model as a function from rows or texts to probabilities (n, 14), columns in the systems' order."""
    labels, texts = frame["system"].to_numpy()[train], frame["text"].to_numpy()

    def texts_of(rows: Rows | Sequence[str]) -> list[str]:
        return texts[rows].tolist() if isinstance(rows, np.ndarray) else list(rows)

    if model == "frozen encoder":
        probe = LogisticRegression(max_iter=2000).fit(definition_vectors()[train], labels)
        return lambda rows: probe.predict_proba(
            definition_vectors()[rows] if isinstance(rows, np.ndarray) else sentence_vectors(rows)
        )
    chosen: Any = tfidf_logistic()
    if model == "fine-tuned encoder":
        training = TrainingConfig(epochs=1, learning_rate=2e-4, seed=seed)  # one epoch at twice the usual rate
        chosen = TextClassifier(training=training, frozen_embeddings=True, max_length=48)
    chosen.fit(texts_of(train), labels)
    return lambda rows: chosen.predict_proba(texts_of(rows)).astype(np.float64)


def _measured(frame: pd.DataFrame, parts: pd.Series, predict: Predict) -> tuple[dict[str, float], dict[str, Any]]:
    """Figures of a model on the test part; and its probabilities of each part, (rows, 14)."""
    labels, classes = frame["system"].to_numpy(), sorted(frame["system"].unique())
    found = {part: predict((parts == part).to_numpy()) for part in sorted(set(parts) - {"train"})}
    actual = {part: labels[parts == part] for part in found}
    right = np.asarray(classes)[found["test"].argmax(1)] == actual["test"]
    measured = {"accuracy": right.mean(), "confidence": found["test"].max(1).mean()}
    measured["ece"] = calibration(found["test"], actual["test"], classes=classes).ece
    for part in found.keys() - {"test"}:
        temperature = fit_temperature(np.log(found[part] + 1e-12), actual[part], classes)
        measured[f"temperature, {part}"] = temperature
        tempered = temper(found["test"], temperature)
        measured[f"ece, {part}"] = calibration(tempered, actual["test"], classes=classes).ece
    return {name: float(measured[name]) for name in sorted(measured)}, found


def _correct(frame: pd.DataFrame, rows: Rows, probabilities: Any) -> Rows:
    return np.asarray(np.unique(frame["system"])[probabilities.argmax(1)] == frame["system"].to_numpy()[rows])


_TOLERANCE = dict.fromkeys(("accuracy", "confidence", "ece", "gain", "gain_low", "gain_high"), 0.03)
_TOLERANCE |= {f"{what}, {part}validation": 0.1 for what in ("temperature", "ece") for part in ("", "new ")}


@experiment(
    "definition_study",
    cost=lambda config: 1.0,
    table=entries_of("models"),
    tolerance=_TOLERANCE,
    data=("course_encoder", "phenotype_ontology"),
)
def definition_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """TF-IDF against the frozen encoder, both with logistic regression, on the same rows: `split`, `seed`.

    `gain` is the encoder's accuracy minus that of TF-IDF, with its 95 % interval over the groups of the split. The
    vectors of the definitions are computed once in a process.
    """
    frame = load_definitions()
    parts = split_definitions(frame, config["split"], config["seed"])
    train, test = ((parts["part"] == part).to_numpy() for part in ("train", "test"))
    models, correct = [], []
    for model in MODELS[:2]:
        measured, found = _measured(frame, parts["part"], _fit(model, frame, train, config["seed"]))
        correct.append(_correct(frame, test, found["test"]).astype(float))
        models.append({"model": model, **measured, "test_rows": len(correct[0])})
    gain = cluster_bootstrap(correct[1] - correct[0], parts["group"][test])
    gains = {"gain": gain.estimate, "gain_low": gain.low, "gain_high": gain.high}
    return {"models": [model | gains for model in models]}


@experiment(
    "triage_study",
    cost=lambda config: 1.0 if config.get("fine_tuned", True) else 0.1,
    table=entries_of("models"),
    tolerance=_TOLERANCE | dict.fromkeys(("auroc by confidence", "auroc by similarity"), 0.03),
    data=("course_encoder", "phenotype_ontology", "sentiment_ratings"),
)
def triage_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Three models on one `split` (seed 0), or two with `fine_tuned` False, with what a system needs that may decline.

    The results have, for every row of a part ("test", "validation", and "outside": product reviews), whether each
    model is right, its confidence in thousandths, and the similarity to the nearest training definition. `groups`
    numbers the branches of the test rows.
    """
    frame, outside = load_definitions(), corpora.part("product_reviews", "test", OUTSIDE)["text"].tolist()
    parts = split_definitions(frame, config["split"])
    train, validation, test = ((parts["part"] == part).to_numpy() for part in ("train", "validation", "test"))
    vectors, labels = definition_vectors(), frame["system"].to_numpy()
    nearest = functools.partial(nearest_similarity, training_vectors=vectors[train])
    similarity = {"test": nearest(vectors[test]), "validation": nearest(vectors[validation])}
    similarity["outside"] = nearest(sentence_vectors(outside))
    confidence: dict[str, dict[str, list[int]]] = {}
    correct: dict[str, dict[str, list[int]]] = {}
    models, guesses = [], {}
    for model in MODELS if config.get("fine_tuned", True) else MODELS[:2]:
        predict = _fit(model, frame, train, seed=0)
        measured, found = _measured(frame, parts["part"], predict)
        found["outside"] = predict(outside)
        guesses[model] = Counter(np.unique(labels)[found["outside"].argmax(1)]).most_common(3)
        confidence[model] = {part: _thousandths(found[part].max(1)) for part in similarity}
        correct[model] = {
            part: _correct(frame, rows, found[part]).astype(int).tolist()
            for part, rows in (("test", test), ("validation", validation))
        }
        sure, other = found["test"].max(1), found["outside"].max(1)
        scores = {"confidence": (sure, other), "similarity": (similarity["test"], similarity["outside"])}
        is_definition = np.repeat([1, 0], [len(sure), len(other)])
        auroc = {f"auroc by {name}": auc(np.concatenate(pair), is_definition).estimate for name, pair in scores.items()}
        models.append({"model": model, **measured, **auroc, "test_rows": len(sure)})
    return {
        "models": models,
        "confidence": confidence,
        "correct": correct,
        "similarity": {part: _thousandths(values) for part, values in similarity.items()},
        "groups": pd.factorize(parts["group"][test])[0].tolist(),
        "guesses": guesses,
    }


def _thousandths(values: Any) -> list[int]:
    return np.rint(np.asarray(values) * 1000).astype(int).tolist()  # type: ignore[no-any-return]


# ---- the runs that the notebook shows ------------------------------------------------------------------------------

DEFINITION_RUNS = [
    {"split": split, "seed": seed} for split, seeds in zip(SPLITS, (5, 3, 3), strict=True) for seed in range(seeds)
]
TRIAGE_RUNS = [{"split": "random", "fine_tuned": False}, {"split": "depth 4"}]
