"""New training texts out of old ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise
from course_lib.exercises.values import array_problem, as_numbers, kind, plain, same
from course_lib.exercises.word_lists import as_words, first_difference, words_problem

# ---------------- words change places
# Wei and Zou 2019, EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks,
# section 2 (arXiv:1901.11196). Here the two places of a swap are never the same one.


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


def _random_swap_case(text: str, draws: Any, alpha: float) -> Case:
    return {"words": text.split(), "draws": np.array(draws, dtype=float), "alpha": alpha}


def _drawn(seed: int, n: int, alpha: float) -> Case:
    return _random_swap_case(" ".join(_LETTERS[:n]), np.random.default_rng(seed).random((n, 2)).round(3), alpha)


def _random_swap_cases() -> list[Case]:
    return [
        _random_swap_case("the film is good", [[0.3, 0.9], [0.1, 0.1], [0.6, 0.1], [0.9, 0.4]], 0.1),
        _random_swap_case("so good", [[0.1, 0.7], [0.8, 0.2]], 0.1),
        _random_swap_case("the film is good", [[0.9, 0.1], [0.8, 0.7], [0.1, 0.1], [0.6, 0.4]], 0.6),
        _random_swap_case(
            "a b c d e f", [[0.4, 0.4], [0.4, 0.45], [0.1, 0.9], [0.2, 0.2], [0.7, 0.1], [0.5, 0.5]], 0.4
        ),
        _random_swap_case(
            "a b c d e f", [[0.0, 0.99], [0.99, 0.0], [0.0, 0.0], [0.99, 0.99], [0.3, 0.1], [0.6, 0.6]], 0.7
        ),
        _random_swap_case("great", [[0.4, 0.4]], 0.5),  # nothing to swap with
        _random_swap_case("good", [[0.9, 0.2], [0.1, 0.6]], 1.0),
        _random_swap_case("no no no never", [[0.8, 0.4], [0.2, 0.5], [0.3, 0.3], [0.9, 0.9]], 0.25),
        _random_swap_case(
            "no no no never", [[0.1, 0.1], [0.2, 0.5], [0.3, 0.3], [0.9, 0.9]], 0.25
        ),  # equal words change places
        _drawn(1, 19, 0.1),
        _drawn(2, 26, 0.3),
        _drawn(3, 12, 1.0),
        _drawn(4, 10, 0.5),  # alpha times words is a whole number
    ]


def _judge_random_swap(case: Case, expected: Any, got: Any) -> str | None:
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


# ---------------- words drop out, but never all of them
# Wei and Zou 2019, EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks,
# section 2 (arXiv:1901.11196). Their code keeps a random word where all were dropped; here the draws decide which one.


def random_deletion(words: list[str], draws: np.ndarray, p: float = 0.1) -> list[str]:
    """Words without those whose draw is below p; if all are, the one with the largest draw stays."""
    kept = [word for word, draw in zip(words, draws, strict=True) if draw >= p]
    if not kept:
        kept = [words[int(np.argmax(draws))]]
    return kept


def _random_deletion_case(text: str, draws: Any, p: float) -> Case:
    return {"words": text.split(), "draws": np.array(draws, dtype=float), "p": p}


def _drawn_random_deletion(seed: int, n: int, p: float) -> Case:
    random = np.random.default_rng(seed)
    return _random_deletion_case(
        " ".join(random.choice(["so", "very", "good", "film", "not"], n)), random.random(n).round(3), p
    )


def _random_deletion_cases() -> list[Case]:
    return [
        _random_deletion_case("not a good film", [0.05, 0.5, 0.9, 0.3], 0.1),
        _random_deletion_case("not a good film", [0.5, 0.25, 0.24, 0.9], 0.25),  # a draw of exactly p
        _random_deletion_case("good film", [0.2, 0.3], 0.5),  # all would go
        _random_deletion_case("very very very good", [0.4, 0.01, 0.3, 0.02], 0.05),  # the same word, kept and dropped
        _random_deletion_case("good bad ugly", [0.1, 0.4, 0.2], 0.9),
        _random_deletion_case("worst", [0.001], 0.1),  # a single word stays in any case
        _random_deletion_case("a b c d e", [0.9, 0.8, 0.7, 0.6, 0.5], 0.3),  # nothing goes
        _random_deletion_case("a b c d e", [0.0, 0.8, 0.0, 0.6, 0.5], 0.0),  # p = 0: nothing goes, whatever the draws
        _drawn_random_deletion(1, 12, 0.4),
        _drawn_random_deletion(2, 20, 0.15),
        _drawn_random_deletion(3, 6, 1.0),
    ]


def _judge_random_deletion(case: Case, expected: Any, got: Any) -> str | None:
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


def _in_place_random_deletion(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    words[:] = random_deletion(words, draws, p)
    return words


def _joined_random_deletion(words: list[str], draws: np.ndarray, p: float = 0.1) -> Any:
    return " ".join(random_deletion(words, draws, p))


# ---------------- punctuation marks between the words
# Karimi et al. 2021, AEDA: An Easier Data Augmentation Technique for Text Classification, section 2 (arXiv:2108.13230).


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


def _insert_punctuation_case(text: str, size: float, places: list[float], marks: list[float]) -> Case:
    return {"words": text.split(), "size": size, "places": np.array(places), "marks": np.array(marks)}


def _drawn_insert_punctuation(seed: int, n: int, size: float) -> Case:
    random = np.random.default_rng(seed)
    order, marks = (random.permutation(n) + 0.5) / n, (random.integers(0, 6, n) + 0.5) / 6
    return _insert_punctuation_case(
        " ".join(f"w{i}" for i in range(n)), size, order.round(3).tolist(), marks.round(3).tolist()
    )


def _insert_punctuation_cases() -> list[Case]:
    each_mark = ([(7 * i % 18 + 0.5) / 18 for i in range(18)], [(i % 6 + 0.5) / 6 for i in range(18)])
    return [
        _insert_punctuation_case("the film is good", 0.7, [0.4, 0.9, 0.1, 0.6], [0.1, 0.3, 0.7, 0.9]),
        _insert_punctuation_case("great", 0.9, [0.5], [0.4]),  # under three words there is one mark
        _insert_punctuation_case("so good", 0.2, [0.8, 0.3], [0.9, 0.2]),
        _insert_punctuation_case("a b c d e f", 0.5, [0.7, 0.2, 0.9, 0.4, 0.3, 0.8], [0.1, 0.3, 0.4, 0.6, 0.7, 0.95]),
        _insert_punctuation_case("a b c d e f", 0.49, [0.1, 0.5, 0.2, 0.9, 0.8, 0.7], [0.4, 0.6, 0.3, 0.7, 0.1, 0.2]),
        _insert_punctuation_case("a b c d e f g h", 0.99, [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4], [0.5] * 8),
        _insert_punctuation_case("no no no", 0.0, [0.6, 0.5, 0.1], [0.0, 0.2, 0.99]),
        _insert_punctuation_case("a b c d e f g h i j k l m n o p q r", 0.99, *each_mark),
        _drawn_insert_punctuation(1, 10, 0.95),
        _drawn_insert_punctuation(2, 21, 0.6),
        _drawn_insert_punctuation(3, 15, 0.05),
        _drawn_insert_punctuation(4, 17, 0.85),
    ]


def _judge_insert_punctuation(case: Case, expected: Any, got: Any) -> str | None:
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


def _rounded_up_insert_punctuation(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
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


def _in_place_insert_punctuation(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    words[:] = insert_punctuation(words, size, places, marks)
    return words


def _joined_insert_punctuation(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> Any:
    return " ".join(insert_punctuation(words, size, places, marks))


# ---------------- mixtures of two texts, with mixed labels
# Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, section 2 (arXiv:1710.09412); on sentence vectors,
# Guo et al. 2019, Augmenting Data with Mixup for Sentence Classification, section 3.2 (arXiv:1905.08941).


def mixup(
    vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mixes row i, which weighs lam, with row permutation[i]; vectors (n, hidden), labels (n, classes)."""
    mixed_vectors = lam * vectors + (1 - lam) * vectors[permutation]
    mixed_labels = lam * labels + (1 - lam) * labels[permutation]
    return mixed_vectors, mixed_labels


