"""What the checks of a topic are held to: they take other right answers, and are not taken in by sly ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.exercises import check, reference
from course_lib.exercises.catalogue import find
from course_lib.exercises.exercise import Exercise, edited
from course_lib.exercises.values import brief, same

SEED = st.integers(0, 10**6).map(np.random.default_rng)
SIZES = st.integers(1, 6)
Answer = Callable[..., Any]
Edit = tuple[str, str]  # the reference with this part of its source replaced by that
Mistakes = Mapping[str, Sequence[tuple[Answer | Edit, str]]]  # exercise -> an answer, words of its verdict


def made(name: str, answer: Answer | Edit) -> Answer:
    """The answer as a function."""
    return edited(getattr(reference, name), [answer]) if isinstance(answer, tuple) else answer


def judged(
    exercises: Sequence[Exercise],
    right: Mapping[str, Sequence[Answer]],
    sly: Mapping[str, Sequence[Answer | Edit]],
    mistakes: Mistakes,
    drawn: Mapping[str, st.SearchStrategy[tuple[Any, ...]]],
) -> type:
    """The tests of a topic, as a class for its module.

    Args:
        exercises: those of the topic, and the stages of its build; each has its entries in `right` and `sly`.
        right: other right answers.
        sly: answers that are right on most cases.
        mistakes: known mistakes written in another way than the stored ones, and others on which the judge has a word.
        drawn: arguments for which the reference and the other right answers give the same.
    """

    class TestExercises:
        def test_all_are_there(self) -> None:
            assert list(right) == list(sly) == [exercise.name for exercise in exercises]
            assert set(mistakes) <= set(right)
            assert all(right.values()) and all(sly.values())

        @pytest.mark.parametrize("name", right)
        def test_other_right_answers_pass(self, name: str) -> None:
            """They are what the notebook goes on with."""
            for answer in right[name]:
                verdict = getattr(check, name)(answer)
                assert verdict.status == "passed", f"{answer.__name__}: {verdict}"
                assert getattr(check, name).or_reference(answer) is answer

        @pytest.mark.parametrize("name", sly)
        def test_sly_answers_do_not_pass(self, name: str) -> None:
            for number, answer in enumerate(sly[name]):
                verdict = getattr(check, name)(made(name, answer))
                assert verdict.status == "wrong", f"sly answer {number}: {verdict}"

        @pytest.mark.parametrize("name", mistakes)
        def test_mistakes_are_named(self, name: str) -> None:
            for answer, words in mistakes[name]:
                verdict = getattr(check, name)(made(name, answer))
                assert verdict.status == "wrong", verdict
                assert words in verdict.message.splitlines()[0], verdict

        @pytest.mark.parametrize("name", drawn)
        @given(data=st.data())
        @settings(max_examples=40)
        def test_the_reference_agrees_with_other_right_answers(self, name: str, data: st.DataObject) -> None:
            arguments, run = data.draw(drawn[name]), find(name).run or (lambda answer, *given: answer(*given))
            expected = run(getattr(reference, name), *arguments)
            for answer in right[name]:
                got = run(answer, *arguments)
                assert same(expected, got), f"{answer.__name__}: {brief(got)} in the place of {brief(expected)}"

    return TestExercises
