"""The same face for a model of tables, through the `shap` and `lime` packages: features take the place of words.

A feature is not deleted but takes values of a background: rows of the data the model was trained on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_lib.defenses.answers import check_classifier
from course_lib.errors import BadInput
from course_lib.explain.attribution import Floats
from course_lib.explain.game import MOST_SEED, check_seed, columns_of, whole_number

TABULAR_METHODS = ("shap", "lime")
EXACT_FEATURES = 10  # 1024 coalitions a row; more features are asked in random orders


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
    """Says for each row of a table how much each feature did for the probability of a class.

    Args:
        model: scikit-learn's kind of classifier: `predict_proba` of a table with these columns, and `classes_`.
        rows: n rows of numbers.
        background: rows of the same columns, some dozens to hundreds. SHAP puts their values in the place of a
            feature's and averages the answers (Lundberg and Lee 2017, arXiv:1705.07874); LIME draws around their
            means with their spreads, not around the row (the `lime` package's way, Ribeiro et al. 2016,
            arXiv:1602.04938; near draws count more), and its scores are for features in units of these spreads.
        method: `shap` (exact up to 10 features, then ten random orders there and back) or `lime`.
        target: the class, a list of n of them, or None for each row's likeliest.
        samples: perturbations of a row, of LIME alone.
        seed: of random draws; the caller's own stay as they are.

    Returns:
        For each row a table in the order of the columns: `feature`, `value` (the row's) and `score` (a probability).
        Its `attrs` hold `target`, `method`, `base_value`, `value` (the model's answer), `gap` (value - base_value - sum
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
    answers = _ask(model, table, names)
    columns = answers.argmax(1) if target is None else columns_of(model, target, len(table))
    run = _shap if method == "shap" else _lime
    state = np.random.get_state()
    try:
        found = run(model, table, ground, names, columns, samples, seed)
    finally:
        np.random.set_state(state)
    return [_frame(model, names, table[i], float(answers[i, columns[i]]), columns[i], method, *one)
            for i, one in enumerate(found)]  # fmt: skip


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


def _ask(model: Any, table: Any, names: list[Any]) -> Floats:
    """(rows, classes), probabilities."""
    return np.asarray(model.predict_proba(pd.DataFrame(np.asarray(table), columns=names)), np.float64)


_Said = tuple[Floats, float, dict[str, float]]  # scores, base value, and what else is known


def _shap(
    model: Any, table: Floats, ground: Floats, names: list[Any], columns: NDArray[np.int64], _: int, seed: int
) -> list[_Said]:
    import shap

    masker = shap.maskers.Independent(ground, max_samples=len(ground))
    exact = len(names) <= EXACT_FEATURES
    make = shap.explainers.Exact if exact else shap.explainers.Permutation
    named: dict[str, Any] = {} if exact else {"seed": seed}
    asked: dict[str, Any] = {} if exact else {"max_evals": 10 * (2 * len(names) + 1)}
    found: list[_Said] = []
    for row, column in zip(table, columns.tolist(), strict=True):
        # One explainer a row, so that a row's numbers do not depend on those before it.
        explainer = make(lambda part: _ask(model, part, names), masker, **named)
        said = explainer(row[None], silent=True, **asked)
        values, bases = np.asarray(said.values, np.float64), np.asarray(said.base_values, np.float64)
        found.append((values[0, :, column], float(bases[0, column]), {}))
    return found


def _lime(
    model: Any, table: Floats, ground: Floats, names: list[Any], columns: NDArray[np.int64], samples: int, seed: int
) -> list[_Said]:
    from lime.lime_tabular import LimeTabularExplainer

    found = []
    for row, column in zip(table, columns.tolist(), strict=True):
        # One explainer a row, so that a row's numbers do not depend on those before it.
        explainer = LimeTabularExplainer(
            ground, feature_names=[str(name) for name in names], discretize_continuous=False, random_state=seed
        )
        said = explainer.explain_instance(
            row, lambda part: _ask(model, part, names), labels=(column,), num_features=len(names), num_samples=samples
        )
        scores = np.zeros(len(names))
        for feature, score in said.local_exp[column]:
            scores[feature] = score
        found.append((scores, float(said.intercept[column]), {"error": 1 - float(said.score)}))
    return found


def _frame(
    model: Any, names: list[Any], row: Floats, value: float, column: int, method: str, scores: Floats, base: float,
    more: dict[str, float],
) -> pd.DataFrame:  # fmt: skip
    frame = pd.DataFrame({"feature": names, "value": row, "score": scores})
    gap = value - base - float(scores.sum())
    frame.attrs = {"target": model.classes_.tolist()[column], "method": method, "base_value": base, "value": value,
                   "gap": gap, **more}  # fmt: skip
    return frame
