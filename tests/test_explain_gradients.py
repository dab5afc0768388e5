"""Integrated gradients, gradient x input, SmoothGrad against torch and captum; attention and rollout."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from toy_classifiers import LABELS, LEARNING, TEXTS, fitted, tiny
from toy_games import additive

from course_lib.errors import BadInput
from course_lib.explain import MaskedModel, explain, rolled_out
from course_lib.explain.gradients import quadrature
from course_lib.text.modules import input_embeddings

TEXT = "a lovely, unpretentious film and so on"
SHORT = ["an awful film", TEXT, "", "a", "poor and dull"]


def run(ids: list[int], embeddings: torch.Tensor, column: int) -> torch.Tensor:
    """The probability of a class from the embeddings of one text's tokens."""
    module, layer = fitted().module_.eval(), input_embeddings(fitted().module_)
    hook = layer.register_forward_hook(lambda *_: embeddings)
    try:
        logits = module(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long))
    finally:
        hook.remove()
    return logits.double().softmax(-1)[0, column]


def at(text: str, baseline: str = "pad") -> tuple[MaskedModel, torch.Tensor, torch.Tensor]:
    """A text, the embeddings of its tokens and those of its baseline, (1, seq, hidden) each."""
    model = MaskedModel(fitted(), [text], target=1)
    layer, tokenizer = input_embeddings(fitted().module_), fitted().tokenizer_
    ids = torch.tensor(model.alignment.ids)
    token = tokenizer.pad_token_id if baseline == "pad" else tokenizer.mask_token_id
    there = torch.where(torch.tensor(model.alignment.in_words(0))[None], token, ids)
    return model, layer(ids).detach(), layer(there).detach()


def by_word(model: MaskedModel, tokens: np.ndarray) -> np.ndarray:
    return model.alignment.sum_by_word(0, tokens, len(model.texts[0]))


