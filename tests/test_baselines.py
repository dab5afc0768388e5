"""The lexicon against sums worked by hand, the pipelines against what they promise, on made-up sentences."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from course_lib.baselines import VaderLexicon, majority, tfidf_logistic, valences
from course_lib.errors import BadInput

LEXICON = {"good": 1.9, "bad": -2.5, ":)": 2.0, "fun": 2.3}
TEXTS = ["Good, fun!", "a bad film", "a film", "bad... :)", ""]


def lexicon_model() -> VaderLexicon:
    return VaderLexicon(LEXICON).fit(["x", "y"], ["negative", "positive"])


def test_valences_worked_by_hand():
    table = valences(TEXTS, LEXICON)
    assert table["known"].tolist() == [2, 1, 0, 2, 0]
    assert table["total"].tolist() == pytest.approx([4.2, -2.5, 0, -0.5, 0])


def test_probabilities_are_vaders_squashed_sum():
    probabilities = lexicon_model().predict_proba(TEXTS)
    total = np.array([4.2, -2.5, 0, -0.5, 0])
    assert probabilities.dtype == np.float32 and probabilities.shape == (5, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(2 * probabilities[:, 1] - 1, total / np.sqrt(total**2 + 15), atol=1e-6)


def test_predictions_follow_the_probabilities_and_a_tie_is_the_first_class():
    assert lexicon_model().predict(TEXTS).tolist() == ["positive", "negative", "negative", "negative", "negative"]


def test_negation_is_not_handled_as_the_docstring_says():
    assert lexicon_model().predict(["not good"]).tolist() == ["positive"]
    assert "NOT handled" in (VaderLexicon.__doc__ or "")


def test_the_lexicon_is_an_estimator():
    model = VaderLexicon(LEXICON)
    assert clone(model).get_params()["lexicon"] == LEXICON
    assert model.fit(["a", "b"], [0, 1]).score(["good", "bad"], [1, 0]) == 1
    with pytest.raises(NotFittedError):
        VaderLexicon(LEXICON).predict(["good"])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: VaderLexicon(LEXICON).fit(["a"] * 3, [0, 1, 2]), r"3 classes: \[0, 1, 2\]"),
        (lambda: VaderLexicon(LEXICON).fit(["a"], [0]), "1 classes"),
        (lambda: lexicon_model().predict("good"), "one text, 'good'"),
        (lambda: lexicon_model().predict([None]), "None is not a text but NoneType"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(BadInput, match=said):
        call()


def test_the_real_lexicon_knows_good_from_bad():
    model = VaderLexicon().fit(["x", "y"], [0, 1])
    assert model.predict(["a great and lovely film", "a horrible, boring mess"]).tolist() == [1, 0]


def made_up(n: int = 200) -> tuple[list[str], list[int]]:
    """Sentences whose label is in a pair of words ("not good", "very good"), never in a single one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n).tolist()
    flips = rng.integers(0, 2, n).tolist()
    words = [
        ("not " if flip else "very ") + ("good" if label ^ flip else "bad")
        for label, flip in zip(labels, flips, strict=True)
    ]
    return [f"it is {pair} number {i}" for i, pair in enumerate(words)], labels


def test_tfidf_uses_pairs_of_words():
    texts, labels = made_up()
    model = tfidf_logistic()
    assert cross_val_score(model, texts, labels, cv=4).mean() > 0.95
    single = tfidf_logistic().set_params(tfidf__ngram_range=(1, 1))
    assert cross_val_score(single, texts, labels, cv=4).mean() < 0.7


def test_tfidf_gives_probabilities_in_the_order_of_its_classes():
    texts, labels = made_up()
    model = tfidf_logistic().fit(texts, ["pos" if label else "neg" for label in labels])
    assert model.classes_.tolist() == ["neg", "pos"]
    np.testing.assert_allclose(model.predict_proba(texts).sum(axis=1), 1)


def test_tfidf_keeps_the_t_of_dont():
    words = tfidf_logistic().fit(["I don't", "I do"], [0, 1])["tfidf"].get_feature_names_out()
    assert "don t" in words


def test_majority_never_looks():
    model = majority().fit(["a", "b", "c", "d"], [1, 1, 1, 0])
    assert model.predict(["whatever", ""]).tolist() == [1, 1]
    np.testing.assert_allclose(model.predict_proba(["whatever"]), [[0.25, 0.75]])
