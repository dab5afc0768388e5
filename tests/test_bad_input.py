"""One table for everything odd that a learner may hand over: it works sensibly, or the error names value and cure."""

import datetime
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from toy_classifiers import LABELS, QUICK, RATINGS, TEXTS, fitted, tiny

from course_lib.batching import check_texts
from course_lib.classifier import NotFitted, TextClassifier
from course_lib.errors import BadInput, CourseError

WORDS = ["yes" if label else "no" for label in LABELS]


def named(caught: pytest.ExceptionInfo, *parts: str) -> None:
    """The error is of the course, shows the parts, offers a cure, and is short enough to be read."""
    assert isinstance(caught.value, CourseError)
    for part in parts:
        assert part in str(caught.value)
    assert len(caught.value.fix) > 8 and len(str(caught.value)) < 700


def put_first(values: list, odd: object) -> list:
    return [odd, *values[1:]]


# Texts that work

ODD_TEXTS = {
    "empty": "",
    "white space": " \t\n\r\u3000",
    "100,000 characters, one word": "x" * 100_000,
    "100,000 characters, many words": "good " * 20_000,
    "emoji": "😀👩‍👩‍👧🏳️‍🌈",
    "Chinese": "这部电影很好看",
    "Arabic": "فيلم رائع جدا",
    "combining marks": "z̴̧a̷̰l̶g̵o̸",
    "NUL": "a good\0film",
    "only NUL": "\0",
    "lone surrogate": "a good \ud83d film",
    "markup": "<b>good</b> [CLS] [SEP] [MASK]",
    "numpy string": np.str_("a good film"),
}


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_any_string_is_classified(text):
    probabilities = fitted().predict_proba([text, "a good film"])
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities[1], fitted().predict_proba(["a good film"])[0], atol=1e-5)


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_any_string_can_be_learned_from(text):
    text = text[:5000]  # tokenising 100,000 characters takes 0.1 s, here as there
    classifier = tiny().fit(put_first(TEXTS, text), LABELS)
    assert all(torch.isfinite(parameter).all() for parameter in classifier.module_.parameters())


def test_what_a_long_text_says_first_is_read():
    long = ["good " + "film " * 20_000, "bad " + "film " * 20_000]
    short = ["good " + "film " * 200, "bad " + "film " * 200]
    np.testing.assert_array_equal(fitted().decision_logits(long), fitted().decision_logits(short))


def test_nothing_said_is_the_same_however_it_is_written():
    answers = fitted().predict_proba(["", " ", "\n\t", "\0"])
    np.testing.assert_allclose(answers, answers[:1].repeat(4, axis=0), atol=1e-6)


