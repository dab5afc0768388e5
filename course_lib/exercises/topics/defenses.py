"""Defenses: spelling by a noisy channel, votes, detectors; a build that breaks a defense and repairs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import (
    array_problem,
    as_numbers,
    as_whole_numbers,
    brief,
    first_difference,
    numbers_of,
    pair_problem,
    plain,
    same,
    words_problem,
)

# ---------------- which word was meant: Bayes' rule for a noisy channel (Kernighan, Church & Gale 1990)


def posterior(counts: np.ndarray, typo_probability: np.ndarray) -> np.ndarray:
    """Probability of each candidate word (n,), from its count and the probability of the typo given it."""
    scores = counts * typo_probability
    probabilities: np.ndarray = scores / scores.sum()
    return probabilities


def _posterior_cases() -> list[Arguments]:
    random = np.random.default_rng(3)
    return [
        ([90, 10], [0.1, 0.9]),
        ([60, 20], [0.25, 0.75]),
        ([5, 0, 3], [0.2, 0.9, 0.0]),
        ([7], [0.01]),
        ([1_000_000, 3, 40], [1e-6, 0.5, 0.01]),
        (random.integers(0, 500, 6), random.random(6)),
    ]


def _judge_posterior(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if not np.isclose(numbers_of(got).sum(), 1):
        return f"The probabilities should sum to 1, but they sum to {numbers_of(got).sum():.6g}."
    return None if same(expected, got) else "The probabilities sum to 1, but they do not follow Bayes' rule."


# ---------------- several models vote, and the mean probability settles a tie
# Dietterich 2000, Ensemble Methods in Machine Learning, section 1 (Multiple Classifier Systems), for why votes help;
# Ye et al. 2020, SAFER (arXiv:2005.14424), for a vote as a defense of text classifiers.


def majority_vote(probabilities: np.ndarray) -> np.ndarray:
    """Classes (n,) with the most votes, from probabilities (members, n, classes); larger sums settle ties."""
    classes = probabilities.shape[2]
    votes = np.eye(classes)[probabilities.argmax(axis=2)]  # (members, n, classes): a 1 for the likeliest
    counts = votes.sum(axis=0)
    tied = counts == counts.max(axis=1, keepdims=True)
    winners: np.ndarray = np.where(tied, probabilities.sum(axis=0), -1).argmax(axis=1)
    return winners


def _drawn_members(seed: int, members: int, n: int, classes: int) -> Arguments:
    return (np.random.default_rng(seed).dirichlet(np.ones(classes), (members, n)),)


def _texts(*texts: list[list[float]]) -> Arguments:
    """A case from one table (members, classes) for each text."""
    return (np.stack([np.array(text) for text in texts], axis=1),)


def _majority_vote_cases() -> list[Arguments]:
    two_against_one = [[0.6, 0.4], [0.6, 0.4], [0.05, 0.95]]
    three_against_two = [[0.51, 0.49]] * 3 + [[0.05, 0.95]] * 2
    tie = [[0.625, 0.375], [0.125, 0.875]]
    third_is_sure = [[0.5, 0.1, 0.4], [0.1, 0.5, 0.4], [0.45, 0.1, 0.45 - 1e-3], [0.1, 0.46, 0.44]]
    return [
        _texts(two_against_one, [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]),
        _texts(three_against_two, three_against_two[::-1]),
        _texts(tie, tie[::-1], [[0.75, 0.25], [0.375, 0.625]]),
        _texts(third_is_sure),  # a tie of 0 and 1; the sum of 2 is the largest, but nobody votes for it
        _texts([[0.4, 0.35, 0.25], [0.3, 0.5, 0.2], [0.38, 0.02, 0.6]]),  # three classes, one vote each
        _texts([[0.75, 0.25], [0.25, 0.75]]),  # votes and sums tied: the smallest class
        _texts([[0.1, 0.2, 0.7]], [[0.6, 0.3, 0.1]]),  # one member
        _texts([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.1, 0.5, 0.4], [0.0, 0.3, 0.7], [0.0, 0.48, 0.52]]),  # 2, 1 and 2
        _texts([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 0.9, 0.1], [0.3, 0.0, 0.7], [0.1, 0.2, 0.7]]),
        _texts([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7], [0.1, 0.1, 0.8], [0.8, 0.2, 0.0]]),
        _drawn_members(1, 3, 3, 3),  # all sizes alike: the shape tells nothing
        _drawn_members(2, 4, 12, 3),
        _drawn_members(3, 6, 12, 2),
        _drawn_members(4, 5, 15, 4),
    ]


def _judge_majority_vote(case: Case, expected: Any, got: Any) -> str | None:
    numbers = as_numbers(got)
    if numbers is None or numbers.shape != expected.shape or not np.isfinite(numbers).all():
        return array_problem(expected, got)
    if as_whole_numbers(plain(got)) is None:
        return "The classes should be whole numbers."
    wrong = np.flatnonzero(numbers != expected)
    if not wrong.size:
        return None
    text, table = int(wrong[0]), case["probabilities"][:, int(wrong[0])]
    votes = np.bincount(table.argmax(axis=1), minlength=table.shape[1])
    shown = ", ".join(f"class {c}: {count}" for c, count in enumerate(votes))
    tie = " (a tie)" if (votes == votes.max()).sum() > 1 else ""
    return f"Text {text} has these votes{tie}: {shown}. Your class {int(numbers[text])} should be {expected[text]}."


# ---------------- the area under the ROC curve of a detector, as a probability (Fawcett 2006, section 7)


def auc(clean: np.ndarray, attacked: np.ndarray) -> float:
    """Probability that an attacked text has a higher score than a clean one; a tie counts one half."""
    difference = attacked[:, None] - clean[None, :]
    return float(np.mean(difference > 0) + 0.5 * np.mean(difference == 0))


def _auc_cases() -> list[Arguments]:
    random = np.random.default_rng(5)
    return [
        ([0.1, 0.2], [0.3, 0.15]),
        ([0.0, 0.0, 0.25], [0.0, 0.25]),
        ([0.5], [0.5]),
        ([1.0, 2.0, 3.0], [0.0]),
        ([-1.0, -0.5], [2.0, 3.0, 4.0]),
        (random.integers(0, 4, 7).astype(float), random.integers(1, 5, 5).astype(float)),
    ]


def _judge_auc(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if not 0 <= got <= 1:
        return f"A probability lies between 0 and 1. Yours is {brief(float(got))}."
    return None if same(expected, got) else f"The area should be {brief(expected)}, not {brief(float(got))}."


# ---------------- the build: an attack that sees labels only, made for one defense; then a better defense
# Maheshwary, Maheshwary & Pudi 2021 (arXiv:2012.14956): attacks by labels alone, whose changes are then taken back.


class NotTexts(TypeError):
    """The function was not given a list of texts, each a list of words."""


@dataclass(frozen=True)
class ToyReader:
    """Adds up the weights of the words it knows, and says 1 (positive) above 0, otherwise 0."""

    weights: tuple[tuple[str, float], ...]

    def __call__(self, texts: list[list[str]]) -> list[int]:
        if isinstance(texts, str) or any(isinstance(text, str) for text in texts):
            raise NotTexts("predict takes a list of texts, and a text is a list of words: predict([words])")
        known = dict(self.weights)
        return [int(sum(known.get(word, 0.0) for word in text) > 0) for text in texts]

    def __repr__(self) -> str:
        return "<predict>"


_READER = ToyReader((("fine", 1.0), ("great", 2.0), ("nice", 0.5), ("dull", -1.5), ("slow", -0.75), ("a", 0.1)))


def word_importance(
    predict: "Callable[[list[list[str]]], list[int]]", words: list[str], label: int, kept: np.ndarray
) -> np.ndarray:
    """For each word (n,): how much more often the label changes without it; kept is (masks, n)."""
    texts = [[word for word, keep in zip(words, row, strict=True) if keep] for row in kept]
    changed = np.array(predict(texts)) != label
    scores = np.zeros(len(words))
    for i in range(len(words)):
        present = kept[:, i].astype(bool)
        if present.any() and not present.all():
            scores[i] = changed[~present].mean() - changed[present].mean()
    return scores


def _kept(seed: int, masks: int, n: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((masks, n)) > 0.4).astype(int)


def _word_importance_cases() -> list[Arguments]:
    both = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    return [
        (_READER, ["great", "dull"], 1, both),
        (_READER, ["slow", "fine", "film"], 1, _kept(0, 12, 3)),
        (_READER, ["dull", "nice", "a", "film"], 0, _kept(1, 30, 4)),
        (_READER, ["great", "film", "fine"], 1, np.array([[1, 1, 0], [0, 1, 0], [1, 1, 0]])),  # always or never there
        (_READER, ["great"], 1, np.array([[1], [1]])),
    ]


def _judge_word_importance(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Is there a word that is kept in all masks, or in none?" if "nan" in problem else "")
    numbers = numbers_of(got)
    wrong = np.flatnonzero(~np.isclose(numbers, expected, atol=1e-6))
    if not wrong.size:
        return None
    i = int(wrong[0])
    return f"The importance of {case['words'][i]!r} should be {expected[i]:.6g}, not {numbers[i]:.6g}."


@dataclass(frozen=True)
class ToyCorrector:
    """Corrects the misspelled words of a table; returns any other word as it is."""

    table: tuple[tuple[str, str], ...]

    def __call__(self, word: str) -> str:
        if not isinstance(word, str):
            raise NotTexts("correct takes one word")
        return dict(self.table).get(word, word)

    def __repr__(self) -> str:
        return "<correct>"


_CORRECT = ToyCorrector((("grat", "great"), ("graet", "great"), ("Graet", "great"), ("fien", "fine"), ("dul", "full")))


def surviving_typos(word: str, candidates: list[str], correct: "Callable[[str], str]") -> list[str]:
    """The candidates, in order, that the model does not read as the word, after the correction."""
    read = correct(word).lower()
    return [candidate for candidate in candidates if correct(candidate).lower() != read]


def _surviving_typos_cases() -> list[Arguments]:
    return [
        ("great", ["grat", "gret", "graet"], _CORRECT),
        ("dull", ["dul", "dulll", "duul"], _CORRECT),  # the correction itself goes wrong: that survives too
        ("Great", ["Graet", "Grreat", "great"], _CORRECT),  # capitals do not matter to the model
        ("fine", ["fien", "fine"], _CORRECT),
        ("fien", ["fine", "fin"], _CORRECT),  # the word itself is corrected
        ("nice", [], _CORRECT),
        ("film", ["flim", "fillm", "flim"], _CORRECT),
    ]


def _judge_words(case: Case, expected: Any, got: Any) -> str | None:
    if problem := words_problem(got):
        return problem
    found = list(plain(got))
    if len(found) != len(expected):
        return f"The result has {len(found)} words; it should have {len(expected)}: {brief(expected)}."
    return first_difference(expected, found)


def label_only_attack(
    predict: "Callable[[list[list[str]]], list[int]]",
    words: list[str],
    label: int,
    candidates: list[list[str]],
    importance: np.ndarray,
    most: int,
) -> list[str]:
    """Change words, the most important first, until the label changes; undo what was not needed."""
    attacked = list(words)
    changed: list[int] = []
    for i in np.argsort(-importance, kind="stable"):
        if candidates[i] and len(changed) < most:
            attacked[i] = candidates[i][0]
            changed.append(i)
            if predict([attacked])[0] != label:
                break
    else:
        return list(words)
    for i in changed[:-1]:
        restored = [*attacked[:i], words[i], *attacked[i + 1 :]]
        if predict([restored])[0] != label:
            attacked = restored
    return attacked


def _label_only_attack_cases() -> list[Arguments]:
    def case(text: str, label: int, changes: dict[str, list[str]], importance: list[float], most: int) -> Arguments:
        words = text.split()
        return _READER, words, label, [changes.get(word, []) for word in words], np.array(importance), most

    typos = {"great": ["grt", "gret"], "fine": ["fyne"], "nice": ["nicce"], "dull": ["dll"], "film": ["flm"], "a": []}
    return [
        case("great film", 1, typos, [0.9, 0.1], 2),
        case("a nice fine dull great film", 1, typos, [0, 0.4, 0.3, 0, 0.2, 0.1], 5),  # nice is not needed in the end
        case("great fine film", 1, typos, [0.5, 0.4, 0.1], 1),  # one change is not enough
        case("fine fine film", 1, typos, [0.2, 0.2, 0.2], 3),  # equal importance: from left to right
        case("dull film", 0, typos, [0.3, -0.2], 2),
        case("fine fine dull", 1, typos, [0.5, 0.9, 0.1], 2),  # one of two equal words, by its importance
        case("fine fine dull", 1, typos, [0.5, 0.5, 0.1], 2),  # and the left one, where these are equal too
        case("film great", 1, {"great": ["grt"]}, [0.9, 0.5], 1),  # a word without candidates is no change
        case("dull great fine", 1, typos, [0.5, 0.4, 0.3], 3),  # the last change stays
        case("dull great film", 1, typos, [-0.5, 0.1, 0.2], 2),
        case("great a", 1, {}, [0.5, 0.1], 2),  # nothing can be changed
        case("nice a film fine", 1, typos | {"a": ["b"]}, [0.1, 0.5, 0.4, 0.3], 4),
    ]


def _judge_label_only_attack(case: Case, expected: Any, got: Any) -> str | None:
    if problem := words_problem(got):
        return problem
    found = list(plain(got))
    if len(found) != len(case["words"]):
        return f"The result has {len(found)} words; it should have {len(case['words'])}."
    succeeded = case["predict"]([expected])[0] != case["label"]
    if succeeded and case["predict"]([found])[0] == case["label"]:
        return "The label is still the same, though a change that you may make changes it."
    changes = sum(one != other for one, other in zip(found, case["words"], strict=True))
    if changes > sum(one != other for one, other in zip(expected, case["words"], strict=True)):
        return f"{changes} words are changed. Fewer are enough."
    return first_difference(expected, found)


def accuracy_under_attack(
    predict: "Callable[[list[list[str]]], list[int]]",
    attack: "Callable[[list[str], int], list[str]]",
    texts: list[list[str]],
    labels: list[int],
) -> tuple[float, float]:
    """Accuracy before the attack, and accuracy on what the attack makes of the texts that were right."""
    right = np.array(predict(texts)) == np.array(labels)
    attacked = [attack(words, label) if ok else words for words, label, ok in zip(texts, labels, right, strict=True)]
    held = right & (np.array(predict(attacked)) == np.array(labels))
    return float(right.mean()), float(held.mean())


@dataclass(frozen=True)
class ToyAttack:
    """Replaces one word; knows neither the model nor the label."""

    old: str
    new: str

    def __call__(self, words: Sequence[str], label: int) -> list[str]:
        if isinstance(words, str) or not isinstance(label, int | np.integer):
            raise NotTexts("attack takes the words of one text and its label: attack(words, label)")
        return [self.new if word == self.old else word for word in words]

    def __repr__(self) -> str:
        return f"<attack: {self.old} -> {self.new}>"


def _accuracy_under_attack_cases() -> list[Arguments]:
    texts = [text.split() for text in ("great film", "fine film", "dull film", "dull great film", "slow fine film")]
    return [
        (_READER, ToyAttack("great", "grt"), texts, [1, 1, 0, 1, 1]),
        (_READER, ToyAttack("dull", "great"), texts, [1, 0, 0, 0, 1]),  # it would repair a text that was wrong
        (_READER, ToyAttack("fine", "fyne"), texts[1:3], [1, 0]),
        (_READER, ToyAttack("film", "flm"), texts, [0, 0, 1, 0, 1]),
        (_READER, ToyAttack("great", "dull"), texts[:1], [1]),
        (_READER, ToyAttack("dull", "slow"), [["dull", "fine"], ["great"], ["dull"]], [1, 1, 0]),
    ]


def _judge_accuracies(case: Case, expected: Any, got: Any) -> str | None:
    names = ("the accuracy", "the accuracy under attack")
    if problem := pair_problem(names, expected, got):
        return problem
    for name, wanted, found in zip(names, expected, got, strict=True):
        if not same(wanted, found):
            return f"{name[0].upper()}{name[1:]} should be {wanted:.6g}, not {float(found):.6g}."
    return None


def closest_word(word: str, counts: dict[str, int], distance: "Callable[[str, str], int]", most: int) -> str:
    """The known word that is nearest to an unknown one, at a distance of at most `most`."""
    low = word.lower()
    if low in counts or not low.isalpha():
        return word
    near = [(distance(low, known), -count, known) for known, count in counts.items()]
    near = [entry for entry in near if entry[0] <= most]
    return min(near)[2] if near else word


@dataclass(frozen=True)
class EditDistance:
    """Insertions, deletions and substitutions of letters that turn one word into the other (Levenshtein 1966)."""

    def __call__(self, one: str, other: str) -> int:
        row = list(range(len(other) + 1))
        for i, letter in enumerate(one, start=1):
            above, row[0] = row[0], i
            for j, wanted in enumerate(other, start=1):
                above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (letter != wanted))
        return row[-1]

    def __repr__(self) -> str:
        return "<distance>"


def _closest_word_cases() -> list[Arguments]:
    counts = {"great": 50, "greet": 2, "film": 40, "fine": 30, "find": 60, "a": 90, "fund": 5, "dull": 8}
    written = ("gret", "fin", "Film", "Graet", "xyzzy", "10th", "fne", "dul", "funn", "flim", "a1", "")
    return [(word, counts, EditDistance(), 2) for word in written] + [
        ("grat", counts, EditDistance(), 1),
        ("graaat", counts, EditDistance(), 1),
        ("Grt", counts, EditDistance(), 2),
        ("film", {"films": 3}, EditDistance(), 2),
        ("dulls", counts, EditDistance(), 0),
    ]


def _judge_closest_word(case: Case, expected: Any, got: Any) -> str | None:
    if not isinstance(got, str):
        return f"The result should be one word, but it is {brief(got)}."
    return None if got == expected else f"The result should be {expected!r} for {case['word']!r}, not {got!r}."


def _changes_all_at_once(
    predict: "Callable[[list[list[str]]], list[int]]",
    words: list[str],
    label: int,
    candidates: list[list[str]],
    importance: np.ndarray,
    most: int,
) -> list[str]:
    """The `most` most important words are changed without a query in between."""
    attacked = list(words)
    for i in np.argsort(-importance, kind="stable")[:most]:
        attacked[i] = candidates[i][0] if candidates[i] else words[i]
    return attacked if predict([attacked])[0] != label else list(words)


def _keeps_only_flips(
    predict: "Callable[[list[list[str]]], list[int]]",
    words: list[str],
    label: int,
    candidates: list[list[str]],
    importance: np.ndarray,
    most: int,
) -> list[str]:
    """Tries each word alone."""
    for i in np.argsort(-importance, kind="stable"):
        attacked = [*words[:i], *(candidates[i][:1] or [words[i]]), *words[i + 1 :]]
        if predict([attacked])[0] != label:
            return attacked
    return list(words)


EXERCISES = (
    Exercise(posterior, _posterior_cases, _judge_posterior),
    Exercise(majority_vote, _majority_vote_cases, _judge_majority_vote),
    Exercise(auc, _auc_cases, _judge_auc),
)
BUILD = (
    Exercise(word_importance, _word_importance_cases, _judge_word_importance),
    Exercise(surviving_typos, _surviving_typos_cases, _judge_words),
    Exercise(label_only_attack, _label_only_attack_cases, _judge_label_only_attack),
    Exercise(accuracy_under_attack, _accuracy_under_attack_cases, _judge_accuracies),
    Exercise(closest_word, _closest_word_cases, _judge_closest_word),
)
