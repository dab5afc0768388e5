"""Exercise: whole-word masking, as in BERT's release of May 2019."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same

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


def _case(text: str, draws: list[float], rate: float = 0.15) -> Case:
    return {"tokens": text.split(), "draws": np.array(draws), "rate": rate}


def _cases() -> list[Case]:
    random = np.random.default_rng(4)
    long = "[CLS] the un ##believ ##abl ##y long film ##s of an un ##known direct ##or ##ess [SEP] he ##r [SEP] [PAD]"
    return [
        _case("[CLS] play ##ing chess [SEP]", [0.9, 0.1, 0.9, 0.9, 0.9]),
        _case("[CLS] play ##ing chess [SEP]", [0.9, 0.5, 0.01, 0.1, 0.9]),
        _case("[CLS] un ##believ ##abl ##y good [SEP] [PAD]", [0.1, 0.1, 0.5, 0.1, 0.6, 0.2, 0.05, 0.0]),
        _case("[CLS] a ##b c ##d e ##f [SEP]", [0.5, 0.3, 0.01, 0.1, 0.9, 0.05, 0.9, 0.1], rate=0.4),
        _case("a ##b c d ##e", [0.6, 0.0, 0.15, 0.0, 0.6]),
        _case("[UNK] is here ##after", [0.1, 0.2, 0.9, 0.0]),  # an unknown word is a word
        _case("[CLS] #hash # #tag ##s [SEP]", [0.9, 0.9, 0.1, 0.9, 0.1, 0.9]),  # a single # does not go on
        *(_case(long, random.random(len(long.split())).tolist(), rate=rate) for rate in (0.3, 0.5)),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
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


def _special_too(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return mask_whole_words([token.strip("[]") for token in tokens], draws, rate)


def _unknown_spared(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return mask_whole_words(["[PAD]" if token == "[UNK]" else token for token in tokens], draws, rate)


def _turned_round(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return ~mask_whole_words(tokens, draws, rate) & _ordinary(tokens)


def _fixed_rate(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return mask_whole_words(tokens, draws)


def _one_hash(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return mask_whole_words([f"#{t}" if t.startswith("#") and t[:2] != "##" else t for t in tokens], draws, rate)


EXERCISE = Exercise(
    reference=mask_whole_words,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _piece_by_piece,
            "Each piece is masked by its own draw. The first piece decides for the whole word.",
        ),
        WrongFunction(_first_piece_only, "Only first pieces are masked. The pieces with `##` share their fate."),
        WrongFunction(_other_pieces_only, "Only pieces with `##` are masked. The first piece belongs to the word."),
        WrongFunction(
            _any_piece,
            "You mask a word if any of its pieces is drawn, so long words are masked more often than `rate` says. "
            "Only the first piece's draw counts.",
        ),
        WrongFunction(
            _mean_of_pieces,
            "You take the mean of the draws, so long words are hardly ever masked. Only the first piece's draw counts.",
        ),
        WrongFunction(_last_piece_decides, "The last piece decides. The first one should."),
        WrongFunction(
            _by_word_number,
            "You count words and take that draw. There is one draw for each token: take that at the first piece's "
            "place.",
        ),
        WrongFunction(
            _only_onwards,
            "A `##` piece can still be masked by its own draw, without the beginning of its word.",
        ),
        WrongFunction(
            _one_piece_further,
            "Only the second piece follows the first. A word may have three pieces and more.",
        ),
        WrongFunction(_special_too, "The special tokens were masked. [CLS], [SEP] and [PAD] are left alone."),
        WrongFunction(_unknown_spared, "`[UNK]` is never masked. It stands for a word, so it may be."),
        WrongFunction(
            _turned_round, "You mask the words that were not drawn. A word is masked if its draw is below the rate."
        ),
        WrongFunction(_fixed_rate, "The rate is always 0.15. Use the argument."),
        WrongFunction(_one_hash, "A single `#` is a sign like any other. Only `##` goes on with a word."),
    ),
)
