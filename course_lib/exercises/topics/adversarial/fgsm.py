"""Exercise: one step uphill in the space of token embeddings.

Goodfellow et al. 2015, Explaining and Harnessing Adversarial Examples, section 4 (arXiv:1412.6572), for the sign;
Miyato et al. 2017, Adversarial Training Methods for Semi-Supervised Text Classification, section 3
(arXiv:1605.07725), for its L2 sibling on word embeddings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same


def fgsm(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> np.ndarray:
    """A step of size epsilon up the gradient, from embedding (tokens, hidden); norm is "linf" or "l2"."""
    if norm == "linf":
        direction = np.sign(gradient)
    else:
        length = np.sqrt(np.sum(gradient**2))  # of the whole sentence, all tokens together
        direction = gradient / length if length > 0 else np.zeros_like(gradient)
    moved: np.ndarray = embedding + epsilon * direction
    return moved


def _case(embedding: Any, gradient: Any, epsilon: float, norm: str) -> Case:
    table, slope = np.array(embedding, dtype=float), np.array(gradient, dtype=float)
    return {"embedding": table, "gradient": slope, "epsilon": epsilon, "norm": norm}


def _cases() -> list[Case]:
    random = np.random.default_rng(5)
    table, slope = random.normal(size=(2, 4, 3))
    return [
        _case([[1.0, 2.0]], [[3.0, -4.0]], 0.1, "linf"),
        _case([[1.0, 2.0]], [[3.0, -4.0]], 0.1, "l2"),
        _case([[1.0, 1.0], [1.0, 1.0]], [[3.0, 0.0], [0.0, 4.0]], 0.5, "l2"),  # one length for both tokens
        _case([[1.0, 1.0], [1.0, 1.0]], [[3.0, 0.0], [0.0, -4.0]], 0.5, "linf"),  # the sign of 0 is 0
        _case([[-2.0, 0.5], [0.3, 4.0]], [[0.0, 0.0], [0.6, 0.8]], 2.0, "l2"),  # a token without any slope
        _case([[0.2, -0.2]], [[0.0, 0.0]], 0.3, "l2"),  # no slope at all
        _case([[0.2, -0.2]], [[0.0, 0.0]], 0.3, "linf"),
        _case(table, slope, 0.25, "linf"),
        _case(table, slope, 0.25, "l2"),
        _case(table[:2], 1e-7 * slope[:2], 1.0, "l2"),  # a model that is sure has tiny gradients
        _case(table[:2], 1e-7 * slope[:2], 1.0, "linf"),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Is a length zero?" if "nan" in problem else "")
    numbers = as_numbers(got)
    assert numbers is not None
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


def _by(linf: Answer, l2: Answer) -> Callable[[np.ndarray, np.ndarray, float, str], Any]:
    """An answer made of the direction for each norm."""

    def answer(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
        return embedding + epsilon * (linf if norm == "linf" else l2)(gradient)

    return answer


def _unit(gradient: Any) -> Any:
    length = np.sqrt(np.sum(gradient**2))
    return gradient / length if length > 0 else 0 * gradient


def _over(gradient: Any, size: Any) -> Any:
    """The gradient divided by a size that may hold zeros: there it is left at zero."""
    return np.divide(gradient, size, out=np.zeros_like(gradient), where=np.broadcast_to(size > 0, gradient.shape))


def _downhill(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
    return fgsm(embedding, -gradient, epsilon, norm)


def _step_only(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
    return fgsm(0 * embedding, gradient, epsilon, norm)


def _exchanged(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
    return fgsm(embedding, gradient, epsilon, "l2" if norm == "linf" else "linf")


def _times_embedding(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
    return embedding * fgsm(np.ones_like(embedding), gradient, epsilon, norm)


def _like_a_picture(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
    return np.clip(fgsm(embedding, gradient, epsilon, norm), 0, 1)


_raw_sign = _by(lambda g: g, _unit)
_raw_length = _by(np.sign, lambda g: g)
_raw = _by(lambda g: g, lambda g: g)
_sign_for_both = _by(np.sign, np.sign)
_length_for_both = _by(_unit, _unit)
_upwards_only = _by(lambda g: np.abs(np.sign(g)), _unit)
_largest_is_one = _by(lambda g: _over(g, np.max(np.abs(g))), _unit)
_each_token = _by(np.sign, lambda g: _over(g, np.sqrt(np.sum(g**2, axis=1, keepdims=True))))
_each_column = _by(np.sign, lambda g: _over(g, np.sqrt(np.sum(g**2, axis=0, keepdims=True))))
_squared_length = _by(np.sign, lambda g: _over(g, np.sum(g**2)))
_mean_square = _by(np.sign, lambda g: _over(g, np.sqrt(np.mean(g**2))))
_sum_of_sizes = _by(np.sign, lambda g: _over(g, np.sum(np.abs(g))))
_divided_by_zero = _by(np.sign, lambda g: g / np.sqrt(np.sum(g**2)))
_cushioned = _by(np.sign, lambda g: g / (np.sqrt(np.sum(g**2)) + 1e-8))


EXERCISE = Exercise(
    reference=fgsm,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_downhill, "You step downhill, as training does. An attack wants more loss: add the step."),
        WrongFunction(_step_only, "This is the step alone. Add it to the embedding."),
        WrongFunction(_exchanged, "The two norms are exchanged. The sign belongs to linf, the length to l2."),
        WrongFunction(_times_embedding, "You multiply the embedding by the step. Add the step to it."),
        WrongFunction(
            _like_a_picture, "You clip to 0 and 1, as one does with pictures. Embeddings have no such range."
        ),
        WrongFunction(
            _raw_sign, "With linf you add the gradient itself. Take its sign, so that each number moves alike."
        ),
        WrongFunction(_raw_length, "With l2 you add the gradient itself. Divide it by its length first."),
        WrongFunction(_raw, "You add the gradient itself for both norms. Then epsilon does not say how far you go."),
        WrongFunction(
            _sign_for_both, "You take the sign for both norms. With l2, divide by the length of the gradient."
        ),
        WrongFunction(_length_for_both, "You divide by the length for both norms. With linf, take the sign."),
        WrongFunction(
            _upwards_only, "With linf every number goes up. Where the gradient is negative, it should go down."
        ),
        WrongFunction(
            _largest_is_one,
            "With linf only the steepest number moves by epsilon. All of them may, and the sign uses that.",
        ),
        WrongFunction(
            _each_token,
            "With l2 each token has its own length, so each moves by epsilon. The sentence has one budget for all.",
        ),
        WrongFunction(_each_column, "With l2 each column has its own length. Take one length over all numbers."),
        WrongFunction(_squared_length, "With l2 you divide by the sum of squares. The length is its root."),
        WrongFunction(
            _mean_square, "With l2 you divide by the root of the mean square. The length has the sum, no mean."
        ),
        WrongFunction(_sum_of_sizes, "With l2 you divide by the sum of the absolute values. That is the L1 length."),
        WrongFunction(_divided_by_zero, "With a gradient of zero, 0 / 0 gives nan. Then nothing should move."),
        WrongFunction(
            _cushioned,
            "You add a small number to the length, and where gradients are tiny it is not small. Ask for zero instead.",
        ),
    ),
)
