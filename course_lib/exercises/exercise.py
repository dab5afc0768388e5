"""What an exercise is: a solution, the cases it is checked on, and the mistakes that are known by name."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.errors import BadInput
from course_lib.exercises.texts import ExerciseText, exercise_texts

Answer = Callable[..., Any]
Arguments = tuple[Any, ...]
Case = Mapping[str, Any]  # argument name -> value, in the order of the function's parameters
Judge = Callable[[Case, Any, Any], str | None]  # (case, expected, got) -> what is wrong with `got`, or None


def source_of(function: Answer) -> str:
    """The source of a function as it is in its file."""
    return textwrap.dedent(inspect.getsource(function)).rstrip()


def edited(function: Answer, edits: Sequence[tuple[str, str]]) -> Answer:
    """The function with parts of its source replaced, each (old, new) in turn.

    Raises:
        BadInput: an old text does not occur exactly once.
    """
    name, source = function.__name__, source_of(function)
    for old, new in edits:
        if (times := source.count(old)) != 1:
            raise BadInput(f"{old!r} occurs {times} times in {name}", "quote a part that occurs exactly once")
        source = source.replace(old, new)
    scope: dict[str, Any] = {"np": np}
    exec(compile(source, f"<edited {name}>", "exec"), scope)
    result: Answer = scope[name]
    return result


@dataclass(frozen=True)
class Exercise:
    """One exercise. Its name is the name of its reference function; its text is in the topic's Markdown file.

    Args:
        reference: the solution. Its source is shown to learners, so what they read is what is tested.
            It may use built-ins and `np`, nothing else, and it has a docstring (which the stub keeps).
        arguments: makes the arguments of each case, the smallest first (the first that fails is shown). A list
            in the place of a parameter that is annotated as an array becomes one.
        judge: says what is wrong with a result, or None.
    """

    reference: Answer
    arguments: Callable[[], list[Arguments]]
    judge: Judge

    @property
    def name(self) -> str:
        """The name of the function that the learner writes."""
        return self.reference.__name__

    def cases(self) -> list[Case]:
        """The inputs by name, the smallest first."""
        parameters = inspect.signature(self.reference).parameters.values()
        return [
            {
                parameter.name: np.array(value)
                if parameter.annotation == "np.ndarray" and isinstance(value, list)
                else value
                for parameter, value in zip(parameters, arguments, strict=False)
            }
            for arguments in self.arguments()
        ]

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

    @property
    def topic(self) -> str:
        """The name of its module and of its Markdown file."""
        return self.reference.__module__.partition(".topics.")[2].partition(".")[0]

    @property
    def text(self) -> ExerciseText:
        """What a learner reads."""
        return exercise_texts(self.topic)[self.name]

    @functools.cached_property
    def wrong_answers(self) -> dict[str, Answer]:
        """For each mistake its message, and a function that makes it: the edited solution, or one of the module."""
        module = sys.modules[self.reference.__module__]
        return {
            mistake.message: edited(self.reference, mistake.edits)
            if mistake.edits
            else getattr(module, mistake.function)
            for mistake in self.text.mistakes
        }
