"""The items of the ability study, its verdicts and chrF, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_decoders import toy_lm

from course_lib import assets
from course_lib.errors import BadInput
from course_lib.experiments import Run
from course_lib.generation import CausalLM
from course_lib.generation.abilities import (
    ABILITY_CONFIGS,
    PROMPTS,
    TASKS,
    ability_study,
    chrf,
    is_right,
    items,
    messages,
)
from course_lib.generation.question_answering import contains_answer, course_data


@pytest.mark.parametrize("task", TASKS)
def test_items_are_complete_and_apart(task: str) -> None:
    test, validation = items(task, "test"), items(task, "validation")
    card = (assets.data_folder() / "cards" / "questions.md").read_text(encoding="utf-8")
    assert f"| {task} | {len(test)} | {len(validation)} |" in card
    assert len(test) == 20 and not {question for question, _ in test} & {question for question, _ in validation}
    for part, rows in (("test", test), ("validation", validation)):
        assert len({question for question, _ in rows}) == len(rows)
        for question, accepted in rows:
            for answer in accepted:
                assert answer == answer.strip() != "" and is_right(task, answer, accepted)
                assert task in ("reading", "arithmetic") or not is_right(task, question, accepted)
            if task == "reading":
                assert contains_answer(course_data("abilities")["paragraphs"][part], accepted), question


@pytest.mark.parametrize(
    ("task", "text", "accepted", "right"),
    [
        ("common facts", "The capital of France is Paris.", ["Paris"], True),
        ("common facts", "The capital of France is Parisian.", ["Paris"], False),
        ("common facts", "It is Kepler. It resembles the Earth.", ["Earth"], False),
        ("common facts", "", ["Paris"], False),
        ("arithmetic", "7 plus 5 equals 12.", ["12"], True),
        ("arithmetic", "12 is 7 plus 6", ["12"], False),
        ("arithmetic", "It is 1,012.", ["1012"], True),
        ("arithmetic", "twelve", ["12"], False),
        ("French words", "Le chien.", ["chien"], True),
        ("French words", "Le chien est un animal.", ["chien"], False),
        ("French sentences", "J’ai faim !", ["j'ai faim"], True),
        ("reading", "He was a ship's cook.", ["ship's cook"], True),
    ],
)
def test_verdicts(task: str, text: str, accepted: list[str], right: bool) -> None:
    assert is_right(task, text, accepted) == right


def test_chrf_by_hand() -> None:
    assert chrf("Le chat.", ["chat"]) == 1.0 and chrf("xyz", ["chat"]) == chrf("", ["chat"]) == 0.0
    # "ab" against "abc": precisions 1, 1, 0 and recalls 2/3, 1/2, 0 for n = 1, 2, 3
    precision, recall = 2 / 3, (2 / 3 + 1 / 2) / 3
    assert chrf("ab", ["abc"]) == pytest.approx(5 * precision * recall / (4 * precision + recall))
    assert chrf("ab", ["xyz", "abc"]) == chrf("ab", ["abc"])
    with pytest.raises(BadInput):
        chrf("ab", [])


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_conversation_ends_with_the_question(prompt: str) -> None:
    for task in TASKS:
        turns = messages(task, prompt, "test", "Why?")
        assert "Why?" in turns[-1]["content"] and (len(turns) > 1) == (prompt == "few-shot")
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"]
        assert ("bakery" in turns[-1]["content"]) == (task == "reading")


def test_the_study_of_a_toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = toy_lm(max_positions=2048)
    monkeypatch.setattr(CausalLM, "from_pretrained", lambda: lm)
    configs = [ABILITY_CONFIGS[0], ABILITY_CONFIGS[4]]
    runs = [Run("ability_study", config, ability_study(config, tmp_path), 1.0, "computed") for config in configs]
    for run in runs:
        assert len(run.result["questions"]) == len(run.result["outputs"]) == len(run.result["right"]) == 20
    table = ability_study.rows(runs)
    assert table["right"].tolist() == [0, 0] and table["high"].tolist() == pytest.approx([0.1611, 0.1611], abs=1e-4)
    assert table["chrf"].isna().tolist() == [True, False] and 0 < table["chrf_of_copy"][1] < 1
