"""Exercise: batches of texts of like length, so that little padding is needed."""

from __future__ import annotations

from typing import Any

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import as_whole_numbers, kind, plain


def length_buckets(lengths: list[int], batch_size: int) -> list[list[int]]:
    """Share out the indices 0..n-1 into batches of texts of like length; only one batch may be smaller."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _cases() -> list[Case]:
    return [
        {"lengths": [9, 2, 8, 3], "batch_size": 2},
        {"lengths": [5, 12, 5, 11, 6, 12], "batch_size": 2},
        {"lengths": [30, 4, 100, 7, 25], "batch_size": 2},  # as strings, 100 < 25 < 30 < 4 < 7
        {"lengths": [3, 3, 3, 3, 3, 3, 3], "batch_size": 3},
        {"lengths": [1, 50, 2, 51, 3, 52, 4, 53, 5], "batch_size": 3},
        {"lengths": [7, 1, 4], "batch_size": 1},
        {"lengths": [7, 1, 4], "batch_size": 8},
        {"lengths": [(37 * k) % 101 + 1 for k in range(40)], "batch_size": 8},
        {"lengths": [(29 * k) % 53 + 1 for k in range(23)], "batch_size": 4},
    ]


def _padding(batches: list[list[int]], lengths: list[int]) -> int:
    """Places of padding if each batch is as wide as its longest text."""
    return sum(max(lengths[i] for i in batch) * len(batch) - sum(lengths[i] for i in batch) for batch in batches)


def _most_padding(lengths: list[int], batch_size: int) -> int:
    """Padding of the worse of two good answers: sorted upwards, sorted downwards (the smaller batch is elsewhere)."""
    return max(
        _padding(length_buckets(lengths, batch_size), lengths),
        _padding(length_buckets([-length for length in lengths], batch_size), lengths),
    )


def _batches(got: Any) -> list[list[int]] | None:
    rows = plain(got)
    batches = [as_whole_numbers(row) for row in rows] if isinstance(rows, list) else [None]
    whole = [batch for batch in batches if batch is not None]
    return whole if len(whole) == len(batches) else None


def _form_problem(batches: list[list[int]], n: int, batch_size: int) -> str | None:
    """What is wrong with the batches whatever the lengths are: an index lost or doubled, a wrong size."""
    flat = sorted(index for batch in batches for index in batch)
    if strange := [index for index in flat if not 0 <= index < n]:
        return f"There is no index {strange[0]}: the indices run from 0 to {n - 1}."
    if lost := [index for index in range(n) if index not in flat]:
        return f"Index {lost[0]} is in no batch."
    if len(flat) > n:
        return f"Index {next(i for i in flat if flat.count(i) > 1)} stands there more than once."
    if any(len(batch) > batch_size for batch in batches):
        return f"A batch holds more than {batch_size} indices."
    if [] in batches:
        return "There is an empty batch."
    if sum(len(batch) < batch_size for batch in batches) > 1:
        return f"More than one batch holds fewer than {batch_size} indices."
    return None


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    lengths, batch_size = case["lengths"], case["batch_size"]
    batches = _batches(got)
    if batches is None:
        return f"The result should be a list of lists of indices, but it is {kind(got)}."
    if problem := _form_problem(batches, len(lengths), batch_size):
        return problem
    padding, most = _padding(batches, lengths), _most_padding(lengths, batch_size)
    if padding > most:
        return f"Your batches need {padding} places of padding; {most} are enough."
    return None


def _chunks(order: list[int], size: int) -> list[list[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def _unsorted(lengths: list[int], batch_size: int) -> list[list[int]]:
    return _chunks(list(range(len(lengths))), batch_size)


def _sorted_inside(lengths: list[int], batch_size: int) -> list[list[int]]:
    return [sorted(batch, key=lambda i: lengths[i]) for batch in _unsorted(lengths, batch_size)]


def _lengths_not_indices(lengths: list[int], batch_size: int) -> list[list[int]]:
    return _chunks(sorted(lengths), batch_size)


def _drops_the_rest(lengths: list[int], batch_size: int) -> list[list[int]]:
    return [batch for batch in length_buckets(lengths, batch_size) if len(batch) == batch_size]


def _same_length_only(lengths: list[int], batch_size: int) -> list[list[int]]:
    groups = [[i for i, other in enumerate(lengths) if other == one] for one in sorted(set(lengths))]
    return [chunk for group in groups for chunk in _chunks(group, batch_size)]


def _overlapping(lengths: list[int], batch_size: int) -> list[list[int]]:
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    return [order[start : start + batch_size + 1] for start in range(0, len(order), batch_size)]


def _one_batch(lengths: list[int], batch_size: int) -> list[list[int]]:
    return [sorted(range(len(lengths)), key=lambda i: lengths[i])]


def _flat(lengths: list[int], batch_size: int) -> list[int]:
    return sorted(range(len(lengths)), key=lambda i: lengths[i])


def _dealt_out(lengths: list[int], batch_size: int) -> list[list[int]]:
    order = _flat(lengths, batch_size)
    count = -(-len(order) // batch_size)
    return [order[start::count] for start in range(count)]


def _as_strings(lengths: list[int], batch_size: int) -> list[list[int]]:
    return _chunks(sorted(range(len(lengths)), key=lambda i: str(lengths[i])), batch_size)


def _batch_count(lengths: list[int], batch_size: int) -> list[list[int]]:
    order = _flat(lengths, batch_size)
    size = -(-len(order) // batch_size)
    return _chunks(order, size)


def _looked_up(lengths: list[int], batch_size: int) -> list[list[int]]:
    ordered = sorted(lengths)
    return _chunks([lengths.index(length) for length in ordered], batch_size)


EXERCISE = Exercise(
    reference=length_buckets,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_unsorted, "You cut the texts in the order in which they come. Sort by length before you cut."),
        WrongFunction(_sorted_inside, "You cut first and sort inside each batch. Sort first, then cut."),
        WrongFunction(_lengths_not_indices, "These are lengths. Give indices: which text, not how long it is."),
        WrongFunction(_drops_the_rest, "You drop the last batch where it is not full. Every text counts."),
        WrongFunction(
            _same_length_only,
            "You put only texts of equal length together, so many batches are small. Fill each up to batch_size.",
        ),
        WrongFunction(
            _overlapping,
            "Your batches overlap: the last index of one is the first of the next. A slice ends before its end.",
        ),
        WrongFunction(_one_batch, "All texts are in one batch. Cut the sorted indices every batch_size places."),
        WrongFunction(_flat, "The indices are sorted, but not yet cut: a list of lists is wanted."),
        WrongFunction(
            _dealt_out,
            "You deal the sorted indices out like cards, so every batch gets short and long texts. Cut slices instead.",
        ),
        WrongFunction(
            _as_strings, 'You sort the lengths as text, where "100" comes before "25". Sort them as numbers.'
        ),
        WrongFunction(
            _batch_count, "You take batch_size as the number of batches. It is how many texts one batch holds."
        ),
        WrongFunction(
            _looked_up,
            "You sort the lengths and look up where each one stood. Equal lengths then all give the same index.",
        ),
    ),
)
