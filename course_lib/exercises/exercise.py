"""What an exercise is: a solution, the cases it is checked on, and the mistakes that are known by name."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course_lib.errors import BadInput

Answer = Callable[..., Any]
Case = Mapping[str, Any]  # argument name -> value, in the order of the function's parameters
Judge = Callable[[Case, Any, Any], str | None]  # (case, expected, got) -> what is wrong with `got`, or None


def source_of(function: Answer) -> str:
    """The source of a function as it is in its file."""
    return textwrap.dedent(inspect.getsource(function)).rstrip()


@dataclass(frozen=True)
class Wrong:
    """A mistake that learners make, as an edit of the solution.

    Args:
        old: a part of the solution's source; it occurs there exactly once.
        new: what a learner with this mistake writes instead.
        message: one or two sentences on this mistake; the first words of the verdict.
        also: further edits that belong to the same mistake, in the same form.
    """

    old: str
    new: str
    message: str
    also: Mapping[str, str] = field(default_factory=dict)

    def function(self, reference: Answer) -> Answer:
        """The solution with this mistake in it.

        Raises:
            BadInput: a text to be replaced does not occur exactly once.
        """
        name, source = reference.__name__, source_of(reference)
        for old, new in {self.old: self.new, **self.also}.items():
            if (times := source.count(old)) != 1:
                raise BadInput(f"{old!r} occurs {times} times in {name}", "quote a part that occurs exactly once")
            source = source.replace(old, new)
        scope: dict[str, Any] = {"np": np}
        exec(compile(source, f"<wrong answer to {name}>", "exec"), scope)
        function: Answer = scope[name]
        return function


@dataclass(frozen=True)
class WrongFunction:
    """A mistake that no small edit of the solution makes, as a whole function."""

    answer: Answer
    message: str

    def function(self, reference: Answer) -> Answer:
        """The wrong function itself."""
        return self.answer


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise. Its name is the name of its reference function; its text is in the topic's Markdown file.

    Args:
        reference: the solution. Its source is shown to learners, so what they read is what is tested.
            It may use built-ins and `np`, nothing else, and it has a docstring (which the stub keeps).
        cases: makes the inputs, the smallest first (the first that fails is shown).
        judge: says what is wrong with a result, or None.
        wrong: at least three mistakes; a result that agrees with one of them on all cases gets its message.
    """

    reference: Answer
    cases: Callable[[], list[Case]]
    judge: Judge
    wrong: tuple[Wrong | WrongFunction, ...]

    @property
    def name(self) -> str:
        """The name of the function that the learner writes."""
        return self.reference.__name__

    @property
    def solution(self) -> str:
        """Source of the reference, as it is in its file."""
        return source_of(self.reference)

    @property
    def stub(self) -> str:
        """The solution with its body replaced by `...`: signature and docstring stay."""
        source = self.solution
        function = ast.parse(source).body[0]
        assert isinstance(function, ast.FunctionDef) and ast.get_docstring(function)
        kept = source.splitlines()[: function.body[0].end_lineno]
        return "\n".join([*kept, "    ..."])

    @functools.cached_property
    def wrong_answers(self) -> dict[str, Answer]:
        """Message -> the function that makes this mistake."""
        return {wrong.message: wrong.function(self.reference) for wrong in self.wrong}
