"""Attention with its masks and heads, positions, and layer norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import array_problem, numbers_of, same, sum_problem

# ---------------- scaled dot-product attention of one head (Vaswani et al. 2017, equation 1)


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Mix the values: query (n, d), key (m, d) and value (m, e) give (n, e), one row for each query."""
    scores = query @ key.T / np.sqrt(query.shape[1])
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = powers / powers.sum(axis=1, keepdims=True)
    mixed: np.ndarray = weights @ value
    return mixed


def _attention_cases() -> list[Arguments]:
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
    return [by_hand, square, crossed, one_width, wide, large]


def _judge_attention(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Did exp() overflow?" if "nan" in problem else "")
    numbers = numbers_of(got)
    low, high = case["value"].min(axis=0), case["value"].max(axis=0)
    if (numbers < low - 1e-5).any() or (numbers > high + 1e-5).any():
        return "A mean lies between the smallest and the largest value; one of yours does not. Do the weights sum to 1?"
    return None if same(expected, got) else "These are means of the values, but with other weights."


# ---------------- attention weights under a padding mask and, if asked, a causal one


def masked_weights(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> np.ndarray:
    """Softmax along each row of scores (seq, seq); what attention_mask (seq,) or causal hides gets 0."""
    visible = np.broadcast_to(attention_mask == 1, scores.shape)  # the same columns in every row
    if causal:
        visible = np.tril(visible)  # row i keeps the columns 0 to i
    seen = np.where(visible, scores, -np.inf)
    powers = np.exp(seen - seen.max(axis=1, keepdims=True))
    weights: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return weights


def _masked_weights_cases() -> list[Arguments]:
    random = np.random.default_rng(1)
    third = np.log(3.0)
    return [
        ([[third, 0.0], [third, 0.0]], [1, 1], True),
        ([[0.0, third, 1.0], [third, 0.0, 2.0], [0.0, 0.0, 3.0]], [1, 1, 0], False),
        (random.normal(size=(3, 3)), [1, 1, 1], False),
        (random.normal(size=(4, 4)), [1, 1, 1, 0], True),
        ([[1.0, 1000.0], [0.0, 2.0]], [1, 1], True),  # what is hidden has by far the largest score
        ([[900.0, 901.0, 0.0], [5.0, 5.0, 990.0], [1.0, 2.0, 3.0]], [1, 1, 0], False),
        (random.normal(scale=3, size=(6, 6)), [1, 1, 1, 1, 0, 0], True),
        (random.normal(scale=3, size=(6, 6)), [1, 1, 1, 1, 1, 0], False),
        ([[-7.0]], [1], True),
    ]


def _hidden(case: Case) -> Any:
    hidden = np.broadcast_to(case["attention_mask"] == 0, case["scores"].shape)
    return hidden | np.triu(np.ones_like(hidden), k=1) if case["causal"] else hidden


def _judge_masked_weights(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        why = " Is everything hidden in a row, or did exp() overflow?" if "nan" in problem else ""
        return problem + why
    numbers = numbers_of(got)
    if (seen := np.argwhere(_hidden(case) & (numbers > 1e-6))).size:
        row, column = seen[0]
        return f"Row {row} gives weight to column {column}, which is hidden from it."
    if problem := sum_problem(numbers):
        return problem
    return (
        None if same(expected, got) else "Nothing hidden is seen, and each row adds up to 1, but the weights are off."
    )


# ---------------- one wide vector per token becomes a narrow one for each head


def split_heads(x: np.ndarray, n_heads: int) -> np.ndarray:
    """Turn x (seq, hidden) into (n_heads, seq, hidden / n_heads), a block of columns for each head."""
    seq, hidden = x.shape
    heads: np.ndarray = x.reshape(seq, n_heads, hidden // n_heads).transpose(1, 0, 2)
    return heads


def _split_heads_cases() -> list[Arguments]:
    sizes = [(2, 4, 2), (3, 6, 3), (3, 6, 2), (4, 4, 4), (5, 8, 1), (6, 12, 3), (4, 16, 4)]
    return [(np.arange(seq * hidden).reshape(seq, hidden), heads) for seq, hidden, heads in sizes]


def _judge_split_heads(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    head, token, column = np.argwhere(np.asarray(got, dtype=float) != expected)[0]
    return f"The shape is right, but head {head} has a wrong number for token {token}, in its column {column}."


# ---------------- sinusoidal positional encoding (Vaswani et al. 2017, section 3.5)


def positional_encoding(seq: int, hidden: int) -> np.ndarray:
    """A table (seq, hidden), hidden even: sines in the even columns, cosines in the odd ones."""
    places = np.arange(seq)[:, None]
    rates = 10000.0 ** (-np.arange(0, hidden, 2) / hidden)  # one for each pair of columns, from fast to slow
    table = np.empty((seq, hidden))
    table[:, 0::2] = np.sin(places * rates)
    table[:, 1::2] = np.cos(places * rates)
    return table


def _positional_encoding_cases() -> list[Arguments]:
    return [(2, 4), (3, 2), (1, 6), (4, 4), (5, 8), (40, 12), (3, 64)]


def _judge_positional_encoding(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    numbers = numbers_of(got)
    if (abs(numbers) > 1 + 1e-6).any():
        return "A sine lies between -1 and 1; one of your numbers does not."
    if same(expected, got):
        return None
    row, column = np.argwhere(~np.isclose(numbers, expected, rtol=1e-5, atol=1e-6))[0]
    return f"The first wrong number is in row {row}, column {column}."


# ---------------- layer normalisation (Ba, Kiros and Hinton 2016, section 3)


def layer_norm(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> np.ndarray:
    """Bring each row of x (n, hidden) to mean 0, variance 1; then times gain, plus bias, both (hidden,)."""
    mean = x.mean(axis=1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    normed: np.ndarray = gain * (x - mean) / np.sqrt(variance + eps) + bias
    return normed


def _layer_norm_cases() -> list[Arguments]:
    random = np.random.default_rng(3)
    return [
        ([[1.0, 3.0]], [1.0, 1.0], [0.0, 0.0]),  # [-1, 1]
        ([[0.0, 0.0, 6.0], [1.0, 2.0, 3.0]], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]),
        ([[1.0, 3.0], [8.0, 2.0]], [2.0, 0.5], [10.0, -1.0]),
        ([[0.0, 2.0, 4.0, 2.0]], [1.0, 1.0, 3.0, 1.0], [0.0, 1.0, 0.0, 0.0], 0.5),  # a large eps shows
        ([[5.0, 5.0], [0.0, 4.0]], [1.0, 2.0], [0.5, 0.25], 1e-3),  # no spread at all in the first row
        (random.normal(5, 3, size=(3, 3)), random.normal(size=3), random.normal(size=3), 1e-5),
        (random.normal(-1, 0.1, size=(5, 8)), random.normal(size=8), random.normal(size=8), 1e-2),
    ]


def _judge_layer_norm(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Did you divide by 0?" if "nan" in problem else "")
    if same(expected, got):
        return None
    row = int(np.argwhere(~np.isclose(np.asarray(got, dtype=float), expected, rtol=1e-5, atol=1e-6))[0][0])
    return f"Row {row} is off."


EXERCISES = (
    Exercise(attention, _attention_cases, _judge_attention),
    Exercise(masked_weights, _masked_weights_cases, _judge_masked_weights),
    Exercise(split_heads, _split_heads_cases, _judge_split_heads),
    Exercise(positional_encoding, _positional_encoding_cases, _judge_positional_encoding),
    Exercise(layer_norm, _layer_norm_cases, _judge_layer_norm),
)
