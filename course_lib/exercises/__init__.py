"""Exercises: stubs, checks, hints, solutions, and the wrong answers that each check must recognise.

from course_lib.exercises import check, reference

softmax = check.softmax.or_reference(softmax)   # the learner's if it passes, else the course's
check.softmax(softmax)                          # Verdict: passed, not attempted, or wrong and why
reference.softmax                               # the solution, as a function

The files in `topics/` hold the exercises: code in Python, texts and mistakes in Markdown.
"""

from __future__ import annotations

from course_lib.exercises import catalogue
from course_lib.exercises.checking import Checker, Verdict
from course_lib.exercises.claims import ClaimFailed, claim
from course_lib.exercises.exercise import Answer, Exercise

__all__ = ["Checker", "ClaimFailed", "Exercise", "Verdict", "check", "claim", "reference"]


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


check = _Checks()
reference = _References()
