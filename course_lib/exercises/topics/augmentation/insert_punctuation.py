"""Exercise: punctuation marks between the words.

Karimi et al. 2021, AEDA: An Easier Data Augmentation Technique for Text Classification, section 2 (arXiv:2108.13230).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.word_lists import as_words, first_difference, words_problem

MARKS = ".;?:!,"


def insert_punctuation(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> list[str]:
    """Words with marks before some of them; places and marks hold a number from 0 to below 1 a word."""
    most = max(1, len(words) // 3)
    number = 1 + int(size * most)
    chosen = np.argsort(places)[:number].tolist()
    result = []
    for i, word in enumerate(words):
        if i in chosen:
            result.append(".;?:!,"[int(6 * marks[i])])
        result.append(word)
    return result


def _case(text: str, size: float, places: list[float], marks: list[float]) -> Case:
    return {"words": text.split(), "size": size, "places": np.array(places), "marks": np.array(marks)}


def _drawn(seed: int, n: int, size: float) -> Case:
    random = np.random.default_rng(seed)
    order, marks = (random.permutation(n) + 0.5) / n, (random.integers(0, 6, n) + 0.5) / 6
    return _case(" ".join(f"w{i}" for i in range(n)), size, order.round(3).tolist(), marks.round(3).tolist())


def _cases() -> list[Case]:
    each_mark = ([(7 * i % 18 + 0.5) / 18 for i in range(18)], [(i % 6 + 0.5) / 6 for i in range(18)])
    return [
        _case("the film is good", 0.7, [0.4, 0.9, 0.1, 0.6], [0.1, 0.3, 0.7, 0.9]),
        _case("great", 0.9, [0.5], [0.4]),  # under three words there is one mark
        _case("so good", 0.2, [0.8, 0.3], [0.9, 0.2]),
        _case("a b c d e f", 0.5, [0.7, 0.2, 0.9, 0.4, 0.3, 0.8], [0.1, 0.3, 0.4, 0.6, 0.7, 0.95]),
        _case("a b c d e f", 0.49, [0.1, 0.5, 0.2, 0.9, 0.8, 0.7], [0.4, 0.6, 0.3, 0.7, 0.1, 0.2]),
        _case("a b c d e f g h", 0.99, [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4], [0.5] * 8),
        _case("no no no", 0.0, [0.6, 0.5, 0.1], [0.0, 0.2, 0.99]),
        _case("a b c d e f g h i j k l m n o p q r", 0.99, *each_mark),
        _drawn(1, 10, 0.95),
        _drawn(2, 21, 0.6),
        _drawn(3, 15, 0.05),
        _drawn(4, 17, 0.85),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    words = as_words(got)
    if words is None:
        return words_problem(got)
    if strange := [word for word in words if word not in case["words"] and word not in tuple(MARKS)]:
        return f"The result holds {strange[0]!r}, which is neither a word of the text nor one of the six marks."
    if [word for word in words if word not in tuple(MARKS)] != case["words"]:
        return "Without the marks, the words should stand as before: all of them, in their order."
    if len(words) != len(expected):
        inserted, wanted = len(words) - len(case["words"]), len(expected) - len(case["words"])
        return f"The number of marks is {inserted}; it should be {wanted}."
    return first_difference(expected, words)


def _chosen(words: list[str], size: float, places: Any, most: int | None = None) -> list[int]:
    """The right words to put a mark before, if `most` is left out."""
    number = 1 + int(size * (max(1, len(words) // 3) if most is None else most))
    found: list[int] = np.argsort(places)[:number].tolist()
    return found


def _mark(marks: Any, i: int) -> str:
    return MARKS[int(6 * marks[i])]


def _with(words: list[str], marks: Any, chosen: Any, put: Callable[[str, str], list[str]]) -> list[str]:
    """The text with put(mark, word) in the place of each chosen word."""
    return [one for i, word in enumerate(words) for one in (put(_mark(marks, i), word) if i in chosen else [word])]


def _before(mark: str, word: str) -> list[str]:
    return [mark, word]


def _behind(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return _with(words, marks, _chosen(words, size, places), lambda mark, word: [word, mark])


def _glued(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return _with(words, marks, _chosen(words, size, places), lambda mark, word: [mark + word])


def _replaced(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return _with(words, marks, _chosen(words, size, places), lambda mark, word: [mark])


def _at_the_end(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return [*words, *(_mark(marks, i) for i in sorted(_chosen(words, size, places)))]


def _none_or_more(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    number = int(size * max(1, len(words) // 3))
    return _with(words, marks, np.argsort(places)[:number], _before)


def _one_too_many(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return _with(words, marks, _chosen(words, size, places, len(words) // 3 + 1), _before)


def _rounded_up(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return _with(words, marks, _chosen(words, size, places, -(-len(words) // 3)), _before)


def _up_to_all(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return _with(words, marks, _chosen(words, size, places, len(words)), _before)


def _always_a_third(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return insert_punctuation(words, 0.999, places, marks)


def _always_one(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return insert_punctuation(words, 0.0, places, marks)


def _largest_places(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return insert_punctuation(words, size, -places, marks)


def _below_a_third(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return _with(words, marks, np.flatnonzero(places < 1 / 3), _before)


def _first_words(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return insert_punctuation(words, size, np.arange(len(words)), marks)


def _shifted(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    result = list(words)
    for i in sorted(_chosen(words, size, places)):
        result.insert(i, _mark(marks, i))
    return result


def _marks_in_turn(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    chosen = sorted(_chosen(words, size, places))
    return [
        one
        for i, word in enumerate(words)
        for one in ([_mark(marks, chosen.index(i)), word] if i in chosen else [word])
    ]


def _marks_by_rank(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    chosen = _chosen(words, size, places)
    return [
        one
        for i, word in enumerate(words)
        for one in ([_mark(marks, chosen.index(i)), word] if i in chosen else [word])
    ]


def _one_mark(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return insert_punctuation(words, size, places, np.full(len(words), marks[0]))


def _five_marks(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return insert_punctuation(words, size, places, marks * 5 / 6)


def _in_place(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    words[:] = insert_punctuation(words, size, places, marks)
    return words


def _joined(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return " ".join(insert_punctuation(words, size, places, marks))


EXERCISE = Exercise(
    reference=insert_punctuation,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_behind, "Your marks stand behind their words. Put each one before its word."),
        WrongFunction(_glued, "Mark and word have become one string. Each mark is an item of the list."),
        WrongFunction(_replaced, "A mark takes the place of its word. AEDA loses no word: keep it, behind the mark."),
        WrongFunction(_at_the_end, "All marks stand at the end. Put each one before its word."),
        WrongFunction(_none_or_more, "The number of marks begins at 0. There is at least one: add 1."),
        WrongFunction(
            _one_too_many, "There can be one mark more than a third. `most` is `len(words) // 3`, without + 1."
        ),
        WrongFunction(_rounded_up, "You round the third up. `//` rounds down, and 1 is the least."),
        WrongFunction(_up_to_all, "There can be as many marks as words. A third of the words is the most."),
        WrongFunction(_always_a_third, "The number of marks is always a third. `size` says how many there are."),
        WrongFunction(_always_one, "There is always one mark. `size` says how many there are."),
        WrongFunction(_largest_places, "You choose the words with the largest numbers in places. Take the smallest."),
        WrongFunction(
            _below_a_third,
            "You choose all words whose number in places is below a third. How many there are is fixed by size.",
        ),
        WrongFunction(_first_words, "The marks stand before the first words. `places` says before which."),
        WrongFunction(
            _shifted,
            "You insert into a list that grows: behind the first mark, all places are off. Build a new list.",
        ),
        WrongFunction(
            _marks_in_turn, "The k-th mark from the left uses `marks[k]`. The mark before word i uses `marks[i]`."
        ),
        WrongFunction(
            _marks_by_rank, "The k-th chosen word uses `marks[k]`. Before word i, use `marks[i]`, whatever its rank."
        ),
        WrongFunction(_one_mark, "All marks are the same. Each word has its own number in marks."),
        WrongFunction(_five_marks, "The comma never comes. There are six marks, so multiply by 6."),
        WrongFunction(
            _in_place,
            "Your function changes the words it was given. Build a new list: the original is still needed.",
        ),
        WrongFunction(_joined, "This is one string. Give a list of words and marks."),
    ),
)
