"""Exercise: mixtures of two texts, with mixed labels.

Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, section 2 (arXiv:1710.09412); on sentence vectors,
Guo et al. 2019, Augmenting Data with Mixup for Sentence Classification, section 3.2 (arXiv:1905.08941).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, kind, plain, same


def mixup(
    vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mixes row i, which weighs lam, with row permutation[i]; vectors (n, hidden), labels (n, classes)."""
    mixed_vectors = lam * vectors + (1 - lam) * vectors[permutation]
    mixed_labels = lam * labels + (1 - lam) * labels[permutation]
    return mixed_vectors, mixed_labels


def _case(vectors: Any, labels: Any, permutation: list[int], lam: float) -> Case:
    rows, targets = np.array(vectors, dtype=float), np.array(labels, dtype=float)
    return {"vectors": rows, "labels": targets, "permutation": np.array(permutation), "lam": lam}


def _drawn(seed: int, n: int, hidden: int, classes: int, lam: float) -> Case:
    """Soft labels with rows that add up to 1."""
    random = np.random.default_rng(seed)
    labels = random.dirichlet(np.ones(classes), n)
    return _case(random.normal(size=(n, hidden)), labels, random.permutation(n).tolist(), lam)


def _cases() -> list[Case]:
    return [
        _case([[2.0, 0.0], [0.0, 4.0]], [[1, 0], [0, 1]], [1, 0], 0.75),
        _case([[1.0, 5.0], [3.0, 3.0], [8.0, 0.0]], [[1, 0], [0, 1], [1, 0]], [1, 2, 0], 0.25),  # a ring of three
        _case([[1.0, 5.0], [3.0, 3.0], [8.0, 0.0]], [[1, 0], [0, 1], [1, 0]], [0, 2, 1], 0.5),  # one with itself
        _case([[1.0, -1.0, 2.0], [0.5, 0.0, 3.0]], [[0.9, 0.1], [0.2, 0.8]], [1, 0], 1.0),  # nothing of the partner
        _case([[1.0, -1.0, 2.0], [0.5, 0.0, 3.0]], [[0.9, 0.1], [0.2, 0.8]], [1, 0], 0.0),  # nothing but the partner
        _case(np.arange(12).reshape(4, 3), np.eye(4), [2, 3, 1, 0], 0.6),
        _drawn(1, 5, 3, 3, 0.3),
        _drawn(2, 6, 4, 2, 0.9),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if not isinstance(got, tuple | list) or len(got) != 2:
        return f"The result should be a pair, vectors and labels, but it is {kind(got)}."
    for name, wanted, part in zip(("vectors", "labels"), expected, got, strict=True):
        if problem := array_problem(wanted, part):
            return f"{name}: {problem}"
    labels = as_numbers(got[1])
    assert labels is not None
    for row, total in enumerate(labels.sum(axis=1)):
        if not np.isclose(total, 1.0, atol=1e-5):
            return f"Row {row} of the labels adds up to {total:.6g}, not to 1."
    for name, wanted, part in zip(("vectors", "labels"), expected, got, strict=True):
        wrong = [row for row, pair in enumerate(zip(wanted, plain(part), strict=True)) if not same(*pair)]
        if wrong:
            partner = case["permutation"][wrong[0]]
            return f"Row {wrong[0]} of the {name} is off; its partner is row {partner}, and lam is {case['lam']:g}."
    return None


Pair = tuple[Any, Any]


def _labels_left(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, lam)[0], labels.copy()


def _vectors_left(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return vectors.copy(), mixup(vectors, labels, permutation, lam)[1]


def _label_of_the_heavier(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, lam)[0], labels.copy() if lam >= 0.5 else labels[permutation]


def _hardened(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    rows, mixed = mixup(vectors, labels, permutation, lam)
    return rows, np.eye(labels.shape[1])[mixed.argmax(axis=1)]


def _weights_exchanged(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, 1 - lam)


def _label_weights_exchanged(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, lam)[0], mixup(vectors, labels, permutation, 1 - lam)[1]


def _inverse(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, np.argsort(permutation), lam)


def _other_partner_for_labels(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, lam)[0], mixup(vectors, labels, permutation[::-1], lam)[1]


def _backwards(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, np.arange(len(vectors))[::-1], lam)


def _next_row(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, np.roll(np.arange(len(vectors)), -1), lam)


def _added(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return vectors + vectors[permutation], labels + labels[permutation]


def _one_weight_missing(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return vectors + (1 - lam) * vectors[permutation], labels + (1 - lam) * labels[permutation]


def _halves(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, 0.5)


def _pair_turned(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    return mixup(vectors, labels, permutation, lam)[::-1]


def _originals_too(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    rows, targets = mixup(vectors, labels, permutation, lam)
    return np.concatenate([vectors, rows]), np.concatenate([labels, targets])


def _vectors_only(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Any:
    return mixup(vectors, labels, permutation, lam)[0]


def _mixtures_of_mixtures(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    rows, targets = vectors.copy(), labels.copy()
    for i, partner in enumerate(permutation):
        rows[i] = lam * rows[i] + (1 - lam) * rows[partner]
        targets[i] = lam * targets[i] + (1 - lam) * targets[partner]
    return rows, targets


def _drawn_rows(vectors: np.ndarray, labels: np.ndarray, permutation: np.ndarray, lam: float) -> Pair:
    own = (np.arange(len(vectors)) + 0.5) / len(
        vectors
    ) < lam  # a share lam of the rows stays, the others are exchanged
    return (
        np.where(own[:, None], vectors, vectors[permutation]),
        np.where(own[:, None], labels, labels[permutation]),
    )


EXERCISE = Exercise(
    reference=mixup,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _labels_left, "The labels are not mixed. A mixed text with a pure label teaches something false."
        ),
        WrongFunction(_vectors_left, "The vectors are not mixed. They change as the labels do."),
        WrongFunction(_label_of_the_heavier, "You take the label of the heavier partner. Mix the labels too."),
        WrongFunction(_hardened, "You turn the mixed labels into hard ones. Leave them mixed."),
        WrongFunction(
            _weights_exchanged, "The weights are exchanged. lam belongs to the row itself, 1 - lam to its partner."
        ),
        WrongFunction(
            _label_weights_exchanged, "The labels are mixed with the weights exchanged. Use those of the vectors."
        ),
        WrongFunction(
            _inverse,
            "You mix row permutation[i] with row i, so the rows stand elsewhere. Row i gets row permutation[i] as its "
            "partner.",
        ),
        WrongFunction(
            _other_partner_for_labels, "Vectors and labels have different partners. Use the same permutation for both."
        ),
        WrongFunction(_backwards, "You reverse the batch to find partners. Use the permutation."),
        WrongFunction(_next_row, "The partner is always the next row. Use the permutation."),
        WrongFunction(_added, "You add the partner without weights. Weigh by lam and 1 - lam."),
        WrongFunction(
            _one_weight_missing, "The row itself has no weight. It weighs lam, so that both weights add up to 1."
        ),
        WrongFunction(_halves, "You mix half and half. The weight of the row itself is lam."),
        WrongFunction(_pair_turned, "The pair is the wrong way round. Give the vectors first, then the labels."),
        WrongFunction(_originals_too, "The originals stand before the mixtures. Give the mixtures alone."),
        WrongFunction(_vectors_only, "These are the vectors alone. Give the labels too."),
        WrongFunction(
            _mixtures_of_mixtures,
            "You write into the rows that later ones still need, so some partners are mixtures already. Keep the "
            "originals until you are done.",
        ),
        WrongFunction(_drawn_rows, "You exchange whole rows. Each row becomes a mixture of two."),
    ),
)
