"""Pruning: how many zeros and where, and smaller models that any transformers reads."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from toy_classifiers import MIXED, TEXTS, fitted, same_bits, transformers_folder, transformers_logits
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

from course_lib import TextClassifier
from course_lib.compression.linear_layers import LINEAR_LAYERS, linear_layers
from course_lib.compression.pruning import (
    drop_layers,
    evenly_spaced_layers,
    magnitude_mask,
    prune_ffn,
    prune_weights,
)
from course_lib.compression.vocabulary import trim_vocabulary
from course_lib.errors import BadInput

ODD = ["\U0001f600 film", "好 film", "λόγος", "", " ", "\u0301", "x" * 150, "don't-stop...", "ﬁlm naïve"]
SHAPE = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
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


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: magnitude_mask(torch.ones(4), 1.5), "sparsity is 1.5"),
        (lambda: magnitude_mask(torch.ones(4), float("nan")), "sparsity is nan"),
        (lambda: magnitude_mask(torch.ones(4), "a"), "sparsity is 'a'"),  # type: ignore[arg-type]
        (lambda: magnitude_mask(torch.tensor([1.0, torch.nan]), 0.5), "1 weights are NaN"),
        (lambda: prune_weights(fitted(), -0.1), "sparsity is -0.1"),
        (lambda: prune_weights(TextClassifier("tiny")), "not a fitted"),
    ],
)
def test_bad_input(call: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        call()


# ---- classifiers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 1])
def test_so_many_zeros(share: float) -> None:
    before = copy.deepcopy(fitted())
    sizes = [matrix.weight.numel() for matrix in linear_layers(fitted()).values()]
    everywhere = prune_weights(fitted(), share)
    assert sum((matrix.weight == 0).sum().item() for matrix in linear_layers(everywhere).values()) == round(
        share * sum(sizes)
    )
    assert same_bits(fitted(), before)
    assert same_bits(everywhere, fitted()) == (share == 0)


def test_more_is_pruned_where_weights_are_small() -> None:
    uneven = copy.deepcopy(fitted())
    small = linear_layers(uneven)[1, "key"].weight
    small.data *= 1e-3
    thinner = prune_weights(uneven, 0.5)
    assert not linear_layers(thinner)[1, "key"].weight.any()
    old, new = (torch.cat([matrix.weight.detach().flatten() for matrix in linear_layers(one).values()])
                for one in (uneven, thinner))  # fmt: skip
    assert old[new == 0].abs().max() <= new[new != 0].abs().min()


def test_only_matrices_of_layers_change_and_the_rest_stays(tmp_path: Path) -> None:
    thinner = prune_weights(fitted(), 0.5)
    old, new = fitted().module_.state_dict(), thinner.module_.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    names = {id(parameter): name for name, parameter in thinner.module_.named_parameters()}
    assert changed == {names[id(matrix.weight)] for matrix in linear_layers(thinner).values()}
    assert all(torch.equal(new[name], torch.where(new[name] == 0, 0.0, old[name])) for name in changed)
    assert not any((new[name].signbit() & (new[name] == 0)).any() for name in changed)
    logits = thinner.decision_logits(MIXED)
    assert np.abs(logits - fitted().decision_logits(MIXED)).max() > 1e-3
    folder = thinner.save(tmp_path / "thinner")
    np.testing.assert_allclose(transformers_logits(folder, MIXED), logits, atol=1e-5)
    assert same_bits(TextClassifier.from_pretrained(folder), thinner)


# ---- smaller models ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> TextClassifier:
    """Four random layers, each of which does much to what it reads."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**SHAPE, initializer_range=0.3))
    for parameter in model.parameters():  # biases too, which start as zeros
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return TextClassifier.from_pretrained(transformers_folder(model, tmp_path_factory.mktemp("deep")))


SMALLER = {
    "layers": (lambda: drop_layers(fitted(), [1]), {"num_hidden_layers": 1}),
    "neurons": (lambda: prune_ffn(fitted(), 48, np.random.default_rng(0).random((2, 128))), {"intermediate_size": 48}),
    "words": (lambda: trim_vocabulary(fitted(), TEXTS, size=1670), {"vocab_size": 1670}),
}


