"""New training texts out of old ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise, Refused
from course_lib.exercises.values import (
    as_words,
    first_difference,
    kind,
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
    Exercise(mixup, _mixup_cases, _judge_mixup),
)


# ---------------- build: an augmentation of one's own, judged
# What `run` of a stage returns does not depend on the order in which random numbers are drawn: which words can be
# replaced by which, and how often, over many seeds.

THESAURUS: dict[str, list[tuple[str, list[str]]]] = {
    "film": [("noun", ["movie", "picture"]), ("verb", ["shoot"])],
    "story": [("noun", ["tale", "narrative"])],
    "clever": [("adj", ["smart", "bright"])],
    "slow": [("adj", ["dull", "sluggish"]), ("verb", ["decelerate"])],
    "good": [("adj", ["full", "fine"])],
    "like": [("verb", ["wish"]), ("adj", ["similar", "same"]), ("adj", ["alike", "similar"])],
    "poor": [("adj", ["Bad", "needy"])],
    "bank": [("noun", ["bank", "shore", "Bank"]), ("noun", ["depository"])],
}


def propose(
    word: str,
    tag: str,
    thesaurus: dict[str, list[tuple[str, list[str]]]],
    avoid: set[str],
) -> list[str]:
    """Words that may replace `word` where it is used as `tag`, in the order of the thesaurus."""
    found: list[str] = []
    if word.lower() in avoid:
        return found
    for sense_tag, synonyms in thesaurus.get(word.lower(), []):
        for new in synonyms:
            fits = sense_tag == tag and new.lower() != word.lower() and new.lower() not in avoid
            if fits and new not in found:
                found.append(new)
    return found


def _propose_cases() -> list[Arguments]:
    rows = [
        ("film", "noun", []),
        ("film", "verb", []),
        ("story", "adj", []),
        ("zebra", "noun", []),
        ("Film", "noun", []),
        ("slow", "adj", ["dull"]),
        ("good", "adj", ["good", "bad"]),
        ("Good", "adj", ["good"]),
        ("poor", "adj", ["bad"]),
        ("bank", "noun", []),
        ("BANK", "noun", []),
        ("like", "adj", []),
        ("like", "adj", ["same", "alike", "similar"]),
    ]
    return [(word, tag, THESAURUS, set(avoid)) for word, tag, avoid in rows]


def _run_propose(
    answer: Any, word: str, tag: str, thesaurus: dict[str, list[tuple[str, list[str]]]], avoid: set[str]
) -> Any:
    return answer(word, tag, thesaurus, avoid)


def _judge_propose(case: Case, expected: Any, got: Any) -> str | None:
    words = as_words(got)
    if words is None:
        return words_problem(got)
    if words == expected:
        return None
    if len(words) != len(expected):
        return f"There are {len(words)} words; there should be {len(expected)}."
    return first_difference(expected, words)


def rewrite(
    words: list[str],
    tags: list[str],
    thesaurus: dict[str, list[tuple[str, list[str]]]],
    avoid: set[str],
    fraction: float,
    seed: int,
) -> list[str]:
    """A copy of `words` in which a fraction of them, and at least one, is replaced by proposed words."""
    random = np.random.default_rng(seed)
    options = [propose(word, tag, thesaurus, avoid) for word, tag in zip(words, tags, strict=True)]
    places = [place for place, found in enumerate(options) if found]
    wanted = max(1, int(fraction * len(words)))
    new = list(words)
    for place in random.permutation(len(places))[:wanted]:
        chosen = places[place]
        new[chosen] = options[chosen][random.integers(len(options[chosen]))]
    return new


_TAGS = {"film": "noun", "story": "noun", "clever": "adj", "slow": "adj", "good": "adj", "like": "verb"}
_SEEDS, _AGAIN = 50, 20  # that an answer is called with, and called with again


def _rewrite_cases() -> list[Arguments]:
    rows = [
        ("film", 0.1, []),
        ("a film", 0.1, []),
        ("a clever film", 0.1, []),
        ("a slow film", 0.5, ["slow"]),
        ("the film is not good", 0.2, ["not", "good"]),
        ("a clever story and a slow film", 0.4, []),
        ("a good film with a clever story", 0.5, ["good"]),
        ("the actors were not there", 0.4, []),
        ("a film a story", 1.0, []),
    ]
    return [
        (text.split(), [_TAGS.get(word, "none") for word in text.split()], fraction, set(avoid))
        for text, fraction, avoid in rows
    ]


def _run_rewrite(answer: Any, words: list[str], tags: list[str], fraction: float, avoid: set[str]) -> Any:
    """How many words are replaced, at which places and by which words, over many seeds."""
    made = [answer(words, tags, THESAURUS, avoid, fraction, seed) for seed in range(_SEEDS)]
    for result in made:
        if as_words(result) is None:
            raise Refused(words_problem(result) or "")
        if len(result) != len(words):
            raise Refused(f"The copy has {len(result)} words, and the original has {len(words)}.")
    options = [propose(word, tag, THESAURUS, avoid) for word, tag in zip(words, tags, strict=True)]
    changes = [[(i, new) for i, new in enumerate(result) if new != words[i]] for result in made]
    every = sorted({change for one in changes for change in one})
    return {
        "replaced": sorted({len(one) for one in changes}),
        "places": sorted({place for place, _ in every}),
        "words": sorted({new for _, new in every}),
        "one index in each copy": all(
            len({options[i].index(new) if new in options[i] else -1 for i, new in one}) < 2 for one in changes
        ),
        "repeatable": all(
            list(made[seed]) == list(answer(words, tags, THESAURUS, avoid, fraction, seed)) for seed in range(_AGAIN)
        ),
    }


def _judge_rewrite(case: Case, expected: Any, got: Any) -> str | None:
    said = {
        "repeatable": "The same seed gives two different copies.",
        "replaced": f"Over {_SEEDS} seeds, the numbers of replaced words are {got['replaced']}.",
        "places": f"Over {_SEEDS} seeds, the words at the places {got['places']} are replaced.",
        "words": f"Over {_SEEDS} seeds, these words are put in: {', '.join(got['words'])}.",
        "one index in each copy": "All new words of a copy have the same index in their lists. Draw one for each word.",
    }
    return next((text for name, text in said.items() if got[name] != expected[name]), None)


class FilteredRewrites:
    """An operation that keeps a rewrite only if a classifier predicts the same label as before."""

    def __init__(
        self, make: "Callable[[str, int], str]", predict: "Callable[[list[str]], Any]", attempts: int = 5
    ) -> None:
        """`make(text, seed)` returns a rewrite, and `predict(texts)` a label for each text."""
        self.make, self.predict, self.attempts = make, predict, attempts

    def __call__(self, texts: list[str], seed: int = 0, labels: object = None) -> list[str]:
        """One text for each text: the first rewrite that passes, or the text itself."""
        return [self.first_that_passes(text, seed) for text in texts]

    def first_that_passes(self, text: str, seed: int) -> str:
        """The first of `attempts` rewrites that differs from the text and has its predicted label."""
        label = self.predict([text])[0]
        for attempt in range(self.attempts):
            new = self.make(text, seed * self.attempts + attempt)
            if new != text and self.predict([new])[0] == label:
                return new
        return text


def _filter_cases() -> list[Arguments]:
    """How the rewrite of each seed turns out, over and over: ok, another label, or the same text."""
    return [
        (["a"], [0], ["ok"], 5),
        (["a"], [1], ["ok"], 3),
        (["a", "b"], [0, 1], ["other", "ok"], 4),
        (["a"], [0], ["other"], 5),
        (["a", "b"], [1, 0], ["same", "other", "ok", "ok", "other"], 3),
        (["a", "b", "c"], [1, 0, 1], ["other", "other", "ok", "same", "other", "other", "other"], 2),
        (["a"], [1], ["other", "other", "other", "other", "other", "other", "ok"], 7),
        (["a"], [1], ["other", "ok", "other"], 1),
    ]


def _run_filter(answer: Any, texts: list[str], labels: list[int], turns_out: list[str], attempts: int) -> Any:
    """The results of seeds 0 to 2, and of 3 with wrong labels. The rewrite of `a` with seed 2 is `a (rewrite 2)`."""

    def make(text: str, seed: int) -> str:
        return text if turns_out[int(seed) % len(turns_out)] == "same" else f"{text} (rewrite {int(seed)})"

    def predict(some: list[str]) -> list[int]:
        if isinstance(some, str):
            raise Refused("`predict` needs a list of texts: for one text, call `predict([text])`.")
        return [label(text) for text in some]

    def label(text: str) -> int:
        original, _, rest = text.partition(" (rewrite ")
        other = bool(rest) and turns_out[int(rest[:-1]) % len(turns_out)] == "other"
        return labels[texts.index(original)] ^ int(other)

    operation = answer(make, predict, attempts)
    made = [operation(texts, seed) for seed in range(3)]
    made.append(operation(texts, 3, [1 - label for label in labels]))
    for result in made:
        if as_words(result) is None:
            raise Refused("The operation should return a list of texts.")
        if len(result) != len(texts):
            raise Refused(f"The operation returns {len(result)} texts for {len(texts)} texts.")
    return made


def _judge_filter(case: Case, expected: Any, got: Any) -> str | None:
    for seed, (wanted, found) in enumerate(zip(expected, got, strict=True)):
        for old, want, new in zip(case["texts"], wanted, found, strict=True):
            if new != want:
                return f"With the seed {seed}, {old!r} becomes {new!r}; it should become {want!r}."
    return None


def judge_augmentation(
    operation: "Callable[..., list[str]]",
    texts: list[str],
    labels: list[int],
    predict: "Callable[[list[str]], Any]",
    vectors: "Callable[[list[str]], Any]",
    copies: int = 3,
) -> dict[str, float]:
    """Fidelity, novelty, diversity and similarity of `copies` rewrites of each text, as a dictionary."""
    made = [new for seed in range(copies) for new in operation(texts, seed)]
    originals = list(texts) * copies
    predicted = np.asarray(predict(made))
    new_words = [set(new.split()) - set(old.split()) for new, old in zip(made, originals, strict=True)]
    counts = [len(set(new.split())) for new in made]
    old_vectors, vectors_of_made = np.asarray(vectors(originals)), np.asarray(vectors(made))
    norms = np.linalg.norm(old_vectors, axis=1) * np.linalg.norm(vectors_of_made, axis=1)
    cosines = (old_vectors * vectors_of_made).sum(axis=1) / norms
    return {
        "fidelity": float(np.mean(predicted == np.tile(labels, copies))),
        "novelty": float(np.mean([len(new) / count for new, count in zip(new_words, counts, strict=True)])),
        "diversity": len(set(made)) / len(made),
        "similarity": float(cosines.mean()),
    }


_MEASURES = ("fidelity", "novelty", "diversity", "similarity")


def _judge_cases() -> list[Arguments]:
    return [
        (["a film"], [1], [["a movie"]], ["movie"]),
        (["a film", "a dull story"], [1, 0], [["a movie", "a dull tale"]], ["movie", "dull"]),
        (
            ["a film", "a dull story"],
            [0, 0],
            [["a movie", "a dull story"], ["a film", "a dull tale tale"]],
            ["movie", "story"],
        ),
        (
            ["good good film", "no film", "slow"],
            [1, 0, 0],
            [["good film", "no movie", "sluggish"], ["fine good film", "no movie", "dull"], ["good film"] * 3],
            ["good", "movie"],
        ),
    ]


def _run_judge(answer: Any, texts: list[str], labels: list[int], rewrites: list[list[str]], positive: list[str]) -> Any:
    """What is measured of an operation whose rewrites with the seeds 0, 1, ... are given.

    The toy classifier predicts 1 for a text with a word of `positive`; the toy vectors count letters.
    """

    def operation(some: list[str], seed: int = 0, labels: Any = None) -> list[str]:
        return list(rewrites[seed])

    def predict(some: list[str]) -> np.ndarray:
        return np.array([int(any(word in positive for word in text.split())) for text in some])

    def vectors(some: list[str]) -> np.ndarray:
        return np.array([[1.0 + text.count(letter) for letter in "aeilmost"] for text in some])

    result = answer(operation, texts, labels, predict, vectors, len(rewrites))
    if not isinstance(result, dict) or sorted(result) != sorted(_MEASURES):
        found = sorted(result) if isinstance(result, dict) else kind(result)
        raise Refused(f"The result should be a dictionary with the keys {', '.join(_MEASURES)}, but it is {found}.")
    if problem := next((name for name in _MEASURES if np.shape(result[name]) != ()), None):
        raise Refused(f"{problem} should be one number, but it is {kind(result[problem])}.")
    return [float(result[name]) for name in _MEASURES]


def _judge_measures(case: Case, expected: Any, got: Any) -> str | None:
    for name, wanted, found in zip(_MEASURES, expected, got, strict=True):
        if not same(wanted, found):
            return f"{name} is {found:.4g}; it should be {wanted:.4g}."
    return None


BUILD = (
    Exercise(propose, _propose_cases, _judge_propose, _run_propose),
    Exercise(rewrite, _rewrite_cases, _judge_rewrite, _run_rewrite),
    Exercise(FilteredRewrites, _filter_cases, _judge_filter, _run_filter),
    Exercise(judge_augmentation, _judge_cases, _judge_measures, _run_judge),
)
