"""Transformer: other right answers pass, sly ones do not, mistakes are recognised, references are those of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st

from course_lib.exercises import reference
from course_lib.exercises.topics import transformer

# ---------------------------------------------------------------- other right answers


def attention_by_torch(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    return torch.nn.functional.scaled_dot_product_attention(*map(torch.from_numpy, (query, key, value)))


def attention_to_centred_keys(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    """One vector taken from all keys lowers all scores of a query alike, and a softmax does not see that."""
    return reference.attention(query, key - key.mean(axis=0), value)


def weights_by_torch(scores: np.ndarray, attention_mask: np.ndarray, causal: bool) -> Any:
    table = torch.from_numpy(scores).masked_fill(torch.from_numpy(attention_mask) == 0, float("-inf"))
    if causal:
        table = table.masked_fill(torch.ones(scores.shape).triu(1).bool(), float("-inf"))
    return table.softmax(dim=-1)


def heads_by_slices(x: np.ndarray, n_heads: int) -> list[Any]:
    width = x.shape[1] // n_heads
    return [x[:, head * width : (head + 1) * width] for head in range(n_heads)]


def heads_by_split(x: np.ndarray, n_heads: int) -> np.ndarray:
    return np.stack(np.split(x, n_heads, axis=1)).astype(np.float32)


def encoding_by_exp(seq: int, hidden: int) -> Any:
    """As in The Annotated Transformer: the power as an exponential of a logarithm."""
    rates = torch.exp(torch.arange(0, hidden, 2, dtype=torch.float64) * -(np.log(10000.0) / hidden))
    angles = torch.arange(seq)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def norm_row_by_row(x: Any, gain: Any, bias: Any, eps: float = 1e-12) -> list[Any]:
    return [(row - row.mean()) / (row.var() + eps) ** 0.5 * gain + bias for row in x]


def norm_by_torch(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    table, weight, shift = map(torch.from_numpy, (x, gain, bias))
    return torch.nn.functional.layer_norm(table, (x.shape[1],), weight, shift, eps)


RIGHT: dict[str, list[Answer]] = {
    "attention": [attention_by_torch, attention_to_centred_keys],
    "masked_weights": [weights_by_torch],
    "split_heads": [heads_by_slices, heads_by_split],
    "positional_encoding": [encoding_by_exp],
    "layer_norm": [norm_row_by_row, norm_by_torch],
}
DRAWN = {
    "attention": st.builds(
        lambda random, n, m, d: (random.normal(size=(n, d)), random.normal(size=(m, d)), random.normal(size=(m, 3))),
        *(SEED, SIZES, SIZES, SIZES),
    ),
    "masked_weights": st.builds(
        lambda random, n, real, causal: (random.normal(0, 4, (n, n)), (np.arange(n) < real).astype(int), causal),
        *(SEED, SIZES, SIZES, st.booleans()),
    ),
    "split_heads": st.builds(
        lambda seq, heads, width: (np.arange(seq * heads * width).reshape(seq, -1), heads), SIZES, SIZES, SIZES
    ),
    "positional_encoding": st.tuples(st.integers(1, 40), st.integers(1, 20).map(lambda pairs: 2 * pairs)),
    "layer_norm": st.builds(
        lambda random, n, h, eps: (random.normal(2, 5, (n, h)), random.normal(size=h), random.normal(size=h), eps),
        *(SEED, SIZES, st.integers(2, 9), st.floats(1e-12, 1)),
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "attention": [
        lambda query, key, value: reference.attention(np.clip(query, -9, 9), np.clip(key, -9, 9), value),
        ("query @ key.T", "query @ (key - key.min(axis=1, keepdims=True)).T"),
        lambda query, key, value: reference.attention(key, query, value) if len(query) == len(key) else value[:0],
        ("return mixed", "return np.tile(value.mean(axis=0), (len(query), 1))"),
        ("query @ key.T", "query / 2 @ key.T"),
    ],
    "masked_weights": [
        ("attention_mask == 1", "np.roll(attention_mask, 1) == 1"),
        ("attention_mask == 1", "np.append(attention_mask[1:], 0) == 1"),
        ("visible, scores,", "visible, np.minimum(scores, 50),"),
        ("return weights", "return weights.T"),
        ("visible, scores,", "visible, 0 * scores,"),
        ("visible, scores,", "visible, scores / 2,"),
    ],
    "split_heads": [
        ("return heads", "return x"),
        lambda x, n_heads: heads_by_split(x[:, ::-1], n_heads),
        lambda x, n_heads: np.stack(heads_by_slices(x, n_heads), axis=1),
        lambda x, n_heads: heads_by_split(np.roll(x, 1, axis=1), n_heads),
        lambda x, n_heads: heads_by_split(x[::-1], n_heads),
        lambda x, n_heads: heads_by_split(x, 2) if x.shape[1] % 2 == 0 else x,
    ],
    "positional_encoding": [
        ("return table", "return table[:, ::-1]"),
        lambda seq, hidden: reference.positional_encoding(seq, hidden + 2)[:, :hidden],
        lambda seq, hidden: reference.positional_encoding(min(seq, 5), hidden),
        ("return table", "return -table"),
        ("return table", "return np.where(table > 0.5, 1, 0)"),
    ],
    "layer_norm": [
        ("variance + eps", "variance + eps**2"),
        ("gain * (", "np.abs(gain) * ("),
        ("gain * (", "gain * gain[::-1] * ("),
        ("variance + eps", "variance + max(eps, 1e-3)"),
        ("return normed", "return np.tanh(normed)"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def not_scaled_by_torch(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    parts = map(torch.from_numpy, (query, key, value))
    return torch.nn.functional.scaled_dot_product_attention(*parts, scale=1.0)


def view_at_once(x: np.ndarray, n_heads: int) -> Any:
    return torch.from_numpy(x).view(n_heads, x.shape[0], x.shape[1] // n_heads)


def sines_then_cosines(seq: int, hidden: int) -> Any:
    angles = np.outer(np.arange(seq), 10000.0 ** -(np.arange(0, hidden, 2) / hidden))
    return np.hstack([np.sin(angles), np.cos(angles)])


def by_variance_of_torch(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    table = torch.from_numpy(x)
    mean, variance = table.mean(1, keepdim=True), table.var(1, keepdim=True)
    return (torch.from_numpy(gain) * (table - mean) / torch.sqrt(variance + eps) + torch.from_numpy(bias)).numpy()


MISTAKES: Mistakes = {
    "attention": [(not_scaled_by_torch, "not scaled")],
    "split_heads": [(view_at_once, "A reshape alone mixes tokens")],
    "positional_encoding": [(sines_then_cosines, "left half")],
    "layer_norm": [(by_variance_of_torch, "divides by n - 1")],
}

TestExercises = judged(transformer.EXERCISES, RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- what references promise


def test_attention_and_heads_together_are_torchs_multi_head_attention() -> None:
    """The exercises are the parts of the real thing: five lines of them equal torch.nn.MultiheadAttention."""
    torch.manual_seed(0)
    seq, hidden, n_heads = 5, 12, 3
    theirs = torch.nn.MultiheadAttention(hidden, n_heads, bias=False, batch_first=True).double()
    x = torch.randn(1, seq, hidden, dtype=torch.float64)
    with torch.no_grad():
        expected = theirs(x, x, x, need_weights=False)[0][0].numpy()
        projections = theirs.in_proj_weight.numpy().reshape(3, hidden, hidden)
        output = theirs.out_proj.weight.numpy()
    parts = [reference.split_heads(x[0].numpy() @ projection.T, n_heads) for projection in projections]
    heads = [reference.attention(*one) for one in zip(*parts, strict=True)]
    np.testing.assert_allclose(np.concatenate(heads, axis=1) @ output.T, expected, atol=1e-12)


def test_the_worked_examples_of_the_tasks() -> None:
    third = np.log(3)
    mixed = reference.attention(np.array([[third]]), np.array([[1.0], [0.0]]), np.array([[4.0, 0.0], [0.0, 8.0]]))
    np.testing.assert_allclose(mixed, [[3, 2]])
    weights = reference.masked_weights(np.array([[third, 0.0]] * 2), np.array([1, 1]), True)
    np.testing.assert_allclose(weights, [[1, 0], [0.75, 0.25]])
    heads = reference.split_heads(np.arange(8).reshape(2, 4), 2)
    assert heads.tolist() == [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]
    np.testing.assert_allclose(reference.layer_norm(np.array([[1.0, 3.0]]), np.ones(2), np.zeros(2)), [[-1, 1]])
    table = reference.positional_encoding(2, 4)
    np.testing.assert_allclose(table, [[0, 1, 0, 1], [np.sin(1), np.cos(1), np.sin(0.01), np.cos(0.01)]])
