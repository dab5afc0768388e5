"""Explanations of a model of tables, through the `shap` and `lime` packages: features in the place of words.

A feature is not deleted but takes values of a background: rows of the data the model was trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from course_lib.errors import BadInput
from course_lib.explain.attribution import Floats
from course_lib.explain.masked_model import check_seed, whole_number
from course_lib.explain.reference_explainers import MOST_SEED, numpy_seeded
from course_lib.text.classifiers import check_classifier, check_scores, columns_of

TABULAR_METHODS = ("shap", "lime")
EXACT_FEATURES = 10  # 1024 coalitions a row; more features are drawn in random orders


def explain_rows(
    model: Any,
    rows: pd.DataFrame,
    background: pd.DataFrame,
    method: str = "shap",
    *,
    target: Any = None,
    samples: int = 1000,
    seed: int = 0,
) -> list[pd.DataFrame]:
    """Scores for each row of a table how much each feature contributes to the probability of a class.

    Args:
        model: scikit-learn's kind of classifier: `predict_proba` of a table with these columns, and `classes_`.
        rows: n rows of numbers.
        background: rows of the same columns, some dozens to hundreds. SHAP puts their values in the place of a
            feature's and averages the outputs (Lundberg and Lee 2017, arXiv:1705.07874); LIME draws around their
            means with their spreads, not around the row (as the `lime` package does, Ribeiro et al. 2016,
            arXiv:1602.04938; near draws count more), and its scores are for features in units of these spreads.
        method: `shap` (exact up to 10 features, then ten random orders and their reverses) or `lime`.
        target: the class, a list of n of them, or None for the most probable class of each row.
        samples: perturbations of a row, of LIME alone.
        seed: of random draws; the caller's own are not changed.

    Returns:
        For each row a table in the order of the columns: `feature`, `value` (the row's) and `score` (a probability).
        Its `attrs` hold `target`, `method`, `base_value`, `value` (the model's output), `gap` (value - base_value - sum
        of scores: near 0 for SHAP, whose scores add up) and, for LIME, `error`: 1 - R2.

    Raises:
        BadInput: an unknown method or class, no classifier, a column that is not there or holds no finite numbers, no
            background, fewer than 2 samples, a seed of 2^32 or more, which the packages do not take.
    """
    check_classifier(model, "model")
    if method not in TABULAR_METHODS:
        raise BadInput(f"method is {method!r}", f"use one of {', '.join(TABULAR_METHODS)}")
    samples = whole_number("samples", samples)
    if samples < 2:
        raise BadInput(f"samples is {samples}", "use 2 or more; 1000 is usual")
    check_seed(seed, MOST_SEED)
    names = list(rows.columns)
    table, ground = _numbers(rows, names, "rows"), _numbers(background, names, "background")
    if not len(ground):
        raise BadInput("background has no rows", "give some rows of the training data")
    if not len(table):
        return []

    def predict(part: Any) -> Floats:
        return check_scores(model, model.predict_proba(pd.DataFrame(np.asarray(part), columns=names)), len(part))

    scores = predict(table)
    columns = scores.argmax(1) if target is None else columns_of(model.classes_, target, len(table), "target")
    found = []
    for row, column, value in zip(table, columns.tolist(), scores[np.arange(len(table)), columns], strict=True):
        # One explainer for each row, so that its numbers do not depend on the rows before it.
        with numpy_seeded(seed):
            if method == "shap":
                of_features, base, error = _shap(predict, row, ground, column, seed)
            else:
                of_features, base, error = _lime(predict, row, ground, column, samples, seed)
        frame = pd.DataFrame({"feature": names, "value": row, "score": of_features})
        gap = float(value) - base - float(of_features.sum())
        frame.attrs = {"target": model.classes_.tolist()[column], "method": method, "base_value": base,
                       "value": float(value), "gap": gap, **error}  # fmt: skip
        found.append(frame)
    return found


def _numbers(frame: pd.DataFrame, names: list[Any], what: str) -> Floats:
    """(rows, features), the named columns."""
    missing = [name for name in names if name not in frame]
    if missing:
        raise BadInput(f"{what} has no column {missing[0]!r}", "give both tables the columns of the training data")
    try:
        table: Floats = np.asarray(frame[names], np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} holds something that is not a number: {error}", "encode it as numbers") from error
    if not np.isfinite(table).all():
        raise BadInput(f"{what} holds numbers that are not finite", "fill the gaps first")
    return table


_Explained = tuple[Floats, float, dict[str, float]]  # scores, base value, and the error if it is known


def _shap(predict: Callable[[Any], Floats], row: Floats, ground: Floats, column: int, seed: int) -> _Explained:
    import shap

    masker = shap.maskers.Independent(ground, max_samples=len(ground))
    if len(row) <= EXACT_FEATURES:
        explanation = shap.explainers.Exact(predict, masker)(row[None], silent=True)
    else:
        explainer = shap.explainers.Permutation(predict, masker, seed=seed)
        explanation = explainer(row[None], silent=True, max_evals=10 * (2 * len(row) + 1))
    values, bases = np.asarray(explanation.values, np.float64), np.asarray(explanation.base_values, np.float64)
    return values[0, :, column], float(bases[0, column]), {}


def _lime(
    predict: Callable[[Any], Floats], row: Floats, ground: Floats, column: int, samples: int, seed: int
) -> _Explained:
    from lime.lime_tabular import LimeTabularExplainer

    explainer = LimeTabularExplainer(ground, discretize_continuous=False, random_state=seed)
    explanation = explainer.explain_instance(row, predict, labels=(column,), num_features=len(row), num_samples=samples)
    scores = np.zeros(len(row))
    for feature, score in explanation.local_exp[column]:
        scores[feature] = score
    return scores, float(explanation.intercept[column]), {"error": 1 - float(explanation.score)}


def tree_log_odds(model: Any, rows: pd.DataFrame) -> tuple[float, Floats]:
    """A boosted classifier's log-odds as a base value and a contribution of each column, which add up.

    TreeSHAP of the `shap` package (Lundberg et al. 2020, Nature Machine Intelligence 2:56): exact Shapley values, with
    the training rows that passed each branch of the trees as the background.

    Args:
        model: a fitted classifier of scikit-learn, LightGBM or XGBoost with two classes.
        rows: n rows of its columns.

    Returns:
        The base value, and contributions (n, columns): above 0 where a column makes the second class more probable.

    Raises:
        BadInput: there is no row, another number of columns than in training, or no fitted model of trees.
    """
    import shap

    if not len(rows):
        raise BadInput("there is no row to explain", "pass at least one")
    if rows.shape[1] != (trained := getattr(model, "n_features_in_", rows.shape[1])):
        raise BadInput(f"rows has {rows.shape[1]} columns, the model {trained}", "pass the columns of its training")
    try:
        explainer = shap.TreeExplainer(model)
    except Exception as error:  # shap raises its own error for an unknown model, and others for one without trees
        raise BadInput(
            f"model is {type(model).__name__}, or it is not fitted ({error})", "pass a fitted, boosted classifier"
        ) from error
    found = explainer(rows)
    return float(np.ravel(found.base_values)[0]), np.asarray(found.values, dtype=np.float64)
