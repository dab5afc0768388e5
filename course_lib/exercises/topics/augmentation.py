"""New training texts out of old ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import (
    as_words,
    first_difference,
    numbers_of,
    pair_problem,
    plain,
    same,
    sum_problem,
    words_problem,
)

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


def _drawn(seed: int, n: int, alpha: float) -> Arguments:
    return " ".join("abcdefghijklmnopqrstuvwxyz"[:n]), np.random.default_rng(seed).random((n, 2)).round(3), alpha


def _random_swap_cases() -> list[Arguments]:
    rows = [
        ("the film is good", [[0.3, 0.9], [0.1, 0.1], [0.6, 0.1], [0.9, 0.4]], 0.1),
        ("so good", [[0.1, 0.7], [0.8, 0.2]], 0.1),
        ("the film is good", [[0.9, 0.1], [0.8, 0.7], [0.1, 0.1], [0.6, 0.4]], 0.6),
        ("a b c d e f", [[0.4, 0.4], [0.4, 0.45], [0.1, 0.9], [0.2, 0.2], [0.7, 0.1], [0.5, 0.5]], 0.4),
        ("a b c d e f", [[0.0, 0.99], [0.99, 0.0], [0.0, 0.0], [0.99, 0.99], [0.3, 0.1], [0.6, 0.6]], 0.7),
        ("great", [[0.4, 0.4]], 0.5),  # nothing to swap with
        ("good", [[0.9, 0.2], [0.1, 0.6]], 1.0),
        ("no no no never", [[0.8, 0.4], [0.2, 0.5], [0.3, 0.3], [0.9, 0.9]], 0.25),
        ("no no no never", [[0.1, 0.1], [0.2, 0.5], [0.3, 0.3], [0.9, 0.9]], 0.25),  # equal words change places
        _drawn(1, 19, 0.1),
        _drawn(2, 26, 0.3),
        _drawn(3, 12, 1.0),
        _drawn(4, 10, 0.5),  # alpha times words is a whole number
    ]
    return [(text.split(), draws, alpha) for text, draws, alpha in rows]


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


def _joined(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> Any:
    return " ".join(random_swap(words, draws, alpha))


# ---------------- words drop out, but never all of them
# Wei and Zou 2019, EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks,
# section 2 (arXiv:1901.11196). Their code keeps a random word where all were dropped; here the draws decide which
# one.


def random_deletion(words: list[str], draws: np.ndarray, p: float = 0.1) -> list[str]:
    """Words without those whose draw is below p; if all are, the one with the largest draw stays."""
    kept = [word for word, draw in zip(words, draws, strict=True) if draw >= p]
    if not kept:
        kept = [words[int(np.argmax(draws))]]
    return kept


def _drawn_random_deletion(seed: int, n: int, p: float) -> Arguments:
    random = np.random.default_rng(seed)
    return " ".join(random.choice(["so", "very", "good", "film", "not"], n)), random.random(n).round(3), p


def _random_deletion_cases() -> list[Arguments]:
    rows = [
        ("not a good film", [0.05, 0.5, 0.9, 0.3], 0.1),
        ("not a good film", [0.5, 0.25, 0.24, 0.9], 0.25),  # a draw of exactly p
        ("good film", [0.2, 0.3], 0.5),  # all would go
        ("very very very good", [0.4, 0.01, 0.3, 0.02], 0.05),  # the same word, kept and dropped
        ("good bad ugly", [0.1, 0.4, 0.2], 0.9),
        ("worst", [0.001], 0.1),  # a single word stays in any case
        ("a b c d e", [0.9, 0.8, 0.7, 0.6, 0.5], 0.3),  # nothing goes
        ("a b c d e", [0.0, 0.8, 0.0, 0.6, 0.5], 0.0),  # p = 0: nothing goes, whatever the draws
        _drawn_random_deletion(1, 12, 0.4),
        _drawn_random_deletion(2, 20, 0.15),
        _drawn_random_deletion(3, 6, 1.0),
    ]
    return [(text.split(), draws, p) for text, draws, p in rows]


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


# ---------------- punctuation marks between the words
# Karimi et al. 2021, AEDA: An Easier Data Augmentation Technique for Text Classification, section 2
# (arXiv:2108.13230).


MARKS = ".;?:!,"


def insert_punctuation(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> list[str]:
    """Words with marks before some of them; places and marks hold one number in [0, 1) for each word."""
    most = max(1, len(words) // 3)
    number = 1 + int(size * most)
    chosen = np.argsort(places)[:number].tolist()
    result = []
    for i, word in enumerate(words):
        if i in chosen:
            result.append(".;?:!,"[int(6 * marks[i])])
        result.append(word)
    return result


def _drawn_insert_punctuation(seed: int, n: int, size: float) -> Arguments:
    random = np.random.default_rng(seed)
    order, marks = (random.permutation(n) + 0.5) / n, (random.integers(0, 6, n) + 0.5) / 6
    return " ".join(f"w{i}" for i in range(n)), size, order.round(3), marks.round(3)


def _insert_punctuation_cases() -> list[Arguments]:
    each_mark = ([(7 * i % 18 + 0.5) / 18 for i in range(18)], [(i % 6 + 0.5) / 6 for i in range(18)])
    rows = [
        ("the film is good", 0.7, [0.4, 0.9, 0.1, 0.6], [0.1, 0.3, 0.7, 0.9]),
        ("great", 0.9, [0.5], [0.4]),  # under three words there is one mark
        ("so good", 0.2, [0.8, 0.3], [0.9, 0.2]),
        ("a b c d e f", 0.5, [0.7, 0.2, 0.9, 0.4, 0.3, 0.8], [0.1, 0.3, 0.4, 0.6, 0.7, 0.95]),
        ("a b c d e f", 0.49, [0.1, 0.5, 0.2, 0.9, 0.8, 0.7], [0.4, 0.6, 0.3, 0.7, 0.1, 0.2]),
        ("a b c d e f g h", 0.99, [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4], [0.5] * 8),
        ("no no no", 0.0, [0.6, 0.5, 0.1], [0.0, 0.2, 0.99]),
        ("a b c d e f g h i j k l m n o p q r", 0.99, *each_mark),
        _drawn_insert_punctuation(1, 10, 0.95),
        _drawn_insert_punctuation(2, 21, 0.6),
        _drawn_insert_punctuation(3, 15, 0.05),
        _drawn_insert_punctuation(4, 17, 0.85),
    ]
    return [(text.split(), *rest) for text, *rest in rows]


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


def _drawn_mixup(seed: int, n: int, hidden: int, classes: int, lam: float) -> Arguments:
    """Soft labels with rows that add up to 1."""
    random = np.random.default_rng(seed)
    labels = random.dirichlet(np.ones(classes), n)
    return random.normal(size=(n, hidden)), labels, random.permutation(n), lam


def _mixup_cases() -> list[Arguments]:
    pure = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    return [
        ([[2.0, 0.0], [0.0, 4.0]], pure[:2], [1, 0], 0.75),
        ([[1.0, 5.0], [3.0, 3.0], [8.0, 0.0]], pure, [1, 2, 0], 0.25),  # a ring of three
        ([[1.0, 5.0], [3.0, 3.0], [8.0, 0.0]], pure, [0, 2, 1], 0.5),  # one with itself
        ([[1.0, -1.0, 2.0], [0.5, 0.0, 3.0]], [[0.9, 0.1], [0.2, 0.8]], [1, 0], 1.0),  # nothing of the partner
        ([[1.0, -1.0, 2.0], [0.5, 0.0, 3.0]], [[0.9, 0.1], [0.2, 0.8]], [1, 0], 0.0),  # nothing but the partner
        (np.arange(12.0).reshape(4, 3), np.eye(4), [2, 3, 1, 0], 0.6),
        _drawn_mixup(1, 5, 3, 3, 0.3),
        _drawn_mixup(2, 6, 4, 2, 0.9),
    ]


def _judge_mixup(case: Case, expected: Any, got: Any) -> str | None:
    if problem := pair_problem(("vectors", "labels"), expected, got):
        return problem
    labels = numbers_of(got[1])
    if problem := sum_problem(labels, " of the labels"):
        return problem
    for name, wanted, part in zip(("vectors", "labels"), expected, got, strict=True):
        wrong = [row for row, pair in enumerate(zip(wanted, plain(part), strict=True)) if not same(*pair)]
        if wrong:
            partner = case["permutation"][wrong[0]]
            return f"Row {wrong[0]} of the {name} is off; its partner is row {partner}, and lam is {case['lam']:g}."
    return None


def _mixtures_of_mixtures(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Any:
    rows, targets = vectors.copy(), labels.copy()
    for i, partner in enumerate(permutation):
        rows[i] = lam * rows[i] + (1 - lam) * rows[partner]
        targets[i] = lam * targets[i] + (1 - lam) * targets[partner]
    return rows, targets


EXERCISES = (
    Exercise(random_swap, _random_swap_cases, _judge_random_swap),
    Exercise(random_deletion, _random_deletion_cases, _judge_random_deletion),
    Exercise(insert_punctuation, _insert_punctuation_cases, _judge_insert_punctuation),
    Exercise(mixup, _mixup_cases, _judge_mixup),
)
