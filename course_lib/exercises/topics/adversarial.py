"""Attacks on words and embeddings, their success rate, and a defence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import (
    array_problem,
    as_numbers,
    as_words,
    first_difference,
    numbers_of,
    same,
    words_problem,
)

# ---------------- of which texts an attack's success is a share
# Morris et al. 2020, TextAttack (arXiv:2005.05909), and most papers since count as here: texts that the model had
# wrong before are skipped, neither succeeded nor failed.


def attack_success_rate(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Succeeded / attacked, nan if none was attacked; labels and predictions before and after are (n,)."""
    attacked = before == labels
    succeeded = attacked & (after != labels)
    if not attacked.any():
        return float("nan")
    return float(succeeded.sum() / attacked.sum())


def _drawn(seed: int, n: int, classes: int) -> Arguments:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    before = np.where(random.random(n) < 0.6, labels, random.integers(0, classes, n))
    after = np.where(random.random(n) < 0.5, before, random.integers(0, classes, n))
    return labels, before, after


def _attack_success_rate_cases() -> list[Arguments]:
    return [
        ([1, 1, 0, 0, 1], [1, 1, 0, 1, 1], [0, 1, 1, 1, 0]),  # four attacked, three fall
        ([1, 0, 1], [1, 0, 0], [1, 0, 0]),  # no success
        ([1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1]),  # all succeed
        ([1, 0, 1, 1], [0, 1, 1, 1], [1, 0, 0, 1]),  # what was wrong is right afterwards
        ([2, 0, 1, 2, 0], [2, 1, 1, 2, 2], [0, 2, 1, 1, 1]),  # three classes; wrong before, wrong otherwise after
        ([1, 0], [0, 1], [0, 1]),  # nothing to attack
        ([0, 0, 2], [1, 2, 1], [0, 0, 2]),  # nothing to attack either
        ([0, 0, 0], [0, 0, 0], [0, 0, 1]),
        _drawn(1, 40, 2),
        _drawn(2, 60, 4),
    ]


def _judge_attack_success_rate(case: Case, expected: Any, got: Any) -> str | None:
    numbers = as_numbers(got)
    if numbers is None or numbers.shape != ():
        return array_problem(expected, got)
    rate = float(numbers)
    if same(expected, rate):
        return None
    if np.isnan(expected):
        return f"The model had all texts wrong before, so none was attacked. The rate is nan then, not {rate:.6g}."
    if np.isnan(rate):
        return "The rate is nan, though some texts were right before."
    if not 0 <= rate <= 1:
        return f"The rate should lie between 0 and 1, but it is {rate:.6g}."
    right = int((case["before"] == case["labels"]).sum())
    return (
        f"Of {len(case['labels'])} texts, {right} were right before. The rate should be {expected:.6g}, not {rate:.6g}."
    )


# ---------------- the search that most attacks on words share
# Rank the words by what their loss does, then exchange one after another: Jin et al. 2020, Is BERT Really Robust?,
# algorithm 1 (TextFooler, arXiv:1907.11932), without its rules on meaning and grammar.


Score = Callable[[list[str]], float]


def greedy_search(
    words: list[str],
    candidates: list[list[str]],
    score: "Callable[[list[str]], float]",
    threshold: float = 0.5,
) -> list[str]:
    """Words after the attack: candidates[i] may replace words[i]; score(words) is 1 - p(true class)."""
    best, best_score = list(words), score(words)
    importance = [score(words[:i] + words[i + 1 :]) for i in range(len(words))]
    for i in sorted(range(len(words)), key=lambda i: -importance[i]):
        if best_score > threshold:
            break
        tries = [[*best[:i], word, *best[i + 1 :]] for word in candidates[i]]
        scores = [score(one) for one in tries]
        if scores and max(scores) > best_score:
            best_score = max(scores)
            best = tries[scores.index(best_score)]
    return best


