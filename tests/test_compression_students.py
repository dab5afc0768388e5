"""A bag of words and a BiLSTM learn what a transformer says."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_classifiers import LABELS, LEARNING, MIXED, QUICK, RATINGS, TEXTS, fitted, tiny

from course_lib.compression.distillation import Lesson, lesson
from course_lib.compression.structure import keep_words
from course_lib.compression.students import (
    KINDS,
    Bag,
    BiLSTM,
    SmallStudent,
    StudentShape,
    pair_numbers,
    teach,
)
from course_lib.errors import BadInput, CorruptAsset, CourseError, MissingAsset
from course_lib.training import TrainingConfig

TEACHING = TrainingConfig(epochs=20, batch_size=8, learning_rate=1e-2, precision="float32")
NAMES = [("bad", "good", "so")[i % 3] for i in range(len(TEXTS))]


@cache
def taught() -> Lesson:
    return lesson(fitted(), TEXTS)


@cache
def student(kind: str) -> SmallStudent:
    return teach(taught(), fitted(), kind, TEACHING, width=16, pairs=64 if kind == "bag" else 0)


def table_of_teacher() -> torch.Tensor:
    return fitted().module_.bert.embeddings.word_embeddings.weight  # type: ignore[no-any-return]


def same_weights(one: SmallStudent, other: SmallStudent) -> bool:
    mine, theirs = one.module_.state_dict(), other.module_.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


# ---- what they compute -----------------------------------------------------------------------------------------


def test_a_bag_is_a_mean_and_two_layers() -> None:
    module = StudentShape("bag", 3, words=11, width=5, pairs=7).build().eval()
    assert isinstance(module, Bag) and module.pairs is not None
    row = [4, 9, 2]
    with torch.no_grad():
        words = torch.stack([module.words.weight[word] for word in row]).mean(0)
        numbers = [(a * 1_000_003 + b * 8_191) % 2_147_483_647 % 7 for a, b in ((4, 9), (9, 2))]
        both = words + torch.stack([module.pairs.weight[number] for number in numbers]).mean(0)
        hidden = (module.hidden.weight @ both + module.hidden.bias).clamp_min(0)
        wanted = module.classifier.weight @ hidden + module.classifier.bias
        padded = module(torch.tensor([[*row, 0, 0], [1] * 5]), torch.tensor([[1, 1, 1, 0, 0], [1] * 5]))
    assert torch.allclose(padded[0], wanted, atol=1e-6)


def test_the_order_counts_through_pairs_alone() -> None:
    ids, mask = torch.tensor([[1, 2, 3, 4], [1, 3, 2, 4]]), torch.ones(2, 4, dtype=torch.long)
    for pairs, apart in ((0, False), (1000, True)):
        torch.manual_seed(0)
        answers = StudentShape("bag", 2, words=5, width=8, pairs=pairs).build().eval()(ids, mask).detach()
        assert (float((answers[0] - answers[1]).abs().max()) > 1e-5) == apart
    answers = StudentShape("bilstm", 2, words=5, width=8).build().eval()(ids, mask).detach()
    assert float((answers[0] - answers[1]).abs().max()) > 1e-5


def test_a_bilstm_reads_from_both_ends() -> None:
    """Against one LSTM in each direction, on a row without padding."""
    torch.manual_seed(0)
    module = StudentShape("bilstm", 2, words=9, width=6).build().eval()
    assert isinstance(module, BiLSTM)
    weights = module.lstm.state_dict()
    ends = []
    row = torch.tensor([[3, 1, 8, 2]])
    for suffix, ids in (("", row), ("_reverse", row.flip(1))):
        single = torch.nn.LSTM(6, 6, batch_first=True)
        single.load_state_dict({name: weights[name + suffix] for name in single.state_dict()})
        ends.append(single(module.words(ids))[0][0, -1])
    wanted = module.classifier(torch.relu(module.hidden(torch.cat(ends))))
    found = module(torch.tensor([[3, 1, 8, 2, 0], [5] * 5]), torch.tensor([[1, 1, 1, 1, 0], [1] * 5]))[0]
    assert torch.allclose(found, wanted, atol=1e-6)


def test_pairs_are_spread_over_the_table() -> None:
    ids = torch.randint(0, 30_000, (40, 500), generator=torch.Generator().manual_seed(0))
    numbers = pair_numbers(ids, 100)
    counts = torch.bincount(numbers.flatten(), minlength=100)
    assert numbers.shape == (40, 499) and len(counts) == 100
    assert int(counts.min()) > 100 and int(counts.max()) < 300  # 200 on average
    swapped = pair_numbers(ids.flip(1), 10**6).flip(1)
    assert float((swapped == pair_numbers(ids, 10**6)).float().mean()) < 0.01


# ---- what they learn -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_learns_its_teacher(kind: str) -> None:
    assert student(kind).score(TEXTS, LABELS) >= 0.95  # chance is 0.5
    apart = np.abs(student(kind).predict_proba(TEXTS) - fitted().predict_proba(TEXTS)).mean()
    novice = teach(taught(), fitted(), kind, replace(QUICK, learning_rate=1e-6), width=16)
    assert apart < 0.3 * np.abs(novice.predict_proba(TEXTS) - fitted().predict_proba(TEXTS)).mean()
    losses = [row["loss"] for row in student(kind).history_.rows]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_three_classes_by_name(kind: str, tmp_path: Path) -> None:
    teacher = tiny(LEARNING).fit(TEXTS, NAMES)
    found = teach(lesson(teacher, TEXTS), teacher, kind, replace(TEACHING, epochs=2), width=8)
    answers = found.predict_proba(TEXTS)
    assert answers.shape == (len(TEXTS), 3) and answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-6)
    assert set(found.predict(TEXTS)) <= {"bad", "good", "so"}
    back = SmallStudent.load(found.save(tmp_path / "three"))
    assert back.predict(TEXTS).tolist() == found.predict(TEXTS).tolist()
    assert back.classes_.tolist() == back.class_names_ == ["bad", "good", "so"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_student(kind: str) -> None:
    one, two = (teach(taught(), fitted(), kind, QUICK, width=8) for _ in range(2))
    assert same_weights(one, two)
    assert not same_weights(one, teach(taught(), fitted(), kind, replace(QUICK, seed=1), width=8))


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_does_not_depend_on_the_texts_beside_it(kind: str) -> None:
    one = student(kind)
    alone = np.concatenate([one.predict_proba([text]) for text in MIXED])
    np.testing.assert_allclose(one.predict_proba([*MIXED, *TEXTS])[: len(MIXED)], alone, atol=1e-5)
    np.testing.assert_allclose(one.predict_proba(MIXED[::-1])[::-1], alone, atol=1e-5)


def test_no_text_gives_no_answer() -> None:
    for kind in KINDS:
        assert student(kind).predict_proba([]).shape == (0, 2)
        assert student(kind).predict([]).shape == (0,)
    with pytest.raises(BadInput, match=r"texts\[1\]"):
        student("bag").predict_proba(["a film", None])  # type: ignore[list-item]


def test_a_shorter_list_of_words_makes_a_smaller_student() -> None:
    few = keep_words(fitted(), TEXTS)
    found = teach(taught(), few, "bag", TEACHING, width=16)
    words = few.module_.bert.config.vocab_size
    assert found.module_.words.weight.shape == (words, 16)
    assert found.model_bytes == 4 * (words * 16 + 16 * 16 + 16 + 2 * 16 + 2)
    assert found.model_bytes < 0.1 * student("bag").model_bytes
    assert found.score(TEXTS, LABELS) >= 0.95


def test_the_teachers_embeddings_are_a_start() -> None:
    """The distances between words stay as far as `width` components can tell them."""
    table = table_of_teacher()
    slow = replace(QUICK, learning_rate=1e-9, weight_decay=0.0)
    rows = teach(taught(), fitted(), "bag", slow, width=64, initial=table).module_.words.weight.detach()
    wanted = table.detach() - table.detach().mean(0)
    assert torch.allclose(rows / rows.norm(), wanted / wanted.norm(), atol=1e-5)
    narrow = teach(taught(), fitted(), "bag", slow, width=48, initial=table.detach().numpy()).module_.words.weight
    left, right = (torch.cdist(one[:50], one[:50]).detach().flatten() for one in (narrow, wanted))
    assert float(torch.corrcoef(torch.stack([left, right]))[0, 1]) > 0.9
    random = teach(taught(), fitted(), "bag", slow, width=48).module_.words.weight
    other = torch.cdist(random[:50], random[:50]).detach().flatten()
    assert float(torch.corrcoef(torch.stack([left, right]))[0, 1]) > float(
        torch.corrcoef(torch.stack([other, right]))[0, 1]
    )


def test_rows_of_the_history_are_told() -> None:
    seen: list[dict[str, float]] = []
    found = teach(taught(), fitted(), "bag", QUICK, width=8, callbacks=[seen.append])
    assert seen == found.history_.rows and seen[-1]["step"] == 3


# ---- folders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_student_answers_to_the_bit(kind: str, tmp_path: Path) -> None:
    folder = student(kind).save(tmp_path / "student")
    assert {file.name for file in folder.iterdir()} == {"model.safetensors", "tokenizer.json", "student.json"}
    back = SmallStudent.load(folder)
    odd = [*MIXED, "\U0001f600 film", "don't-stop...", "ﬁlm naïve", "[MASK] [SEP]"]
    assert np.array_equal(back.predict_proba(odd), student(kind).predict_proba(odd))
    assert back.shape == student(kind).shape and back.model_bytes == student(kind).model_bytes
    assert back.classes_.tolist() == [0, 1] and back.class_names_ == ["0", "1"]
    size = (folder / "model.safetensors").stat().st_size
    assert 0 < size - back.model_bytes < 2000
    assert json.loads((folder / "student.json").read_text())["shape"] == asdict(back.shape)


def test_a_folder_is_replaced_and_another_is_not_touched(tmp_path: Path) -> None:
    folder = student("bag").save(tmp_path / "student")
    student("bilstm").save(folder)
    assert SmallStudent.load(folder).shape.kind == "bilstm"
    assert [entry.name for entry in tmp_path.iterdir()] == ["student"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match=r"holds thesis\.txt"):
        student("bag").save(tmp_path / "mine")
    with pytest.raises(BadInput, match="it is a file"):
        student("bag").save(tmp_path / "mine" / "thesis.txt")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(CourseError, match="could not be written"):
        student("bag").save(tmp_path / "mine" / "thesis.txt" / "below")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "student.json"])
def test_missing_and_damaged_files(name: str, tmp_path: Path) -> None:
    folder = student("bag").save(tmp_path / "student")
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(CorruptAsset, match="is damaged"):
        SmallStudent.load(folder)
    (folder / name).unlink()
    with pytest.raises(MissingAsset, match=f"no {name}"):
        SmallStudent.load(folder)


def test_weights_of_another_shape_are_damage(tmp_path: Path) -> None:
    folder = student("bag").save(tmp_path / "student")
    note = json.loads((folder / "student.json").read_text())
    for change in ({"width": 8}, {"kind": "crf"}, {"classes": 3}):
        other = {**note, "shape": {**note["shape"], **change}}
        (folder / "student.json").write_text(json.dumps(other))
        with pytest.raises(CorruptAsset, match="is damaged"):
            SmallStudent.load(folder)


# ---- what cannot be taught -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "cnn"}, "kind is 'cnn'"),
        ({"width": 0}, "width is 0"),
        ({"width": 1.5}, "width is 1.5"),
        ({"pairs": -1}, "pairs is -1"),
        ({"kind": "bilstm", "pairs": 9}, "pairs is 9 for a bilstm"),
        ({"temperature": 0}, "temperature is 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"initial": np.ones((7, 128))}, r"initial has shape \(7, 128\)"),
        ({"initial": np.ones((30522, 8))}, r"initial has shape \(30522, 8\)"),
        ({"initial": np.full((30522, 128), np.nan)}, "not finite"),
    ],
    ids=str,
)
def test_bad_settings(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        teach(taught(), fitted(), training=QUICK, **settings)


def test_bad_teachers() -> None:
    with pytest.raises(BadInput, match="not a fitted"):
        teach(taught(), tiny())
    for other in (tiny().fit(TEXTS, NAMES), tiny(head="regression").fit(TEXTS, RATINGS)):
        with pytest.raises(BadInput, match="has not the lesson's classes"):
            teach(taught(), other)
    with pytest.raises(BadInput, match="patience"):
        teach(taught(), fitted(), training=replace(QUICK, patience=1))
