"""Exercise: of which texts an attack's success is a share.

Morris et al. 2020, TextAttack (arXiv:2005.05909), and most papers since count as here: texts that the model had wrong
before are skipped, neither succeeded nor failed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same


def attack_success_rate(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Succeeded / attacked, nan if none was attacked; labels and predictions before and after are (n,)."""
    attacked = before == labels
    succeeded = attacked & (after != labels)
    if not attacked.any():
        return float("nan")
    return float(succeeded.sum() / attacked.sum())


def _case(labels: list[int], before: list[int], after: list[int]) -> Case:
    return {"labels": np.array(labels), "before": np.array(before), "after": np.array(after)}


def _drawn(seed: int, n: int, classes: int) -> Case:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    before = np.where(random.random(n) < 0.6, labels, random.integers(0, classes, n))
    after = np.where(random.random(n) < 0.5, before, random.integers(0, classes, n))
    return _case(labels.tolist(), before.tolist(), after.tolist())


def _cases() -> list[Case]:
    return [
        _case([1, 1, 0, 0, 1], [1, 1, 0, 1, 1], [0, 1, 1, 1, 0]),  # four attacked, three fall
        _case([1, 0, 1], [1, 0, 0], [1, 0, 0]),  # no success
        _case([1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1]),  # all succeed
        _case([1, 0, 1, 1], [0, 1, 1, 1], [1, 0, 0, 1]),  # what was wrong is right afterwards
        _case([2, 0, 1, 2, 0], [2, 1, 1, 2, 2], [0, 2, 1, 1, 1]),  # three classes; wrong before, wrong otherwise after
        _case([1, 0], [0, 1], [0, 1]),  # nothing to attack
        _case([0, 0, 2], [1, 2, 1], [0, 0, 2]),  # nothing to attack either
        _case([0, 0, 0], [0, 0, 0], [0, 0, 1]),
        _drawn(1, 40, 2),
        _drawn(2, 60, 4),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
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


def _share(part: Any, whole: Any) -> Any:
    """A share, nan where the whole is 0."""
    return np.sum(part) / np.sum(whole) if np.sum(whole) else float("nan")


def _of_all(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return np.mean((before == labels) & (after != labels))


def _wrong_afterwards(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return np.mean(after != labels)


def _wrong_by_attacked(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return _share(after != labels, before == labels)


def _changed(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return np.mean(before != after)


def _changed_by_attacked(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return _share(before != after, before == labels)


def _drop(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return np.mean(before == labels) - np.mean(after == labels)


def _relative_drop(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    right = np.sum(before == labels)
    return (right - np.sum(after == labels)) / right if right else float("nan")


def _survivors(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return _share((before == labels) & (after == labels), before == labels)


def _accuracy_afterwards(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return np.mean(after == labels)


def _zero_for_none(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    rate = attack_success_rate(labels, before, after)
    return 0.0 if np.isnan(rate) else rate


def _one_for_none(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    rate = attack_success_rate(labels, before, after)
    return 1.0 if np.isnan(rate) else rate


def _divided_by_zero(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    attacked = [i for i in range(len(labels)) if before[i] == labels[i]]
    return sum(1 for i in attacked if after[i] != labels[i]) / len(attacked)


def _per_cent(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return 100 * attack_success_rate(labels, before, after)


def _count(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return int(((before == labels) & (after != labels)).sum())


def _two_classes(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return _share((before == labels) & (after == 1 - labels), before == labels)


def _each_text(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return (before == labels) & (after != labels)


def _wrong_before(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    return _share((before != labels) & (after != labels), before != labels)


EXERCISE = Exercise(
    reference=attack_success_rate,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_of_all, "You divide by the number of all texts. Divide by those that were right before."),
        WrongFunction(
            _wrong_afterwards, "This is the share of wrong texts after the attack. Some were wrong before it."
        ),
        WrongFunction(
            _wrong_by_attacked,
            "You count texts as successes that were wrong before. They were not attacked, so leave them out above too.",
        ),
        WrongFunction(_changed, "This is the share of predictions that changed. Ask whether they were right before."),
        WrongFunction(
            _changed_by_attacked,
            "You count every changed prediction as a success. Texts that were wrong before are skipped.",
        ),
        WrongFunction(_drop, "This is the fall of the accuracy. Texts that became right make it smaller."),
        WrongFunction(
            _relative_drop,
            "This is the fall of the accuracy, as a share of it. Texts that were skipped have no part in the rate.",
        ),
        WrongFunction(_survivors, "This is the share of texts that withstood. The others are asked."),
        WrongFunction(_accuracy_afterwards, "This is the accuracy under attack. The success rate is asked."),
        WrongFunction(
            _zero_for_none, "Where none was attacked you give 0. It would say that the model withstands: give nan."
        ),
        WrongFunction(_one_for_none, "Where none was attacked you give 1. Nothing was measured: give nan."),
        WrongFunction(
            _divided_by_zero, "Where none was attacked you divide by zero. Ask for that first, and give nan."
        ),
        WrongFunction(_per_cent, "This is in per cent. A share from 0 to 1 is asked."),
        WrongFunction(_count, "This is how many attacks succeeded. Divide by how many there were."),
        WrongFunction(
            _two_classes, "You take 1 - label for the wrong class. With three classes there are two wrong ones."
        ),
        WrongFunction(_each_text, "This says for each text whether the attack succeeded. One number is asked."),
        WrongFunction(
            _wrong_before, "You look at the texts that were wrong before. Those that were right are attacked."
        ),
    ),
)