@dataclass(frozen=True)
class ToyClassifier:
    """A model of a few words: p(positive) is the sigmoid of their summed weights; "not" turns the next word round.

    Args:
        weights: of the words that it knows, in eighths, so that sums are exact and ties are ties.
        label: 1 where positive is the true class, else 0.
    """

    weights: tuple[tuple[str, float], ...]
    label: int = 1

    def __call__(self, words: list[str]) -> float:
        """1 - p(true class)."""
        known, total = dict(self.weights), 0.0
        for before, word in zip(["", *words], words, strict=False):
            total += known.get(word, 0.0) * (-1 if before == "not" else 1)
        return float(1 / (1 + np.exp(total if self.label else -total)))

    def __repr__(self) -> str:
        return f"<1 - p({'positive' if self.label else 'negative'})>"


_WORD_WEIGHTS = {
    **{"superb": 3.0, "great": 2.0, "good": 1.25, "fine": 1.0, "nice": 0.75, "film": 0.125, "movie": 0.25, "cast": 0.5},
    **{"plain": -0.125, "odd": -0.5, "slow": -0.75, "weak": -1.0, "bad": -1.25, "dull": -2.0, "awful": -3.0},
}


def _search(text: str, candidates: dict[int, str], threshold: float = 0.5, label: int = 1) -> Arguments:
    words = text.split()
    choices = [candidates.get(i, "").split() for i in range(len(words))]
    score = ToyClassifier(tuple(_WORD_WEIGHTS.items()), label)
    return words, choices, score, threshold


def _greedy_search_cases() -> list[Arguments]:
    """Each separates right searches from some that are nearly right."""
    return [
        _search("the film is good", {1: "movie story", 3: "fine odd plain"}),
        _search("a nice film with a great cast", {1: "fine plain", 2: "story", 5: "good nice", 6: "crew"}),
        _search("not bad", {0: "hardly", 1: "dull good"}),  # the exchange that helps depends on the word before
        _search("nice but great", {0: "odd slow", 2: "good fine"}, 0.3),
        _search("a dull film", {1: "plain slow", 2: "movie cast"}, label=0),
        _search("the bad cast is weak", {1: "odd plain", 2: "film superb", 4: "slow odd nice"}, label=0),
        _search("an awful film", {1: "superb", 2: "story movie"}),  # the model is wrong before: nothing to do
        _search("good film", {0: "great superb"}),  # nothing helps
        _search("fine and fine and fine", {0: "plain", 2: "but", 4: "weak odd"}, 0.6),
        _search("great good cast", {0: "fine film plain", 1: "plain", 2: "nice odd odder"}),
        _search("so great", {0: "not", 1: "good nice"}, 0.4),
        _search("good bad", {0: "bad", 1: "dull awful"}),  # in the end exactly 0.5 would not be enough
        _search("cast film bad", {0: "nice film slow", 1: "cast odd", 2: "weak plain"}, 0.8),
        _search("not dull not weak but nice", {0: "", 1: "plain bad", 2: "hardly", 3: "odd", 5: "plain odd"}),
        _search("a movie", {0: "the", 1: "story yarn"}),  # two candidates do equally well, and 0.5 is not passed
        _search("a good film", {0: "the", 1: "calm quiet"}),
        _search("not the film", {1: "fine", 2: "weak"}),  # left out, a word brings its neighbours together
        _search("not plain dull", {1: "not", 2: "film"}, label=0),
        _search("great so movie", {0: "not", 1: "fine bad", 2: "film"}),  # an exchange changes what the others weigh
        _search("superb fine great", {0: "not odd", 1: "a not", 2: "plain a"}),
        _search("slow film", {0: "not", 1: "bad"}, label=0),  # what is best depends on the exchanges before
        _search("fine so", {0: "not", 1: "weak"}),
        _search("fine superb", {0: "not", 1: "a film"}),  # a second round would find more
        _search("weak bad", {0: "not", 1: "movie odd"}, label=0),
        _search("fine or fine", {0: "bad", 2: "bad"}),  # equally important: the first one first
        _search("nice film and nice film", {0: "dull", 3: "dull"}),
        _search("an odd movie", {1: "dull", 2: "film"}),  # wrong before
        _search("good nice film", {0: "plain fine", 1: "odd slow"}, 0.2),
        _search("", {}),
    ]


