"""Explaining predictions: LIME, Shapley values and integrated gradients; the build is KernelSHAP."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Arguments, Case, Exercise, Refused
from course_lib.exercises.values import array_problem, as_numbers, kind, numbers_of, same

# ---------------- the weight of each perturbed text in the linear model of LIME
# Ribeiro et al. 2016, "Why Should I Trust You?", section 3.3 (arXiv:1602.04938), with the distance and the root of
# the `lime` package. The library's version: `course_lib.explain.kernel`.


def lime_weights(samples: np.ndarray, width: float = 25.0) -> np.ndarray:
    """Weights (rows,) of samples (rows, n) that hold 1 where a word is kept; the whole text has weight 1."""
    kept = samples.sum(axis=1)
    cosine = np.sqrt(kept / samples.shape[1])  # kept / (sqrt(kept) * sqrt(n)), and 0 where nothing is kept
    distance = 100 * (1 - cosine)
    weights: np.ndarray = np.sqrt(np.exp(-(distance**2) / width**2))
    return weights


def _lime_weights_cases() -> list[Arguments]:
    random = np.random.default_rng(7)
    return [
        ([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0]],),
        ([[1, 1], [0, 0]],),  # nothing is left of the second
        ([[1, 0, 1], [1, 1, 1], [0, 0, 1]], 25.0),  # square, and the whole text is not the first
        ([[1, 1, 1, 0, 1], [0, 0, 1, 0, 0]], 60.0),
        ([[0, 0, 0], [0, 1, 0]], 40.0),
        (random.integers(0, 2, size=(6, 8)), 15.0),
        (random.integers(0, 2, size=(5, 12)),),
        ([[1], [0]], 50.0),
        ([[1, 0, 1, 1, 0, 1, 1, 1, 1]], 5.0),
    ]


def _judge_lime_weights(case: Case, expected: Any, got: Any) -> str | None:
    samples = case["samples"]
    if problem := array_problem(expected, got):
        nothing = "nan" in problem and not samples.any(axis=1).all()
        return problem + (" A row of zeros has length 0. Which cosine does the task give it?" if nothing else "")
    weights = numbers_of(got)
    for row, (wanted, found) in enumerate(zip(expected, weights, strict=True)):
        if np.isclose(found, wanted, rtol=1e-5, atol=1e-8):
            continue
        kept, n = int(samples[row].sum()), samples.shape[1]
        if not -1e-9 <= found <= 1 + 1e-9:
            return f"Row {row} has the weight {found:.6g}. A weight is between 0 and 1, and 1 for the whole text."
        return f"Row {row} keeps {kept} of {n} words. Its weight should be {wanted:.6g}, not {found:.6g}."
    return None


# ---------------- what each word adds, averaged over all orders in which the words could be added
# Shapley 1953, A Value for n-Person Games; Lundberg and Lee 2017, A Unified Approach to Interpreting Model
# Predictions, equation 4 (arXiv:1705.07874). The library's version: `course_lib.explain.shapley_values`, from a table
# of all values.


def shapley_values(value: "Callable[[frozenset[int]], float]", n: int) -> np.ndarray:
    """Shapley values (n,) of the words 0 to n - 1; value(coalition) is the output if only these are kept."""
    factorials = [1]
    for k in range(1, n + 1):
        factorials.append(factorials[-1] * k)
    coalitions = [frozenset(i for i in range(n) if code >> i & 1) for code in range(2**n)]
    values = np.zeros(n)
    for word in range(n):
        for others in coalitions:
            if word not in others:
                orders = (
                    factorials[len(others)] * factorials[n - len(others) - 1]
                )  # orders with exactly these before it
                values[word] += orders / factorials[n] * (value(others | {word}) - value(others))
    return values


class NoSuchWord(LookupError):
    """The output was requested for a word that the text does not have."""


@dataclass(frozen=True)
class CoalitionTable:
    """The output for each coalition of n words, from a table.

    Args:
        table: 2^n values; number k is that of the words whose bits are 1 in k.
    """

    table: tuple[float, ...]

    @property
    def words(self) -> int:
        """Their number, n."""
        return len(self.table).bit_length() - 1

    def __call__(self, coalition: Collection[int]) -> float:
        """The output for a coalition.

        Raises:
            NoSuchWord: a number in it is none of 0 to n - 1.
        """
        for word in coalition:
            if word not in range(self.words):
                raise NoSuchWord(f"the words are 0 to {self.words - 1}, and there is no word {word}")
        return self.table[sum(1 << int(word) for word in set(coalition))]

    def __repr__(self) -> str:
        names = [",".join(str(i) for i in range(self.words) if k >> i & 1) for k in range(len(self.table))]
        return "<" + ", ".join(f"v({name})={v:g}" for name, v in zip(names, self.table, strict=True)) + ">"


def _shapley_values_cases() -> list[Arguments]:
    random = np.random.default_rng(8)
    tables = [
        (0.5, 0.5, 0.1, 0.7),  # "not", "bad"
        (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),  # each word adds the same in every coalition
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 6.0),  # all three are needed
        (0.25, 0.75, 0.5, 0.25, 0.5, 1.0, 0.75, 0.5),
        (0.25, 0.875),  # a single word
        random.integers(-4, 9, size=8) / 8,
        random.integers(-4, 9, size=16) / 8,
        (0.5, 0.5, 0.5, 0.5),  # no word changes anything
        random.integers(-4, 9, size=16) / 8,
        (0.0, -0.5, 0.25, 0.0, 0.25, -0.75, 0.5, 0.0),  # the whole text has the output of the empty text
    ]
    outputs = [CoalitionTable(tuple(table)) for table in tables]
    return [(one, one.words) for one in outputs]


def _judge_shapley_values(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    values, outputs = numbers_of(got), case["value"]
    change = outputs.table[-1] - outputs.table[0]
    if not np.isclose(values.sum(), change, rtol=1e-5, atol=1e-6):
        return (
            f"Shapley values sum to the output for all words minus the output for no words, {change:.6g} here. "
            f"Yours sum to {round(float(values.sum()), 9) + 0.0:.6g}."
        )
    word = int(np.flatnonzero(~np.isclose(values, expected, rtol=1e-5, atol=1e-6))[0])
    return f"The sum is right, but word {word} should get {expected[word]:.6g}, not {values[word]:.6g}."


# ---------------- gradients along the line from a baseline to the input
# Sundararajan, Taly and Yan 2017, Axiomatic Attribution for Deep Networks, equations 1 and 3 (arXiv:1703.01365),
# with the midpoints of the intervals where the paper takes their right ends. The library's version:
# `course_lib.explain.gradients.integrated_gradients` with `rule="riemann"`.


def integrated_gradients(
    gradient: "Callable[[np.ndarray], np.ndarray]",
    x: np.ndarray,
    baseline: np.ndarray,
    steps: int,
) -> np.ndarray:
    """Attributions in the shape of x: (x - baseline) times the mean gradient on the line between them,
    taken at the midpoints of `steps` equal intervals."""
    difference = x - baseline
    total = np.zeros(x.shape)
    for step in range(steps):
        alpha = (step + 0.5) / steps
        total += gradient(baseline + alpha * difference)
    attributions: np.ndarray = difference * total / steps
    return attributions


class WrongShape(ValueError):
    """The gradient was requested at something that is not one point."""


def _all_multiplied(x: np.ndarray) -> np.ndarray:
    """Each partial derivative is the product of the other numbers."""
    flat = x.ravel()
    others = [np.delete(flat, i).prod() for i in range(flat.size)]
    return np.array(others).reshape(x.shape)


_FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], Any], Callable[[np.ndarray], np.ndarray]]] = {
    "2 * sum of x": (lambda x: 2 * x.sum(), lambda x: np.full(x.shape, 2.0)),
    "sum of x^3": (lambda x: (x**3).sum(), lambda x: 3 * x**2),
    "product of x": (lambda x: x.prod(), _all_multiplied),
    "sigmoid of 4 * sum of x": (
        lambda x: 1 / (1 + np.exp(-4 * x.sum())),
        lambda x: np.full(x.shape, 4 / (2 + np.exp(4 * x.sum()) + np.exp(-4 * x.sum()))),
    ),
    "(sum of x)^2": (lambda x: x.sum() ** 2, lambda x: np.full(x.shape, 2 * x.sum())),
    "sum of sin(3 * x)": (lambda x: np.sin(3 * x).sum(), lambda x: 3 * np.cos(3 * x)),
}


@dataclass(frozen=True)
class GradientFunction:
    """The gradient of a function of one array, at one point for each call.

    Args:
        function: what it is the gradient of; a key of the table above.
        shape: of a point.
    """

    function: str
    shape: tuple[int, ...]

    def __call__(self, point: Any) -> np.ndarray:
        """In the shape of the point.

        Raises:
            WrongShape: that is not one point.
        """
        given = np.asarray(point, dtype=float)
        if given.shape != self.shape:
            raise WrongShape(f"gradient takes one point, of shape {self.shape}, not {given.shape}")
        return _FUNCTIONS[self.function][1](given)

    def value(self, point: np.ndarray) -> float:
        """The function itself."""
        return float(_FUNCTIONS[self.function][0](point))

    def __repr__(self) -> str:
        return f"<gradient of {self.function}>"


def _integrated_gradients_cases() -> list[Arguments]:
    random = np.random.default_rng(9)
    rows: list[tuple[str, Any, Any, int]] = [
        ("sum of x^3", [2.0], [0.0], 2),
        ("2 * sum of x", [1.0, -2.0, 0.5], [0.0, 1.0, 0.5], 3),  # the same gradient everywhere
        ("product of x", [2.0, 3.0], [0.0, 0.0], 1),
        ("product of x", [2.0, -1.0, 0.5], [1.0, 1.0, 1.0], 4),
        ("sigmoid of 4 * sum of x", [1.0, 0.5, -0.25], [-0.5, 0.0, 0.0], 8),  # flat at both ends
        ("(sum of x)^2", [[1.0, -0.5], [2.0, 0.25]], [[0.5, 0.0], [0.0, 0.25]], 2),
        ("sum of sin(3 * x)", random.normal(size=(3, 2)), random.normal(size=(3, 2)), 5),
        ("sum of x^3", random.normal(size=(2, 2)), random.normal(size=(2, 2)), 20),
        ("sum of x^3", [0.5, -1.0], [0.5, -1.0], 3),  # the input is the baseline
        ("sum of sin(3 * x)", [1.5, -0.5, 1.0], [0.0, 0.0, 0.0], 1),
    ]
    return [(GradientFunction(function, np.shape(x)), x, baseline, steps) for function, x, baseline, steps in rows]


def _judge_integrated_gradients(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    numbers = numbers_of(got)
    x, baseline, gradient = case["x"], case["baseline"], case["gradient"]
    if (stays := (x == baseline) & (numbers != 0)).any():
        return f"Where the input equals the baseline, the attribution is 0. Yours is {numbers[stays][0]:.6g} there."
    change = gradient.value(x) - gradient.value(baseline)
    if abs(numbers.sum() - change) > abs(expected.sum() - change) + 1e-5:
        return (
            f"From the baseline to x the function changes by {change:.6g}. The attributions should sum to about this "
            f"({expected.sum():.6g} with these steps); yours sum to {numbers.sum():.6g}."
        )
    place = [int(i) for i in np.argwhere(~np.isclose(numbers, expected, rtol=1e-5, atol=1e-6))[0]]
    where = place[0] if len(place) == 1 else tuple(place)
    return f"Position {where} holds {numbers[tuple(place)]:.6g}; it should hold {expected[tuple(place)]:.6g}."


# ---------------- build, stage 1: the weight of a coalition in the regression
# Lundberg and Lee 2017, theorem 2 (arXiv:1705.07874).


def shapley_kernel_weight(n: int, size: int) -> float:
    """Weight of one coalition that keeps `size` of `n` words; infinite for the empty and the whole text."""
    if size in (0, n):
        return math.inf
    return (n - 1) / (math.comb(n, size) * size * (n - size))


def _kernel_weight_cases() -> list[Arguments]:
    return [(2, 1), (4, 2), (3, 1), (4, 0), (4, 4), (5, 3), (10, 1), (10, 9), (12, 5), (1, 1), (1, 0)]


def _judge_kernel_weight(case: Case, expected: Any, got: Any) -> str | None:
    number = as_numbers(got)
    if number is None or number.ndim:
        return f"The result should be one number, but it is {kind(got)}."
    if same(expected, got):
        return None
    n, size = case["n"], case["size"]
    if size in (0, n):
        return f"With {size} of {n} words kept the weight is infinite: return math.inf, not {float(number):.6g}."
    return f"With {size} of {n} words kept the weight should be {expected:.6g}, not {float(number):.6g}."


# ---------------- build, stage 2: the coalitions that are evaluated
# Sizes are drawn by their total weight, as in Lundberg and Lee 2017; pairs as in Covert and Lee 2021, Improving
# KernelSHAP, section 4 (arXiv:2012.01536).


def sample_coalitions(n: int, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coalitions (rows, n), True where a word is kept, and their weights (rows,), for a text of n words."""
    if samples >= 2**n - 2:  # take each coalition once, with its own weight
        coalitions = (np.arange(1, 2**n - 1)[:, None] >> np.arange(n) & 1) == 1
        return coalitions, np.array([shapley_kernel_weight(n, size) for size in coalitions.sum(axis=1)])
    sizes = range(1, n)
    totals = np.array([math.comb(n, size) * shapley_kernel_weight(n, size) for size in sizes])
    random = np.random.default_rng(seed)
    coalitions = np.zeros((samples // 2, n), dtype=bool)
    for row, size in zip(coalitions, random.choice(sizes, len(coalitions), p=totals / totals.sum()), strict=True):
        row[random.permutation(n)[:size]] = True
    coalitions = np.concatenate([coalitions, ~coalitions])
    return coalitions, np.ones(len(coalitions))


def _sample_cases() -> list[Arguments]:
    return [(2, 2, 0), (4, 14, 0), (5, 100, 3), (1, 4, 0), (12, 1600, 0), (12, 1600, 7), (20, 40, 1)]


def _drawn(answer: Answer, n: int, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The coalitions and weights of an answer, if they have the form of these."""
    found = answer(n, samples, seed)
    if found is None or found is ...:
        raise Refused("Your function gives None. Is a `return` missing?")
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Refused(f"Return a pair, coalitions and weights, not {kind(found)}.")
    try:
        coalitions, weights = (np.asarray(part, dtype=float) for part in found)
    except (TypeError, ValueError):
        raise Refused("The coalitions and the weights should be arrays of numbers.") from None
    if coalitions.ndim != 2 or coalitions.shape[1] != n:
        raise Refused(f"The coalitions should be an array of shape (rows, {n}), but they are {kind(found[0])}.")
    if not np.isin(coalitions, (0, 1)).all():
        raise Refused("The coalitions should hold True and False alone.")
    if weights.shape != coalitions.shape[:1]:
        raise Refused(f"The weights should have shape {coalitions.shape[:1]}, one for each row.")
    return coalitions == 1, weights


def _run_sample(answer: Answer, n: int, samples: int, seed: int) -> list[str]:
    """What is true of the coalitions that an answer draws, one sentence for each property."""
    coalitions, weights = _drawn(answer, n, samples, seed)
    again, other = (_drawn(answer, n, samples, number)[0] for number in (seed, seed + 1))
    codes = coalitions @ 2 ** np.arange(n)  # the bits of a code are a row
    ends = "include" if np.isin(codes, (0, 2**n - 1)).any() else "do not include"
    few, many = samples >= 2**n - 2, samples >= 1000
    return [
        f"They have {len(codes)} rows.",
        f"They {ends} the empty text or the whole text.",
        f"{len(np.unique(codes))} of the rows differ from each other." if few else "Rows may repeat.",
        _pairing(codes, 2**n - 1),
        _weighting(coalitions, weights),
        _size_distribution(coalitions) if many else "Too few rows to see how the sizes are distributed.",
        _word_distribution(coalitions) if many else "Too few rows to see whether words are equally likely.",
        f"The same seed gives {'the same' if np.array_equal(coalitions, again) else 'other'} coalitions.",
        f"Another seed gives {'the same' if np.array_equal(coalitions, other) else 'other'} coalitions.",
    ]


def _pairing(codes: np.ndarray, everything: int) -> str:
    counts = np.unique(codes, return_counts=True)[1]
    if np.array_equal(np.sort(codes), np.sort(everything - codes)):
        return "Each row has its complement among the rows."
    if (counts % 2 == 0).all():
        return "Each row occurs twice, and its complement is not among the rows."
    return "Some rows do not have their complement among the rows."


def _weighting(coalitions: np.ndarray, weights: np.ndarray) -> str:
    """Which rule the weights follow, whatever their scale."""
    sizes, n = coalitions.sum(axis=1), coalitions.shape[1]
    rules = {
        "All weights are equal.": np.ones(len(weights)),
        "The weights follow the Shapley kernel.": np.array([shapley_kernel_weight(n, int(size)) for size in sizes]),
    }
    if not len(weights):
        return "There are no weights."
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        return "Some weights are infinite or not above 0."
    for name, rule in rules.items():
        if np.allclose(weights / weights.max(), rule / rule.max(), rtol=1e-6):
            return name
    return "The weights follow another rule."


def _size_distribution(coalitions: np.ndarray) -> str:
    """To which of three rules the frequencies of the sizes 1 to n - 1 are nearest."""
    n = coalitions.shape[1]
    sizes = np.arange(1, n)
    found = np.array([(coalitions.sum(axis=1) == size).mean() for size in sizes])
    subsets = np.array([math.comb(n, int(size)) for size in sizes])
    rules = {
        "Sizes are drawn by the total kernel weight of each size.": 1 / (sizes * (n - sizes)),
        "All sizes are equally likely.": np.ones(n - 1),
        "Sizes are drawn by the kernel weight of a single coalition.": 1 / (sizes * (n - sizes)) / subsets,
        "All coalitions are equally likely, so middle sizes prevail.": subsets.astype(float),
    }
    distances = {name: float(np.abs(found - rule / rule.sum()).sum()) for name, rule in rules.items()}
    nearest = min(distances, key=lambda name: distances[name])
    return nearest if distances[nearest] < 0.2 else "Sizes are drawn by another rule."


def _word_distribution(coalitions: np.ndarray) -> str:
    small = coalitions[coalitions.sum(axis=1) * 2 < coalitions.shape[1]]  # in all rows together the pairs hide it
    kept = small.sum(axis=0)
    alike = len(small) and kept.min() > 0.5 * kept.max()
    return f"All words are {'' if alike else 'not '}equally likely."


def _judge_sample(case: Case, expected: Any, got: Any) -> str | None:
    for wanted, found in zip(expected, got, strict=True):
        if wanted != found:
            return f"{found} What is needed: {wanted[0].lower()}{wanted[1:]}"
    return None


# ---------------- build, stage 3: the regression
# Lundberg and Lee 2017, theorem 2; the constraint as in Covert and Lee 2021, section 3.


def solve_weighted(
    coalitions: np.ndarray, weights: np.ndarray, outputs: np.ndarray, empty: float, full: float
) -> np.ndarray:
    """Values (n,) that sum to full - empty and fit the outputs (rows,) of the coalitions (rows, n) best."""
    kept = coalitions.astype(float)
    total = full - empty
    design = kept[:, :-1] - kept[:, -1:]  # the last value is total minus the sum of the others
    target = outputs - empty - kept[:, -1] * total
    root = np.sqrt(weights)
    first = np.linalg.lstsq(root[:, None] * design, root * target, rcond=None)[0]
    return np.append(first, total - first.sum())


def _solve_cases() -> list[Arguments]:
    random = np.random.default_rng(10)
    both = np.array([[True, False], [False, True]])
    cases: list[Arguments] = [
        (both, np.array([0.5, 0.5]), np.array([0.5, 0.1]), 0.5, 0.7),  # "not", "bad"
        (both, np.array([3.0, 1.0]), np.array([0.5, 0.2]), 0.25, 0.75),
    ]
    for n, rows in ((3, 6), (4, 9), (5, 20)):
        coalitions = random.random((rows, n)) < 0.5
        coalitions[:n] = ~np.eye(n, dtype=bool)  # so that the values are determined
        cases.append((coalitions, random.uniform(0.1, 2, rows), random.random(rows), *random.random(2).tolist()))
    return cases


def _judge_solve(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    values, total = numbers_of(got), case["full"] - case["empty"]
    if not np.isclose(values.sum(), total, atol=1e-5):
        return f"The values should sum to full - empty = {total:.6g}. Yours sum to {values.sum():.6g}."
    errors = [
        float(case["weights"] @ (case["outputs"] - case["empty"] - case["coalitions"] @ one) ** 2)
        for one in (values, expected)
    ]
    smallest = f"The smallest possible is {errors[1]:.6g}."
    return f"The sum is right, but the weighted squared error is {errors[0]:.6g}. {smallest}"


def _fit_alone(
    coalitions: np.ndarray, weights: np.ndarray, outputs: np.ndarray, empty: float, full: float
) -> np.ndarray:
    root = np.sqrt(weights)
    values: np.ndarray = np.linalg.lstsq(root[:, None] * coalitions, root * (outputs - empty), rcond=None)[0]
    return values


def _fit_and_shift(
    coalitions: np.ndarray, weights: np.ndarray, outputs: np.ndarray, empty: float, full: float
) -> np.ndarray:
    values = _fit_alone(coalitions, weights, outputs, empty, full)
    shifted: np.ndarray = values + (full - empty - values.sum()) / len(values)
    return shifted


def _fit_and_rescale(
    coalitions: np.ndarray, weights: np.ndarray, outputs: np.ndarray, empty: float, full: float
) -> np.ndarray:
    values = _fit_alone(coalitions, weights, outputs, empty, full)
    rescaled: np.ndarray = values * (full - empty) / values.sum()
    return rescaled


# ---------------- build, stage 4: KernelSHAP


def kernel_shap(
    predict: "Callable[[list[str]], np.ndarray]",
    text: str,
    samples: int,
    seed: int,
) -> np.ndarray:
    """Shapley values (n,) of the words of text.split(); predict(list of texts) gives an array of outputs."""
    words = text.split()
    coalitions, weights = sample_coalitions(len(words), samples, seed)
    masked = [" ".join(word for word, kept in zip(words, row, strict=True) if kept) for row in coalitions]
    outputs = predict(["", text, *masked])
    return solve_weighted(coalitions, weights, outputs[2:], outputs[0], outputs[1])


_WORTH = {"good": 0.2, "dull": -0.25, "funny": 0.15, "never": -0.05, "very": 0.02, "film": 0.01}


def _toy_output(text: str) -> float:
    """0.4, plus the worth of each word; "never dull" adds 0.5, and 0.8 in a text with "very"."""
    words = text.split()
    together = ("never", "dull") in pairwise(words)
    return 0.4 + sum(_WORTH.get(word, 0.03) for word in words) + together * (0.8 if "very" in words else 0.5)


def _run_kernel_shap(answer: Answer, text: str, samples: int, seed: int) -> tuple[Any, str, str]:
    """The values, and how `predict` was called: how many texts, and how often."""
    calls: list[int] = []

    def predict(texts: list[str]) -> np.ndarray:
        if isinstance(texts, str) or not all(isinstance(one, str) for one in texts):
            raise Refused("predict takes a list of strings.")
        calls.append(len(texts))
        return np.array([_toy_output(one) for one in texts])

    values = answer(predict, text, samples, seed)
    if values is None or values is ...:
        raise Refused("Your function gives None. Is a `return` missing?")
    most = min(samples, 2 ** len(text.split()) - 2) + 2
    queries = "at most two more texts than samples" if sum(calls) <= most else f"{sum(calls)} texts"
    return values, queries, "in a few batches" if len(calls) <= 4 else "in many batches"


def _kernel_shap_cases() -> list[Arguments]:
    return [
        ("never dull", 10, 0),
        ("good film", 2, 1),
        ("never dull often very funny", 100, 0),
        ("good good dull", 6, 2),  # a word that occurs twice
        ("good", 8, 0),
        ("a very good film a dull end a very funny film", 60, 4),  # the model adds: exact from any sample
    ]


def _judge_kernel_shap(case: Case, expected: Any, got: Any) -> str | None:
    values, queries, batches = got
    if problem := array_problem(expected[0], values):
        return problem
    found, words = numbers_of(values), case["text"].split()
    if not same(expected[0], values):
        total = _toy_output(case["text"]) - _toy_output("")
        if not np.isclose(found.sum(), total, atol=1e-5):
            return (
                f'The values should sum to {total:.6g}, the change from "" to the text. Yours sum to {found.sum():.6g}.'
            )
        word = int(np.argmax(np.abs(found - expected[0])))
        return f"The sum is right, but {words[word]!r} should get {expected[0][word]:.6g}, not {found[word]:.6g}."
    if queries != expected[1]:
        needed = "the empty text, the whole text and one text for each coalition"
        return f"predict gets {queries} in all. It should get {needed}."
    if batches != expected[2]:
        return "predict is called once for each text. Give it all texts as one list: a model is much faster on a batch."
    return None


EXERCISES = (
    Exercise(lime_weights, _lime_weights_cases, _judge_lime_weights),
    Exercise(shapley_values, _shapley_values_cases, _judge_shapley_values),
    Exercise(integrated_gradients, _integrated_gradients_cases, _judge_integrated_gradients),
)
BUILD = (
    Exercise(shapley_kernel_weight, _kernel_weight_cases, _judge_kernel_weight),
    Exercise(sample_coalitions, _sample_cases, _judge_sample, run=_run_sample),
    Exercise(solve_weighted, _solve_cases, _judge_solve),
    Exercise(kernel_shap, _kernel_shap_cases, _judge_kernel_shap, run=_run_kernel_shap),
)
