"""Products of thin linear_layers: against the singular values, and against what the model really reads."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from toy_classifiers import MIXED, TEXTS, fitted, same_bits, transformers_logits

from course_lib import TextClassifier, machine
from course_lib.compression.linear_layers import linear_layers
from course_lib.compression.low_rank import factorize_layers, low_rank_factors, rank_within
from course_lib.errors import BadInput


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlated(n: int, width: int, seed: int) -> Tensor:
    """Inputs that vary along few directions: powers of ten apart, as activations do."""
    return (
        random(n, width, seed=seed) * torch.logspace(0, -3, width, dtype=torch.float64) @ random(width, width, seed=9)
    )


def output_error(weight: Tensor, factors: tuple[Tensor, Tensor], inputs: Tensor) -> float:
    left, right = factors
    return float((inputs @ (weight - left @ right).T).norm())


# ---- one matrix ------------------------------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 99), st.data())
def test_the_error_is_the_tail_of_the_singular_values(out: int, width: int, seed: int, data: Any) -> None:
    """Eckart and Young 1936."""
    weight = random(out, width, seed=seed)
    rank = data.draw(st.integers(1, min(out, width)))
    left, right = low_rank_factors(weight, rank)
    assert left.shape == (out, rank) and right.shape == (rank, width)
    tail = np.linalg.svd(weight.numpy(), compute_uv=False)[rank:]
    assert float((weight - left @ right).norm()) == pytest.approx(np.sqrt((tail**2).sum()), abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_whitening_is_never_worse_and_far_better_on_correlated_inputs(seed: int) -> None:
    weight, inputs = random(24, 32, seed=seed), correlated(200, 32, seed)
    for rank in (1, 4, 12, 24):
        plain = output_error(weight, low_rank_factors(weight, rank), inputs)
        white = output_error(weight, low_rank_factors(weight, rank, inputs.T @ inputs), inputs)
        assert white <= plain * (1 + 1e-6) + 1e-6
        assert rank == 24 or white < 0.9 * plain
        # No product of this rank has less: the tail of what the whole matrix gives.
        tail = torch.linalg.svdvals(inputs @ weight.T)[rank:]
        assert white == pytest.approx(float(tail.norm()), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    "inputs",
    [random(3, 8), torch.zeros(5, 8), torch.ones(20, 8), random(20, 8) * torch.eye(8)[0], 1e-6 * random(3, 8)],
    ids=["fewer than columns", "zeros", "all alike", "one column", "tiny"],
)
def test_inputs_that_leave_directions_out(inputs: Tensor) -> None:
    weight = random(6, 8)
    left, right = low_rank_factors(weight, 3, inputs.T @ inputs)
    assert left.isfinite().all() and right.isfinite().all()
    plain = output_error(weight, low_rank_factors(weight, 3), inputs.double())
    assert output_error(weight, (left, right), inputs.double()) <= plain * (1 + 1e-6)
    if inputs.any():
        assert output_error(weight, (left, right), inputs.double()) < 1e-3 * float((inputs.double() @ weight.T).norm())


@given(st.integers(1, 2000), st.integers(1, 2000), st.data())
def test_a_rank_goes_there_and_back(out: int, width: int, data: Any) -> None:
    rank = data.draw(st.integers(1, min(out, width)))
    numbers = rank * (out + width)
    assert rank_within((out, width), numbers) == rank
    assert rank_within((out, width), numbers / (out * width) * (out * width)) == rank  # by way of a share
    assert rank == 1 or rank_within((out, width), numbers - 1) == rank - 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: low_rank_factors(random(4, 6), 0), "rank is 0"),
        (lambda: low_rank_factors(random(4, 6), 5), "from 1 to 4"),
        (lambda: low_rank_factors(random(4, 6), 2.0), "rank is 2.0"),  # type: ignore[arg-type]
        (lambda: low_rank_factors(random(4), 1), "weight of shape"),
        (lambda: low_rank_factors(random(4, 6) / 0, 1), "not a finite"),
        (lambda: low_rank_factors(random(4, 6), 1, random(4, 4)), r"gram is \(4, 4\)"),
        (lambda: rank_within((4, 6), 9), "rank 1 takes 10"),
        (lambda: rank_within((4, 6), float("nan")), "budget is nan"),
        (lambda: factorize_layers(fitted(), 0), "fraction is 0"),
        (lambda: factorize_layers(fitted(), 0.001), "rank 1 takes"),
        (lambda: factorize_layers(fitted(), 0.5, ["pooler"]), "no linear layers"),
        (lambda: factorize_layers(fitted(), 0.5, []), "no linear layers"),
        (lambda: factorize_layers(fitted(), 0.5, texts=[]), "no text"),
        (lambda: factorize_layers(TextClassifier("tiny"), 0.5), "not a fitted"),
    ],
)
def test_bad_input(call: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        call()


# ---- classifiers -----------------------------------------------------------------------------------------------


def test_a_full_rank_is_the_model_itself() -> None:
    for texts in (None, TEXTS):
        whole = factorize_layers(fitted(), 3.0, texts=texts)
        np.testing.assert_allclose(whole.decision_logits(MIXED), fitted().decision_logits(MIXED), atol=1e-4)


@pytest.mark.parametrize("texts", [None, TEXTS], ids=["plain", "with texts"])
def test_the_matrices_named_get_the_rank(texts: list[str] | None, tmp_path: Path) -> None:
    before = copy.deepcopy(fitted())
    thinner = factorize_layers(fitted(), 0.5, ["query", "expand"], texts=texts)
    for (layer, name), matrix in linear_layers(thinner).items():
        old = linear_layers(fitted())[layer, name].weight
        assert matrix.weight.shape == old.shape
        if name in ("query", "expand"):
            values = torch.linalg.svdvals(matrix.weight.double())
            assert (
                int((values > 1e-4 * values[0]).sum()) == {"query": 16, "expand": 21}[name]
            )  # of 64 x 64, of 128 x 64
        else:
            assert torch.equal(matrix.weight, old)
    logits = thinner.decision_logits(MIXED)
    np.testing.assert_allclose(transformers_logits(thinner.save(tmp_path / "thin"), MIXED), logits, atol=1e-5)
    assert np.abs(logits - fitted().decision_logits(MIXED)).max() > 1e-4
    assert same_bits(fitted(), before)


def read_by_hand(texts: list[str]) -> dict[tuple[int, str], Tensor]:
    """What each matrix reads, a row a token: one text at a time, so that there is no padding."""
    rows: dict[tuple[int, str], list[Tensor]] = {place: [] for place in linear_layers(fitted())}
    hooks = [
        matrix.register_forward_pre_hook(lambda _, inputs, place=place: rows[place].append(inputs[0].flatten(0, 1)))
        for place, matrix in linear_layers(fitted()).items()
    ]
    for text in texts:
        fitted().decision_logits([text])
    for hook in hooks:
        hook.remove()
    return {place: torch.cat(parts) for place, parts in rows.items()}


@pytest.mark.parametrize("tokens", [2048, 8], ids=["one padded batch", "a batch each"])
def test_errors_are_weighted_by_what_the_model_reads(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = replace(machine.preset(), predict_tokens=tokens)
    monkeypatch.setitem(machine.PRESETS, preset.name, preset)
    texts = ["a good film", "an awful film and so on", "dull", "好"]
    inputs = read_by_hand(texts)
    assert len(inputs[1, "key"]) == sum(len(fitted().tokenizer_(text)["input_ids"]) for text in texts)
    assert len(inputs[1, "query"]) == len(inputs[1, "expand"]) == len(texts)  # of the last layer, the first token alone
    thinner = factorize_layers(fitted(), 0.07, texts=texts)
    plain = factorize_layers(fitted(), 0.07)
    for place, rows in inputs.items():
        old = linear_layers(fitted())[place].weight.detach()
        left, right = low_rank_factors(old, rank_within(old.shape, 0.07 * old.numel()), rows.double().T @ rows.double())
        given, expected = rows @ linear_layers(thinner)[place].weight.detach().T, rows @ (left @ right).T
        assert torch.allclose(given, expected, atol=2e-3 * float((rows @ old.T).abs().max()))
        errors = [
            float((rows @ (one[place].weight.detach() - old).T).norm())
            for one in (linear_layers(thinner), linear_layers(plain))
        ]
        assert errors[0] < errors[1]
    assert not any(module._forward_pre_hooks for module in fitted().module_.modules())
