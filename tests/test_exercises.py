"""Exercises: references are right, wrong answers are caught by name, cells show the tested text."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from notebook_cells import NOTEBOOKS as FOLDER
from notebook_cells import exercise_cells, find, read, write_exercises

from course_lib.errors import BadInput, CourseError
from course_lib.exercises import ClaimFailed, check, checking, claim, reference, texts
from course_lib.exercises.catalogue import EXERCISES, NOTEBOOKS, place_of, questions_of, texts_of
from course_lib.exercises.cells import blocks, check_cell, quiz_text, stub
from course_lib.exercises.cells import of_notebook as cells_of_notebook
from course_lib.exercises.checking import check_answer
from course_lib.exercises.execution import MAX_STEPS, is_stub, run_answer
from course_lib.exercises.exercise import Answer, Exercise, Refused, edited
from course_lib.exercises.markdown import to_html, to_inline_html
from course_lib.exercises.texts import LETTERS, topic_text
from course_lib.exercises.values import WIDEST, brief, judge_array, plain

NAMES = list(EXERCISES)  # with the stages of builds
FUNCTIONS = [name for name, exercise in EXERCISES.items() if exercise.run is None]  # called with a case's values alone


class WithoutMistakes(Exercise):
    """An exercise whose verdicts have the judge's words alone."""

    wrong_answers: Mapping[str, Answer] = {}


def notebook_scope(name: str) -> dict[str, Any]:
    """The names that a learner has before an exercise; before a stage of a build, also torch and the earlier stages."""
    scope: dict[str, Any] = {"np": np, "check": check}
    if place_of(name)[0] == "Stage":
        scope |= {"math": math, "torch": torch, "nn": torch.nn, "F": torch.nn.functional}
        earlier = [other for other in NAMES[: NAMES.index(name)] if EXERCISES[other].topic == EXERCISES[name].topic]
        scope |= {other: getattr(reference, other) for other in earlier}
    return scope


def defined_by(source: str, name: str) -> Callable[..., Any]:
    """What a learner has after running the cell `source`."""
    scope = notebook_scope(name)
    exec(source, scope)
    function = scope[name]
    assert callable(function)
    return function


# ---------------------------------------------------------------- every exercise


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_an_exercise(name: str) -> None:
    exercise = EXERCISES[name]
    text = exercise.text
    assert 1 <= text.minutes <= 45
    assert len(set(text.hints)) == len(text.hints) == 3
    is_stage = place_of(name)[0] == "Stage"
    assert len(text.mistakes) >= (5 if is_stage else 3)
    assert len(exercise.cases()) >= (2 if is_stage else 5)
    assert text.task.startswith("**Why it matters.** ")
    why, task = text.task.split("\n\n**Your task.** ")
    for part in (why, task, *text.hints):
        assert len(part) > 40
        assert part[-1] in ".?`"
    assert exercise.solution.splitlines()[-1].strip() not in "".join(text.hints)


def test_every_text_has_its_exercise_in_the_same_order() -> None:
    topics = [module.__name__.rpartition(".")[2] for modules in NOTEBOOKS.values() for module in modules]
    assert list(EXERCISES) == [name for topic in topics for name in topic_text(topic).exercises]


@pytest.mark.parametrize("name", NAMES)
def test_every_edit_of_a_solution_matches_once_and_changes_it(name: str) -> None:
    mistakes = EXERCISES[name].text.mistakes
    assert len(EXERCISES[name].wrong_answers) == len(mistakes), "two mistakes share a message"
    assert len({mistake.message.split(".")[0] for mistake in mistakes}) == len(mistakes)
    assert all(old != new for mistake in mistakes for old, new in mistake.edits)


@pytest.mark.parametrize(("old", "times"), [("logits", 4), ("no such text", 0)])
def test_an_edit_that_does_not_match_once(old: str, times: int) -> None:
    with pytest.raises(BadInput, match=f"'{old}' occurs {times} times in softmax"):
        edited(reference.softmax, [("powers.sum", "powers.max"), (old, "x")])


