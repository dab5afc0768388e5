"""Transformer: other right answers pass, sly ones do not, mistakes are recognised, references are those of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st
from torch import nn

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


def norm_row_by_row(x: Any, gain: Any, bias: Any, eps: float = 1e-12) -> list[Any]:
    return [(row - row.mean()) / (row.var() + eps) ** 0.5 * gain + bias for row in x]


def norm_by_torch(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    table, weight, shift = map(torch.from_numpy, (x, gain, bias))
    return torch.nn.functional.layer_norm(table, (x.shape[1],), weight, shift, eps)


class AttentionByTorch(transformer.SelfAttention):
    def forward(self, states: torch.Tensor, attention_mask: Any = None, causal: bool = False) -> torch.Tensor:
        visible = torch.ones(len(states), 1, states.shape[1], states.shape[1], dtype=torch.bool)
        visible = visible.tril() if causal else visible
        if attention_mask is not None:
            visible = visible & attention_mask.bool()[:, None, None]
        parts = [torch.stack(part(states).chunk(self.n_heads, dim=2), dim=1) for part in self.linear_layers()]
        mixed = F.scaled_dot_product_attention(*parts, attn_mask=visible)
        return torch.as_tensor(self.output(torch.cat(list(mixed.unbind(dim=1)), dim=2)))

    def linear_layers(self) -> tuple[nn.Linear, ...]:
        return self.query, self.key, self.value


class LayerInOneLine(transformer.TransformerLayer):
    def forward(self, x: torch.Tensor, attention_mask: Any = None, causal: bool = False) -> torch.Tensor:
        h = self.attention_norm(self.attention(x, attention_mask=attention_mask, causal=causal) + x)
        return torch.as_tensor(self.output_norm(self.contract(nn.GELU()(self.expand(h))) + h))


class BertByAppending(transformer.Bert):
    def __init__(self, vocab: int, hidden: int, n_layers: int, heads: int, places: int, eps: float) -> None:
        super().__init__(vocab, hidden, n_layers, heads, places, eps)
        self.layers = nn.ModuleList()
        for _ in range(n_layers):
            self.layers.append(LayerInOneLine(hidden, heads, 4 * hidden, eps))

    def forward(self, input_ids: torch.Tensor, attention_mask: Any = None, causal: bool = False) -> torch.Tensor:
        states = self.words.weight[input_ids] + self.positions.weight[: input_ids.shape[1]]
        states = self.norm(states + self.segments(torch.zeros_like(input_ids)))
        for layer in self.layers:
            states = layer(states, attention_mask, causal)
        return torch.as_tensor(states)


def load_by_copying(model: transformer.Bert, weights: dict[str, torch.Tensor]) -> transformer.Bert:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[transformer._transformers_name(name)])
    return model


def generate_with_tensors(model: transformer.Bert, prompt: list[int], n_new: int) -> list[int]:
    ids = torch.tensor([prompt])
    for _ in range(n_new):
        states = model(ids[:, -model.positions.weight.shape[0] :], causal=True)
        ids = torch.cat([ids, (states[:, -1:] @ model.words.weight.T).argmax(dim=-1)], dim=1)
    return [int(number) for number in ids[0]]


RIGHT: dict[str, list[Answer]] = {
    "attention": [attention_by_torch, attention_to_centred_keys],
    "masked_weights": [weights_by_torch],
    "split_heads": [heads_by_slices, heads_by_split],
    "layer_norm": [norm_row_by_row, norm_by_torch],
    "SelfAttention": [AttentionByTorch],
    "TransformerLayer": [LayerInOneLine],
    "Bert": [BertByAppending],
    "load_weights": [load_by_copying],
    "generate": [generate_with_tensors],
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
    "layer_norm": st.builds(
        lambda random, n, h, eps: (random.normal(2, 5, (n, h)), random.normal(size=h), random.normal(size=h), eps),
        *(SEED, SIZES, st.integers(2, 9), st.floats(1e-12, 1)),
    ),
    "SelfAttention": st.tuples(
        st.sampled_from([6, 12]),
        st.sampled_from([1, 2, 3]),
        st.lists(SIZES, min_size=1, max_size=3),
        st.booleans(),
        st.integers(0, 99),
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
    "layer_norm": [
        ("variance + eps", "variance + eps**2"),
        ("gain * (", "np.abs(gain) * ("),
        ("gain * (", "gain * gain[::-1] * ("),
        ("variance + eps", "variance + max(eps, 1e-3)"),
        ("return normed", "return np.tanh(normed)"),
    ],
    "SelfAttention": [
        ("math.sqrt(shape[-1])", "math.sqrt(2)"),
        ("attention_mask[:, None", "attention_mask[:1, None"),
        ("if causal:", "if causal and seq > 3:"),
        ("if causal:", "if causal and attention_mask is None:"),
        ("(merged)", "(merged) + states"),
    ],
    "TransformerLayer": [
        ("self.contract(inner))", "0.99 * self.contract(inner))"),
        ("F.gelu(", "F.silu("),
        ("attention_mask, causal)", "attention_mask, causal and len(states) < 2)"),
        ("self.output_norm(hidden +", "self.attention_norm(hidden +"),
    ],
    "Bert": [
        ("range(n_layers)", "range(min(n_layers, 2))"),
        ("self.positions(places)", "self.positions(places % 4)"),
        ("in self.layers:", "in self.layers[:2]:"),
        ("nn.Embedding(2,", "nn.Embedding(1,"),
    ],
    "load_weights": [
        lambda model, weights: model,
        lambda model, weights: [*model.parameters()],
        lambda model, weights: load_by_copying(transformer.Bert(5, 2, 1, 1, 4, 1e-12), weights),
        ('if name.startswith("pooler")', 'if ".attention.self.key" in name or name.startswith("pooler")'),
    ],
    "generate": [
        ("ids[-longest:]", "ids[-longest + 1 :]"),
        ("range(n_new)", "range(max(n_new, 1))"),
        ("range(n_new)", "range(min(n_new, 6))"),
        ("ids = list(prompt)", "ids = prompt"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def not_scaled_by_torch(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> Any:
    parts = map(torch.from_numpy, (query, key, value))
    return torch.nn.functional.scaled_dot_product_attention(*parts, scale=1.0)


def view_at_once(x: np.ndarray, n_heads: int) -> Any:
    return torch.from_numpy(x).view(n_heads, x.shape[0], x.shape[1] // n_heads)


def by_variance_of_torch(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    table = torch.from_numpy(x)
    mean, variance = table.mean(1, keepdim=True), table.var(1, keepdim=True)
    return (torch.from_numpy(gain) * (table - mean) / torch.sqrt(variance + eps) + torch.from_numpy(bias)).numpy()


class NotAModule:
    def __init__(self, hidden_size: int, n_heads: int) -> None: ...

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return states + 1


class OtherNames(nn.Module):
    def __init__(self, hidden_size: int, n_heads: int) -> None:
        super().__init__()
        self.q = nn.Linear(hidden_size, hidden_size)

    def forward(self, states: torch.Tensor, *masks: Any) -> torch.Tensor:
        return torch.as_tensor(self.q(states))


MISTAKES: Mistakes = {
    "attention": [(not_scaled_by_torch, "not scaled")],
    "SelfAttention": [(NotAModule, "is not an nn.Module"), (OtherNames, "has no parameter named query.weight")],
    "split_heads": [(view_at_once, "A reshape alone mixes tokens")],
    "layer_norm": [(by_variance_of_torch, "divides by n - 1")],
}

TestExercises = judged((*transformer.EXERCISES, *transformer.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

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
