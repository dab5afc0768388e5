"""Students learn from a teacher's outputs, states and attention, on texts without labels."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_classifiers import LABELS, LEARNING, QUICK, RATINGS, TEXTS, fitted, same_bits, tiny

from course_lib import TextClassifier, corpora
from course_lib.compression.distillation import (
    TeacherOutputs,
    attention_loss,
    attention_scores,
    distill,
    distill_layers,
    distillation_loss,
    state_loss,
    teacher_outputs,
    unlabelled_texts,
)
from course_lib.compression.linear_layers import batches
from course_lib.compression.pruning import drop_layers
from course_lib.compression.vocabulary import trim_vocabulary
from course_lib.errors import BadInput

OTHERS = [f"the {word} one" for word in ("good", "great", "fine", "bad", "awful", "poor")]  # without labels


def test_the_loss_is_the_papers() -> None:
    draw = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(5, 3, generator=draw), torch.randn(5, 3, generator=draw)
    for temperature in (0.5, 1.0, 4.0):
        soft, log = (teacher / temperature).softmax(-1), (student / temperature).log_softmax(-1)
        by_hand = temperature**2 * -(soft * log).sum(-1).mean()
        assert torch.allclose(distillation_loss(student, teacher, temperature), by_hand, atol=1e-6)


def test_it_is_least_where_both_agree_and_its_gradient_keeps_its_size() -> None:
    teacher = torch.tensor([[2.0, -1.0], [0.5, 0.0]])
    slopes = []
    for temperature in (1.0, 10.0, 100.0):
        equal = teacher.clone().requires_grad_()
        distillation_loss(equal, teacher, temperature).backward()
        assert equal.grad is not None
        assert float(equal.grad.abs().max()) < 1e-5 * temperature
        other = (teacher + torch.tensor([1.0, 0.0])).requires_grad_()
        distillation_loss(other, teacher, temperature).backward()
        assert other.grad is not None
        slopes.append(float(other.grad.norm()))
    assert 0.2 < slopes[2] / slopes[0] < 5  # without T^2 it would be ten thousand times smaller
    assert distillation_loss(torch.tensor([[500.0, -500.0]]), torch.tensor([[-500.0, 500.0]])) == 1000.0
    with pytest.raises(BadInput, match="temperature is 0"):
        distillation_loss(teacher, teacher, 0)


@pytest.fixture(scope="module")
def targets() -> TeacherOutputs:
    return teacher_outputs(fitted(), TEXTS)


def test_outputs_are_those_of_the_teacher(targets: TeacherOutputs) -> None:
    assert np.abs(targets.logits - fitted().decision_logits(TEXTS)).max() < 1e-5
    assert targets.vectors.shape == (len(TEXTS), 64)
    assert targets.classes.tolist() == [0, 1]


def test_the_teacher_is_not_moved_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its head was moved to the CPU, and left there, while other threads may have been predicting on an accelerator."""
    monkeypatch.setattr(torch.nn.Module, "cpu", lambda self: pytest.fail("the head was moved"))
    teacher_outputs(fitted(), TEXTS)


@pytest.fixture(scope="module")
def novice() -> TextClassifier:
    """A classifier of other weights, which knows next to nothing, cut to one layer and few words."""
    other = tiny(replace(QUICK, seed=5)).fit(TEXTS, LABELS)
    return trim_vocabulary(drop_layers(other, keep=[0]), TEXTS + OTHERS)


def test_a_student_of_half_the_layers_learns_the_answers_without_labels(novice: TextClassifier) -> None:
    before = copy.deepcopy(fitted())
    learned = distill(novice, teacher_outputs(fitted(), TEXTS + OTHERS), LEARNING)
    wanted = fitted().predict_proba(TEXTS)
    apart = [np.abs(one.predict_proba(TEXTS) - wanted).mean() for one in (novice, learned)]
    assert apart[1] < 0.2 * apart[0]
    assert learned.score(TEXTS, LABELS) == 1.0
    assert same_bits(fitted(), before)
    assert learned.module_.bert.config.num_hidden_layers == 1


