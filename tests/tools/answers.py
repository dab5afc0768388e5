"""What every notebook's exercises are held to: checks take other right answers, and are not taken in by sly ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from course_lib.exercises import check
from course_lib.exercises.catalogue import of_notebook

Answer = Callable[..., Any]
Mistake = tuple[Answer, str, str]  # the answer, its exercise, words of the verdict


def assert_all_pass(name: str, answers: Sequence[Answer]) -> None:
    """At least two other right answers are there, pass, and are what the notebook goes on with."""
    assert len(answers) >= 2, f"{name} has {len(answers)} other right answers"
    for answer in answers:
        verdict = getattr(check, name)(answer)
        assert verdict.status == "passed", f"{answer.__name__}: {verdict}"
        assert getattr(check, name).or_reference(answer) is answer, f"{answer.__name__} is replaced by the reference"


def assert_none_passes(name: str, answers: Sequence[Answer]) -> None:
    """Answers that are right on most cases are wrong."""
    assert answers, f"{name} has no sly answer"
    for number, answer in enumerate(answers):
        verdict = getattr(check, name)(answer)
        assert verdict.status == "wrong", f"{name}, sly answer {number}: {verdict}"


def assert_recognised(name: str, answer: Answer, words: str) -> None:
    """The first line of the verdict names the mistake."""
    verdict = getattr(check, name)(answer)
    assert verdict.status == "wrong", verdict
    assert words in verdict.message.splitlines()[0], verdict


def judging(
    notebook: str, right: dict[str, list[Answer]], sly: dict[str, list[Answer]], mistakes: list[Mistake]
) -> tuple[Callable[..., None], ...]:
    """Four tests for a module to take up under its own names: all exercises are there, right, sly, recognised."""

    def all_are_there() -> None:
        assert list(right) == list(sly) == [exercise.name for exercise in of_notebook(notebook)]
        assert {name for _, name, _ in mistakes} == set(right)

    @pytest.mark.parametrize("name", right)
    def right_answers_pass(name: str) -> None:
        assert_all_pass(name, right[name])

    @pytest.mark.parametrize("name", sly)
    def sly_answers_do_not(name: str) -> None:
        assert_none_passes(name, sly[name])

    @pytest.mark.parametrize(("answer", "name", "words"), mistakes)
    def mistakes_are_recognised(answer: Answer, name: str, words: str) -> None:
        assert_recognised(name, answer, words)

    return all_are_there, right_answers_pass, sly_answers_do_not, mistakes_are_recognised
