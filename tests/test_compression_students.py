"""Averaged embeddings and a BiLSTM learn from a transformer's outputs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toy_classifiers import LABELS, LEARNING, MIXED, QUICK, RATINGS, TEXTS, fitted, tiny

from course_lib.compression.distillation import TeacherOutputs, teacher_outputs
from course_lib.compression.students import KINDS, AveragedEmbeddings, BiLSTM, StudentClassifier, train_student
from course_lib.compression.vocabulary import trim_vocabulary
from course_lib.errors import BadInput
from course_lib.training import TrainingConfig

TRAINING = TrainingConfig(epochs=20, batch_size=8, learning_rate=1e-2, precision="float32")
NAMES = [("bad", "good", "so")[i % 3] for i in range(len(TEXTS))]


@cache
def targets() -> TeacherOutputs:
    return teacher_outputs(fitted(), TEXTS)


@cache
def student(kind: str) -> StudentClassifier:
    return train_student(targets(), fitted(), kind, TRAINING, width=16)


def same_weights(one: StudentClassifier, other: StudentClassifier) -> bool:
    mine, theirs = one.module_.state_dict(), other.module_.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


# ---- what they compute -----------------------------------------------------------------------------------------


def test_an_average_and_two_layers() -> None:
    module = AveragedEmbeddings(nn.Embedding(11, 5), 3).eval()
    row = [4, 9, 2]
    with torch.no_grad():
        mean = torch.stack([module.embeddings.weight[token] for token in row]).mean(0)
        hidden = (module.hidden.weight @ mean + module.hidden.bias).clamp_min(0)
        wanted = module.classifier.weight @ hidden + module.classifier.bias
        padded = module(torch.tensor([[*row, 0, 0], [1] * 5]), torch.tensor([[1, 1, 1, 0, 0], [1] * 5]))
    assert torch.allclose(padded[0], wanted, atol=1e-6)


def test_the_order_counts_for_the_bilstm_only() -> None:
    ids, mask = torch.tensor([[1, 2, 3, 4], [1, 3, 2, 4]]), torch.ones(2, 4, dtype=torch.long)
    for kind, apart in ((AveragedEmbeddings, False), (BiLSTM, True)):
        logits = kind(nn.Embedding(5, 8), 2).eval()(ids, mask).detach()
        assert (float((logits[0] - logits[1]).abs().max()) > 1e-5) == apart


def test_a_bilstm_reads_from_both_ends() -> None:
    """Against one LSTM in each direction, on a row without padding."""
    module = BiLSTM(nn.Embedding(9, 6), 2).eval()
    weights = module.lstm.state_dict()
    ends = []
    row = torch.tensor([[3, 1, 8, 2]])
    for suffix, ids in (("", row), ("_reverse", row.flip(1))):
        single = nn.LSTM(6, 6, batch_first=True)
        single.load_state_dict({name: weights[name + suffix] for name in single.state_dict()})
        ends.append(single(module.embeddings(ids))[0][0, -1])
    wanted = module.classifier(torch.relu(module.hidden(torch.cat(ends))))
    found = module(torch.tensor([[3, 1, 8, 2, 0], [5] * 5]), torch.tensor([[1, 1, 1, 1, 0], [1] * 5]))[0]
    assert torch.allclose(found, wanted, atol=1e-6)


# ---- what they learn -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_learns_from_its_teacher(kind: str) -> None:
    assert student(kind).score(TEXTS, LABELS) >= 0.95  # chance is 0.5
    apart = np.abs(student(kind).predict_proba(TEXTS) - fitted().predict_proba(TEXTS)).mean()
    novice = train_student(targets(), fitted(), kind, replace(QUICK, learning_rate=1e-6), width=16)
    assert apart < 0.3 * np.abs(novice.predict_proba(TEXTS) - fitted().predict_proba(TEXTS)).mean()
    losses = [row["loss"] for row in student(kind).history_.rows]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_three_classes_by_name(kind: str) -> None:
    teacher = tiny(LEARNING).fit(TEXTS, NAMES)
    found = train_student(teacher_outputs(teacher, TEXTS), teacher, kind, replace(TRAINING, epochs=2), width=8)
    probabilities = found.predict_proba(TEXTS)
    assert probabilities.shape == (len(TEXTS), 3) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert set(found.predict(TEXTS)) <= {"bad", "good", "so"}
    assert found.classes_.tolist() == found.class_names_ == ["bad", "good", "so"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_student_and_the_global_generator_is_left_alone(kind: str) -> None:
    state = torch.get_rng_state()
    one, two = (train_student(targets(), fitted(), kind, QUICK, width=8) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert same_weights(one, two)
    assert not same_weights(one, train_student(targets(), fitted(), kind, replace(QUICK, seed=1), width=8))


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_does_not_depend_on_the_texts_beside_it(kind: str) -> None:
    one = student(kind)
    alone = np.concatenate([one.predict_proba([text]) for text in MIXED])
    np.testing.assert_allclose(one.predict_proba([*MIXED, *TEXTS])[: len(MIXED)], alone, atol=1e-5)
    assert one.predict_proba([]).shape == (0, 2) and one.predict([]).shape == (0,)


def test_a_smaller_vocabulary_makes_a_smaller_student() -> None:
    few = trim_vocabulary(fitted(), TEXTS)
    found = train_student(targets(), few, training=TRAINING, width=16)
    tokens = few.module_.bert.config.vocab_size
    assert found.module_.embeddings.weight.shape == (tokens, 16)
    assert found.model_bytes == 4 * (tokens * 16 + 16 * 16 + 16 + 2 * 16 + 2)
    assert found.model_bytes < 0.1 * student("averaged").model_bytes
    assert found.score(TEXTS, LABELS) >= 0.95


def test_training_may_start_from_the_teachers_embeddings() -> None:
    """The distances between tokens are kept as far as `width` components can express them."""
    table = fitted().module_.bert.embeddings.word_embeddings.weight.detach()
    slow = replace(QUICK, learning_rate=1e-9, weight_decay=0.0)

    def embeddings(width: int, initial: Any) -> torch.Tensor:
        found = train_student(targets(), fitted(), training=slow, width=width, initial=initial)
        return found.module_.embeddings.weight.detach()

    rows, wanted = embeddings(64, table), table - table.mean(0)
    assert torch.allclose(rows / rows.norm(), wanted / wanted.norm(), atol=1e-5)
    tables = wanted, embeddings(48, table.numpy()), embeddings(48, None)
    distances = torch.stack([torch.cdist(one[:50], one[:50]).flatten() for one in tables])
    _, narrow, random = torch.corrcoef(distances)[0].tolist()
    assert narrow > 0.9 and narrow > random


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "cnn"}, "kind is 'cnn'"),
        ({"width": 0}, "width is 0"),
        ({"width": 1.5}, "width is 1.5"),
        ({"initial": np.ones((7, 128))}, r"initial has shape \(7, 128\)"),
        ({"initial": np.ones((30522, 8))}, r"initial has shape \(30522, 8\)"),
        ({"initial": np.full((30522, 128), np.nan)}, "not finite"),
        ({"training": replace(QUICK, patience=1)}, "patience"),
    ],
    ids=str,
)
def test_bad_settings(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        train_student(targets(), fitted(), **{"training": QUICK, **settings})


def test_bad_teachers() -> None:
    with pytest.raises(BadInput, match="not a fitted"):
        train_student(targets(), tiny())
    for other in (tiny().fit(TEXTS, NAMES), tiny(head="regression").fit(TEXTS, RATINGS)):
        with pytest.raises(BadInput, match="does not have the classes"):
            train_student(targets(), other)