def test_the_vector_comes_nearer(novice: TextClassifier, targets: TeacherOutputs) -> None:
    learned = distill(novice, targets, LEARNING)
    errors = [np.square(teacher_outputs(one, TEXTS).vectors - targets.vectors).mean() for one in (novice, learned)]
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize("layerwise", [False, True])
def test_the_same_seed_gives_the_same_student(layerwise: bool, novice: TextClassifier, targets: TeacherOutputs) -> None:
    def make(seed: int) -> TextClassifier:
        config = replace(QUICK, seed=seed)
        if layerwise:
            return distill_layers(novice, fitted(), targets, config)
        return distill(novice, targets, config)

    one, two, other = make(0), make(0), make(1)
    assert same_bits(one, two) and not same_bits(one, other)


def test_ratings_of_people_are_averaged_in(targets: TeacherOutputs) -> None:
    human = np.array([[0.5, 0.5], [1.0, 0.0], [0.3, 0.7]])
    mixed = teacher_outputs(fitted(), TEXTS, human)
    softmax = [torch.from_numpy(one.logits).softmax(-1).numpy() for one in (targets, mixed)]
    assert np.abs(softmax[1][:3] - (softmax[0][:3] + human) / 2).max() < 1e-6
    assert np.array_equal(mixed.logits[3:], targets.logits[3:])
    assert np.array_equal(mixed.vectors, targets.vectors)
    for bad in (human[:, :1], human * 2, np.full((len(TEXTS) + 1, 2), 0.5), np.array([[1.5, -0.5]])):
        with pytest.raises(BadInput, match="soft labels of shape"):
            teacher_outputs(fitted(), TEXTS, bad)


def test_what_cannot_be_distilled_is_refused(targets: TeacherOutputs) -> None:
    three = tiny().fit(TEXTS, [i % 3 for i in range(len(TEXTS))])
    with pytest.raises(BadInput, match="the student's classes are"):
        distill(three, targets, QUICK)
    with pytest.raises(BadInput, match="vectors have 64 numbers, the teacher's 32"):
        distill(fitted(), replace(targets, vectors=targets.vectors[:, :32]), QUICK)
    with pytest.raises(BadInput, match="temperature is nan"):
        distill(fitted(), targets, QUICK, temperature=math.nan)
    with pytest.raises(BadInput, match="1 texts for 2 classes"):
        distill(fitted(), teacher_outputs(fitted(), ["a good film"]), QUICK)
    other = tiny(QUICK).fit(TEXTS, LABELS)
    other.module_.bert.config.num_attention_heads = 1
    with pytest.raises(BadInput, match="num_attention_heads is"):
        distill_layers(fitted(), other, targets, QUICK)
    with pytest.raises(BadInput, match="there is no text"):
        teacher_outputs(fitted(), [])
    with pytest.raises(BadInput, match="regression"):
        teacher_outputs(tiny(head="regression").fit(TEXTS, RATINGS), TEXTS)
    with pytest.raises(BadInput, match="not a fitted"):
        teacher_outputs(tiny(), TEXTS)


def test_unlabelled_texts_are_training_texts_alone() -> None:
    texts = unlabelled_texts()
    first = corpora.part("movie_reviews", "train")["text"].tolist()
    assert texts[: len(first)] == first
    held_out = {
        text for name in corpora.NAMES for part in ("validation", "test") for text in corpora.part(name, part)["text"]
    }
    assert not held_out & set(texts[: len(first)])
    assert len(texts) == sum(len(corpora.part(name, "train")) for name in corpora.NAMES)
    with pytest.raises(BadInput):
        unlabelled_texts("novels")


# ---- states and attention ---------------------------------------------------------------------------------------

