"""Exercise: attention weights under a padding mask and, if asked, a causal one."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same


def masked_weights(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> np.ndarray:
    """Softmax along each row of scores (seq, seq); what attention_mask (seq,) or causal hides gets 0."""
    visible = np.broadcast_to(attention_mask == 1, scores.shape)  # the same columns in every row
    if causal:
        visible = np.tril(visible)  # row i keeps the columns 0 to i
    seen = np.where(visible, scores, -np.inf)
    powers = np.exp(seen - seen.max(axis=1, keepdims=True))
    weights: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return weights


def _case(scores: Any, attention_mask: list[int], causal: bool) -> Case:
    return {"scores": np.array(scores, dtype=float), "attention_mask": np.array(attention_mask), "causal": causal}


def _cases() -> list[Case]:
    random = np.random.default_rng(1)
    third = np.log(3.0)
    return [
        _case([[third, 0.0], [third, 0.0]], [1, 1], causal=True),
        _case([[0.0, third, 1.0], [third, 0.0, 2.0], [0.0, 0.0, 3.0]], [1, 1, 0], causal=False),
        _case(random.normal(size=(3, 3)), [1, 1, 1], causal=False),
        _case(random.normal(size=(4, 4)), [1, 1, 1, 0], causal=True),
        _case([[1.0, 1000.0], [0.0, 2.0]], [1, 1], causal=True),  # what is hidden has by far the largest score
        _case([[900.0, 901.0, 0.0], [5.0, 5.0, 990.0], [1.0, 2.0, 3.0]], [1, 1, 0], causal=False),
        _case(random.normal(scale=3, size=(6, 6)), [1, 1, 1, 1, 0, 0], causal=True),
        _case(random.normal(scale=3, size=(6, 6)), [1, 1, 1, 1, 1, 0], causal=False),
        _case([[-7.0]], [1], causal=True),
    ]


def _hidden(case: Case) -> Any:
    hidden = np.broadcast_to(case["attention_mask"] == 0, case["scores"].shape)
    return hidden | np.triu(np.ones_like(hidden), k=1) if case["causal"] else hidden


def _judge(case: Case, expected: Any, got: Any) -> str | None:
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


def _softmax(scores: Any) -> Any:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _weights(scores: np.ndarray, visible: Any) -> Any:
    return _softmax(np.where(visible, scores, -np.inf))


def _visible(scores: np.ndarray, attention_mask: np.ndarray, causal: bool, last: int = 0) -> Any:
    columns = np.broadcast_to(attention_mask == 1, scores.shape)
    return np.tril(columns, k=last) if causal else columns


def _times_mask_afterwards(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return _softmax(scores) * _visible(scores, attention_mask, causal)


def _mask_afterwards_and_divided(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    weights = _times_mask_afterwards(scores, attention_mask, causal)
    return weights / weights.sum(axis=1, keepdims=True)


def _zero_scores(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return _softmax(scores * _visible(scores, attention_mask, causal))


def _small_penalty(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    return _softmax(scores - 100.0 * ~_visible(scores, attention_mask, causal))


def _without_maximum(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
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


EXERCISE = Exercise(
    reference=masked_weights,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _times_mask_afterwards,
            "The mask is multiplied after the softmax, so the rows no longer add up to 1. Mask the scores, before it.",
        ),
        WrongFunction(
            _mask_afterwards_and_divided,
            "You mask after the softmax and divide again. A large hidden score then takes everything: 0/0. "
            "Mask the scores.",
        ),
        WrongFunction(
            _zero_scores,
            "Hidden scores become 0, and exp(0) is 1: these places still get weight. Minus infinity is wanted.",
        ),
        WrongFunction(
            _small_penalty,
            "You subtract a number from hidden scores, and it is too small: a hidden score of 1,000 still wins.",
        ),
        WrongFunction(
            _without_maximum,
            "The masks are right, but exp() overflows for large scores. Subtract the maximum of each row first.",
        ),
        WrongFunction(
            _not_itself,
            "Your causal mask is shifted by one: a token does not see itself, and the first one sees nothing.",
        ),
        WrongFunction(
            _one_ahead,
            "Your causal mask is shifted by one: each token sees the next one, which it should predict.",
        ),
        WrongFunction(
            _future_only, "Your causal mask is turned round: each token sees only itself and what comes later."
        ),
        WrongFunction(_always_causal, "The future is always hidden. Hide it only if `causal` is true."),
        WrongFunction(_never_causal, "The future is never hidden. Hide it if `causal` is true."),
        WrongFunction(_either_mask, "With the causal mask you forget the padding. Both masks hold together."),
        WrongFunction(_no_padding_mask, "Padding is read. Hide the columns where attention_mask is 0."),
        WrongFunction(
            _rows_hidden,
            "You hide the rows of the padding. Its columns must go: nobody may read them.",
        ),
        WrongFunction(
            _rows_and_columns,
            "You hide the rows of the padding too, so they have nothing to see: 0/0. Hide its columns alone.",
        ),
        WrongFunction(_rows_emptied, "The rows of padding tokens are set to 0. Compute them like all others."),
        WrongFunction(_upside_down, "The mask is upside down: 1 is for tokens, 0 for padding."),
        WrongFunction(_masked_scores, "The scores are masked, but there is no softmax yet."),
    ),
)
