"""Masks: how many zeros, where, and which weights stay."""

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
from course_lib.compression.pruning import (
    magnitude_mask,
    movement_scores,
    n_of_m_mask,
    score_mask,
    sparse,
    sparsity_of,
)
from course_lib.compression.structure import matrices
from course_lib.errors import BadInput

# Few different values, so that many are equal.
TABLES = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: st.lists(st.integers(-4, 4), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
        lambda values: torch.tensor(values, dtype=torch.float32).reshape(shape)
    )
)


def best(values: list[float], count: int) -> list[bool]:
    """The highest so many, of equal ones the first, by Python's own sorting."""
    kept = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
    return [i in kept for i in range(len(values))]


@given(TABLES, st.floats(0, 1))
def test_the_largest_stay(weight: Tensor, sparsity: float) -> None:
    flat = weight.flatten().abs().tolist()
    mask = magnitude_mask(weight, sparsity)
    assert mask.dtype == torch.bool and mask.shape == weight.shape
    assert mask.flatten().tolist() == best(flat, len(flat) - round(sparsity * len(flat)))
    rows = magnitude_mask(weight, sparsity, per_row=True)
    columns = weight.shape[1]
    assert rows.tolist() == [best(row, columns - round(sparsity * columns)) for row in weight.abs().tolist()]


def test_masks_by_hand() -> None:
    weight = torch.tensor([[0.1, -3.0, 2.0, 0.0], [5.0, -4.0, 0.2, 6.0]])
    assert magnitude_mask(weight, 0.5).int().tolist() == [[0, 1, 0, 0], [1, 1, 0, 1]]
    assert magnitude_mask(weight, 0.5, per_row=True).int().tolist() == [[0, 1, 1, 0], [1, 0, 0, 1]]
    assert score_mask(weight, 0.5).int().tolist() == [[0, 0, 1, 0], [1, 0, 1, 1]]  # the sign counts
    assert magnitude_mask(weight, 0).all() and not magnitude_mask(weight, 1).any()
    assert magnitude_mask(torch.ones(10), 0.3).int().tolist() == [1] * 7 + [0] * 3
    assert magnitude_mask(torch.empty(0, 3), 0.5).shape == (0, 3)


@given(st.integers(1, 4).flatmap(lambda rows: st.lists(st.integers(-3, 3), min_size=8 * rows, max_size=8 * rows)))
def test_two_of_each_four_stay(values: list[int]) -> None:
    weight = torch.tensor(values, dtype=torch.float32).reshape(-1, 8)
    groups = n_of_m_mask(weight).reshape(-1, 4)
    assert groups.sum(1).tolist() == [2] * len(groups)
    assert groups.tolist() == [best(group, 2) for group in weight.abs().reshape(-1, 4).tolist()]


@pytest.mark.parametrize(("n", "m"), [(1, 4), (4, 8), (0, 4), (4, 4), (1, 1), (3, 7)])
def test_n_of_each_m_stay(n: int, m: int) -> None:
    weight = torch.randn(3, 5, 7 * 8, generator=torch.Generator().manual_seed(0))
    mask = n_of_m_mask(weight, n, m)
    assert mask.shape == weight.shape
    assert (mask.reshape(3, 5, -1, m).sum(-1) == n).all()


