"""Texts as cooperative games: the value of some of a text's words is what the model says of them alone.

All model-agnostic methods ask through here. Perturbed texts of many explained texts share batches: a chunk of them is
rendered, equal ones are dropped, and the classifier, which sorts by length, is asked once. Memory is bounded by the
chunk, not by the number of samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from reprlib import repr as shortened
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from course_lib.batching import check_texts
from course_lib.defenses.answers import check_classifier
from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.words import Coalitions, Players, replacement_for

OUTPUTS = ("probability", "log-odds")
MOST_SEED = 2**32 - 1  # of NumPy's old generators, which the lime and shap packages draw with
ROWS_AT_ONCE, CHARACTERS_AT_ONCE = 4096, 2_000_000  # of a chunk that the classifier is asked at once
_SMALLEST = 1e-7  # float32 probabilities nearer to 0 or 1 say nothing of their log-odds

Job = tuple[int, Coalitions]  # the number of a text, and coalitions of its words (rows, n)
Answered = tuple[int, Coalitions, Floats]  # the same with the value of each coalition (rows,)


class Game:
    """A classifier and texts, as all methods of explanation take them.

    Args:
        classifier: anything with `predict_proba` and `classes_`; gradients need a `TextClassifier`.
        texts: n strings.
        target: the class to be explained, a list of n of them, or None for each text's likeliest.
        output: `probability` of the target, or its `log-odds`, log p / (1 - p).
        removal: `delete` a word, or put the tokenizer's `mask` token in its place.
        together: equal words of a text are one player.

    Attributes:
        players: of each text.
        columns: (n,), the target's number among the classes.
        full: (n,), the output for each whole text.
        queries: (n,), texts that the classifier was asked for each; equal ones of one job count once.

    Raises:
        BadInput: no classifier, no strings, an unknown target, output or removal, log-odds of a single class, answers
            of a wrong shape.
    """

    def __init__(
        self,
        classifier: Any,
        texts: Sequence[str],
        *,
        target: Any = None,
        output: str = "probability",
        removal: str = "delete",
        together: bool = False,
    ) -> None:
        check_classifier(classifier, "classifier")
        if output not in OUTPUTS:
            raise BadInput(f"output is {output!r}", f"use one of {', '.join(OUTPUTS)}")
        if output == "log-odds" and len(classifier.classes_) < 2:
            raise BadInput("the classifier knows one class, whose log-odds are infinite", "use output='probability'")
        self.classifier, self.output = classifier, output
        self.texts = check_texts(texts)
        replacement = replacement_for(classifier, removal)
        self.players = [Players.of(one, replacement=replacement, together=together) for one in self.texts]
        named = None if target is None else columns_of(classifier, target, len(self.texts))
        rows = self._ask(self.texts)
        self.columns = rows.argmax(1) if named is None else named
        self.full = self._output(rows, self.columns)
        self.queries = np.ones(len(self.texts), np.int64)

    @cached_property
    def empty(self) -> Floats:
        """(n,), the output for each text without any of its words."""
        nothing = [(i, np.zeros((1, len(one)), bool)) for i, one in enumerate(self.players)]
        return np.array([values[0] for _, _, values in self.answer(nothing)], np.float64)

    def random(self, text: int, seed: int) -> np.random.Generator:
        """Random numbers that depend on the seed and this text alone, not on the texts beside it."""
        check_seed(seed)
        digest = hashlib.sha256(self.texts[text].encode("utf-8", "surrogatepass")).digest()
        return np.random.default_rng([int(seed), int.from_bytes(digest[:8], "big")])

    def rows_at_once(self, text: int) -> int:
        """How many perturbations of a text make one handy job."""
        return max(1, min(ROWS_AT_ONCE, CHARACTERS_AT_ONCE // (len(self.texts[text]) + 1)))

    def cut(self, text: int, coalitions: Coalitions) -> Iterator[Job]:
        """One text's coalitions as jobs of a handy size."""
        step = self.rows_at_once(text)
        for start in range(0, len(coalitions), step):
            yield text, coalitions[start : start + step]

    def answer(self, jobs: Iterable[Job]) -> Iterator[Answered]:
        """The value of every coalition, in the jobs' order; jobs are drawn a chunk at a time.

        Raises:
            BadInput: coalitions or answers of a wrong shape. What the classifier itself raises comes as it is.
        """
        chunk: list[Job] = []
        rows = characters = 0
        for text, coalitions in jobs:
            if coalitions.ndim != 2 or coalitions.shape[1] != len(self.players[text]):
                raise BadInput(
                    f"coalitions of shape {coalitions.shape} for {shortened(self.texts[text])}",
                    f"use (rows, {len(self.players[text])}): one column a word",
                )
            chunk.append((text, coalitions))
            rows += len(coalitions)
            characters += len(coalitions) * (len(self.texts[text]) + 1)
            if rows >= ROWS_AT_ONCE or characters >= CHARACTERS_AT_ONCE:
                yield from self._answer(chunk)
                chunk, rows, characters = [], 0, 0
        yield from self._answer(chunk)

    def _answer(self, chunk: list[Job]) -> Iterator[Answered]:
        rendered = [self.players[text].render(coalitions) for text, coalitions in chunk]
        place = {text: row for row, text in enumerate(dict.fromkeys(one for part in rendered for one in part))}
        different = list(place)
        step = ROWS_AT_ONCE
        parts = [self._ask(different[start : start + step]) for start in range(0, len(different), step)]
        answers = np.concatenate(parts) if parts else self._ask([])
        for (text, coalitions), names in zip(chunk, rendered, strict=True):
            self.queries[text] += len(set(names))
            rows = answers[[place[name] for name in names]] if names else answers[:0]
            yield text, coalitions, self._output(rows, np.full(len(names), self.columns[text]))

    def values(self, text: int, texts: Sequence[str]) -> Floats:
        """(m,), the output of one explained text's target for other texts; for packages that bring their own texts."""
        if not texts:
            return np.empty(0, np.float64)
        self.queries[text] += len(set(texts))
        parts = []
        for start in range(0, len(texts), ROWS_AT_ONCE):
            part = list(texts[start : start + ROWS_AT_ONCE])
            parts.append(self._output(self._ask(part), np.full(len(part), self.columns[text])))
        return np.concatenate(parts)

    def attribution(
        self, text: int, scores: Floats, base: float, method: str, error: float = float("nan"), kind: str = "none"
    ) -> Attribution:
        """The explanation of a text, with what this game knows of it."""
        return Attribution(
            self.texts[text], self.players[text].words, scores, float(base), float(self.full[text]),
            self.classifier.classes_[self.columns[text]], method, self.output, float(error), kind,
            int(self.queries[text]),
        )  # fmt: skip

    def nothing_to_say(self, text: int, method: str, kind: str) -> Attribution:
        """The explanation of a text without words: no score, and nothing wrong with that."""
        return self.attribution(text, np.empty(0), float(self.full[text]), method, 0.0, kind)

    def _ask(self, texts: list[str]) -> Floats:
        """(m, classes), probabilities, or logits where log-odds are wanted and the classifier gives logits."""
        classes = len(self.classifier.classes_)
        if not texts:  # scikit-learn's models refuse an empty list
            return np.empty((0, classes), np.float64)
        ask = self.classifier.decision_logits if self._logits else self.classifier.predict_proba
        return check_answers(self.classifier, ask(texts), len(texts))

    def _output(self, rows: Floats, columns: NDArray[np.int64]) -> Floats:
        at = np.arange(len(rows))
        if self.output == "probability" or not len(rows):
            return rows[at, columns]
        if not self._logits:
            share = rows[at, columns].clip(_SMALLEST, 1 - _SMALLEST)
            return np.asarray(np.log(share) - np.log1p(-share), np.float64)
        others = rows.copy()
        others[at, columns] = -np.inf
        return np.asarray(rows[at, columns] - logsumexp(others, axis=1), np.float64)

    @property
    def _logits(self) -> bool:
        return self.output == "log-odds" and hasattr(self.classifier, "decision_logits")


