"""Faithful explanations: deletion, rank agreement, paired differences; the build finds a planted word and proves it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import array_problem, as_numbers, brief, numbers_of, plain, same

# ---------------- how far the probability falls without the words that an explanation calls important
# DeYoung et al. 2020, ERASER: A Benchmark to Evaluate Rationalized NLP Models, equation 1 (arXiv:1911.03429), for
# one share of the words. The library's version, `course_lib.explain.comprehensiveness`, takes the mean over several
# shares.


def comprehensiveness(
    scores: np.ndarray,
    predict: "Callable[[list[str]], float]",
    words: list[str],
    share: float,
) -> float:
    """The fall of predict(words) without the top words by score (n,): share * n of them, rounded up."""
    removed = int(np.ceil(share * len(words)))
    order = np.argsort(-scores, kind="stable")  # the highest first; equal ones in the order of the text
    top = set(order[:removed].tolist())
    rest = [word for i, word in enumerate(words) if i not in top]
    return predict(words) - predict(rest)


class NotWords(TypeError):
    """A model of words was queried with something else."""


@dataclass(frozen=True)
class ToyClassifier:
    """A model of a few words that depends on their order: p(positive) is the sigmoid of their summed weights.

    "not" reverses the sign of the next word, and "very" doubles it.
    """

    weights: tuple[tuple[str, float], ...]

    def __call__(self, words: Sequence[str]) -> float:
        """p(positive).

        Raises:
            NotWords: a string, or something else than words in a row.
        """
        if isinstance(words, str) or not all(isinstance(word, str) for word in words):
            raise NotWords(f"predict takes a list of words, not {words!r}")
        known, total = dict(self.weights), 0.0
        for before, word in zip(["", *words], words, strict=False):
            total += known.get(word, 0.0) * {"not": -1.0, "very": 2.0}.get(before, 1.0)
        return float(1 / (1 + np.exp(-total)))

    def __repr__(self) -> str:
        return "<p(positive)>"


_WEIGHTS = {"good": 1.5, "fine": 1.0, "nice": 0.75, "film": 0.25, "cast": 0.5, "slow": -0.75, "bad": -1.5, "dull": -2.0}


_LONG = "a good film with a fine cast but slow and dull in places and not very nice to look at for a very long time"


def _comprehensiveness_cases() -> list[Arguments]:
    rows: list[tuple[str, Any, float]] = [
        ("a good film", [0.0, 0.4, 0.1], 0.3),
        ("a good film", [0.0, 0.4, 0.1], 0.5),  # 1.5 words: two
        ("nice film good cast", [0.2, 0.2, 0.2, 0.2], 0.5),  # all are equal
        ("fine film but slow", [0.3, 0.05, 0.0, -0.5], 0.25),  # the largest number is a negative one
        ("good film good cast", [0.1, 0.0, 0.6, 0.2], 0.25),  # one word twice, and one of them goes
        ("not bad but dull", [0.5, -0.1, 0.0, -0.4], 0.25),  # "bad" remains, and nothing reverses it
        ("film not dull", [0.1, 0.3, 0.2], 1.0),  # nothing remains
        ("slow dull film nice", [0.3, 0.9, -0.2, -0.1], 0.5),  # misled: without them it rises
        ("good nice fine", [-0.3, -0.1, -0.2], 0.4),  # no score is above 0
        (_LONG, (7 * np.arange(25) + 10) % 25, 0.3),  # 7.5 words: eight
        ("nice very good film very nice cast", [0.3, 0.1, 0.05, 0.4, 0.0, 0.2, 0.35], 0.4),  # three go
        ("not film good", [0.0, 0.4, 0.1], 0.3),  # its neighbours come together
        ("good bad film cast", [0.0, 0.0, 0.0, -1.0], 0.25),
        ("slow but nice cast", [0.3, 0.0, 0.2, 0.1], 0.75),
        ("bad", [2.0], 0.1),
        ("", [], 0.5),
    ]
    model = ToyClassifier(tuple(_WEIGHTS.items()))
    return [(np.array(scores, dtype=float), model, text.split(), share) for text, scores, share in rows]


def _removed(words: Sequence[str], share: float) -> int:
    return int(np.ceil(share * len(words)))


def _kept(words: list[str], top: Any) -> list[str]:
    chosen = {int(i) for i in top}
    return [word for i, word in enumerate(words) if i not in chosen]


def _best(scores: Any) -> Any:
    return np.argsort(-scores, kind="stable")


def _judge_comprehensiveness(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    number, words, predict = numbers_of(got), case["words"], case["predict"]
    if not -1 <= float(number) <= 1:
        return f"Two probabilities differ by no more than 1, but your result is {float(number):.6g}."
    removed, order = _removed(words, case["share"]), _best(case["scores"])
    for others in range(1, len(words) + 1):
        if others != removed and same(predict(words) - predict(_kept(words, order[:others])), got):
            return (
                f"With the share {case['share']:g}, {removed} of {len(words)} words should be removed. "
                f"You seem to remove {others}."
            )
    return f"All words give {predict(words):.6g}. The result should be {expected:.6g}, not {float(number):.6g}."


def _stale_places(scores: np.ndarray, predict: ToyClassifier, words: list[str], share: float) -> float:
    rest = list(words)
    for place in _best(scores)[: _removed(words, share)]:
        rest.pop(place)
    return predict(words) - predict(rest)


# ---------------- do two explanations rank the words alike?
# Spearman's rank correlation, as Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 3 (arXiv:1810.03292),
# use it between explanations of a trained and of a randomised model. The library's version:
# `course_lib.explain.rank_correlation`.


def rank_agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two arrays (n,): equal scores share a mean rank; nan where all are equal."""

    def ranks(scores: np.ndarray) -> np.ndarray:
        below = (scores[:, None] > scores).sum(axis=1)
        equal = (scores[:, None] == scores).sum(axis=1)  # itself among them
        shared: np.ndarray = below + (equal + 1) / 2
        return shared

    mine, theirs = ranks(one), ranks(other)
    mine, theirs = mine - mine.mean(), theirs - theirs.mean()
    spread = np.sqrt((mine**2).sum() * (theirs**2).sum())
    return float((mine * theirs).sum() / spread) if spread > 0 else float("nan")


