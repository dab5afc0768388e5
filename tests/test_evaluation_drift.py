"""Drift: effect sizes against scikit-learn and the bootstrap, coverage of the intervals, the p-value that goes to 0."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from course_lib.errors import BadInput
from course_lib.evaluation import drift


def two_samples(shift: float, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.normal(0, 1, n), draw.normal(shift, 1.5, n)


def test_auc_is_that_of_scikit_learn_with_ties() -> None:
    draw = np.random.default_rng(1)
    old, new = draw.integers(0, 5, 40), draw.integers(1, 6, 70)
    labels = np.repeat([0, 1], [40, 70])
    found = drift.auc_shift(old, new)
    assert found.estimate == pytest.approx(roc_auc_score(labels, np.concatenate([old, new])))
    assert drift.auc_shift(new, old).estimate == pytest.approx(1 - found.estimate)
    assert drift.auc_shift([1, 2], [3, 4]).estimate == 1 and drift.auc_shift([1, 1], [1, 1]).estimate == 0.5


@pytest.mark.parametrize("measure", [drift.auc_shift, drift.mean_difference])
def test_intervals_are_those_of_the_bootstrap(measure) -> None:  # type: ignore[no-untyped-def]
    old, new = two_samples(0.4, 300)
    draw = np.random.default_rng(2)
    again = [measure(draw.choice(old, 300), draw.choice(new, 300)).estimate for _ in range(600)]
    found, (low, high) = measure(old, new), np.quantile(again, [0.025, 0.975])
    assert found.high - found.low == pytest.approx(high - low, rel=0.12)
    assert found.low == pytest.approx(low, abs=0.1 * (high - low) + 0.01)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    truth = float(stats.norm.cdf(0.4 / np.hypot(1, 1.5)))
    held = [truth in drift.auc_shift(*two_samples(0.4, 100, seed)) for seed in range(400)]
    assert 0.92 < np.mean(held) < 0.98  # 0.95 with a standard error of 0.011


def test_mean_difference_by_hand() -> None:
    assert drift.mean_difference([0, 2], [1, 3]).estimate == 1
    assert drift.mean_difference([1, 1], [3, 3]).high == 2


def test_the_p_value_goes_to_0_and_the_effect_stays() -> None:
    old, new = two_samples(0.1, 5000)
    table = drift.by_sample_size(old, new, [100, 1000, 10_000, 100_000])
    assert table["p"].iloc[-1] < 1e-10 < table["p"].iloc[0]
    truth = drift.auc_shift(old, new).estimate
    assert abs(table["auc"].iloc[-1] - truth) < 0.01 and truth < 0.56
    widths = (table["high"] - table["low"]).to_numpy()
    assert np.allclose(widths[:-1] / widths[1:], np.sqrt(10), rtol=0.15)
    assert drift.by_sample_size(old, new, [100]).equals(table.head(1))


def test_measures_of_texts() -> None:
    found = drift.text_measures(
        ["It's GOOD, good!", "", "été 42"], [[0.1, 0.9], [0.5, 0.5], [0.8, 0.2]], {"it's", "good"}
    )
    assert {name: values.tolist() for name, values in found.items()} == {
        "confidence": [0.9, 0.5, 0.8],
        "positive": [0.9, 0.5, 0.2],
        "words": [3, 0, 1],
        "unseen words": [0, 0, 1],
    }
    table = drift.drift_table(found, {"same": found})
    assert table["measure"].tolist() == list(found) and np.allclose(table["auc"], 0.5) and (table["p"] > 0.9).all()
    with pytest.raises(BadInput, match="lacks"):
        drift.drift_table(found, {"other": {"words": [1, 2]}})


def test_predicted_accuracy_holds_where_confidence_keeps_its_meaning_and_fails_where_it_does_not() -> None:
    draw = np.random.default_rng(3)
    confidence = draw.uniform(0.5, 1, 20_000)
    correct = draw.random(20_000) < confidence
    assert drift.predicted_accuracy(confidence, correct, confidence) == pytest.approx(correct.mean(), abs=1e-3)
    harder = confidence[confidence < 0.8]
    assert drift.predicted_accuracy(confidence, correct, harder) < correct.mean() - 0.1
    # As sure as before: it predicts the accuracy of before, whether or not the predictions are still right.
    as_sure = drift.predicted_accuracy(confidence, correct, draw.uniform(0.5, 1, 20_000))
    assert as_sure == pytest.approx(correct.mean(), abs=0.02)


@pytest.mark.parametrize(
    "call",
    [
        lambda: drift.auc_shift([1], [1, 2]),
        lambda: drift.auc_shift([1, np.nan], [1, 2]),
        lambda: drift.by_sample_size([1, 2], [1, 2], [1]),
        lambda: drift.mann_whitney_p([], [1, 2]),
        lambda: drift.predicted_accuracy([0.5, 0.6], [1], [0.5]),
        lambda: drift.text_measures(["a"], [[0.5, 0.5]] * 2, set()),
        lambda: drift.text_measures(["a"], [[5.0, -5.0]], set()),
    ],
)
def test_bad_input(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput):
        call()
