"""Products of thin matrices: against the singular values."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from toy_classifiers import MIXED, fitted, same_bits, transformers_logits

from course_lib import TextClassifier
from course_lib.compression import low_rank
from course_lib.compression.linear_layers import linear_layers
from course_lib.compression.low_rank import factorize_layers, low_rank_factors
from course_lib.errors import BadInput


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: low_rank_factors(random(4, 6), 0), "rank is 0"),
        (lambda: low_rank_factors(random(4, 6), 5), "from 1 to 4"),
        (lambda: low_rank_factors(random(4, 6), 2.0), "rank is 2.0"),  # type: ignore[arg-type]
        (lambda: low_rank_factors(random(4), 1), "weight of shape"),
        (lambda: low_rank_factors(random(4, 6) / 0, 1), "not a finite"),
        (lambda: factorize_layers(fitted(), 0), "fraction is 0"),
        (lambda: factorize_layers(fitted(), 0.001), "rank 1 takes"),
        (lambda: factorize_layers(fitted(), 0.5, ["pooler"]), "no linear layers"),
        (lambda: factorize_layers(fitted(), 0.5, []), "no linear layers"),
        (lambda: factorize_layers(TextClassifier("tiny"), 0.5), "not a fitted"),
    ],
)
def test_bad_input(call: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        call()


# ---- classifiers -----------------------------------------------------------------------------------------------


def test_a_full_rank_is_the_model_itself() -> None:
    whole = factorize_layers(fitted(), 3.0)
    np.testing.assert_allclose(whole.decision_logits(MIXED), fitted().decision_logits(MIXED), atol=1e-4)


def test_the_matrices_named_get_the_rank(tmp_path: Path) -> None:
    before = copy.deepcopy(fitted())
    thinner = factorize_layers(fitted(), 0.5, ["query", "expand"])
    for (layer, name), matrix in linear_layers(thinner).items():
        old = linear_layers(fitted())[layer, name].weight
        assert matrix.weight.shape == old.shape
        if name in ("query", "expand"):  # 64 x 64 and 128 x 64
            values = torch.linalg.svdvals(matrix.weight.double())
            assert int((values > 1e-4 * values[0]).sum()) == {"query": 16, "expand": 21}[name]
        else:
            assert torch.equal(matrix.weight, old)
    logits = thinner.decision_logits(MIXED)
    np.testing.assert_allclose(transformers_logits(thinner.save(tmp_path / "thin"), MIXED), logits, atol=1e-5)
    assert np.abs(logits - fitted().decision_logits(MIXED)).max() > 1e-4
    assert same_bits(fitted(), before)


@pytest.mark.parametrize(("out", "inputs", "percent", "rank"), [(200, 200, 57, 57), (64, 128, 50, 21), (4, 12, 50, 1)])
def test_the_largest_rank_that_fits(out: int, inputs: int, percent: int, rank: int) -> None:
    """0.57 * 200 * 200 / 400 is 56.99999999999999."""
    assert low_rank._rank(torch.Size((out, inputs)), percent / 100) == rank