@pytest.mark.parametrize("method", ["ig", "gradient", "smoothgrad", "attention"])
def test_words_that_are_not_read_are_counted(method: str) -> None:
    """128 tokens are read, [CLS] and [SEP] among them."""
    with pytest.warns(UserWarning, match="86 words of 1 of 2 texts are beyond the 128 tokens"):
        found = explain(fitted(), ["good film " * 106, TEXT], method, target=1)
    assert (found[0].scores[126:] == 0).all() and (found[0].scores[:126] != 0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(fitted(), [TEXT, "good " * 126], method, target=1)


@pytest.mark.parametrize("baseline", ["pad", "mask"])
def test_integrated_gradients_by_torch(baseline: str) -> None:
    model, here, there = at(TEXT, baseline)
    steps, sums = 8, torch.zeros(here.shape[1], dtype=torch.double)
    for step in range(steps):
        point = (there + (step + 0.5) / steps * (here - there)).requires_grad_()
        (gradient,) = torch.autograd.grad(run(model.alignment.ids[0], point, 1), point)
        sums += (gradient * (here - there)).double().sum(-1)[0] / steps
    found = explain(fitted(), [TEXT], "ig", target=1, steps=steps, baseline=baseline, rule="riemann", tolerance=None)[0]
    assert np.allclose(found.scores, by_word(model, sums.numpy()), rtol=1e-4, atol=1e-6)  # float32 against float64
    assert found.base_value == pytest.approx(float(run(model.alignment.ids[0], there, 1)), abs=1e-6)
    assert np.abs(found.scores).max() > 1e-3 and found.queries == steps + 3


@pytest.mark.parametrize("baseline", ["pad", "mask", "zero"])
def test_integrated_gradients_are_complete(baseline: str) -> None:
    """Even where the toy model, which is very sure of itself, jumps from 0 to 1 on a short piece of the line."""
    texts = [text for text in SHORT if text]
    rough = explain(fitted(), texts, "ig", target=1, baseline=baseline, tolerance=None)
    for one, before in zip(explain(fitted(), texts, "ig", target=1, baseline=baseline), rough, strict=True):
        assert abs(one.gap) <= 0.01 * abs(one.value - one.base_value) + 1e-4
        assert one.error_kind == "completeness gap" and before.queries == 35
        assert (one.queries > 35) == (abs(before.gap) > 0.01 * abs(before.value - before.base_value) + 1e-4)
    assert abs(rough[1].gap) > 0.1 and explain(fitted(), texts, "ig", target=1, baseline=baseline)[1].error < 0.01


def test_steps_have_an_end() -> None:
    found = explain(fitted(), [TEXT], "ig", target=1, steps=8, most_steps=16)[0]
    assert found.error > 0.5 and found.queries == 1 + 10 + 18


def test_log_odds() -> None:
    log_odds = explain(fitted(), [TEXT], "ig", target=1, output="log-odds")[0]
    logits = fitted().decision_logits([TEXT])[0].astype(float)
    assert log_odds.value == pytest.approx(logits[1] - logits[0], abs=1e-5) and log_odds.error < 0.01


@pytest.mark.parametrize(("rule", "theirs"), [("gauss-legendre", "gausslegendre"), ("riemann", "riemann_middle")])
def test_integrated_gradients_by_captum(rule: str, theirs: str) -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is no dependency of the course: the reference where it is")
    module, tokenizer = copy.deepcopy(fitted().module_).eval(), fitted().tokenizer_
    model = MaskedModel(fitted(), [TEXT], target=1)
    ids = torch.tensor(model.alignment.ids)
    there = torch.where(torch.tensor(model.alignment.in_words(0))[None], tokenizer.pad_token_id, ids)

    def probability(rows: torch.Tensor) -> torch.Tensor:
        return module(rows, torch.ones_like(rows)).softmax(-1)[:, 1]

    method = attr.LayerIntegratedGradients(probability, input_embeddings(module))
    wanted = method.attribute(ids, baselines=there, n_steps=32, method=theirs)
    found = explain(fitted(), [TEXT], "ig", target=1, rule=rule, tolerance=None)[0]
    scores = by_word(model, wanted.sum(-1)[0].detach().numpy())
    assert np.allclose(found.scores, scores, atol=1e-5) and np.abs(scores).max() > 5e-3


def test_quadrature() -> None:
    for rule in ("gauss-legendre", "riemann"):
        points, weights = quadrature(rule, 5)
        assert weights.sum() == pytest.approx(1) and weights @ points == pytest.approx(0.5)
    points, weights = quadrature("gauss-legendre", 3)
    assert weights @ points**5 == pytest.approx(1 / 6)
    assert quadrature("riemann", 2)[0].tolist() == [0.25, 0.75]


def test_gradient_x_input_by_torch() -> None:
    model, here, _ = at(TEXT)
    here.requires_grad_()
    (gradient,) = torch.autograd.grad(run(model.alignment.ids[0], here, 1), here)
    found = explain(fitted(), [TEXT], "gradient", target=1)[0]
    assert np.allclose(found.scores, by_word(model, (gradient * here).sum(-1)[0].detach().numpy()), atol=1e-6)
    nothing = here.detach() * torch.tensor(~model.alignment.in_words(0))[None, :, None]
    assert found.base_value == pytest.approx(float(run(model.alignment.ids[0], nothing, 1)), abs=1e-6)
    assert found.error == pytest.approx(abs(found.gap) / abs(found.value - found.base_value), rel=1e-3)


def test_smoothgrad() -> None:
    named: dict[str, Any] = {"target": 1, "output": "log-odds"}
    plain = explain(fitted(), [TEXT], "gradient", **named)[0]
    still = explain(fitted(), [TEXT], "smoothgrad", noise=0.0, **named)[0]
    size = np.abs(plain.scores).max()
    assert np.allclose(plain.scores, still.scores, atol=1e-3 * size) and still.error < 1e-3 * size
    assert still.base_value == pytest.approx(plain.base_value, abs=1e-5)
    few, many = (explain(fitted(), [TEXT], "smoothgrad", samples=n, **named)[0] for n in (8, 128))
    assert np.abs(few.scores - plain.scores).max() > 0.05 * size and many.error < few.error / 2
    other = explain(fitted(), [TEXT], "smoothgrad", samples=128, seed=1, **named)[0]
    assert np.abs(many.scores - other.scores).max() < 5 * (many.error + other.error)
    again = explain(fitted(), ["an awful film", TEXT], "smoothgrad", samples=8, **named)[1]
    assert np.allclose(few.scores, again.scores, atol=1e-3 * size) and few.queries == 10


@pytest.mark.parametrize("method", ["ig", "gradient", "smoothgrad", "attention", "rollout"])
def test_alone_and_beside_others(method: str) -> None:
    together = explain(fitted(), SHORT, method, target=1)
    for text, one in zip(SHORT, together, strict=True):
        assert np.allclose(one.scores, explain(fitted(), [text], method, target=1)[0].scores, atol=1e-5)
        assert len(one.scores) == len(one.tokens)


def test_weights_and_mode_stay() -> None:
    classifier = tiny(LEARNING).fit(TEXTS, LABELS)
    before = {name: tensor.clone() for name, tensor in classifier.module_.state_dict().items()}
    classifier.module_.train()
    for method in ("ig", "smoothgrad", "rollout"):
        explain(classifier, [TEXT], method)
    assert classifier.module_.training
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.module_.state_dict().items())
    assert all(one.grad is None for one in classifier.module_.parameters())