def _judge_greedy_search(case: Case, expected: Any, got: Any) -> str | None:
    words = as_words(got)
    if words is None:
        return words_problem(got)
    before, score = case["words"], case["score"]
    if len(words) != len(before):
        return f"The result has {len(words)} words; it should have {len(before)}. A word is exchanged, never left out."
    for i, (old, new) in enumerate(zip(before, words, strict=True)):
        if new != old and new not in case["candidates"][i]:
            return f"Place {i} holds {new!r}, which is not among the candidates {case['candidates'][i]}."
    if words == expected:
        return None
    reached, wanted = score(words), score(expected)
    if reached < score(before):
        return f"The score has fallen from {score(before):.4f} to {reached:.4f}. An attack keeps only what raises it."
    if wanted > case["threshold"] >= reached:
        return f"The score ends at {reached:.4f}; the search can reach {wanted:.4f}."
    changed, needed = (sum(a != b for a, b in zip(before, one, strict=True)) for one in (words, expected))
    if changed > needed:
        return f"The number of exchanged words is {changed}; {needed} would do."
    return first_difference(expected, words)


def _put(words: list[str], i: int, word: str) -> list[str]:
    return [*words[:i], word, *words[i + 1 :]]


def _deletion(words: list[str], score: Score) -> list[float]:
    return [score(words[:i] + words[i + 1 :]) for i in range(len(words))]


def _ranked(weights: list[float]) -> list[int]:
    return sorted(range(len(weights)), key=lambda i: -weights[i])


