"""Exercise: how far a student's answers are from its teacher's.

Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2 (arXiv:1503.02531).
The library's version: `course_lib.compression.distillation.distillation_loss`, in torch. Whether a gradient reaches
the teacher cannot be seen in numbers alone, so the task says it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same


def distillation_loss(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
    """T^2 times the cross-entropy of the softened student with the softened teacher; (batch, classes)."""
    mine = student / temperature
    mine = mine - mine.max(axis=1, keepdims=True)  # exp() cannot overflow
    theirs = teacher / temperature
    theirs = theirs - theirs.max(axis=1, keepdims=True)
    log_q = mine - np.log(np.exp(mine).sum(axis=1, keepdims=True))
    p = np.exp(theirs) / np.exp(theirs).sum(axis=1, keepdims=True)
    losses = -(p * log_q).sum(axis=1)  # (batch,)
    return float(temperature**2 * losses.mean())


def _case(student: Any, teacher: Any, *temperature: float) -> Case:
    logits = {"student": np.array(student, dtype=float), "teacher": np.array(teacher, dtype=float)}
    return {**logits, **({"temperature": temperature[0]} if temperature else {})}


def _cases() -> list[Case]:
    random = np.random.default_rng(4)
    third = float(np.log(3.0))

    def drawn(batch: int, classes: int, *temperature: float) -> Case:
        return _case(*random.normal(scale=2, size=(2, batch, classes)), *temperature)

    return [
        _case([[0.0, third]], [[third, 0.0]], 1.0),  # p = [3/4, 1/4], q = [1/4, 3/4]
        _case([[0.0, 2 * third], [0.0, 0.0]], [[2 * third, 0.0], [0.0, 2 * third]], 2.0),
        drawn(3, 2),  # the default
        drawn(3, 3, 3.0),  # square: the shape does not tell the axes apart
        drawn(4, 5, 0.5),
        drawn(2, 4, 8.0),
        _case([[1000.0, 1001.0], [-1000.0, -1003.0]], [[1002.0, 1001.0], [5.0, 4.0]], 1.0),  # exp(1000) overflows
        _case([[1.0, 2.0], [0.5, 0.0]], [[1000.0, 1001.0], [9.0, 7.0]], 1.0),  # of the teacher alone
        _case([[0.0, 3000.0], [2000.0, -500.0]], [[1.0, 0.0], [0.0, 1500.0]], 2.0),  # a probability of nearly 0
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Did exp() overflow, or did log() meet a 0?" if "nan" in problem else "")
    number = as_numbers(got)
    assert number is not None
    if same(expected, got):
        return None
    if float(number) < 0:
        return f"A cross-entropy is a mean of -ln q, and no q is above 1. Yours is {float(number):.6g}, below 0."
    least = distillation_loss(case["teacher"], case["teacher"], case.get("temperature", 1.0))
    if float(number) < least * (1 - 1e-6):
        return f"No student can have less than {least:.6g} here, the loss of the teacher itself. Something is missing."
    return f"The loss is {float(number) / expected:.6g} times what it should be."


def _log_softmax(logits: Any, axis: int = 1) -> Any:
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _softmax(logits: Any) -> Any:
    return np.exp(_log_softmax(logits))


def _crossed(p: Any, log_q: Any) -> float:
    return float(-(p * log_q).sum(axis=1).mean())


def _times(factor: Callable[[float], float]) -> Answer:
    """An answer with another factor in the place of T^2."""

    def answer(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
        return distillation_loss(student, teacher, temperature) / temperature**2 * factor(temperature)

    return answer


def _between(p: Answer, log_q: Answer) -> Answer:
    """An answer with another target, or another student: both are made of (student, teacher, temperature)."""

    def answer(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
        given = (student, teacher, temperature)
        return float(temperature**2) * _crossed(p(*given), log_q(*given))

    return answer


def _taught(student: Any, teacher: Any, temperature: float) -> Any:
    return _softmax(teacher / temperature)


def _learned(student: Any, teacher: Any, temperature: float) -> Any:
    return _log_softmax(student / temperature)


def _naively(student: Any, teacher: Any, temperature: float) -> Any:
    """The student's ln q from powers that may be infinite."""
    powers = np.exp(student / temperature)
    return np.log(powers / powers.sum(axis=1, keepdims=True))


