"""What every notebook's exercises are held to: checks take other right answers, and are not taken in by sly ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from course_lib.exercises import check

Answer = Callable[..., Any]


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
