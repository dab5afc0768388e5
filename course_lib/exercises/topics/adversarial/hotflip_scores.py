"""Exercise: what every exchange of one token for another would do to the loss, from a single gradient.

Ebrahimi et al. 2018, HotFlip: White-Box Adversarial Examples for Text Classification, equations 1 and 2
(arXiv:1712.06751), with rows of the embedding table in the place of one-hot vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same


def hotflip_scores(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """First-order gains in loss (tokens, vocabulary), -inf where a token would stay itself, from
    gradient (tokens, hidden), table (vocabulary, hidden) and ids (tokens,)."""
    places = np.arange(len(ids))
    toward = gradient @ table.T  # (tokens, vocabulary)
    scores: np.ndarray = toward - toward[places, ids][:, None]
    scores[places, ids] = -np.inf
    return scores


def _case(gradient: Any, table: Any, ids: list[int]) -> Case:
    return {"gradient": np.array(gradient, dtype=float), "table": np.array(table, dtype=float), "ids": np.array(ids)}


def _cases() -> list[Case]:
    random = np.random.default_rng(6)
    corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]

    def drawn(tokens: int, hidden: int, ids: list[int], vocabulary: int) -> Case:
        return _case(random.normal(size=(tokens, hidden)), random.normal(size=(vocabulary, hidden)), ids)

    return [
        _case([[1.0, 3.0]], corners, [1]),
        _case([[1.0, 3.0], [-2.0, 0.5]], corners, [2, 0]),
        _case([[1.0, -1.0], [0.0, 0.0]], corners, [0, 1]),  # a place without any slope
        drawn(3, 3, [2, 0, 1], 3),  # all sizes alike: the shape tells nothing
        drawn(3, 2, [4, 4, 1], 5),  # one token twice
        drawn(2, 4, [0, 1], 4),
        drawn(5, 3, [7, 0, 3, 3, 6], 8),
        drawn(1, 2, [1], 2),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    numbers = as_numbers(got)
    if numbers is None or numbers.shape != np.shape(expected):
        return array_problem(expected, got)
    places, ids = np.arange(len(case["ids"])), case["ids"]
    if (stays := np.flatnonzero(numbers[places, ids] != -np.inf)).size:
        place = int(stays[0])
        return f"Place {place} has the score {numbers[place, ids[place]]:.6g} for its own token; -inf is asked there."
    if not np.isfinite(numbers[expected > -np.inf]).all():
        place, token = np.argwhere(~np.isfinite(numbers) & (expected > -np.inf))[0]
        return f"The exchange at place {place} for token {token} is possible, so its score is a finite number."
    wrong = [place for place in np.ndindex(numbers.shape) if not same(expected[place], numbers[place])]
    if not wrong:
        return None
    place, token = wrong[0]
    return f"The shape is right, but the score at place {place} for token {token} is off."


def _own(scores: Any, ids: Any, value: float = -np.inf) -> Any:
    """The scores with `value` where a token stays itself."""
    scores = np.array(scores, dtype=float)
    scores[np.arange(len(ids)), ids] = value
    return scores


def _moves(table: Any, ids: Any) -> Any:
    """e_new - e_old, (tokens, vocabulary, hidden)."""
    return table[None] - table[ids][:, None]


def _masked(gain: Answer) -> Answer:
    """An answer with other scores, and -inf where it belongs."""

    def answer(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> Any:
        return _own(gain(gradient, table, ids), ids)

    return answer


def _gain(gradient: Any, table: Any, ids: Any) -> Any:
    return np.sum(gradient[:, None] * _moves(table, ids), axis=2)


def _cosine(gradient: Any, table: Any, ids: Any) -> Any:
    length = np.linalg.norm(gradient, axis=1)[:, None] * np.linalg.norm(_moves(table, ids), axis=2)
    return _gain(gradient, table, ids) / np.where(length > 0, length, 1)


def _per_distance(gradient: Any, table: Any, ids: Any) -> Any:
    length = np.linalg.norm(_moves(table, ids), axis=2)
    return _gain(gradient, table, ids) / np.where(length > 0, length, 1)


_toward_only = _masked(lambda g, t, i: g @ t.T)
_added = _masked(lambda g, t, i: g @ t.T + np.sum(g * t[i], axis=1)[:, None])
_backwards = _masked(lambda g, t, i: -_gain(g, t, i))
_absolute = _masked(lambda g, t, i: np.abs(_gain(g, t, i)))
_cosines = _masked(_cosine)
_unit_moves = _masked(_per_distance)
_distances = _masked(lambda g, t, i: np.linalg.norm(_moves(t, i), axis=2))
_signs = _masked(lambda g, t, i: _gain(np.sign(g), t, i))
_one_gradient = _masked(lambda g, t, i: _gain(np.broadcast_to(g.sum(axis=0), g.shape), t, i))
_places_as_ids = _masked(lambda g, t, i: g @ t.T - np.sum(g * t[np.arange(len(i)) % len(t)], axis=1)[:, None])
_mean_taken = _masked(lambda g, t, i: _gain(g, t, i) / g.shape[1])


def _stays_zero(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> Any:
    return _gain(gradient, table, ids)


def _stays_best(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> Any:
    return _own(_gain(gradient, table, ids), ids, np.inf)


def _forbidden_everywhere(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> Any:
    scores = _gain(gradient, table, ids)
    scores[:, ids] = -np.inf
    return scores


def _turned(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> Any:
    return hotflip_scores(gradient, table, ids).T


def _best_tokens(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> Any:
    return hotflip_scores(gradient, table, ids).argmax(axis=1)


def _best_gains(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> Any:
    return hotflip_scores(gradient, table, ids).max(axis=1)


def _not_summed(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> Any:
    return gradient[:, None] * _moves(table, ids)


EXERCISE = Exercise(
    reference=hotflip_scores,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _toward_only, "You leave out the old token. The gain is that of the new one less that of the old."
        ),
        WrongFunction(_added, "You add the old token's part. It goes away, so subtract it."),
        WrongFunction(_backwards, "The sign is the wrong way round: you score e_old - e_new."),
        WrongFunction(
            _absolute, "You take the absolute value. An exchange that lowers the loss is no good to an attack."
        ),
        WrongFunction(_cosines, "This is a cosine. How far the embedding jumps counts too: take the plain product."),
        WrongFunction(_unit_moves, "You divide by the length of the jump. A longer jump gains more, to first order."),
        WrongFunction(_distances, "This is how far the new token is from the old one. The gradient is not in it."),
        WrongFunction(_signs, "You take the sign of the gradient. HotFlip takes the gradient as it is."),
        WrongFunction(_one_gradient, "All places share one gradient, the sum. Each place has its own row."),
        WrongFunction(_places_as_ids, "You look up the old embedding by its place. Look it up by its id: table[ids]."),
        WrongFunction(_mean_taken, "You take the mean over the hidden numbers. A scalar product is their sum."),
        WrongFunction(
            _stays_zero, "A token may stay itself, with the score 0. Put -inf there, or it wins where all lose."
        ),
        WrongFunction(_stays_best, "A token that stays itself has +inf, so it would always be chosen. Put -inf there."),
        WrongFunction(
            _forbidden_everywhere,
            "A token that stands anywhere in the text is forbidden in every place. Forbid it in its own place only.",
        ),
        WrongFunction(_turned, "Rows and columns are exchanged. One row for each place is wanted."),
        WrongFunction(_best_tokens, "This is the best token of each place. The scores of all of them are asked."),
        WrongFunction(_best_gains, "This is the best score of each place. The scores of all tokens are asked."),
        WrongFunction(_not_summed, "The products are not added up. Sum them over the hidden numbers, the last axis."),
    ),
)
