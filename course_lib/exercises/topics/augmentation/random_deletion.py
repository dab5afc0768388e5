"""Exercise: words drop out, but never all of them.

Wei and Zou 2019, EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks,
section 2 (arXiv:1901.11196). Their code keeps a random word where all were dropped; here the draws decide which one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.word_lists import as_words, first_difference, words_problem


def random_deletion(words: list[str], draws: np.ndarray, p: float = 0.1) -> list[str]:
    """Words without those whose draw is below p; if all are, the one with the largest draw stays."""
    kept = [word for word, draw in zip(words, draws, strict=True) if draw >= p]
    if not kept:
        kept = [words[int(np.argmax(draws))]]
    return kept


def _case(text: str, draws: Any, p: float) -> Case:
    return {"words": text.split(), "draws": np.array(draws, dtype=float), "p": p}


def _drawn(seed: int, n: int, p: float) -> Case:
    random = np.random.default_rng(seed)
    return _case(" ".join(random.choice(["so", "very", "good", "film", "not"], n)), random.random(n).round(3), p)


def _cases() -> list[Case]:
    return [
        _case("not a good film", [0.05, 0.5, 0.9, 0.3], 0.1),
        _case("not a good film", [0.5, 0.25, 0.24, 0.9], 0.25),  # a draw of exactly p
        _case("good film", [0.2, 0.3], 0.5),  # all would go
        _case("very very very good", [0.4, 0.01, 0.3, 0.02], 0.05),  # the same word, kept and dropped
        _case("good bad ugly", [0.1, 0.4, 0.2], 0.9),
        _case("worst", [0.001], 0.1),  # a single word stays in any case
        _case("a b c d e", [0.9, 0.8, 0.7, 0.6, 0.5], 0.3),  # nothing goes
        _case("a b c d e", [0.0, 0.8, 0.0, 0.6, 0.5], 0.0),  # p = 0: nothing goes, whatever the draws
        _drawn(1, 12, 0.4),
        _drawn(2, 20, 0.15),
        _drawn(3, 6, 1.0),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    words = as_words(got)
    if words is None:
        return words_problem(got)
    if not words:
        return "No word is left. At least one stays."
    if strange := [word for word in words if word not in case["words"]]:
        return f"The result holds {strange[0]!r}, which is not a word of the text."
    if len(words) != len(expected):
        return f"The result has {len(words)} words; it should have {len(expected)}."
    return first_difference(expected, words)


def _kept(words: list[str], stays: Any) -> list[str]:
    return [word for word, stay in zip(words, stays, strict=True) if stay]


def _last_one(words: list[str], draws: np.ndarray, p: float, place: int) -> Any:
    return _kept(words, draws >= p) or [words[place]]


def _the_others(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return _kept(words, draws < p) or [words[int(np.argmax(draws))]]


def _edge_dropped(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return _kept(words, draws > p) or [words[int(np.argmax(draws))]]


def _may_be_empty(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return _kept(words, draws >= p)


def _all_or_some(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return _kept(words, draws >= p) or list(words)


def _first_stays(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return _last_one(words, draws, p, 0)


def _smallest_stays(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return _last_one(words, draws, p, int(np.argmin(draws)))


def _bare_word(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return _kept(words, draws >= p) or words[int(np.argmax(draws))]


def _never_the_first(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return words[:1] + _kept(words[1:], draws[1:] >= p)


def _fixed_share(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    stays = np.ones(len(words), dtype=bool)
    stays[np.argsort(draws, kind="stable")[: int(p * len(words))]] = False
    return _kept(words, stays) or [words[int(np.argmax(draws))]]


def _fixed_p(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return random_deletion(words, draws, 0.1)


def _share_kept(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return random_deletion(words, draws, 1 - p)


def _one_draw(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return list(words) if draws[0] >= p else [words[int(np.argmax(draws))]]


def _equal_words_too(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    gone = set(_kept(words, draws < p))
    return [word for word in words if word not in gone] or [words[int(np.argmax(draws))]]


def _first_equal_word(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    kept = list(words)
    for word in _kept(words, draws < p):
        kept.remove(word)
    return kept or [words[int(np.argmax(draws))]]


def _while_it_shrinks(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    kept = list(words)
    for place, draw in enumerate(draws):
        if draw < p and place < len(kept):
            del kept[place]
    return kept or [words[int(np.argmax(draws))]]


def _masked(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return ["[MASK]" if draw < p else word for word, draw in zip(words, draws, strict=True)]


def _emptied(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return ["" if draw < p else word for word, draw in zip(words, draws, strict=True)]


def _in_place(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    words[:] = random_deletion(words, draws, p)
    return words


def _joined(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return " ".join(random_deletion(words, draws, p))


EXERCISE = Exercise(
    reference=random_deletion,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_the_others, "You keep the words that should go. A draw below p means: drop it."),
        WrongFunction(_edge_dropped, "A draw of exactly p is not below p, so that word stays."),
        WrongFunction(
            _may_be_empty, "Where all words go, nothing is left. One word stays, the one with the largest draw."
        ),
        WrongFunction(_all_or_some, "Where all words would go, you keep them all. Only one of them stays."),
        WrongFunction(
            _first_stays, "Where all words would go, you keep the first. Keep the one with the largest draw."
        ),
        WrongFunction(_smallest_stays, "Where all words would go, you keep the smallest draw. Keep the largest one."),
        WrongFunction(_bare_word, "Where all words would go, you give a bare word. Give a list with this word in it."),
        WrongFunction(_never_the_first, "The first word never goes. It has its draw like all others."),
        WrongFunction(
            _fixed_share,
            "You always drop the same share of the words. Each word has a draw of its own: compare it with p.",
        ),
        WrongFunction(_fixed_p, "p is always 0.1. Use the argument."),
        WrongFunction(_share_kept, "You keep each word with probability p. It is the probability to drop it."),
        WrongFunction(_one_draw, "One draw decides for the whole text. Each word has its own."),
        WrongFunction(
            _equal_words_too,
            "With a word, all equal words go too. Each place has its own draw, whatever stands there.",
        ),
        WrongFunction(
            _first_equal_word,
            "`remove` takes the first equal word, and that may be another place. Go by places.",
        ),
        WrongFunction(
            _while_it_shrinks,
            "You delete from the list while you go through it, so later places are off by one. Build a new list.",
        ),
        WrongFunction(_masked, "You put [MASK] in the gaps. Leave the words out."),
        WrongFunction(_emptied, "You leave empty strings in the gaps. Leave the words out."),
        WrongFunction(
            _in_place,
            "Your function changes the words it was given. Build a new list: the original is still needed.",
        ),
        WrongFunction(_joined, "This is one string. Give a list of words."),
    ),
)
