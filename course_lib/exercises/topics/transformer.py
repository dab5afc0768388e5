"""Attention with its masks and heads, layer normalization, and an encoder built from them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.exercises.exercise import Answer, Arguments, Case, Exercise, Refused
from course_lib.exercises.values import array_problem, as_whole_numbers, kind, numbers_of, same, sum_problem

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
    Exercise(layer_norm, _layer_norm_cases, _judge_layer_norm),
)


# ================ the build: an encoder in torch.nn ================

# ---------------- stage 1: multi-head self-attention (Vaswani et al. 2017, section 3.2.2)


class SelfAttention(nn.Module):
    """Multi-head self-attention: states (batch, seq, hidden) give new states of the same shape."""

    def __init__(self, hidden_size: int, n_heads: int) -> None:
        """Create query, key, value and output: linear layers from hidden_size to hidden_size."""
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(
        self, states: torch.Tensor, attention_mask: torch.Tensor | None = None, causal: bool = False
    ) -> torch.Tensor:
        """attention_mask (batch, seq) is 1 for tokens and 0 for padding; causal hides later positions."""
        batch, seq, hidden = states.shape
        shape = (batch, seq, self.n_heads, hidden // self.n_heads)
        query, key, value = (part(states).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value))
        scores = query @ key.transpose(-2, -1) / math.sqrt(shape[-1])  # (batch, heads, seq, seq)
        if attention_mask is not None:
            padding = attention_mask[:, None, None, :] == 0
            scores = scores.masked_fill(padding, -math.inf)
        if causal:
            later = torch.ones(seq, seq, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        mixed = scores.softmax(dim=-1) @ value  # (batch, heads, seq, hidden / heads)
        merged = mixed.transpose(1, 2).reshape(batch, seq, hidden)
        result: torch.Tensor = self.output(merged)
        return result


def _shapes(reference: type[nn.Module], sizes: tuple[Any, ...]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in reference(*sizes).named_parameters()}


def _drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, torch.Tensor]:
    """Random weights in double precision; those of a norm are near 1."""
    random = np.random.default_rng(seed)
    return {
        name: torch.from_numpy(random.normal(float("norm.weight" in name), 0.6, size=shape))
        for name, shape in shapes.items()
    }


def _filled(answer: Answer, reference: type[nn.Module], sizes: tuple[Any, ...], seed: int) -> Any:
    """The module `answer(*sizes)` in evaluation mode, with weights drawn from `seed`.

    Raises:
        Refused: it is not an nn.Module, or its parameters are not those of the reference.
    """
    name, module, shapes = reference.__name__, answer(*sizes), _shapes(reference, sizes)
    if not isinstance(module, nn.Module):
        raise Refused(f"{name} is not an nn.Module. Begin with `class {name}(nn.Module):`.")
    found = {parameter: tuple(tensor.shape) for parameter, tensor in module.named_parameters()}
    for parameter, shape in shapes.items():
        if parameter not in found:
            raise Refused(f"{name} has no parameter named {parameter}. Use the names that the task gives.")
        if found[parameter] != shape:
            raise Refused(f"The parameter {parameter} has the shape {found[parameter]}, but it should be {shape}.")
    if extra := sorted(set(found) - set(shapes)):
        raise Refused(f"{name} has a parameter {extra[0]} that the task does not mention.")
    module.double().load_state_dict(_drawn(shapes, seed), strict=False)
    return module.eval()


def _mask_of(lengths: list[int]) -> torch.Tensor | None:
    """1 for tokens and 0 for padding, (batch, seq), or None for rows of equal lengths."""
    places = torch.arange(max(lengths))
    return (places < torch.tensor(lengths)[:, None]).long() if len(set(lengths)) > 1 else None


def _array(result: Any) -> np.ndarray:
    if not isinstance(result, torch.Tensor):
        raise Refused(f"forward returns {type(result).__name__}. Return a tensor.")
    return result.detach().numpy()


def _states(lengths: list[int], hidden_size: int, seed: int) -> torch.Tensor:
    random = np.random.default_rng([seed, 1])
    return torch.from_numpy(random.normal(size=(len(lengths), max(lengths), hidden_size)))


def _run_self_attention(
    answer: Answer, hidden_size: int, n_heads: int, lengths: list[int], causal: bool, seed: int
) -> np.ndarray:
    module = _filled(answer, SelfAttention, (hidden_size, n_heads), seed)
    return _array(module(_states(lengths, hidden_size, seed), _mask_of(lengths), causal))


def _self_attention_cases() -> list[Arguments]:
    return [
        (2, 1, [1], False, 0),
        (2, 1, [2], False, 1),
        (6, 2, [3], False, 2),
        (4, 2, [3], True, 3),
        (8, 2, [2, 3], False, 4),
        (6, 3, [4, 2, 3], True, 5),
    ]


def _judge_states(case: Case, expected: Any, got: Any) -> str | None:
    """Compares the states of all tokens; those of padding may be anything."""
    if np.shape(got) != np.shape(expected):
        return array_problem(expected, got)
    real = np.arange(max(case["lengths"])) < np.array(case["lengths"])[:, None]
    if problem := array_problem(expected[real], np.asarray(got)[real]):
        return problem + (" Is everything hidden from a token, so that its softmax is 0/0?" if "nan" in problem else "")
    if same(expected[real], np.asarray(got)[real]):
        return None
    masks = [name for name, used in (("padding", not real.all()), ("a causal mask", case["causal"])) if used]
    where = f" The case has {' and '.join(masks)}." if masks else " The case has no padding and no causal mask."
    return "The shape is right, but the numbers are wrong." + where


# ---------------- stage 2: one encoder layer (Devlin et al. 2019; Hendrycks and Gimpel 2016 for GELU)


class TransformerLayer(nn.Module):
    """One encoder layer: attention and a feed-forward block, each with a residual connection and a norm."""

    def __init__(self, hidden_size: int, n_heads: int, intermediate_size: int, eps: float) -> None:
        """Create attention, attention_norm, expand, contract and output_norm."""
        super().__init__()
        self.attention = SelfAttention(hidden_size, n_heads)
        self.attention_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.expand = nn.Linear(hidden_size, intermediate_size)
        self.contract = nn.Linear(intermediate_size, hidden_size)
        self.output_norm = nn.LayerNorm(hidden_size, eps=eps)

    def forward(
        self, states: torch.Tensor, attention_mask: torch.Tensor | None = None, causal: bool = False
    ) -> torch.Tensor:
        """The new states, of the same shape as states (batch, seq, hidden)."""
        attended = self.attention(states, attention_mask, causal)
        hidden = self.attention_norm(states + attended)
        inner = F.gelu(self.expand(hidden))
        output: torch.Tensor = self.output_norm(hidden + self.contract(inner))
        return output


def _run_layer(answer: Answer, sizes: list[int], eps: float, lengths: list[int], causal: bool, seed: int) -> np.ndarray:
    module = _filled(answer, TransformerLayer, (*sizes, eps), seed)
    return _array(module(_states(lengths, sizes[0], seed), _mask_of(lengths), causal))


def _layer_cases() -> list[Arguments]:
    return [
        ([2, 1, 3], 1e-5, [1], False, 0),
        ([4, 2, 8], 1e-5, [3], False, 1),
        ([4, 2, 6], 0.5, [3], False, 2),
        ([4, 2, 6], 1e-5, [3], True, 3),
        ([4, 2, 8], 1e-5, [3, 2], False, 4),
        ([6, 3, 8], 0.1, [2, 4], True, 5),
    ]


# ---------------- stage 3: the whole encoder (Devlin et al. 2019, figure 2)


class Bert(nn.Module):
    """BERT's encoder: input_ids (batch, seq) give the last layer's states (batch, seq, hidden)."""

    def __init__(
        self, vocab_size: int, hidden_size: int, n_layers: int, n_heads: int, n_positions: int, eps: float
    ) -> None:
        """Create the embeddings words, positions and segments (2 rows), then norm and the list layers."""
        super().__init__()
        self.words = nn.Embedding(vocab_size, hidden_size)
        self.positions = nn.Embedding(n_positions, hidden_size)
        self.segments = nn.Embedding(2, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=eps)
        sizes = (hidden_size, n_heads, 4 * hidden_size, eps)
        self.layers = nn.ModuleList([TransformerLayer(*sizes) for _ in range(n_layers)])

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, causal: bool = False
    ) -> torch.Tensor:
        """All tokens belong to the first sentence, so each gets row 0 of segments."""
        places = torch.arange(input_ids.shape[1])
        embedded = self.words(input_ids) + self.positions(places) + self.segments.weight[0]
        states: torch.Tensor = self.norm(embedded)
        for layer in self.layers:
            states = layer(states, attention_mask, causal)
        return states


def _run_bert(answer: Answer, sizes: list[int], eps: float, lengths: list[int], causal: bool, seed: int) -> np.ndarray:
    module = _filled(answer, Bert, (*sizes, eps), seed)
    random = np.random.default_rng([seed, 2])
    input_ids = torch.from_numpy(random.integers(0, sizes[0], size=(len(lengths), max(lengths))))
    return _array(module(input_ids, _mask_of(lengths), causal))


def _bert_cases() -> list[Arguments]:
    return [
        ([5, 2, 1, 1, 4], 1e-5, [1], False, 0),
        ([7, 4, 1, 2, 5], 1e-5, [4], False, 1),
        ([7, 4, 2, 2, 3], 0.5, [3], False, 2),
        ([7, 4, 3, 2, 6], 1e-5, [4], True, 3),
        ([9, 4, 2, 2, 5], 1e-5, [3, 5], False, 4),
        ([9, 6, 2, 3, 5], 0.1, [2, 4, 3], True, 5),
    ]


# ---------------- stage 4: weights from transformers


def load_weights(model: Bert, weights: dict[str, torch.Tensor]) -> Bert:
    """Copy weights, which have the names of transformers' BertModel, into model and return model."""
    replacements = {
        "embeddings.word_embeddings": "words",
        "embeddings.position_embeddings": "positions",
        "embeddings.token_type_embeddings": "segments",
        "embeddings.LayerNorm": "norm",
        "encoder.layer": "layers",
        "attention.self": "attention",
        "attention.output.dense": "attention.output",
        "attention.output.LayerNorm": "attention_norm",
        "intermediate.dense": "expand",
        "output.dense": "contract",
        "output.LayerNorm": "output_norm",
    }
    renamed = {}
    for name, tensor in weights.items():
        if name.startswith("pooler") or name.endswith("position_ids"):
            continue
        for old, new in replacements.items():
            name = name.replace(old, new)
        renamed[name] = tensor
    model.load_state_dict(renamed)
    return model


