"""Exercises: references are right, wrong answers are caught by name, cells show the tested text."""

from __future__ import annotations

import itertools
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from answers import assert_all_pass, assert_none_passes, assert_recognised
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_cells import NOTEBOOKS as FOLDER
from notebook_cells import exercise_cells, find, read, write_exercises

from course_lib.errors import BadInput, CourseError
from course_lib.exercises import (
    ClaimFailed,
    blocks,
    check,
    check_cell,
    claim,
    quiz,
    reference,
    show,
    stub,
)
from course_lib.exercises.catalogue import EXERCISES, NOTEBOOKS, number_of, of_notebook, quiz_of
from course_lib.exercises.cells import of_notebook as cells_of_notebook
from course_lib.exercises.checking import examine
from course_lib.exercises.exercise import edited
from course_lib.exercises.texts import LETTERS, exercise_texts
from course_lib.exercises.trial import MOST_STEPS, is_stub
from course_lib.exercises.values import WIDEST, brief

NAMES = list(EXERCISES)


def defined_by(source: str, name: str) -> Callable[..., Any]:
    """What a learner has after running the cell `source`: nothing but `np` is imported before."""
    scope: dict[str, Any] = {"np": np}
    exec(source, scope)
    function = scope[name]
    assert callable(function)
    return function


# ---------------------------------------------------------------- every exercise


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_an_exercise(name: str) -> None:
    exercise = EXERCISES[name]
    text = exercise.text
    assert 1 <= text.minutes <= 30
    assert len(set(text.hints)) == len(text.hints) == 3
    assert len(text.mistakes) >= 3
    assert len(exercise.cases()) >= 5
    assert text.task.startswith("**Why it matters.** ")
    why, task = text.task.split("\n\n**Your task.** ")
    for part in (why, task, *text.hints):
        assert len(part) > 40
        assert part[-1] in ".?`"
    assert exercise.solution.splitlines()[-1].strip() not in "".join(text.hints)


