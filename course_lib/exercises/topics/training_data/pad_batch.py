"""Exercise: texts of different lengths become one rectangular batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, kind, plain, same


def pad_batch(token_id_lists: list[list[int]], pad_id: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make input_ids and attention_mask, both (n, longest); the mask is 1 on tokens, 0 on padding."""
    longest = max(len(ids) for ids in token_id_lists)
    input_ids = np.full((len(token_id_lists), longest), pad_id)
    attention_mask = np.zeros((len(token_id_lists), longest), dtype=int)
    for row, ids in enumerate(token_id_lists):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    return input_ids, attention_mask


def _cases() -> list[Case]:
    return [
        {"token_id_lists": [[101, 7, 102], [101, 102]]},
        {"token_id_lists": [[5], [6, 7, 8, 9], [3, 4]], "pad_id": 1},
        {"token_id_lists": [[4, 1, 4], [1, 4]], "pad_id": 1},  # a real token with the number of the padding
        {"token_id_lists": [[0, 9], [9, 0, 0, 9]], "pad_id": 0},
        {"token_id_lists": [[2, 3], [4, 5]], "pad_id": 0},  # nothing to pad
        {"token_id_lists": [[8]], "pad_id": 3},
        {"token_id_lists": [[], [12, 13, 14], [11]], "pad_id": 2},
        {"token_id_lists": [list(range(1, 12)), [30522], list(range(90, 70, -3))], "pad_id": 99},
    ]


def _part_problem(name: str, expected: np.ndarray, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return f"{name}: {problem}"
    if np.asarray(plain(got)).dtype.kind == "f":
        return f"{name} holds floats. Token ids and masks are whole numbers."
    return None if same(expected, got) else f"{name} is not right."


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if not isinstance(got, tuple | list) or len(got) != 2:
        return f"The result should be a pair, input_ids and attention_mask, but it is {kind(got)}."
    names = ("input_ids", "attention_mask")
    problems = (_part_problem(n, e, g) for n, e, g in zip(names, expected, got, strict=True))
    return next((problem for problem in problems if problem), None)


Pair = tuple[np.ndarray, np.ndarray]


def _left(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    ids, mask = pad_batch([one[::-1] for one in token_id_lists], pad_id)
    return ids[:, ::-1], mask[:, ::-1]


def _mask_of_ones(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    ids, mask = pad_batch(token_id_lists, pad_id)
    return ids, np.ones_like(mask)


def _mask_upside_down(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    ids, mask = pad_batch(token_id_lists, pad_id)
    return ids, 1 - mask


def _mask_from_ids(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    ids, _ = pad_batch(token_id_lists, pad_id)
    return ids, (ids != pad_id).astype(int)


def _mask_from_zero(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    ids, _ = pad_batch(token_id_lists, pad_id)
    return ids, (ids != 0).astype(int)


def _always_zero(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    return pad_batch(token_id_lists, 0)


def _cut_to_shortest(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    shortest = min(len(one) for one in token_id_lists)
    return pad_batch([one[:shortest] for one in token_id_lists], pad_id)


def _one_too_long(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    ids, mask = pad_batch(token_id_lists, pad_id)
    return np.pad(ids, ((0, 0), (0, 1)), constant_values=pad_id), np.pad(mask, ((0, 0), (0, 1)))


def _to_fixed_length(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    ids, mask = pad_batch([*token_id_lists, [0] * 512], pad_id)
    return ids[:-1], mask[:-1]


def _floats(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    ids, mask = pad_batch(token_id_lists, pad_id)
    return ids.astype(float), mask.astype(float)


def _no_mask(token_id_lists: list[list[int]], pad_id: int = 0) -> np.ndarray:
    return pad_batch(token_id_lists, pad_id)[0]


def _mask_first(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    return pad_batch(token_id_lists, pad_id)[::-1]


def _in_place(token_id_lists: list[list[int]], pad_id: int = 0) -> Pair:
    pair = pad_batch(token_id_lists, pad_id)
    for one in token_id_lists:
        one.extend([pad_id] * (pair[0].shape[1] - len(one)))
    return pair


EXERCISE = Exercise(
    reference=pad_batch,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_left, "The padding stands on the left. Put it at the end of each row."),
        WrongFunction(_mask_of_ones, "The mask is 1 everywhere, so attention reads the padding too."),
        WrongFunction(_mask_upside_down, "The mask is upside down: 1 is for tokens, 0 for padding."),
        WrongFunction(
            _mask_from_ids,
            "The mask is guessed from the ids. A real token can have the number of the padding: use the lengths.",
        ),
        WrongFunction(_mask_from_zero, "The mask is 0 where the id is 0. The padding may have another number, pad_id."),
        WrongFunction(_always_zero, "You pad with 0 always. Pad with pad_id."),
        WrongFunction(_cut_to_shortest, "You cut all texts to the shortest. Pad them to the longest; lose nothing."),
        WrongFunction(_one_too_long, "The rectangle is one column too wide. The longest text needs no padding."),
        WrongFunction(
            _to_fixed_length,
            "You pad to a fixed length of 512. Pad to the longest text of this batch: the rest is wasted work.",
        ),
        WrongFunction(_floats, "These are floats. Token ids are row numbers of a table: use dtype=int."),
        WrongFunction(_no_mask, "The mask is missing. Give the pair input_ids, attention_mask."),
        WrongFunction(_mask_first, "The pair is the wrong way round: input_ids first, then attention_mask."),
        WrongFunction(_in_place, "Your function changes the lists it was given. Write into new arrays."),
    ),
)
