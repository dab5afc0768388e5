"""Exercise: BERT's masking rule, 80/10/10 (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, kind, plain, same

Pair = tuple[np.ndarray, np.ndarray]


def mask_tokens(
    input_ids: np.ndarray,
    special: np.ndarray,
    choice: np.ndarray,
    fate: np.ndarray,
    random_ids: np.ndarray,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[np.ndarray, np.ndarray]:
    """What the model reads, and what it must say (-100 where it is not asked); all arrays are (tokens,)."""
    chosen = (choice < rate) & ~special
    labels = np.where(chosen, input_ids, -100)
    masked_ids = np.where(chosen & (fate < 0.8), mask_id, input_ids)
    masked_ids = np.where(chosen & (fate >= 0.8) & (fate < 0.9), random_ids, masked_ids)
    return masked_ids, labels


def _row(ids: list[int], choice: list[float], fate: list[float], rate: float, mask_id: int = 4) -> Case:
    """A case from literal lists: ids below 4 are special, random ids are 50 and up."""
    row = np.array(ids)
    given = {"input_ids": row, "special": row < 4, "choice": np.array(choice), "fate": np.array(fate)}
    return {**given, "random_ids": np.arange(50, 50 + len(row)), "mask_id": mask_id, "rate": rate}


def _drawn(seed: int, n: int, rate: float) -> Case:
    random = np.random.default_rng(seed)
    ids = np.concatenate([[2], random.integers(5, 40, n - 3), [3, 0]])
    return _row(ids.tolist(), random.random(n).tolist(), random.random(n).tolist(), rate, mask_id=40 + seed)


def _cases() -> list[Case]:
    return [
        _row([2, 11, 12, 3], [0.01, 0.01, 0.9, 0.01], [0.1, 0.1, 0.1, 0.1], 0.15),
        _row([2, 11, 12, 13, 3, 0], [0.9, 0.1, 0.2, 0.12, 0.0, 0.05], [0.5, 0.85, 0.85, 0.95, 0.85, 0.1], 0.15),
        _row([2, 9, 9, 9, 9, 3], [0.5, 0.1, 0.1, 0.1, 0.3, 0.1], [0.0, 0.8, 0.9, 0.79, 0.05, 0.99], 0.25),  # edges
        _row([2, 7, 8, 3], [0.5, 0.5, 0.6, 0.7], [0.1, 0.1, 0.1, 0.1], 0.15),  # nothing is chosen
        _row([7, 8, 9, 6], [0.15, 0.1, 0.3, 0.0], [0.2, 0.93, 0.2, 0.05], 0.15),
        _drawn(5, 30, 0.15),
        _drawn(6, 40, 0.4),
    ]


def _part_problem(name: str, expected: np.ndarray, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return f"{name}: {problem}"
    if np.asarray(plain(got)).dtype.kind == "f":
        return f"{name} holds floats. Token ids are whole numbers."
    return None


def _places(where: Any) -> str:
    found = np.flatnonzero(where).tolist()
    return f"position{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if not isinstance(got, tuple | list) or len(got) != 2:
        return f"The result should be a pair, masked_ids and labels, but it is {kind(got)}."
    names = ("masked_ids", "labels")
    for name, wanted, part in zip(names, expected, got, strict=True):
        if problem := _part_problem(name, wanted, part):
            return problem
    ids, labels = as_numbers(got[0]), as_numbers(got[1])
    assert ids is not None and labels is not None
    touched = case["special"] & ((ids != case["input_ids"]) | (labels != -100))
    if touched.any():
        return f"Special tokens were masked or asked for: {_places(touched)}."
    if not same(expected[1], labels):
        return f"labels is not right at {_places(labels != expected[1])}."
    return None if same(expected[0], ids) else f"masked_ids is not right at {_places(ids != expected[0])}."


def _fates(chosen: Any, case: tuple[Any, ...], to_mask: Any, to_random: Any) -> Any:
    """Input ids, with the mask and random ids where the chosen tokens' fates say so."""
    input_ids, random_ids, mask_id = case[0], case[4], case[5]
    masked = np.where(chosen & to_mask, mask_id, input_ids)
    return np.where(chosen & to_random, random_ids, masked)


def _rule(given: tuple[Any, ...], chosen: Any) -> Pair:
    """The right fates and labels for tokens that were chosen in whatever way."""
    fate = given[3]
    ids = _fates(chosen, given, fate < 0.8, (fate >= 0.8) & (fate < 0.9))
    return ids, np.where(chosen, given[0], -100)


def _chosen(given: tuple[Any, ...]) -> Any:
    rate = given[6] if len(given) > 6 else 0.15
    return (given[2] < rate) & ~given[1]


def _special_too(*given: Any) -> Pair:
    return _rule(given, given[2] < given[6])


def _special_asked(*given: Any) -> Pair:
    return _rule(given, _chosen(given))[0], np.where(given[2] < given[6], given[0], -100)


def _all_chosen(*given: Any) -> Pair:
    return _rule(given, ~given[1])


def _the_others(*given: Any) -> Pair:
    return _rule(given, (given[2] >= given[6]) & ~given[1])


def _fixed_rate(*given: Any) -> Pair:
    return _rule(given, (given[2] < 0.15) & ~given[1])