def test_movement_by_hand() -> None:
    """The loss (w - target)^2 / 2 pulls one weight out from zero and the other one in."""
    weight, target, scores = torch.tensor([0.2, 3.0]), torch.tensor([2.0, 0.1]), torch.zeros(2)
    expected = torch.zeros(2)
    for _ in range(3):
        gradient = weight - target
        expected += torch.tensor([-w * g for w, g in zip(weight.tolist(), gradient.tolist(), strict=True)])
        scores = movement_scores(weight, gradient, scores)
        weight = weight - 0.1 * gradient
    assert torch.allclose(scores, expected)
    assert scores[0] > 0 > scores[1]
    assert score_mask(scores, 0.5).tolist() == [True, False]  # and the magnitude would have it the other way round
    assert magnitude_mask(weight, 0.5).tolist() == [False, True]
    assert not movement_scores(weight.requires_grad_(), gradient).requires_grad


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: magnitude_mask(torch.ones(4), 1.5), "sparsity is 1.5"),
        (lambda: magnitude_mask(torch.ones(4), float("nan")), "sparsity is nan"),
        (lambda: magnitude_mask(torch.ones(4), "a"), "sparsity is 'a'"),  # type: ignore[arg-type]
        (lambda: magnitude_mask(torch.tensor([1.0, torch.nan]), 0.5), "1 scores are NaN"),
        (lambda: n_of_m_mask(torch.ones(2, 6)), "rows of 6"),
        (lambda: n_of_m_mask(torch.ones(2, 8), 5, 4), "n is 5"),
        (lambda: n_of_m_mask(torch.ones(2, 8), 2, 0), "m is 0"),
        (lambda: movement_scores(torch.ones(2), torch.ones(3)), "equal shapes"),
        (lambda: sparse(fitted(), pattern="4:8"), "pattern is '4:8'"),
        (lambda: sparse(fitted(), scope="row"), "scope is 'row'"),
        (lambda: sparse(fitted(), 0.6, "2:4"), "sparsity is 0.6 with"),
        (lambda: sparse(fitted(), -0.1), "sparsity is -0.1"),
        (lambda: sparse(TextClassifier("tiny")), "not a fitted"),
        (lambda: sparsity_of("sentiment"), "not a fitted"),  # type: ignore[arg-type]
    ],
)
def test_bad_input(call: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        call()


# ---- classifiers -----------------------------------------------------------------------------------------------


def zeros(classifier: TextClassifier) -> list[int]:
    return [int((matrix.weight == 0).sum()) for matrix in matrices(classifier).values()]


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 1])
def test_so_many_zeros(share: float) -> None:
    before = copy.deepcopy(fitted())
    sizes = [matrix.weight.numel() for matrix in matrices(fitted()).values()]
    everywhere, alike = (sparse(fitted(), share, scope=scope) for scope in ("global", "layer"))
    assert sum(zeros(everywhere)) == round(share * sum(sizes))
    assert zeros(alike) == [round(share * size) for size in sizes]
    assert sparsity_of(everywhere) == pytest.approx(share, abs=1e-4)
    assert same_bits(fitted(), before) and sparsity_of(fitted()) == 0
    assert same_bits(everywhere, fitted()) == (share == 0)


def test_global_takes_more_where_weights_are_small() -> None:
    uneven = copy.deepcopy(fitted())
    small = matrices(uneven)[1, "key"].weight
    small.data *= 1e-3
    thinner = sparse(uneven, 0.5)
    assert not matrices(thinner)[1, "key"].weight.any()
    old, new = (torch.cat([matrix.weight.detach().flatten() for matrix in matrices(one).values()])
                for one in (uneven, thinner))  # fmt: skip
    assert old[new == 0].abs().max() <= new[new != 0].abs().min()
    assert matrices(sparse(uneven, 0.5, scope="layer"))[1, "key"].weight.any()


def test_two_of_four_in_every_matrix() -> None:
    for scope in ("global", "layer"):
        for matrix in matrices(sparse(fitted(), pattern="2:4", scope=scope)).values():
            assert (matrix.weight.reshape(-1, 4).count_nonzero(1) == 2).all()


@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
def test_only_matrices_of_layers_change_and_the_rest_stays(pattern: str, tmp_path: Path) -> None:
    thinner = sparse(fitted(), 0.5, pattern)
    old, new = fitted().module_.state_dict(), thinner.module_.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    names = {id(parameter): name for name, parameter in thinner.module_.named_parameters()}
    assert changed == {names[id(matrix.weight)] for matrix in matrices(thinner).values()}
    assert all(torch.equal(new[name], torch.where(new[name] == 0, 0.0, old[name])) for name in changed)
    assert not any((new[name].signbit() & (new[name] == 0)).any() for name in changed)
    logits = thinner.decision_logits(MIXED)
    assert np.abs(logits - fitted().decision_logits(MIXED)).max() > 1e-3
    folder = thinner.save(tmp_path / "thinner")
    np.testing.assert_allclose(transformers_logits(folder, MIXED), logits, atol=1e-5)
    assert sparsity_of(TextClassifier.from_pretrained(folder)) == sparsity_of(thinner) == 0.5
