"""Checks an answer: runs it on all cases, finds the mistake, and returns a Verdict."""

from __future__ import annotations

import functools
import html
from dataclasses import dataclass
from typing import Any, Literal

from course_lib.exercises.execution import TOO_MANY_STEPS, Outcome, is_stub, run_answer
from course_lib.exercises.exercise import Answer, Case, Exercise
from course_lib.exercises.progress import record_check
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
    return outcome.failure or exercise.judge(case, expected, outcome.value)


def _outcomes(exercise: Exercise, answer: Answer) -> list[Outcome]:
    """One for each case; none after a case that does not end, so that the learner need not wait for more."""
    outcomes: list[Outcome] = []
    for case in exercise.cases():
        outcomes.append(run_answer(answer, case, exercise.run))
        if outcomes[-1].failure == TOO_MANY_STEPS:
            break
    return outcomes


@functools.cache
def _course_outcome(exercise: Exercise, function: Answer, case: int) -> Outcome:
    """What the course's own function, the reference or a known mistake, does with one case; computed once."""
    return run_answer(function, exercise.cases()[case], exercise.run)


def _known_mistake(exercise: Exercise, outcomes: list[Outcome]) -> str | None:
    """The message of the mistake whose outcomes agree with the learner's in every case."""
    for message, function in exercise.wrong_answers.items():
        if all(_course_outcome(exercise, function, case).agrees_with(o) for case, o in enumerate(outcomes)):
            return message
    return None


def _report(case: Case, expected: Any, outcome: Outcome) -> str:
    given = [f"{name} = {brief(value)}" for name, value in case.items()]
    lines = [f"    given     {given[0]}", *(f"              {line}" for line in given[1:])]
    got = outcome.raised or (brief(outcome.value) if outcome.value is not None else "nothing")
    return "\n".join([*lines, f"    expected  {brief(expected)}", f"    got       {got}"])


def passed(exercise: Exercise) -> Verdict:
    """The verdict on an answer that is right on all cases."""
    return Verdict("passed", f"{exercise.name} is right on all {len(exercise.cases())} cases.")


def check_answer(exercise: Exercise, answer: Any) -> Verdict:
    """Checks one answer.

    The answer's results are judged case by case. Where one is wrong, the answer is compared with the
    exercise's known mistakes; one that agrees on all cases names the mistake, else the verdict has the judge's words.
    """
    name = exercise.name
    not_attempted = Verdict(
        "not attempted",
        f"Write {'the methods' if isinstance(exercise.reference, type) else 'the body'} of {name} in the cell above "
        "and run both cells. "
        f"Until then the notebook continues with the course's {name}.",
    )
    if is_stub(answer):
        return not_attempted
    what = "class" if isinstance(exercise.reference, type) else "function"
    if not callable(answer) or isinstance(answer, type) < isinstance(exercise.reference, type):
        return Verdict("wrong", f"Give the {what} itself, without brackets: check.{name}({name}).")
    outcomes = _outcomes(exercise, answer)
    cases = exercise.cases()[: len(outcomes)]
    if any(outcome.value is ... for outcome in outcomes):
        return not_attempted
    for number, (case, outcome) in enumerate(zip(cases, outcomes, strict=True)):
        expected = _course_outcome(exercise, exercise.reference, number).value
        if problem := _problem(exercise, case, expected, outcome):
            found = _known_mistake(exercise, outcomes) or problem
            return Verdict("wrong", f"{found}\n{_report(case, expected, outcome)}")
    return passed(exercise)


@dataclass(frozen=True)
class Checker:
    """`check.softmax`: call it with a function, or ask it for one that works."""

    exercise: Exercise

    def __repr__(self) -> str:
        name = self.exercise.name
        return f"check.{name}: call it with your function, check.{name}({name})"

    def __call__(self, answer: Any) -> Verdict:
        """The verdict on `answer`, which is also recorded as progress (see `progress`)."""
        verdict = self._verdict(answer)
        record_check(self.exercise.name, verdict.status, verdict.message)
        return verdict

    def _verdict(self, answer: Any) -> Verdict:
        """A stand-in gets the verdict on the answer that it stands in for."""
        stored = getattr(answer, _VERDICT, None)
        return stored if isinstance(stored, Verdict) else check_answer(self.exercise, answer)

    def points(self, answer: Any) -> int:
        """The exercise's difficulty, from 1 to 5, for an answer that passes, else 0. A tool that grades reads it."""
        return self.exercise.text.difficulty if self._verdict(answer).status == "passed" else 0

    def or_reference(self, answer: Any) -> Answer:
        """`answer` itself if it passes, else the reference, so that the notebook can continue.

        The stand-in remembers why it is there: checking it again says "not attempted" or "wrong" as before.
        """
        verdict = self._verdict(answer)
        if verdict.status == "passed":
            function: Answer = answer
            return function

        stand_in = _copy(self.exercise.reference)
        setattr(stand_in, _VERDICT, verdict)
        return stand_in


def _copy(reference: Answer) -> Answer:
    """Another function or class that does the same, to which a verdict can be attached."""
    if isinstance(reference, type):
        return type(reference.__name__, (reference,), {"__doc__": reference.__doc__})

    @functools.wraps(reference)
    def copied(*arguments: Any, **named: Any) -> Any:
        return reference(*arguments, **named)

    return copied