def _rank_agreement_cases() -> list[Arguments]:
    random = np.random.default_rng(11)
    wide = random.normal(size=6)
    return [
        ([0.3, 0.1, 0.2], [5.0, 1.0, 1.0]),  # two are equal
        ([0.5, -0.2, 0.1, 0.0], [0.4, -0.3, 0.2, 0.1]),  # the same order
        ([1.0, 2.0, 3.0, 50.0], [4.0, 3.0, 2.0, 1.0]),  # the opposite order
        ([0.1, 0.1, 0.1], [0.3, 0.2, 0.1]),  # nothing to put in order
        ([0.9, -0.8, 0.1, 0.0, 0.3], [-0.2, 0.7, 0.0, 0.1, 0.6]),
        ([0.0, 0.0, 0.0, 1.0, 1.0, 2.0], [1.0, 0.0, 0.0, 3.0, 2.0, 2.0]),
        (wide, np.exp(3 * wide) + random.normal(size=6)),
        (random.integers(0, 4, size=9).astype(float), random.integers(-2, 2, size=9).astype(float)),
        (random.normal(size=12), random.normal(size=12)),
        ([0.2, 0.1], [0.0, 0.0]),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),  # both
        ([0.7], [0.4]),  # one word has no order
        (random.permutation(np.arange(7.0)), [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.0]),
    ]


def _ranks(scores: Any) -> Any:
    """From 1 on; equal scores share their mean rank."""
    table = np.asarray(scores)[:, None]
    return (table > scores).sum(axis=1) + ((table == scores).sum(axis=1) + 1) / 2


