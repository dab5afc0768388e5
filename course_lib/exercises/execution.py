"""Runs a learner's function on one case. What it returns, or how it fails, is an Outcome."""

from __future__ import annotations

import copy
import dis
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType, TracebackType
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case
from course_lib.exercises.values import plain, same

MAX_STEPS = 1_000_000  # bytecode steps, a quarter of a second; a right answer needs some thousand for a case
TOO_MANY_STEPS = "Your function does not come to an end. Does every turn of its loop bring it nearer?"
_CHANGED = "Your function changes the values it was given. Work on a copy: the caller still needs them."
_DOES_NOTHING = {"RESUME", "NOP", "CACHE", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "POP_TOP"}


@dataclass(frozen=True)
class Outcome:
    """The outcome of one call.

    Args:
        value: the result; None where `failure` says that there is none.
        failure: "" or what went wrong while running, as the first sentence of a verdict.
        raised: "ZeroDivisionError: division by zero" where the function raised, else "".
    """

    value: Any = None
    failure: str = ""
    raised: str = ""

    def agrees_with(self, other: Outcome) -> bool:
        """True where both calls returned the same value, or failed in the same way."""
        if self.raised or other.raised:
            return self.raised.split(":")[0] == other.raised.split(":")[0]
        return self.failure == other.failure and same(self.value, other.value)


class _StepLimitExceeded(BaseException):
    """Raised inside a learner's loop; not an Exception, so that no `except Exception` in there stops it."""


def is_stub(answer: Any) -> bool:
    """True for None, `...`, and a function whose body does nothing (`...`, `pass`, `return None`)."""
    if answer is None or answer is ...:
        return True
    code = getattr(answer, "__code__", None)
    if not isinstance(code, CodeType):
        return False
    steps = list(dis.get_instructions(code))
    values = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return all(step.opname in _DOES_NOTHING for step in steps) and all(v in (None, ...) for v in values)


@contextmanager
def _step_limit(answer: Answer) -> Iterator[None]:
    """Stops the learner's own Python code once it has run MAX_STEPS steps.

    Only functions that live where `answer` lives (the notebook) are watched: to raise inside a library that
    is being imported can bring the whole process down. A debugger that is at work is left alone.
    """
    home = getattr(answer, "__globals__", None)
    steps = 0

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        if frame.f_globals is not home:
            return None
        frame.f_trace_opcodes = True  # lines alone would miss `while True: pass` on one line (Python 3.11)
        steps += 1
        if steps > MAX_STEPS:
            raise _StepLimitExceeded
        return watch

    if sys.gettrace() is not None:
        yield
        return
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(None)


def _where(answer: Answer, trace: TracebackType | None) -> str:
    """`(in its line 3)`, counted from the `def`; nothing where the error arose before the function began."""
    code, line = getattr(answer, "__code__", None), 0
    while trace is not None:
        if trace.tb_frame.f_code is code:
            line = trace.tb_lineno - trace.tb_frame.f_code.co_firstlineno + 1
        trace = trace.tb_next
    return f" (in its line {line})" if line else ""


def run_answer(answer: Answer, case: Case) -> Outcome:
    """Calls `answer` with copies of the case's values, by position; a failure becomes an Outcome.

    Warnings of numpy are not shown: where they matter, the result is wrong and the verdict says so.
    """
    given = copy.deepcopy(dict(case))
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(), _step_limit(answer):
            warnings.simplefilter("ignore")
            value = answer(*given.values())
    except _StepLimitExceeded:
        return Outcome(failure=TOO_MANY_STEPS)
    except Exception as error:
        raised = f"{type(error).__name__}: {error}".rstrip(": ")
        failure = f"Your function raised {type(error).__name__}{_where(answer, error.__traceback__)}."
        return Outcome(failure=failure, raised=raised)
    if plain(list(given.values())) != plain(list(case.values())):
        return Outcome(value, _CHANGED)
    if value is None:
        return Outcome(failure="Your function gives None. Is a `return` missing?")
    return Outcome(value)
