"""Language models that write: filters, scores, attacks and memory; the build is SmolLM2's decoder and its loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.exercises.exercise import Answer, Arguments, Case, Exercise, Refused
from course_lib.exercises.values import array_problem, kind, numbers_of, pair_problem, same

# ---------------- nucleus sampling: the likeliest tokens that together reach a probability
# Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, section 3.1 (arXiv:1904.09751). The library's
# version: `course_lib.generation.Sampling`.


def top_p_filter(probabilities: np.ndarray, top_p: float) -> np.ndarray:
    """Keep the likeliest tokens that together reach top_p, set the others to 0; the sum is 1 again."""
    order = np.argsort(-probabilities)
    ordered = probabilities[order]
    before = np.cumsum(ordered) - ordered  # probability of all tokens that are likelier
    kept = order[before < top_p]
    filtered = np.zeros_like(probabilities)
    filtered[kept] = probabilities[kept] / probabilities[kept].sum()
    return filtered


def _top_p_cases() -> list[Arguments]:
    random = np.random.default_rng(0)
    return [
        ([0.5, 0.3, 0.15, 0.05], 0.7),
        ([0.125, 0.5, 0.25, 0.125], 0.75),  # the first two reach it exactly
        ([0.1, 0.2, 0.7], 0.3),  # the likeliest alone has more
        ([0.05, 0.4, 0.15, 0.3, 0.1], 0.9),
        ([0.2, 0.5, 0.3], 1.0),
        ([1.0], 0.5),
        (random.dirichlet(np.ones(12)), 0.6),
        (random.dirichlet(np.full(30, 0.3)), 0.95),
    ]


def _judge_top_p(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    numbers = numbers_of(got)
    if not np.isclose(numbers.sum(), 1, atol=1e-5):
        return f"The probabilities should sum to 1. Yours sum to {numbers.sum():.6g}."
    for token, (wanted, found) in enumerate(zip(expected, numbers, strict=True)):
        if (wanted > 0) != (abs(found) > 1e-9):
            return f"Token {token} should be {'kept' if wanted > 0 else 'dropped'}, but it gets {found:.6g}."
    return None if same(expected, got) else "The right tokens are kept, but their probabilities are wrong."


# ---------------- log-probability of a given answer
# Brown et al. 2020, Language Models are Few-Shot Learners, section 2.4 (arXiv:2005.14165). The library's version:
# `course_lib.generation.scoring.answer_log_probabilities`.


def answer_score(logits: np.ndarray, answer: "list[int]", length_normalized: bool) -> float:
    """log P(answer | context) in nats, or its mean over the tokens. The text ends with the answer."""
    rows = logits[-len(answer) - 1 : -1]  # row i predicts the token after token i
    largest = rows.max(axis=1, keepdims=True)
    log_totals = largest[:, 0] + np.log(np.exp(rows - largest).sum(axis=1))
    scores = rows[np.arange(len(answer)), answer] - log_totals
    return float(scores.mean() if length_normalized else scores.sum())


def _answer_score_cases() -> list[Arguments]:
    random = np.random.default_rng(1)
    third = np.log(3.0)
    large = [[0.0, 1.0, 2.0], [1000.0, 998.0, 0.0], [-900.0, -903.0, -901.0], [5.0, 0.0, 1.0]]
    return [
        ([[third, 0.0], [0.0, 2.0]], [0], False),  # log 3/4
        ([[2.0, 0.0], [third, 0.0], [0.0, 0.0], [1.0, 3.0]], [0, 1], False),  # log 3/4 + log 1/2
        ([[2.0, 0.0], [third, 0.0], [0.0, 0.0], [1.0, 3.0]], [0, 1], True),
        (random.normal(0, 2, size=(6, 5)), [3, 3, 1], False),
        (random.normal(0, 2, size=(7, 6)), [5, 0, 2, 4], True),
        (large, [1, 2], True),
        (random.normal(0, 3, size=(4, 8)), [6], True),
    ]


def _judge_number(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    return None if same(expected, got) else f"The result should be {expected:.6g}, not {float(numbers_of(got)):.6g}."


# ---------------- how often an injected instruction decides
# Greshake et al. 2023, Not what you've signed up for, section 4 (arXiv:2302.12173), with a control.


def injection_success_rate(
    labels: np.ndarray,
    clean: np.ndarray,
    attacked: np.ndarray,
    control: np.ndarray,
    targets: np.ndarray,
) -> "tuple[float, float]":
    """Success rate over the cases that can succeed, and its difference from the rate of the control."""
    eligible = (clean == labels) & (targets != labels)
    success = (attacked == targets)[eligible].mean()
    by_chance = (control == targets)[eligible].mean()
    return float(success), float(success - by_chance)


def _injection_cases() -> list[Arguments]:
    random = np.random.default_rng(2)
    drawn = [random.integers(0, 3, size=(5, n)) for n in (30, 60)]
    for rows in drawn:
        rows[1] = np.where(random.random(rows.shape[1]) < 0.7, rows[0], rows[1])
    return [
        ([0, 0, 1, 1, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 1], [0, 0, 1, 0, 1], [1, 1, 0, 0, 1]),
        ([0, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1]),  # class 1 is the target everywhere
        ([0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 1], [1, 1, 0]),  # the control does more than the attack
        ([2, 0, 1, 2], [2, 0, 1, 2], [1, 1, 2, 0], [0, 0, 1, 2], [0, 1, 2, 0]),  # changed, but not to the target
        *[tuple(rows) for rows in drawn],
    ]


def _judge_injection(case: Case, expected: Any, got: Any) -> str | None:
    if problem := pair_problem(("The success rate", "The difference"), expected, got):
        return problem
    for name, wanted, found in zip(("success rate", "difference"), expected, got, strict=True):
        if not same(wanted, found):
            return f"The {name} should be {wanted:.6g}, not {float(numbers_of(found)):.6g}."
    return None


# ---------------- retrieval: which fraction of the relevant passages is among the first k
# Manning, Raghavan and Schütze 2008, Introduction to Information Retrieval, chapter 8.


def recall_at_k(ranked: "list[list[int]]", relevant: "list[list[int]]", k: int) -> float:
    """Mean over the questions of: the fraction of its relevant passages that are among the first k found."""
    recalls = [len(set(found[:k]) & set(gold)) / len(gold) for found, gold in zip(ranked, relevant, strict=True)]
    return float(np.mean(recalls))


def _recall_cases() -> list[Arguments]:
    random = np.random.default_rng(3)
    ranked = [random.permutation(20)[:8].tolist() for _ in range(12)]
    relevant = [random.permutation(20)[: 1 + n % 3].tolist() for n in range(12)]
    return [
        ([[4, 7, 2], [9, 3, 1]], [[7], [5]], 2),
        ([[4, 7, 2], [9, 3, 1]], [[7], [1, 8]], 3),
        ([[5, 1, 0], [2, 5, 6]], [[5], [6]], 1),
        ([[8, 8, 3], [6, 6, 2]], [[8], [6, 2]], 2),  # a passage that was found twice
        ([[1, 2, 3, 4]], [[2, 3, 9]], 2),
        (ranked, relevant, 5),
        (ranked, relevant, 50),
    ]


# ---------------- memory: how many users one machine can serve
# Ainslie et al. 2023, GQA, section 2 (arXiv:2305.13245). The library's version: `course_lib.generation.kv_cache_bytes`.


def users_in_memory(
    memory: int,
    weights: int,
    n_layers: int,
    hidden_size: int,
    n_heads: int,
    n_kv_heads: int,
    tokens: int,
    value_bytes: int,
) -> int:
    """Users whose KV caches of `tokens` tokens fit together with one copy of the weights; in bytes."""
    head_size = hidden_size // n_heads
    cache = 2 * n_layers * n_kv_heads * head_size * tokens * value_bytes
    return max(0, (memory - weights) // cache)


def _users_cases() -> list[Arguments]:
    gib = 2**30
    return [
        (10_000, 2_000, 2, 8, 4, 2, 10, 4),  # a cache has 640 bytes
        (2_000 + 5 * 640, 2_000, 2, 8, 4, 2, 10, 4),  # five fit exactly
        (4 * gib, 538_000_000, 30, 576, 9, 3, 8192, 4),  # SmolLM2-135M in float32
        (4 * gib, 538_000_000, 30, 576, 9, 3, 500, 4),
        (80 * gib, 140_000_000_000, 80, 8192, 64, 8, 4096, 2),  # the weights alone do not fit
        (24 * gib, 16_000_000_000, 32, 4096, 32, 8, 2000, 2),  # an 8 B Llama in bfloat16
        (16 * gib, 1_000_000, 12, 768, 12, 12, 1024, 2),  # a key and a value for each query head
    ]


EXERCISES = (
    Exercise(top_p_filter, _top_p_cases, _judge_top_p),
    Exercise(users_in_memory, _users_cases, _judge_number),
    Exercise(answer_score, _answer_score_cases, _judge_number),
    Exercise(recall_at_k, _recall_cases, _judge_number),
    Exercise(injection_success_rate, _injection_cases, _judge_injection),
)


# ================ the build: the decoder of SmolLM2, and the loop that writes with it ================


@dataclass(frozen=True)
class _Config:
    """The attributes of `course_lib.generation.DecoderConfig` that the stages use."""

    norm_eps: float
    vocab_size: int
    hidden_size: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    intermediate_size: int
    rope_theta: float = 100.0

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.n_heads


def _array(result: Any) -> np.ndarray:
    """The numbers of a tensor that an answer returns."""
    if result is None or result is ...:
        raise Refused("Your function gives None. Is a `return` missing?")
    if not isinstance(result, torch.Tensor):
        raise Refused(f"Your function returns {kind(result)}. Return a tensor.")
    return result.detach().double().numpy()


def _judge_tensor(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Is everything hidden from a token, so that its softmax is 0/0?" if "nan" in problem else "")
    if same(expected, got):
        return None
    place = tuple(int(i) for i in np.argwhere(~np.isclose(got, expected, rtol=1e-5, atol=1e-6))[0])
    return f"The shape is right, but the number at {place} should be {expected[place]:.6g}, not {got[place]:.6g}."


# ---------------- stage 1: RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467, equation 4)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x (..., size) divided by the root of its mean square along the last axis, times weight (size,)."""
    mean_square = (x**2).mean(dim=-1, keepdim=True)
    return weight * x / torch.sqrt(mean_square + eps)