def test_every_text_has_its_exercise_in_the_same_order() -> None:
    assert list(EXERCISES) == [
        name
        for modules in NOTEBOOKS.values()
        for module in modules
        for name in exercise_texts(module.__name__.rpartition(".")[2])
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_edit_of_a_solution_matches_once_and_changes_it(name: str) -> None:
    exercise = EXERCISES[name]
    assert len(exercise.wrong_answers) == len(exercise.text.mistakes), "two mistakes share a message"
    for mistake in exercise.text.mistakes:
        assert all(old != new for old, new in mistake.edits)


@pytest.mark.parametrize(("old", "times"), [("logits", 4), ("no such text", 0)])
def test_an_edit_that_does_not_match_once(old: str, times: int) -> None:
    with pytest.raises(BadInput, match=f"'{old}' occurs {times} times in softmax"):
        edited(reference.softmax, [("powers.sum", "powers.max"), (old, "x")])


@pytest.mark.parametrize("name", NAMES)
def test_reference_passes(name: str) -> None:
    verdict = getattr(check, name)(getattr(reference, name))
    assert verdict.status == "passed", verdict
    assert re.fullmatch(rf"passed: {name} is right on all \d+ cases\.", repr(verdict))


@pytest.mark.parametrize("name", NAMES)
def test_solution_shown_is_the_tested_one(name: str) -> None:
    shown = re.search(r"<summary>Solution</summary>\n\n```python\n(.*?)```", blocks(name)[3]["source"], re.S)
    assert shown is not None
    assert getattr(check, name)(defined_by(shown[1], name)).status == "passed"


@pytest.mark.parametrize("name", NAMES)
def test_stub_is_not_attempted_and_the_notebook_goes_on(name: str) -> None:
    function = defined_by(stub(name), name)
    assert function.__doc__ == getattr(reference, name).__doc__
    checker = getattr(check, name)
    assert checker(function).status == "not attempted"
    stand_in = checker.or_reference(function)
    case = EXERCISES[name].cases()[0]
    assert brief(stand_in(*case.values())) == brief(getattr(reference, name)(*case.values()))
    assert checker(stand_in) == checker(function), "running the check cell twice must not turn into a pass"


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answers_get_their_own_messages(name: str, recwarn: pytest.WarningsRecorder) -> None:
    for message, function in EXERCISES[name].wrong_answers.items():
        verdict = getattr(check, name)(function)
        assert verdict.status == "wrong", message
        assert verdict.message.startswith(message + "\n"), (message, verdict)
        for part in ("    given     ", "    expected  ", "    got       "):
            assert part in verdict.message, message
    assert not recwarn.list, "a warning of NumPy reaches the learner"


@pytest.mark.parametrize("name", NAMES)
def test_messages_of_an_exercise_differ(name: str) -> None:
    mistakes = EXERCISES[name].text.mistakes
    assert len({mistake.message.split(".")[0] for mistake in mistakes}) == len(mistakes)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answer_is_also_caught_without_its_message(name: str) -> None:
    """The judge alone must reject it: recognising a mistake only words a rejection, it does not make one."""
    for message, function in EXERCISES[name].wrong_answers.items():
        verdict = examine(EXERCISES[name], function, known={})
        assert verdict.status == "wrong", message
        assert message not in verdict.message or "changes" in message


@pytest.mark.parametrize("name", NAMES)
def test_results_of_wrong_type_or_shape(name: str) -> None:
    numbers = ([], (), -1.5, True, float("nan"), np.zeros((2, 2, 2)), [["a"], [None]], [[1, 2], [3]], (None, None))
    for result in ("text", {}, object(), *numbers):
        verdict = getattr(check, name)(lambda *arguments, result=result: result)
        assert verdict.status == "wrong", result
        if isinstance(result, str | dict) or type(result) is object:
            assert verdict.message.startswith("The result should"), verdict


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_raises(name: str) -> None:
    def broken(*arguments: Any) -> Any:
        found = {"a": 1}
        return found["no such key"]

    verdict = getattr(check, name)(broken)
    assert verdict.status == "wrong"
    assert verdict.message.startswith("Your function raised KeyError (in its line 3).")
    assert "got       KeyError: 'no such key'" in verdict.message
    assert f"given     {next(iter(EXERCISES[name].cases()[0]))} = " in verdict.message


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_with_too_few_parameters(name: str) -> None:
    verdict = getattr(check, name)(lambda: 1)
    assert verdict.message.startswith("Your function raised TypeError.")


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_forgets_to_return(name: str) -> None:
    def silent(*arguments: Any) -> None:
        getattr(reference, name)(*arguments)

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
    assert MOST_STEPS <= 10**6, "a learner should not wait for longer than a second or two"
    for answer in (endless, one_line):
        assert check.word_pieces(answer).message.startswith("Your function does not come to an end.")
    assert sys.gettrace() is None


def test_an_answer_that_changes_its_input() -> None:
    def sorts_in_place(lengths: list[int], batch_size: int) -> list[list[int]]:
        result: list[list[int]] = reference.length_buckets(lengths, batch_size)
        lengths.sort()
        return result

    def in_place(logits: np.ndarray) -> np.ndarray:
        if logits.dtype.kind == "f":
            logits -= logits.max(axis=1, keepdims=True)
        result: np.ndarray = reference.softmax(logits)
        return result

    assert check.length_buckets(sorts_in_place).message.startswith("Your function changes the values it was given.")
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


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_learned_by_heart_fails(name: str) -> None:
    """Knowing the results of any one case, and giving them always, is not enough."""
    for case in EXERCISES[name].cases():
        known = getattr(reference, name)(*case.values())
        assert getattr(check, name)(lambda *arguments, known=known: known).status == "wrong"


# ---------------------------------------------------------------- alternative right answers


def softmax_in_loops(logits: Any) -> list[list[float]]:
    rows = []
    for row in logits:
        top = max(row)
        powers = [math.exp(value - top) for value in row]
        rows.append([power / sum(powers) for power in powers])
    return rows


def softmax_by_logarithms(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, None])


def softmax_row_by_row(logits: np.ndarray) -> np.ndarray:
    result = np.empty(logits.shape, dtype=np.float32)
    for number in range(len(logits)):
        powers = np.exp(logits[number] - np.max(logits[number]))
        result[number] = powers / np.sum(powers)
    return result


def accuracy_in_a_loop(predictions: Any, labels: Any) -> float:
    hits = 0
    for one, other in zip(predictions, labels, strict=True):
        if one == other:
            hits += 1
    return hits / len(labels)


def accuracy_as_numpy(predictions: np.ndarray, labels: np.ndarray) -> Any:
    return 1 - np.count_nonzero(predictions - labels) / labels.size


