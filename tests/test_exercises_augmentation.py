"""Augmentation: other right answers pass, sly ones do not, references keep what augmentation promises."""

from __future__ import annotations

from collections import Counter
from random import Random
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


def mixup_by_torch(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> tuple[Any, Any]:
    order = torch.from_numpy(permutation)
    return mix(torch.from_numpy(vectors), lam, order), mix(torch.from_numpy(labels), lam, order)


def proposals_by_dict(word: str, tag: str, thesaurus: dict[str, Any], avoid: set[str]) -> list[str]:
    own = word.lower()
    senses = thesaurus[own] if own in thesaurus and own not in avoid else []
    every = dict.fromkeys(new for kind, words in senses if kind == tag for new in words)
    return [new for new in every if new.lower() not in {own, *avoid}]


def rewrite_by_choice(
    words: list[str], tags: list[str], thesaurus: dict[str, Any], avoid: set[str], fraction: float, seed: int
) -> list[str]:
    """Another order of draws: the words first, then the places."""
    dice = Random(seed)
    options = [reference.propose(*pair, thesaurus, avoid) for pair in zip(words, tags, strict=True)]
    new = [dice.choice(found) if found else word for word, found in zip(words, options, strict=True)]
    places = [place for place in range(len(words)) if options[place]]
    chosen = set(dice.sample(places, min(len(places), max(1, int(fraction * len(words))))))
    return [new[place] if place in chosen else word for place, word in enumerate(words)]


class FilterInBatches:
    """Predicts all attempts of a text at once."""

    def __init__(self, make: Any, predict: Any, attempts: int = 5) -> None:
        self.make, self.predict, self.attempts = make, predict, attempts

    def __call__(self, texts: list[str], seed: int = 0, labels: object = None) -> list[str]:
        return [self.first_that_passes(text, seed) for text in texts]

    def first_that_passes(self, text: str, seed: int) -> str:
        start = seed * self.attempts
        made = [self.make(text, number) for number in range(start, start + self.attempts)]
        label, *predicted = self.predict([text, *made])
        return next((new for new, one in zip(made, predicted, strict=True) if one == label and new != text), text)


def measured_one_by_one(
    operation: Any, texts: list[str], labels: list[int], predict: Any, vectors: Any, copies: int = 3
) -> dict[str, Any]:
    rows = []
    for seed in range(copies):
        for old, new, label in zip(texts, operation(texts, seed), labels, strict=True):
            words = set(new.split())
            one, other = np.asarray(vectors([old, new]))
            cosine = one @ other / (one @ one) ** 0.5 / (other @ other) ** 0.5
            rows.append((new, predict([new])[0] == label, len(words - set(old.split())) / len(words), cosine))
    made, fidelity, novelty, similarity = zip(*rows, strict=True)
    means = {"fidelity": np.mean(fidelity), "novelty": np.mean(novelty), "similarity": np.mean(similarity)}
    return means | {"diversity": np.float64(len(set(made)) / len(made))}


RIGHT: dict[str, list[Answer]] = {
    "random_swap": [swap_by_arrays],
    "random_deletion": [deletion_by_mask],
    "mixup": [mixup_by_torch],
    "propose": [proposals_by_dict],
    "rewrite": [rewrite_by_choice],
    "FilteredRewrites": [FilterInBatches],
    "judge_augmentation": [measured_one_by_one],
}

WORDS = st.lists(st.sampled_from(["not", "a", "good", "film", "good"]), min_size=1, max_size=30)
DRAWN = {
    "random_swap": st.builds(
        lambda random, words, alpha: (words, random.random((len(words), 2)), alpha), SEED, WORDS, st.floats(0.01, 1)
    ),
    "random_deletion": st.builds(
        lambda random, words, p: (words, random.random(len(words)), p), SEED, WORDS, st.floats(0, 1)
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
    "mixup": [
        lambda x, y, order, lam: reference.mixup(x, y, order, max(lam, 1 - lam)),
        lambda x, y, order, lam: reference.mixup(x, y, order, round(lam, 1)),
        lambda x, y, order, lam: tuple(part.round(2) for part in reference.mixup(x, y, order, lam)),
        ("return mixed_vectors, mixed_labels", "return mixed_vectors, labels / labels.sum(axis=1)[:, None]"),
    ],
    "propose": [
        ("thesaurus.get(word.lower(), [])", "thesaurus.get(word.lower(), [])[:2]"),
        ("in avoid:", "in avoid or tag == 'verb':"),
        ("found.append(new)", "found.insert(0, new)"),
    ],
    "rewrite": [
        ("random.permutation(len(places))", "sorted(random.permutation(len(places)))"),
        ("random.integers(len(options[chosen]))", "-1"),
        ("max(1, int(fraction * len(words)))", "max(1, round(fraction * len(words)))"),
    ],
    "FilteredRewrites": [
        ("return text", 'return ""'),
        ("self.attempts + attempt", "5 + attempt"),
        ("new != text and", "attempt != 1 and new != text and"),
    ],
    "judge_augmentation": [
        ("set(new.split()) - set(old.split())", "set(new) - set(old)"),
        ("np.tile(labels, copies)", "np.repeat(labels, copies)"),
        ("cosines.mean()", "np.median(cosines)"),
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
    "mixup": [(lambda x, y, order, lam: (x, 2 * y), "Row 0 of the labels adds up to 2, not to 1.")],
    "propose": [(lambda *given: "movie", "The result should be a list of words")],
    "rewrite": [
        (lambda words, *rest: words[:-1], "The copy has 0 words, and the original has 1."),
        (lambda words, *rest: " ".join(words), "The result should be a list of words"),
    ],
    "FilteredRewrites": [(("self.predict([text])", "self.predict(text)"), "`predict` needs a list of texts")],
    "judge_augmentation": [
        (lambda *given: {"fidelity": 1.0}, "The result should be a dictionary with the keys fidelity, novelty"),
        (lambda *given: 0.5, "but it is a float"),
    ],
}

TestExercises = judged((*augmentation.EXERCISES, *augmentation.BUILD), RIGHT, SLY, MISTAKES, DRAWN)


@pytest.mark.parametrize("factor", [1 + 2e-5, 1 + 1e-4])
def test_a_mixture_that_is_hardly_off_is_refused_with_its_row(factor: float) -> None:
    """Close to the tolerance the judge must neither pass nor fail itself."""
    verdict = check.mixup(lambda x, y, order, lam: (reference.mixup(x, y, order, lam)[0] * factor, y[order]))
    assert verdict.message.startswith("Row 0 of the vectors is off; its partner is row 1"), verdict


@pytest.mark.parametrize("name", ["random_swap", "random_deletion"])
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
    rows, targets = reference.mixup(np.array([[2.0, 0.0], [0.0, 4.0]]), np.eye(2), np.array([1, 0]), 0.75)
    assert rows[0].tolist() == [1.5, 1.0] and targets[0].tolist() == [0.75, 0.25]


def test_figures_of_the_quiz() -> None:
    """At 87 %, 2,000 sentences leave 1.5 points either way (95 %)."""
    assert pytest.approx(0.015, abs=0.0005) == 1.96 * (0.87 * 0.13 / 2000) ** 0.5
