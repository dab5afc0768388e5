"""Medicine: folds by hospital, temperature, zeros that mean "missing"; the build is an assistant that may decline."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import as_words, brief, judge_array, kind, plain, same

# ---------------- folds by hospital
# The library's version: scikit-learn's `LeaveOneGroupOut`, as in `course_lib.cases.heart.heart_probabilities`.


def hospital_folds(hospitals: "list[str]") -> "list[tuple[list[int], list[int]]]":
    """(training rows, test rows) for each hospital in alphabetical order, which is the test."""
    folds = []
    for left_out in sorted(set(hospitals)):
        train = [row for row, hospital in enumerate(hospitals) if hospital != left_out]
        test = [row for row, hospital in enumerate(hospitals) if hospital == left_out]
        folds.append((train, test))
    return folds


def _every_kth(hospitals: list[str]) -> list[tuple[list[int], list[int]]]:
    rows, folds = range(len(hospitals)), len(set(hospitals))
    ranks = [hospitals[:row].count(hospital) for row, hospital in enumerate(hospitals)]
    return [
        ([r for r in rows if ranks[r] % folds != k], [r for r in rows if ranks[r] % folds == k]) for k in range(folds)
    ]


def _folds_cases() -> list[Arguments]:
    random = np.random.default_rng(0)
    return [
        (["B", "A", "B", "A"],),
        (["Zurich", "Basel", "Budapest", "Basel", "Zurich"],),
        (["C", "C", "C", "B", "A", "B", "C"],),
        (["C", "A", "B"],),
        ([str(name) for name in random.choice(list("DBCA"), size=24)],),
    ]


def _judge_folds(case: Case, expected: Any, got: Any) -> str | None:
    folds = plain(got)
    if not isinstance(folds, list) or not all(isinstance(fold, list) and len(fold) == 2 for fold in folds):
        return f"The result should be a list of pairs (training rows, test rows), but it is {kind(got)}."
    if len(folds) != len(expected):
        return f"There are {len(expected)} hospitals, but you return {len(folds)} folds."
    names = next(iter(case.values()))
    for number, ((train, test), fold) in enumerate(zip(expected, folds, strict=True)):
        if same([train, test], [sorted(part) if isinstance(part, list) else part for part in fold]):
            continue
        return f"Fold {number} ({names[test[0]]}) should be {brief((train, test))}, but it is {brief(fold)}."
    return None


# ---------------- temperature
# Guo et al. 2017, On Calibration of Modern Neural Networks. The library's version: `course_lib.evaluation.temper`.


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (rows, classes) as if their logits had been divided by the temperature."""
    logits = np.log(probabilities) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _temperature_cases() -> list[Arguments]:
    random = np.random.default_rng(1)
    drawn = [(random.dirichlet(np.ones(n), size=rows), t) for rows, n, t in ((3, 4, 1.7), (5, 2, 0.6), (2, 14, 1.0))]
    return [([[0.8, 0.2]], 2.0), ([[0.8, 0.2], [0.5, 0.5]], 0.5), *drawn, ([[0.3, 0.4, 0.3]], 0.001)]


# ---------------- zeros that mean "missing"
# The library's version: `course_lib.cases.heart.zeros_to_missing`, and scikit-learn's `SimpleImputer`.


def fill_zeros(values: np.ndarray, columns: "list[int]", train: np.ndarray) -> np.ndarray:
    """A copy in which zeros of these columns are the mean of the training rows' other values."""
    filled = np.array(values, dtype=float)
    for column in columns:
        known = filled[train, column]
        mean = known[known != 0].mean()
        filled[filled[:, column] == 0, column] = mean
    return filled


def _fills_the_original(values: np.ndarray, columns: list[int], train: np.ndarray) -> np.ndarray:
    values[...] = fill_zeros(values, columns, train)
    return values