def _mixup_case(vectors: Any, labels: Any, permutation: list[int], lam: float) -> Case:
    rows, targets = np.array(vectors, dtype=float), np.array(labels, dtype=float)
    return {"vectors": rows, "labels": targets, "permutation": np.array(permutation), "lam": lam}


def _drawn_mixup(seed: int, n: int, hidden: int, classes: int, lam: float) -> Case:
    """Soft labels with rows that add up to 1."""
    random = np.random.default_rng(seed)
    labels = random.dirichlet(np.ones(classes), n)
    return _mixup_case(random.normal(size=(n, hidden)), labels, random.permutation(n).tolist(), lam)


def _mixup_cases() -> list[Case]:
    return [
        _mixup_case([[2.0, 0.0], [0.0, 4.0]], [[1, 0], [0, 1]], [1, 0], 0.75),
        _mixup_case([[1.0, 5.0], [3.0, 3.0], [8.0, 0.0]], [[1, 0], [0, 1], [1, 0]], [1, 2, 0], 0.25),  # a ring of three
        _mixup_case([[1.0, 5.0], [3.0, 3.0], [8.0, 0.0]], [[1, 0], [0, 1], [1, 0]], [0, 2, 1], 0.5),  # one with itself
        _mixup_case(
            [[1.0, -1.0, 2.0], [0.5, 0.0, 3.0]], [[0.9, 0.1], [0.2, 0.8]], [1, 0], 1.0
        ),  # nothing of the partner
        _mixup_case(
            [[1.0, -1.0, 2.0], [0.5, 0.0, 3.0]], [[0.9, 0.1], [0.2, 0.8]], [1, 0], 0.0
        ),  # nothing but the partner
        _mixup_case(np.arange(12).reshape(4, 3), np.eye(4), [2, 3, 1, 0], 0.6),
        _drawn_mixup(1, 5, 3, 3, 0.3),
        _drawn_mixup(2, 6, 4, 2, 0.9),
    ]


