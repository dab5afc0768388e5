"""Log-probabilities of answers against a plain forward pass, and classification by prompt."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from toy_decoders import toy_lm

from course_lib.errors import BadInput
from course_lib.generation import CausalLM
from course_lib.generation.scoring import (
    PromptClassifier,
    answer_log_probabilities,
    perplexity,
    token_log_probabilities,
)

CONTEXTS = [[1, 7, 8, 9], [1, 7, 8, 20, 21, 22, 23], [1, 7], [1, 7, 8, 9], [1, 7, 8] + [30] * 40]
ANSWERS = [[5], [6, 7, 8], [6, 7, 9, 10], [11] * 9]
TEXTS = ["good", "bad", "so good", "a very bad film", "good"]
ASK = "Review: {text}"


@pytest.fixture(scope="module")
def lm() -> CausalLM:
    return toy_lm(max_positions=512)


def plain(lm: CausalLM, context: list[int], answer: list[int]) -> float:
    """The sum over the answer's tokens, of one forward pass of everything."""
    with torch.inference_mode():
        scores = lm.model.logits(lm.model(torch.tensor([context + answer])))[0].log_softmax(-1)
    return float(sum(scores[len(context) - 1 + place, token] for place, token in enumerate(answer)))


# ---- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contexts", [CONTEXTS, CONTEXTS[:1], [[4], [5, 6, 7]], [[9] * 30] * 3], ids=len)
def test_answers_are_scored_as_by_a_plain_pass(lm: CausalLM, contexts: list[list[int]]) -> None:
    wanted = [[plain(lm, context, answer) for answer in ANSWERS] for context in contexts]
    found = answer_log_probabilities(lm, contexts, ANSWERS)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    normalized = answer_log_probabilities(lm, contexts, ANSWERS, length_normalized=True)
    np.testing.assert_allclose(normalized, found / [1, 3, 4, 9])
    for row, context in enumerate(contexts):
        np.testing.assert_allclose(answer_log_probabilities(lm, [context], ANSWERS)[0], found[row], atol=1e-8)


def test_batches_change_no_score(lm: CausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from course_lib import machine

    wanted = answer_log_probabilities(lm, CONTEXTS, ANSWERS)
    small = replace(machine.preset(), predict_tokens=10)
    monkeypatch.setattr(machine, "preset", lambda: small)
    np.testing.assert_allclose(answer_log_probabilities(lm, CONTEXTS, ANSWERS), wanted, atol=1e-8)


def test_probabilities_of_all_tokens_sum_to_one(lm: CausalLM) -> None:
    every = [[token] for token in range(259)]
    np.testing.assert_allclose(np.exp(answer_log_probabilities(lm, CONTEXTS, every)).sum(1), 1)


def test_contexts_as_tuples_and_arrays(lm: CausalLM) -> None:
    wanted = answer_log_probabilities(lm, CONTEXTS, ANSWERS)
    found = answer_log_probabilities(lm, [np.array(row) for row in CONTEXTS], tuple(map(tuple, ANSWERS)))
    np.testing.assert_array_equal(found, wanted)


BAD_ROWS: list[tuple[Any, Any]] = [
    ([], [[1]]), ([[1]], []), ([[]], [[1]]), ([[1]], [[2], []]), (None, [[1]]), ([[1]], [1]), ([["a"]], [[1]]),
    ([[259]], [[1]]), ([[1]], [[-1]]), ([[1] * 510], [[1, 2, 3]]),
]  # fmt: skip


@pytest.mark.parametrize(("contexts", "answers"), BAD_ROWS, ids=lambda rows: f"{rows}"[:20])
def test_rows_that_cannot_be_scored(lm: CausalLM, contexts: Any, answers: Any) -> None:
    with pytest.raises(BadInput):
        answer_log_probabilities(lm, contexts, answers)


# ---- the classifier ------------------------------------------------------------------------------------------------


def classifier(lm: CausalLM, answers: Any = None, **arguments: Any) -> PromptClassifier:
    return PromptClassifier(lm, ASK, answers or {0: "negative", 1: "positive"}, **arguments)


def test_a_classifier_compares_its_answers(lm: CausalLM) -> None:
    model = classifier(lm, examples=[("fine", 1), ("dull", 0)])
    answers = [lm.encode("negative"), lm.encode("positive")]
    scores = [[plain(lm, lm.chat_ids(model.messages(text)), answer) for answer in answers] for text in TEXTS]
    np.testing.assert_allclose(model.answer_scores(TEXTS), scores, atol=1e-5)
    exact = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(TEXTS), exact, atol=1e-5)
    assert [turn["role"] for turn in model.messages("x")] == ["user", "assistant"] * 2 + ["user"]
    assert model.messages("x {text}")[-1]["content"] == "Review: x {text}"


