"""Exercises: stubs, checks, hints, solutions, and the wrong answers that each check must catch.

from course_lib.exercises import check, reference, show

softmax = check.softmax.or_reference(softmax)   # the learner's if it passes, else the course's
check.softmax(softmax)                          # Verdict: passed, not attempted, or wrong and why
reference.softmax                               # the solution, as a function
show("softmax")                                 # task, hints and solution
"""

from __future__ import annotations

from dataclasses import dataclass

from course_lib.exercises import catalogue
from course_lib.exercises.cells import (
    Cell,
    blocks,
    check_cell,
    markdown_block,
    markdown_hints,
    quiz,
    stub,
)
from course_lib.exercises.checking import Checker, Verdict
from course_lib.exercises.claims import ClaimFailed, claim
from course_lib.exercises.exercise import Answer, Exercise

__all__ = [
    "Cell",
    "Checker",
    "ClaimFailed",
    "Exercise",
    "Verdict",
    "blocks",
    "check",
    "check_cell",
    "claim",
    "markdown_block",
    "markdown_hints",
    "quiz",
    "reference",
    "show",
    "stub",
]


class _Checks:
    """`check.<exercise>`; raises UnknownExercise (an AttributeError) for a name that is not there."""

    def __getattr__(self, name: str) -> Checker:
        return Checker(catalogue.find(name))

    def __dir__(self) -> list[str]:
        return list(catalogue.EXERCISES)


class _References:
    """`reference.<exercise>`: the solution as a function."""

    def __getattr__(self, name: str) -> Answer:
        return catalogue.find(name).reference

    def __dir__(self) -> list[str]:
        return list(catalogue.EXERCISES)


@dataclass(frozen=True, repr=False)
class Page:
    """Markdown that a notebook renders and a shell prints."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def show(name: str) -> Page:
    """The whole exercise: task, stub, folded hints and solution."""
    return Page("\n\n".join([markdown_block(name), f"```python\n{stub(name)}\n```", markdown_hints(name)]))


check = _Checks()
reference = _References()
