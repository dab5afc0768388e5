"""Scaled dot-product attention, its masks and its heads."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise
from course_lib.exercises.values import array_problem, as_numbers, same

# ---------------- scaled dot-product attention of one head (Vaswani et al. 2017, equation 1)


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Mix the values: query (n, d), key (m, d) and value (m, e) give (n, e), one row for each query."""
    scores = query @ key.T / np.sqrt(query.shape[1])
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = powers / powers.sum(axis=1, keepdims=True)
    mixed: np.ndarray = weights @ value
    return mixed


def _attention_cases() -> list[Case]:
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


def _judge_attention(case: Case, expected: Any, got: Any) -> str | None:
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


def _masked_weights_case(scores: Any, attention_mask: list[int], causal: bool) -> Case:
    return {"scores": np.array(scores, dtype=float), "attention_mask": np.array(attention_mask), "causal": causal}


def _masked_weights_cases() -> list[Case]:
    random = np.random.default_rng(1)
    third = np.log(3.0)
    return [
        _masked_weights_case([[third, 0.0], [third, 0.0]], [1, 1], causal=True),
        _masked_weights_case([[0.0, third, 1.0], [third, 0.0, 2.0], [0.0, 0.0, 3.0]], [1, 1, 0], causal=False),
        _masked_weights_case(random.normal(size=(3, 3)), [1, 1, 1], causal=False),
        _masked_weights_case(random.normal(size=(4, 4)), [1, 1, 1, 0], causal=True),
        _masked_weights_case(
            [[1.0, 1000.0], [0.0, 2.0]], [1, 1], causal=True
        ),  # what is hidden has by far the largest score
        _masked_weights_case([[900.0, 901.0, 0.0], [5.0, 5.0, 990.0], [1.0, 2.0, 3.0]], [1, 1, 0], causal=False),
        _masked_weights_case(random.normal(scale=3, size=(6, 6)), [1, 1, 1, 1, 0, 0], causal=True),
        _masked_weights_case(random.normal(scale=3, size=(6, 6)), [1, 1, 1, 1, 1, 0], causal=False),
        _masked_weights_case([[-7.0]], [1], causal=True),
    ]


def _hidden(case: Case) -> Any:
    hidden = np.broadcast_to(case["attention_mask"] == 0, case["scores"].shape)
    return hidden | np.triu(np.ones_like(hidden), k=1) if case["causal"] else hidden