def pieces_downwards(word: str, vocabulary: set[str]) -> list[str]:
    pieces, start = [], 0
    while start < len(word):
        end = len(word)
        piece = None
        while end > start:
            candidate = word[start:end] if start == 0 else "##" + word[start:end]
            if candidate in vocabulary:
                piece = candidate
                break
            end -= 1
        if piece is None:
            return ["[UNK]"]
        pieces.append(piece)
        start = end
    return pieces


def pieces_by_startswith(word: str, vocabulary: set[str]) -> tuple[str, ...]:
    rest, pieces = word, ()
    while rest:
        mark = "##" if pieces else ""
        fits = [p for p in vocabulary if (mark + rest).startswith(p) and p != mark and p.startswith(mark)]
        if not fits:
            return ("[UNK]",)
        pieces += (max(fits, key=len),)
        rest = rest[len(pieces[-1]) - len(mark) :]
    return pieces


def pieces_by_recursion(word: str, vocabulary: set[str]) -> list[str]:
    def cut(mark: str, rest: str) -> list[str] | None:
        if not rest:
            return []
        for end in range(len(rest), 0, -1):
            if mark + rest[:end] in vocabulary:
                tail = cut("##", rest[end:])
                return None if tail is None else [mark + rest[:end], *tail]
        return None

    found = cut("", word)
    return ["[UNK]"] if found is None else found


def leaks_by_regular_expression(train_texts: list[str], test_texts: list[str]) -> list[int]:
    seen = [re.findall(r"\w+", text.casefold()) for text in train_texts]
    found = []
    for position in range(len(test_texts)):
        if re.findall(r"\w+", test_texts[position].casefold()) in seen:
            found.append(position)
    return found


def leaks_as_array(train_texts: list[str], test_texts: list[str]) -> Any:
    def words(text: str) -> str:
        return re.sub(r"\W+", " ", text.lower()).strip()

    return np.flatnonzero([words(text) in {words(other) for other in train_texts} for text in test_texts])


def soft_label_in_a_loop(ratings: Any, sharpness: float = 2.0) -> list[list[float]]:
    rows = []
    for rating in ratings:
        positive = 1 / (1 + math.exp(-sharpness * rating))
        rows.append([1 - positive, positive])
    return rows


def soft_label_by_softmax(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return softmax_row_by_row(np.column_stack([-ratings, ratings]) * sharpness / 2).astype(np.float32)


def pad_with_lists(token_id_lists: list[list[int]], pad_id: int = 0) -> list[list[list[int]]]:
    width = max(map(len, token_id_lists))
    ids = [one + [pad_id] * (width - len(one)) for one in token_id_lists]
    return [ids, [[1] * len(one) + [0] * (width - len(one)) for one in token_id_lists]]


def pad_with_boolean_mask(token_id_lists: list[list[int]], pad_id: int = 0) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(one) for one in token_id_lists])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int32)
    ids[mask] = np.concatenate(token_id_lists).astype(np.int32)
    return ids, mask


def pad_with_torch(token_id_lists: list[list[int]], pad_id: int = 0) -> Any:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.tensor(one, dtype=torch.long) for one in token_id_lists]
    ids = pad_sequence(rows, batch_first=True, padding_value=pad_id)
    return ids, pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)


def buckets_downwards(lengths: list[int], batch_size: int) -> list[list[int]]:
    order = list(np.argsort(lengths)[::-1])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def buckets_as_arrays(lengths: list[int], batch_size: int) -> list[np.ndarray]:
    order = np.argsort(lengths, kind="stable")
    return np.split(order, range(batch_size, len(order), batch_size))


def buckets_in_a_loop(lengths: list[int], batch_size: int) -> list[tuple[int, ...]]:
    batches: list[tuple[int, ...]] = []
    batch: tuple[int, ...] = ()
    for _, index in sorted((length, index) for index, length in enumerate(lengths)):
        batch = (*batch, index)
        if len(batch) == batch_size:
            batches.append(batch)
            batch = ()
    return [*batches[::-1], batch] if batch else batches[::-1]