MASK = torch.tensor([[True, True, False], [True, True, True]])


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_states_are_compared_where_tokens_are_real() -> None:
    student, teacher = drawn(2, 3, 4), drawn(2, 3, 4, seed=1)
    rows = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    mine, theirs = (torch.stack([states[row] for row in rows]) for states in (student, teacher))
    by_hand = ((mine - theirs) ** 2).mean() / ((theirs - theirs.mean(0)) ** 2).mean()
    assert torch.allclose(state_loss(student, teacher, MASK), by_hand, atol=1e-6)
    student[0, 2] = 1e6  # padding
    assert torch.allclose(state_loss(student, teacher, MASK), by_hand, atol=1e-6)
    assert state_loss(teacher, teacher, MASK) == 0


def test_the_mean_state_costs_one() -> None:
    teacher = drawn(2, 3, 4)
    mean = teacher[MASK].mean(0).expand(2, 3, 4)
    assert state_loss(mean, teacher, MASK).item() == pytest.approx(1, abs=1e-5)


def test_attention_is_compared_by_its_divergence() -> None:
    student, teacher = drawn(2, 2, 3, 3), drawn(2, 2, 3, 3, seed=1)
    apart = []
    for text, count in ((0, 2), (1, 3)):
        for token in range(count):
            for head in range(2):
                p, q = (scores[text, head, token, :count].softmax(-1) for scores in (teacher, student))
                apart.append((p * (p / q).log()).sum())
    wanted = torch.stack(apart).mean()
    assert torch.allclose(attention_loss(student, teacher, MASK), wanted, atol=1e-6)
    assert attention_loss(teacher, teacher, MASK).abs() < 1e-7


def test_gradients_are_finite_beside_padding() -> None:
    student = drawn(2, 2, 3, 3).requires_grad_()
    attention_loss(student, drawn(2, 2, 3, 3, seed=1), MASK).backward()
    assert student.grad is not None and student.grad.isfinite().all() and student.grad.abs().sum() > 0
    assert not student.grad[0, :, :, 2].any()


def test_scores_are_those_of_the_layer() -> None:
    """Their softmax, as transformers itself gives it."""
    bert = fitted().module_.bert
    batch = next(batches(fitted(), TEXTS[:4]))
    bert.set_attn_implementation("eager")
    try:
        output = bert(input_ids=batch.input_ids, output_hidden_states=True, output_attentions=True)
    finally:
        bert.set_attn_implementation("sdpa")
    scores = attention_scores(bert.encoder.layer[1], output.hidden_states[1])
    assert torch.allclose(scores.softmax(-1), output.attentions[1], atol=1e-5)


def states_of(model: TextClassifier, layer: int) -> torch.Tensor:
    batch = next(batches(model, TEXTS[:8]))
    with torch.no_grad():
        output = model.module_.eval().bert(input_ids=batch.input_ids, output_hidden_states=True)
    return output.hidden_states[layer]


def test_the_student_predicts_and_computes_like_the_teacher(targets: TeacherOutputs) -> None:
    novice = drop_layers(tiny(replace(QUICK, seed=5)).fit(TEXTS, LABELS), keep=[0])
    kept = copy.deepcopy(novice)
    learned = distill_layers(novice, fitted(), targets, LEARNING)
    wanted = fitted().predict_proba(TEXTS)
    apart = [np.abs(one.predict_proba(TEXTS) - wanted).mean() for one in (novice, learned)]
    assert apart[1] < 0.3 * apart[0]
    theirs = states_of(fitted(), 2)  # of the last layer, with which the student's only one is paired
    full = torch.ones(theirs.shape[:2], dtype=torch.bool)
    before, after = (state_loss(states_of(one, 1), theirs, full) for one in (novice, learned))
    assert after < 0.5 * before
    assert same_bits(novice, kept)
    assert not same_bits(distill(novice, targets, QUICK), distill_layers(novice, fitted(), targets, QUICK))
