"""Exercise: scaled dot-product attention of one head (Vaswani et al. 2017, equation 1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongAnswer
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
    notebook="01",
    title="one head of attention",
    difficulty=3,
    minutes=10,
    why="This is the one step of a Transformer in which words learn from each other. All the rest works on each "
    "word alone. Once you have written it, BERT and GPT hold no more secrets than their size.",
    task="Each row of `query` asks, each row of `key` answers how well it fits, and each row of `value` is what is "
    "handed over. Give the mixed values:\n\n"
    "$$\\text{attention}(Q, K, V) = \\text{softmax}\\left(\\frac{Q K^\\top}{\\sqrt{d}}\\right) V$$\n\n"
    "$d$ is the width of a query. The softmax runs over the keys: the weights of each query add up to 1. Your "
    "function must also be right for scores such as 1,000, as in notebook 00.\n\n"
    "With one query, two keys, and the scores $\\ln 3$ and $0$ after the division, the weights are `[0.75, 0.25]`. "
    "The values `[4, 0]` and `[0, 8]` then give `[3, 2]`.",
    hints=(
        "Write down the shapes first. There is one score for each pair of a query and a key, so the scores have the "
        "shape (n, m). Which product of two matrices gives it?",
        "`query @ key.T` has that shape. Divide it by `np.sqrt(query.shape[1])`. The softmax goes along axis 1: one "
        "row holds all keys of one query.",
        "Subtract `scores.max(axis=1, keepdims=True)`, take `np.exp`, divide by the sum of each row. These are the "
        "weights, (n, m). A matrix product with `value`, (m, e), mixes the rows.",
    ),
    cases=_cases,
    judge=_judge,
    wrong_answers=(
        WrongAnswer(_unscaled, "The scores are not scaled. Divide them by the root of the width of a query."),
        WrongAnswer(_by_width, "You divide by the width d. Divide by its root."),
        WrongAnswer(
            _by_length,
            "You divide by the root of the number of keys. The width of a query is meant: its second dimension.",
        ),
        WrongAnswer(_multiplied, "You multiply by the root of d. Divide by it."),
        WrongAnswer(
            _scaled_afterwards,
            "You scale after the softmax, so the weights no longer add up to 1. Scale the scores, before it.",
        ),
        WrongAnswer(
            _over_queries,
            "The softmax runs over the queries (axis 0). It should run over the keys: axis 1.",
        ),
        WrongAnswer(_over_the_table, "The softmax runs over the whole table. Each query has a softmax of its own."),
        WrongAnswer(_keys_ask, "Here the keys ask and the queries answer. The scores are query @ key.T."),
        WrongAnswer(_not_transposed, "The keys are not transposed. A score is a query's product with a row of `key`."),
        WrongAnswer(
            _without_maximum,
            "The formula is right, but exp() overflows for large scores. Subtract the maximum of each row first.",
        ),
        WrongAnswer(_without_softmax, "There is no softmax: you mix with the scores themselves."),
        WrongAnswer(_not_divided, "The powers are not divided by their sum. The weights of a query must add up to 1."),
        WrongAnswer(_weights_only, "These are the weights. Mix the values with them: one product is missing."),
        WrongAnswer(
            _the_best_alone,
            "You take the value of the best key alone. Attention is a mean over all keys, with weights.",
        ),
        WrongAnswer(_mixes_keys, "You mix the keys. The keys only say how much; mix the values."),
    ),
)
