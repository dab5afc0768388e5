"""scikit-learn's own common checks where they fit, their equivalents on texts where they do not, and its users.

`check_estimator` itself skips every estimator that does not take a two-dimensional X, so the checks are called one
by one. Pickling is not promised: a classifier is saved as a transformers folder.
"""

import inspect

import lime.lime_text
import numpy as np
import pytest
import shap
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.validation import check_is_fitted
from toy_classifiers import LABELS, LEARNING, QUICK, RATINGS, TEXTS, fitted, tiny

from course_lib.classifier import TextClassifier

HEADS = ("classification", "regression", "multitask")

# The checks that call no `fit`, or call it with nothing that must be numbers.
APPLICABLE = [
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", APPLICABLE)
def test_scikits_own_check(name, head):
    """scikit-learn's check asserts inside: it raises where the estimator breaks the convention."""
    check = getattr(estimator_checks, name)
    check("TextClassifier", TextClassifier("tiny", head=head, training=QUICK))


# Equivalents on texts of checks that need a numeric X


def test_fit_returns_self_and_sets_what_ends_in_an_underscore():
    """check_estimators_fit_returns_self, check_dont_overwrite_parameters"""
    classifier = tiny()
    before = set(vars(classifier))
    assert classifier.fit(TEXTS, LABELS) is classifier
    new = set(vars(classifier)) - before
    assert {"classes_", "module_", "history_"} <= new
    assert all(name.endswith("_") or name.startswith("_") for name in new)


@pytest.mark.parametrize("head", HEADS)
def test_fit_does_not_overwrite_parameters(head):
    """check_estimators_overwrite_params"""
    classifier = tiny(head=head, dropout=0.2, max_length=20)
    before = {name: (value, repr(value)) for name, value in classifier.get_params().items()}
    ratings = {"ratings": RATINGS} if head == "multitask" else {}
    classifier.fit(TEXTS, RATINGS if head == "regression" else LABELS, **ratings)
    after = classifier.get_params()
    for name, (value, written) in before.items():
        assert after[name] is value and repr(after[name]) == written


def test_fit_and_predict_do_not_change_what_they_are_given():
    """check_readonly_memmap_input, check_dict_unchanged"""
    texts, labels = np.array(TEXTS), np.array(LABELS)
    texts.flags.writeable = labels.flags.writeable = False
    classifier = tiny().fit(texts, labels)
    state = {name: id(value) for name, value in vars(classifier).items()}
    classifier.predict(texts), classifier.predict_proba(texts), classifier.score(texts, labels)
    assert {name: id(value) for name, value in vars(classifier).items()} == state
    assert texts.tolist() == TEXTS and labels.tolist() == LABELS


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_logits", "score"])
def test_before_fit_there_is_a_not_fitted_error(method):
    """check_estimators_unfitted, check_fit_check_is_fitted"""
    arguments = (TEXTS, LABELS) if method == "score" else (TEXTS,)
    with pytest.raises(NotFittedError):
        getattr(tiny(), method)(*arguments)
    with pytest.raises(NotFittedError):
        check_is_fitted(tiny())
    check_is_fitted(fitted())


@pytest.mark.parametrize(
    ("labels", "said"),
    [([1] * 40, "class"), (np.random.default_rng(0).normal(size=40), "Unknown label type: "), (None, "y is required")],
    ids=["one class", "real numbers", "nothing"],
)
def test_labels_are_refused_in_scikits_words(labels, said):
    """check_classifiers_one_label, check_classifiers_regression_target, check_requires_y_none"""
    with pytest.raises(ValueError, match=said):
        tiny().fit(TEXTS, labels)


def test_a_second_fit_starts_again():
    """check_fit_idempotent, and other classes the second time"""
    classifier = tiny().fit(TEXTS, ["x" if label else "y" for label in LABELS])
    classifier.fit(TEXTS, LABELS)
    assert classifier.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(classifier.predict_proba(TEXTS), tiny().fit(TEXTS, LABELS).predict_proba(TEXTS))


def test_a_second_fit_with_another_head_leaves_no_trace_of_the_first():
    classifier = tiny().fit(TEXTS, LABELS).set_params(head="regression").fit(TEXTS, RATINGS)
    assert not hasattr(classifier, "classes_") and not hasattr(classifier, "predict_proba")
    assert classifier.predict(TEXTS).dtype == np.float32


def test_classes_are_sorted_and_predictions_are_of_them():
    """check_classifiers_classes, check_classifiers_train"""
    names = np.array(["zebra", "ant"])[LABELS]
    classifier = tiny().fit(TEXTS, names)
    assert classifier.classes_.tolist() == ["ant", "zebra"]
    predicted = classifier.predict(TEXTS)
    assert predicted.dtype.kind == names.dtype.kind and set(predicted) <= {"ant", "zebra"}
    np.testing.assert_array_equal(predicted, classifier.classes_[classifier.predict_proba(TEXTS).argmax(1)])


def test_a_column_of_labels_is_taken():
    """check_supervised_y_2d"""
    column = tiny().fit(TEXTS, np.array(LABELS)[:, None])
    np.testing.assert_array_equal(column.predict(TEXTS), tiny().fit(TEXTS, LABELS).predict(TEXTS))


def test_score_is_the_accuracy_and_takes_weights():
    right = np.array(fitted().predict(TEXTS)) == LABELS
    flipped = [1 - label if i < 10 else label for i, label in enumerate(LABELS)]
    weights = np.arange(1, 41)
    assert right.all() and fitted().score(TEXTS, flipped) == 0.75
    assert fitted().score(TEXTS, flipped, sample_weight=weights) == pytest.approx(weights[10:].sum() / weights.sum())


def test_there_is_no_number_of_features():
    """check_n_features_in: texts have none"""
    assert not hasattr(fitted(), "n_features_in_") and get_tags(fitted()).input_tags.string
    assert not get_tags(fitted()).input_tags.two_d_array


@pytest.mark.parametrize("head", HEADS)
def test_what_kind_of_estimator_it_is(head):
    classifier = tiny(head=head)
    assert is_classifier(classifier) is (head != "regression") and is_regressor(classifier) is (head == "regression")
    assert hasattr(classifier, "predict_proba") is (head != "regression")


def test_every_parameter_is_documented():
    documented = inspect.getdoc(TextClassifier) or ""
    for name in TextClassifier().get_params():
        assert f"    {name}: " in documented


# Its users


def test_a_clone_is_unfitted_and_learns_the_same():
    copied = clone(fitted())
    assert copied.get_params() == fitted().get_params() and not hasattr(copied, "module_")
    one, other = clone(tiny()).fit(TEXTS, LABELS), tiny().fit(TEXTS, LABELS)
    np.testing.assert_array_equal(one.predict_proba(TEXTS), other.predict_proba(TEXTS))


def test_set_params_is_seen_by_the_next_fit():
    classifier = tiny().fit(TEXTS, LABELS).set_params(training=LEARNING)
    np.testing.assert_array_equal(classifier.fit(TEXTS, LABELS).predict_proba(TEXTS), fitted().predict_proba(TEXTS))
    with pytest.raises(ValueError, match="Invalid parameter 'epochs'"):
        classifier.set_params(epochs=3)


def test_cross_validation():
    scores = cross_val_score(tiny(LEARNING), TEXTS, LABELS, cv=StratifiedKFold(2, shuffle=True, random_state=0))
    assert scores.shape == (2,) and scores.min() > 0.8


def test_cross_validation_of_a_regression_makes_folds_of_numbers():
    ratings = np.linspace(-2, 2, 40)  # all different: no classes to stratify by
    predicted = cross_val_predict(tiny(head="regression"), TEXTS, ratings, cv=2)
    assert predicted.shape == (40,) and np.isfinite(predicted).all()


def test_cross_validated_probabilities_and_scorers():
    probabilities = cross_val_predict(tiny(), TEXTS, LABELS, cv=2, method="predict_proba")
    assert probabilities.shape == (40, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert roc_auc_score(LABELS, fitted().predict_proba(TEXTS)[:, 1]) == 1
    assert accuracy_score(LABELS, fitted().predict(TEXTS)) == 1
    assert cross_val_score(tiny(), TEXTS, LABELS, cv=2, scoring="neg_log_loss").max() < 0


def test_a_pipeline():
    lower = FunctionTransformer(lambda texts: [text.replace("BAD", "good") for text in texts])
    pipeline = Pipeline([("rewrite", lower), ("classify", tiny(LEARNING))]).fit(TEXTS, LABELS)
    assert pipeline.predict(["a BAD film", "a bad film"]).tolist() == [1, 0]
    assert pipeline["classify"].classes_.tolist() == pipeline.classes_.tolist() == [0, 1]


def test_a_grid_search_over_hyper_parameters():
    grid = {"training": [QUICK, LEARNING], "dropout": [0.1]}
    search = GridSearchCV(tiny(), grid, cv=2).fit(TEXTS, LABELS)
    assert search.best_params_["training"] == LEARNING and search.best_score_ > 0.8
    assert search.predict(["a good film", "a bad film"]).tolist() == [1, 0]


def test_lime_takes_predict_proba_as_it_is():
    """The toy classifier says negative unless it meets a good word, which is therefore the explanation."""
    explainer = lime.lime_text.LimeTextExplainer(class_names=["negative", "positive"], random_state=0)
    explained = explainer.explain_instance("a lovely film", fitted().predict_proba, num_features=3, num_samples=60)
    words = dict(explained.as_list())
    assert max(words, key=words.get) == "lovely" and words["lovely"] > 0.5


@pytest.mark.slow
def test_shap_takes_predict_proba_as_it_is():
    explainer = shap.Explainer(fitted().predict_proba, shap.maskers.Text(r"\W"), seed=0)
    explained = explainer(["a lovely film"], max_evals=40, silent=True)
    values = explained.values[0][:, 1]  # towards positive
    words = [word.strip() for word in explained.data[0]]
    assert words[int(values.argmax())] == "lovely" and values.max() > 0.5
    given = fitted().predict_proba(["a lovely film"])[0, 1]
    assert values.sum() + explained.base_values[0][1] == pytest.approx(given, abs=1e-4)
