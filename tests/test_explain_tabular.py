"""Features of tables in the place of words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from course_lib.errors import BadInput
from course_lib.explain.tabular import explain_rows

RANDOM = np.random.default_rng(0)
TABLE = pd.DataFrame(RANDOM.normal(size=(200, 4)), columns=["age", "height", "noise", "income"])
LABELS = np.where(3 * TABLE["age"] - 1.5 * TABLE["income"] > 0, "yes", "no")
MODEL = LogisticRegression().fit(TABLE, LABELS)
GROUND, ROWS = TABLE.head(40), TABLE.tail(5)


class Additive:
    """Probability 0.5 + 0.1 age - 0.05 income: its Shapley values are known."""

    classes_ = np.array(["no", "yes"])

    def predict_proba(self, table: pd.DataFrame) -> np.ndarray:
        share = 0.5 + 0.1 * table["age"].to_numpy() - 0.05 * table["income"].to_numpy()
        return np.column_stack([1 - share, share])


def test_shapley_values_of_an_additive_model() -> None:
    for one, (_, row) in zip(explain_rows(Additive(), ROWS, GROUND, target="yes"), ROWS.iterrows(), strict=True):
        wanted = [0.1 * (row["age"] - GROUND["age"].mean()), 0, 0, -0.05 * (row["income"] - GROUND["income"].mean())]
        assert one["feature"].tolist() == list(TABLE.columns) and one["value"].tolist() == row.tolist()
        assert one["score"].tolist() == pytest.approx(wanted, abs=1e-9)
        assert one.attrs["base_value"] == pytest.approx(
            0.5 + 0.1 * GROUND["age"].mean() - 0.05 * GROUND["income"].mean()
        )


@pytest.mark.parametrize("features", [4, 12], ids=["exact", "orders"])
def test_shap_adds_up(features: int) -> None:
    """12 features are too many for all coalitions: random orders, which add up too."""
    extra = pd.DataFrame(RANDOM.normal(size=(200, features - 4)), columns=[f"x{i}" for i in range(features - 4)])
    wide = pd.concat([TABLE, extra], axis=1)
    model = LogisticRegression().fit(wide, LABELS)
    found = explain_rows(model, wide.tail(2), wide.head(20))
    for one, answer in zip(found, model.predict(wide.tail(2)), strict=True):
        assert abs(one.attrs["gap"]) < 1e-6 < one["score"].abs().sum() and one.attrs["target"] == answer
        assert one.attrs["value"] == pytest.approx(one.attrs["base_value"] + one["score"].sum())
    again = explain_rows(model, wide.tail(2), wide.head(20))
    assert all(one.equals(other) for one, other in zip(found, again, strict=True))


def test_lime_finds_the_features_that_count() -> None:
    state = np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    found = explain_rows(Additive(), ROWS, GROUND, "lime", target="yes")
    assert np.random.get_state()[1].tolist() == state  # type: ignore[union-attr]
    for one in found:
        scores = one.set_index("feature")["score"]
        assert scores["age"] == pytest.approx(0.1 * GROUND["age"].std(ddof=0), rel=0.1)
        assert scores["income"] < -0.03 and abs(scores["noise"]) < 0.01
        assert 0 <= one.attrs["error"] < 0.05
    alone = explain_rows(Additive(), ROWS.tail(1), GROUND, "lime", target="yes")[0]
    assert alone["score"].tolist() == found[-1]["score"].tolist()


class Products:
    """Probability from products of three of twelve features: the order in which features come counts."""

    classes_ = np.array(["no", "yes"])

    def predict_proba(self, table: pd.DataFrame) -> np.ndarray:
        x = table.to_numpy()
        share = 1 / (1 + np.exp(-(x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] * x[:, 4])))
        return np.column_stack([1 - share, share])


@pytest.mark.parametrize("method", ["shap", "lime"])
def test_rows_together_and_one_by_one(method: str) -> None:
    wide = pd.DataFrame(np.random.default_rng(1).normal(size=(13, 12)), columns=[f"x{i}" for i in range(12)])
    rows, ground = wide.head(3), wide.tail(10)
    for at, one in enumerate(explain_rows(Products(), rows, ground, method, target="yes")):
        alone = explain_rows(Products(), rows.iloc[[at]], ground, method, target="yes")[0]
        assert one["score"].tolist() == alone["score"].tolist() and one["score"].abs().max() > 0


def test_lime_draws_around_the_means_of_the_background() -> None:
    """As its docstring says: the row itself is one of its draws, no more."""

    class Asked(Products):
        asked = np.empty((0, 12))

        def predict_proba(self, table: pd.DataFrame) -> np.ndarray:
            self.asked = max(self.asked, table.to_numpy(), key=len)
            return super().predict_proba(table)

    wide = pd.DataFrame(np.random.default_rng(1).normal(size=(13, 12)), columns=[f"x{i}" for i in range(12)])
    model, ground = Asked(), wide.tail(10)
    explain_rows(model, wide.head(1) + 5, ground, "lime")
    assert np.abs(model.asked.mean(0) - ground.to_numpy().mean(0)).max() < 0.2


def test_targets_may_be_a_series() -> None:
    targets = pd.Series(["yes", "no"], index=[7, 3])
    found = explain_rows(MODEL, ROWS.head(2), GROUND, target=targets)
    assert [one.attrs["target"] for one in found] == ["yes", "no"]


def test_both_agree_on_a_trained_model() -> None:
    for method in ("shap", "lime"):
        found = explain_rows(MODEL, ROWS, GROUND, method, target=["yes", "no", "yes", "no", "yes"])
        sizes = pd.concat(found).assign(size=lambda one: one["score"].abs()).groupby("feature")["size"].mean()
        assert sizes.idxmax() == "age" and sizes["income"] > 3 * max(sizes["noise"], sizes["height"])
        assert [one.attrs["target"] for one in found] == ["yes", "no", "yes", "no", "yes"]
    assert explain_rows(MODEL, ROWS.head(0), GROUND) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "ig"}, "method is 'ig'"),
        ({"target": "maybe"}, "target holds 'maybe'"),
        ({"background": GROUND.drop(columns="age")}, "background has no column 'age'"),
        ({"background": GROUND.head(0)}, "background has no rows"),
        ({"rows": ROWS.assign(age="old")}, "rows holds something that is not a number"),
        ({"rows": ROWS.assign(age=np.nan)}, "rows holds numbers that are not finite"),
        ({"samples": 1}, "samples is 1"),
        ({"samples": 10.5}, "samples is 10.5"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32, "method": "lime"}, "seed is 4294967296"),
        ({"model": "a model"}, "model is a str without predict_proba"),
    ],
    ids=lambda case: str(next(iter(case))) if isinstance(case, dict) else "",
)
def test_what_cannot_be_explained(changes: dict[str, Any], message: str) -> None:
    usual = {"model": MODEL, "rows": ROWS, "background": GROUND}
    with pytest.raises(BadInput, match=message):
        explain_rows(**(usual | changes))