@pytest.mark.parametrize(("make", "changed"), SMALLER.values(), ids=SMALLER)
def test_the_folder_of_a_smaller_model_is_read_by_anybody(make: Any, changed: dict[str, int], tmp_path: Path) -> None:
    before = copy.deepcopy(fitted())
    smaller = make()
    config = before.module_.bert.config.to_dict()
    assert same_bits(fitted(), before) and fitted().module_.bert.config.to_dict() == config
    folder = smaller.save(tmp_path / "smaller")
    logits = smaller.decision_logits(MIXED + ODD)
    np.testing.assert_allclose(transformers_logits(folder, MIXED + ODD), logits, atol=1e-5)
    back = TextClassifier.from_pretrained(folder)
    np.testing.assert_allclose(back.decision_logits(MIXED + ODD), logits, atol=1e-6)
    assert smaller.module_.bert.config.to_dict() == config | changed
    assert json.loads((folder / "config.json").read_text()).items() >= changed.items()
    assert smaller.tokenizer_.name_or_path == fitted().tokenizer_.name_or_path
    sizes = [sum(tensor.numel() for tensor in one.module_.parameters()) for one in (smaller, fitted())]
    assert sizes[0] < sizes[1]


# ---- layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [[0, 2, 3], [1], [3], [0, 1, 2, 3]], ids=str)
def test_kept_layers_are_a_model_of_them(kept: list[int], deep: TextClassifier) -> None:
    """transformers' own model of so many layers, filled by hand."""
    model = BertForSequenceClassification(BertConfig(**SHAPE | {"num_hidden_layers": len(kept)})).eval()
    old = deep.module_.state_dict()
    for name, tensor in model.state_dict().items():
        first, mark, rest = name.partition("encoder.layer.")
        number, _, rest = rest.partition(".")
        tensor.copy_(old[f"{first}{mark}{kept[int(number)]}.{rest}" if mark else name])
    smaller = drop_layers(deep, keep=kept)
    rows = deep.tokenizer_(MIXED[:3], padding=True, return_tensors="pt")
    with torch.no_grad():
        np.testing.assert_allclose(smaller.decision_logits(MIXED[:3]), model(**rows).logits.numpy(), atol=1e-5)
    assert len(linear_layers(smaller)) == 6 * len(kept)
    changed = np.abs(smaller.decision_logits(MIXED) - deep.decision_logits(MIXED)).max() > 0.01
    assert changed == (len(kept) < 4)


@pytest.mark.parametrize("layers", [[], [0, 0], [2, 1], [4], [-1], [True], [0.0], "0"], ids=str)
def test_bad_layers(layers: Any, deep: TextClassifier) -> None:
    with pytest.raises(BadInput, match=r"layer|keep is"):
        drop_layers(deep, layers)


# ---- neurons ---------------------------------------------------------------------------------------------------


def without_neurons(classifier: TextClassifier, gone: np.ndarray) -> TextClassifier:
    """Some neurons, (layers, neurons), give nothing: their columns of the second matrix are zero."""
    silent = copy.deepcopy(classifier)
    for layer, row in zip(silent.module_.bert.encoder.layer, gone, strict=True):
        layer.output.dense.weight.data[:, torch.from_numpy(row)] = 0
    return silent


def test_neurons_that_give_nothing_are_not_missed(deep: TextClassifier) -> None:
    gone = np.stack([np.random.default_rng(layer).permutation(64) < 24 for layer in range(4)])
    silent = without_neurons(deep, gone)
    worth = [layer.output.dense.weight.norm(dim=0).tolist() for layer in silent.module_.bert.encoder.layer]
    smaller = prune_ffn(silent, 40, worth)
    np.testing.assert_allclose(smaller.decision_logits(MIXED), silent.decision_logits(MIXED), atol=1e-5)
    assert np.abs(silent.decision_logits(MIXED) - deep.decision_logits(MIXED)).max() > 0.01
    other = prune_ffn(silent, 39, worth)
    assert np.abs(other.decision_logits(MIXED) - silent.decision_logits(MIXED)).max() > 1e-4


