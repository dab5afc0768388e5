"""What an exercise is: a solution, the cases it is checked on, and the mistakes that are known by name."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Answer = Callable[..., Any]
Case = Mapping[str, Any]  # argument name -> value, in the order of the function's parameters
Judge = Callable[[Case, Any, Any], str | None]  # (case, expected, got) -> what is wrong with `got`, or None


@dataclass(frozen=True)
class WrongAnswer:
    """A mistake that learners make, as a function, and what the check says to whoever makes it.

    Args:
        function: gives what an answer with this mistake gives.
        message: one or two sentences on this mistake; the first words of the verdict.
    """

    function: Answer
    message: str


@dataclass(frozen=True)
class Exercise:
    """One exercise of one notebook. Its name is the name of its reference function.

    Args:
        reference: the solution. Its source is shown to learners, so what they read is what is tested.
            It may use built-ins and `np`, nothing else, and it has a docstring (which the stub keeps).
        notebook: two digits, "03" for notebooks/03_*.ipynb.
        title: the heading, without a full stop.
        difficulty: 1 (a warm-up) to 5 (needs an idea).
        minutes: what a learner who has read the notebook so far needs.
        why: why it matters, in a sentence or two.
        task: what to write, in plain words; Markdown.
        hints: three, each telling more than the one before; Markdown.
        cases: makes the inputs, the smallest first (the first that fails is shown).
        judge: says what is wrong with a result, or None.
        wrong_answers: at least three; a result that agrees with one of them on all cases gets its message.
    """

    reference: Answer
    notebook: str
    title: str
    difficulty: int
    minutes: int
    why: str
    task: str
    hints: tuple[str, str, str]
    cases: Callable[[], list[Case]]
    judge: Judge
    wrong_answers: tuple[WrongAnswer, ...]

    @property
    def name(self) -> str:
        """The name of the function that the learner writes."""
        return self.reference.__name__

    @property
    def solution(self) -> str:
        """Source of the reference, as it stands in its file."""
        return textwrap.dedent(inspect.getsource(self.reference)).rstrip()

    @property
    def stub(self) -> str:
        """The solution with its body replaced by `...`: signature and docstring stay."""
        source = self.solution
        function = ast.parse(source).body[0]
        assert isinstance(function, ast.FunctionDef) and ast.get_docstring(function)
        kept = source.splitlines()[: function.body[0].end_lineno]
        return "\n".join([*kept, "    ..."])
