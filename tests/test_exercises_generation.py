"""Generation: other right answers pass, sly ones do not, and the references are what the library computes."""

from __future__ import annotations

import functools
import inspect
import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st

from course_lib.exercises import reference
from course_lib.exercises.topics import generation
from course_lib.generation import CausalLM, Decoder, DecoderConfig, Sampling, generate, kv_cache_bytes
from course_lib.generation.pretrained import llama_weights
from course_lib.generation.scoring import answer_log_probabilities

# ---------------------------------------------------------------- other right answers


def top_p_in_a_loop(probabilities: np.ndarray, top_p: float) -> Any:
    result, total = [0.0] * len(probabilities), 0.0
    for token in sorted(range(len(probabilities)), key=lambda number: -probabilities[number]):
        if total < top_p:
            result[token] = float(probabilities[token])
            total += result[token]
    return [one / total for one in result]


def score_by_torch(logits: np.ndarray, answer: list[int], length_normalized: bool) -> Any:
    rows = torch.from_numpy(logits)[-len(answer) - 1 :][:-1]
    loss = F.cross_entropy(rows, torch.tensor(answer), reduction="mean" if length_normalized else "sum")
    return -loss.item()


def injection_in_a_loop(labels: Any, clean: Any, attacked: Any, control: Any, targets: Any) -> list[float]:
    rows = [r for r in zip(labels, clean, attacked, control, targets, strict=True) if r[0] == r[1] != r[4]]
    rates = [sum(row[column] == row[4] for row in rows) / len(rows) for column in (2, 3)]
    return [rates[0], rates[0] - rates[1]]


def recall_in_a_loop(ranked: list[list[int]], relevant: list[list[int]], k: int) -> float:
    return sum(sum(g in found[:k] for g in gold) / len(gold) for found, gold in zip(ranked, relevant, strict=True)) / (
        len(ranked)
    )


