"""Exercise: several models vote, and a tie is settled by how sure they are.

Dietterich 2000, Ensemble Methods in Machine Learning, section 1 (Multiple Classifier Systems), for why votes help;
Ye et al. 2020, SAFER (arXiv:2005.14424), for a vote as a defence of text classifiers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, as_whole_numbers, plain


def majority_vote(probabilities: np.ndarray) -> np.ndarray:
    """Classes (n,) with most votes, from probabilities (members, n, classes); larger sums settle ties."""
    classes = probabilities.shape[2]
    votes = np.eye(classes)[probabilities.argmax(axis=2)]  # (members, n, classes): a 1 for the likeliest
    counts = votes.sum(axis=0)
    tied = counts == counts.max(axis=1, keepdims=True)
    winners: np.ndarray = np.where(tied, probabilities.sum(axis=0), -1).argmax(axis=1)
    return winners


def _case(probabilities: Any) -> Case:
    return {"probabilities": np.array(probabilities, dtype=float)}


def _drawn(seed: int, members: int, n: int, classes: int) -> Case:
    return _case(np.random.default_rng(seed).dirichlet(np.ones(classes), (members, n)))


def _texts(*texts: list[list[float]]) -> Case:
    """A case from one table (members, classes) for each text."""
    return _case(np.stack([np.array(text) for text in texts], axis=1))


def _cases() -> list[Case]:
    two_against_one = [[0.6, 0.4], [0.6, 0.4], [0.05, 0.95]]
    three_against_two = [[0.51, 0.49]] * 3 + [[0.05, 0.95]] * 2
    tie = [[0.625, 0.375], [0.125, 0.875]]
    third_is_sure = [[0.5, 0.1, 0.4], [0.1, 0.5, 0.4], [0.45, 0.1, 0.45 - 1e-3], [0.1, 0.46, 0.44]]
    return [
        _texts(two_against_one, [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]),
        _texts(three_against_two, three_against_two[::-1]),
        _texts(tie, tie[::-1], [[0.75, 0.25], [0.375, 0.625]]),
        _texts(third_is_sure),  # a tie of 0 and 1; the sum of 2 is the largest, but nobody votes for it
        _texts([[0.4, 0.35, 0.25], [0.3, 0.5, 0.2], [0.38, 0.02, 0.6]]),  # three classes, one vote each
        _texts([[0.75, 0.25], [0.25, 0.75]]),  # votes and sums tied: the smallest class
        _texts([[0.1, 0.2, 0.7]], [[0.6, 0.3, 0.1]]),  # one member
        _texts([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.1, 0.5, 0.4], [0.0, 0.3, 0.7], [0.0, 0.48, 0.52]]),  # 2, 1 and 2
        _texts([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 0.9, 0.1], [0.3, 0.0, 0.7], [0.1, 0.2, 0.7]]),
        _texts([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7], [0.1, 0.1, 0.8], [0.8, 0.2, 0.0]]),
        _drawn(1, 3, 3, 3),  # all sizes alike: the shape tells nothing
        _drawn(2, 4, 12, 3),
        _drawn(3, 6, 12, 2),
        _drawn(4, 5, 15, 4),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    numbers = as_numbers(got)
    if numbers is None or numbers.shape != expected.shape or not np.isfinite(numbers).all():
        return array_problem(expected, got)
    if as_whole_numbers(plain(got)) is None:
        return "The classes should be whole numbers."
    wrong = np.flatnonzero(numbers != expected)
    if not wrong.size:
        return None
    text, table = int(wrong[0]), case["probabilities"][:, int(wrong[0])]
    votes = np.bincount(table.argmax(axis=1), minlength=table.shape[1])
    shown = ", ".join(f"class {c}: {count}" for c, count in enumerate(votes))
    tie = " (a tie)" if (votes == votes.max()).sum() > 1 else ""
    return f"Text {text} has these votes{tie}: {shown}. Your class {int(numbers[text])} should be {expected[text]}."


def _votes(probabilities: Any) -> Any:
    """(members, n)"""
    return probabilities.argmax(axis=2)


def _counts(probabilities: Any) -> Any:
    """(n, classes)"""
    return np.eye(probabilities.shape[2])[_votes(probabilities)].sum(axis=0)


def _tied(probabilities: Any) -> Any:
    counts = _counts(probabilities)
    return counts == counts.max(axis=1, keepdims=True)


def _ties_by(strength: Callable[[Any], Any]) -> Answer:
    """An answer that settles ties by another number for each text and class."""

    def answer(probabilities: np.ndarray) -> Any:
        return np.where(_tied(probabilities), strength(probabilities), -np.inf).argmax(axis=1)

    return answer


def _of_its_voters(probabilities: Any) -> Any:
    return (probabilities * np.eye(probabilities.shape[2])[_votes(probabilities)]).sum(axis=0)


def _first_voter(probabilities: Any) -> Any:
    """Minus the number of the first member that votes for each class."""
    voted = np.eye(probabilities.shape[2])[_votes(probabilities)]
    return -np.where(voted.any(axis=0), voted.argmax(axis=0), len(probabilities))


_smallest_class = _ties_by(lambda p: np.zeros(p.shape[1:]))
_largest_class = _ties_by(lambda p: np.broadcast_to(np.arange(p.shape[2]), p.shape[1:]))
_smallest_sum = _ties_by(lambda p: -p.sum(axis=0))
_surest_member = _ties_by(lambda p: p.max(axis=0))
_sum_of_voters = _ties_by(_of_its_voters)
_first_member_decides = _ties_by(_first_voter)


def _mean_probability(probabilities: np.ndarray) -> Any:
    return probabilities.mean(axis=0).argmax(axis=1)


def _first_member(probabilities: np.ndarray) -> Any:
    return probabilities[0].argmax(axis=1)


def _surest_of_all(probabilities: np.ndarray) -> Any:
    return probabilities.max(axis=0).argmax(axis=1)


def _product(probabilities: np.ndarray) -> Any:
    return probabilities.prod(axis=0).argmax(axis=1)


def _any_class_in_a_tie(probabilities: np.ndarray) -> Any:
    tie = _tied(probabilities).sum(axis=1) > 1
    return np.where(tie, _mean_probability(probabilities), _counts(probabilities).argmax(axis=1))


def _more_than_half(probabilities: np.ndarray) -> Any:
    counts = _counts(probabilities)
    clear = counts.max(axis=1) > len(probabilities) / 2
    return np.where(clear, counts.argmax(axis=1), _mean_probability(probabilities))


def _mean_class(probabilities: np.ndarray) -> Any:
    return np.rint(_votes(probabilities).mean(axis=0)).astype(int)


def _fewest_votes(probabilities: np.ndarray) -> Any:
    return _counts(probabilities).argmin(axis=1)


def _over_texts(probabilities: np.ndarray) -> Any:
    return majority_vote(np.swapaxes(probabilities, 0, 1))


def _all_votes(probabilities: np.ndarray) -> Any:
    return _votes(probabilities)


def _all_counts(probabilities: np.ndarray) -> Any:
    return _counts(probabilities)


def _share_of_winner(probabilities: np.ndarray) -> Any:
    return _counts(probabilities).max(axis=1) / len(probabilities)


EXERCISE = Exercise(
    reference=majority_vote,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _mean_probability,
            "You average the probabilities. One member that is very sure outweighs two others: count votes first.",
        ),
        WrongFunction(_first_member, "Only the first member is asked. All of them vote."),
        WrongFunction(_surest_of_all, "The member that is surest decides alone. Count the votes."),
        WrongFunction(_product, "You multiply the probabilities. Count the votes."),
        WrongFunction(_smallest_class, "A tie goes to the smallest class. It goes to the larger sum of probabilities."),
        WrongFunction(_largest_class, "A tie goes to the largest class. It goes to the larger sum of probabilities."),
        WrongFunction(_smallest_sum, "A tie goes to the smallest sum. It goes to the largest one."),
        WrongFunction(_surest_member, "A tie goes to the class of the surest member. Sum over all members."),
        WrongFunction(
            _sum_of_voters,
            "In a tie you sum over those who voted for the class. Sum over all members: the others have a view too.",
        ),
        WrongFunction(_first_member_decides, "A tie goes to whoever voted first. It goes to the larger sum."),
        WrongFunction(
            _any_class_in_a_tie,
            "In a tie you compare the sums of all classes. Only the tied ones are in question: another may have the "
            "largest sum, and fewer votes.",
        ),
        WrongFunction(_more_than_half, "You ask for more than half of the votes. Most votes are enough."),
        WrongFunction(
            _mean_class, "You average the numbers of the classes. They are names: 1 is not halfway between 0 and 2."
        ),
        WrongFunction(_fewest_votes, "The class with the fewest votes wins. Take the one with most."),
        WrongFunction(_over_texts, "The texts vote on the members. Members are the first axis, texts the second one."),
        WrongFunction(_all_votes, "These are the votes of all members. Give the winner for each text."),
        WrongFunction(_all_counts, "These are the counts of the votes. Give the winner for each text."),
        WrongFunction(_share_of_winner, "This is the winner's share of the votes. Give its class."),
    ),
)
