"""All exercises and quizzes, in the order in which the notebooks ask them."""

from __future__ import annotations

import difflib

from course_lib.errors import BadInput, CourseError
from course_lib.exercises import (
    notebook00,
    notebook01,
    notebook02,
    notebook03,
    notebook04,
    notebook05,
    notebook06,
    notebook07,
)
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.quiz import Question

_NOTEBOOKS = {
    "00": notebook00,
    "01": notebook01,
    "02": notebook02,
    "03": notebook03,
    "04": notebook04,
    "05": notebook05,
    "06": notebook06,
    "07": notebook07,
}
EXERCISES: dict[str, Exercise] = {e.name: e for notebook in _NOTEBOOKS.values() for e in notebook.EXERCISES}
QUIZZES: dict[str, tuple[Question, ...]] = {number: notebook.QUIZ for number, notebook in _NOTEBOOKS.items()}


class UnknownExercise(CourseError, AttributeError):
    """No exercise has this name. An AttributeError, because `check.<name>` is an attribute."""


def find(name: str) -> Exercise:
    """The exercise of this name.

    Raises:
        UnknownExercise: there is none; the names nearest to it are given.
    """
    if name in EXERCISES:
        return EXERCISES[name]
    near = difflib.get_close_matches(name, EXERCISES, n=3)
    raise UnknownExercise(f"there is no exercise named {name!r}", f"use {' or '.join(near or EXERCISES)}")


def of_notebook(notebook: str) -> list[Exercise]:
    """The exercises of a notebook ("03"), in order; an empty list where it has none."""
    return [exercise for exercise in EXERCISES.values() if exercise.notebook == notebook]


def quiz_of(notebook: str) -> tuple[Question, ...]:
    """The questions of a notebook ("03").

    Raises:
        BadInput: that notebook has no quiz.
    """
    if notebook not in QUIZZES:
        raise BadInput(f"notebook {notebook!r} has no quiz", f"use one of {', '.join(QUIZZES)}")
    return QUIZZES[notebook]
