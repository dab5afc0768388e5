"""Easy data augmentation: four operations on words (Wei & Zou 2019, arXiv:1901.11196, section 2).

Each changes n = max(1, alpha * words) of them, rounded down. Unlike the authors' program they leave punctuation and
capitals where they are.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from course_lib import wordnet
from course_lib.attacks.document import Document
from course_lib.augmentation.operation import OneOf, WordOperation, changes, check_share


@dataclass(frozen=True)
class SynonymReplacement(WordOperation):
    """WordNet synonyms stand in place of n words that are no function words.

    Args:
        alpha: share of the words.

    Raises:
        BadInput: alpha is not above 0 and at most 1.
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The same sentence with n other words, fewer where not so many have a synonym."""
        words, left = list(document.words), changes(self.alpha, len(document.words))
        for position in draw.sample(range(len(words)), len(words)):
            found = synonyms(document, position)
            if found:
                words[position] = draw.choice(found)
                left -= 1
            if not left:
                break
        return Document(tuple(words), document.gaps)

    def __str__(self) -> str:
        return f"synonyms for {self.alpha:.0%} of the words"


@dataclass(frozen=True)
class RandomInsertion(WordOperation):
    """Synonyms of n random words are put in at random places.

    Args:
        alpha: share of the words.

    Raises:
        BadInput: alpha is not above 0 and at most 1.
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The same sentence and n words more; none where no word has a synonym."""
        words, gaps = list(document.words), list(document.gaps)
        order = draw.sample(range(len(words)), len(words))
        found: list[str] = []
        wanted = changes(self.alpha, len(words))
        for position in order:
            if len(found) < wanted and (known := synonyms(document, position)):
                found.append(draw.choice(known))
        for new in found:
            place = draw.randint(0, len(words))  # before that word, or behind the last one
            gaps.insert(min(place + 1, len(words)), " ")
            words.insert(place, new)
        return Document(tuple(words), tuple(gaps))

    def __str__(self) -> str:
        return f"{self.alpha:.0%} more words"


@dataclass(frozen=True)
class RandomSwap(WordOperation):
    """n times, two words change places.

    Args:
        alpha: share of the words.

    Raises:
        BadInput: alpha is not above 0 and at most 1.
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The same words in another order; a single word stays."""
        words = list(document.words)
        for _ in range(changes(self.alpha, len(words)) if len(words) > 1 else 0):
            one, other = draw.sample(range(len(words)), 2)
            words[one], words[other] = words[other], words[one]
        return Document(tuple(words), document.gaps)

    def __str__(self) -> str:
        return f"{self.alpha:.0%} of the words swapped"


@dataclass(frozen=True)
class RandomDeletion(WordOperation):
    """Each word is left out with a probability. It does not know that "not" matters.

    Args:
        alpha: the probability.

    Raises:
        BadInput: alpha is not above 0 and at most 1.
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The words that are left, at least one."""
        places = range(len(document.words))
        kept = [place for place in places if draw.random() >= self.alpha] or [draw.choice(places)]
        # A word goes with the gap behind it; what stands before the first word and behind the last stays.
        gaps = [document.gaps[0], *(document.gaps[place + 1] for place in kept[:-1]), document.gaps[-1]]
        return Document(tuple(document.words[place] for place in kept), tuple(gaps))

    def __str__(self) -> str:
        return f"{self.alpha:.0%} of the words left out"


def eda(alpha: float = 0.1) -> OneOf:
    """The four of EDA, each text by one of them.

    Args:
        alpha: share of the words that each changes. The paper's advice: 0.05 for up to 2,000 labels, else 0.1.

    Raises:
        BadInput: alpha is not above 0 and at most 1.
    """
    return OneOf((SynonymReplacement(alpha), RandomInsertion(alpha), RandomSwap(alpha), RandomDeletion(alpha)))


def synonyms(document: Document, position: int) -> tuple[str, ...]:
    """Synonyms of a word as it is used there, none of them the word itself."""
    word = document.words[position]
    found = wordnet.synonyms(word, wordnet.likely_pos(document.words, position))
    return tuple(new for new in found if new.lower() != word.lower())
