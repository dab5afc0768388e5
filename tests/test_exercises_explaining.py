"""Explanations: other right answers pass, sly ones do not, references agree with the library."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import given
from hypothesis import strategies as st
from toy_games import tangled

from course_lib import explain
from course_lib.exercises import reference
from course_lib.exercises.catalogue import find
from course_lib.exercises.topics import explaining
from course_lib.exercises.topics.explaining import (
    CoalitionTable,
    GradientFunction,
    NoSuchWord,
    WrongShape,
)
from course_lib.explain.gradients import quadrature
from course_lib.explain.shapley import all_coalitions

# ---------------------------------------------------------------- other right answers


def weights_of_the_library(samples: np.ndarray, width: float = 25.0) -> np.ndarray:
    return explain.kernel(samples.astype(bool), width)


def shapley_by_orders(value: Callable[[frozenset[int]], float], n: int) -> np.ndarray:
    values = np.zeros(n)
    for order in itertools.permutations(range(n)):
        here: frozenset[int] = frozenset()
        for word in order:
            values[word] += value(here | {word}) - value(here)
            here |= {word}
    return values / math.factorial(n)


def shapley_of_the_library(value: Callable[[frozenset[int]], float], n: int) -> np.ndarray:
    table = [value(frozenset(np.flatnonzero(row))) for row in all_coalitions(n)]
    return explain.shapley_values(np.array(table))


def gradients_backwards(gradient: Callable[..., Any], x: np.ndarray, baseline: np.ndarray, steps: int) -> Any:
    shares = np.linspace(1 - 0.5 / steps, 0.5 / steps, steps)  # from x to the baseline: the same middles
    points = [share * x + (1 - share) * baseline for share in shares]
    return (x - baseline) * np.mean([gradient(point) for point in points], axis=0)


def weight_by_counting(n: int, size: int) -> float:
    if not 0 < size < n:
        return float("inf")
    subsets = sum(1 for _ in itertools.combinations(range(n), size))
    return (n - 1) / subsets / size / (n - size)


def coalitions_as_lists(n: int, samples: int, seed: int) -> Any:
    if samples >= 2**n - 2:
        rows = [row for row in itertools.product([0, 1], repeat=n) if 0 < sum(row) < n]
        return np.array(rows, float).reshape(-1, n), [1 / (n - 1) * weight_by_counting(n, sum(row)) for row in rows]
    drawn, chances = random.Random(seed), [1 / (size * (n - size)) for size in range(1, n)]
    rows = []
    for _ in range(samples // 2):
        kept = drawn.sample(range(n), drawn.choices(range(1, n), chances)[0])
        rows += [[i in kept for i in range(n)], [i not in kept for i in range(n)]]
    return rows, [1.0] * len(rows)


def values_by_lagrange(coalitions: Any, weights: Any, outputs: Any, empty: float, full: float) -> Any:
    n, kept = coalitions.shape[1], coalitions.astype(float)
    left = np.ones((n + 1, n + 1))
    left[:n, :n], left[n, n] = 2 * kept.T @ (kept * weights[:, None]), 0
    right = np.append(2 * kept.T @ (weights * (outputs - empty)), full - empty)
    return np.linalg.solve(left, right)[:n]


def kernel_shap_in_two_calls(predict: Callable[..., Any], text: str, samples: int, seed: int) -> Any:
    words, (empty, full) = text.split(), predict(["", text])
    coalitions, weights = coalitions_as_lists(len(words), samples, seed)
    texts = [" ".join(itertools.compress(words, row)) for row in coalitions]
    if not texts:
        return [full - empty]
    return values_by_lagrange(np.array(coalitions), np.array(weights), predict(texts), empty, full)


RIGHT: dict[str, list[Answer]] = {
    "lime_weights": [weights_of_the_library],
    "shapley_values": [shapley_by_orders, shapley_of_the_library],
    "integrated_gradients": [gradients_backwards],
    "shapley_kernel_weight": [weight_by_counting],
    "sample_coalitions": [coalitions_as_lists],
    "solve_weighted": [values_by_lagrange],
    "kernel_shap": [kernel_shap_in_two_calls],
}
TABLES = st.builds(lambda random, n: CoalitionTable(tuple(random.normal(size=2**n).tolist())), SEED, st.integers(1, 4))
DRAWN = {
    "lime_weights": st.builds(
        lambda random, rows, n, width: (random.integers(0, 2, size=(rows, n)), width),
        *(SEED, SIZES, st.integers(1, 12), st.floats(1, 100)),
    ),
    "shapley_values": TABLES.map(lambda table: (table, table.words)),
    "integrated_gradients": st.builds(
        lambda random, n, steps: (np.cos, *random.normal(size=(2, n)), steps), SEED, SIZES, st.integers(1, 12)
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases


def two_words_together(value: Callable[..., float], n: int) -> Any:
    """Exact where no more than two words interact."""
    base, everyone = value(frozenset()), frozenset(range(n))
    alone = np.array([value(frozenset({i})) - base for i in range(n)])
    left = np.array([value(everyone) - value(everyone - {i}) for i in range(n)])
    return (alone + left) / 2 + (value(everyone) - base - (alone + left).sum() / 2) / n


SLY: dict[str, list[Answer | Edit]] = {
    "lime_weights": [
        ("width: float = 25.0", "width: float = 24.0"),
        ("/ width**2", "/ max(width, 15.0) ** 2"),
        ("/ width**2", "/ min(width, 50.0) ** 2"),
        lambda samples, width=25.0: reference.lime_weights(samples[:, :8], width),
        lambda samples, width=25.0: reference.lime_weights(samples, width)[:5],
        ("return weights", "return np.maximum(weights, 1e-3)"),
    ],
    "shapley_values": [
        two_words_together,
        lambda value, n: shapley_by_orders(value, min(n, 3)),
        ("return values", "return np.maximum(values, -0.5)"),
        ("return values", "return values[:, None]"),
        lambda value, n: shapley_by_orders(lambda s: value(s) if len(s) < 4 else 0.0, n),
        ("return values", "return sum(values)"),
    ],
    "integrated_gradients": [
        lambda gradient, x, baseline, steps: reference.integrated_gradients(gradient, x, baseline, min(steps, 8)),
        lambda gradient, x, baseline, steps: reference.integrated_gradients(gradient, x, baseline, max(steps, 2)),
        ("return attributions", "return attributions.ravel()"),
        ("difference = x - baseline", "difference, baseline = x, 0 * x"),
        ("return attributions", "return attributions + 1e-5"),
    ],
    "shapley_kernel_weight": [
        ("math.comb(n, size)", "math.comb(min(n, 10), size)"),
        ("return math.inf", "return 1e6"),
        lambda n, size: weight_by_counting(n, size) if n > 1 else 0.0,
    ],
    "sample_coalitions": [
        ("random.permutation(n)[:size]", "random.permutation(n - 1)[:size]"),  # never the last word, but for pairs
        ("samples >= 2**n - 2", "samples > 2**n - 2"),
        ("np.ones(len(coalitions))", "np.arange(1.0, len(coalitions) + 1)"),
        ("return coalitions, np.array", "return coalitions[::2], np.array"),
    ],
    "solve_weighted": [
        ("np.sqrt(weights)", "np.sqrt(np.minimum(weights, 1))"),
        ("return np.append(first, total - first.sum())", "return np.append(first, total - first.sum()).round(3)"),
        ("return np.append", "return 1e-4 + np.append"),
    ],
    "kernel_shap": [
        ("words = text.split()", "words = text.split()[:8]"),
        ("outputs = predict", "outputs = predict([text] * 50)[:0] if len(words) > 9 else predict"),
        ("coalitions, weights = sample", "weights, coalitions = sample"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def ends_of_the_parts(gradient: Callable[..., Any], x: np.ndarray, baseline: np.ndarray, steps: int) -> Any:
    return sum((x - baseline) / steps * gradient(baseline + k / steps * (x - baseline)) for k in range(1, steps + 1))


MISTAKES: Mistakes = {
    "lime_weights": [
        (("return weights", "return 2 * weights"), "Row 0 has the weight 2. A weight is"),
        (lambda samples, width=25.0: np.ones(len(samples)), "keeps 1 of 4 words. Its weight should be 0.135335"),
    ],
    "shapley_values": [
        (("return values", "return 2 * values + 1"), "0.2 here. Yours sum to 2.4."),
        (
            ("return values", "return values + np.eye(n)[0] - 1 / n"),
            "The sum is right, but word 0 should get 0.3, not 0.8.",
        ),
    ],
    "integrated_gradients": [
        (ends_of_the_parts, "You use the right end of each interval"),
        (
            ("return attributions", "return 2 * attributions + 1"),
            "changes by 8. The attributions should sum to about this (7.5 with these steps); yours sum to 16.",
        ),
        (lambda g, x, b, steps: gradients_backwards(g, x, b, 2 * steps), "Position 0 holds 7.875; it should hold 7.5."),
        (
            lambda g, x, b, steps: gradients_backwards(g, x, b, steps) + (x == b) * (len(x) == 3),
            "Where the input equals the baseline, the attribution is 0",
        ),
    ],
}

TestExercises = judged((*explaining.EXERCISES, *explaining.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- what the learners' functions are called with


def test_a_table_is_shown_by_its_values_and_knows_its_words() -> None:
    table = find("shapley_values").cases()[0]["value"]
    assert repr(table) == "<v()=0.5, v(0)=0.5, v(1)=0.1, v(0,1)=0.7>"
    assert table == find("shapley_values").cases()[0]["value"]
    assert [table(some) for some in (frozenset(), {1}, [0, 1], (np.int64(0),), [1, 1])] == [0.5, 0.1, 0.7, 0.5, 0.1]
    with pytest.raises(NoSuchWord, match="the words are 0 to 1, and there is no word 2"):
        table({2})
    assert max(case["n"] for case in find("shapley_values").cases()) == 4
    assert all(case["n"] == case["value"].words for case in find("shapley_values").cases())


def test_a_gradient_takes_one_point_and_is_that_of_its_function() -> None:
    for case in find("integrated_gradients").cases():
        gradient, point = case["gradient"], case["baseline"] + 0.3 * (case["x"] - case["baseline"])
        expected = np.empty(point.shape)
        for place in np.ndindex(point.shape):
            step = np.zeros(point.shape)
            step[place] = 1e-5
            expected[place] = (gradient.value(point + step) - gradient.value(point - step)) / 2e-5
        np.testing.assert_allclose(gradient(point), expected, atol=1e-6, err_msg=repr(gradient))
        with pytest.raises(WrongShape, match="gradient takes one point"):
            gradient(np.stack([point, point]))
    assert repr(GradientFunction("product of x", (2,))) == "<gradient of product of x>"


# ---------------------------------------------------------------- references against the library


@given(DRAWN["integrated_gradients"])
def test_integrated_gradients_take_the_points_of_the_library(drawn: tuple[Any, ...]) -> None:
    _, x, baseline, steps = drawn
    queries: list[np.ndarray] = []

    def gradient(point: np.ndarray) -> np.ndarray:
        queries.append(point)
        return np.cos(point)

    found = reference.integrated_gradients(gradient, x, baseline, steps)
    points, weights = quadrature("riemann", steps)
    line = baseline + points[:, None] * (x - baseline)
    np.testing.assert_allclose(queries, line, atol=1e-12)
    np.testing.assert_allclose(found, (x - baseline) * (weights @ np.cos(line)), atol=1e-12)


def test_more_steps_come_nearer_to_the_change() -> None:
    case = find("integrated_gradients").cases()[4]
    gradient, x, baseline = case["gradient"], case["x"], case["baseline"]
    change = gradient.value(x) - gradient.value(baseline)
    gaps = [abs(reference.integrated_gradients(gradient, x, baseline, n).sum() - change) for n in (2, 8, 32, 128)]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 1e-4
    assert np.abs(gradient(x)).max() < 0.05 * gradient(0 * x).max(), "flat where the model is sure"


# ---------------------------------------------------------------- what the texts say


def test_the_worked_examples_of_the_tasks() -> None:
    rows = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    weights = reference.lime_weights(rows).tolist()
    assert [float(f"{weight:.3g}") for weight in weights] == [1, 0.135, 0.000335]
    table = find("shapley_values").cases()[0]["value"]
    assert [table(s) for s in ([], [0], [1], [0, 1])] == [0.5, 0.5, 0.1, 0.7]
    np.testing.assert_allclose(reference.shapley_values(table, 2), [0.3, -0.1])
    assert [table([0]) - table([]), table([0, 1]) - table([1])] == pytest.approx([0, 0.6])
    assert [table([1]) - table([]), table([0, 1]) - table([0])] == pytest.approx([-0.4, 0.2])
    assert [2**4, 2**20] == [16, 1_048_576]
    assert [reference.shapley_kernel_weight(4, size) for size in range(5)] == [math.inf, 0.25, 0.125, 0.25, math.inf]
    two = np.array([[True, False], [False, True]])
    solved = reference.solve_weighted(two, np.full(2, 0.5), np.array([0.5, 0.1]), 0.5, 0.7)
    np.testing.assert_allclose(solved, [0.3, -0.1])
    cube = GradientFunction("sum of x^3", (1,))
    assert [float(cube([point])[0]) for point in (0.5, 1.5)] == [0.75, 6.75]
    assert reference.integrated_gradients(cube, np.array([2.0]), np.array([0.0]), 2).tolist() == [7.5]
    assert cube.value(np.array([2.0])) == 8


def test_the_numbers_of_the_quiz() -> None:
    table = find("shapley_values").cases()[0]["value"]
    assert table([0, 1]) - table([1]) == pytest.approx(0.6), "occlusion of the word not"
    assert table([0, 1]) - table([0]) > 0, "bad raises the output of not bad"
    equal = np.full(2, 0.1)
    assert equal.sum() == pytest.approx(reference.shapley_values(table, 2).sum()), "another sharing, the same sum"


def test_four_times_the_samples_halve_the_error_of_lime() -> None:
    text = "one little film that nobody has seen before"

    def scatter(samples: int) -> float:
        runs = [explain.explain(tangled(), [text], "lime", samples=samples, seed=seed)[0].scores for seed in range(60)]
        return float(np.std(runs, axis=0, ddof=1).mean())

    assert scatter(400) / scatter(1600) == pytest.approx(2.0, rel=0.2)