def test_the_most_important_neurons_stay_in_order(deep: TextClassifier) -> None:
    worth = np.random.default_rng(1).integers(0, 9, (4, 64))  # with many ties: the first ones stay
    smaller = prune_ffn(deep, 10, worth)
    for number, row in enumerate(worth):
        kept = sorted(sorted(range(64), key=lambda neuron: (-row[neuron], neuron))[:10])
        for name, pick in (("expand", np.s_[kept]), ("contract", np.s_[:, kept])):
            new, old = (linear_layers(one)[number, name] for one in (smaller, deep))
            assert torch.equal(new.weight, old.weight[pick])
            assert (new.in_features, new.out_features) == tuple(reversed(new.weight.shape))
        assert torch.equal(
            linear_layers(smaller)[number, "expand"].bias, linear_layers(deep)[number, "expand"].bias[kept]
        )
        assert torch.equal(
            linear_layers(smaller)[number, "contract"].bias, linear_layers(deep)[number, "contract"].bias
        )
    assert same_bits(prune_ffn(deep, 64, worth), deep)


def test_a_narrow_model_can_be_trained_on() -> None:
    smaller = prune_ffn(trim_vocabulary(fitted(), TEXTS), 16, np.ones((2, 128)))
    smaller.warm_start = True
    smaller.fit(TEXTS[:8], [1, 1, 1, 1, 0, 0, 0, 0])
    assert linear_layers(smaller)[0, "expand"].weight.shape == (16, 64)


@pytest.mark.parametrize(
    ("size", "worth", "says"),
    [
        (0, np.ones((4, 64)), "size is 0"),
        (65, np.ones((4, 64)), "size is 65"),
        (8, np.ones((4, 63)), r"shape \(4, 63\)"),
        (8, np.full((4, 64), np.nan), "not finite"),
        (8, [["a"]], "not an array of numbers"),
    ],
)
def test_bad_ffn_sizes(size: int, worth: Any, says: str, deep: TextClassifier) -> None:
    with pytest.raises(BadInput, match=says):
        prune_ffn(deep, size, worth)


def test_only_fitted_berts(tmp_path: Path) -> None:
    small = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64}
    folder = transformers_folder(DistilBertForSequenceClassification(DistilBertConfig(**small)), tmp_path)
    other = TextClassifier.from_pretrained(folder)
    for function in (
        lambda one: drop_layers(one, [0]),
        lambda one: prune_ffn(one, 1, []),
        lambda one: trim_vocabulary(one, []),
    ):
        with pytest.raises(BadInput, match="DistilBertForSequenceClassification, not a BERT"):
            function(other)
        with pytest.raises(BadInput, match="not a fitted"):
            function(TextClassifier("tiny"))
        with pytest.raises(BadInput, match="is str"):
            function("sentiment")


def test_matrices_are_named_once() -> None:
    found = linear_layers(fitted())
    assert list(found) == [(layer, name) for layer in (0, 1) for name in LINEAR_LAYERS]
    assert len({id(matrix) for matrix in found.values()}) == 12
    assert {name: tuple(matrix.weight.shape) for (layer, name), matrix in found.items() if layer == 0} == {
        **dict.fromkeys(["query", "key", "value", "output"], (64, 64)), "expand": (128, 64), "contract": (64, 128),
    }  # fmt: skip


def test_layers_that_stay_are_spread_evenly() -> None:
    assert evenly_spaced_layers(6, 3) == [0, 2, 5]
    assert evenly_spaced_layers(6, 6) == [0, 1, 2, 3, 4, 5]
    assert evenly_spaced_layers(6, 1) == [0]
    assert evenly_spaced_layers(12, 4) == [0, 4, 7, 11]
    for kept in (0, 7):
        with pytest.raises(BadInput, match="keep 1 to 6"):
            evenly_spaced_layers(6, kept)
