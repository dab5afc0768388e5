"""Balls of perturbations, projected gradient descent on token embeddings."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib import TextClassifier
from course_lib.attacks.perturbation import NORMS, Ball, ascend, movable
from course_lib.attacks.pgd import PGD, fgsm
from course_lib.batching import collate, tokenize
from course_lib.errors import BadInput
from course_lib.text.modules import add_to_embeddings, shared_copy
from course_lib.training import TrainingConfig

NOUNS = ("film", "plot", "cast", "end")
TEXTS = [f"{word} {noun}" for word in ("good", "great", "bad", "awful") for noun in NOUNS]
LABELS = [1] * 8 + [0] * 8
LEARNING = TrainingConfig(epochs=30, learning_rate=3e-3)


def fitted(labels: Sequence[Any]) -> TextClassifier:
    return TextClassifier("tiny", dropout=0.0, training=LEARNING).fit(TEXTS, labels)


@pytest.fixture(scope="module")
def tiny() -> TextClassifier:
    return fitted(LABELS)


@pytest.fixture(scope="module")
def three() -> TextClassifier:
    return fitted(["x"] * 4 + ["y"] * 4 + ["z"] * 8)


def gradient_by_hand(classifier: TextClassifier, text: str, label: int) -> tuple[Tensor, float]:
    """Gradient and loss with respect to the embeddings, through transformers' own `inputs_embeds`."""
    module = classifier.module_
    ids = torch.tensor(classifier.tokenizer_([text])["input_ids"])
    vectors = module.bert.embeddings.word_embeddings(ids).detach().requires_grad_()
    pooled = module.bert(inputs_embeds=vectors, attention_mask=torch.ones_like(ids)).pooler_output
    loss = F.cross_entropy(module.classifier(pooled), torch.tensor([label]))
    return torch.autograd.grad(loss, vectors)[0], loss.item()


# ---- balls -----------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(NORMS)), st.floats(0, 10), st.floats(-6, 6), st.integers(0, 10**6))
def test_a_projected_point_is_inside_and_a_point_inside_stays(
    norm: str, epsilon: float, size: float, seed: int
) -> None:
    within = Ball(norm, epsilon)
    delta = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(seed)) * 10**size
    there = within.project(delta)
    assert bool((within.measure(there) <= epsilon * (1 + 1e-5)).all())
    assert torch.allclose(within.project(there), there, rtol=1e-5)
    assert torch.equal(within.project(delta)[within.measure(delta) <= epsilon], delta[within.measure(delta) <= epsilon])


@given(st.sampled_from(sorted(NORMS)), st.integers(0, 10**6))
def test_no_other_point_of_the_ball_is_nearer(norm: str, seed: int) -> None:
    draw, within = torch.Generator().manual_seed(seed), Ball(norm, 1.0)
    delta = torch.randn(1, 2, 3, generator=draw) * 3
    others = within.project(torch.randn(50, 2, 3, generator=draw) * 2)
    assert float((within.project(delta) - delta).norm()) <= float((others - delta).flatten(1).norm(dim=1).min()) + 1e-5


@pytest.mark.parametrize(("norm", "size"), [("l2", 5.0), ("linf", 4.0)])
def test_a_ball_measures_all_tokens_together(norm: str, size: float) -> None:
    assert Ball(norm, 1.0).measure(torch.tensor([[[3.0, 0.0], [0.0, -4.0]]])).tolist() == [size]


@given(st.sampled_from(sorted(NORMS)), st.floats(-30, 20), st.integers(0, 10**6))
def test_the_steepest_step_has_size_1_and_climbs_most(norm: str, scale: float, seed: int) -> None:
    """Also where the square of the gradient is 0 in float32."""
    draw, within = torch.Generator().manual_seed(seed), Ball(norm, 1.0)
    gradient = torch.randn(1, 2, 3, generator=draw) * 10**scale
    step = within.steepest(gradient)
    assert float(within.measure(step)) == pytest.approx(1, rel=1e-5)
    others = within.project(torch.randn(50, 2, 3, generator=draw))
    climbs = ((others * gradient.double()).sum((1, 2)) - (step * gradient.double()).sum()) / 10**scale
    assert float(climbs.max()) <= 1e-5
    assert not within.steepest(torch.zeros(1, 2, 3)).any()


