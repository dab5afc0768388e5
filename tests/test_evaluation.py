"""Measures against hand-worked cases, scikit-learn, scipy and simulation; bad input named with its cure."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from course_lib import corpora
from course_lib import evaluation as ev
from course_lib.errors import BadInput

LEXICON = {"good": 1.9, "bad": -2.5, "fun": 2.3}
FRAME = pd.DataFrame(
    {
        "text": ["good fun", "a bad film", "not good", "Is it? Maybe", "long " * 12, "bad but fun"],
        "label": [1, 0, 0, 1, 1, 0],
        "rating": [3.0, -2.5, -1.0, 0.3, 1.5, -0.5],
    }
)
P_POSITIVE = np.array([0.9, 0.2, 0.8, 0.6, 0.3, 0.4])  # wrong in rows 2 and 4
FRAME_PROBABILITIES = np.stack([1 - P_POSITIVE, P_POSITIVE], axis=1)


def rows(seed: int, n: int = 300, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Random probabilities (n, classes) and labels that are drawn from other ones."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(classes), n), rng.integers(0, classes, n)


# Intervals


def test_bootstrap_agrees_with_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).gamma(2.0, size=400)
    mine = ev.bootstrap(values, resamples=4000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=2).confidence_interval
    assert mine.estimate == pytest.approx(values.mean())
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=0.015)


def test_bootstrap_intervals_hold_the_truth_95_times_in_100():
    rng = np.random.default_rng(0)
    held = [
        0.8 in ev.bootstrap(rng.random(250) < 0.8, resamples=400, seed=int(rng.integers(1 << 30))) for _ in range(400)
    ]
    # 400 trials at 95 %: standard error 1.1 points; the percentile bootstrap runs a little low.
    assert 0.915 < np.mean(held) < 0.98


def test_bootstrap_follows_from_its_seed():
    values = np.arange(101.0)
    first, again, other = (ev.bootstrap(values, seed=seed) for seed in (3, 3, 4))
    assert first == again != other
    assert first.estimate == 50 and 35 < first.low < 50 < first.high < 65


def test_more_sentences_make_the_interval_narrower_by_the_square_root():
    few = ev.bootstrap(np.tile([1, 1, 1, 0], 50))
    many = ev.bootstrap(np.tile([1, 1, 1, 0], 50 * 16))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.15)


def test_memory_bound_does_not_change_the_draws(monkeypatch):
    whole = ev.bootstrap(np.arange(50.0), resamples=300)
    monkeypatch.setattr("course_lib.evaluation.intervals._DRAWS_AT_ONCE", 170)
    assert ev.bootstrap(np.arange(50.0), resamples=300) == whole


def test_paired_bootstrap_is_narrower_than_the_difference_of_two_single_ones():
    rng = np.random.default_rng(0)
    easy = rng.random(2000) < 0.8
    a, b = easy | (rng.random(2000) < 0.1), easy
    gain = ev.paired_bootstrap(a, b)
    width_a, width_b = (i.high - i.low for i in (ev.bootstrap(a), ev.bootstrap(b)))
    assert gain.low > 0 and gain.estimate == pytest.approx(a.mean() - b.mean())
    assert gain.high - gain.low < 0.5 * np.hypot(width_a, width_b)


def test_paired_bootstrap_of_a_model_with_itself_is_zero():
    assert ev.paired_bootstrap([1, 0, 1], [1, 0, 1]) == ev.Interval(0, 0, 0)


def test_wilson_interval_stays_honest_where_all_are_right():
    # Wilson's lower end for n of n at z = 1.96 is n / (n + z**2), worked out by hand.
    assert ev.wilson_interval(10, 10).low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6)
    assert ev.wilson_interval(10, 10).high == pytest.approx(1)


def test_over_seeds_is_students_interval():
    mean, half = 0.87, 2.776445 * np.std([0.86, 0.87, 0.88, 0.87, 0.87], ddof=1) / np.sqrt(5)
    found = ev.over_seeds([0.86, 0.87, 0.88, 0.87, 0.87])
    assert (found.estimate, found.low, found.high) == pytest.approx((mean, mean - half, mean + half), abs=1e-6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ev.bootstrap([]), r"shape \(0,\)"),
        (lambda: ev.bootstrap([1.0, np.nan]), r"nan at \[1\]"),
        (lambda: ev.bootstrap(["a"]), "not a number"),
        (lambda: ev.bootstrap([[1.0]]), "shape"),
        (lambda: ev.bootstrap([1.0], confidence=95), "confidence is 95"),
        (lambda: ev.bootstrap([1.0], resamples=0), "resamples is 0"),
        (lambda: ev.paired_bootstrap([1, 0], [1]), "2 rows of predictions and 1"),
        (lambda: ev.wilson_interval(3, 2), "3 hits out of 2"),
        (lambda: ev.wilson_interval(0, 0), "0 cases"),
        (lambda: ev.over_seeds([0.9]), "one run has no spread"),
    ],
)
def test_bad_samples_are_named(call, said):
    with pytest.raises(BadInput, match=said) as caught:
        call()
    assert caught.value.fix


# Calibration


def test_ece_of_a_case_worked_by_hand():
    """Five bins. (0.6, 0.8]: confidence 0.7, 1 of 2 right. (0.8, 1]: confidence 0.9 and 1.0, 2 of 2 right."""
    probabilities = [[0.7, 0.3], [0.3, 0.7], [0.1, 0.9], [1.0, 0.0]]
    found = ev.calibration(probabilities, [0, 0, 1, 0], bins=5)
    assert found.ece == pytest.approx(2 / 4 * abs(0.7 - 0.5) + 2 / 4 * abs(0.95 - 1.0))
    expected = {"low": [0.6, 0.8], "high": [0.8, 1.0], "confidence": [0.7, 0.95], "accuracy": [0.5, 1.0]}
    assert list(found.table["count"]) == [2, 2]
    for column, values in expected.items():
        assert list(found.table[column]) == pytest.approx(values)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    found = ev.calibration([[0.8, 0.2], [0.5, 0.5]], [0, 0], bins=5).table
    assert found["high"].tolist() == pytest.approx([0.6, 0.8])


def ece_by_loop(probabilities, labels, bins):
    total = 0.0
    for b in range(bins):
        inside = [(max(p), np.argmax(p) == y) for p, y in zip(probabilities, labels, strict=True)]
        inside = [(c, r) for c, r in inside if b / bins < c <= (b + 1) / bins]
        if inside:
            gap = abs(np.mean([c for c, _ in inside]) - np.mean([r for _, r in inside]))
            total += len(inside) / len(labels) * gap
    return total


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_ece_is_that_of_a_plain_loop(bins):
    probabilities, labels = rows(4)
    assert ev.calibration(probabilities, labels, bins).ece == pytest.approx(ece_by_loop(probabilities, labels, bins))


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(2, 5), st.integers(1, 30))
def test_ece_is_between_0_and_1_and_does_not_mind_the_order(seed, n, classes, bins):
    probabilities, labels = rows(seed, n, classes)
    order = np.random.default_rng(seed).permutation(n)
    found = ev.calibration(probabilities, labels, bins)
    assert 0 <= found.ece <= 1
    assert found.table["count"].sum() == n
    assert ev.calibration(probabilities[order], labels[order], bins).ece == pytest.approx(found.ece, abs=1e-12)


def test_a_calibrated_model_has_a_small_ece():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 1, 20_000)
    assert ev.calibration(np.stack([1 - p, p], 1), (rng.random(20_000) < p).astype(int)).ece < 0.02


def test_temperature_finds_back_the_one_that_was_put_in_and_beats_a_grid():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, (4000, 3))
    shares = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    labels = (shares.cumsum(1) > rng.random((4000, 1))).argmax(1)
    found = ev.fit_temperature(2.5 * true, labels)
    assert found == pytest.approx(2.5, rel=0.06)
    losses = {t: metrics.log_loss(labels, ev.temper(shares**2.5 / (shares**2.5).sum(1, keepdims=True), t))
              for t in [found, *np.linspace(1, 5, 81)]}  # fmt: skip
    assert losses[found] <= min(losses.values()) + 1e-7


def test_temperature_lowers_the_ece_and_keeps_every_prediction():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.05, 0.95, 3000)
    labels = (rng.random(3000) < p).astype(int)
    sure = ev.temper(np.stack([1 - p, p], 1), 0.3)
    calibrated = ev.temper(sure, ev.fit_temperature(np.log(sure), labels))
    assert ev.calibration(calibrated, labels).ece < 0.25 * ev.calibration(sure, labels).ece
    assert (calibrated.argmax(1) == sure.argmax(1)).all()


def test_temper_with_1_changes_nothing_and_knows_zeros():
    probabilities = np.array([[0.0, 1.0], [0.25, 0.75]])
    np.testing.assert_allclose(ev.temper(probabilities, 1), probabilities, atol=1e-12)
    assert np.isfinite(ev.temper(probabilities, 20)).all()


def test_temperature_that_the_data_do_not_settle_is_warned_of():
    with pytest.warns(UserWarning, match="end of the range"):
        assert ev.fit_temperature([[2.0, 0.0], [0.0, 1.0]], [0, 1]) == pytest.approx(0.05, rel=0.01)


# Evaluation


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_are_scikit_learns(classes):
    probabilities, labels = rows(7, classes=classes)
    found, predicted = ev.evaluate(probabilities, labels), probabilities.argmax(1)
    assert found.n == 300
    assert found.accuracy.estimate == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found.f1 == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert found.confusion == metrics.confusion_matrix(labels, predicted).tolist()
    assert found.log_loss == pytest.approx(metrics.log_loss(labels, probabilities))
    if classes == 2:
        assert found.brier == pytest.approx(metrics.brier_score_loss(labels, probabilities[:, 1]))
    assert found.ece == ev.calibration(probabilities, labels).ece


def test_classes_may_have_names_and_need_not_all_occur():
    found = ev.evaluate([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]], ["bad", "fine"], classes=["bad", "fine", "great"])
    assert found.confusion == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert found.f1 == 1 and found.classes == ["bad", "fine", "great"]


@given(st.integers(0, 10_000))
def test_evaluation_does_not_mind_the_order(seed):
    probabilities, labels = rows(seed, 30)
    order = np.random.default_rng(seed).permutation(30)
    one, two = ev.evaluate(probabilities, labels), ev.evaluate(probabilities[order], labels[order])
    assert one.confusion == two.confusion
    assert (one.f1, one.ece, one.brier, one.log_loss) == pytest.approx((two.f1, two.ece, two.brier, two.log_loss))


def test_evaluation_is_json_and_reads_well():
    found = ev.evaluate(np.float32(FRAME_PROBABILITIES), FRAME["label"].to_numpy(), classes=np.array([0, 1]))
    assert json.loads(json.dumps(found.to_dict()))["accuracy"]["estimate"] == pytest.approx(4 / 6)
    assert str(found).startswith("accuracy 66.7% [") and "unbalanced" not in str(found)


def test_unbalanced_data_are_told_with_what_accuracy_hides():
    """A class that is never predicted: accuracy 0.94, as of the majority alone."""
    found = ev.evaluate(np.tile([0.9, 0.1, 0.0], (100, 1)), [0] * 94 + [1] * 6)
    assert (found.majority, found.recall, found.balanced_accuracy) == (0.94, [1.0, 0.0, None], 0.5)
    assert found.accuracy.estimate == found.majority
    assert str(found).endswith(
        "unbalanced: always the most frequent class has accuracy 94.0%; balanced accuracy 50.0%, "
        "recall by class: 0 100.0%, 1 0.0%"
    )
    truth, predicted = np.arange(90) % 3, np.arange(90) % 2
    balanced = ev.evaluate(np.eye(3)[predicted], truth)
    assert balanced.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))


def test_labels_that_pandas_made_real_numbers_are_classes():
    """A column of whole numbers with a gap is float in pandas."""
    labels = pd.Series([0, 1, None, 1]).dropna()
    assert labels.dtype == float
    found = ev.evaluate([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], labels, classes=np.array([0, 1]))
    assert found.confusion == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("probabilities", "labels", "classes", "said"),
    [
        ([[0.5, 0.5]], [0, 1], None, "1 rows of predictions and 2 labels"),
        ([[0.5, np.nan]], [0], None, r"nan at \[0, 1\]"),
        ([[0.5, 0.5], [0.7, 0.7]], [0, 1], None, r"row 1 of probabilities sums to 1\.4"),
        ([[2.5, -1.5]], [0], None, r"probabilities\[0, 0\] is 2\.5"),
        (np.empty((0, 2)), [], None, r"shape \(0, 2\)"),
        ([[1.0]], [0], None, r"shape \(1, 1\)"),
        ([0.5, 0.5], [0, 1], None, r"shape \(2,\)"),
        ([[0.5, 0.5]], [2], None, "label .*2.* in row 0 is none of the classes"),
        ([[0.5, 0.5]], [np.nan], None, "label .*nan.* in row 0"),
        ([[0.5, 0.5]], [0], [0, 1, 2], r"2 columns and the classes \[0, 1, 2\]"),
        ([[0.5, 0.5]], ["a"], ["a", "a"], "2 columns and the classes"),
    ],
)
def test_bad_predictions_are_named(probabilities, labels, classes, said):
    for measure in (ev.evaluate, ev.calibration):
        with pytest.raises(BadInput, match=said) as caught:
            measure(probabilities, labels, classes=classes)
        assert caught.value.fix


def test_comparison_gives_each_models_gain_over_one():
    correct = {"lexicon": [1, 0, 0, 0] * 50, "model": [1, 1, 1, 0] * 50}
    table = ev.comparison(correct).set_index("model")
    assert table.loc["model", "accuracy"] == 0.75 and table.loc["model", "gain"] == 0.5
    assert table.loc["lexicon", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert ev.comparison(correct, against="model")["gain"].tolist() == [-0.5, 0]
    for bad in ({}, {"a": [1, 0]}):
        with pytest.raises(BadInput, match="none of the models"):
            ev.comparison(bad, against="b")


# Mistakes


@pytest.fixture(autouse=True)
def small_lexicon(monkeypatch):
    monkeypatch.setattr(corpora, "lexicon", lambda: LEXICON)


def test_by_rating_uses_the_distance_from_zero():
    table = ev.by_rating(FRAME, FRAME_PROBABILITIES).set_index("rating")
    assert table["n"].to_dict() == {"0-0.5": 2, "0.5-1": 1, "1-1.5": 1, "2-3": 2}
    assert table.loc["0.5-1", "accuracy"] == 0


def test_slices_hold_the_sentences_that_they_name():
    table = ev.by_slice(FRAME, FRAME_PROBABILITIES).set_index("slice")
    assert table["n"].to_dict() == {
        "all sentences": 6,
        "negation (not, n't, never)": 1,
        "contrast (but, though, yet)": 1,
        "question": 1,
        "no word of the lexicon": 2,
        "people unsure (|rating| < 1)": 2,
        "lexicon agrees": 3,  # "bad but fun" sums to -0.2
        "lexicon disagrees": 1,  # "not good"
    }
    assert table.loc["negation (not, n't, never)", "accuracy"] == 0
    assert table.loc["all sentences", "share"] == 1


@pytest.mark.parametrize("text", ["It isn't", "isn’t it", "NEVER again", "neither nor"])
def test_negation_in_its_forms(text):
    frame = FRAME.assign(text=text)
    assert ev.by_slice(frame, FRAME_PROBABILITIES)["slice"].tolist()[1].startswith("negation")


def test_negation_is_not_found_inside_other_words():
    frame = FRAME.assign(text="nothings knotted in Cannes")
    assert not ev.by_slice(frame, FRAME_PROBABILITIES)["slice"].str.startswith("negation").any()


def test_without_ratings_the_slices_that_need_them_are_left_out():
    table = ev.by_slice(FRAME.drop(columns="rating"), FRAME_PROBABILITIES)
    assert table["slice"].tolist()[-1] == "no word of the lexicon"


def test_own_slices():
    own = {"loud": lambda frame, lexicon: frame["text"].str.isupper().to_numpy()}
    table = ev.by_slice(FRAME.assign(text="OH"), FRAME_PROBABILITIES, slices=own)
    assert table[["slice", "n"]].values.tolist() == [["loud", 6]]
    with pytest.raises(BadInput, match="none of 6 sentences"):
        ev.by_slice(FRAME, FRAME_PROBABILITIES, slices=own)


def test_hardest_are_the_surest_mistakes():
    table = ev.hardest(FRAME, FRAME_PROBABILITIES)
    assert table.index.tolist() == [2, 4]
    assert table.iloc[0][["text", "label", "predicted", "confidence"]].tolist() == ["not good", 0, 1, 0.8]
    assert len(ev.hardest(FRAME, FRAME_PROBABILITIES, n=1)) == 1
    perfect = np.eye(2)[FRAME["label"]]
    assert ev.hardest(FRAME, perfect).empty


@pytest.mark.parametrize("measure", [ev.by_rating, ev.by_slice, ev.hardest])
def test_frames_that_do_not_fit_are_named(measure):
    with pytest.raises(BadInput, match="6 rows of predictions and 5 rows in the frame"):
        measure(FRAME.head(5), FRAME_PROBABILITIES)
    with pytest.raises(BadInput, match="no column 'label'"):
        measure(FRAME.drop(columns="label"), FRAME_PROBABILITIES)


def test_by_rating_needs_ratings():
    with pytest.raises(BadInput, match="without a human rating"):
        ev.by_rating(FRAME.assign(rating=np.nan), FRAME_PROBABILITIES)


def test_measuring_needs_no_torch():
    code = "import sys, course_lib.evaluation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Models that may decline


def test_the_threshold_keeps_what_is_asked_for():
    scores = [0.9, 0.1, 0.5, 0.7, 0.3]
    assert ev.threshold_for_coverage(scores, 0.4) == 0.7  # 2 of 5 are at least 0.7
    assert ev.threshold_for_coverage(scores, 0.41) == 0.5
    assert ev.threshold_for_coverage(scores, 1.0) == 0.1
    assert ev.threshold_for_coverage([0.5, 0.5, 0.5, 0.1], 0.25) == 0.5  # ties are kept together


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.floats(0.01, 1))
def test_at_least_the_coverage_and_no_larger_threshold(scores, coverage):
    threshold = ev.threshold_for_coverage(scores, coverage)
    kept = np.array(scores) >= threshold
    assert kept.mean() >= coverage - 1e-9
    higher = np.array(scores) > threshold
    assert higher.mean() < coverage


def test_risk_and_coverage_by_hand():
    table = ev.risk_coverage([0.9, 0.8, 0.7, 0.6], [True, True, False, True], [0.5, 0.75, 1.0])
    assert table["coverage"].tolist() == [0.5, 0.75, 1.0]
    assert table["accuracy"].tolist() == pytest.approx([1, 2 / 3, 3 / 4])
    last = ev.wilson_interval(3, 4)
    assert table[["low", "high"]].iloc[-1].tolist() == [last.low, last.high]


def test_a_sure_model_that_guesses_gains_nothing_by_declining():
    random = np.random.default_rng(0)
    scores, correct = random.random(20_000), random.random(20_000) < 0.8
    table = ev.risk_coverage(scores, correct, [0.2, 0.5, 1.0])
    assert (table["low"] < 0.8).all() and (table["high"] > 0.79).all()
    informed = ev.risk_coverage(scores + correct, correct, [0.2, 1.0])
    assert informed["accuracy"].iloc[0] == 1.0


def test_similarity_to_the_nearest_is_scikit_learns():
    random = np.random.default_rng(1)
    ours, theirs = random.normal(size=(70, 5)), random.normal(size=(30, 5))
    expected = metrics.pairwise.cosine_similarity(ours, theirs).max(axis=1)
    np.testing.assert_allclose(ev.nearest_similarity(ours, theirs, chunk=32), expected, atol=1e-12)


def test_the_prior_is_corrected_as_by_bayes():
    """A classifier of two normal classes that was trained at 1:1 and is used at 9:1: Bayes' rule gives both."""
    x = np.linspace(-3, 3, 50)
    likelihood = np.stack([stats.norm.pdf(x, -1), stats.norm.pdf(x, 1)], axis=1)
    balanced = likelihood / likelihood.sum(axis=1, keepdims=True)
    real = likelihood * [0.9, 0.1]
    corrected = ev.correct_prior(balanced, [0.5, 0.5], [0.9, 0.1])
    np.testing.assert_allclose(corrected, real / real.sum(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(ev.correct_prior(corrected, [9, 1], [1, 1]), balanced, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        pytest.param(lambda: ev.threshold_for_coverage([], 0.5), "scores has the shape", id="no score"),
        pytest.param(lambda: ev.threshold_for_coverage([0.1, np.nan], 0.5), "holds nan", id="NaN"),
        pytest.param(lambda: ev.threshold_for_coverage([0.1], 0), "coverage is 0", id="no coverage"),
        pytest.param(lambda: ev.risk_coverage([0.1, 0.2], [True]), "2 rows", id="lengths"),
        pytest.param(lambda: ev.nearest_similarity([[1, 0]], [[1, 0, 0]]), "2 and 3 numbers", id="widths"),
        pytest.param(lambda: ev.nearest_similarity([[0, 0]], [[1, 0]]), "row 0 of vectors", id="no direction"),
        pytest.param(lambda: ev.nearest_similarity([[1, 0]], np.ones((0, 2))), "training_vectors", id="no vector"),
        pytest.param(lambda: ev.correct_prior([[0.5, 0.5]], [0, 1], [1, 1]), "trained is", id="class never seen"),
        pytest.param(lambda: ev.correct_prior([[0.5, 0.5]], [1, 1], [1, 1, 1]), "actual is", id="three classes"),
    ],
)
def test_what_cannot_be_declined_on_is_named(call, says):
    with pytest.raises(BadInput, match=says):
        call()