_no_factor = _times(lambda t: 1.0)
_one_factor = _times(lambda t: t)
_divided = _times(lambda t: 1 / t**2)
_hard_student = _between(_taught, lambda s, t, temperature: _log_softmax(s))
_hard_teacher = _between(lambda s, t, temperature: _softmax(t), _learned)
_multiplied = _between(
    lambda s, t, temperature: _softmax(t * temperature), lambda s, t, temperature: _log_softmax(s * temperature)
)
_raw_teacher = _between(lambda s, t, temperature: t / temperature, _learned)
_labels = _between(lambda s, t, temperature: np.eye(t.shape[1])[t.argmax(axis=1)], _learned)
_exchanged = _between(
    lambda s, t, temperature: _softmax(s / temperature), lambda s, t, temperature: _log_softmax(t / temperature)
)
_teacher_alone = _between(_taught, lambda s, t, temperature: _log_softmax(t / temperature))
_without_logarithm = _between(_taught, lambda s, t, temperature: _softmax(s / temperature))
_logits_as_logs = _between(_taught, lambda s, t, temperature: s / temperature)
_bits = _between(_taught, lambda s, t, temperature: _log_softmax(s / temperature) / np.log(2))
_minus_forgotten = _between(_taught, lambda s, t, temperature: -_log_softmax(s / temperature))
_along_the_batch = _between(
    lambda s, t, temperature: np.exp(_log_softmax(t / temperature, axis=0)),
    lambda s, t, temperature: _log_softmax(s / temperature, axis=0),
)
_after_softmax = _between(
    lambda s, t, temperature: _softmax(t) / temperature, lambda s, t, temperature: _log_softmax(s) - np.log(temperature)
)
_overflowing = _between(
    lambda s, t, temperature: np.exp(t / temperature) / np.exp(t / temperature).sum(axis=1, keepdims=True), _naively
)
_student_overflows = _between(_taught, _naively)
_log_of_zero = _between(_taught, lambda s, t, temperature: np.log(_softmax(s / temperature)))
_cushioned = _between(_taught, lambda s, t, temperature: np.log(_softmax(s / temperature) + 1e-9))


def _sum(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
    return len(student) * distillation_loss(student, teacher, temperature)


def _over_all_numbers(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
    return distillation_loss(student, teacher, temperature) / float(student.shape[1])


def _one_by_one(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> Any:
    rows = zip(student, teacher, strict=True)
    return np.array([distillation_loss(s[None], t[None], temperature) for s, t in rows])


def _divergence(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
    own = distillation_loss(teacher, teacher, temperature)
    return distillation_loss(student, teacher, temperature) - own


def _divergence_other_way(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
    return _divergence(teacher, student, temperature)


def _squares(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
    apart = _softmax(student / temperature) - _softmax(teacher / temperature)
    return float(temperature**2 * (apart**2).mean())


def _logit_squares(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
    return float(((student - teacher) ** 2).mean())


EXERCISE = Exercise(
    reference=distillation_loss,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_no_factor, "The factor T^2 is missing. Without it the gradients shrink as T grows."),
        WrongFunction(_one_factor, "You multiply by T. The factor is T squared."),
        WrongFunction(_divided, "You divide by T^2. Multiply by it, to make up for gradients that shrink."),
        WrongFunction(_hard_student, "Only the teacher is softened. Divide the student's logits by T as well."),
        WrongFunction(_hard_teacher, "Only the student is softened. Divide the teacher's logits by T as well."),
        WrongFunction(_multiplied, "You multiply the logits by T, which makes the answers harder. Divide by it."),
        WrongFunction(
            _after_softmax,
            "You divide the probabilities by T, and they no longer add up to 1. Divide the logits, before the softmax.",
        ),
        WrongFunction(
            _raw_teacher, "The teacher's logits are used as they are. They become probabilities by a softmax."
        ),
        WrongFunction(_labels, "You keep only the teacher's first choice. Its whole distribution is the lesson."),
        WrongFunction(
            _exchanged, "The roles are exchanged. The logarithm belongs to the student, the weights to the teacher."
        ),
        WrongFunction(_teacher_alone, "The student is not in it. This is the entropy of the teacher."),
        WrongFunction(_divergence, "This is the KL divergence: the teacher's own entropy is taken off. Leave it in."),
        WrongFunction(
            _divergence_other_way,
            "This is the KL divergence with the roles exchanged. Give the cross-entropy, the teacher's p in front.",
        ),
        WrongFunction(_squares, "You compare the probabilities by squares. The cross-entropy is asked."),
        WrongFunction(_logit_squares, "You compare the logits by squares. The cross-entropy is asked."),
        WrongFunction(_without_logarithm, "The logarithm is missing. Take it of the student's softmax."),
        WrongFunction(_logits_as_logs, "The student's logits stand in the place of ln q. They need a log-softmax."),
        WrongFunction(_minus_forgotten, "The sign is wrong. The loss is minus the sum, and above 0."),
        WrongFunction(_bits, "This is in bits, base 2. The natural logarithm is wanted."),
        WrongFunction(_along_the_batch, "The softmax runs down the batch (axis 0). It runs over the classes: axis 1."),
        WrongFunction(_sum, "This is the sum over the batch. Give the mean."),
        WrongFunction(
            _over_all_numbers,
            "You take the mean over all numbers. Sum over the classes first, then take the mean over the rows.",
        ),
        WrongFunction(_one_by_one, "This is one loss for each row. Give their mean."),
        WrongFunction(
            _overflowing, "The formula is right, but exp() overflows. Subtract the maximum of each row first."
        ),
        WrongFunction(
            _student_overflows,
            "The teacher's softmax is safe, the student's overflows. Subtract the maximum of each row there, too.",
        ),
        WrongFunction(
            _log_of_zero,
            "A tiny probability is rounded to 0, and its logarithm is infinite. Take the log-softmax by formula.",
        ),
        WrongFunction(
            _cushioned,
            "You add a small number before the logarithm, so a student that is badly wrong is let off too lightly. "
            "Take the log-softmax by formula.",
        ),
    ),
)