_EPS = 1e-12  # BERT's
_BERT_NAMES = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "segments": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "expand": "intermediate.dense",
    "contract": "output.dense",
    "output_norm": "output.LayerNorm",
}


def _transformers_name(name: str) -> str:
    """`layers.0.expand.weight` -> `encoder.layer.0.intermediate.dense.weight`."""
    part, _, kind = name.rpartition(".")
    if not part.startswith("layers."):
        return f"{_BERT_NAMES[part]}.{kind}"
    _, number, rest = part.split(".", 2)
    return f"encoder.layer.{number}.{_BERT_NAMES[rest]}.{kind}"


def _run_load_weights(answer: Answer, sizes: list[int], extra: list[str], seed: int) -> list[np.ndarray]:
    all_sizes = (*sizes, _EPS)
    model, source = _filled(Bert, Bert, all_sizes, seed), _drawn(_shapes(Bert, all_sizes), seed + 100)
    weights = {_transformers_name(name): tensor for name, tensor in source.items()}
    width = sizes[1]
    shapes = {"pooler.dense.weight": (width, width), "pooler.dense.bias": (width,), "embeddings.position_ids": (1, 4)}
    loaded = answer(model, weights | {name: torch.zeros(shapes[name]) for name in extra})
    if loaded is None:
        raise Refused("Your function gives None. Return the model.")
    if not isinstance(loaded, nn.Module):
        raise Refused(f"Your function gives {type(loaded).__name__}. Return the model.")
    return [tensor.detach().numpy().copy() for tensor in loaded.state_dict().values()]