TOPIC = """# A topic

## double: twice as much (difficulty 1 of 5, about 2 minutes)

**Why it matters.** It does.

### Hints

1. Add.

### Mistakes

- You triple.
  - `2 *` → `3 *`

## Build: A doubler (difficulty 4 of 5, about 60 minutes)

In one stage.

## Project: Double your own (about 2 hours)

Do it.

## Quiz

**Question 1.** Which?

- [x] This
  - it is right.
- [ ] That
  - it is wrong.
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("difficulty 1", "difficulty 9", "the section '## double: twice as much"),
        ("### Hints", "### Hint", "has 2 parts"),
        ("difficulty 4", "difficulty 0", "the heading '## Build: A doubler"),
        ("(about 2 hours)", "about 2 hours", "the heading '## Project: Double your own"),
        ("`2 *` → `3 *`", "`2 *` -> `3 *`\n  - `4` → `5`", 'the mistake "You triple." has'),
        ("- [x] This", "- [ ] This", 'the question "Which\\?" does not have one right option'),
        ("- [ ] That", "- [x] That", 'the question "Which\\?" does not have one right option'),
    ],
)
def test_a_text_that_does_not_have_its_form(
    old: str, new: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "TOPICS", tmp_path)
    monkeypatch.setattr(texts, "topic_text", topic_text.__wrapped__)
    (tmp_path / "topic.md").write_text(TOPIC, encoding="utf-8")
    stored = texts.topic_text("topic")
    assert stored.exercises["double"].mistakes[0].edits == (("2 *", "3 *"),)
    assert stored.questions[0].right == "a"
    assert stored.build == texts.BuildText("A doubler", 4, 60, "In one stage.")
    assert stored.project == texts.ProjectText("Double your own", "2 hours", "Do it.")
    assert old in TOPIC
    (tmp_path / "topic.md").write_text(TOPIC.replace(old, new), encoding="utf-8")
    with pytest.raises(BadInput, match=rf"topic\.md does not have the form of a topic: .*{message}"):
        texts.topic_text("topic")


@pytest.mark.parametrize("name", NAMES)
def test_reference_passes(name: str) -> None:
    verdict = getattr(check, name)(getattr(reference, name))
    assert verdict.status == "passed", verdict
    assert re.fullmatch(rf"passed: {name} is right on all \d+ cases\.", repr(verdict))


@pytest.mark.parametrize("name", NAMES)
def test_stub_is_not_attempted_and_the_notebook_goes_on(name: str) -> None:
    function = defined_by(stub(name), name)
    assert function.__doc__ == getattr(reference, name).__doc__
    checker = getattr(check, name)
    assert checker(function).status == "not attempted"
    stand_in = checker.or_reference(function)
    case = EXERCISES[name].cases()[0]
    run = EXERCISES[name].run
    assert run_answer(stand_in, case, run).agrees_with(run_answer(getattr(reference, name), case, run))
    assert checker(stand_in) == checker(function), "running the check cell twice must not turn into a pass"


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answers_get_their_own_messages(name: str, recwarn: pytest.WarningsRecorder) -> None:
    """Also where a learner writes them in another way, with lists in the place of arrays."""
    for message, function in EXERCISES[name].wrong_answers.items():
        with_lists = lambda *arguments, function=function: plain(function(*arguments))  # noqa: E731
        for answer in (function, with_lists)[: 2 if name in FUNCTIONS else 1]:
            verdict = getattr(check, name)(answer)
            assert verdict.status == "wrong", message
            assert verdict.message.startswith(message + "\n"), (message, verdict)
            for part in ("    given     ", "    expected  ", "    got       "):
                assert part in verdict.message, message
    assert not recwarn.list, "a warning of NumPy reaches the learner"


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answer_is_also_caught_without_its_message(name: str) -> None:
    """The judge alone must reject it: recognising a mistake only words a rejection, it does not make one."""
    exercise = EXERCISES[name]
    unnamed = WithoutMistakes(exercise.reference, exercise.arguments, exercise.judge, exercise.run)
    for message, function in exercise.wrong_answers.items():
        verdict = check_answer(unnamed, function)
        assert verdict.status == "wrong", message
        assert message not in verdict.message or "changes" in message


@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_of_wrong_type_or_shape(name: str) -> None:
    numbers = ([], (), -1.5, True, float("nan"), np.zeros((2, 2, 2)), [["a"], [None]], [[1, 2], [3]], (None, None))
    for result in ("text", {}, object(), *numbers):
        verdict = getattr(check, name)(lambda *arguments, result=result: result)
        assert verdict.status == "wrong", result
        if isinstance(result, str | dict) or type(result) is object:
            assert verdict.message.startswith("The result should"), verdict


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_answer_that_raises(name: str) -> None:
    def broken(*arguments: Any) -> Any:
        found = {"a": 1}
        return found["no such key"]

    verdict = getattr(check, name)(broken)
    assert verdict.status == "wrong"
    assert verdict.message.startswith("Your function raised KeyError (in its line 3).")
    assert "got       KeyError: 'no such key'" in verdict.message
    assert f"given     {next(iter(EXERCISES[name].cases()[0]))} = " in verdict.message


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_answer_with_too_few_parameters_or_without_a_return(name: str) -> None:
    def silent(*arguments: Any) -> None:
        getattr(reference, name)(*arguments)

    assert getattr(check, name)(lambda: 1).message.startswith("Your function raised TypeError.")
    assert getattr(check, name)(silent).message.startswith("Your function gives None. Is a `return` missing?")


@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger is at work and is left alone")
def test_an_answer_that_never_ends() -> None:
    def endless(word: str, vocabulary: set[str]) -> list[str]:
        start = 0
        while start < len(word):
            try:
                start += 0
            except Exception:  # must not keep the loop alive
                continue
        return []

    one_line = defined_by("def word_pieces(word, vocabulary):\n    while True: pass", "word_pieces")
    assert MAX_STEPS <= 10**6, "a learner should not wait for longer than a second or two"
    for answer in (endless, one_line):
        assert check.word_pieces(answer).message.startswith("Your function does not come to an end.")
    assert sys.gettrace() is None


def test_an_answer_that_changes_its_input() -> None:
    def empties(train_texts: list[str], test_texts: list[str]) -> list[int]:
        result: list[int] = reference.find_leaks(train_texts, test_texts)
        train_texts.clear()
        return result

    def in_place(logits: np.ndarray) -> np.ndarray:
        if logits.dtype.kind == "f":
            logits -= logits.max(axis=1, keepdims=True)
        result: np.ndarray = reference.softmax(logits)
        return result

    assert check.find_leaks(empties).message.startswith("Your function changes the values it was given.")
    assert check.softmax(in_place).message.startswith("Your function changes the values it was given.")


@pytest.mark.parametrize("name", NAMES)
def test_checks_give_the_same_every_time_and_share_no_state(name: str) -> None:
    exercise = EXERCISES[name]
    wrong, *_, other = exercise.wrong_answers.values()
    first = getattr(check, name)(wrong)
    getattr(check, name)(other)
    assert repr(getattr(check, name)(wrong)) == repr(first)
    assert getattr(check, name)(wrong)._repr_html_() == first._repr_html_()
    assert [brief(list(c.values())) for c in exercise.cases()] == [brief(list(c.values())) for c in exercise.cases()]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_answer_learned_by_heart_fails(name: str) -> None:
    """Knowing the results of any one case, and giving them always, is not enough."""
    for case in EXERCISES[name].cases():
        known = getattr(reference, name)(*case.values())
        assert getattr(check, name)(lambda *arguments, known=known: known).status == "wrong"


def of_parts(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The change of a result, and of both parts where the result is a pair."""
    return lambda result: tuple(map(change, result)) if isinstance(result, tuple) else change(result)


