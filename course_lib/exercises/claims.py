"""Claims: the sentences of a notebook that are held to the numbers above them."""

from __future__ import annotations

from course_lib.errors import BadInput, CourseError


class ClaimFailed(CourseError, AssertionError):
    """A claim of the notebook does not hold on this machine."""


def claim(text: str, holds: object) -> None:
    """Prints "verified: <text>" if `holds` is true; raises if it is false.

    Numbers that differ between machines are not compared by the notebook tests; the claim about them is.

    Args:
        text: the claim in words, "accuracy is above 0.80".
        holds: True or False (also numpy's, or a tensor with one truth value).

    Raises:
        ClaimFailed: the claim is false.
        BadInput: `holds` is not a truth value, such as the accuracy itself.
    """
    value = holds.item() if hasattr(holds, "item") and getattr(holds, "shape", None) == () else holds
    if not isinstance(value, bool):
        raise BadInput(
            f'the claim "{text}" was given {value!r}, which is neither True nor False',
            "give a comparison, such as accuracy > 0.80",
        )
    if not value:
        raise ClaimFailed(
            f"does not hold: {text}", "run the cells above again, in order; if it stays so, the text is wrong"
        )
    print(f"verified: {text}")