# ---- attention ---------------------------------------------------------------------------------------------------


def maps_of(text: str) -> torch.Tensor:
    """transformers' own attention, (layers, 1, heads, seq, seq)."""
    bert = copy.deepcopy(fitted().module_.bert).eval()
    bert.set_attn_implementation("eager")
    ids = torch.tensor([fitted().tokenizer_(text)["input_ids"]])
    with torch.no_grad():
        return torch.stack(bert(ids, output_attentions=True).attentions)


def test_attention_is_what_transformers_shows() -> None:
    model, maps = MaskedModel(fitted(), [TEXT]), maps_of(TEXT)
    found = explain(fitted(), [TEXT], "attention")[0]
    assert np.allclose(found.scores, by_word(model, maps[-1][0].mean(0)[0].numpy()), atol=1e-5)
    assert np.isnan(found.error) and found.error_kind == "none" and 0 < found.scores.sum() < 1
    product = np.eye(maps.shape[-1])
    for layer in maps[:, 0].mean(1).double().numpy():
        product = (0.5 * layer + 0.5 * np.eye(len(product))) @ product
    rolled = explain(fitted(), [TEXT], "rollout")[0]
    assert np.allclose(rolled.scores, by_word(model, product[0]), atol=1e-5)
    assert not np.allclose(rolled.scores, found.scores, atol=1e-3)


def test_rollout_by_hand() -> None:
    """Two layers of one head on two tokens: the second token looks at the first alone, then both at both."""
    maps = torch.tensor([[[[[1.0, 0.0], [1.0, 0.0]]]], [[[[0.5, 0.5], [0.5, 0.5]]]]])
    first, second = np.array([[1, 0], [0.5, 0.5]]), np.array([[0.75, 0.25], [0.25, 0.75]])
    assert np.allclose(rolled_out(maps)[0].numpy(), second @ first)
    assert torch.allclose(rolled_out(maps).sum(-1), torch.ones(1, 2))


# ---- what cannot be done -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "says"),
    [("ig", "no gradients"), ("gradient", "no gradients"), ("smoothgrad", "no gradients"),
     ("attention", "without a BERT"), ("rollout", "without a BERT")],
)  # fmt: skip
def test_a_model_without_a_module_is_refused_before_any_query(method: str, says: str) -> None:
    toy = additive()
    with pytest.raises(BadInput, match=says):
        explain(toy, ["a film"], method)
    assert not toy.asked


@pytest.mark.parametrize(
    ("method", "named", "says"),
    [("ig", {"steps": 0}, "steps is 0"), ("ig", {"steps": 2.5}, "steps is 2.5"),
     ("ig", {"baseline": "blur"}, "baseline is 'blur'"),
     ("ig", {"rule": "simpson"}, "rule is 'simpson'"), ("smoothgrad", {"samples": 1}, "samples is 1"),
     ("smoothgrad", {"noise": -0.1}, "noise is -0.1"), ("smoothgrad", {"seed": -1}, "seed is -1")],
    ids=str,
)  # fmt: skip
def test_bad_settings(method: str, named: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        explain(fitted(), [TEXT], method, **named)
