"""What would have to be different for another answer: fewer words, or other ones.

A counterfactual is the nearest case that the model answers otherwise (Wachter et al. 2017, arXiv:1711.00399). Near is
here the number of words that go (`removals`) or change (`counterfactual`). The nearest of those that were tried, that
is: neither search looks at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from course_lib.attacks.recipes import recipe as attack_recipe
from course_lib.attacks.report import AttackResult
from course_lib.batching import check_texts
from course_lib.defenses.answers import check_classifier
from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution
from course_lib.explain.faithfulness import game_of
from course_lib.explain.faithfulness import ranks as places_by_score
from course_lib.explain.game import CHARACTERS_AT_ONCE, ROWS_AT_ONCE, check_answers
from course_lib.explain.words import Coalitions, Players

_Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Removal:
    """A few words without which the model answers otherwise.

    Attributes:
        text: the whole.
        words: those removed, in the text's order.
        places: their numbers among the text's words.
        rest: the text without them.
        before: the answer to the whole.
        after: the answer to the rest.
        queries: texts that were asked on the way, the whole included.
    """

    text: str
    words: tuple[str, ...]
    places: tuple[int, ...]
    rest: str
    before: Any
    after: Any
    queries: int


def removals(classifier: Any, attributions: Sequence[Attribution], *, removal: str = "delete") -> list[Removal | None]:
    """For each text a small set of words whose removal turns the answer; None where the order finds none.

    Words go by score, the largest first, until the answer turns. Then they come back one by one, the least important
    first, as long as the answer stays turned. So no word of a set can be spared, and each `rest` was asked; a smaller
    set of other words may exist. A better explanation finds smaller sets.

    Args:
        classifier: the one that was explained.
        attributions: of the class that it gives each text.
        removal: as in `explain`.

    Raises:
        BadInput: an explanation of another class than the answer, of another classifier, or of words that are not the
            text's own; answers of a wrong shape or that are not finite.
    """
    game = game_of(classifier, attributions, removal)
    searches = [_Search(players, places_by_score(one)) for players, one in zip(game.players, attributions, strict=True)]
    answers = _answers(classifier, game.texts)
    _check_targets(classifier.classes_.tolist(), attributions, answers)
    while any(search.wish is not None for search in searches):
        active = [(i, search) for i, search in enumerate(searches) if search.wish is not None]
        rendered = [search.rendered() for _, search in active]
        asked = iter(_answers(classifier, [text for part in rendered for text in part]))
        for (i, search), part in zip(active, rendered, strict=True):
            search.tell(np.array([next(asked) for _ in part]), int(answers[i]))
    return [search.result(classifier, int(answers[i])) for i, search in enumerate(searches)]


def _check_targets(classes: list[Any], attributions: Sequence[Attribution], answers: NDArray[np.int64]) -> None:
    for one, column in zip(attributions, answers, strict=True):
        if classes[column] != one.target:
            target = classes[classes.index(one.target)]
            raise BadInput(
                f"{one.text[:50]!r} is explained for {target!r}, the answer is {classes[column]!r}",
                "explain each text's likeliest class: leave target out",
            )


class _Search:
    """One text's search: what it wants to know next, and what it makes of the answers.

    Args:
        players: the text's words.
        places: (n,), each word's place by score, 0 for the first to go.
    """

    def __init__(self, players: Players, places: NDArray[np.int64]) -> None:
        self.players, self.places, self.queries = players, places, 1
        self.found: _Rows | None = None  # (n,), True for a word that goes
        self.after = -1
        # First all beginnings of the order at once.
        self.wish: _Rows | None = places[None] < np.arange(1, len(places) + 1)[:, None] if len(places) else None

    def rendered(self) -> list[str]:
        kept: Coalitions = ~self._wanted()
        return self.players.render(kept)

    def tell(self, answers: NDArray[np.int64], before: int) -> None:
        """Takes the first of the wished removals that turns the answer, and wishes those with a word less."""
        self.queries += len(answers)
        turned = np.flatnonzero(answers != before)
        if not len(turned):
            self.wish = None
            return
        self.found, self.after = self._wanted()[turned[0]], int(answers[turned[0]])
        self.wish = self._with_a_word_less(self.found)

    def _with_a_word_less(self, gone: _Rows) -> _Rows | None:
        """(words, n), the removal without each of its words, the least important one first."""
        words = np.flatnonzero(gone)
        if len(words) < 2:
            return None
        words = words[np.argsort(-self.places[words])]
        less = np.repeat(gone[None], len(words), 0)
        less[np.arange(len(words)), words] = False
        return less

    def _wanted(self) -> _Rows:
        assert self.wish is not None  # asked only while there is a wish
        return self.wish

    def result(self, classifier: Any, before: int) -> Removal | None:
        if self.found is None:
            return None
        places, classes = tuple(np.flatnonzero(self.found).tolist()), classifier.classes_.tolist()
        return Removal(
            self.players.text, tuple(self.players.words[i].text for i in places), places,
            self.players.render(~self.found[None])[0], classes[before], classes[self.after], self.queries,
        )  # fmt: skip


def _answers(classifier: Any, texts: list[str]) -> NDArray[np.int64]:
    """(m,), the number of each text's likeliest class; equal texts are asked once."""
    place = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    parts, chunk, characters = [], list[str](), 0
    for text in place:
        if chunk and (len(chunk) >= ROWS_AT_ONCE or characters + len(text) > CHARACTERS_AT_ONCE):
            parts.append(_likeliest(classifier, chunk))
            chunk, characters = [], 0
        chunk.append(text)
        characters += len(text)
    if chunk:
        parts.append(_likeliest(classifier, chunk))
    found = np.concatenate(parts) if parts else np.empty(0, np.int64)
    return np.asarray(found[[place[text] for text in texts]], np.int64)


def _likeliest(classifier: Any, texts: list[str]) -> NDArray[np.int64]:
    """(m,), the number of each text's likeliest class."""
    return np.asarray(check_answers(classifier, classifier.predict_proba(texts), len(texts)).argmax(1), np.int64)


def counterfactual(classifier: Any, texts: Sequence[str], recipe: str = "pwws", seed: int = 0) -> list[AttackResult]:
    """Texts as near as an attack finds them that the model answers otherwise, the smallest change first.

    The attack starts from the model's own answers, right or wrong. Small is few changed words, then few characters
    put in, left out or replaced. Texts that resist are missing; `AttackResult.text` says which one each is of.

    Args:
        classifier: as for `attacks.Attack.run`.
        texts: n strings.
        recipe: a name of `attacks.RECIPES`.
        seed: of the attack's draws.

    Raises:
        BadInput: an unknown recipe, an item that is not a string, a model that the attack cannot use.
    """
    attack = attack_recipe(recipe)
    check_classifier(classifier, "classifier")
    rows = check_texts(texts)
    labels = classifier.classes_[_answers(classifier, rows)]
    report = attack.run(classifier, rows, labels, seed)
    return sorted((one for one in report.results if one.status == "succeeded"), key=_size)


def _size(one: AttackResult) -> tuple[int, int]:
    return len(one.changed), Levenshtein.distance(one.text, one.adversarial)