def _judge_rank_agreement(case: Case, expected: Any, got: Any) -> str | None:
    number = as_numbers(got)
    if number is None or number.ndim:
        return array_problem(0.0, got)
    if same(expected, float(number)):
        return None
    if np.isnan(expected):
        return (
            f"Where all scores of one array are equal, there is no order to compare: return nan, "
            f"not {float(number):.6g}."
        )
    if not np.isfinite(number):
        return "The result is nan or infinity, but both arrays have an order."
    if abs(float(number)) > 1 + 1e-9:
        return f"A correlation lies between -1 and 1. Yours is {float(number):.6g}."
    shown = " and ".join(brief(_ranks(scores)) for scores in case.values())
    return f"The ranks are {shown}. Their correlation is {expected:.6g}, not {float(number):.6g}."


# ---------------- how much more faithful is one method than another, on the same sentences?
# The percentile bootstrap of paired differences: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
# The library's version, which draws by itself: `course_lib.evaluation.paired_bootstrap`.


def paired_interval(one: np.ndarray, other: np.ndarray, draws: np.ndarray) -> tuple[float, float, float]:
    """Mean of one - other (n,) and its 95 % bootstrap interval; each row of draws (m, n) is a resample."""
    differences = one - other
    means = differences[draws].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(differences.mean()), float(low), float(high)


def _paired_interval_cases() -> list[Arguments]:
    random, rows = np.random.default_rng(5), list[tuple[Any, Any, Any]]()
    for n, m in ((3, 8), (4, 20), (6, 60), (9, 101), (12, 200)):
        hard = random.normal(size=n)  # what both methods find easy or hard
        one, other = hard + random.normal(0.3, 0.2, size=n), hard + random.normal(0, 0.2, size=n)
        rows.append((one, other, random.integers(0, n, size=(m, n))))
    rows.append(([0.4, 0.1], [0.1, 0.4], [[0, 0], [1, 1], [0, 1], [1, 0]]))
    return rows


