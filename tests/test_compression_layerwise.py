"""States and attention of a teacher's layers: losses by hand, and students that come closer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_classifiers import LABELS, LEARNING, QUICK, TEXTS, fitted, same_bits, tiny

from course_lib import TextClassifier
from course_lib.compression import keep_layers, lesson
from course_lib.compression.importance import batches
from course_lib.compression.layerwise import attention_loss, attention_scores, distil_layers, state_loss
from course_lib.errors import BadInput

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


@pytest.fixture(scope="module")
def novice() -> TextClassifier:
    return keep_layers(tiny(replace(QUICK, seed=5)).fit(TEXTS, LABELS), [0])


def states_of(model: TextClassifier, layer: int) -> torch.Tensor:
    batch = next(batches(model, TEXTS[:8]))
    with torch.no_grad():
        output = model.module_.eval().bert(input_ids=batch.input_ids, output_hidden_states=True)
    return output.hidden_states[layer]


def test_the_student_answers_and_works_like_the_teacher(novice: TextClassifier) -> None:
    kept, taught = weights_of(novice), lesson(fitted(), TEXTS)
    learned = distil_layers(novice, fitted(), taught, LEARNING)
    wanted = fitted().predict_proba(TEXTS)
    assert (
        np.abs(learned.predict_proba(TEXTS) - wanted).mean() < 0.3 * np.abs(novice.predict_proba(TEXTS) - wanted).mean()
    )
    theirs = states_of(fitted(), 2)  # the last layer's, with which the student's only one is paired
    full = torch.ones(theirs.shape[:2], dtype=torch.bool)
    before, after = (state_loss(states_of(one, 1), theirs, full) for one in (novice, learned))
    assert after < 0.5 * before
    assert all(torch.equal(old, new) for old, new in zip(kept, weights_of(novice), strict=True))


def weights_of(model: TextClassifier) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.module_.parameters()]


def test_each_weight_does_its_part(novice: TextClassifier) -> None:
    taught = lesson(fitted(), TEXTS)
    alike = [
        distil_layers(novice, fitted(), taught, QUICK, states=states, attention=attention)
        for states, attention in ((0, 0), (1, 0), (0, 1))
    ]
    assert not same_bits(alike[0], alike[1]) and not same_bits(alike[0], alike[2])
    again = distil_layers(novice, fitted(), taught, QUICK, states=1, attention=0)
    assert same_bits(alike[1], again)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pairs": [(1, 0)]}, "pairs is"),
        ({"pairs": []}, "pairs is"),
        ({"states": -1.0}, "states -1.0"),
        ({"temperature": 0.0}, "temperature 0.0"),
    ],
)
def test_bad_settings(settings: dict[str, object], says: str, novice: TextClassifier) -> None:
    with pytest.raises(BadInput, match=says):
        distil_layers(novice, fitted(), lesson(fitted(), TEXTS), QUICK, **settings)  # type: ignore[arg-type]


def test_widths_must_agree(novice: TextClassifier) -> None:
    other = tiny(QUICK).fit(TEXTS, LABELS)
    other.module_.bert.config.num_attention_heads = 1
    with pytest.raises(BadInput, match="num_attention_heads is"):
        distil_layers(novice, other, lesson(fitted(), TEXTS), QUICK)
