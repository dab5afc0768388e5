"""A student learns what its teacher says, from texts without labels."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_classifiers import LABELS, LEARNING, QUICK, RATINGS, TEXTS, fitted, same_bits, tiny

from course_lib import TextClassifier, corpora
from course_lib.compression import distil, distillation_loss, keep_layers, keep_words, lesson, unlabelled_texts
from course_lib.errors import BadInput

OTHERS = [f"the {word} one" for word in ("good", "great", "fine", "bad", "awful", "poor")]  # nobody labelled them


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


def test_a_lesson_is_what_the_teacher_says() -> None:
    taught = lesson(fitted(), [*TEXTS, TEXTS[0]])
    assert np.abs(taught.logits - fitted().decision_logits([*TEXTS, TEXTS[0]])).max() < 1e-5
    assert taught.vectors.shape == (len(TEXTS) + 1, 64)
    assert np.array_equal(taught.vectors[0], taught.vectors[-1])


@pytest.fixture(scope="module")
def novice() -> TextClassifier:
    """A classifier of other weights, which knows next to nothing, cut to one layer and few words."""
    other = tiny(replace(QUICK, seed=5)).fit(TEXTS, LABELS)
    return keep_words(keep_layers(other, [0]), TEXTS + OTHERS)


def test_a_student_of_half_the_layers_learns_the_answers_without_labels(novice: TextClassifier) -> None:
    before = copy.deepcopy(fitted())
    learned = distil(novice, lesson(fitted(), TEXTS + OTHERS), LEARNING)
    wanted = fitted().predict_proba(TEXTS)
    apart = [np.abs(one.predict_proba(TEXTS) - wanted).mean() for one in (novice, learned)]
    assert apart[1] < 0.2 * apart[0]
    assert learned.score(TEXTS, LABELS) == 1.0
    assert same_bits(fitted(), before)
    assert learned.module_.bert.config.num_hidden_layers == 1


def test_the_vector_comes_nearer_where_it_counts(novice: TextClassifier) -> None:
    taught, errors = lesson(fitted(), TEXTS), []
    for weight in (0.0, 1.0):
        learned = distil(novice, taught, LEARNING, vector=weight)
        errors.append(np.square(lesson(learned, TEXTS).vectors - taught.vectors).mean())
    assert errors[1] < 0.5 * errors[0]


def test_the_same_seed_gives_the_same_student(novice: TextClassifier) -> None:
    taught = lesson(fitted(), TEXTS)
    one, two = (distil(novice, taught, QUICK) for _ in range(2))
    assert same_bits(one, two)
    assert not same_bits(one, distil(novice, taught, replace(QUICK, seed=1)))


def test_what_people_say_is_mixed_in() -> None:
    plain = lesson(fitted(), TEXTS)
    told = np.array([[0.5, 0.5], [1.0, 0.0], [0.3, 0.7]])
    mixed = lesson(fitted(), TEXTS, told, share=0.25)
    softmax = [torch.from_numpy(one.logits).softmax(-1).numpy() for one in (plain, mixed)]
    assert np.abs(softmax[1][:3] - (0.75 * softmax[0][:3] + 0.25 * told)).max() < 1e-6
    assert np.array_equal(mixed.logits[3:], plain.logits[3:])
    assert np.array_equal(mixed.vectors, plain.vectors)
    for bad in (told[:, :1], told * 2, np.full((len(TEXTS) + 1, 2), 0.5), np.array([[1.5, -0.5]])):
        with pytest.raises(BadInput, match="soft labels of shape"):
            lesson(fitted(), TEXTS, bad)
    with pytest.raises(BadInput, match="share is 2"):
        lesson(fitted(), TEXTS, told, share=2)


def test_what_cannot_be_taught_is_refused() -> None:
    taught = lesson(fitted(), TEXTS)
    three = tiny().fit(TEXTS, [i % 3 for i in range(len(TEXTS))])
    with pytest.raises(BadInput, match="the student knows"):
        distil(three, taught, QUICK)
    with pytest.raises(BadInput, match="vectors have 64 numbers, the teacher's 32"):
        distil(fitted(), replace(taught, vectors=taught.vectors[:, :32]), QUICK)
    with pytest.raises(BadInput, match="temperature is nan"):
        distil(fitted(), taught, QUICK, temperature=math.nan)
    with pytest.raises(BadInput, match="calls all texts"):
        distil(fitted(), lesson(fitted(), ["a good film"]), QUICK)
    with pytest.raises(BadInput, match="there is no text"):
        lesson(fitted(), [])
    with pytest.raises(BadInput, match="regression"):
        lesson(tiny(head="regression").fit(TEXTS, RATINGS), TEXTS)
    with pytest.raises(BadInput, match="not a fitted"):
        lesson(tiny(), TEXTS)


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