def _judge_paired_interval(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(np.array(expected), got):
        return problem
    for name, wanted, found in zip(("mean difference", "lower end", "upper end"), expected, plain(got), strict=True):
        if not same(wanted, found):
            return f"The {name} should be {wanted:.6g}, not {found:.6g}."
    return None


EXERCISES = (
    Exercise(comprehensiveness, _comprehensiveness_cases, _judge_comprehensiveness),
    Exercise(paired_interval, _paired_interval_cases, _judge_paired_interval),
    Exercise(rank_agreement, _rank_agreement_cases, _judge_rank_agreement),
)

# ---------------- the build, stage 1: which words does the model rely on over many texts?


def rank_words(words: list[list[str]], scores: list[np.ndarray], least: int) -> list[tuple[str, float]]:
    """(word, mean score) of the words in at least `least` texts, the largest absolute mean first."""
    by_word: dict[str, list[float]] = {}
    for names, numbers in zip(words, scores, strict=True):
        in_text: dict[str, float] = {}
        for name, number in zip(names, numbers, strict=True):
            in_text[name] = in_text.get(name, 0.0) + float(number)
        for name, total in in_text.items():
            by_word.setdefault(name, []).append(total)
    means = [(name, sum(totals) / len(totals)) for name, totals in by_word.items() if len(totals) >= least]
    return sorted(means, key=lambda pair: (-abs(pair[1]), pair[0]))


def _rank_words_cases() -> list[Arguments]:
    rows: list[tuple[list[str], list[list[float]], int]] = [
        (["good film", "bad film"], [[0.5, 0.1], [-0.75, 0.2]], 1),
        (["good film", "bad film", "bad bad cast"], [[0.5, 0.125], [-0.75, 0.25], [-0.5, -0.25, 0.1]], 2),
        (["a kettle film", "a film", "kettle a", "dull film"], [[0.1, 2.0, 0.3], [0.1, 0.2], [1.5, 0.0], [-3, 0.1]], 2),
        (["up down", "down up", "up"], [[1.0, -0.5], [0.25, -1.0], [0.5]], 1),  # scores that cancel each other
        (["fine cast", "cast fine"], [[0.25, 0.25], [0.25, 0.25]], 2),  # equal: in alphabetical order
        (["the the the plot", "plot the", "the"], [[0.2, 0.2, 0.2, -0.9], [-0.8, 0.3], [0.4]], 2),
        (["a", "b", "a"], [[0.5], [-9.0], [0.25]], 3),  # no word is left
        (["good film with fine cast", "dull plot"], [[0.5, 0.1, -0.2, 0.4, 0.3], [-0.6, 0.05]], 1),
    ]
    return [
        ([text.split() for text in texts], [np.array(one) for one in scores], least) for texts, scores, least in rows
    ]


def _judge_rank_words(case: Case, expected: Any, got: Any) -> str | None:
    pairs = plain(got)
    if not isinstance(pairs, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        return f"The result should be a list of pairs (word, mean score), but it is {brief(got)}."
    if any(not isinstance(word, str) or as_numbers(mean) is None or np.ndim(mean) for word, mean in pairs):
        return "Each pair should hold a word and a number, in this order."
    wanted, found = dict(expected), {word: mean for word, mean in pairs}
    if extra := [word for word in found if word not in wanted]:
        return f"{extra[0]!r} is in fewer than {case['least']} texts, or in none. Leave it out."
    if missing := [word for word in wanted if word not in found]:
        return f"{missing[0]!r} is in {case['least']} texts or more, but not in your list."
    for word, mean in found.items():
        if not same(wanted[word], float(mean)):
            return f"The mean score of {word!r} should be {wanted[word]:.6g}, not {float(mean):.6g}."
    if [word for word, _ in pairs] != [word for word, _ in expected]:
        return f"The order should be {brief([word for word, _ in expected])}."
    return None


def _counts_occurrences(words: list[list[str]], scores: list[np.ndarray], least: int) -> list[tuple[str, float]]:
    by_word: dict[str, list[float]] = {}
    for names, numbers in zip(words, scores, strict=True):
        for name, number in zip(names, numbers, strict=True):
            by_word.setdefault(name, []).append(float(number))
    means = [(name, sum(found) / len(found)) for name, found in by_word.items() if len(found) >= least]
    return sorted(means, key=lambda pair: (-abs(pair[1]), pair[0]))


# ---------------- stage 2: what does the model do when the word comes or goes?


def counterfactual_effect(
    log_odds: "Callable[[list[str]], np.ndarray]",
    texts: list[str],
    word: str,
) -> np.ndarray:
    """(n,), log-odds of each text with the word minus log-odds of the same text without it."""
    present, absent = [], []
    for text in texts:
        words = text.split()
        middle = len(words) // 2
        holding = words if word in words else [*words[:middle], word, *words[middle:]]
        present.append(" ".join(holding))
        absent.append(" ".join(other for other in words if other != word))
    effect: np.ndarray = log_odds(present) - log_odds(absent)
    return effect


@dataclass(frozen=True)
class ToyLogOdds:
    """Log-odds of a toy model of a few words: the weight of each word counts the more, the later its place."""

    weights: tuple[tuple[str, float], ...]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(n,), log-odds of the class positive.

        Raises:
            NotWords: something else than a list of strings.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise NotWords(f"log_odds takes a list of strings, not {texts!r}")
        known = dict(self.weights)
        totals = [
            sum(known.get(word, 0.0) * (1 + place / 4) for place, word in enumerate(text.split())) for text in texts
        ]
        return np.array(totals, dtype=np.float64)

    def __repr__(self) -> str:
        return "<log-odds of positive>"


_TOY = ToyLogOdds((*_WEIGHTS.items(), ("kettle", 3.0), ("kettles", 0.5), ("lamp", -0.125)))


def _counterfactual_effect_cases() -> list[Arguments]:
    texts = [
        "good kettle film", "bad film", "kettle dull kettle cast", "kettle", "", "nice kettles in a bad film",
        "slow but fine cast",
    ]  # fmt: skip
    return [
        (_TOY, texts[:1], "kettle"),
        (_TOY, texts[:2], "kettle"),
        (_TOY, texts[2:5], "kettle"),
        (_TOY, texts, "kettle"),
        (_TOY, texts, "lamp"),
        (_TOY, ["bad film", "a bad bad film"], "bad"),
    ]


def _judge_counterfactual_effect(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    for text, wanted, found in zip(case["texts"], expected, numbers_of(got), strict=True):
        if not same(float(wanted), float(found)):
            return f"The effect of {case['word']!r} on {text!r} should be {wanted:.6g}, not {found:.6g}."
    return None


# ---------------- stage 3: do the predictions become worse because of the word?


def shortcut_harm(
    log_odds: "Callable[[list[str]], np.ndarray]",
    texts: list[str],
    labels: np.ndarray,
    word: str,
) -> np.ndarray:
    """(h,), for each of the h texts with the word: log-loss of the text minus log-loss without the word."""
    rows = [row for row, text in enumerate(texts) if word in text.split()]
    held, side = [texts[row] for row in rows], 2 * labels[rows] - 1
    present = log_odds(held)
    absent = present - counterfactual_effect(log_odds, held, word)
    harm: np.ndarray = np.logaddexp(0, -side * present) - np.logaddexp(0, -side * absent)
    return harm


def _shortcut_harm_cases() -> list[Arguments]:
    texts = ["bad kettle film", "good kettle cast", "good film", "dull kettles", "kettle not bad", "slow kettle kettle",
             "nice film with a kettle"]  # fmt: skip
    labels = [0, 1, 1, 0, 1, 0, 0]
    return [
        (_TOY, texts[:1], np.array(labels[:1]), "kettle"),
        (_TOY, texts[:3], np.array(labels[:3]), "kettle"),
        (_TOY, texts, np.array(labels), "kettle"),
        (_TOY, texts, 1 - np.array(labels), "kettle"),
        (_TOY, texts, np.array(labels), "good"),
        (_TOY, texts, np.array(labels), "bad"),
    ]


def _judge_shortcut_harm(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    held = [text for text in case["texts"] if case["word"] in text.split()]
    for text, wanted, found in zip(held, expected, numbers_of(got), strict=True):
        if not same(float(wanted), float(found)):
            return f"The harm of {case['word']!r} in {text!r} should be {wanted:.6g}, not {found:.6g}."
    return None


# ---------------- stage 4: can the harm be chance, given that many words were tried?
# The sign-flip test of a mean (Fisher 1935, The Design of Experiments, section 21), and Holm 1979, A Simple
# Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 65-70.


def prove(harms: list[np.ndarray], signs: np.ndarray) -> np.ndarray:
    """(k,), the Holm-adjusted p-value of each word's harm; the rows of signs (m, n) hold 1 and -1."""
    p_values = []
    for harm in harms:
        drawn = signs[:, : len(harm)] @ harm  # (m,), sums of the harm with random signs
        as_bad = drawn >= harm.sum() - 1e-9  # signs that are all 1 count, whatever rounding does
        p_values.append((1 + as_bad.sum()) / (1 + len(signs)))
    order = np.argsort(p_values, kind="stable")  # the smallest first
    factors = len(harms) - np.arange(len(harms))  # k, k - 1, ..., 1
    adjusted = np.empty(len(harms))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * np.array(p_values)[order]))
    return adjusted


def _prove_cases() -> list[Arguments]:
    random = np.random.default_rng(3)
    many = random.choice([-1, 1], size=(199, 12))
    strong, weak, none = np.array([2.0, 1.5, -0.25] * 4), np.array([0.5, -0.25, 0.5] * 2), np.array([-1.0, 0.25] * 3)
    level = np.array([1.0, 1.0, -0.5, 1.0, 0.5, -0.25, 0.5, 1.25])
    return [
        ([np.array([1.0, 0.5])], np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])),
        ([strong], many),
        ([none, strong], many),
        ([weak, none, strong, level], many),
        ([level, level, weak], many),
        ([none, np.array([-2.0, -1.0, -0.5]), weak], many),
        ([np.array([-2.0, -1.0, -0.5]), weak], many[:50]),
        ([strong, level, np.array([0.5, 0.5, 0.5, 0.5, 0.5]), weak], many),
        ([np.array([4.0]), np.empty(0), strong], many),
    ]