@given(st.sampled_from(sorted(NORMS)), st.sampled_from([0, 1e-6, 0.3, 5]), st.integers(0, 10**6))
def test_noise_lands_in_the_ball_and_where_it_may(norm: str, epsilon: float, seed: int) -> None:
    noise = torch.empty(2, 5, 3).uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
    mask = movable(torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]))
    point = Ball(norm, epsilon).random_point(noise, mask)
    assert bool((Ball(norm, epsilon).measure(point) <= epsilon * (1 + 1e-5)).all())
    assert not point[0, [0, 4]].any() and not point[1].any()
    assert epsilon == 0 or point[0, 1:4].any()


def test_padding_and_special_tokens_are_left_alone() -> None:
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]])
    assert movable(mask)[..., 0].tolist() == [[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_the_ascent_finds_the_top_by_hand() -> None:
    """The loss 3a + 4b over a circle of radius 2 is highest at (1.2, 1.6)."""
    gradient = torch.tensor([[[3.0, 4.0]]])
    top = ascend(lambda _: gradient, torch.zeros(1, 1, 2), Ball("l2", 2.0), torch.ones(1, 1, 1), 4, 0.9)
    assert top.flatten().tolist() == pytest.approx([1.2, 1.6])


# ---- the attack ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
def test_one_step_is_the_fast_gradient_sign_method(norm: str, tiny: TextClassifier) -> None:
    """Against the formula on transformers' own way in."""
    epsilon = {"l2": 0.05, "linf": 0.002}[norm]
    assert fgsm(epsilon, norm) == PGD(epsilon, norm, steps=1, random_start=False)
    report = fgsm(epsilon, norm).run(tiny, ["good film"], [1])
    gradient, loss = gradient_by_hand(tiny, "good film", 1)
    gradient[:, [0, -1]] = 0
    delta = epsilon * (gradient / gradient.norm() if norm == "l2" else gradient.sign())
    batch = collate(tokenize(["good film"], tiny.tokenizer_), [0])
    module = shared_copy(tiny.module_)
    with torch.no_grad(), add_to_embeddings(module, delta):
        after = F.cross_entropy(module(batch.input_ids, batch.attention_mask), torch.tensor([1])).item()
    assert report.loss_before[0] == pytest.approx(loss, rel=1e-4)
    assert report.loss_after[0] == pytest.approx(after, rel=1e-4)
    assert after > loss and report.sizes[0] == pytest.approx(epsilon, rel=1e-4)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("random_start", [False, True])
def test_the_worst_point_is_in_the_ball_and_never_better_than_the_text(
    norm: str, random_start: bool, tiny: TextClassifier
) -> None:
    small, large = {"l2": (0.02, 0.4), "linf": (0.002, 0.03)}[norm]
    reports = [PGD(eps, norm, 5, random_start=random_start).run(tiny, TEXTS, LABELS) for eps in (0, small, large)]
    for epsilon, report in zip((0, small, large), reports, strict=True):
        assert (report.sizes <= epsilon * (1 + 1e-4)).all()
        assert (report.loss_after >= report.loss_before).all()
        assert report.accuracy == 1
    nothing, little, much = reports
    assert (nothing.loss_after == nothing.loss_before).all() and nothing.accuracy_under_attack == 1
    assert (little.loss_after > little.loss_before).all()
    assert (much.loss_after > little.loss_after).all()
    assert much.accuracy_under_attack == np.mean(much.after == LABELS) <= 0.75
    wrong = much.after != LABELS  # with two classes a loss of more than log 2 is a wrong answer
    assert (wrong == (much.loss_after > math.log(2))).all()


def test_more_steps_find_no_less(tiny: TextClassifier) -> None:
    """Without a random start the first points of a longer ascent are those of a shorter one with equal steps."""
    attacks = [PGD(0.5, steps=steps, step_size=0.1, random_start=False) for steps in (1, 3, 6)]
    losses = [attack.run(tiny, TEXTS, LABELS).loss_after for attack in attacks]
    assert (losses[1] >= losses[0] - 1e-6).all() and (losses[2] >= losses[1] - 1e-6).all()
    assert losses[2].mean() > losses[0].mean()


def test_a_seed_gives_its_points_whatever_stands_beside(tiny: TextClassifier) -> None:
    attack, texts = PGD(0.2, steps=1, step_size=0.01), [*TEXTS, "a long and very good film of the year"]
    labels = [*LABELS, 1]
    whole = attack.run(tiny, texts, labels, seed=3)
    again, other = (attack.run(tiny, texts, labels, seed=seed) for seed in (3, 4))
    assert (whole.loss_after == again.loss_after).all() and (whole.sizes == again.sizes).all()
    assert (whole.loss_after != other.loss_after).any()
    alone = attack.run(tiny, ["bad film"], [0], seed=3)
    assert whole.loss_after[8] == pytest.approx(alone.loss_after[0], abs=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_the_module_is_left_as_it_was(training: bool, tiny: TextClassifier) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.module_.state_dict().items()}
    tiny.module_.train(training)
    torch.manual_seed(5)
    PGD(0.2, steps=2).run(tiny, TEXTS[:2], LABELS[:2])
    assert torch.initial_seed() == 5 and torch.equal(torch.rand(1), torch.rand(1, generator=torch.manual_seed(5)))
    assert all(module.training == training for module in tiny.module_.modules())
    tiny.module_.eval()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in tiny.module_.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny.module_.state_dict().items())
    assert not tiny.module_.bert.embeddings.word_embeddings._forward_hooks


def test_classes_need_not_be_sorted(three: TextClassifier) -> None:
    """They are matched by name."""
    labels = ["x"] * 4 + ["y"] * 4 + ["z"] * 8
    model, names = copy.copy(three), {"x": "so", "y": "good", "z": "bad"}
    model.classes_ = np.array(list(names.values()))
    report = PGD(3.0, steps=5).run(model, TEXTS, [names[label] for label in labels])
    assert report.accuracy == 1 and report.accuracy_under_attack < 0.5
    assert report.labels.tolist() == report.before.tolist() == [names[label] for label in labels]
    assert set(report.after.tolist()) <= set(names.values())
    assert (report.loss_after == PGD(3.0, steps=5).run(three, TEXTS, labels).loss_after).all()


def test_no_other_call_sees_the_perturbation(tiny: TextClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was a hook on the shared layer: predictions that ran meanwhile were those of the perturbed embeddings."""
    before, seen, forward = tiny.predict_proba(TEXTS), [], type(tiny.module_).forward
    label = int(before[0].argmax())

    def spy(self: Any, *inputs: Any) -> Any:
        monkeypatch.setattr(type(self), "forward", forward)
        seen.append(tiny.predict_proba(TEXTS))
        monkeypatch.setattr(type(self), "forward", spy)
        return forward(self, *inputs)

    monkeypatch.setattr(type(tiny.module_), "forward", spy)
    PGD(3.0, steps=2).run(tiny, TEXTS[:1], [label])
    assert len(seen) == 4 and all((one == before).all() for one in seen)


@pytest.mark.parametrize("text", ["", "good", "good " * 600])
def test_texts_at_the_edge(text: str, tiny: TextClassifier) -> None:
    label = tiny.predict([text])[0]
    long = TextClassifier("tiny", max_length=512)
    long.classes_, long.module_, long.tokenizer_ = tiny.classes_, tiny.module_, tiny.tokenizer_
    report = PGD(0.3, steps=2).run(long, [text, "bad film"], [label, 0])
    assert np.isfinite(report.loss_after).all()
    assert (report.sizes[0] == 0) == (text == "")
    assert text != "" or report.loss_after[0] == report.loss_before[0]


def test_no_text_at_all(tiny: TextClassifier) -> None:
    report = PGD().run(tiny, [], [])
    assert len(report.sizes) == len(report.before) == 0
    assert math.isnan(report.accuracy) and math.isnan(report.accuracy_under_attack)


def test_a_model_that_is_very_sure_still_has_a_gradient(tiny: TextClassifier) -> None:
    """In float32 a softmax is exactly 1 from 17 nats on; its gradient would be 0."""
    weights = tiny.module_.classifier.weight
    kept = weights.detach().clone()
    with torch.no_grad():
        weights *= 25 / np.abs(np.diff(tiny.decision_logits(TEXTS))).min()
    try:
        assert (tiny.predict_proba(TEXTS).max(1) == 1).all()
        report = PGD(0.3, steps=2, random_start=False).run(tiny, TEXTS, LABELS)
    finally:
        with torch.no_grad():
            weights.copy_(kept)
    assert (report.loss_after > report.loss_before).all()


def test_passes_are_counted(tiny: TextClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    passes, forward = [], type(tiny.module_).forward
    monkeypatch.setattr(type(tiny.module_), "forward", lambda *inputs: passes.append(1) or forward(*inputs))
    for attack, expected in ((PGD(steps=4), 6), (fgsm(), 2)):  # the text, 4 points that are left, the last one
        passes.clear()
        assert attack.run(tiny, ["good"], [1]).queries_per_text == len(passes) == expected


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PGD(norm="l3"), "norm is 'l3'"),
        (lambda: PGD(epsilon=-1), "epsilon is -1"),
        (lambda: PGD(epsilon=math.inf), "epsilon is inf"),
        (lambda: PGD(steps=0), "steps is 0"),
        (lambda: PGD(step_size=math.nan), "step_size is nan"),
    ],
)
def test_bad_settings(make: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make()


@pytest.mark.parametrize(
    ("texts", "labels", "says"),
    [
        (["x"], [0, 1], "for 1 texts"),
        (["x"], [7], "labels holds 7"),
        ("x", [0], "single str"),
        ([3], [0], "not a string"),
    ],
)
def test_bad_input(texts: Any, labels: list[int], says: str, tiny: TextClassifier) -> None:
    with pytest.raises(BadInput, match=says):
        PGD().run(tiny, texts, labels)


def test_a_model_without_gradients_is_refused() -> None:
    with pytest.raises(BadInput, match="has no gradients"):
        PGD().run(object(), ["x"], [0])  # type: ignore[arg-type]


# ---- images ----------------------------------------------------------------------------------------------------


def linear_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()


def some_images(n: int = 40) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    images = torch.rand(n, 3, 4, generator=random)
    images[:, 0] = 0.0
    images[:, 1] = 1.0  # no room below, none above
    return images, torch.randint(0, 3, (n,), generator=random)


def losses(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return F.cross_entropy(module(images), labels, reduction="none")


def test_one_step_on_images_is_the_sign_of_the_gradient() -> None:
    module, (images, labels) = linear_model(), some_images()
    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(module(leaf), labels, reduction="sum"), leaf)
    expected = (images + 0.05 * gradient.sign()).clamp(0, 1)
    found = fgsm(0.05).perturb_images(module, images, labels)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("random_start", [False, True])
def test_attacked_images_are_images_in_the_ball_and_never_easier(norm: str, random_start: bool) -> None:
    module, (images, labels) = linear_model(), some_images()
    found = PGD(0.3, norm, 10, random_start=random_start).perturb_images(module, images, labels, seed=3)
    assert found.min() >= 0 and found.max() <= 1
    assert (Ball(norm, 0.3).measure(found - images) <= 0.3 + 1e-5).all()
    before, after = losses(module, images, labels), losses(module, found, labels)
    assert (after >= before).all() and (after > before).float().mean() > 0.9
    again = PGD(0.3, norm, 10, random_start=random_start).perturb_images(module, images, labels, seed=3)
    assert torch.equal(again, found)


def test_a_linear_model_has_a_worst_image_that_is_known() -> None:
    """Of two classes: every pixel goes as far as the ball and the box let it, against the sign of its weight."""
    module, (images, _) = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval(), some_images()
    labels = torch.zeros(len(images), dtype=torch.long)
    weights = (module[1].weight[1] - module[1].weight[0]).detach().reshape(3, 4)
    worst = (images + 0.2 * weights.sign()).clamp(0, 1)
    found = PGD(0.2, "linf", 20).perturb_images(module, images, labels)
    torch.testing.assert_close(found, worst, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("images", "n", "says"),
    [
        pytest.param(torch.zeros(2, 1, 3, 4), 2, r"shape \(2, 1, 3, 4\)", id="channels"),
        pytest.param(torch.zeros(2, 3, 4), 3, "3 labels", id="labels"),
        pytest.param(torch.full((2, 3, 4), 255.0), 2, "pixels from 255 to 255", id="not scaled"),
        pytest.param(torch.full((2, 3, 4), float("nan")), 2, "pixels from nan", id="NaN"),
    ],
)
def test_bad_images(images: Tensor, n: int, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        fgsm(0.1).perturb_images(linear_model(), images, torch.zeros(n, dtype=torch.long))