@pytest.mark.parametrize(
    "classes", [(0, 1), ("no", "yes"), (False, True), (1.5, -2.0), (0, "yes"), ((0, 1), (2, 3))], ids=str
)
def test_classes_of_any_type(lm: CausalLM, classes: tuple[Any, Any]) -> None:
    model = classifier(lm, dict(zip(classes, ("negative", "positive"), strict=True)))
    predicted = model.predict(TEXTS)
    columns = model.predict_proba(TEXTS).argmax(1)
    assert predicted.shape == (5,) and list(predicted) == [classes[column] for column in columns]
    assert list(model.classes_) == list(classes)
    if len({type(one) for one in classes}) == 1 and not isinstance(classes[0], tuple):
        assert model.score(TEXTS, list(predicted)) == 1.0
        model.calibrate(TEXTS, list(predicted))


def test_no_text_and_one_text_twice(lm: CausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = classifier(lm), []
    assert model.predict_proba([]).shape == (0, 2) and model.predict([]).shape == (0,)
    chat_ids = CausalLM.chat_ids
    monkeypatch.setattr(CausalLM, "chat_ids", lambda *given: seen.append(given[1]) or chat_ids(*given))
    rows = model.predict_proba(TEXTS)
    assert len(seen) == 4 and (rows[0] == rows[4]).all()


def test_calibration_removes_a_preference(lm: CausalLM) -> None:
    texts = [f"{word} {number}" for number in range(12) for word in ("good", "bad", "odd")]
    model = classifier(lm)
    before = model.answer_scores(texts)
    model.calibrate(texts)
    odds = np.log(model.predict_proba(texts))
    np.testing.assert_allclose((odds[:, 0] - odds[:, 1]).mean(), 0, atol=1e-4)
    above = before[:, 1] - before[:, 0] > (before[:, 1] - before[:, 0]).mean()
    np.testing.assert_array_equal(model.predict(texts), above.astype(int))
    labels = np.array([0, 1, 1] * 12)
    model.calibrate(texts, labels)
    np.testing.assert_allclose(model.predict_proba(texts).mean(0), [1 / 3, 2 / 3], atol=0.02)
    assert model.score(texts, labels) >= 2 / 3


def test_what_a_classifier_refuses(lm: CausalLM) -> None:
    for answers in ({}, {0: "a"}, {0: "a", 1: ""}, {0: "a", 1: "a"}, {0: "a", 1: None}, ["a", "b"]):
        with pytest.raises(BadInput):
            PromptClassifier(lm, ASK, answers)  # type: ignore[arg-type]
    for instruction in ("no place", "", None):
        with pytest.raises(BadInput):
            PromptClassifier(lm, instruction, {0: "a", 1: "b"})  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="class"):
        classifier(lm, examples=[("x", 7)])
    for texts in ("one", None, [None], [3]):
        for call in (classifier(lm).predict, classifier(lm).calibrate):
            with pytest.raises(BadInput):
                call(texts)  # type: ignore[operator]
    with pytest.raises(BadInput):
        classifier(lm).calibrate(TEXTS, [0, 1, 2, 0, 1])
    with pytest.raises(BadInput):
        classifier(lm).calibrate(TEXTS, [0, 1])


def test_two_threads_score_at_once(lm: CausalLM) -> None:
    wanted = classifier(lm).predict_proba(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(classifier(lm).predict_proba, TEXTS) for _ in range(12)]
        for job in jobs:
            np.testing.assert_allclose(job.result(), wanted, atol=1e-6)


# ---- perplexity ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 7, 32, 33, 512])
def test_perplexity_is_that_of_plain_passes(lm: CausalLM, window: int) -> None:
    text = "The old bridge crosses the river near the mill, and the water rises every spring. " * 2
    ids = lm.encode(text)
    wanted = [plain(lm, ids[at - 1 - (at - 1) % window : at], [ids[at]]) for at in range(1, len(ids))]
    np.testing.assert_allclose(token_log_probabilities(lm, text, window), wanted, atol=1e-6)
    assert perplexity(lm, text, window) == pytest.approx(np.exp(-np.mean(wanted)))


@pytest.mark.parametrize(("text", "window"), [("a", 512), ("", 512), ("abc", 0), ("abc", 513), ("abc", "all")])
def test_perplexity_refuses(lm: CausalLM, text: str, window: Any) -> None:
    with pytest.raises(BadInput):
        perplexity(lm, text, window)
