"""Exercise: words change places.

Wei and Zou 2019, EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks,
section 2 (arXiv:1901.11196). Here the two places of a swap are never the same one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.word_lists import as_words, first_difference, words_problem


def random_swap(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> list[str]:
    """A copy of words with max(1, int(alpha * len(words))) swaps; swap k uses the two numbers draws[k]."""
    swapped = list(words)
    if len(words) < 2:
        return swapped
    for first, second in draws[: max(1, int(alpha * len(words)))]:
        one = int(first * len(words))
        others = [place for place in range(len(words)) if place != one]
        other = others[int(second * len(others))]
        swapped[one], swapped[other] = swapped[other], swapped[one]
    return swapped


_LETTERS = list("abcdefghijklmnopqrstuvwxyz")


def _case(text: str, draws: Any, alpha: float) -> Case:
    return {"words": text.split(), "draws": np.array(draws, dtype=float), "alpha": alpha}


def _drawn(seed: int, n: int, alpha: float) -> Case:
    return _case(" ".join(_LETTERS[:n]), np.random.default_rng(seed).random((n, 2)).round(3), alpha)


def _cases() -> list[Case]:
    return [
        _case("the film is good", [[0.3, 0.9], [0.1, 0.1], [0.6, 0.1], [0.9, 0.4]], 0.1),
        _case("so good", [[0.1, 0.7], [0.8, 0.2]], 0.1),
        _case("the film is good", [[0.9, 0.1], [0.8, 0.7], [0.1, 0.1], [0.6, 0.4]], 0.6),
        _case("a b c d e f", [[0.4, 0.4], [0.4, 0.45], [0.1, 0.9], [0.2, 0.2], [0.7, 0.1], [0.5, 0.5]], 0.4),
        _case("a b c d e f", [[0.0, 0.99], [0.99, 0.0], [0.0, 0.0], [0.99, 0.99], [0.3, 0.1], [0.6, 0.6]], 0.7),
        _case("great", [[0.4, 0.4]], 0.5),  # nothing to swap with
        _case("good", [[0.9, 0.2], [0.1, 0.6]], 1.0),
        _case("no no no never", [[0.8, 0.4], [0.2, 0.5], [0.3, 0.3], [0.9, 0.9]], 0.25),
        _case("no no no never", [[0.1, 0.1], [0.2, 0.5], [0.3, 0.3], [0.9, 0.9]], 0.25),  # equal words change places
        _drawn(1, 19, 0.1),
        _drawn(2, 26, 0.3),
        _drawn(3, 12, 1.0),
        _drawn(4, 10, 0.5),  # alpha times words is a whole number
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    words = as_words(got)
    if words is None:
        return words_problem(got)
    before: Counter[str] = Counter(case["words"])
    after = Counter(words)
    if lost := list((before - after).elements()):
        return f"The word {lost[0]!r} was lost. A swap keeps all words, each as often as before."
    if gained := list((after - before).elements()):
        return f"There is one {gained[0]!r} too many. A swap keeps all words, each as often as before."
    if words == case["words"] != expected:
        return "No word has moved."
    return first_difference(expected, words)


def _number(words: list[str], alpha: float) -> int:
    return max(1, int(alpha * len(words)))


def _places(words: list[str], draw: Any) -> tuple[int, int]:
    """The two right places of one swap."""
    one, other = int(draw[0] * len(words)), int(draw[1] * (len(words) - 1))
    return one, other + (other >= one)


def _swaps(words: list[str], places: list[tuple[int, int]]) -> list[str]:
    swapped = list(words)
    for one, other in places:
        swapped[one], swapped[other] = swapped[other], swapped[one]
    return swapped


def _so_many(words: list[str], draws: np.ndarray, number: int) -> list[str]:
    return _swaps(words, [_places(words, draw) for draw in draws[:number]]) if len(words) > 1 else list(words)


def _no_minimum(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return _so_many(words, draws, int(alpha * len(words)))


def _rounded_up(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return _so_many(words, draws, int(np.ceil(alpha * len(words))))


def _one_more(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return _so_many(words, draws, int(alpha * len(words)) + 1)


def _one_swap(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return _so_many(words, draws, 1)


def _all_draws(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return _so_many(words, draws, len(draws))


def _fixed_alpha(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return random_swap(words, draws, 0.1)


def _swap_with_itself(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    n = len(words)
    return _swaps(words, [(int(a * n), int(b * n)) for a, b in draws[: _number(words, alpha)]])


def _hole_forgotten(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    n = len(words)
    return _swaps(words, [(int(a * n), int(b * (n - 1))) for a, b in draws[: _number(words, alpha)]])


def _hole_one_off(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    n, places = len(words), []
    for first, second in draws[: _number(words, alpha)]:
        one, other = int(first * n), int(second * (n - 1))
        places.append((one, other + (other > one)))
    return _swaps(words, places)


def _always_the_next(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    n = len(words)
    return _swaps(words, [(int(a * n), (int(a * n) + 1) % n) for a, _ in draws[: _number(words, alpha)]])


def _overwritten(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    swapped = list(words)
    for draw in draws[: _number(words, alpha)] if len(words) > 1 else []:
        one, other = _places(words, draw)
        swapped[one] = swapped[other]
        swapped[other] = swapped[one]
    return swapped


def _each_from_the_original(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return _so_many(words, draws[_number(words, alpha) - 1 :], 1)


def _in_place(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    words[:] = random_swap(words, draws, alpha)
    return words


def _single_word_fails(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return _swaps(words, [_places(words, draw) for draw in draws[: _number(words, alpha)]])


def _equal_words_left_out(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    swapped, n = list(words), len(words)
    for first, second in draws[: _number(words, alpha) if n > 1 else 0]:
        one = int(first * n)
        others = [place for place in range(n) if swapped[place] != swapped[one]]
        others = others or [place for place in range(n) if place != one]
        other = others[int(second * len(others))]
        swapped[one], swapped[other] = swapped[other], swapped[one]
    return swapped


def _joined(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return " ".join(random_swap(words, draws, alpha))


def _shuffled(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return [words[place] for place in np.argsort(draws[:, 0], kind="stable")]


def _inside_a_word(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return ["".join(sorted(word)) for word in random_swap(words, draws, alpha)]


def _columns_exchanged(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return random_swap(words, draws[:, ::-1], alpha)


EXERCISE = Exercise(
    reference=random_swap,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _no_minimum, "In a short text nothing is swapped, since int() gives 0. There is at least one swap."
        ),
        WrongFunction(_rounded_up, "You round the number of swaps up. int() rounds down, and 1 is the least."),
        WrongFunction(_one_more, "You make one swap more than asked. Use max(1, ...), do not add 1."),
        WrongFunction(_one_swap, "You swap only once. In a longer text, alpha asks for more swaps."),
        WrongFunction(_all_draws, "You use all rows of draws. Only the first n count."),
        WrongFunction(_fixed_alpha, "alpha is always 0.1. Use the argument."),
        WrongFunction(
            _swap_with_itself,
            "The second place is drawn from all places, so it can be the first one again. Leave that one out.",
        ),
        WrongFunction(
            _hole_forgotten,
            "You draw the second place from one place fewer, but from the wrong ones: the last place never comes, and "
            "the first one may. List the other places, and pick from the list.",
        ),
        WrongFunction(
            _hole_one_off,
            "Where the second number points at the first place itself, you stay there. From that place on, all are "
            "moved up by one.",
        ),
        WrongFunction(_always_the_next, "You swap a word with its neighbour. The second number says with which one."),
        WrongFunction(
            _overwritten,
            "The first word is overwritten before it is moved, so it is lost. Swap in one line: a, b = b, a.",
        ),
        WrongFunction(
            _each_from_the_original,
            "Every swap begins with the original, so only the last one is left. Go on with what you have.",
        ),
        WrongFunction(
            _in_place,
            "Your function changes the words it was given. Copy them first: the original is still needed.",
        ),
        WrongFunction(
            _equal_words_left_out,
            "Where a word stands more than once, you leave out all its places. Leave out one place, whatever stands "
            "at the others.",
        ),
        WrongFunction(_single_word_fails, "A text of one word makes your function fail. Give it back as it is."),
        WrongFunction(_joined, "This is one string. Give a list of words."),
        WrongFunction(_shuffled, "You shuffle the whole text. Only n swaps are asked."),
        WrongFunction(_inside_a_word, "You move letters inside the words. Move whole words."),
        WrongFunction(_columns_exchanged, "You use the second number for the first place. The order matters."),
    ),
)