def _run_rms_norm(answer: Answer, x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return _array(answer(torch.tensor(x), torch.tensor(weight), eps))


def _rms_norm_cases() -> list[Arguments]:
    random = np.random.default_rng(4)
    return [
        (np.array([1.0, 7.0]), np.array([1.0, 1.0]), 0.0),  # the root of the mean square is 5
        (np.array([[1.0, 7.0], [0.0, 0.0]]), np.array([2.0, 0.5]), 1e-2),
        (random.normal(1, 2, size=(3, 3)), random.normal(size=3), 0.5),
        (random.normal(1, 2, size=(2, 4, 5)), random.normal(size=5), 1e-5),
    ]


# ---------------- stage 2: rotary position embeddings (Su et al. 2021, arXiv:2104.09864, equation 15)


def rotate(x: torch.Tensor, positions: torch.Tensor, theta: float) -> torch.Tensor:
    """Rotate each pair of numbers of x (heads, new, size) by an angle that grows with positions (new,)."""
    size = x.shape[-1]
    frequencies = theta ** (-torch.arange(0, size, 2) / size)  # one for each pair
    angles = positions[:, None] * frequencies  # (new, size / 2)
    cos, sin = angles.cos(), angles.sin()
    first, second = x[..., : size // 2], x[..., size // 2 :]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def _run_rotate(answer: Answer, x: np.ndarray, positions: list[int], theta: float) -> np.ndarray:
    return _array(answer(torch.tensor(x), torch.tensor(positions), theta))


def _rotate_cases() -> list[Arguments]:
    random = np.random.default_rng(5)
    return [
        (np.array([[[1.0, 0.0]]]), [1], 100.0),
        (np.array([[[1.0, 2.0, 3.0, 4.0]]]), [2], 100.0),
        (random.normal(size=(2, 3, 4)), [0, 1, 2], 100.0),
        (random.normal(size=(3, 3, 6)), [5, 6, 7], 1000.0),
    ]


# ---------------- stage 3: grouped-query attention over a cache (Ainslie et al. 2023, arXiv:2305.13245)


def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The newest tokens, queries (n_heads, new, size), attend to keys and values (n_kv_heads, seq, size)."""
    group = queries.shape[0] // keys.shape[0]
    keys = keys.repeat_interleave(group, dim=0)
    values = values.repeat_interleave(group, dim=0)
    new, seq = queries.shape[1], keys.shape[1]
    scores = queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[2])  # (n_heads, new, seq)
    later = torch.ones(new, seq, dtype=torch.bool).triu(seq - new + 1)
    return scores.masked_fill(later, -math.inf).softmax(dim=-1) @ values


def _run_attend(answer: Answer, heads: list[int], new: int, seq: int, size: int, seed: int) -> np.ndarray:
    random = np.random.default_rng([6, seed])
    shapes = ((heads[0], new, size), (heads[1], seq, size), (heads[1], seq, size))
    return _array(answer(*[torch.tensor(random.normal(size=shape)) for shape in shapes]))


def _attend_cases() -> list[Arguments]:
    return [
        ([1, 1], 1, 2, 2, 0),
        ([1, 1], 3, 3, 2, 1),
        ([4, 2], 1, 3, 4, 2),
        ([4, 2], 2, 5, 4, 3),  # two new tokens after three of the cache
        ([6, 2], 4, 4, 6, 4),
        ([2, 2], 2, 2, 3, 5),
    ]


# ---------------- stage 4: the whole decoder (Touvron et al. 2023, arXiv:2302.13971; Shazeer 2020, arXiv:2002.05202)


def next_logits(
    weights: "dict[str, torch.Tensor]",
    config: "Any",
    ids: torch.Tensor,
    cache: "dict[int, tuple[torch.Tensor, torch.Tensor]]",
) -> torch.Tensor:
    """Logits (vocab,) of the token after ids (new,). The cache maps a layer to (keys, values); extend it."""

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, weights[f"model.{name}.weight"])

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return rms_norm(x, weights[f"model.{name}.weight"], config.norm_eps)

    past = cache[0][0].shape[1] if cache else 0
    positions = torch.arange(past, past + len(ids))
    states = weights["model.embed_tokens.weight"][ids]  # (new, hidden)
    for number in range(config.n_layers):
        layer = f"layers.{number}"
        normed = norm(states, f"{layer}.input_layernorm")
        queries, keys, values = (
            linear(normed, f"{layer}.self_attn.{name}").view(len(ids), -1, config.head_size).transpose(0, 1)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        queries = rotate(queries, positions, config.rope_theta)
        keys = rotate(keys, positions, config.rope_theta)
        if number in cache:
            keys = torch.cat([cache[number][0], keys], dim=1)
            values = torch.cat([cache[number][1], values], dim=1)
        cache[number] = (keys, values)
        mixed = attend(queries, keys, values).transpose(0, 1).reshape(len(ids), -1)
        states = states + linear(mixed, f"{layer}.self_attn.o_proj")
        normed = norm(states, f"{layer}.post_attention_layernorm")
        gated = F.silu(linear(normed, f"{layer}.mlp.gate_proj")) * linear(normed, f"{layer}.mlp.up_proj")
        states = states + linear(gated, f"{layer}.mlp.down_proj")
    return weights["model.embed_tokens.weight"] @ norm(states[-1], "norm")


def _weights(config: _Config, seed: int) -> dict[str, torch.Tensor]:
    """Random weights in double precision under the names of transformers' Llama; those of a norm are near 1."""
    random = np.random.default_rng([7, seed])
    hidden, wide, narrow = config.hidden_size, config.intermediate_size, config.n_kv_heads * config.head_size
    layer = {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (narrow, hidden),
        "self_attn.v_proj": (narrow, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (wide, hidden),
        "mlp.up_proj": (wide, hidden),
        "mlp.down_proj": (hidden, wide),
    }
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens": (config.vocab_size, hidden), "norm": (hidden,)}
    for number in range(config.n_layers):
        shapes |= {f"layers.{number}.{name}": shape for name, shape in layer.items()}
    return {
        f"model.{name}.weight": torch.tensor(random.normal(float("norm" in name), 0.7, size=shape))
        for name, shape in shapes.items()
    }


def _run_next_logits(
    answer: Answer, sizes: list[int], eps: float, parts: list[list[int]], seed: int
) -> list[np.ndarray]:
    """The logits after each part of a text that is read with one cache, and the shape of the cache at its end."""
    config = _Config(eps, *sizes)
    weights, cache = _weights(config, seed), {}  # type: dict[str, torch.Tensor], dict[int, Any]
    logits = [_array(answer(weights, config, torch.tensor(part), cache)) for part in parts]
    if sorted(cache) != list(range(config.n_layers)):
        raise Refused(f"The cache should have the keys 0 to {config.n_layers - 1}, but it has {list(cache)}.")
    if not all(isinstance(entry, tuple) and len(entry) == 2 for entry in cache.values()):
        raise Refused("Each entry of the cache should be a pair, (keys, values).")
    shape = (config.n_kv_heads, sum(map(len, parts)), config.head_size)
    for name, tensor in zip(("keys", "values"), cache[0], strict=True):
        if tuple(tensor.shape) != shape:
            raise Refused(f"At the end, the {name} of layer 0 have the shape {tuple(tensor.shape)}, not {shape}.")
    return logits


def _next_logits_cases() -> list[Arguments]:
    return [  # vocab, hidden, layers, heads, kv heads, intermediate
        ([5, 4, 1, 1, 1, 3], 1e-5, [[2]], 0),
        ([7, 8, 1, 2, 1, 6], 1e-5, [[3, 0, 4]], 1),
        ([7, 8, 2, 4, 2, 6], 0.5, [[1, 6, 2]], 2),
        ([9, 8, 2, 2, 1, 12], 1e-5, [[4, 1, 7], [5], [2]], 3),
        ([9, 12, 3, 6, 2, 10], 0.1, [[3, 8], [1, 0, 5]], 4),  # two parts of several tokens
    ]


def _judge_next_logits(case: Case, expected: Any, got: Any) -> str | None:
    read = 0
    for number, (wanted, found) in enumerate(zip(expected, got, strict=True)):
        read += len(case["parts"][number])
        if problem := array_problem(wanted, found):
            return problem
        if not np.allclose(found, wanted, rtol=1e-3, atol=1e-3):  # angles in float32 or float64 differ a little
            before = read - len(case["parts"][number])
            where = f" with {before} tokens in the cache" if before else " with an empty cache"
            return f"The logits after token {read} of the text are wrong. This part is read{where}."
    return None


# ---------------- stage 5: the choice of the next token (the library's version: `course_lib.generation.Sampling`)


def next_token(
    logits: torch.Tensor,
    temperature: float,
    top_k: int,
    top_p: float,
    generator: torch.Generator,
) -> int:
    """Draw the id of the next token from logits (vocab,); the temperature 0 takes the likeliest."""
    if temperature == 0:
        return int(logits.argmax())
    scaled = logits / temperature
    if top_k > 0:
        lowest = scaled.topk(min(top_k, len(scaled))).values[-1]
        scaled = scaled.masked_fill(scaled < lowest, -math.inf)
    probabilities = top_p_filter(scaled.softmax(dim=-1).numpy(), top_p)
    return int(torch.multinomial(torch.tensor(probabilities), 1, generator=generator))


_DRAWS = 80


def _run_next_token(
    answer: Answer, logits: np.ndarray, temperature: float, top_k: int, top_p: float, seed: int
) -> tuple[list[int], str]:
    """How often each token is drawn, and whether a second generator of the same seed gives the same tokens."""
    row = torch.tensor(logits, dtype=torch.float32)

    def draw() -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return [_token(answer(row.clone(), temperature, top_k, top_p, generator), len(row)) for _ in range(_DRAWS)]

    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn, again = draw(), draw()
    return np.bincount(drawn, minlength=len(row)).tolist(), "the same" if drawn == again else "other"


def _token(token: Any, size: int) -> int:
    if token is None or token is ...:
        raise Refused("Your function gives None. Is a `return` missing?")
    if isinstance(token, bool) or not isinstance(token, int):
        raise Refused(f"The result should be one int, but it is {kind(token)}.")
    if not 0 <= token < size:
        raise Refused(f"The result is {token}, but token ids are 0 to {size - 1}.")
    return token


def _next_token_cases() -> list[Arguments]:
    random = np.random.default_rng(8)
    return [
        (np.array([0.0, 1.0, 3.0, 2.0]), 0.0, 0, 1.0, 0),
        (np.array([0.0, 1.0, 2.0, 1.5]), 1.0, 0, 1.0, 1),
        (np.array([0.0, 1.0, 2.0, 1.5]), 0.3, 0, 1.0, 2),
        (np.array([1.0, 0.4, 1.2, -0.5, 0.8, 0.9]), 3.0, 3, 1.0, 3),
        (np.log([0.1, 0.4, 0.2, 0.3]), 1.0, 0, 0.6, 4),
        (np.log([0.1, 0.4, 0.2, 0.3]), 0.5, 2, 0.6, 5),  # after the temperature and top-k, one token is enough
        (np.log([0.1, 0.35, 0.25, 0.3]), 2.0, 9, 0.6, 6),
        (random.normal(size=12), 0.8, 6, 0.9, 7),
    ]


def _judge_next_token(case: Case, expected: Any, got: Any) -> str | None:
    if got[1] != expected[1]:
        return "Two generators of the same seed give different tokens. Draw with the generator that you are given."
    counts, wanted = np.array(got[0]), np.array(expected[0])
    if (never := (counts > 0) & (wanted == 0)).any():
        return f"Token {int(np.flatnonzero(never)[0])} is drawn, but it should never be with these settings."
    if np.array_equal(counts, wanted):
        return None
    if np.abs(counts - wanted).max() < 20:
        return (
            "The distribution looks right, but these are other draws than those of "
            "torch.multinomial(probabilities of all tokens, 1, generator=generator)."
        )
    token = int(np.abs(counts - wanted).argmax())
    return (
        f"Token {token} should come up {wanted[token]} times in {_DRAWS} draws, but it comes up {counts[token]} times."
    )


# ---------------- stage 6: the loop (the library's version: `course_lib.generation.generate`)


def write(
    model: "Callable[..., torch.Tensor]",
    prompt: "list[int]",
    max_new_tokens: int,
    end_token: int,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
) -> "Iterator[int]":
    """Yield the new token ids, one by one; model(ids, cache) gives the logits after ids (new,)."""
    generator = torch.Generator().manual_seed(seed)
    cache: dict[int, object] = {}
    unread = prompt
    for _ in range(max_new_tokens):
        logits = model(torch.tensor(unread), cache)
        token = next_token(logits, temperature, top_k, top_p, generator)
        if token == end_token:
            return
        yield token
        unread = [token]


class _ToyModel:
    """Its logits depend on all tokens in the cache and on their order. It counts the tokens that it reads."""

    def __init__(self, vocab_size: int, seed: int) -> None:
        self.table = np.random.default_rng([9, seed]).normal(0, 3, size=(vocab_size, vocab_size))
        self.read = 0

    def __call__(self, ids: Any, cache: Any) -> torch.Tensor:
        if not isinstance(cache, dict):
            raise Refused("The second argument of model is the cache, a dictionary that is empty at the start.")
        if not isinstance(ids, torch.Tensor) or ids.ndim != 1:
            raise Refused(f"The first argument of model is a tensor of token ids of shape (new,), not {kind(ids)}.")
        seen = cache.setdefault("read", [])
        seen += ids.tolist()
        self.read += len(ids)
        if self.read > 500:
            raise Refused("Your function reads more than 500 tokens. Does it stop after max_new_tokens?")
        weights = 0.6 ** np.arange(len(seen))[::-1]
        return torch.tensor(weights @ self.table[seen], dtype=torch.float32)


def _run_write(
    answer: Answer, prompt: list[int], max_new_tokens: int, end_token: int, sampling: list[float], seed: int
) -> tuple[list[int], str]:
    """The tokens, and whether the model read each token once; the end token is the last id of its vocabulary."""
    model = _ToyModel(end_token + 1, seed)
    temperature, top_k, top_p = sampling
    found = answer(model, prompt, max_new_tokens, end_token, temperature, int(top_k), top_p, seed)
    if found is None or found is ...:
        raise Refused("Your function gives None. Yield each token.")
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise Refused(f"Your function returns {kind(found)}. Yield each token.")
    tokens = [_token(token, end_token + 1) for token in found]
    return tokens, "each token once" if model.read <= len(prompt) + len(tokens) else "tokens again"


def _write_cases() -> list[Arguments]:
    greedy = [0.0, 0, 1.0]  # temperature, top_k, top_p
    return [
        ([2], 1, 5, greedy, 0),
        ([1, 4, 2], 5, 7, greedy, 1),
        ([3, 0], 30, 5, greedy, 3),
        ([5, 1, 0, 2], 12, 7, [2.0, 0, 1.0], 4),
        ([7, 3], 15, 11, [4.0, 5, 1.0], 5),
        ([4, 4, 9], 15, 11, [4.0, 0, 0.7], 6),
        ([0], 20, 3, greedy, 7),
    ]


def _judge_write(case: Case, expected: Any, got: Any) -> str | None:
    (wanted, _), (tokens, reading) = expected, got
    if case["prompt"] == tokens[: len(case["prompt"])] != wanted[: len(case["prompt"])]:
        return "The result begins with the prompt. Yield only new tokens."
    if case["end_token"] in tokens:
        return "The end token is yielded. Stop before it."
    for place, (right, found) in enumerate(zip(wanted, tokens, strict=False), start=1):
        if right != found:
            return f"New token {place} should be {right}, not {found}."
    if len(tokens) != len(wanted):
        return f"There should be {len(wanted)} new tokens, but there are {len(tokens)}."
    return None if reading == expected[1] else "The tokens are right, but the model reads some of them again."


BUILD = (
    Exercise(rms_norm, _rms_norm_cases, _judge_tensor, run=_run_rms_norm),
    Exercise(rotate, _rotate_cases, _judge_tensor, run=_run_rotate),
    Exercise(attend, _attend_cases, _judge_tensor, run=_run_attend),
    Exercise(next_logits, _next_logits_cases, _judge_next_logits, run=_run_next_logits),
    Exercise(next_token, _next_token_cases, _judge_next_token, run=_run_next_token),
    Exercise(write, _write_cases, _judge_write, run=_run_write),
)
