"""Exercises of notebook 04: other right answers pass, sly ones do not, references keep what augmentation promises."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from answers import judging
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.augmentation.mixup import mix
from course_lib.exercises import check, reference
from course_lib.exercises.topics import augmentation

# ---------------------------------------------------------------- alternative right answers


def swap_by_arrays(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> np.ndarray:
    order, n = np.arange(len(words)), len(words)
    for first, second in draws[: max(1, int(alpha * n))] if n > 1 else []:
        one = int(first * n)
        other = np.delete(np.arange(n), one)[int(second * (n - 1))]
        order[[one, other]] = order[[other, one]]
    return np.array(words)[order]


def swap_with_a_step(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> tuple[str, ...]:
    result, n = words.copy(), len(words)
    for k in range(max(1, int(alpha * n)) * (n > 1)):
        one, other = int(draws[k, 0] * n), int(draws[k, 1] * (n - 1))
        if other >= one:
            other += 1
        kept = result[one]
        result[one] = result[other]
        result[other] = kept
    return tuple(result)


def deletion_in_a_loop(words: list[str], draws: np.ndarray, p: float = 0.1) -> list[str]:
    kept = []
    for i in range(len(words)):
        if not draws[i] < p:
            kept.append(words[i])
    if len(kept) == 0:
        kept.append(words[list(draws).index(max(draws))])
    return kept


def deletion_by_mask(words: list[str], draws: np.ndarray, p: float = 0.1) -> np.ndarray:
    stays = draws >= min(p, draws.max())
    return np.array(words)[stays]


def marks_from_the_end(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> list[str]:
    result = words[:]
    number = int(size * max(len(words) // 3, 1)) + 1
    for i in sorted(np.argsort(places)[:number], reverse=True):
        result.insert(i, [".", ";", "?", ":", "!", ","][int(marks[i] * 6)])
    return result


def marks_by_rank(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> tuple[str, ...]:
    rank = np.argsort(np.argsort(places))
    most = int(len(words) / 3) or 1
    signs = np.array(list(".;?:!,"))[(marks * 6).astype(int)]
    pairs = [(signs[i], w) if rank[i] < 1 + int(size * most) else (w,) for i, w in enumerate(words)]
    return tuple(itertools.chain(*pairs))


def mixup_in_a_loop(vectors: Any, labels: Any, permutation: Any, lam: float) -> list[list[Any]]:
    rows = [
        [lam * a + (1 - lam) * b for a, b in zip(vectors[i], vectors[j], strict=True)] for i, j in pairs(permutation)
    ]
    targets = [
        [lam * a + (1 - lam) * b for a, b in zip(labels[i], labels[j], strict=True)] for i, j in pairs(permutation)
    ]
    return [rows, targets]


def pairs(permutation: Any) -> list[tuple[int, int]]:
    return [(i, int(j)) for i, j in enumerate(permutation)]


def mixup_by_a_matrix(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> tuple[Any, Any]:
    one = np.eye(len(vectors))
    weights = lam * one + (1 - lam) * one[permutation]
    return weights @ vectors, (weights @ labels).astype(np.float32)


def mixup_by_torch(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> tuple[Any, Any]:
    order = torch.from_numpy(permutation)
    return mix(torch.from_numpy(vectors), lam, order), mix(torch.from_numpy(labels), lam, order)


RIGHT: dict[str, list[Callable[..., Any]]] = {
    "random_swap": [swap_by_arrays, swap_with_a_step],
    "random_deletion": [deletion_in_a_loop, deletion_by_mask],
    "insert_punctuation": [marks_from_the_end, marks_by_rank],
    "mixup": [mixup_in_a_loop, mixup_by_a_matrix, mixup_by_torch],
}

# ---------------------------------------------------------------- sly answers, right on most cases


def seeded_anew(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> list[str]:
    """Ignores the draws: an answer of its own, which no check could compare."""
    return swap_with_a_step(words, np.random.default_rng(0).random(draws.shape), alpha)


def by_values(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> list[str]:
    """Swaps the first places of two words; right while no word stands twice."""
    swapped = list(words)
    for draw in draws[: max(1, int(alpha * len(words)))] if len(words) > 1 else []:
        one = int(draw[0] * len(words))
        other = [place for place in range(len(words)) if place != one][int(draw[1] * (len(words) - 1))]
        first, second = swapped.index(swapped[one]), swapped.index(swapped[other])
        swapped[first], swapped[second] = swapped[second], swapped[first]
    return swapped


SLY: dict[str, list[Callable[..., Any]]] = {
    "random_swap": [
        seeded_anew,
        by_values,
        lambda words, draws, alpha=0.1: swap_with_a_step(words, draws, min(alpha, 0.5)),
        lambda words, draws, alpha=0.1: swap_with_a_step(words, draws[:3], alpha) if len(words) < 9 else words,
        lambda words, draws, alpha=0.1: swap_with_a_step(words, draws, alpha)[::-1],
        lambda words, draws, alpha=0.1: swap_with_a_step(words, draws, alpha)[:-1],
        lambda words, draws, alpha=0.1: sorted(words),
        lambda words, draws, alpha=0.1: set(words),
        lambda words, draws, alpha=0.1: words,
        lambda words, draws, alpha=0.1: [word.upper() for word in swap_with_a_step(words, draws, alpha)],
    ],
    "random_deletion": [
        lambda words, draws, p=0.1: deletion_in_a_loop(words, draws - 1e-9, p),
        lambda words, draws, p=0.1: deletion_in_a_loop(words, draws, min(p, 0.5)),
        lambda words, draws, p=0.1: deletion_in_a_loop(words, draws, max(p, 0.01)),
        lambda words, draws, p=0.1: list(dict.fromkeys(deletion_in_a_loop(words, draws, p))),
        lambda words, draws, p=0.1: deletion_in_a_loop(words, draws, p)[::-1],
        lambda words, draws, p=0.1: np.flatnonzero(draws >= p),
        lambda words, draws, p=0.1: words,
        lambda words, draws, p=0.1: set(deletion_in_a_loop(words, draws, p)),
    ],
    "insert_punctuation": [
        lambda words, size, places, marks: marks_by_rank(words, min(size, 0.7), places, marks),
        lambda words, size, places, marks: marks_by_rank(words, size, places, np.minimum(marks, 0.8)),
        lambda words, size, places, marks: marks_by_rank(words, size, places, np.maximum(marks, 0.2)),
        lambda words, size, places, marks: marks_by_rank(words, size, marks, marks),
        lambda words, size, places, marks: marks_by_rank(words, size, places, places),
        lambda words, size, places, marks: marks_by_rank(words, size, places, marks[::-1]),
        lambda words, size, places, marks: [w for w in marks_by_rank(words, size, places, marks) if w != ","],
        lambda words, size, places, marks: [w for w in marks_by_rank(words, size, places, marks) if w in ".;?:!,"],
        lambda words, size, places, marks: [w.replace(",", "-") for w in marks_by_rank(words, size, places, marks)],
        lambda words, size, places, marks: words,
    ],
    "mixup": [
        lambda x, y, order, lam: mixup_by_a_matrix(x, y, order, max(lam, 1 - lam)),
        lambda x, y, order, lam: mixup_by_a_matrix(x, y, order, round(lam, 1)),
        lambda x, y, order, lam: tuple(part.round(2) for part in mixup_by_a_matrix(x, y, order, lam)),
        lambda x, y, order, lam: (mixup_by_a_matrix(x, y, order, lam)[0], y / y.sum(axis=1, keepdims=True)),
        lambda x, y, order, lam: (*mixup_by_a_matrix(x, y, order, lam), lam),
        lambda x, y, order, lam: dict(zip(("vectors", "labels"), mixup_by_a_matrix(x, y, order, lam), strict=True)),
        lambda x, y, order, lam: [part[::-1] for part in mixup_by_a_matrix(x, y, order, lam)],
        lambda x, y, order, lam: [part[:1] for part in mixup_by_a_matrix(x, y, order, lam)],
    ],
}


# ---------------------------------------------------------------- mistakes in other words than the stored ones


def swap_two_lines(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> list[str]:
    result, n = words[:], len(words)
    if n == 1:
        return result
    for first, second in draws[: max(1, int(alpha * n))]:
        one = int(first * n)
        other = [place for place in range(n) if place != one][int(second * (n - 1))]
        result[one] = result[other]
        result[other] = result[one]
    return result


def swap_in_the_given_list(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> list[str]:
    for place, word in enumerate(swap_with_a_step(words, draws, alpha)):
        words[place] = word
    return words


def swaps_without_minimum(words: list[str], draws: np.ndarray, alpha: float = 0.1) -> list[str]:
    number = int(alpha * len(words))
    return list(swap_with_a_step(words, draws, alpha)) if number else list(words)


def deletes_while_going(words: list[str], draws: np.ndarray, p: float = 0.1) -> list[str]:
    left = words.copy()
    for place in range(len(words)):
        if draws[place] < p and place < len(left):
            left.pop(place)
    return left if left else [words[draws.argmax()]]


def keeps_all_instead(words: list[str], draws: np.ndarray, p: float = 0.1) -> list[str]:
    kept = [words[i] for i in np.flatnonzero(draws >= p)]
    return kept if len(kept) > 0 else words[:]


def inserts_into_a_growing_list(words: list[str], size: float, places: np.ndarray, marks: np.ndarray) -> list[str]:
    result, number = words.copy(), 1 + int(size * max(1, len(words) // 3))
    for place in sorted(places.argsort()[:number]):
        result = [*result[:place], ".;?:!,"[int(marks[place] * 6)], *result[place:]]
    return result


def writes_into_the_rows(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Any:
    mixed = [vectors.copy(), labels.copy()]
    for part in mixed:
        for i, partner in pairs(permutation):
            part[i] += (1 - lam) * (part[partner] - part[i])
    return tuple(mixed)


def partner_of_the_partner(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Any:
    rows, targets = np.empty_like(vectors), np.empty_like(labels)
    rows[permutation] = lam * vectors[permutation] + (1 - lam) * vectors
    targets[permutation] = lam * labels[permutation] + (1 - lam) * labels
    return rows, targets


MISTAKES: list[tuple[Callable[..., Any], str, str]] = [
    (swap_two_lines, "random_swap", "overwritten before it is moved"),
    (swap_in_the_given_list, "random_swap", "changes the words it was given"),
    (swaps_without_minimum, "random_swap", "at least one swap"),
    (deletes_while_going, "random_deletion", "while you go through it"),
    (keeps_all_instead, "random_deletion", "you keep them all"),
    (inserts_into_a_growing_list, "insert_punctuation", "a list that grows"),
    (writes_into_the_rows, "mixup", "You write into the rows"),
    (partner_of_the_partner, "mixup", "row permutation[i] with row i"),
]

(
    test_all_exercises_are_there,
    test_other_right_answers_pass,
    test_sly_wrong_answers_do_not_pass,
    test_a_mistake_written_in_another_way_is_recognised,
    test_references_agree_with_other_right_answers,
) = judging(augmentation.EXERCISES, RIGHT, SLY, MISTAKES, {})


def test_the_judges_name_the_word_and_the_row() -> None:
    lost = check.random_swap(lambda words, draws, alpha=0.1: list(words[:-1]))
    assert lost.message.startswith("The word 'good' was lost."), lost
    doubled = check.random_swap(lambda words, draws, alpha=0.1: [*words, words[0]])
    assert doubled.message.startswith("There is one 'the' too many."), doubled
    still = check.random_swap(lambda words, draws, alpha=0.1: list(words))
    assert still.message.startswith("No word has moved."), still
    invented = check.random_deletion(lambda words, draws, p=0.1: ["film", "noir"])
    assert "'noir', which is not a word of the text" in invented.message
    bracket = check.insert_punctuation(lambda words, size, places, marks: ["(", *words])
    assert "'(', which is neither a word of the text nor one of the six marks" in bracket.message
    order = check.insert_punctuation(lambda words, size, places, marks: [".", *words[::-1]])
    assert order.message.startswith("Without the marks, the words should stand as before"), order
    unlike = check.mixup(lambda x, y, order, lam: (x, 2 * y))
    assert unlike.message.startswith("Row 0 of the labels adds up to 2, not to 1."), unlike


@pytest.mark.parametrize("factor", [1 + 2e-5, 1 + 1e-4])
def test_a_mixture_that_is_hardly_off_is_refused_with_its_row(factor: float) -> None:
    """Close to the tolerance the judge must neither pass nor fail itself."""
    verdict = check.mixup(lambda x, y, order, lam: (mixup_by_a_matrix(x, y, order, lam)[0] * factor, y[order]))
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

WORDS = st.lists(st.sampled_from(["not", "a", "good", "film", "good"]), min_size=1, max_size=30)


@given(WORDS, st.floats(0.01, 1), st.integers(0, 10**6))
@settings(deadline=None)
def test_a_swap_keeps_all_words_and_moves_at_most_two_each(words: list[str], alpha: float, seed: int) -> None:
    draws = np.random.default_rng(seed).random((len(words), 2))
    before = list(words)
    swapped = reference.random_swap(words, draws, alpha)
    assert words == before and swapped is not words
    assert Counter(swapped) == Counter(words)
    moved = sum(a != b for a, b in zip(words, swapped, strict=True))
    assert moved <= 2 * max(1, int(alpha * len(words)))
    assert reference.random_swap(words, draws, alpha) == swapped, "the draws alone decide"


def test_every_pair_of_places_is_swapped_as_often() -> None:
    draws, words = np.random.default_rng(0).random((20_000, 1, 2)), list("abcd")
    found = Counter("".join(reference.random_swap(words, draw)) for draw in draws)
    assert len(found) == 6, "pairs of four places, none with itself"
    for count in found.values():
        assert count / len(draws) == pytest.approx(1 / 6, abs=4 * (5 / 36 / len(draws)) ** 0.5)


@given(WORDS, st.floats(0, 1), st.integers(0, 10**6))
@settings(deadline=None)
def test_a_deletion_leaves_a_part_in_order_and_never_nothing(words: list[str], p: float, seed: int) -> None:
    draws = np.random.default_rng(seed).random(len(words))
    numbered = [f"{i}:{word}" for i, word in enumerate(words)]
    kept = reference.random_deletion(numbered, draws, p)
    places = [int(word.split(":")[0]) for word in kept]
    assert places == sorted(set(places)) and places
    dropped = [i for i in range(len(words)) if i not in places]
    assert all(draws[i] < p for i in dropped)
    assert all(draws[i] >= p for i in places) or len(places) == 1


def test_shares_of_the_deletion() -> None:
    random = np.random.default_rng(0)
    words = ["w"] * 50
    kept = sum(len(reference.random_deletion(words, random.random(50), 0.1)) for _ in range(1000))
    assert kept / 50_000 == pytest.approx(0.9, abs=4 * (0.09 / 50_000) ** 0.5)
    last = Counter(reference.random_deletion(["a", "b", "c"], random.random(3), 1.0)[0] for _ in range(3000))
    assert all(count / 3000 == pytest.approx(1 / 3, abs=4 * (2 / 9 / 3000) ** 0.5) for count in last.values())


@given(WORDS, st.integers(0, 10**6))
@settings(deadline=None)
def test_punctuation_adds_one_to_a_third_and_touches_no_word(words: list[str], seed: int) -> None:
    random = np.random.default_rng(seed)
    result = reference.insert_punctuation(words, random.random(), random.random(len(words)), random.random(len(words)))
    marks = [word for word in result if word in ".;?:!,"]
    assert [word for word in result if word not in ".;?:!,"] == words
    assert 1 <= len(marks) <= max(1, len(words) / 3)
    assert result[-1] not in marks, "a mark stands before a word"
    assert all(one not in marks or other not in marks for one, other in itertools.pairwise(result))


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


@given(st.integers(1, 6), st.floats(0, 1), st.integers(0, 10**6))
@settings(deadline=None)
def test_mixup_is_that_of_the_course_and_keeps_sums(n: int, lam: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors, labels, order = random.normal(size=(n, 3)), random.dirichlet(np.ones(2), n), random.permutation(n)
    rows, targets = reference.mixup(vectors, labels, order, lam)
    np.testing.assert_allclose(rows, mix(torch.from_numpy(vectors), lam, torch.from_numpy(order)), atol=1e-12)
    np.testing.assert_allclose(rows.sum(axis=0), vectors.sum(axis=0), atol=1e-9)
    np.testing.assert_allclose(targets.sum(axis=1), 1)


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