def as_float32(result: Any) -> Any:
    is_float = isinstance(result, float) or (isinstance(result, np.ndarray) and result.dtype.kind == "f")
    return np.float32(result) if is_float else result


def as_tensor(result: Any) -> Any:
    return torch.from_numpy(result) if isinstance(result, np.ndarray) else result


@pytest.mark.parametrize("form", [plain, of_parts(as_float32), of_parts(as_tensor)], ids=["lists", "float32", "tensor"])
@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if name != "quantize_dequantize"]
)  # its int8 is a part of it
def test_a_right_result_in_another_form_passes(name: str, form: Callable[[Any], Any]) -> None:
    verdict = getattr(check, name)(lambda *arguments: form(getattr(reference, name)(*arguments)))
    assert verdict.status == "passed", verdict


SPOILT: dict[str, Callable[[Any], Any]] = {
    "rounded": of_parts(lambda result: np.round(result, 3)),
    "a little larger": of_parts(lambda result: result * 1.001 if isinstance(result, float | np.ndarray) else None),
    "a little off": of_parts(lambda result: result + 5e-5),
    "without its end": of_parts(lambda result: result[:-1]),
    "its beginning": lambda result: result[0],
    "doubled": of_parts(lambda result: [*result, *result]),
    "backwards": of_parts(lambda result: result[::-1]),
    "sorted": of_parts(sorted),
    "transposed": of_parts(lambda result: result.T),
    "in a list": lambda result: [result],
    "as text": str,
    "as texts": of_parts(lambda result: [str(part) for part in result]),
    "as a dict": lambda result: dict(enumerate(result)),
    "as a set": lambda result: set(result),
    "with more": lambda result: (*result, 0.0),
}