CONTAINERS = {
    "tuple": tuple,
    "numpy array": np.array,
    "numpy object array": lambda texts: np.array(texts, dtype=object),
    "pandas series": pd.Series,
    "series with an odd index": lambda texts: pd.Series(texts, index=range(100, 100 - len(texts), -1)),
    "categorical series": lambda texts: pd.Series(texts, dtype="category"),
    "generator": lambda texts: (text for text in texts),
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_any_one_dimensional_container_is_taken(container):
    texts = ["a good film", "a bad film", "a good film"]
    np.testing.assert_array_equal(fitted().predict_proba(container(texts)), fitted().predict_proba(texts))
    learned = tiny().fit(container(TEXTS), LABELS)
    np.testing.assert_array_equal(learned.predict_proba(texts), tiny().fit(TEXTS, LABELS).predict_proba(texts))


# Texts that do not

NO_TEXTS = {
    "int": (["a", 5], "texts[1] is 5 of type int"),
    "None in it": (["a", None], "texts[1] is None"),
    "NaN in it": (["a", float("nan")], "texts[1] is nan of type float"),
    "pandas NA in it": (["a", pd.NA], "texts[1] is <NA>"),
    "series with a gap": (pd.Series(["a", None]), "texts[1] is nan"),
    "bytes": ([b"a"], "texts[0] is b'a' of type bytes"),
    "a single string": ("a good film", "texts is a single str: 'a good film'"),
    "a single long string": ("a good film " * 9999, "texts is a single str: 'a good"),
    "a single bytes": (b"a good film", "texts is a single bytes"),
    "2-D array": (np.array([["a", "b"]]), "texts has 2 dimensions"),
    "0-D array": (np.array("a"), "texts has 0 dimensions"),
    "data frame": (pd.DataFrame({"text": ["a"]}), "texts has 2 dimensions"),
    "list of lists": ([["a"], ["b"]], "texts[0] is ['a'] of type list"),
    "ragged lists": ([["a"], ["b", "c"]], "texts[0] is ['a'] of type list"),
    "numbers": (np.arange(3), "of type int64, not a string"),
    "None": (None, "texts is None"),
    "a number": (5, "texts is 5"),
    "a dictionary": ({"a": 1}, "of type dict"),
    "a set": ({"a"}, "of type set"),
}


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_logits"])
@pytest.mark.parametrize(("texts", "said"), NO_TEXTS.values(), ids=NO_TEXTS)
def test_what_is_no_text_is_named_by_predict(texts, said, method):
    with pytest.raises(BadInput) as caught:
        getattr(fitted(), method)(texts)
    named(caught, said)


@pytest.mark.parametrize(("texts", "said"), NO_TEXTS.values(), ids=NO_TEXTS)
def test_what_is_no_text_is_named_by_fit_before_any_work(texts, said):
    classifier = tiny()
    with pytest.raises(BadInput) as caught:
        classifier.fit(texts, [0, 1])
    named(caught, said)
    assert not hasattr(classifier, "module_")


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_logits", "save"])
def test_before_fit_it_says_what_to_do(method, tmp_path):
    with pytest.raises(NotFitted, match=r"(?s)not fitted yet.*fit\(texts, labels\) first.*from_pretrained"):
        getattr(tiny(), method)(tmp_path / "m" if method == "save" else ["a"])


# Labels

NO_LABELS = {
    "NaN": (put_first(LABELS, float("nan")), "labels[0] is missing: nan"),
    "NaN among words": (put_first(WORDS, float("nan")), "labels[0] is missing: nan"),
    "None": (put_first(LABELS, None), "labels[0] is missing: None"),
    "None among words": (put_first(WORDS, None), "labels[0] is missing: None"),
    "pandas NA": (pd.Series(put_first(LABELS, pd.NA)), "labels[0] is missing: <NA>"),
    "NaN in a series of words": (pd.Series(put_first(WORDS, None)), "labels[0] is missing"),
    "NaT": ([pd.NaT, *LABELS[1:]], "labels[0] is missing: NaT"),
    "one class": ([1] * 40, "all 40 labels are [1]: one class only"),
    "too few": (LABELS[:-1], "40 texts, but labels has shape (39,)"),
    "too many": ([*LABELS, 1], "40 texts, but labels has shape (41,)"),
    "none at all": ([], "40 texts, but labels has shape (0,)"),
    "no list": (1, "labels is 1: no list"),
    "missing": (None, "labels is None"),
    "a string": ("yes", "labels is 'yes': no list"),
    "real numbers": ([0.25, *map(float, LABELS[1:])], "real numbers such as 0.25"),
    "infinite": ([math.inf, *map(float, LABELS[1:])], "real numbers such as inf"),
    "numbers and words": (put_first(LABELS, "good"), "labels mix types: text, whole numbers"),
    "truth values and numbers": (put_first(LABELS, True), "labels mix types: truth values, whole numbers"),
    "truth values and words": (put_first(WORDS, True), "labels mix types: text, truth values"),
    "one-hot": (np.eye(2)[LABELS], "40 texts, but labels has shape (40, 2)"),
    "pairs": ([(label, 0) for label in LABELS], "40 texts, but labels has shape (40, 2)"),
    "bytes": ([b"a", b"b"] * 20, "Unknown label type: labels hold b'a'"),
    "dates": ([datetime.date(2020, 1, 1 + label) for label in LABELS], "Unknown label type: labels hold datetime.date"),
    "complex": ([1j, 2j] * 20, "Unknown label type: labels hold 1j"),
    "lists of several lengths": ([[1], [1, 2]] * 20, "Unknown label type: labels hold [1]"),
}


@pytest.mark.parametrize(("labels", "said"), NO_LABELS.values(), ids=NO_LABELS)
def test_labels_that_cannot_be_learned_are_named_before_any_work(labels, said):
    classifier = tiny()
    with pytest.raises(BadInput) as caught:
        classifier.fit(TEXTS, labels)
    named(caught, said)
    assert not hasattr(classifier, "module_") and not hasattr(classifier, "classes_")


LABEL_CONTAINERS = {
    "series with an odd index": pd.Series(LABELS, index=range(100, 60, -1)),
    "column": np.array(LABELS)[:, None],
    "small integers": np.array(LABELS, dtype=np.int8),
    "nullable integers": pd.Series(LABELS, dtype="Int64"),
    "whole real numbers": [float(label) for label in LABELS],
    "tuple": tuple(LABELS),
}


@pytest.mark.parametrize("labels", LABEL_CONTAINERS.values(), ids=LABEL_CONTAINERS)
def test_labels_in_any_container_are_learned_alike(labels):
    learned = tiny().fit(TEXTS, labels)
    np.testing.assert_array_equal(learned.decision_logits(TEXTS), tiny().fit(TEXTS, LABELS).decision_logits(TEXTS))


def test_categories_are_labels():
    assert tiny().fit(TEXTS, pd.Categorical(WORDS)).classes_.tolist() == ["no", "yes"]


NO_NUMBERS = {
    "NaN": (put_first(RATINGS, float("nan")), "is nan"),
    "infinite": (put_first(RATINGS, float("inf")), "is inf"),
    "words": (WORDS, "are not numbers: ['yes'"),
    "too few": (RATINGS[:-1], "has shape (39,)"),
    "missing": (None, "is None"),
    "ragged": ([[1.0], [1.0, 2.0]] * 20, "are not numbers"),
}


@pytest.mark.parametrize(("numbers", "said"), NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_targets_of_regression_are_finite_numbers(numbers, said):
    with pytest.raises(BadInput) as caught:
        tiny(head="regression").fit(TEXTS, numbers)
    named(caught, "labels", said)


@pytest.mark.parametrize(("numbers", "said"), NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_ratings_of_multitask_are_finite_numbers(numbers, said):
    with pytest.raises(BadInput) as caught:
        tiny(head="multitask").fit(TEXTS, LABELS, ratings=numbers)
    named(caught, "ratings", said)


HALF = np.full((40, 2), 0.5)
NO_SOFT_LABELS = {
    "a column": (HALF[:, 0], "shape (40,)"),
    "three columns": (np.full((40, 3), 1 / 3), "shape (40, 3)"),
    "too few rows": (HALF[:-1], "shape (39, 2)"),
    "rows that sum to 2": (HALF * 2, "soft_labels[0] is [1.0, 1.0]"),
    "negative": (np.array([[0.5, 0.5]] * 7 + [[-0.5, 1.5]] * 33), "soft_labels[7] is [-0.5, 1.5]"),
    "NaN": (HALF * np.nan, "soft_labels[0] is [nan, nan]"),
    "words": ("half", "soft_labels are not numbers: 'half'"),
    "ragged": ([[1.0], [0.5, 0.5]] * 20, "soft_labels are not numbers"),
}


@pytest.mark.parametrize(("soft", "said"), NO_SOFT_LABELS.values(), ids=NO_SOFT_LABELS)
def test_soft_labels_are_probabilities(soft, said):
    with pytest.raises(BadInput) as caught:
        tiny().fit(TEXTS, LABELS, soft_labels=soft)
    named(caught, said)


NO_VALIDATION = {
    "a share": (0.1, "validation is 0.1"),
    "three things": ((TEXTS, LABELS, LABELS), "validation is ("),
    "nothing": (([], []), "no text to go with validation labels"),
    "mismatched": ((["a"], [0, 1]), "1 texts, but validation labels has shape (2,)"),
    "an unseen label": ((["a"], [7]), "holds 7, which is not a class"),
    "labels of another kind": ((["a"], ["1"]), "holds '1', which is not a class"),
    "a missing label": ((["a"], [None]), "validation labels[0] is missing"),
    "a missing text": (([None], [1]), "validation texts[0] is None"),
}


@pytest.mark.parametrize(("validation", "said"), NO_VALIDATION.values(), ids=NO_VALIDATION)
def test_validation_that_cannot_be_measured_is_named_before_any_work(validation, said):
    classifier = tiny()
    with pytest.raises(BadInput) as caught:
        classifier.fit(TEXTS, LABELS, validation=validation)
    named(caught, said)
    assert not hasattr(classifier, "module_")


MISFITS = {
    "ratings for classification": ({}, {"ratings": RATINGS}, "ratings are given, but head is 'classification'"),
    "ratings for regression": ({"head": "regression"}, {"ratings": RATINGS}, "its numbers are the labels"),
    "soft labels for regression": ({"head": "regression"}, {"soft_labels": HALF}, "its numbers are the labels"),
    "no ratings for multitask": ({"head": "multitask"}, {}, "ratings is None"),
    "patience without validation": ({"training": replace(QUICK, patience=1)}, {}, "nothing to validate on"),
}


@pytest.mark.parametrize(("parameters", "given", "said"), MISFITS.values(), ids=MISFITS)
def test_things_that_do_not_go_together_are_named(parameters, given, said):
    with pytest.raises(BadInput) as caught:
        tiny(**parameters).fit(TEXTS, LABELS, **given)
    named(caught, said)


# Parameters

BAD_PARAMETERS = [
    ("head", "sentiment", "classification, regression, multitask"),
    ("head", None, "classification, regression, multitask"),
    ("training", {"epochs": 1}, "TrainingConfig"),
    ("training", 3, "TrainingConfig"),
    ("lora_rank", -1, "0 for none"),
    ("lora_rank", 1.5, "0 for none"),
    ("lora_rank", "4", "0 for none"),
    ("lora_rank", True, "0 for none"),
    ("max_length", 2, "3 or more"),
    ("max_length", 12.5, "3 or more"),
    ("max_length", "128", "3 or more"),
    ("max_length", None, "3 or more"),
    ("max_length", 513, "512 tokens at most"),
    ("dropout", 1.0, "from 0 to below 1"),
    ("dropout", -0.1, "from 0 to below 1"),
    ("dropout", float("nan"), "from 0 to below 1"),
    ("dropout", None, "from 0 to below 1"),
    ("precision", "float16", "float32, auto"),
    ("encoder", None, "folder or a hub name"),
    ("encoder", 3, "folder or a hub name"),
]


@pytest.mark.parametrize(("name", "value", "cure"), BAD_PARAMETERS, ids=lambda part: repr(part)[:20])
def test_a_parameter_out_of_range_is_named_before_any_work(name, value, cure):
    classifier = TextClassifier(**{"encoder": "tiny", "training": QUICK, name: value})
    with pytest.raises(BadInput) as caught:
        classifier.fit(TEXTS, LABELS)
    named(caught, f"{name} is {value!r}", cure)
    assert not hasattr(classifier, "module_")


def test_low_rank_updates_and_a_frozen_encoder_exclude_each_other():
    with pytest.raises(BadInput, match=r"(?s)lora_rank is 4 and frozen_encoder is True.*choose one"):
        tiny(lora_rank=4, frozen_encoder=True).fit(TEXTS, LABELS)


@pytest.mark.parametrize("seed", [-1, 1.5, "one", None, 2**70])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(BadInput) as caught:
        tiny(replace(QUICK, seed=seed)).fit(TEXTS, LABELS)
    named(caught, f"seed is {seed!r}", "whole number")


def test_a_learning_rate_that_blows_up_is_said_so():
    with pytest.raises(BadInput) as caught:
        tiny(replace(QUICK, learning_rate=1e30)).fit(TEXTS, LABELS)
    named(caught, "the loss is nan", "lower learning_rate")


def test_texts_are_not_changed_by_being_checked():
    texts = ["a\ud83d", "b"]
    check_texts(texts)
    assert texts == ["a\ud83d", "b"]