def _run_fill(answer: Any, values: list[list[float]], columns: list[int], train: list[bool]) -> tuple[Any, bool]:
    given = np.array(values, dtype=float)
    found = answer(given, list(columns), np.array(train))
    return found, bool((given == np.array(values)).all())


def _fill_cases() -> list[Arguments]:
    table = [[200.0, 1.0, 0.0], [0.0, 0.0, 2.0], [300.0, 1.0, 4.0], [0.0, 0.0, 0.0]]
    random = np.random.default_rng(2)
    large = random.integers(0, 4, size=(12, 4)).astype(float)
    large[:3] += 1
    return [
        (table, [0], [True] * 4),
        (table, [0], [True, True, False, False]),
        (table, [0, 2], [True, False, True, False]),
        (table, [], [True] * 4),
        (large.tolist(), [1, 3], [True] * 7 + [False] * 5),
    ]


def _judge_fill(case: Case, expected: Any, got: Any) -> str | None:
    if problem := judge_array(case, expected[0], got[0]):
        return problem
    return None if got[1] else "Your function changes its argument. Work on a copy."


EXERCISES = (
    Exercise(apply_temperature, _temperature_cases, judge_array),
    Exercise(fill_zeros, _fill_cases, _judge_fill, run=_run_fill),
    Exercise(hospital_folds, _folds_cases, _judge_folds),
)


# ================ the build: an assistant that may decline ================


# ---------------- stage 1: the ontology


def parse_terms(text: str) -> "dict[str, tuple[str, list[str]]]":
    """Id -> (definition, ids of the parents) for each term that is not obsolete."""
    terms = {}
    for stanza in text.split("\n\n"):
        lines = stanza.strip().split("\n")
        if lines[0] != "[Term]" or "is_obsolete: true" in lines:
            continue
        name = next(line[4:] for line in lines if line.startswith("id: "))
        definition = next((line.split('"')[1] for line in lines if line.startswith("def: ")), "")
        parents = [line.split()[1] for line in lines if line.startswith("is_a: ")]
        terms[name] = (definition, parents)
    return terms


_OBO = """format-version: 1.2

[Term]
id: T:1
name: All

[Term]
id: T:2
name: Abnormal eye
def: "An abnormality of the eye." [source: "a book"]
is_a: T:1 ! All

[Term]
id: T:3
name: Old
def: "Not used any more."
is_obsolete: true

[Term]
id: T:4
name: Red eye of the newborn
def: "Redness: seen in newborns." []
synonym: "Red eye" EXACT []
is_a: T:2 ! Abnormal eye
is_a: T:5 ! Birth

[Typedef]
id: part_of
name: part of"""


def _parse_cases() -> list[Arguments]:
    parts = _OBO.split("\n\n")
    return [("\n\n".join(parts[:3]),), ("\n\n".join(parts[:4]),), (_OBO,), ("\n\n".join([parts[0], *parts[:0:-1]]),)]


def _judge_dict(case: Case, expected: Any, got: Any) -> str | None:
    if not isinstance(got, dict):
        return f"The result should be a dictionary, but it is {kind(got)}."
    for name in expected.keys() | got.keys():
        if name not in got or name not in expected:
            return f"The result should have the keys {brief(sorted(expected))}, not {brief(sorted(map(str, got)))}."
    wrong = [name for name in expected if not same(expected[name], got[name])]
    return f"{wrong[0]} should be {brief(expected[wrong[0]])}, but it is {brief(got[wrong[0]])}." if wrong else None


# ---------------- stage 2: whole branches


def branch_rows(parents: "dict[str, list[str]]", held_out: "set[str]") -> "list[str]":
    """Sorted ids of the terms of the held-out branches: their roots and all descendants of these."""

    def is_below(name: str) -> bool:
        return name in held_out or any(is_below(parent) for parent in parents.get(name, []))

    return sorted(name for name in parents if is_below(name))


