"""Which topics each notebook has: the only place that knows a notebook's number."""

from __future__ import annotations

import difflib
from types import ModuleType

from course_lib.errors import BadInput, CourseError
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.texts import Question, questions
from course_lib.exercises.topics import (
    adversarial,
    augmentation,
    basics,
    compression,
    defenses,
    explaining,
    faithfulness,
    finetuning,
    pretraining,
    transformer,
)

NOTEBOOKS: dict[str, tuple[ModuleType, ...]] = {
    "00": (basics,),
    "01": (transformer,),
    "02": (pretraining,),
    "03": (finetuning,),
    "04": (augmentation,),
    "05": (adversarial,),
    "06": (defenses,),
    "07": (compression,),
    "08": (explaining,),
    "09": (faithfulness,),
}


EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise for modules in NOTEBOOKS.values() for module in modules for exercise in module.EXERCISES
}


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
    return [exercise for module in NOTEBOOKS.get(notebook, ()) for exercise in module.EXERCISES]


def number_of(name: str) -> int:
    """The number of an exercise within its notebook, from 1."""
    return next(
        number
        for notebook in NOTEBOOKS
        for number, exercise in enumerate(of_notebook(notebook), start=1)
        if exercise.name == name
    )


def quiz_of(notebook: str) -> tuple[Question, ...]:
    """The questions of a notebook ("03").

    Raises:
        BadInput: that notebook has no quiz.
    """
    if notebook not in NOTEBOOKS:
        raise BadInput(f"notebook {notebook!r} has no quiz", f"use one of {', '.join(NOTEBOOKS)}")
    return tuple(
        question for module in NOTEBOOKS[notebook] for question in questions(module.__name__.rpartition(".")[2])
    )
