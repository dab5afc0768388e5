"""Exercise: which weights stay when the smallest go.

Han et al. 2015, Learning both Weights and Connections for Efficient Neural Networks, section 3 (arXiv:1506.02626).
The library's version: `course_lib.compression.pruning.magnitude_mask`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import as_numbers, kind, plain


def magnitude_mask(weight: np.ndarray, sparsity: float) -> np.ndarray:
    """True where a weight stays. The round(sparsity * n) nearest to zero go; of equal ones the first stay."""
    sizes = np.abs(weight).ravel()
    kept = sizes.size - round(sparsity * sizes.size)
    order = np.argsort(-sizes, kind="stable")  # the largest first; equal ones in their order
    mask = np.zeros(sizes.size, dtype=bool)
    mask[order[:kept]] = True
    return mask.reshape(weight.shape)


def _case(weight: Any, sparsity: float) -> Case:
    return {"weight": np.array(weight, dtype=float), "sparsity": sparsity}


def _cases() -> list[Case]:
    random = np.random.default_rng(3)
    return [
        _case([[0.5, -2.0], [1.0, -0.1]], 0.5),
        _case([[0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]], 0.5),  # the whole first row goes
        _case([1.0, -1.0, 1.0, 1.0], 0.5),  # all are equal
        _case([[3.0, 1.0, -1.0], [1.0, -4.0, 1.0]], 0.5),  # of four equal ones, one stays
        _case([[0.0, -1.0], [2.0, 0.0]], 0.0),  # nothing goes
        _case(np.arange(-4, 8).reshape(3, 4), 1.0),  # everything goes
        _case(np.zeros((2, 2)), 0.25),
        _case(random.normal(size=5), 0.5),  # 2.5 is rounded to 2
        _case(random.normal(size=(7, 1)), 0.3),  # 2.1
        _case(random.normal(size=(10, 10)), 0.29),  # 0.29 * 100 is 28.999999999999996
        _case(random.normal(size=(3, 7)), 0.9),
        _case(random.normal(size=(2, 2, 3)), 0.4),
        _case(random.integers(-2, 3, size=(4, 5)), 0.6),  # many ties
    ]


def _flat(items: Any) -> Iterator[Any]:
    """What stands in nested lists."""
    for item in items if isinstance(items, list) else [items]:
        yield from _flat(item) if isinstance(item, list) else [item]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    numbers = as_numbers(got)
    if numbers is None or numbers.shape != expected.shape:
        found = kind(got) if numbers is None or numbers.ndim == 0 else f"of shape {numbers.shape}"
        return f"The result should be True or False for each weight, in the shape {expected.shape}, but it is {found}."
    if not all(isinstance(item, bool) for item in _flat(plain(got))):
        return "The result should hold True and False, but it holds numbers."
    mask, sizes = numbers.ravel() == 1, np.abs(case["weight"]).ravel()
    gone, wanted = int((~mask).sum()), int((~expected).sum())
    if gone != wanted:
        return f"Of {mask.size} weights round({case['sparsity']:g} * {mask.size}) = {wanted} should go; {gone} do."
    if (mask == expected.ravel()).all():
        return None
    stays, goes = sizes[mask].min(), sizes[~mask].max()
    if stays < goes:
        return f"As many go as should, but a weight of the size {stays:.6g} stays and one of the size {goes:.6g} goes."
    return f"As many go as should, but of the weights of the size {stays:.6g} the first should stay."


def _gone(case_size: int, sparsity: float) -> int:
    return round(sparsity * case_size)


def _keeping(weight: np.ndarray, order: Any, kept: int) -> Any:
    """A mask of those that come first in this order."""
    mask = np.zeros(weight.size, dtype=bool)
    mask[order[:kept]] = True
    return mask.reshape(weight.shape)


def _by_size(weight: np.ndarray) -> Any:
    return np.argsort(-np.abs(weight).ravel(), kind="stable")


def _edge(weight: np.ndarray, sparsity: float) -> float:
    """The size of the largest weight that goes."""
    return float(np.sort(np.abs(weight).ravel())[_gone(weight.size, sparsity) - 1])


def _upside_down(weight: np.ndarray, sparsity: float) -> Any:
    return ~magnitude_mask(weight, sparsity)


def _largest_go(weight: np.ndarray, sparsity: float) -> Any:
    order = np.argsort(np.abs(weight).ravel(), kind="stable")
    return _keeping(weight, order, weight.size - _gone(weight.size, sparsity))


def _sign_kept(weight: np.ndarray, sparsity: float) -> Any:
    order = np.argsort(-weight.ravel(), kind="stable")
    return _keeping(weight, order, weight.size - _gone(weight.size, sparsity))


def _share_that_stays(weight: np.ndarray, sparsity: float) -> Any:
    return _keeping(weight, _by_size(weight), _gone(weight.size, sparsity))


def _cut_down(weight: np.ndarray, sparsity: float) -> Any:
    return _keeping(weight, _by_size(weight), weight.size - int(sparsity * weight.size))


def _rounded_up(weight: np.ndarray, sparsity: float) -> Any:
    return _keeping(weight, _by_size(weight), weight.size - int(np.ceil(sparsity * weight.size)))


def _half_up(weight: np.ndarray, sparsity: float) -> Any:
    return _keeping(weight, _by_size(weight), weight.size - int(np.floor(sparsity * weight.size + 0.5)))


def _one_more_goes(weight: np.ndarray, sparsity: float) -> Any:
    kept = weight.size - _gone(weight.size, sparsity) - 1
    return _keeping(weight, _by_size(weight), max(kept, 0))


def _last_stay(weight: np.ndarray, sparsity: float) -> Any:
    mask = np.ones(weight.size, dtype=bool)
    mask[np.argsort(np.abs(weight).ravel(), kind="stable")[: _gone(weight.size, sparsity)]] = False
    return mask.reshape(weight.shape)


def _above_the_edge(weight: np.ndarray, sparsity: float) -> Any:
    if not _gone(weight.size, sparsity):
        return np.ones(weight.shape, dtype=bool)
    return np.abs(weight) > _edge(weight, sparsity)


def _from_the_edge_on(weight: np.ndarray, sparsity: float) -> Any:
    if _gone(weight.size, sparsity) == weight.size:
        return np.zeros(weight.shape, dtype=bool)
    return np.abs(weight) >= np.sort(np.abs(weight).ravel())[_gone(weight.size, sparsity)]


def _edge_of_nothing(weight: np.ndarray, sparsity: float) -> Any:
    return np.abs(weight) > _edge(weight, sparsity)


def _by_quantile(weight: np.ndarray, sparsity: float) -> Any:
    return np.abs(weight) > np.quantile(np.abs(weight), sparsity)


def _share_of_the_largest(weight: np.ndarray, sparsity: float) -> Any:
    return np.abs(weight) > sparsity * np.abs(weight).max()


def _below_the_share(weight: np.ndarray, sparsity: float) -> Any:
    return np.abs(weight) > sparsity


def _minus_zero(weight: np.ndarray, sparsity: float) -> Any:
    mask = np.ones(weight.size, dtype=bool)
    mask[_by_size(weight)[-_gone(weight.size, sparsity) :]] = False
    return mask.reshape(weight.shape)


def _minus_zero_kept(weight: np.ndarray, sparsity: float) -> Any:
    mask = np.zeros(weight.size, dtype=bool)
    kept = weight.size - _gone(weight.size, sparsity)
    mask[np.argsort(np.abs(weight).ravel(), kind="stable")[-kept:]] = True
    return mask.reshape(weight.shape)


def _rows(weight: np.ndarray, sparsity: float) -> Any:
    rows = weight.reshape(-1, weight.shape[-1])
    return np.stack([magnitude_mask(row, sparsity) for row in rows]).reshape(weight.shape)


def _flattened(weight: np.ndarray, sparsity: float) -> Any:
    return magnitude_mask(weight, sparsity).ravel()


def _the_weights(weight: np.ndarray, sparsity: float) -> Any:
    return weight * magnitude_mask(weight, sparsity)


def _the_places(weight: np.ndarray, sparsity: float) -> Any:
    return np.flatnonzero(magnitude_mask(weight, sparsity))


def _ones_and_zeros(weight: np.ndarray, sparsity: float) -> Any:
    return magnitude_mask(weight, sparsity).astype(int)


EXERCISE = Exercise(
    reference=magnitude_mask,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_upside_down, "The mask is upside down: True is for the weights that stay."),
        WrongFunction(_largest_go, "The largest go. Those nearest to zero should."),
        WrongFunction(_sign_kept, "Negative weights go first, however large. Compare absolute values."),
        WrongFunction(_share_that_stays, "You keep the share `sparsity`. It is the share that goes."),
        WrongFunction(_cut_down, "int() cuts 28.999999999999996 down to 28. Use round."),
        WrongFunction(_rounded_up, "You round the number that goes up. Use round, which takes the nearest."),
        WrongFunction(_half_up, "You round 2.5 up to 3. Python's round goes to the even number, 2."),
        WrongFunction(_one_more_goes, "One weight too many goes. Is a comparison or a slice off by one?"),
        WrongFunction(_last_stay, "Of equal weights the last ones stay. The first ones should."),
        WrongFunction(
            _above_the_edge,
            "You keep what is above a threshold, so all that are equal to it go. Count exactly.",
        ),
        WrongFunction(
            _from_the_edge_on,
            "You keep all that are equal to the threshold, so too few go. Part the equal ones by their place.",
        ),
        WrongFunction(
            _edge_of_nothing,
            "With sparsity 0 your threshold is number -1, the largest of all. Equal weights it cannot part, either.",
        ),
        WrongFunction(_by_quantile, "A quantile may lie between two weights or on several. Count exactly instead."),
        WrongFunction(
            _share_of_the_largest, "You compare with a share of the largest weight. A number of weights is asked."
        ),
        WrongFunction(_below_the_share, "You compare the weights with the sparsity. It is a share of their number."),
        WrongFunction(
            _minus_zero, "With sparsity 0 everything goes, because order[-0:] is all of it. Count from the front."
        ),
        WrongFunction(
            _minus_zero_kept,
            "With sparsity 1 everything stays, because order[-0:] is all of it. Of equal weights the last ones stay.",
        ),
        WrongFunction(_rows, "Every row loses the same share. Compare all weights together."),
        WrongFunction(_flattened, "The mask is one long row. Give it the shape of the weight."),
        WrongFunction(_the_weights, "These are the weights with zeros in them. Give the mask alone."),
        WrongFunction(
            _the_places, "These are the places of the weights that stay. Give True or False for each weight."
        ),
        WrongFunction(
            _ones_and_zeros, "These are 1 and 0. Give True and False: as an index, 1 and 0 mean something else."
        ),
    ),
)
