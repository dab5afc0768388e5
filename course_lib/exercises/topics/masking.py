"""What BERT masks, and how."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise
from course_lib.exercises.values import array_problem, as_numbers, kind, plain, same

# ---------------- BERT's masking rule, 80/10/10 (Devlin et al. 2019, section 3.1)


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


def _mask_tokens_cases() -> list[Case]:
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


def _judge_mask_tokens(case: Case, expected: Any, got: Any) -> str | None:
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


# ---------------- whole-word masking, as in BERT's release of May 2019


SPECIAL = ("[CLS]", "[SEP]", "[PAD]")


def mask_whole_words(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> np.ndarray:
    """True at every piece of a masked word; the draw of its first piece decides (all are (tokens,) long)."""
    masked = np.zeros(len(tokens), dtype=bool)
    for place, token in enumerate(tokens):
        if token.startswith("##"):
            masked[place] = masked[place - 1]  # the word goes on
        else:
            masked[place] = draws[place] < rate and token not in ("[CLS]", "[SEP]", "[PAD]")
    return masked


def _mask_whole_words_case(text: str, draws: list[float], rate: float = 0.15) -> Case:
    return {"tokens": text.split(), "draws": np.array(draws), "rate": rate}


def _mask_whole_words_cases() -> list[Case]:
    random = np.random.default_rng(4)
    long = "[CLS] the un ##believ ##abl ##y long film ##s of an un ##known direct ##or ##ess [SEP] he ##r [SEP] [PAD]"
    return [
        _mask_whole_words_case("[CLS] play ##ing chess [SEP]", [0.9, 0.1, 0.9, 0.9, 0.9]),
        _mask_whole_words_case("[CLS] play ##ing chess [SEP]", [0.9, 0.5, 0.01, 0.1, 0.9]),
        _mask_whole_words_case(
            "[CLS] un ##believ ##abl ##y good [SEP] [PAD]", [0.1, 0.1, 0.5, 0.1, 0.6, 0.2, 0.05, 0.0]
        ),
        _mask_whole_words_case("[CLS] a ##b c ##d e ##f [SEP]", [0.5, 0.3, 0.01, 0.1, 0.9, 0.05, 0.9, 0.1], rate=0.4),
        _mask_whole_words_case("a ##b c d ##e", [0.6, 0.0, 0.15, 0.0, 0.6]),
        _mask_whole_words_case("[UNK] is here ##after", [0.1, 0.2, 0.9, 0.0]),  # an unknown word is a word
        _mask_whole_words_case(
            "[CLS] #hash # #tag ##s [SEP]", [0.9, 0.9, 0.1, 0.9, 0.1, 0.9]
        ),  # a single # does not go on
        *(_mask_whole_words_case(long, random.random(len(long.split())).tolist(), rate=rate) for rate in (0.3, 0.5)),
    ]


def _judge_mask_whole_words(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    numbers = as_numbers(got)
    assert numbers is not None
    if not np.isin(numbers, (0, 1)).all():
        return "Each number should be True or False (1 or 0)."
    if same(expected, got):
        return None
    place = int(np.argwhere(numbers != expected)[0][0])
    asked = "should be masked and is not" if expected[place] else "is masked and should not be"
    return f"Token {place}, {case['tokens'][place]!r}, {asked}."


def _words(tokens: list[str]) -> list[list[int]]:
    words: list[list[int]] = []
    for place, token in enumerate(tokens):
        if token.startswith("##"):
            words[-1].append(place)
        else:
            words.append([place])
    return words


def _by_word(tokens: list[str], draws: np.ndarray, rate: float, drawn: Any) -> np.ndarray:
    """Masks each word of which `drawn(its number, its places)` gives a number below the rate."""
    masked = np.zeros(len(tokens), dtype=bool)
    for number, places in enumerate(_words(tokens)):
        masked[places] = drawn(number, places) < rate and tokens[places[0]] not in SPECIAL
    return masked


def _ordinary(tokens: list[str]) -> np.ndarray:
    return np.array([token not in SPECIAL for token in tokens])


def _piece_by_piece(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return (draws < rate) & _ordinary(tokens)


def _first_piece_only(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return mask_whole_words(tokens, draws, rate) & np.array([not token.startswith("##") for token in tokens])


def _other_pieces_only(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return mask_whole_words(tokens, draws, rate) & np.array([token.startswith("##") for token in tokens])


def _any_piece(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return _by_word(tokens, draws, rate, lambda number, places: draws[places].min())


def _mean_of_pieces(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return _by_word(tokens, draws, rate, lambda number, places: draws[places].mean())


def _last_piece_decides(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return _by_word(tokens, draws, rate, lambda number, places: draws[places[-1]])


def _by_word_number(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return _by_word(tokens, draws, rate, lambda number, places: draws[number])


def _only_onwards(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    masked = _piece_by_piece(tokens, draws, rate)
    for place, token in enumerate(tokens):
        if token.startswith("##"):
            masked[place] |= masked[place - 1]
    return masked


def _one_piece_further(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    first = _first_piece_only(tokens, draws, rate)
    goes_on = [token.startswith("##") for token in tokens]
    return first | (np.roll(first, 1) & goes_on)


def _special_too_mask_whole_words(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return mask_whole_words([token.strip("[]") for token in tokens], draws, rate)


def _unknown_spared(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return mask_whole_words(["[PAD]" if token == "[UNK]" else token for token in tokens], draws, rate)


def _turned_round(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return ~mask_whole_words(tokens, draws, rate) & _ordinary(tokens)


def _fixed_rate_mask_whole_words(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return mask_whole_words(tokens, draws)


def _one_hash(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return mask_whole_words([f"#{t}" if t.startswith("#") and t[:2] != "##" else t for t in tokens], draws, rate)


EXERCISES = (
    Exercise(mask_tokens, _mask_tokens_cases, _judge_mask_tokens),
    Exercise(mask_whole_words, _mask_whole_words_cases, _judge_mask_whole_words),
)