def rate_by_minimum(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    rising = (step + 1) / (warmup_steps + 1)
    return peak * min(rising, (total_steps - step) / (total_steps - warmup_steps))


def rate_by_interpolation(step: int, total_steps: int, warmup_steps: int, peak: float) -> Any:
    return np.interp(step, [-1, warmup_steps, total_steps], [0, peak, 0])


def ece_by_bin_number(confidence: np.ndarray, correct: np.ndarray, bins: int) -> Any:
    number = np.ceil(confidence * bins)
    gaps = [abs(np.sum(correct[number == one] - confidence[number == one])) for one in range(1, bins + 1)]
    return np.sum(gaps) / len(confidence)


def ece_in_loops(confidence: Any, correct: Any, bins: int) -> float:
    held: dict[int, list[tuple[float, float]]] = {}
    for sure, right in zip(confidence, correct, strict=True):
        number = next(k for k in range(bins) if sure <= (k + 1) / bins)
        held.setdefault(number, []).append((float(sure), float(right)))
    total = 0.0
    for pairs in held.values():
        sure = sum(pair[0] for pair in pairs) / len(pairs)
        right = sum(pair[1] for pair in pairs) / len(pairs)
        total += len(pairs) / len(confidence) * abs(right - sure)
    return total


def ece_by_edges(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    number = np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True)
    return float(sum((number == k).mean() * abs((correct - confidence)[number == k].mean()) for k in set(number)))


RIGHT: dict[str, list[Callable[..., Any]]] = {
    "softmax": [softmax_in_loops, softmax_by_logarithms, softmax_row_by_row],
    "accuracy": [accuracy_in_a_loop, accuracy_as_numpy],
    "word_pieces": [pieces_downwards, pieces_by_startswith, pieces_by_recursion],
    "find_leaks": [leaks_by_regular_expression, leaks_as_array],
    "soft_label": [soft_label_in_a_loop, soft_label_by_softmax],
    "pad_batch": [pad_with_lists, pad_with_boolean_mask, pad_with_torch],
    "length_buckets": [buckets_downwards, buckets_as_arrays, buckets_in_a_loop],
    "warmup_linear": [rate_by_minimum, rate_by_interpolation],
    "expected_calibration_error": [ece_by_bin_number, ece_in_loops, ece_by_edges],
}


def test_every_exercise_has_other_right_and_sly_answers() -> None:
    """Those of notebooks 01 and 02 stand in test_exercises_notebook01.py and test_exercises_notebook02.py."""
    assert list(RIGHT) == list(SLY) == [e.name for number in ("00", "03") for e in of_notebook(number)]
    assert set(NAMES) == {e.name for number in NOTEBOOKS for e in of_notebook(number)}


@pytest.mark.parametrize("name", RIGHT)
def test_other_right_answers_pass(name: str) -> None:
    assert_all_pass(name, RIGHT[name])


# ---------------------------------------------------------------- mistakes in other words than the stored ones


def no_maximum_in_loops(logits: np.ndarray) -> np.ndarray:
    return np.array([[np.exp(v) / sum(np.exp(w) for w in row) for v in row] for row in logits])


def columns_by_transposing(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def per_cent_in_a_loop(predictions: Any, labels: Any) -> float:
    return sum(100 for one, other in zip(predictions, labels, strict=True) if one == other) / len(labels)


def shortest_in_a_loop(word: str, vocabulary: set[str]) -> list[str]:
    pieces, start, end = [], 0, 1
    while start < len(word):
        candidate = ("##" if start else "") + word[start:end]
        if candidate in vocabulary:
            pieces.append(candidate)
            start, end = end, end + 1
        elif end == len(word):
            return ["[UNK]"]
        else:
            end += 1
    return pieces


def lower_only(train_texts: list[str], test_texts: list[str]) -> list[int]:
    return [i for i in range(len(test_texts)) if test_texts[i].casefold() in [t.casefold() for t in train_texts]]


def columns_swapped(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    positive = 1 / (1 + np.exp(-sharpness * ratings))
    return np.column_stack([positive, 1 - positive])


def mask_by_comparison(token_id_lists: list[list[int]], pad_id: int = 0) -> Any:
    width = max(map(len, token_id_lists))
    ids = [one + [pad_id] * (width - len(one)) for one in token_id_lists]
    return ids, [[int(token != pad_id) for token in row] for row in ids]


def as_they_come(lengths: list[int], batch_size: int) -> list[np.ndarray]:
    return np.split(np.arange(len(lengths)), range(batch_size, len(lengths), batch_size))


def like_transformers(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    """The schedule of transformers.get_linear_schedule_with_warmup: step 0 has rate 0."""
    if step < warmup_steps:
        return peak * step / max(1, warmup_steps)
    return peak * max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))


def upper_bin(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(np.mean(number == k) * abs((correct - confidence)[number == k].mean()) for k in set(number))


@pytest.mark.parametrize(
    ("answer", "name", "words"),
    [
        (no_maximum_in_loops, "softmax", "exp() overflows"),
        (columns_by_transposing, "softmax", "Each column adds up to 1"),
        (per_cent_in_a_loop, "accuracy", "per cent"),
        (shortest_in_a_loop, "word_pieces", "shortest piece"),
        (lower_only, "find_leaks", "Only capital letters"),
        (columns_swapped, "soft_label", "come out as negative"),
        (mask_by_comparison, "pad_batch", "guessed from the ids"),
        (as_they_come, "length_buckets", "in the order in which they come"),
        (like_transformers, "warmup_linear", "Step 0 has rate 0"),
        (upper_bin, "expected_calibration_error", "The bin below should hold it"),
    ],
)
def test_a_mistake_written_in_another_way_is_recognised(answer: Callable[..., Any], name: str, words: str) -> None:
    assert_recognised(name, answer, words)


# ---------------------------------------------------------------- sly answers, right on most cases


def words_by_ascii(train_texts: list[str], test_texts: list[str]) -> list[int]:
    seen = [re.findall("[a-z0-9]+", text.lower()) for text in train_texts]
    return [p for p, text in enumerate(test_texts) if re.findall("[a-z0-9]+", text.lower()) in seen]


def rows_in_order_of_length(token_id_lists: list[list[int]], pad_id: int = 0) -> Any:
    return reference.pad_batch(sorted(token_id_lists, key=len), pad_id)


def ids_in_eight_bits(token_id_lists: list[list[int]], pad_id: int = 0) -> Any:
    ids, mask = reference.pad_batch(token_id_lists, pad_id)
    return ids.astype(np.int8), mask


def small_pieces_only(word: str, vocabulary: set[str]) -> list[str]:
    return list(reference.word_pieces(word, {piece for piece in vocabulary if len(piece) < 9}))


def mark_from_the_third_letter(word: str, vocabulary: set[str]) -> list[str]:
    pieces, start = [], 0
    while start < len(word):
        mark = "##" if start > 1 else ""
        ends = [e for e in range(start + 1, len(word) + 1) if mark + word[start:e] in vocabulary]
        if not ends:
            return ["[UNK]"]
        pieces.append(mark + word[start : max(ends)])
        start = max(ends)
    return pieces


SLY: dict[str, list[Callable[..., Any]]] = {
    "softmax": [
        lambda logits: no_maximum_in_loops(np.clip(logits, -500, 500)),
        lambda logits: np.nan_to_num(no_maximum_in_loops(logits)),
        lambda logits: no_maximum_in_loops(logits - logits.mean(axis=1, keepdims=True)),
        lambda logits: no_maximum_in_loops(logits - logits.min(axis=1, keepdims=True)),
        lambda logits: reference.softmax(logits).round(2),
        lambda logits: reference.softmax(logits) * np.where(logits > 0, 1.001, 1),
        lambda logits: np.eye(logits.shape[1])[logits.argmax(axis=1)],
        lambda logits: reference.softmax(logits)[0],
        lambda logits: reference.softmax(logits.astype(np.float16)).astype(np.float16),
    ],
    "accuracy": [
        lambda predictions, labels: len(set(predictions) & set(labels)) / len(set(labels)),
        lambda predictions, labels: round(accuracy_in_a_loop(predictions, labels), 3),
        lambda predictions, labels: accuracy_in_a_loop(predictions[1:], labels[1:]) if len(labels) > 1 else 0.0,
        lambda predictions, labels: accuracy_in_a_loop(predictions > 0, labels > 0),
        lambda predictions, labels: accuracy_in_a_loop(sorted(predictions), sorted(labels)),
        lambda predictions, labels: [accuracy_in_a_loop(predictions, labels)],
        lambda predictions, labels: str(accuracy_in_a_loop(predictions, labels)),
    ],
    "word_pieces": [
        small_pieces_only,
        mark_from_the_third_letter,
        lambda word, vocabulary: reference.word_pieces(word, vocabulary)[:2],
        lambda word, vocabulary: set(reference.word_pieces(word, vocabulary)),
        lambda word, vocabulary: " ".join(reference.word_pieces(word, vocabulary)),
    ],
    "find_leaks": [
        words_by_ascii,
        lambda train, test: leaks_by_regular_expression(train[:1], test),
        lambda train, test: leaks_by_regular_expression([re.sub(r"\d", "", t) for t in train], test),
        lambda train, test: leaks_by_regular_expression(train, [re.sub(r"\d", "", t) for t in test]),
        lambda train, test: leaks_by_regular_expression(train, test)[::-1],
        lambda train, test: [p + 1 for p in leaks_by_regular_expression(train, test)],
        lambda train, test: leaks_by_regular_expression(train, test) * 2,
        lambda train, test: [float(p) for p in leaks_by_regular_expression(train, test)],
    ],
    "soft_label": [
        lambda ratings, sharpness=1.0: reference.soft_label(ratings, sharpness),
        lambda ratings, sharpness=2.0: reference.soft_label(np.clip(ratings, -1, 1), sharpness),
        lambda ratings, sharpness=2.0: reference.soft_label(ratings, sharpness).round(3),
        lambda ratings, sharpness=2.0: reference.soft_label(ratings + 1e-3, sharpness),
    ],
    "pad_batch": [
        rows_in_order_of_length,
        ids_in_eight_bits,
        lambda lists, pad_id=0: reference.pad_batch([one[:10] for one in lists], pad_id),
        lambda lists, pad_id=0: reference.pad_batch([one[::-1] for one in lists], pad_id),
        lambda lists, pad_id=0: reference.pad_batch([one for one in lists if one], pad_id),
        lambda lists, pad_id=0: (*reference.pad_batch(lists, pad_id), pad_id),
        lambda lists, pad_id=0: (reference.pad_batch(lists, pad_id)[0],) * 2,
        lambda lists, pad_id=0: dict(zip(("input_ids", "attention_mask"), pad_with_lists(lists, pad_id), strict=True)),
    ],
    "length_buckets": [
        lambda lengths, size: [list(range(len(lengths)))],
        lambda lengths, size: [[index] for index in range(len(lengths))],
        lambda lengths, size: [*reference.length_buckets(lengths, size), []],
        lambda lengths, size: [[index + 1 for index in batch] for batch in reference.length_buckets(lengths, size)],
        lambda lengths, size: [[index - len(lengths) for index in b] for b in reference.length_buckets(lengths, size)],
        lambda lengths, size: [[float(index) for index in batch] for batch in reference.length_buckets(lengths, size)],
        lambda lengths, size: [a.tolist() for a in np.array_split(np.argsort(lengths), -(-len(lengths) // size))],
        lambda lengths, size: reference.length_buckets([length // 20 for length in lengths], size),
        lambda lengths, size: reference.length_buckets(lengths, max(1, size - 1)),
        lambda lengths, size: reference.length_buckets(lengths, size)[::2],
    ],
    "warmup_linear": [
        lambda step, total, warmup, peak: rate_by_minimum(step + 1, total, warmup, peak),
        lambda step, total, warmup, peak: rate_by_minimum(max(0, step - 1), total, warmup, peak),
        lambda step, total, warmup, peak: rate_by_minimum(step, total + 1, warmup, peak),
        lambda step, total, warmup, peak: rate_by_minimum(step, total, max(1, warmup), peak),
        lambda step, total, warmup, peak: round(rate_by_minimum(step, total, warmup, peak), 3),
        lambda step, total, warmup, peak: peak * (1 - abs(step - warmup) / total),
        lambda step, total, warmup, peak: rate_by_minimum(step, total, warmup, peak) ** 2 / peak,
    ],
    "expected_calibration_error": [
        lambda confidence, correct, bins: ece_in_loops(confidence, correct, 10),
        lambda confidence, correct, bins: ece_in_loops(confidence, correct, bins + 1),
        lambda confidence, correct, bins: round(ece_in_loops(confidence, correct, bins), 3),
        lambda confidence, correct, bins: ece_in_loops(confidence, correct, bins) ** 0.5,
        lambda confidence, correct, bins: ece_in_loops(confidence / 2 + 0.5, correct, bins),
        lambda confidence, correct, bins: ece_in_loops(confidence, 1 - correct, bins),
    ],
}


@pytest.mark.parametrize("name", SLY)
def test_sly_wrong_answers_do_not_pass(name: str) -> None:
    assert_none_passes(name, SLY[name])


# ---------------------------------------------------------------- references against others' work and by hand

logits = st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=5).map(np.array)


@given(logits)
@settings(deadline=None)
def test_softmax_is_that_of_scipy(table: np.ndarray) -> None:
    from scipy.special import softmax

    np.testing.assert_allclose(reference.softmax(table), softmax(table, axis=1), atol=1e-12)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
@settings(deadline=None)
def test_accuracy_is_that_of_sklearn(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import accuracy_score

    predictions, labels = np.array(pairs).T
    assert reference.accuracy(predictions, labels) == pytest.approx(accuracy_score(labels, predictions))


def test_word_pieces_is_that_of_tokenizers() -> None:
    from tokenizers.models import WordPiece

    source = random.Random(0)
    unknown = 0
    for _ in range(300):
        pieces = {"".join(source.choices("abc", k=source.randint(1, 3))) for _ in range(5)}
        vocabulary = {*pieces, *("##" + "".join(source.choices("abc", k=source.randint(1, 2))) for _ in range(6))}
        word = "".join(source.choices("abc", k=source.randint(1, 7)))
        numbered = {piece: number for number, piece in enumerate(["[UNK]", *sorted(vocabulary)])}
        theirs = [token.value for token in WordPiece(numbered, unk_token="[UNK]").tokenize(word)]
        assert reference.word_pieces(word, vocabulary) == theirs
        unknown += theirs == ["[UNK]"]
    assert 50 < unknown < 250, "both outcomes must have been compared"


@given(st.lists(st.sampled_from(["Good film!", "good  film", "bad-film", "bad film", "film", "FILM..."])))
@settings(deadline=None)
def test_find_leaks_agrees_with_the_course_cleaning(texts: list[str]) -> None:
    from course_lib.cleaning import normalise

    train, test = texts[::2], texts[1::2]
    expected = [p for p, text in enumerate(test) if normalise(text) in set(map(normalise, train))]
    assert reference.find_leaks(train, test) == expected


@given(st.lists(st.floats(-4, 4), min_size=1), st.floats(0.1, 20))
@settings(deadline=None)
def test_soft_label_is_that_of_the_corpora(ratings: list[float], sharpness: float) -> None:
    from course_lib import corpora

    ours = reference.soft_label(np.array(ratings), sharpness)
    np.testing.assert_allclose(ours, corpora.soft_labels(np.array(ratings), sharpness), atol=1e-6)


def test_pad_batch_by_hand() -> None:
    ids, mask = reference.pad_batch([[101, 7, 102], [101, 102]])
    assert ids.tolist() == [[101, 7, 102], [101, 102, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert ids.dtype.kind == mask.dtype.kind == "i"


def padding(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> int:
    return sum(max(lengths[i] for i in batch) - lengths[j] for batch in batches for j in batch)


@given(st.lists(st.integers(1, 30), min_size=6, max_size=6))
@settings(deadline=None, max_examples=25)
def test_length_buckets_need_the_least_padding(lengths: list[int]) -> None:
    orders = itertools.permutations(range(6))
    least = min(padding([order[:2], order[2:4], order[4:]], lengths) for order in orders)
    assert padding(reference.length_buckets(lengths, 2), lengths) == least


def test_figures_in_the_task_of_length_buckets() -> None:
    assert padding([[1, 3], [2, 0]], [9, 2, 8, 3]) == 2
    assert padding([[0, 1], [2, 3]], [9, 2, 8, 3]) == 12
    assert padding(reference.length_buckets([9, 2, 8, 3], 2), [9, 2, 8, 3]) == 2


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_warmup_linear_is_the_schedule_of_the_course(warmup: float) -> None:
    from course_lib.training import TrainingConfig, learning_rate_at

    config = TrainingConfig(learning_rate=3e-4, warmup=warmup, schedule="linear")
    for step in range(50):
        ours = reference.warmup_linear(step, 50, round(warmup * 50), 3e-4)
        assert ours == pytest.approx(learning_rate_at(step, 50, config))


def test_warmup_linear_by_hand() -> None:
    rates = [reference.warmup_linear(step, 10, 4, 1.0) for step in range(10)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_expected_calibration_error_by_hand() -> None:
    ece = reference.expected_calibration_error
    assert ece(np.array([0.9, 0.9, 0.9, 0.3]), np.array([1, 1, 0, 1]), 2) == pytest.approx(0.35)
    assert ece(np.array([0.5, 0.5, 0.9]), np.array([1, 1, 0]), 2) == pytest.approx((2 * 0.5 + 0.9) / 3)
    assert ece(np.array([1.0, 1.0]), np.array([1, 1]), 10) == 0


@given(st.lists(st.tuples(st.integers(500, 998), st.booleans()), min_size=1), st.sampled_from([2, 4, 8, 15]))
@settings(deadline=None)
def test_expected_calibration_error_is_that_of_the_course(rows: list[tuple[int, bool]], bins: int) -> None:
    from course_lib.evaluation import calibration

    confidence = np.array([(sure + 0.5) / 1000 for sure, _ in rows])  # never on the edge of a bin
    correct = np.array([right for _, right in rows]).astype(int)
    theirs = calibration(np.stack([1 - confidence, confidence], axis=1), correct, bins=bins)
    assert reference.expected_calibration_error(confidence, correct, bins) == pytest.approx(theirs.ece, abs=1e-9)


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


def test_importing_needs_no_torch() -> None:
    code = "import sys, course_lib.exercises; print(*(m for m in ('torch', 'pandas', 'sklearn') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# ---------------------------------------------------------------- claims


def test_claim_that_holds(capsys: pytest.CaptureFixture[str]) -> None:
    claim("accuracy is above 0.80", True)
    claim("all rows add up", np.bool_(True))
    claim("all rows add up", np.array(True))
    assert capsys.readouterr().out == "holds: accuracy is above 0.80\n" + "holds: all rows add up\n" * 2


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
    questions = quiz_of(notebook)
    assert len(questions) == 5
    assert len({question.right for question in questions}) >= 3, "the right letter should not be guessable"
    for question in questions:
        assert 3 <= len(question.options) <= 4
        assert question.right in LETTERS[: len(question.options)]
        assert len({option.text for option in question.options}) == len(question.options)
        assert all(len(option.because) > 30 for option in question.options)
    text = quiz(notebook)["source"]
    assert text.count("<details><summary>Answer</summary>") == text.count("</details>") == 5
    assert text.count(" Right: ") == 5
    assert text.count(" Wrong: ") == sum(len(question.options) - 1 for question in questions)
    assert " Right: " not in re.sub(r"<details>.*?</details>", "", text, flags=re.S)


def test_quiz_of_a_notebook_without_one() -> None:
    with pytest.raises(BadInput, match="'99' has no quiz"):
        quiz_of("99")


# ---------------------------------------------------------------- cells, and the notebooks that hold them


@pytest.mark.parametrize("name", NAMES)
def test_blocks(name: str) -> None:
    task, stub_cell, checking, hints = blocks(name)
    text = EXERCISES[name].text
    assert task["source"].startswith(f"### Exercise {number_of(name)}: {text.title}\n")
    for part in (f"({text.difficulty} of 5)", f"{text.minutes} minutes", text.task):
        assert part in task["source"]
    assert stub_cell["tags"] == ["exercise"]
    assert stub_cell["source"].startswith(f"def {name}(")
    assert stub_cell["source"].endswith('"""\n    ...')
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
def test_check_cell_runs(name: str) -> None:
    _, first, second = check_cell(name).splitlines()
    scope: dict[str, Any] = {"np": np, "check": check}
    exec(stub(name), scope)
    for _ in range(2):  # running the cell again changes nothing
        exec(first, scope)
        assert eval(second, scope).status == "not attempted"
    exec(EXERCISES[name].solution, scope)
    exec(first, scope)
    assert eval(second, scope).status == "passed"


def test_show() -> None:
    page = show("softmax")
    assert stub("softmax") in repr(page)
    assert blocks("softmax")[3]["source"] in page._repr_markdown_()
    with pytest.raises(AttributeError, match="no exercise named 'nothing'"):
        show("nothing")


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
        assert [cell.metadata.get("tags", []) for cell in cells[start : start + 4]] == [
            ["exercise-task"],
            ["exercise"],
            ["exercise-check"],
            ["exercise-hints"],
        ]


def test_every_notebook_is_in_the_table() -> None:
    assert [file.name[:2] for file in find()] == list(NOTEBOOKS)


def test_exercises_are_written_into_a_notebook() -> None:
    (file,) = FOLDER.glob("00_*.ipynb")
    notebook = read(file)
    for cell in exercise_cells(notebook):
        cell.source = "changed by hand"
    assert write_exercises(notebook, "00") == read(file)
    notebook.cells.remove(exercise_cells(notebook)[5])
    with pytest.raises(ValueError, match=r"has 12 cells of exercises and quiz, and needs these 13: .*def accuracy"):
        write_exercises(notebook, "00")
