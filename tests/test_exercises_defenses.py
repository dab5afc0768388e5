"""Defenses: other right answers pass, sly ones do not, references agree with the library and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from sklearn.metrics import roc_auc_score

from course_lib.defenses.ensembles import Ensemble
from course_lib.exercises import reference
from course_lib.exercises.topics import defenses
from course_lib.exercises.topics.defenses import EditDistance, ToyReader

# ---------------------------------------------------------------- other right answers


def posterior_in_a_loop(counts: Any, typo_probability: Any) -> list[float]:
    total = sum(count * chance for count, chance in zip(counts, typo_probability, strict=True))
    return [count * chance / total for count, chance in zip(counts, typo_probability, strict=True)]


def vote_by_fractions(probabilities: np.ndarray) -> np.ndarray:
    """All probabilities together weigh less than one vote."""
    members, _, classes = probabilities.shape
    counts = (probabilities.argmax(2)[..., None] == np.arange(classes)).sum(0)
    return (counts + probabilities.sum(axis=0) / (members + 1)).argmax(axis=1).astype(np.int32)


@dataclass(frozen=True)
class Told:
    """A classifier with given probabilities, (n, classes)."""

    table: np.ndarray

    @property
    def classes_(self) -> np.ndarray:
        return np.arange(self.table.shape[1])

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        return self.table[: len(texts)]

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        return self.predict_proba(texts).argmax(1)


def vote_of_the_course(probabilities: np.ndarray) -> np.ndarray:
    ensemble = Ensemble([Told(table) for table in probabilities], how="vote")
    return ensemble.predict([f"text {i}" for i in range(probabilities.shape[1])])


def auc_by_scikit_learn(clean: np.ndarray, attacked: np.ndarray) -> Any:
    return roc_auc_score(np.repeat([0, 1], [len(clean), len(attacked)]), np.concatenate([clean, attacked]))


def importance_text_by_text(predict: Any, words: list[str], label: int, kept: np.ndarray) -> list[float]:
    changed = [predict([[w for w, keep in zip(words, row, strict=True) if keep]])[0] != label for row in kept.tolist()]
    result = []
    for column in kept.T.tolist():
        groups = [[c for c, keep in zip(changed, column, strict=True) if keep == wanted] for wanted in (0, 1)]
        result.append(sum(groups[0]) / len(groups[0]) - sum(groups[1]) / len(groups[1]) if all(groups) else 0.0)
    return result


def survivors_by_filter(word: str, candidates: list[str], correct: Callable[[str], str]) -> list[str]:
    return list(filter(lambda one: correct(one).casefold() != correct(word).casefold(), candidates))


def attack_recursively(
    predict: Any, words: list[str], label: int, candidates: list[list[str]], importance: np.ndarray, most: int
) -> list[str]:
    order = sorted((i for i in range(len(words)) if candidates[i]), key=lambda i: -importance[i])[:most]
    for count in range(1, len(order) + 1):
        text = [candidates[i][0] if i in order[:count] else word for i, word in enumerate(words)]
        if predict([text])[0] != label:
            for i in order[: count - 1]:
                shorter = [*text[:i], words[i], *text[i + 1 :]]
                text = shorter if predict([shorter])[0] != label else text
            return text
    return words[:]


def accuracies_text_by_text(predict: Any, attack: Any, texts: list[list[str]], labels: list[int]) -> list[float]:
    right = [predict([words])[0] == label for words, label in zip(texts, labels, strict=True)]
    held = [
        ok and predict([attack(words, label)])[0] == label
        for ok, words, label in zip(right, texts, labels, strict=True)
    ]
    return [sum(right) / len(texts), sum(held) / len(texts)]


def closest_by_levels(word: str, counts: dict[str, int], distance: Callable[[str, str], int], most: int) -> str:
    low = word.lower()
    if low.isalpha() and low not in counts:
        for level in range(1, most + 1):
            near = [known for known in counts if distance(low, known) == level]
            if near:
                return max(near, key=counts.__getitem__)
    return word


RIGHT: dict[str, list[Answer]] = {
    "posterior": [posterior_in_a_loop],
    "majority_vote": [vote_by_fractions, vote_of_the_course],
    "auc": [auc_by_scikit_learn],
    "word_importance": [importance_text_by_text],
    "surviving_typos": [survivors_by_filter],
    "label_only_attack": [attack_recursively],
    "accuracy_under_attack": [accuracies_text_by_text],
    "closest_word": [closest_by_levels],
}
READER = ToyReader((("good", 1.0), ("fine", 0.5), ("dull", -1.25), ("bad", -0.75)))
WORDS = st.lists(st.sampled_from(["good", "fine", "dull", "bad", "film"]), min_size=1, max_size=6)


def drawn_attack(random: np.random.Generator, words: list[str], most: int) -> tuple[Any, ...]:
    candidates = [[f"{word}s"] * int(random.integers(0, 2)) for word in words]
    return READER, words, READER([words])[0], candidates, random.integers(-2, 3, len(words)) / 4, most


DRAWN = {
    "posterior": st.builds(lambda random, n: (random.integers(1, 99, n), random.random(n)), SEED, SIZES),
    "majority_vote": st.builds(
        lambda random, members, n, classes: (random.dirichlet(np.ones(classes), (members, n)),),
        *(SEED, SIZES, SIZES, st.integers(2, 4)),
    ),
    "auc": st.builds(
        lambda random, n, m: (random.integers(0, 4, n) / 4, random.integers(0, 5, m) / 4), SEED, SIZES, SIZES
    ),
    "word_importance": st.builds(
        lambda random, words, masks: (READER, words, 1, random.integers(0, 2, (masks, len(words)))), SEED, WORDS, SIZES
    ),
    "label_only_attack": st.builds(drawn_attack, SEED, WORDS, SIZES),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "posterior": [
        lambda counts, chances: reference.posterior(np.minimum(counts, 1000), chances),
        lambda counts, chances: reference.posterior(counts, np.maximum(chances, 1e-3)),
    ],
    "majority_vote": [
        lambda p: vote_by_fractions(p[:3]),
        lambda p: vote_by_fractions(p[:, :, :2]),
        lambda p: vote_by_fractions(p.round(1)),
        ("return winners", "return winners.astype(float)"),
        ("return winners", "return winners[:, None]"),
        ("return winners", "return winners.astype(bool)"),
        ("return winners", "return (counts + probabilities.sum(axis=0)).argmax(axis=1)"),
    ],
    "auc": [
        lambda clean, attacked: max(auc_by_scikit_learn(clean, attacked), 0.5),
        lambda clean, attacked: auc_by_scikit_learn(clean[:3], attacked[:3]),
    ],
    "word_importance": [
        lambda predict, words, label, kept: reference.word_importance(predict, words, 1, kept),
        ("not present.all()", "True"),
        lambda predict, words, label, kept: reference.word_importance(predict, words, label, kept[:10]),
    ],
    "surviving_typos": [
        lambda word, candidates, correct: list(dict.fromkeys(reference.surviving_typos(word, candidates, correct))),
        ("correct(word).lower()", "correct(word.lower()).lower()[:4]"),
    ],
    "label_only_attack": [
        ('kind="stable")', 'kind="stable")[:3]'),
        lambda *given: reference.label_only_attack(*given[:5], min(given[5], 2)),
        ("changed[:-1]", "changed[:1]"),
    ],
    "accuracy_under_attack": [
        lambda predict, attack, texts, labels: reference.accuracy_under_attack(predict, attack, texts[:3], labels[:3]),
        ("float(held.mean())", "float(min(held.mean(), right.mean() / 2))"),
    ],
    "closest_word": [
        lambda word, counts, distance, most: reference.closest_word(word, counts, distance, 2),
        ("entry[0] <= most", "entry[0] <= min(most, 1)"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def averaged(probabilities: np.ndarray) -> list[int]:
    return [int(np.argmax(table.sum(axis=0))) for table in np.swapaxes(probabilities, 0, 1)]


MISTAKES: Mistakes = {
    "majority_vote": [
        (averaged, "You average the probabilities"),
        (lambda p: 0 * vote_by_fractions(p) + 1, "votes: class 0: 2, class 1: 1. Your class 1 should be 0."),
        (
            lambda p: np.where(p.shape[1] == 3, 1 - vote_by_fractions(p), vote_by_fractions(p)),
            "Text 0 has these votes (a tie): class 0: 1, class 1: 1.",
        ),
    ],
    "posterior": [(lambda counts, chances: np.ones(len(counts)) / len(counts), "they do not follow Bayes' rule.")],
    "auc": [(lambda clean, attacked: 2.0, "A probability lies between 0 and 1. Yours is 2.")],
    "label_only_attack": [
        (lambda predict, words, *rest: words, "The label is still the same"),
        (lambda predict, words, *rest: words[1:], "The result has"),
    ],
}

TestExercises = judged((*defenses.EXERCISES, *defenses.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- what references promise


def test_the_worked_examples_of_the_tasks() -> None:
    tables = np.array([[[0.6, 0.4]], [[0.6, 0.4]], [[0.05, 0.95]]])
    assert reference.majority_vote(tables).tolist() == [0]
    assert tables[:, 0].sum(axis=0).argmax() == 1
    assert reference.majority_vote(tables[[0, 2]]).tolist() == [1]
    np.testing.assert_allclose(reference.posterior(np.array([90, 10]), np.array([0.1, 0.9])), [0.5, 0.5])
    assert reference.auc(np.array([0.1, 0.2]), np.array([0.3, 0.15])) == 0.75


def test_the_numbers_of_the_quiz() -> None:
    true_alarms, false_alarms = 0.9 * 10, 0.1 * 990
    assert round(true_alarms / (true_alarms + false_alarms), 2) == 0.08


def test_the_distance_is_that_of_levenshtein() -> None:
    words = ["", "a", "great", "grate", "graet", "film", "flim", "great deal"]
    for one in words:
        assert [EditDistance()(one, other) for other in words] == [Levenshtein.distance(one, other) for other in words]
