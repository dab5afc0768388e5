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
from course_lib.exercises.texts import ExerciseText, topic_text

Answer = Callable[..., Any]
Arguments = tuple[Any, ...]
Case = Mapping[str, Any]  # argument name -> value, in the order of the function's parameters
Judge = Callable[[Case, Any, Any], str | None]  # (case, expected, got) -> what is wrong with `got`, or None
Run = Callable[..., Any]  # (answer, *the values of a case) -> what the judge compares


class Refused(Exception):
    """Raised by a `run`: the answer cannot be used at all. Its text is the first sentence of the verdict."""


def source_of(function: Answer) -> str:
    """The source of a function or a class as it is in its file."""
    return textwrap.dedent(inspect.getsource(function)).rstrip()


def edited(function: Answer, edits: Sequence[tuple[str, str]]) -> Answer:
    """The function or class with parts of its source replaced, each (old, new) in turn.

    Raises:
        BadInput: an old text does not occur exactly once.
    """
    name, source = function.__name__, source_of(function)
    for old, new in edits:
        if (times := source.count(old)) != 1:
            raise BadInput(f"{old!r} occurs {times} times in {name}", "quote a part that occurs exactly once")
        source = source.replace(old, new)
    scope = {**vars(sys.modules[function.__module__])}
    exec(compile(source, f"<edited {name}>", "exec"), scope)
    result: Answer = scope[name]
    return result


def _method_stub(part: ast.stmt, lines: Sequence[str]) -> list[str]:
    """The lines of one part of a class: a method without its body, but with its call of super; the rest as it is."""
    assert part.end_lineno is not None
    if not isinstance(part, ast.FunctionDef):
        return list(lines[part.lineno - 1 : part.end_lineno])
    first = part.decorator_list[0].lineno if part.decorator_list else part.lineno
    body = part.body[1:] if ast.get_docstring(part) else part.body
    end = body[0].lineno - 1
    if "super().__init__(" in lines[end]:
        end = body[0].end_lineno or end
    return [*lines[first - 1 : end], "        ..."]


@dataclass(frozen=True)
class Exercise:
    """An exercise, or a stage of a build. Its name is that of its reference; its text is in the topic's Markdown file.

    Args:
        reference: the solution, a function or a class. Its source is shown to learners, so what they read is what is
            tested. It and its methods have docstrings, which the stub keeps. The solution of an exercise uses built-ins
            and `np`; that of a stage also `math`, `torch`, `nn`, `F` and the stages before it.
        arguments: makes the arguments of each case, the smallest first (the first that fails is shown). A list
            in the place of a parameter that is annotated as an array becomes one.
        judge: says what is wrong with a result, or None.
        run: uses an answer on the values of one case, and returns what the judge compares: `run(Encoder, hidden=8)`
            makes an Encoder and calls it. Its parameters after the first name the values. Without it, the answer is
            called with them.

    Raises:
        Refused: by `run`, for an answer that it cannot use.
    """

    reference: Answer
    arguments: Callable[[], list[Arguments]]
    judge: Judge
    run: Run | None = None

    @property
    def name(self) -> str:
        """The name of the function that the learner writes."""
        return self.reference.__name__

    def cases(self) -> list[Case]:
        """The inputs by name, the smallest first."""
        parameters = list(inspect.signature(self.run or self.reference).parameters.values())[self.run is not None :]
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
        """The solution with every body replaced by `...`: signatures and docstrings stay."""
        lines = self.solution.splitlines()
        node = ast.parse(self.solution).body[0]
        assert isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)
        if isinstance(node, ast.FunctionDef):
            return "\n".join([*lines[: node.body[0].end_lineno], "    ..."])
        kept = lines[: node.body[0].end_lineno]
        for part in node.body[1:]:
            kept += ["", *_method_stub(part, lines)]
        return "\n".join(kept)

    @property
    def topic(self) -> str:
        """The name of its module and of its Markdown file."""
        return self.reference.__module__.partition(".topics.")[2].partition(".")[0]

    @property
    def text(self) -> ExerciseText:
        """What a learner reads."""
        return topic_text(self.topic).exercises[self.name]

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