@pytest.mark.parametrize("change", SPOILT)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_right_result_that_is_spoilt_does_not_pass(name: str, change: str) -> None:
    """Unless that leaves every single result as it is."""

    def spoilt(*arguments: Any) -> Any:
        return SPOILT[change](getattr(reference, name)(*arguments))

    exercise = EXERCISES[name]
    as_good = all(
        run_answer(exercise.reference, case).agrees_with(run_answer(spoilt, case)) for case in exercise.cases()
    )
    assert getattr(check, name)(spoilt).status == ("passed" if as_good else "wrong")


# ---------------------------------------------------------------- stages of builds: classes, and what is run with them


class Scaled(torch.nn.Module):
    """Multiplies by one learned number."""

    def __init__(self, start: float) -> None:
        """Start with this number."""
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale x, of any shape."""
        return self.factor * x


def run_scaled(answer: Answer, start: float, row: list[float]) -> Any:
    module = answer(start)
    if not isinstance(module, torch.nn.Module):
        raise Refused("Scaled should be an nn.Module.")
    return module(torch.tensor(row)).tolist()


SCALED = WithoutMistakes(
    Scaled,
    lambda: [(2.0, [1.0, 3.0]), (0.5, [4.0])],
    lambda case, expected, got: None if expected == got else "The numbers are off.",
    run_scaled,
)


class Forgetful(torch.nn.Module):
    def __init__(self, start: float) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> Any:
        return self.factor * x


def test_a_class_is_an_answer() -> None:
    assert repr(check_answer(SCALED, Scaled)) == "passed: Scaled is right on all 2 cases."
    assert SCALED.cases()[1] == {"start": 0.5, "row": [4.0]}
    off = edited(Scaled, [("self.factor * x", "self.factor + x")])
    assert check_answer(SCALED, off).message.splitlines() == [
        "The numbers are off.", "    given     start = 2", "              row = [1, 3]", "    expected  [2, 6]",
        "    got       [3, 5]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (lambda start: start, "wrong", "Give the class itself, without brackets"),
        (Scaled(1.0), "wrong", "Give the class itself, without brackets"),
        (Forgetful, "wrong", "Your class raised AttributeError (in line 2 of its forward)."),
        (dict, "wrong", "Your class raised TypeError."),
        (type("Other", (), {"__init__": lambda self, start: None, "x": lambda self: 1}), "wrong", "be an nn.Module."),
    ],
)
def test_classes_that_are_not_right(answer: Any, status: str, words: str) -> None:
    verdict = check_answer(SCALED, answer)
    assert verdict.status == status
    assert words in verdict.message.splitlines()[0]


def test_the_stub_of_a_class_keeps_signatures_docstrings_and_super() -> None:
    source = SCALED.stub
    assert source.count("        ...") == 2
    assert "super().__init__()\n        ..." in source
    assert "self.factor" not in source
    scope = {"torch": torch}
    exec(source, scope)
    assert is_stub(scope["Scaled"]) and not is_stub(Scaled)
    assert check_answer(SCALED, scope["Scaled"]).status == "not attempted"
    assert "Write the methods of Scaled" in check_answer(SCALED, scope["Scaled"]).message


def test_a_stage_continues_with_the_reference_class() -> None:
    stand_in = checking.Checker(SCALED).or_reference(Forgetful)
    assert isinstance(stand_in, type) and issubclass(stand_in, Scaled)
    assert checking.Checker(SCALED)(stand_in).status == "wrong", "checking again must not turn into a pass"
    assert checking.Checker(SCALED)(Scaled).status == "passed", "the reference itself has no verdict"


# ---------------------------------------------------------------- verdicts, names, stubs


@pytest.mark.parametrize("nothing", [None, ...])
def test_nothing_is_not_attempted(nothing: object) -> None:
    assert check.softmax(nothing).status == "not attempted"


def test_what_counts_as_a_stub() -> None:
    def dots(x: int) -> None: ...

    def passes(x: int) -> None:
        """Says something."""
        pass

    def gives_dots(x: int) -> object:
        return ...

    def attempted(x: int) -> float:
        return 0.5

    def computes(x: int) -> None:
        x + 1

    assert all(map(is_stub, (dots, passes, gives_dots)))
    assert not any(map(is_stub, (attempted, computes, len, math.exp)))


def test_dots_left_in_a_half_written_answer() -> None:
    def half(logits: np.ndarray) -> object:
        powers = np.exp(logits)
        return ... if powers.size else powers

    assert check.softmax(half).status == "not attempted"


def test_a_call_instead_of_the_function() -> None:
    verdict = check.softmax(np.array([0.5, 0.5]))
    assert verdict.status == "wrong"
    assert "without brackets" in verdict.message


def test_a_wrong_answer_is_replaced_and_stays_wrong() -> None:
    def wrong(logits: np.ndarray) -> Any:
        return logits

    stand_in = check.softmax.or_reference(wrong)
    assert check.softmax(stand_in).status == "wrong"
    assert check.softmax.or_reference(stand_in) is not wrong
    np.testing.assert_allclose(stand_in(np.array([[2.0, 2.0]])), [[0.5, 0.5]])


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"'sofmax'.*\n.*softmax") as caught:
        _ = check.sofmax
    assert isinstance(caught.value, CourseError)
    with pytest.raises(AttributeError, match="no exercise named 'zzz'"):
        _ = reference.zzz
    assert not hasattr(check, "_repr_html_")
    assert dir(check) == sorted(NAMES)
    assert "check.softmax(softmax)" in repr(check.softmax)


def test_html_is_escaped_and_says_the_status_in_words() -> None:
    verdict = check.word_pieces(lambda word, vocabulary: ["<script>"])
    page = verdict._repr_html_()
    assert "wrong." in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "not attempted." in check.softmax(None)._repr_html_()


def test_brief_values() -> None:
    assert brief(np.array([[1 / 3, 1.0]])) == "[[0.333333, 1]]"
    assert brief({"b", "a"}) == "{'a', 'b'}"
    assert brief((1, [2.5, "x\ny"])) == "[1, [2.5, 'x\\ny']]"
    assert len(brief(list(range(1000)))) == WIDEST
    assert brief(float("nan")) == "nan"


def test_importing_needs_no_pandas() -> None:
    code = "import sys, course_lib.exercises; print(*(m for m in ('pandas', 'sklearn') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# ---------------------------------------------------------------- claims


def test_claim_that_holds(capsys: pytest.CaptureFixture[str]) -> None:
    claim("accuracy is above 0.80", True)
    claim("all rows add up", np.bool_(True))
    claim("all rows add up", np.array(True))
    assert capsys.readouterr().out == "verified: accuracy is above 0.80\n" + "verified: all rows add up\n" * 2


def test_claim_that_does_not_hold(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ClaimFailed, match=r"accuracy is above 0\.80") as caught:
        claim("accuracy is above 0.80", np.float64(0.7) > 0.8)
    assert isinstance(caught.value, CourseError)
    assert isinstance(caught.value, AssertionError)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", [0.83, 1, "yes", None, np.array([True, True]), np.float64(0.9)])
def test_claim_about_something_that_is_not_true_or_false(value: object) -> None:
    with pytest.raises(BadInput, match="neither True nor False"):
        claim("accuracy is high", value)


# ---------------------------------------------------------------- quizzes


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_quiz(notebook: str) -> None:
    questions = questions_of(notebook)
    assert len(questions) == 5
    assert len({question.right for question in questions}) >= 3, "the right letter should not be guessable"
    for question in questions:
        assert 3 <= len(question.options) <= 4
        assert question.right in LETTERS[: len(question.options)]
        assert len({option.text for option in question.options}) == len(question.options)
        assert all(len(option.because) > 30 for option in question.options)
    text = quiz_text(notebook)
    assert text.count("<details><summary>Answer</summary>") == text.count("</details>") == 5
    assert text.count(" Right: ") == 5
    assert text.count(" Wrong: ") == sum(len(question.options) - 1 for question in questions)
    assert " Right: " not in re.sub(r"<details>.*?</details>", "", text, flags=re.S)


def test_markdown_as_html() -> None:
    assert to_html("It is **so**: $a < b$.").startswith("<p>It is <strong>so</strong>: <math ")
    assert "<mo>&#x0003C;</mo><mi>b</mi>" in to_html("$a < b$")
    assert 'display="block"' in to_html("$$\nx\n$$")
    assert to_inline_html("1. `a < b`, and $5") == "1. <code>a &lt; b</code>, and $5"


def test_quiz_of_a_notebook_without_one() -> None:
    with pytest.raises(BadInput, match="no notebook '99'"):
        texts_of("99")


# ---------------------------------------------------------------- cells, and the notebooks that hold them


@pytest.mark.parametrize("name", NAMES)
def test_blocks(name: str) -> None:
    task, stub_cell, checking, hints = blocks(name)
    text = EXERCISES[name].text
    kind, number, of = place_of(name)
    place = f"Stage {number} of {of}" if kind == "Stage" else f"Exercise {number}"
    assert task["source"].startswith(f"### {place}: {text.title}\n")
    for part in (f"({text.difficulty} of 5)", f"{text.minutes} minutes", text.task):
        assert part in task["source"]
    assert stub_cell["tags"] == ["exercise"]
    is_class = isinstance(EXERCISES[name].reference, type)
    assert stub_cell["source"].startswith(f"class {name}" if is_class else f"def {name}(")
    assert stub_cell["source"].endswith("\n        ..." if is_class else '"""\n    ...')
    assert checking["source"] == check_cell(name)
    assert [cell["type"] for cell in (task, stub_cell, checking, hints)] == ["markdown", "code", "code", "markdown"]
    for summary in ("Hint 1", "Hint 2", "Hint 3", "Solution"):
        assert f"<details><summary>{summary}</summary>\n\n" in hints["source"]
    assert hints["source"].count("</details>") == 4
    assert hints["source"].count("```") == 2
    assert all(len(line) <= 110 for cell in (stub_cell, checking) for line in cell["source"].splitlines())
    outside = re.sub(r"<details>.*?</details>", "", hints["source"], flags=re.S)
    assert outside.strip() == "", "nothing is given away before a fold is opened"


