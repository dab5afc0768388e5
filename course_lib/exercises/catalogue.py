"""Which topics each notebook has: the only place that knows a notebook's number."""

from __future__ import annotations

import difflib
from types import ModuleType

from course_lib.errors import BadInput, CourseError
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.texts import Question, TopicText, topic_text
from course_lib.exercises.topics import (
    adversarial,
    augmentation,
    basics,
    compression,
    credit_risk,
    customer_service,
    defenses,
    deployment,
    explaining,
    faithfulness,
    finetuning,
    generation,
    images,
    medicine,
    pretraining,
    recommendation,
    scale,
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
    "10": (generation,),
    "11": (deployment,),
    "12": (scale,),
    "13": (customer_service,),
    "14": (credit_risk,),
    "15": (medicine,),
    "16": (images,),
    "17": (recommendation,),
}


def _stages(module: ModuleType) -> tuple[Exercise, ...]:
    return getattr(module, "BUILD", ())


EXERCISES: dict[str, Exercise] = {  # and the stages of builds
    exercise.name: exercise
    for modules in NOTEBOOKS.values()
    for module in modules
    for exercise in (*module.EXERCISES, *_stages(module))
}
NOTEBOOK_OF: dict[str, str] = {
    exercise.name: notebook
    for notebook, modules in NOTEBOOKS.items()
    for module in modules
    for exercise in (*module.EXERCISES, *_stages(module))
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


def stages_of(notebook: str) -> list[Exercise]:
    """The stages of the build of a notebook ("03"), in order; an empty list where it has none."""
    return [stage for module in NOTEBOOKS.get(notebook, ()) for stage in _stages(module)]


def place_of(name: str) -> tuple[str, int, int]:
    """Where an exercise is among its like: ("Exercise", 2, 5), or ("Stage", 1, 4) in a build."""
    return next(
        (kind, names.index(name) + 1, len(names))
        for notebook in NOTEBOOKS
        for kind, some in (("Exercise", of_notebook(notebook)), ("Stage", stages_of(notebook)))
        if name in (names := [exercise.name for exercise in some])
    )


def texts_of(notebook: str) -> list[TopicText]:
    """The texts of the topics of a notebook ("03").

    Raises:
        BadInput: there are none.
    """
    if notebook not in [*NOTEBOOKS]:
        raise BadInput(f"there is no notebook {notebook!r}", f"use one of {', '.join(map(repr, NOTEBOOKS))}")
    return [topic_text(module.__name__.rpartition(".")[2]) for module in NOTEBOOKS[notebook]]


def questions_of(notebook: str) -> list[Question]:
    """The questions of the quiz of a notebook ("03"), in order.

    Raises:
        BadInput: there is no such notebook.
    """
    return [question for text in texts_of(notebook) for question in text.questions]