def _judge_mixup(case: Case, expected: Any, got: Any) -> str | None:
    if not isinstance(got, tuple | list) or len(got) != 2:
        return f"The result should be a pair, vectors and labels, but it is {kind(got)}."
    for name, wanted, part in zip(("vectors", "labels"), expected, got, strict=True):
        if problem := array_problem(wanted, part):
            return f"{name}: {problem}"
    labels = as_numbers(got[1])
    assert labels is not None
    for row, total in enumerate(labels.sum(axis=1)):
        if not np.isclose(total, 1.0, atol=1e-5):
            return f"Row {row} of the labels adds up to {total:.6g}, not to 1."
    for name, wanted, part in zip(("vectors", "labels"), expected, got, strict=True):
        wrong = [row for row, pair in enumerate(zip(wanted, plain(part), strict=True)) if not same(*pair)]
        if wrong:
            partner = case["permutation"][wrong[0]]
            return f"Row {wrong[0]} of the {name} is off; its partner is row {partner}, and lam is {case['lam']:g}."
    return None


Pair = tuple[Any, Any]


def _labels_left(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, lam)[0], labels.copy()


def _vectors_left(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return vectors.copy(), mixup(vectors, labels, permutation, lam)[1]


def _label_of_the_heavier(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, lam)[0], labels.copy() if lam >= 0.5 else labels[permutation]


def _hardened(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    rows, mixed = mixup(vectors, labels, permutation, lam)
    return rows, np.eye(labels.shape[1])[mixed.argmax(axis=1)]


def _weights_exchanged(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, 1 - lam)


def _label_weights_exchanged(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, lam)[0], mixup(vectors, labels, permutation, 1 - lam)[1]


def _inverse(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, np.argsort(permutation), lam)


def _other_partner_for_labels(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, lam)[0], mixup(vectors, labels, permutation[::-1], lam)[1]


def _backwards(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, np.arange(len(vectors))[::-1], lam)


def _next_row(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, np.roll(np.arange(len(vectors)), -1), lam)


def _added(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return vectors + vectors[permutation], labels + labels[permutation]


def _one_weight_missing(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return vectors + (1 - lam) * vectors[permutation], labels + (1 - lam) * labels[permutation]


def _halves(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, 0.5)


def _pair_turned(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, lam)[::-1]


def _originals_too(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    rows, targets = mixup(vectors, labels, permutation, lam)
    return np.concatenate([vectors, rows]), np.concatenate([labels, targets])


def _vectors_only(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Any:
    return mixup(vectors, labels, permutation, lam)[0]


def _mixtures_of_mixtures(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    rows, targets = vectors.copy(), labels.copy()
    for i, partner in enumerate(permutation):
        rows[i] = lam * rows[i] + (1 - lam) * rows[partner]
        targets[i] = lam * targets[i] + (1 - lam) * targets[partner]
    return rows, targets


def _drawn_rows(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    own = (np.arange(len(vectors)) + 0.5) / len(
        vectors
    ) < lam  # a share lam of the rows stays, the others are exchanged
    return (
        np.where(own[:, None], vectors, vectors[permutation]),
        np.where(own[:, None], labels, labels[permutation]),
    )


EXERCISES = (
    Exercise(random_swap, _random_swap_cases, _judge_random_swap),
    Exercise(random_deletion, _random_deletion_cases, _judge_random_deletion),
    Exercise(insert_punctuation, _insert_punctuation_cases, _judge_insert_punctuation),
    Exercise(mixup, _mixup_cases, _judge_mixup),
)