@pytest.mark.parametrize("name", NAMES)
def test_check_cell_runs_and_the_solution_shown_passes(name: str) -> None:
    _, first, second = check_cell(name).splitlines()
    scope = notebook_scope(name)
    exec(stub(name), scope)
    for _ in range(2):  # running the cell again changes nothing
        exec(first, scope)
        assert eval(second, scope).status == "not attempted"
    shown = re.search(r"<summary>Solution</summary>\n\n```python\n(.*?)```", blocks(name)[3]["source"], re.S)
    assert shown is not None
    exec(shown[1], scope)
    exec(first, scope)
    assert eval(second, scope).status == "passed"


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_notebook_holds_exactly_what_is_generated(number: str) -> None:
    """`make format` writes it. The four cells of an exercise are next to each other, and nothing else is tagged so."""
    (file,) = FOLDER.glob(f"{number}_*.ipynb")
    cells = read(file).cells
    generated = cells_of_notebook(number)
    tagged = exercise_cells(read(file))
    assert [(c.cell_type, c.source, list(c.metadata.tags)) for c in tagged] == [
        (c["type"], c["source"], c["tags"]) for c in generated
    ]
    assert {cell.source for cell in cells if cell not in tagged}.isdisjoint(c["source"] for c in generated)
    for task in (cell for cell in tagged if cell.metadata.tags == ["exercise-task"]):
        start = cells.index(task)
        tags = [tag for cell in cells[start : start + 4] for tag in cell.metadata.get("tags", [])]
        assert tags == ["exercise-task", "exercise", "exercise-check", "exercise-hints"]


def test_every_notebook_is_in_the_table() -> None:
    assert [file.name[:2] for file in find()] == list(NOTEBOOKS)


def test_exercises_are_written_into_a_notebook() -> None:
    (file,) = FOLDER.glob("00_*.ipynb")
    notebook = read(file)
    for cell in exercise_cells(notebook):
        cell.source = "changed by hand"
    assert write_exercises(notebook, "00") == read(file)
    notebook.cells.remove(exercise_cells(notebook)[5])
    with pytest.raises(
        ValueError, match=r"has \d+ cells of exercises, build, project and quiz, and needs these \d+: .*def accuracy"
    ):
        write_exercises(notebook, "00")


def test_an_array_is_judged_with_its_first_wrong_number():
    right = np.array([[0.1, 2.0], [3.0, 4.0]])
    assert judge_array({}, right, right + 1.9e-6) is None, "near enough for an answer in float32"
    assert judge_array({}, right, right.tolist()) is None
    assert judge_array({}, right, [[0.1, 2.0], [3.5, 5.0]]) == "The number at [1, 0] should be 3, not 3.5."
    assert judge_array({}, np.float64(2.5), 3) == "The number should be 2.5, not 3."
    assert "shape" in str(judge_array({}, right, [1.0]))