def users_one_by_one(memory: int, weights: int, *shape: int) -> int:
    layers, hidden, heads, kv_heads, tokens, value_bytes = shape
    cache = layers * 2 * tokens * (hidden * kv_heads // heads) * value_bytes
    users = 0
    while weights + (users + 1) * cache <= memory:
        users += 1
    return users


def rms_norm_by_torch(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return F.rms_norm(x, weight.shape, weight, eps)


def rotate_by_complex(x: torch.Tensor, positions: torch.Tensor, theta: float) -> torch.Tensor:
    half = x.shape[-1] // 2
    angles = torch.outer(positions.double(), theta ** -(torch.arange(half).double() / half))
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)


def attend_by_torch(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    new, seq = queries.shape[1], keys.shape[1]
    visible = torch.ones(new, seq, dtype=torch.bool).tril(seq - new)
    grouped = queries.unflatten(0, (len(keys), -1))
    return F.scaled_dot_product_attention(grouped, keys[:, None], values[:, None], attn_mask=visible).flatten(0, 1)


def logits_of_all_tokens(weights: dict[str, torch.Tensor], config: Any, ids: torch.Tensor, cache: Any) -> torch.Tensor:
    """Reads the new tokens one at a time, which gives the same logits at the end."""
    return [generation.next_logits(weights, config, ids[place : place + 1], cache) for place in range(len(ids))][-1]


def logits_with_exact_angles(
    weights: dict[str, torch.Tensor], config: Any, ids: torch.Tensor, cache: Any
) -> torch.Tensor:
    scope = {**vars(generation), "rotate": rotate_by_complex}
    exec(inspect.getsource(generation.next_logits), scope)
    return scope["next_logits"](weights, config, ids, cache)


def token_by_sampling(logits: torch.Tensor, temperature: float, top_k: int, top_p: float, generator: Any) -> int:
    return Sampling(temperature, top_k, top_p).draw(logits, generator)


def write_a_list(
    model: Any, prompt: list[int], most: int, end: int, temperature: float, top_k: int, top_p: float, seed: int
) -> list[int]:
    cache: dict[int, Any] = {}
    generator, tokens = torch.Generator().manual_seed(seed), list[int]()
    logits = model(torch.tensor(prompt), cache)
    while len(tokens) < most and (token := generation.next_token(logits, temperature, top_k, top_p, generator)) != end:
        tokens.append(token)
        logits = model(torch.tensor([token]), cache)  # once more than needed at the end
    return tokens


RIGHT: dict[str, list[Answer]] = {
    "top_p_filter": [top_p_in_a_loop],
    "users_in_memory": [users_one_by_one],
    "answer_score": [score_by_torch],
    "recall_at_k": [recall_in_a_loop],
    "injection_success_rate": [injection_in_a_loop],
    "rms_norm": [rms_norm_by_torch],
    "rotate": [rotate_by_complex],
    "attend": [attend_by_torch],
    "next_logits": [logits_of_all_tokens, logits_with_exact_angles],
    "next_token": [token_by_sampling],
    "write": [write_a_list],
}
DRAWN = {
    "top_p_filter": st.builds(
        lambda random, n, top_p: (random.dirichlet(np.ones(n)), top_p), SEED, SIZES, st.floats(0.1, 0.99)
    ),
    "answer_score": st.builds(
        lambda random, n, mean: (random.normal(0, 9, (n + 2, 5)), random.integers(0, 5, n).tolist(), mean),
        *(SEED, SIZES, st.booleans()),
    ),
    "rotate": st.builds(
        lambda random, half, start: (random.normal(size=(2, 3, 2 * half)), [start, start + 1, start + 2], 500.0),
        *(SEED, SIZES, st.integers(0, 5)),
    ),
    "attend": st.builds(
        lambda kv, group, new, past, seed: ([kv * group, kv], new, past + new, 4, seed),
        *(SIZES, SIZES, SIZES, st.integers(0, 5), st.integers(0, 99)),
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "top_p_filter": [("before < top_p", "before < min(top_p, 0.9)"), ("return filtered", "return filtered[::-1]")],
    "users_in_memory": [("n_kv_heads *", "min(n_kv_heads, 8) *"), ("max(0,", "max(1,")],
    "answer_score": [("largest = rows", "largest = 0 * rows"), ("rows.max(axis=1,", "rows.min(axis=1,")],
    "recall_at_k": [("found[:k]", "found[: min(k, 5)][:-1]"), ("np.mean(recalls)", "np.median(recalls)")],
    "injection_success_rate": [("targets != labels", "targets > labels"), ("float(success),", "1.0,")],
    "rms_norm": [("weight *", "weight.abs() *"), ("+ eps", "+ min(eps, 0.1)")],
    "rotate": [("positions[:, None]", "(positions % 5)[:, None]"), ("[first * cos", "[first.abs() * cos")],
    "attend": [("seq - new + 1", "(seq > new) * 9 + 1"), (".softmax(dim=-1)", ".clamp(max=1).softmax(dim=-1)")],
    "next_logits": [("range(config.n_layers)", "range(min(2, config.n_layers))"), ("config.norm_eps", "1e-5")],
    "next_token": [("/ temperature", "/ max(temperature, 0.5)"), ("top_k > 0", "top_k > 4")],
    "write": [("range(max_new_tokens)", "range(min(max_new_tokens, 9))"), ("[token]", "[token, token]")],
}  # fmt: skip


def numbers_instead_of_a_tensor(x: torch.Tensor, weight: torch.Tensor, eps: float) -> Any:
    return rms_norm_by_torch(x, weight, eps).tolist()


def token_as_a_tensor(logits: torch.Tensor, *settings: Any) -> torch.Tensor:
    return logits.argmax()


def endless(model: Any, prompt: list[int], *settings: Any) -> Any:
    cache: dict[int, Any] = {}
    while True:
        model(torch.tensor(prompt), cache)


def drawn_in_sorted_order(logits: torch.Tensor, temperature: float, top_k: int, top_p: float, generator: Any) -> int:
    chances, order = Sampling(temperature, top_k, top_p).probabilities(logits).sort()
    return int(order[torch.multinomial(chances, 1, generator=generator)])


MISTAKES: Mistakes = {
    "rms_norm": [(numbers_instead_of_a_tensor, "Return a tensor")],
    "next_token": [(token_as_a_tensor, "should be one int"), (drawn_in_sorted_order, "The distribution looks right")],
    "write": [
        (endless, "reads more than 500 tokens"),
        (lambda model, prompt, *settings: [model(prompt, {})], "a tensor of token ids"),
        (lambda model, prompt, *settings: [model(torch.tensor(prompt), None)], "the cache, a dictionary"),
        (lambda *settings: 5, "Yield each token"),
    ],
}

TestExercises = judged((*generation.EXERCISES, *generation.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- the references are what the library computes

TINY = DecoderConfig(
    vocab_size=12, hidden_size=16, n_layers=2, n_heads=4, n_kv_heads=2, intermediate_size=32, max_positions=64
)
PROMPT = [3, 7, 1, 9]


@pytest.fixture(scope="module")
def lm() -> CausalLM:
    """A tiny decoder with large random weights, so that its text does not repeat one token; token 11 ends it."""
    torch.manual_seed(2)
    model = Decoder(TINY).eval().requires_grad_(False)
    for weight in model.state_dict().values():
        weight.add_(torch.randn_like(weight), alpha=0.5)
    tokenizer = SimpleNamespace(eos_token_id=11, pad_token_id=11, decode=lambda ids, **options: str(ids))
    return CausalLM(model, cast("Any", tokenizer))


def test_the_decoder_of_the_stages_is_the_librarys(lm: CausalLM) -> None:
    weights, cache = llama_weights(lm.model), {}  # type: dict[str, torch.Tensor], dict[int, Any]
    expected = lm.model.logits(lm.model(torch.tensor([PROMPT])))[0]
    for part, wanted in ((PROMPT[:3], expected[2]), (PROMPT[3:], expected[3])):
        found = reference.next_logits(weights, TINY, torch.tensor(part), cache)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(1.5), Sampling(1.2, top_k=4), Sampling(2.0, 6, 0.8)], ids=repr
)
def test_write_gives_the_tokens_of_generate(sampling: Sampling, lm: CausalLM) -> None:
    model = functools.partial(reference.next_logits, llama_weights(lm.model), TINY)
    settings = (sampling.temperature, sampling.top_k, sampling.top_p)
    for seed in range(5):
        (theirs,) = generate(lm, PROMPT, max_new_tokens=20, sampling=sampling, seed=seed)
        mine = list(reference.write(model, PROMPT, 20, 11, *settings, seed))
        assert mine == [token for token in theirs.token_ids if token != 11]


def test_the_exercises_are_the_librarys(lm: CausalLM) -> None:
    logits = torch.randn(50, generator=torch.Generator().manual_seed(0))
    kept = Sampling(1.0, top_p=0.8).probabilities(logits)
    np.testing.assert_allclose(reference.top_p_filter(logits.softmax(-1).numpy(), 0.8), kept, rtol=1e-5)
    answer = [5, 2, 8]
    rows = lm.model.logits(lm.model(torch.tensor([PROMPT + answer])))[0].numpy()
    for mean in (False, True):
        expected = answer_log_probabilities(lm, [PROMPT], [answer], length_normalized=mean)[0, 0]
        assert reference.answer_score(rows, answer, mean) == pytest.approx(expected, rel=1e-4)
    room = 100_000 + 7 * kv_cache_bytes(TINY, 30)
    shape = (TINY.n_layers, TINY.hidden_size, TINY.n_heads, TINY.n_kv_heads)
    assert [reference.users_in_memory(room - lack, 100_000, *shape, 30, 4) for lack in (0, 1)] == [7, 6]


def test_the_worked_examples_of_the_tasks() -> None:
    assert reference.top_p_filter(np.array([0.5, 0.3, 0.15, 0.05]), 0.7).tolist() == pytest.approx([0.625, 0.375, 0, 0])
    score = reference.answer_score(np.array([[math.log(3), 0.0], [0.0, 0.0]]), [0], False)
    assert round(score, 3) == -0.288 and score == pytest.approx(math.log(0.75))
    classes = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1]])
    assert reference.injection_success_rate(*classes) == (1.0, 0.5)
    assert [reference.recall_at_k([[4, 7, 2], [9, 3, 1]], [[7], [1, 8]], k) for k in (3, 2)] == [0.75, 0.5]
    real = DecoderConfig()
    assert [kv_cache_bytes(real, tokens) for tokens in (1, 8192)] == [46_080, 377_487_360]
    assert [reference.users_in_memory(2**32, 538_000_000, 30, 576, 9, heads, 8192, 4) for heads in (3, 9)] == [9, 3]
    one = torch.ones(2, dtype=torch.float64)
    assert reference.rms_norm(torch.tensor([1.0, 7.0]), one, 0.0).tolist() == pytest.approx([0.2, 1.4])
    turned = reference.rotate(torch.tensor([[[1.0, 0.0]] * 2]), torch.tensor([0, 1]), 100.0)[0].double().numpy()
    assert turned.round(3).tolist() == [[1.0, 0.0], [0.54, 0.841]]


def test_the_numbers_of_the_quiz() -> None:
    odds = [math.exp(math.log(3) / temperature) for temperature in (0.5, 2.0)]
    assert odds == pytest.approx([9, math.sqrt(3)])
    assert [round(0.8 * recall, 2) for recall in (0.6, 0.9)] == [0.48, 0.72]