def _judge_masked_weights(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        why = " Is everything hidden in a row, or did exp() overflow?" if "nan" in problem else ""
        return problem + why
    numbers = as_numbers(got)
    assert numbers is not None
    if (seen := np.argwhere(_hidden(case) & (numbers > 1e-6))).size:
        row, column = seen[0]
        return f"Row {row} gives weight to column {column}, which is hidden from it."
    for row, total in enumerate(numbers.sum(axis=1)):
        if not np.isclose(total, 1.0, atol=1e-5):
            return f"Row {row} adds up to {total:.6g}, not to 1."
    return (
        None if same(expected, got) else "Nothing hidden is seen, and each row adds up to 1, but the weights are off."
    )


def _softmax_masked_weights(scores: Any) -> Any:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _weights(scores: np.ndarray, visible: Any) -> Any:
    return _softmax_masked_weights(np.where(visible, scores, -np.inf))


def _visible(scores: np.ndarray, attention_mask: np.ndarray, causal: bool, last: int = 0) -> Any:
    columns = np.broadcast_to(attention_mask == 1, scores.shape)
    return np.tril(columns, k=last) if causal else columns


def _times_mask_afterwards(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return _softmax_masked_weights(scores) * _visible(scores, attention_mask, causal)


def _mask_afterwards_and_divided(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    weights = _times_mask_afterwards(scores, attention_mask, causal)
    return weights / weights.sum(axis=1, keepdims=True)


def _zero_scores(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return _softmax_masked_weights(scores * _visible(scores, attention_mask, causal))


def _small_penalty(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return _softmax_masked_weights(scores - 100.0 * ~_visible(scores, attention_mask, causal))


def _without_maximum_masked_weights(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    powers = np.exp(np.where(_visible(scores, attention_mask, causal), scores, -np.inf))
    return powers / powers.sum(axis=1, keepdims=True)


def _not_itself(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return _weights(scores, _visible(scores, attention_mask, causal, last=-1))


def _one_ahead(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return _weights(scores, _visible(scores, attention_mask, causal, last=1))


def _future_only(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    columns = np.broadcast_to(attention_mask == 1, scores.shape)
    return _weights(scores, np.triu(columns) if causal else columns)


def _always_causal(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return masked_weights(scores, attention_mask, True)


def _never_causal(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return masked_weights(scores, attention_mask, False)


def _either_mask(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    everything = np.ones(scores.shape, dtype=bool)
    return _weights(scores, np.tril(everything) if causal else attention_mask == 1)


def _no_padding_mask(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return masked_weights(scores, np.ones_like(attention_mask), causal)


def _rows_hidden(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    rows = np.broadcast_to((attention_mask == 1)[:, None], scores.shape)
    return _weights(scores, np.tril(rows) if causal else rows)


def _rows_and_columns(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return _weights(scores, _visible(scores, attention_mask, causal) & (attention_mask == 1)[:, None])


def _rows_emptied(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return masked_weights(scores, attention_mask, causal) * attention_mask[:, None]


def _upside_down(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return masked_weights(scores, 1 - attention_mask, causal)


def _masked_scores(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return np.where(_visible(scores, attention_mask, causal), scores, -np.inf)


# ---------------- one wide vector per token becomes a narrow one for each head


def split_heads(x: np.ndarray, n_heads: int) -> np.ndarray:
    """Turn x (seq, hidden) into (n_heads, seq, hidden / n_heads), a block of columns for each head."""
    seq, hidden = x.shape
    heads: np.ndarray = x.reshape(seq, n_heads, hidden // n_heads).transpose(1, 0, 2)
    return heads


def _split_heads_cases() -> list[Case]:
    sizes = [(2, 4, 2), (3, 6, 3), (3, 6, 2), (4, 4, 4), (5, 8, 1), (6, 12, 3), (4, 16, 4)]
    tables = [np.arange(seq * hidden).reshape(seq, hidden) for seq, hidden, _ in sizes]
    return [{"x": table, "n_heads": heads} for table, (_, _, heads) in zip(tables, sizes, strict=True)]


def _judge_split_heads(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    head, token, column = np.argwhere(np.asarray(got, dtype=float) != expected)[0]
    return f"The shape is right, but head {head} has a wrong number for token {token}, in its column {column}."


def _reshaped(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(n_heads, len(x), -1)


def _not_transposed_split_heads(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(len(x), n_heads, -1)


def _every_other_column(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(len(x), -1, n_heads).transpose(2, 0, 1)


def _cuts_the_text(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(n_heads, -1, x.shape[1])


def _turned(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(len(x), n_heads, -1).transpose(1, 2, 0)


def _heads_of_that_width(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(len(x), -1, n_heads).transpose(1, 0, 2)


def _all_transposed(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(len(x), n_heads, -1).T


def _first_block_for_all(x: np.ndarray, n_heads: int) -> Any:
    return np.stack([x[:, : x.shape[1] // n_heads]] * n_heads)


def _copied(x: np.ndarray, n_heads: int) -> Any:
    return np.stack([x] * n_heads)


def _backwards(x: np.ndarray, n_heads: int) -> Any:
    return split_heads(x, n_heads)[::-1]


EXERCISES = (
    Exercise(attention, _attention_cases, _judge_attention),
    Exercise(masked_weights, _masked_weights_cases, _judge_masked_weights),
    Exercise(split_heads, _split_heads_cases, _judge_split_heads),
)
