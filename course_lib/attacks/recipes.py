"""Attacks named after the papers that describe them."""

from __future__ import annotations

from collections.abc import Callable

from course_lib.attacks.constraints import KeepWords, MaxEditDistance
from course_lib.attacks.engine import Attack
from course_lib.attacks.goals import Untargeted
from course_lib.attacks.search import Greedy
from course_lib.attacks.transformations import Characters
from course_lib.errors import BadInput


def deepwordbug() -> Attack:
    """Typing errors in the most important words (Gao et al. 2018, arXiv:1801.04354).

    As TextAttack 0.3.11 has it: importance by [UNK], four candidates a word, at most 30 characters changed. What the
    draws give differs, because the generators of random numbers do.
    """
    return Attack("deepwordbug", Untargeted(), Characters(), Greedy("unknown"), (KeepWords(), MaxEditDistance(30)))


RECIPES: dict[str, Callable[[], Attack]] = {"deepwordbug": deepwordbug}


def recipe(name: str) -> Attack:
    """The attack of that name.

    Raises:
        BadInput: no such recipe.
    """
    if name not in RECIPES:
        raise BadInput(f"there is no recipe {name!r}", f"use one of {', '.join(RECIPES)}")
    return RECIPES[name]()
