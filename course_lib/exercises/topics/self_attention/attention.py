"""Exercise: scaled dot-product attention of one head (Vaswani et al. 2017, equation 1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Mix the values: query (n, d), key (m, d) and value (m, e) give (n, e), one row for each query."""
    scores = query @ key.T / np.sqrt(query.shape[1])
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = powers / powers.sum(axis=1, keepdims=True)
    mixed: np.ndarray = weights @ value
    return mixed


def _cases() -> list[Case]:
    random = np.random.default_rng(0)
    by_hand = (
        np.array([[2.0, 0.0, 0.0, 0.0]]),
        np.array([[np.log(3.0), 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]),  # scores ln 3 and 0: weights 3/4 and 1/4
        np.array([[4.0, 0.0], [0.0, 8.0]]),
    )
    square = tuple(random.normal(size=(3, 3)) for _ in range(3))  # no shape tells rows from columns
    crossed = tuple(random.normal(size=shape) for shape in ((2, 4), (5, 4), (5, 3)))
    one_width = tuple(random.normal(size=(4, 1)) for _ in range(3))
    wide = tuple(random.normal(size=(4, 9)) for _ in range(3))
    large = (np.array([[40.0, 0.0], [0.0, -40.0]]), np.array([[40.0, 1.0], [39.9, 40.0]]), np.array([[1.0], [5.0]]))
    triples = [by_hand, square, crossed, one_width, wide, large]
    return [{"query": query, "key": key, "value": value} for query, key, value in triples]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Did exp() overflow?" if "nan" in problem else "")
    numbers = as_numbers(got)
    assert numbers is not None
    low, high = case["value"].min(axis=0), case["value"].max(axis=0)
    if (numbers < low - 1e-5).any() or (numbers > high + 1e-5).any():
        return "A mean lies between the smallest and the largest value; one of yours does not. Do the weights sum to 1?"
    return None if same(expected, got) else "These are means of the values, but with other weights."


def _softmax(scores: np.ndarray, axis: int | None = 1) -> Any:
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _root(query: np.ndarray) -> Any:
    return np.sqrt(query.shape[1])


def _unscaled(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(query @ key.T) @ value


def _by_width(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(query @ key.T / query.shape[1]) @ value


def _by_length(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(query @ key.T / np.sqrt(len(key))) @ value


def _multiplied(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(query @ key.T * _root(query)) @ value


def _scaled_afterwards(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(query @ key.T) / _root(query) @ value


def _over_queries(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(query @ key.T / _root(query), axis=0) @ value


def _over_the_table(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(query @ key.T / _root(query), axis=None) @ value


def _keys_ask(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(key @ query.T / _root(query)) @ value


def _not_transposed(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(query @ key / _root(query)) @ value


def _without_maximum(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    powers = np.exp(query @ key.T / _root(query))
    return powers / powers.sum(axis=1, keepdims=True) @ value


def _without_softmax(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return query @ key.T / _root(query) @ value


def _not_divided(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return np.exp(query @ key.T / _root(query)) @ value


def _weights_only(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(query @ key.T / _root(query))


def _the_best_alone(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return value[(query @ key.T).argmax(axis=1)]


def _mixes_keys(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return _softmax(query @ key.T / _root(query)) @ key


EXERCISE = Exercise(
    reference=attention,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_unscaled, "The scores are not scaled. Divide them by the root of the width of a query."),
        WrongFunction(_by_width, "You divide by the width d. Divide by its root."),
        WrongFunction(
            _by_length,
            "You divide by the root of the number of keys. The width of a query is meant: its second dimension.",
        ),
        WrongFunction(_multiplied, "You multiply by the root of d. Divide by it."),
        WrongFunction(
            _scaled_afterwards,
            "You scale after the softmax, so the weights no longer add up to 1. Scale the scores, before it.",
        ),
        WrongFunction(
            _over_queries,
            "The softmax runs over the queries (axis 0). It should run over the keys: axis 1.",
        ),
        WrongFunction(_over_the_table, "The softmax runs over the whole table. Each query has a softmax of its own."),
        WrongFunction(_keys_ask, "Here the keys ask and the queries answer. The scores are query @ key.T."),
        WrongFunction(
            _not_transposed, "The keys are not transposed. A score is a query's product with a row of `key`."
        ),
        WrongFunction(
            _without_maximum,
            "The formula is right, but exp() overflows for large scores. Subtract the maximum of each row first.",
        ),
        WrongFunction(_without_softmax, "There is no softmax: you mix with the scores themselves."),
        WrongFunction(
            _not_divided, "The powers are not divided by their sum. The weights of a query must add up to 1."
        ),
        WrongFunction(_weights_only, "These are the weights. Mix the values with them: one product is missing."),
        WrongFunction(
            _the_best_alone,
            "You take the value of the best key alone. Attention is a mean over all keys, with weights.",
        ),
        WrongFunction(_mixes_keys, "You mix the keys. The keys only say how much; mix the values."),
    ),
)
