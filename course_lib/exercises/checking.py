"""The check: runs an answer on all cases, finds the mistake, and says so in a Verdict."""

from __future__ import annotations

import functools
import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from course_lib.exercises.exercise import Answer, Case, Exercise
from course_lib.exercises.trial import ENDLESS, Outcome, is_stub, try_out
from course_lib.exercises.values import brief

Status = Literal["passed", "not attempted", "wrong"]
_MARKS: dict[str, str] = {"passed": "\u2713", "not attempted": "\u2026", "wrong": "\u2717"}
_VERDICT = "course_verdict"  # attribute of a stand-in: the verdict on the answer that it stands in for


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check found. Shown as text and as HTML, the same in every run."""

    status: Status
    message: str

    def __repr__(self) -> str:
        return f"{self.status}: {self.message}"

    def _repr_html_(self) -> str:
        first, _, rest = self.message.partition("\n")
        shown = f"<pre>{html.escape(rest)}</pre>" if rest else ""
        head = f"<b>{_MARKS[self.status]} {self.status}.</b> {html.escape(first)}"
        return f'<div style="border-left: 4px solid; padding: 0.2em 0.8em">{head}{shown}</div>'


def _problem(exercise: Exercise, case: Case, expected: Any, outcome: Outcome) -> str | None:
    return outcome.trouble or exercise.judge(case, expected, outcome.value)


def _outcomes(answer: Answer, cases: list[Case]) -> list[Outcome]:
    """One for each case; none after a case that does not end, so that the learner need not wait for more."""
    outcomes: list[Outcome] = []
    for case in cases:
        outcomes.append(try_out(answer, case))
        if outcomes[-1].trouble == ENDLESS:
            break
    return outcomes


@functools.cache
def _own_outcome(exercise: Exercise, function: Answer, case: int) -> Outcome:
    """What the course's own function, the reference or a known mistake, does with one case; computed once."""
    return try_out(function, exercise.cases()[case])


def _known_mistake(exercise: Exercise, known: Mapping[str, Answer], outcomes: list[Outcome]) -> str | None:
    """The message of the wrong answer that goes the same way as the learner's on every single case."""
    for message, function in known.items():
        if all(_own_outcome(exercise, function, case).like(o) for case, o in enumerate(outcomes)):
            return message
    return None


def _report(case: Case, expected: Any, outcome: Outcome) -> str:
    given = [f"{name} = {brief(value)}" for name, value in case.items()]
    lines = [f"    given     {given[0]}", *(f"              {line}" for line in given[1:])]
    got = outcome.raised or (brief(outcome.value) if outcome.value is not None else "nothing")
    return "\n".join([*lines, f"    expected  {brief(expected)}", f"    got       {got}"])


def examine(exercise: Exercise, answer: Any, known: Mapping[str, Answer] | None = None) -> Verdict:
    """Checks one answer.

    The answer's results are judged case by case. Where one is wrong, the answer is compared with the
    mistakes that are `known` (the exercise's where none are given); one that agrees on all cases names the
    mistake, else the verdict has the judge's words.
    """
    name = exercise.name
    not_attempted = Verdict(
        "not attempted",
        f"Write the body of {name} in the cell above and run both cells. "
        f"Until then the notebook goes on with the course's {name}.",
    )
    if is_stub(answer):
        return not_attempted
    if not callable(answer):
        return Verdict("wrong", f"Give the function itself, without brackets: check.{name}({name}).")
    outcomes = _outcomes(answer, exercise.cases())
    cases = exercise.cases()[: len(outcomes)]
    if any(outcome.value is ... for outcome in outcomes):
        return not_attempted
    for number, (case, outcome) in enumerate(zip(cases, outcomes, strict=True)):
        expected = _own_outcome(exercise, exercise.reference, number).value
        if problem := _problem(exercise, case, expected, outcome):
            said = _known_mistake(exercise, exercise.wrong_answers if known is None else known, outcomes) or problem
            return Verdict("wrong", f"{said}\n{_report(case, expected, outcome)}")
    return Verdict("passed", f"{name} is right on all {len(cases)} cases.")


@dataclass(frozen=True)
class Checker:
    """`check.softmax`: call it with a function, or ask it for one that works."""

    exercise: Exercise

    def __repr__(self) -> str:
        name = self.exercise.name
        return f"check.{name}: call it with your function, check.{name}({name})"

    def __call__(self, answer: Any) -> Verdict:
        """The verdict on `answer`. A stand-in gets the verdict on the answer that it stands in for."""
        stored = getattr(answer, _VERDICT, None)
        return stored if isinstance(stored, Verdict) else examine(self.exercise, answer)

    def or_reference(self, answer: Any) -> Answer:
        """`answer` itself if it passes, else the reference, so that the notebook can go on.

        The stand-in remembers why it is there: checking it again says "not attempted" or "wrong" as before.
        """
        verdict = self(answer)
        if verdict.status == "passed":
            function: Answer = answer
            return function

        @functools.wraps(self.exercise.reference)
        def stand_in(*arguments: Any, **named: Any) -> Any:
            return self.exercise.reference(*arguments, **named)

        setattr(stand_in, _VERDICT, verdict)
        return stand_in