def _always_mask(*given: Any) -> Pair:
    return np.where(_chosen(given), given[5], given[0]), _rule(given, _chosen(given))[1]


def _labels_everywhere(*given: Any) -> Pair:
    return _rule(given, _chosen(given))[0], given[0]


def _labels_where_changed(*given: Any) -> Pair:
    ids, _ = _rule(given, _chosen(given))
    return ids, np.where(ids != given[0], given[0], -100)


def _labels_where_mask(*given: Any) -> Pair:
    ids, _ = _rule(given, _chosen(given))
    return ids, np.where(ids == given[5], given[0], -100)


def _labels_of_the_masked(*given: Any) -> Pair:
    ids, _ = _rule(given, _chosen(given))
    return ids, np.where(_chosen(given), ids, -100)


def _labels_zero(*given: Any) -> Pair:
    ids, labels = _rule(given, _chosen(given))
    return ids, np.maximum(labels, 0)


def _kept_and_random_exchanged(*given: Any) -> Pair:
    chosen, fate = _chosen(given), given[3]
    return _fates(chosen, given, fate < 0.8, fate >= 0.9), _rule(given, chosen)[1]


def _none_kept(*given: Any) -> Pair:
    chosen, fate = _chosen(given), given[3]
    return _fates(chosen, given, fate < 0.8, fate >= 0.8), _rule(given, chosen)[1]


def _none_random(*given: Any) -> Pair:
    chosen, fate = _chosen(given), given[3]
    return _fates(chosen, given, fate < 0.8, fate < 0), _rule(given, chosen)[1]


def _random_overwrites(*given: Any) -> Pair:
    chosen, fate = _chosen(given), given[3]
    return _fates(chosen, given, fate < 0.8, fate < 0.9), _rule(given, chosen)[1]


def _random_below_a_tenth(*given: Any) -> Pair:
    chosen, fate = _chosen(given), given[3]
    return _fates(chosen, given, fate < 0.8, fate < 0.1), _rule(given, chosen)[1]


def _fate_of_all(*given: Any) -> Pair:
    fate, ordinary = given[3], ~given[1]
    ids = _fates(ordinary, given, fate < 0.8, (fate >= 0.8) & (fate < 0.9))
    return ids, _rule(given, _chosen(given))[1]


def _one_draw_for_both(*given: Any) -> Pair:
    chosen, share = _chosen(given), given[2] / given[6]
    ids = _fates(chosen, given, share < 0.8, (share >= 0.8) & (share < 0.9))
    return ids, _rule(given, chosen)[1]


def _labels_first(*given: Any) -> Pair:
    return _rule(given, _chosen(given))[::-1]


EXERCISE = Exercise(
    reference=mask_tokens,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _special_too,
            "The special tokens were masked. [CLS], [SEP] and [PAD] are never chosen: use `special`.",
        ),
        WrongFunction(
            _special_asked, "Special tokens have labels. They are left alone, and must not be asked for either."
        ),
        WrongFunction(_all_chosen, "Every ordinary token is chosen. Only those with `choice < rate` are."),
        WrongFunction(_the_others, "You chose the wrong ones: a token is chosen if its number is *below* the rate."),
        WrongFunction(_fixed_rate, "The rate is always 0.15. Use the argument."),
        WrongFunction(
            _always_mask,
            "Every chosen token becomes [MASK]. Only 80 % do: a model that meets [MASK] alone has nothing to say about "
            "real words, and later texts have no [MASK].",
        ),
        WrongFunction(_labels_everywhere, "Every token has a label. Those that are not chosen get -100."),
        WrongFunction(
            _labels_where_changed,
            "Kept tokens have no label. They are chosen too: the model is asked for them, though they stay.",
        ),
        WrongFunction(
            _labels_where_mask, "Only [MASK] places have a label. All chosen tokens get one, whatever their fate."
        ),
        WrongFunction(_labels_of_the_masked, "The labels were taken after the masking. They hold the original ids."),
        WrongFunction(_labels_zero, "Tokens that are not asked for have the label 0, and 0 is a token. Use -100."),
        WrongFunction(
            _kept_and_random_exchanged,
            "Random and kept have changed places: from 0.8 to 0.9 a random token, from 0.9 on the old one.",
        ),
        WrongFunction(_none_kept, "No token is kept: 20 % become random. From 0.9 on a token stays as it is."),
        WrongFunction(_none_random, "No token becomes random: 20 % are kept. From 0.8 to 0.9 it becomes random_ids."),
        WrongFunction(
            _random_overwrites,
            "The second step overwrites the first: `fate < 0.9` holds for the masked ones too. Ask for `fate >= 0.8` "
            "as well.",
        ),
        WrongFunction(
            _random_below_a_tenth,
            "The tenth for random tokens is taken from the masked ones. It lies between 0.8 and 0.9.",
        ),
        WrongFunction(_fate_of_all, "The fate is applied to all tokens. It concerns the chosen ones only."),
        WrongFunction(_one_draw_for_both, "You use one draw twice. `choice` says whether, `fate` says what then."),
        WrongFunction(_labels_first, "The pair is the wrong way round: masked_ids first, then labels."),
    ),
)