def check_answers(classifier: Any, answers: Any, n: int) -> Floats:
    """(n, classes), what a classifier answered n texts.

    Raises:
        BadInput: another shape, or numbers that are not finite.
    """
    rows, name, classes = np.asarray(answers, np.float64), type(classifier).__name__, len(classifier.classes_)
    if rows.shape != (n, classes):
        raise BadInput(
            f"{name} answered {n} texts with the shape {rows.shape}",
            f"predict_proba must give ({n}, {classes}): one row a text, one column a class",
        )
    if not np.isfinite(rows).all():
        raise BadInput(f"{name} gave numbers that are not finite", "mend the classifier")
    return rows


def check_seed(seed: int, most: int | None = None) -> None:
    """Raises BadInput unless it is a whole number from 0 on, and no more than `most`."""
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise BadInput(f"seed is {seed!r}", "use a whole number from 0 on")
    if most is not None and seed > most:
        raise BadInput(f"seed is {seed}, which the package cannot take", f"use a whole number from 0 to {most}")


def whole_number(name: str, value: Any) -> int:
    """The value as an int; 1e3 is whole, too.

    Raises:
        BadInput: anything else, such as 2.5 or "3".
    """
    if not isinstance(value, (int, float, np.integer, np.floating)) or value % 1 != 0:
        raise BadInput(f"{name} is {value!r}", "use a whole number")
    return int(value)


def several(target: Any) -> bool:
    """Whether it names a class for each text (a list, an array, a pandas Series), and not one for all."""
    return np.ndim(target) == 1


def columns_of(classifier: Any, target: Any, n: int) -> NDArray[np.int64]:
    """(n,), the number of a class, or of each of n classes, among the classifier's.

    Raises:
        BadInput: a class that the classifier does not know, or a list of another length.
    """
    known = classifier.classes_.tolist()
    each = several(target)
    wanted = list(target) if each else [target]
    if each and len(wanted) != n:
        raise BadInput(f"target has {len(wanted)} classes for {n} texts", "give one class, or one a text")
    for one in wanted:
        if one not in known:
            raise BadInput(f"target is {one!r}, which the classifier does not know", f"use one of {known}")
    columns = np.array([known.index(one) for one in wanted], np.int64)
    return columns if each else np.repeat(columns, n)