def _load_weights_cases() -> list[Arguments]:
    pooler = ["pooler.dense.weight", "pooler.dense.bias"]
    return [
        ([5, 2, 1, 1, 4], [], 0),
        ([5, 4, 1, 2, 4], pooler, 1),
        ([6, 4, 2, 2, 3], pooler, 2),
        ([6, 4, 3, 1, 3], [*pooler, "embeddings.position_ids"], 3),
        ([4, 2, 11, 1, 4], ["embeddings.position_ids"], 4),
    ]


def _judge_load_weights(case: Case, expected: Any, got: Any) -> str | None:
    names = list(_shapes(Bert, (*case["sizes"], _EPS)))
    if not isinstance(got, list) or len(got) != len(names):
        return "The model that you return does not have the parameters of the model that you were given."
    for name, wanted, found in zip(names, expected, got, strict=True):
        if problem := array_problem(wanted, found):
            return f"{name}: {problem}"
        if not same(wanted, found):
            return f"{name} does not hold the values of {_transformers_name(name)}."
    return None


# ---------------- stage 5: greedy generation


def generate(model: Bert, prompt: list[int], n_new: int) -> list[int]:
    """Return the prompt and n_new more token ids, each the most likely one after all before it."""
    ids = list(prompt)
    longest = model.positions.num_embeddings
    with torch.no_grad():
        for _ in range(n_new):
            states = model(torch.tensor([ids[-longest:]]), causal=True)
            logits = model.words.weight @ states[0, -1]
            ids.append(int(logits.argmax()))
    return ids


