"""What may stand in place of a word."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from course_lib.errors import BadInput


class Transformation(Protocol):
    """Makes candidates for one word."""

    def candidates(self, word: str, draw: random.Random) -> list[str]:
        """Different words, none of them the word itself; none where the word allows none."""
        ...


def swap_letters(word: str, draw: random.Random) -> str | None:
    """Two neighbouring characters change places."""
    if len(word) < 2:
        return None
    at = draw.randrange(len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def substitute_letter(word: str, draw: random.Random) -> str | None:
    """A letter of the English alphabet stands in place of a character."""
    at = draw.randrange(len(word))
    return word[:at] + draw.choice(string.ascii_letters) + word[at + 1 :]


def delete_letter(word: str, draw: random.Random) -> str | None:
    """A character is missing; a word of one character keeps it."""
    if len(word) < 2:
        return None
    at = draw.randrange(len(word))
    return word[:at] + word[at + 1 :]


def insert_letter(word: str, draw: random.Random) -> str | None:
    """A letter too many."""
    at = draw.randrange(len(word) + 1)
    return word[:at] + draw.choice(string.ascii_letters) + word[at:]


TYPOS: dict[str, Callable[[str, random.Random], str | None]] = {
    "swap": swap_letters,
    "substitute": substitute_letter,
    "delete": delete_letter,
    "insert": insert_letter,
}


@dataclass(frozen=True)
class Characters:
    """One candidate for each kind of typing error (Gao et al. 2018, arXiv:1801.04354, table 2).

    Args:
        kinds: some of swap, substitute, delete, insert.

    Raises:
        BadInput: an unknown kind, or none.
    """

    kinds: tuple[str, ...] = tuple(TYPOS)

    def __post_init__(self) -> None:
        if not self.kinds or not set(self.kinds) <= set(TYPOS):
            raise BadInput(f"kinds is {self.kinds!r}", f"use some of {', '.join(TYPOS)}")

    def candidates(self, word: str, draw: random.Random) -> list[str]:
        """At most one different word for each kind."""
        made = (TYPOS[kind](word, draw) for kind in self.kinds)
        return list(dict.fromkeys(new for new in made if new is not None and new != word))
