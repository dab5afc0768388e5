"""Augmentation: other right answers pass, sly ones do not, references keep what augmentation promises."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from answers import SEED, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st

from course_lib.augmentation.mixup import mix
from course_lib.exercises import check, reference
from course_lib.exercises.topics import augmentation

# ---------------------------------------------------------------- other right answers


def swap_by_arrays(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> np.ndarray:
    order, n = np.arange(len(words)), len(words)
    for first, second in draws[: max(1, int(alpha * n))] if n > 1 else []:
        one = int(first * n)
        other = np.delete(np.arange(n), one)[int(second * (n - 1))]
        order[[one, other]] = order[[other, one]]
    return np.array(words)[order]


def deletion_by_mask(words: list[str], draws: np.ndarray, p: float = 0.1) -> np.ndarray:
    stays = draws >= min(p, draws.max())
    return np.array(words)[stays]


def marks_from_the_end(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> list[str]:
    result = words[:]
    number = int(size * max(len(words) // 3, 1)) + 1
    for i in sorted(np.argsort(places)[:number], reverse=True):
        result.insert(i, [".", ";", "?", ":", "!", ","][int(marks[i] * 6)])
    return result


def mixup_by_torch(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> tuple[Any, Any]:
    order = torch.from_numpy(permutation)
    return mix(torch.from_numpy(vectors), lam, order), mix(torch.from_numpy(labels), lam, order)


RIGHT: dict[str, list[Answer]] = {
    "random_swap": [swap_by_arrays],
    "random_deletion": [deletion_by_mask],
    "insert_punctuation": [marks_from_the_end],
    "mixup": [mixup_by_torch],
}

WORDS = st.lists(st.sampled_from(["not", "a", "good", "film", "good"]), min_size=1, max_size=30)
DRAWN = {
    "random_swap": st.builds(
        lambda random, words, alpha: (words, random.random((len(words), 2)), alpha), SEED, WORDS, st.floats(0.01, 1)
    ),
    "random_deletion": st.builds(
        lambda random, words, p: (words, random.random(len(words)), p), SEED, WORDS, st.floats(0, 1)
    ),
    "insert_punctuation": st.builds(
        lambda random, words: (words, random.random(), *random.random((2, len(words)))), SEED, WORDS
    ),
    "mixup": st.builds(
        lambda random, n, lam: (random.normal(size=(n, 3)), random.dirichlet([1, 1], n), random.permutation(n), lam),
        *(SEED, st.integers(1, 6), st.floats(0, 1)),
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases


def by_values(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> list[str]:
    """Swaps the first places of two words; right while no word stands twice."""
    swapped = list(words)
    for draw in draws[: max(1, int(alpha * len(words)))] if len(words) > 1 else []:
        one = int(draw[0] * len(words))
        other = [place for place in range(len(words)) if place != one][int(draw[1] * (len(words) - 1))]
        first, second = swapped.index(swapped[one]), swapped.index(swapped[other])
        swapped[first], swapped[second] = swapped[second], swapped[first]
    return swapped


SLY: dict[str, list[Answer | Edit]] = {
    "random_swap": [
        by_values,
        lambda words, draws, alpha=0.1: reference.random_swap(
            words, np.random.default_rng(0).random(draws.shape), alpha
        ),
        lambda words, draws, alpha=0.1: reference.random_swap(words, draws, min(alpha, 0.5)),
        lambda words, draws, alpha=0.1: reference.random_swap(words, draws[:3], alpha) if len(words) < 9 else words,
        lambda words, draws, alpha=0.1: [word.upper() for word in reference.random_swap(words, draws, alpha)],
    ],
    "random_deletion": [
        ("draw >= p", "draw >= p + 1e-9"),
        ("draw >= p", "draw >= min(p, 0.5)"),
        ("draw >= p", "draw >= max(p, 0.01)"),
        ("return kept", "return list(dict.fromkeys(kept))"),
        ("return kept", "return words"),
    ],
    "insert_punctuation": [
        ("int(size * most)", "int(min(size, 0.7) * most)"),
        ("marks[i]", "min(marks[i], 0.8)"),
        ("marks[i]", "max(marks[i], 0.2)"),
        ("np.argsort(places)", "np.argsort(marks)"),
        ("marks[i]", "places[i]"),
        ("marks[i]", "marks[::-1][i]"),
        ("return result", 'return [w for w in result if w != ","]'),
        ("return result", 'return [w for w in result if w in ".;?:!,"]'),
        ("return result", 'return [w.replace(",", "-") for w in result]'),
        ("return result", "return words"),
    ],
    "mixup": [
        lambda x, y, order, lam: reference.mixup(x, y, order, max(lam, 1 - lam)),
        lambda x, y, order, lam: reference.mixup(x, y, order, round(lam, 1)),
        lambda x, y, order, lam: tuple(part.round(2) for part in reference.mixup(x, y, order, lam)),
        ("return mixed_vectors, mixed_labels", "return mixed_vectors, labels / labels.sum(axis=1)[:, None]"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


MISTAKES: Mistakes = {
    "random_swap": [
        (lambda words, draws, alpha=0.1: words[:-1], "The word 'good' was lost."),
        (lambda words, draws, alpha=0.1: [*words, words[0]], "There is one 'the' too many."),
        (lambda words, draws, alpha=0.1: list(words), "No word has moved."),
    ],
    "random_deletion": [(lambda words, draws, p=0.1: ["film", "noir"], "'noir', which is not a word of the text")],
    "insert_punctuation": [
        (lambda words, size, places, marks: ["(", *words], "'(', which is neither a word of the text"),
        (lambda words, size, places, marks: [".", *words[::-1]], "words should stand as before"),
    ],
    "mixup": [(lambda x, y, order, lam: (x, 2 * y), "Row 0 of the labels adds up to 2, not to 1.")],
}

TestExercises = judged(augmentation.EXERCISES, RIGHT, SLY, MISTAKES, DRAWN)


@pytest.mark.parametrize("factor", [1 + 2e-5, 1 + 1e-4])
def test_a_mixture_that_is_hardly_off_is_refused_with_its_row(factor: float) -> None:
    """Close to the tolerance the judge must neither pass nor fail itself."""
    verdict = check.mixup(lambda x, y, order, lam: (reference.mixup(x, y, order, lam)[0] * factor, y[order]))
    assert verdict.message.startswith("Row 0 of the vectors is off; its partner is row 1"), verdict


@pytest.mark.parametrize("name", ["random_swap", "random_deletion", "insert_punctuation"])
@pytest.mark.parametrize(
    ("result", "words"),
    [(["a", 1], "it holds an int"), ([["a"]], "it holds a list"), (7, "it is an int"), ("a b", "it is a str")],
)
def test_what_is_no_list_of_words_is_said(name: str, result: object, words: str) -> None:
    verdict = getattr(check, name)(lambda *arguments: result)
    assert verdict.message.startswith("The result should be a list of words, but " + words), verdict


# ---------------------------------------------------------------- what the operations promise


def test_every_pair_of_places_is_swapped_as_often() -> None:
    draws, words = np.random.default_rng(0).random((20_000, 1, 2)), list("abcd")
    found = Counter("".join(reference.random_swap(words, draw)) for draw in draws)
    assert len(found) == 6, "pairs of four places, none with itself"
    for count in found.values():
        assert count / len(draws) == pytest.approx(1 / 6, abs=4 * (5 / 36 / len(draws)) ** 0.5)


def test_shares_of_the_deletion() -> None:
    random = np.random.default_rng(0)
    words = ["w"] * 50
    kept = sum(len(reference.random_deletion(words, random.random(50), 0.1)) for _ in range(1000))
    assert kept / 50_000 == pytest.approx(0.9, abs=4 * (0.09 / 50_000) ** 0.5)
    last = Counter(reference.random_deletion(["a", "b", "c"], random.random(3), 1.0)[0] for _ in range(3000))
    assert all(count / 3000 == pytest.approx(1 / 3, abs=4 * (2 / 9 / 3000) ** 0.5) for count in last.values())


def test_numbers_and_marks_are_drawn_evenly() -> None:
    random, words, n = np.random.default_rng(0), ["w"] * 12, 6000
    results = [reference.insert_punctuation(words, random.random(), *random.random((2, 12))) for _ in range(n)]
    numbers = Counter(len(result) - 12 for result in results)
    assert sorted(numbers) == [1, 2, 3, 4]
    assert all(count / n == pytest.approx(1 / 4, abs=4 * (3 / 16 / n) ** 0.5) for count in numbers.values())
    marks = Counter(word for result in results for word in result if word != "w")
    total = sum(marks.values())
    assert sorted(marks) == sorted(".;?:!,")
    assert all(count / total == pytest.approx(1 / 6, abs=4 * (5 / 36 / total) ** 0.5) for count in marks.values())


def test_the_loss_of_a_mixed_target_is_the_mixture_of_losses() -> None:
    """Why soft labels are enough: cross-entropy is linear in its target."""
    random = np.random.default_rng(0)
    logits, hard, order = torch.from_numpy(random.normal(size=(4, 3))), np.array([0, 2, 1, 1]), np.array([2, 0, 3, 1])
    _, mixed = reference.mixup(np.zeros((4, 2)), np.eye(3)[hard], order, 0.3)
    loss = torch.nn.functional.cross_entropy
    one, other = (loss(logits, torch.from_numpy(target)) for target in (hard, hard[order]))
    assert loss(logits, torch.from_numpy(mixed)).item() == pytest.approx((0.3 * one + 0.7 * other).item())


def test_the_worked_examples_of_the_tasks() -> None:
    words = ["the", "film", "is", "good"]
    assert reference.random_swap(words, np.array([[0.3, 0.9]])) == ["the", "good", "is", "film"]
    gaps = reference.random_deletion(["not", "a", "good", "film"], np.array([0.05, 0.5, 0.9, 0.3]), 0.1)
    assert gaps == ["a", "good", "film"]
    places, marks = np.array([0.4, 0.9, 0.1, 0.6]), np.array([0.1, 0.3, 0.7, 0.9])
    assert reference.insert_punctuation(words, 0.7, places, marks) == ["the", "film", "!", "is", "good"]
    rows, targets = reference.mixup(np.array([[2.0, 0.0], [0.0, 4.0]]), np.eye(2), np.array([1, 0]), 0.75)
    assert rows[0].tolist() == [1.5, 1.0] and targets[0].tolist() == [0.75, 0.25]


def test_figures_of_the_quiz() -> None:
    """At 87 %, 2,000 sentences leave 1.5 points either way (95 %)."""
    assert pytest.approx(0.015, abs=0.0005) == 1.96 * (0.87 * 0.13 / 2000) ** 0.5
