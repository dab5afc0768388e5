"""Exercise: the output head that is tied to the embeddings, and the loss on the masked places alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same


def masked_lm_loss(
    hidden: np.ndarray,
    embeddings: np.ndarray,
    bias: np.ndarray,
    labels: np.ndarray,
) -> float:
    """Mean of -ln p(label), in nats, over the places whose label is not -100."""
    asked = labels != -100
    logits = hidden[asked] @ embeddings.T + bias  # (asked, vocab): no logits for places that nobody asks for
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_p[np.arange(len(log_p)), labels[asked]].mean())


def _case(hidden: Any, embeddings: Any, bias: Any, labels: list[int]) -> Case:
    arrays = {"hidden": np.array(hidden), "embeddings": np.array(embeddings), "bias": np.array(bias)}
    return {**arrays, "labels": np.array(labels)}


def _drawn(seed: int, vocab: int, width: int, labels: list[int], size: float = 1.0) -> Case:
    random = np.random.default_rng(seed)
    hidden = random.normal(scale=size, size=(len(labels), width))
    return _case(hidden, random.normal(size=(vocab, width)), random.normal(size=vocab), labels)


def _cases() -> list[Case]:
    third = np.log(3.0)
    return [
        _case([[1.0, 0.0], [0.0, 1.0]], [[third, 0.0], [0.0, 5.0]], [0.0, 0.0], [0, -100]),  # p = 3/4
        _case([[0.0, 0.0], [1.0, 1.0]], [[1.0, 2.0], [0.0, 1.0], [2.0, 0.0]], [third, 0.0, 0.0], [-100, 2]),
        _drawn(1, vocab=3, width=3, labels=[-100, 2, 0, -100]),  # square: a forgotten .T gives no error
        _drawn(2, vocab=7, width=4, labels=[6, -100, -100, 0, 3, -100, 6]),
        _drawn(3, vocab=5, width=2, labels=[4, 1, 2]),  # all places are asked
        _drawn(4, vocab=5, width=2, labels=[-100, -100, 3, 1], size=900.0),
        _drawn(5, vocab=130, width=3, labels=[-100, 120, 7, -100, 30]),  # here -100 is an index that exists
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Did exp() overflow?" if "nan" in problem else "")
    number = as_numbers(got)
    assert number is not None
    if float(number) < -1e-6:
        return "A loss is -ln p, and no p is above 1: it cannot be below 0."
    return None if same(expected, got) else "The loss is off."


def _log_p(logits: Any, axis: int = 1) -> Any:
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _losses(logits: Any, labels: Any) -> Any:
    return -_log_p(logits)[np.arange(len(labels)), labels]


def _asked(hidden: Any, embeddings: Any, bias: Any, labels: Any) -> Any:
    """The losses of the asked places, one by one."""
    asked = labels != -100
    return _losses(hidden[asked] @ embeddings.T + bias, labels[asked])


def _every_place(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(_losses(hidden @ embeddings.T + bias, labels).mean())


def _as_padding(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(_losses(hidden @ embeddings.T + bias, np.maximum(labels, 0)).mean())


def _over_all_places(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(_asked(hidden, embeddings, bias, labels).sum() / len(labels))


def _sum(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(_asked(hidden, embeddings, bias, labels).sum())


def _one_by_one(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> Any:
    return _asked(hidden, embeddings, bias, labels)


def _bits(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(_asked(hidden, embeddings, bias, labels).mean() / np.log(2))


def _power(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(np.exp(_asked(hidden, embeddings, bias, labels).mean()))


def _without_minus(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(-_asked(hidden, embeddings, bias, labels).mean())


def _without_bias(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return masked_lm_loss(hidden, embeddings, 0 * bias, labels)


def _not_transposed(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    asked = labels != -100
    return float(_losses(hidden[asked] @ embeddings + bias, labels[asked]).mean())


def _logit_alone(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    asked = labels != -100
    logits = hidden[asked] @ embeddings.T + bias
    return float(-logits[np.arange(len(logits)), labels[asked]].mean())


def _log_of_mean(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(np.exp(-_asked(hidden, embeddings, bias, labels)).mean()))


def _over_places(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    asked = labels != -100
    log_p = _log_p(hidden[asked] @ embeddings.T + bias, axis=0)
    return float(-log_p[np.arange(len(log_p)), labels[asked]].mean())


def _without_maximum(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    asked = labels != -100
    powers = np.exp(hidden[asked] @ embeddings.T + bias)
    p = powers[np.arange(len(powers)), labels[asked]] / powers.sum(axis=1)
    return float(-np.log(p).mean())


def _log_of_softmax(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    asked = labels != -100
    logits = hidden[asked] @ embeddings.T + bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = powers[np.arange(len(powers)), labels[asked]] / powers.sum(axis=1)
    return float(-np.log(p).mean())


EXERCISE = Exercise(
    reference=masked_lm_loss,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _every_place,
            "-100 is used as the number of a word. It says that nobody asks: leave these places out first.",
        ),
        WrongFunction(
            _as_padding,
            "Places with -100 count as if word 0 were asked for. Leave them out.",
        ),
        WrongFunction(
            _over_all_places,
            "You divide by the number of all tokens. Divide by the number of those that are asked.",
        ),
        WrongFunction(_sum, "This is the sum. The mean over the asked places is wanted."),
        WrongFunction(_one_by_one, "This is one loss for each place. Give their mean."),
        WrongFunction(_bits, "This is in bits (base 2). Nats are wanted: the natural logarithm."),
        WrongFunction(_power, "This is the perplexity. Give the loss itself, without exp."),
        WrongFunction(_without_minus, "The sign is wrong: the loss is minus the logarithm, and above 0."),
        WrongFunction(_without_bias, "The bias has no effect. Add it to the logits."),
        WrongFunction(
            _not_transposed,
            "The embeddings are not transposed. A logit is a product with a *row* of the table.",
        ),
        WrongFunction(
            _logit_alone, "This is the logit of the right word alone. It has to be compared with all the others."
        ),
        WrongFunction(
            _log_of_mean,
            "You take the logarithm of the mean probability. The mean of the logarithms is wanted.",
        ),
        WrongFunction(_over_places, "The softmax runs over the places (axis 0). It should run over the words: axis 1."),
        WrongFunction(
            _without_maximum,
            "The formula is right, but exp() overflows for large logits. Subtract the maximum of each row first.",
        ),
        WrongFunction(
            _log_of_softmax,
            "A tiny probability is rounded to 0, and its logarithm is infinite. Take the logarithm of the softmax by "
            "formula, not of its result.",
        ),
    ),
)