def _chosen_on_the_original(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    best = list(words)
    for i in _ranked(_deletion(words, score)):
        if score(best) > threshold:
            break
        best[i] = max([words, *(_put(words, i, word) for word in candidates[i])], key=score)[i]
    return best


def _any_place_each_time(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    best = list(words)
    while score(best) <= threshold:
        tries = [_put(best, i, word) for i, choices in enumerate(candidates) for word in choices]
        leader = max([best, *tries], key=score)
        if leader == best:
            break
        best = leader
    return best


def _ranked_anew(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    best, open_places = list(words), set(range(len(words)))
    while open_places and score(best) <= threshold:
        i = next(i for i in _ranked(_deletion(best, score)) if i in open_places)
        open_places.remove(i)
        best = max([best, *(_put(best, i, word) for word in candidates[i])], key=score)
    return best


def _words_left_out(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    left = list(words)
    for i in _ranked(_deletion(words, score)):
        if score(left) > threshold or not left:
            break
        if words[i] in left:
            left.remove(words[i])
    return left


# ---------------- what every exchange of one token for another would do to the loss, from a single gradient
# Ebrahimi et al. 2018, HotFlip: White-Box Adversarial Examples for Text Classification, equations 1 and 2
# (arXiv:1712.06751), with rows of the embedding table in the place of one-hot vectors.


def hotflip_scores(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """First-order gains in loss (tokens, vocabulary), -inf where a token would stay itself, from
    gradient (tokens, hidden), table (vocabulary, hidden) and ids (tokens,)."""
    places = np.arange(len(ids))
    toward = gradient @ table.T  # (tokens, vocabulary)
    scores: np.ndarray = toward - toward[places, ids][:, None]
    scores[places, ids] = -np.inf
    return scores


def _hotflip_scores_cases() -> list[Arguments]:
    random = np.random.default_rng(6)
    corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]

    def drawn(tokens: int, hidden: int, ids: list[int], vocabulary: int) -> Arguments:
        return random.normal(size=(tokens, hidden)), random.normal(size=(vocabulary, hidden)), ids

    return [
        ([[1.0, 3.0]], corners, [1]),
        ([[1.0, 3.0], [-2.0, 0.5]], corners, [2, 0]),
        ([[1.0, -1.0], [0.0, 0.0]], corners, [0, 1]),  # a place without any slope
        drawn(3, 3, [2, 0, 1], 3),  # all sizes alike: the shape tells nothing
        drawn(3, 2, [4, 4, 1], 5),  # one token twice
        drawn(2, 4, [0, 1], 4),
        drawn(5, 3, [7, 0, 3, 3, 6], 8),
        drawn(1, 2, [1], 2),
    ]


def _judge_hotflip_scores(case: Case, expected: Any, got: Any) -> str | None:
    numbers = as_numbers(got)
    if numbers is None or numbers.shape != np.shape(expected):
        return array_problem(expected, got)
    places, ids = np.arange(len(case["ids"])), case["ids"]
    if (stays := np.flatnonzero(numbers[places, ids] != -np.inf)).size:
        place = int(stays[0])
        return f"Place {place} has the score {numbers[place, ids[place]]:.6g} for its own token; it should be -inf."
    if not np.isfinite(numbers[expected > -np.inf]).all():
        place, token = np.argwhere(~np.isfinite(numbers) & (expected > -np.inf))[0]
        return f"The exchange at place {place} for token {token} is possible, so its score is a finite number."
    wrong = [place for place in np.ndindex(numbers.shape) if not same(expected[place], numbers[place])]
    if not wrong:
        return None
    place, token = wrong[0]
    return f"The shape is right, but the score at place {place} for token {token} is off."


# ---------------- one step uphill in the space of token embeddings
# Goodfellow et al. 2015, Explaining and Harnessing Adversarial Examples, section 4 (arXiv:1412.6572), for the sign;
# Miyato et al. 2017, Adversarial Training Methods for Semi-Supervised Text Classification, section 3
# (arXiv:1605.07725), for its L2 sibling on word embeddings.


def fgsm(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> np.ndarray:
    """A step of size epsilon up the gradient, from embedding (tokens, hidden); norm is "linf" or "l2"."""
    if norm == "linf":
        direction = np.sign(gradient)
    else:
        length = np.sqrt(np.sum(gradient**2))  # of the whole sentence, all tokens together
        direction = gradient / length if length > 0 else np.zeros_like(gradient)
    moved: np.ndarray = embedding + epsilon * direction
    return moved


def _fgsm_cases() -> list[Arguments]:
    random = np.random.default_rng(5)
    table, slope = random.normal(size=(2, 4, 3))
    return [
        ([[1.0, 2.0]], [[3.0, -4.0]], 0.1, "linf"),
        ([[1.0, 2.0]], [[3.0, -4.0]], 0.1, "l2"),
        ([[1.0, 1.0], [1.0, 1.0]], [[3.0, 0.0], [0.0, 4.0]], 0.5, "l2"),  # one length for both tokens
        ([[1.0, 1.0], [1.0, 1.0]], [[3.0, 0.0], [0.0, -4.0]], 0.5, "linf"),  # the sign of 0 is 0
        ([[-2.0, 0.5], [0.3, 4.0]], [[0.0, 0.0], [0.6, 0.8]], 2.0, "l2"),  # a token without any slope
        ([[0.2, -0.2]], [[0.0, 0.0]], 0.3, "l2"),  # no slope at all
        ([[0.2, -0.2]], [[0.0, 0.0]], 0.3, "linf"),
        (table, slope, 0.25, "linf"),
        (table, slope, 0.25, "l2"),
        (table[:2], 1e-7 * slope[:2], 1.0, "l2"),  # a model that is sure has tiny gradients
        (table[:2], 1e-7 * slope[:2], 1.0, "linf"),
    ]


def _judge_fgsm(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Is a length zero?" if "nan" in problem else "")
    numbers = numbers_of(got)
    if same(expected, got):
        return None
    if not case["gradient"].any():
        return "With a gradient of zero no direction leads uphill, and nothing should move."
    step = numbers - case["embedding"]
    l2 = case["norm"] == "l2"
    size = np.sqrt(np.sum(step**2)) if l2 else np.max(np.abs(step))
    measured = "step has the L2 length" if l2 else "largest change of a number is"
    if not np.isclose(size, case["epsilon"], rtol=1e-4):
        return f"The {measured} {size:.6g}; epsilon is {case['epsilon']:g}."
    return "The step is as long as it should be, but it goes in another direction."


EXERCISES = (
    Exercise(attack_success_rate, _attack_success_rate_cases, _judge_attack_success_rate),
    Exercise(greedy_search, _greedy_search_cases, _judge_greedy_search),
    Exercise(hotflip_scores, _hotflip_scores_cases, _judge_hotflip_scores),
    Exercise(fgsm, _fgsm_cases, _judge_fgsm),
)