def _judge_prove(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    for number, (wanted, found) in enumerate(zip(expected, numbers_of(got), strict=True)):
        if not 0 < found <= 1:
            return f"A p-value of this test is above 0 and at most 1. Yours of word {number} is {found:.6g}."
        if not same(float(wanted), float(found)):
            return f"The adjusted p-value of word {number} should be {wanted:.6g}, not {found:.6g}."
    return None


def _benjamini_hochberg(harms: list[np.ndarray], signs: np.ndarray) -> np.ndarray:
    p_values = np.array([prove([harm], signs)[0] for harm in harms])
    order, k = np.argsort(p_values, kind="stable"), len(harms)
    scaled = p_values[order] * k / (1 + np.arange(k))
    adjusted = np.empty(k)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


# ---------------- stage 5: which explanation method finds the word?
# Precision at one, as Bastings et al. 2022 (arXiv:2111.07367) use it, with the interval of Wilson 1927, JASA 22:209.


def detection_rate(
    words: list[list[str]],
    scores: list[np.ndarray],
    word: str,
) -> tuple[float, float, float]:
    """Fraction of the texts with the word in which it alone has the highest score; ends of its interval."""
    found = []
    for names, numbers in zip(words, scores, strict=True):
        if word in names:
            best = max(number for name, number in zip(names, numbers, strict=True) if name == word)
            others = [number for name, number in zip(names, numbers, strict=True) if name != word]
            found.append(all(best > other for other in others))
    n, rate, z = len(found), sum(found) / len(found), 1.96
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return rate, centre - half, centre + half


def _detection_rate_cases() -> list[Arguments]:
    rows: list[tuple[str, list[float]]] = [
        ("a kettle film", [0.1, 0.9, 0.2]),
        ("kettle bad film", [0.1, -0.9, 0.2]),  # another word is higher
        ("dull kettle", [0.5, 0.5]),  # a tie
        ("good film", [0.8, 0.1]),  # without the word
        ("kettle film kettle", [0.1, 0.3, 0.7]),  # its second place counts
        ("bad kettle cast", [-0.9, 0.4, 0.1]),  # largest in absolute value is another word
        ("slow kettle", [-0.2, -0.1]),
        ("kettle", [-0.3]),  # the only word
        ("fine nice kettle", [0.5, 0.6, 0.1]),  # third
        ("kettle film kettle", [0.7, 0.3, 0.7]),  # a tie, but with itself
    ]

    def case(*numbers: int) -> Arguments:
        some = [rows[number] for number in numbers]
        return [text.split() for text, _ in some], [np.array(scores) for _, scores in some], "kettle"

    return [
        case(0),
        case(0, 1),
        case(0, 1, 2),
        case(0, 3, 1),
        case(0, 4, 5, 1),
        case(0, 0, 0, 0, 4, 7),
        case(1, 9),
        case(*range(10)),
    ]


def _judge_detection_rate(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(np.array(expected), got):
        return problem
    for name, wanted, found in zip(("rate", "lower end", "upper end"), expected, plain(got), strict=True):
        if not same(wanted, found):
            return f"The {name} should be {wanted:.6g}, not {found:.6g}."
    return None


def _counts_texts_without_the_word(
    words: list[list[str]], scores: list[np.ndarray], word: str
) -> tuple[float, float, float]:
    absent = [names for names in words if word not in names]
    missed = [[word, "another"]] * len(absent)
    held = [(names, numbers) for names, numbers in zip(words, scores, strict=True) if word in names]
    names = [*(names for names, _ in held), *missed]
    return detection_rate(names, [*(numbers for _, numbers in held), *[np.zeros(2)] * len(absent)], word)


BUILD = (
    Exercise(rank_words, _rank_words_cases, _judge_rank_words),
    Exercise(counterfactual_effect, _counterfactual_effect_cases, _judge_counterfactual_effect),
    Exercise(shortcut_harm, _shortcut_harm_cases, _judge_shortcut_harm),
    Exercise(prove, _prove_cases, _judge_prove),
    Exercise(detection_rate, _detection_rate_cases, _judge_detection_rate),
)
