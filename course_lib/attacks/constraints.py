"""What an adversarial text must keep: rules about words and counts. Those about meaning are in `meaning`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from course_lib.attacks.document import Document, edit_distance
from course_lib.errors import BadInput

# The commonest function words of English; a change in one is seen by every reader and seldom turns a verdict.
STOP_WORDS = frozenset(
    {"a", "an", "and", "as", "at", "be", "by", "for", "from", "in", "is", "it", "of", "on", "or"}
    | {"that", "the", "this", "to", "was", "with"}
)


class Constraint(Protocol):
    """Two questions, the cheap one first."""

    def allows_position(self, document: Document, position: int) -> bool:
        """Whether the word there may be changed at all; asked of the document as it is on the way."""
        ...

    def allows(self, original: Document, changed: Document) -> bool:
        """Whether a changed document, whose positions are the original's, may be asked about and returned."""
        ...


@dataclass(frozen=True)
class KeepWords:
    """Some words stay as they are.

    Args:
        words: in lower case.
    """

    words: frozenset[str] = STOP_WORDS

    def allows_position(self, document: Document, position: int) -> bool:
        """No word of the list."""
        return document.words[position].lower() not in self.words

    def allows(self, original: Document, changed: Document) -> bool:
        """Every changed position was allowed."""
        return all(self.allows_position(original, position) for position in changed.changed)

    def __str__(self) -> str:
        return f"KeepWords({len(self.words)} words)"


@dataclass(frozen=True)
class AvoidWords:
    """Some words are never put in: those that name a label would change it for a reader, too.

    Args:
        words: in lower case.
    """

    words: frozenset[str] = frozenset({"negative", "positive"})

    def allows_position(self, document: Document, position: int) -> bool:
        """Every position."""
        return True

    def allows(self, original: Document, changed: Document) -> bool:
        """No changed position holds such a word."""
        return not any(changed.words[position].lower() in self.words for position in changed.changed)

    def __str__(self) -> str:
        return f"AvoidWords({', '.join(sorted(self.words))})"


@dataclass(frozen=True)
class EachWordOnce:
    """A word that was changed is not changed again."""

    def allows_position(self, document: Document, position: int) -> bool:
        """The document's word there is still the original's."""
        return position not in document.changed

    def allows(self, original: Document, changed: Document) -> bool:
        """Any result: this is a rule about the way, not about the end."""
        return True


class EveryPosition:
    """For rules about the text as a whole, which forbid no position of their own."""

    def allows_position(self, document: Document, position: int) -> bool:
        """Every position."""
        return True


@dataclass(frozen=True)
class MaxEditDistance(EveryPosition):
    """At most so many characters of the whole text differ (Levenshtein distance).

    Raises:
        BadInput: a negative distance.
    """

    distance: int = 30

    def __post_init__(self) -> None:
        if self.distance < 0:
            raise BadInput(f"distance is {self.distance}", "use 0 or more characters")

    def allows(self, original: Document, changed: Document) -> bool:
        """Adds the words' distances, which is never less than the distance of the texts."""
        pairs = ((original.words[i], changed.words[i]) for i in changed.changed)
        return sum(edit_distance(old, new) for old, new in pairs) <= self.distance


@dataclass(frozen=True)
class MaxWordsChanged(EveryPosition):
    """At most this share of a text's words is changed, and one word always may be.

    Raises:
        BadInput: a share outside 0 to 1.
    """

    share: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise BadInput(f"share is {self.share}", "use a share of the words from 0 to 1")

    def allows(self, original: Document, changed: Document) -> bool:
        """Counts the changed positions."""
        return len(changed.changed) <= max(1, int(self.share * len(original.words)))
