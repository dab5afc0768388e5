"""Runs a learner's function on one case. What it returns, or how it fails, is an Outcome."""

from __future__ import annotations

import copy
import dis
import inspect
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType, TracebackType
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Refused, Run
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
    """True for None, `...`, a function whose body does nothing (`...`, `pass`, `return None`), a class of such."""
    if answer is None or answer is ...:
        return True
    if isinstance(answer, type):
        methods = [method for name, method in _methods(answer).items() if name != "__init__"]
        return bool(methods) and all(map(is_stub, methods))
    code = getattr(answer, "__code__", None)
    if not isinstance(code, CodeType):
        return False
    steps = list(dis.get_instructions(code))
    values = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return all(step.opname in _DOES_NOTHING for step in steps) and all(v in (None, ...) for v in values)


def _methods(answer: type) -> dict[str, Any]:
    return {name: method for name, method in vars(answer).items() if inspect.isfunction(method)}


def _home(answer: Answer) -> dict[str, Any] | None:
    """The names among which the learner wrote the answer, such as the notebook's."""
    function = next(iter(_methods(answer).values()), None) if isinstance(answer, type) else answer
    return getattr(function, "__globals__", None)


@contextmanager
def _step_limit(answer: Answer) -> Iterator[None]:
    """Stops the learner's own Python code once it has run MAX_STEPS steps.

    Only functions that live where `answer` lives (the notebook) are watched: to raise inside a library that
    is being imported can bring the whole process down. A debugger that is at work is left alone.
    """
    home = _home(answer)
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
    """`(in its line 3)`, counted from the `def`; nothing where the error arose before the function began.

    For a class: `(in line 3 of its forward)`.
    """
    methods = [method.__code__ for method in _methods(answer).values()] if isinstance(answer, type) else []
    code, found = getattr(answer, "__code__", None), ""
    while trace is not None:
        here = trace.tb_frame.f_code
        line = trace.tb_lineno - here.co_firstlineno + 1
        if here is code:
            found = f" (in its line {line})"
        elif here in methods:
            found = f" (in line {line} of its {here.co_name})"
        trace = trace.tb_next
    return found


def run_answer(answer: Answer, case: Case, run: Run | None = None) -> Outcome:
    """Calls `answer`, or `run` with it, with copies of the case's values, by position; a failure becomes an Outcome.

    Warnings of numpy are not shown: where they matter, the result is wrong and the verdict says so.
    """
    given = copy.deepcopy(dict(case))
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(), _step_limit(answer):
            warnings.simplefilter("ignore")
            value = run(answer, *given.values()) if run else answer(*given.values())
    except _StepLimitExceeded:
        return Outcome(failure=TOO_MANY_STEPS)
    except Refused as refused:
        return Outcome(failure=str(refused))
    except Exception as error:
        raised = f"{type(error).__name__}: {error}".rstrip(": ")
        what = "class" if isinstance(answer, type) else "function"
        failure = f"Your {what} raised {type(error).__name__}{_where(answer, error.__traceback__)}."
        return Outcome(failure=failure, raised=raised)
    if plain(list(given.values())) != plain(list(case.values())):
        return Outcome(value, _CHANGED)
    if value is None:
        return Outcome(failure="Your function gives None. Is a `return` missing?")
    return Outcome(value)