def _run_generate(answer: Answer, sizes: list[int], prompt: list[int], n_new: int, seed: int) -> list[int]:
    model = _filled(Bert, Bert, (*sizes, _EPS), seed)
    before = [tensor.clone() for tensor in model.parameters()]
    ids: list[int] = answer(model, prompt, n_new)
    if not all(map(torch.equal, before, model.parameters())):
        raise Refused("Your function changes the weights of the model. It should only read them.")
    return ids


def _generate_cases() -> list[Arguments]:
    return [
        ([8, 4, 2, 2, 12], [3], 1, 0),
        ([8, 4, 2, 2, 12], [1, 5, 2], 3, 31),
        ([12, 6, 3, 2, 16], [7, 0, 4, 9], 8, 39),
        ([12, 6, 3, 3, 16], [2, 11], 0, 3),
        ([12, 6, 2, 2, 5], [1, 2, 3], 9, 10),
        ([12, 6, 2, 2, 4], [5, 6, 7, 8, 9, 10], 6, 23),
    ]


def _judge_generate(case: Case, expected: Any, got: Any) -> str | None:
    ids = as_whole_numbers(got)
    if ids is None:
        return f"The result should be a list of whole numbers, but it is {kind(got)}."
    if len(ids) != len(expected):
        return f"The result should have {len(expected)} token ids, the prompt and the new ones, but it has {len(ids)}."
    if ids[: len(case["prompt"])] != case["prompt"]:
        return "The result should begin with the prompt."
    if ids == expected:
        return None
    place = next(n for n, (wanted, found) in enumerate(zip(expected, ids, strict=True)) if wanted != found)
    return f"The first wrong token is new token {place - len(case['prompt']) + 1}."


BUILD = (
    Exercise(SelfAttention, _self_attention_cases, _judge_states, run=_run_self_attention),
    Exercise(TransformerLayer, _layer_cases, _judge_states, run=_run_layer),
    Exercise(Bert, _bert_cases, _judge_states, run=_run_bert),
    Exercise(load_weights, _load_weights_cases, _judge_load_weights, run=_run_load_weights),
    Exercise(generate, _generate_cases, _judge_generate, run=_run_generate),
)