def _children_only(parents: dict[str, list[str]], held_out: set[str]) -> list[str]:
    return sorted(name for name in parents if name in held_out or held_out & set(parents[name]))


def _branch_cases() -> list[Arguments]:
    tree: dict[str, list[str]] = {"root": [], "eye": ["root"], "lid": ["eye"], "ptosis": ["lid"], "ear": ["root"]}
    graph = tree | {"syndrome": ["ear", "ptosis"], "deaf": ["ear"], "left ptosis": ["ptosis", "eye"]}
    return [(tree, {"lid"}), (tree, {"ear", "ptosis"}), (graph, {"lid"}), (graph, {"ear"}), (graph, set())]


def _judge_words(case: Case, expected: Any, got: Any) -> str | None:
    words = as_words(got)
    if words is None and isinstance(got, list):
        other = next(item for item in got if not isinstance(item, str))
        return f"The list should hold only words, but it holds {brief(other)}."
    if words is None:
        return f"The result should be a list of words, but it is {kind(got)}."
    return None if words == expected else f"The result should be {brief(expected)}, but it is {brief(words)}."


# ---------------- stage 3: how sure is sure enough


def risk_threshold(confidence: np.ndarray, correct: np.ndarray, most_wrong: float) -> float:
    """Smallest confidence from which at most this fraction of the answers is wrong, or infinity."""
    for threshold in np.unique(confidence):
        if (~correct[confidence >= threshold]).mean() <= most_wrong:
            return float(threshold)
    return float("inf")


def _stops_early(confidence: np.ndarray, correct: np.ndarray, most_wrong: float) -> float:
    best = float("inf")
    for threshold in np.unique(confidence)[::-1]:
        if (~correct[confidence >= threshold]).mean() > most_wrong:
            break
        best = float(threshold)
    return best


def _threshold_cases() -> list[Arguments]:
    random = np.random.default_rng(3)
    sure = random.random(40).round(2)
    return [
        ([0.9, 0.6, 0.8, 0.7], [True, False, True, True], 0.0),
        ([0.9, 0.6, 0.8, 0.7], [True, False, True, True], 0.25),
        ([0.9, 0.9, 0.5], [True, False, True], 0.4),
        ([0.9, 0.8], [False, False], 0.1),
        (sure, random.random(40) < sure, 0.2),
        (sure, random.random(40) < sure, 0.05),
    ]


def _judge_threshold(case: Case, expected: Any, got: Any) -> str | None:
    if isinstance(got, float | np.floating) and np.isinf([expected, got]).any():
        return None if expected == got else f"The threshold should be {expected:.6g}, not {got:.6g}."
    return judge_array(case, expected, got)


# ---------------- stage 4: answer, doubt, or "not my field"


def decide(
    probabilities: np.ndarray,
    similarity: np.ndarray,
    systems: "list[str]",
    threshold: float,
    least_similar: float,
) -> "list[str]":
    """For each row a system, "unknown" (resembles no training text) or "unsure" (low confidence)."""
    decisions = []
    for row, near in zip(probabilities, similarity, strict=True):
        if near < least_similar:
            decisions.append("unknown")
        elif row.max() < threshold:
            decisions.append("unsure")
        else:
            decisions.append(systems[int(row.argmax())])
    return decisions


def _decide_cases() -> list[Arguments]:
    rows, systems = [[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.05, 0.05, 0.9]], ["ear", "eye", "skin"]
    return [
        (rows, [0.9, 0.9, 0.9], systems, 0.0, 0.0),
        (rows, [0.9, 0.9, 0.9], systems, 0.7, 0.5),
        (rows, [0.5, 0.3, 0.2], systems, 0.6, 0.5),
    ]


BUILD = (
    Exercise(parse_terms, _parse_cases, _judge_dict),
    Exercise(branch_rows, _branch_cases, _judge_words),
    Exercise(risk_threshold, _threshold_cases, _judge_threshold),
    Exercise(decide, _decide_cases, _judge_words),
)
