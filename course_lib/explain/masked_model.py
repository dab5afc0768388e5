"""A classifier on texts of which only some words are kept: the queries of all model-agnostic methods.

`MaskableText` splits a text into words and leaves some of them out. `MaskedModel.evaluate` queries the classifier for
coalitions of words. Masked texts of many explained texts share batches, equal ones are queried once, and memory is
bounded by a chunk of them, whatever the number of coalitions.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from reprlib import repr as shortened
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray
from scipy.special import logsumexp

from course_lib.batching import check_texts, unique_rows
from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats, Word
from course_lib.text.classifiers import check_classifier, check_scores, columns_of, predict_unique
from course_lib.text.document import Document
from course_lib.text.gradients import TokenAlignment, check_differentiable

# Runs of letters, digits and _, as the `lime` package splits a text. It splits at combining marks, too, and at
# characters that are not seen (soft hyphen, zero-width space and joiners): here these are part of the word. An emoji,
# which it takes for punctuation, is a word, with its skin tone and with what a zero-width joiner appends to it.
_LETTER, _UNSEEN = r"[\p{L}\p{N}_]", r"[\u00ad\u200b-\u200d]"
_EMOJI = "[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
WORD = regex.compile(
    rf"{_LETTER}+(?:\p{{M}}{_LETTER}*|{_UNSEEN}+{_LETTER}+)*"
    rf"|\p{{RI}}{{2}}|{_EMOJI}(?:[\ufe0f\U0001f3fb-\U0001f3ff]|\u200d{_EMOJI})*"
)
OUTPUTS = ("probability", "log-odds")
REMOVALS = ("delete", "mask")
TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 4096, 2_000_000  # of a chunk of queries: bounds memory
_SMALLEST = 1e-7  # float32 probabilities nearer to 0 or 1 do not determine log-odds

Coalitions = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MaskableText:
    """The words of a text, and the text without some of them.

    Attributes:
        text: the whole.
        words: n words, as an explanation scores them.
        document: the text as occurrences of words with the gaps around them.
        word_of: (occurrences,), which of the n words each occurrence is.
        replacement: what is put in the place of a word; "" deletes it.
    """

    text: str
    words: tuple[Word, ...]
    document: Document
    word_of: NDArray[np.int64]
    replacement: str = ""

    @classmethod
    def of(cls, text: str, *, replacement: str = "", bow: bool = False) -> MaskableText:
        """Splits a text into words; scripts without blanks, such as Chinese, Japanese and Thai, into characters.

        Args:
            text: any string.
            replacement: is put in the place of a masked word: the `lime` package's `mask_string` with bow=False.
            bow: equal words are one word, which is kept or masked as a whole, as in the `lime` package (bag of words).
        """
        document = Document.of(text, WORD)
        word_of = unique_rows(document.words)[1] if bow else np.arange(len(document.words))
        spans: list[list[tuple[int, int]]] = [[] for _ in range(word_of.max(initial=-1) + 1)]
        for word, start, end in zip(word_of, *(places.tolist() for places in document.spans), strict=True):
            spans[word].append((start, end))
        words = tuple(Word(text[slice(*places[0])], tuple(places)) for places in spans)
        return cls(text, words, document, word_of, replacement)

    def __len__(self) -> int:
        return len(self.words)

    def mask(self, coalitions: Coalitions) -> list[str]:
        """The text with the words of each coalition alone.

        Args:
            coalitions: (rows, n), True where a word is kept.
        """
        first, *gaps = self.document.gaps
        pieces = [(self.replacement + gap, word + gap) for word, gap in zip(self.document.words, gaps, strict=True)]
        return [first + "".join([piece[kept] for piece, kept in zip(pieces, row, strict=True)])
                for row in coalitions[:, self.word_of].tolist()]  # fmt: skip

    def word_of_characters(self) -> NDArray[np.int64]:
        """(characters + 1,), the number of the word that each character is in, -1 for none."""
        found: NDArray[np.int64] = np.append(self.word_of, -1)[self.document.word_of_characters()]
        return found


def mask_string(classifier: Any, removal: str) -> str:
    """What is put in the place of a removed word.

    Args:
        classifier: its tokenizer has the mask token.
        removal: `delete`, or `mask` for the tokenizer's mask token.

    Raises:
        BadInput: an unknown removal, or `mask` for a classifier without a mask token.
    """
    if removal not in REMOVALS:
        raise BadInput(f"removal is {removal!r}", f"use one of {', '.join(REMOVALS)}")
    if removal == "delete":
        return ""
    token = getattr(getattr(classifier, "tokenizer_", None), "mask_token", None)
    if not token:
        raise BadInput(f"a {type(classifier).__name__} has no mask token", "use removal='delete'")
    return str(token)


class MaskedModel:
    """A classifier and texts, as all methods of explanation take them.

    Args:
        classifier: anything with `predict_proba` and `classes_`; gradients need a `TextClassifier`.
        texts: n strings.
        target: the class to be explained, a list of n of them, or None for the most probable class of each text.
        output: `probability` of the target, or its `log-odds`, log p / (1 - p).
        foil: another class, or a list of n of them: log-odds are then those of the target among these two.
        removal: `delete` a word, or put the tokenizer's `mask` token in its place.
        bow: equal words of a text are kept or removed together (bag of words).

    Attributes:
        texts: the texts as words.
        queries: (n,), how many texts the classifier was queried for to explain each; equal ones of one call count once.

    Raises:
        BadInput: no classifier, no strings, an unknown target, foil, output or removal, log-odds of a single class, a
            foil that is the target or whose output is not log-odds.
    """

    def __init__(
        self,
        classifier: Any,
        texts: Sequence[str],
        *,
        target: Any = None,
        output: str = "probability",
        foil: Any = None,
        removal: str = "delete",
        bow: bool = False,
    ) -> None:
        check_classifier(classifier)
        if output not in OUTPUTS:
            raise BadInput(f"output is {output!r}", f"use one of {', '.join(OUTPUTS)}")
        if output == "log-odds" and len(classifier.classes_) < 2:
            raise BadInput("the classifier has one class, whose log-odds are infinite", "use output='probability'")
        self.classifier, self.output = classifier, output
        replacement = mask_string(classifier, removal)
        self.texts = [MaskableText.of(one, replacement=replacement, bow=bow) for one in check_texts(texts)]
        self._targets = None if target is None else columns_of(classifier.classes_, target, len(self.texts), "target")
        self.foils = None if foil is None else columns_of(classifier.classes_, foil, len(self.texts), "foil")
        if self.foils is not None:
            if output != "log-odds":
                raise BadInput(f"output is {output!r} with a foil", "use output='log-odds'")
            if len(same := self.foils[self.foils == self.columns]):
                raise BadInput(
                    f"target and foil are both {classifier.classes_.tolist()[same[0]]!r}", "name two classes"
                )
        self.queries = np.ones(len(self.texts), np.int64)

    # ---- outputs ---------------------------------------------------------------------------------------------

    @cached_property
    def _whole(self) -> Floats:
        """(n, classes), the scores of the whole texts."""
        return self._scores([one.text for one in self.texts])

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """(n,), the target's column among the classes."""
        return np.asarray(self._whole.argmax(1) if self._targets is None else self._targets, np.int64)

    @cached_property
    def full_outputs(self) -> Floats:
        """(n,), the output for each whole text."""
        return self._output(self._whole, np.arange(len(self.texts)))

    @cached_property
    def empty_outputs(self) -> Floats:
        """(n,), the output for each text without any of its words."""
        nothing = self.evaluate([np.zeros((1, len(one)), bool) for one in self.texts])
        return np.array([values[0] for values in nothing], np.float64)

    def evaluate(self, coalitions: Sequence[Coalitions]) -> list[Floats]:
        """The output for each coalition of words of each text.

        Args:
            coalitions: for each text (rows, words), True where a word is kept; a text may have no rows.

        Returns:
            For each text (rows,).

        Raises:
            BadInput: coalitions, or scores of the classifier, of a wrong shape. The classifier's own errors pass
                through.
        """
        return self._evaluated(coalitions, self._output)

    def predict(self, coalitions: Sequence[Coalitions]) -> list[NDArray[np.int64]]:
        """For each text (rows,), the column of the most probable class; arguments as for `evaluate`."""
        return [one.astype(np.int64) for one in self._evaluated(coalitions, lambda rows, _: rows.argmax(1))]

    def evaluate_texts(self, text: int, texts: Sequence[str]) -> Floats:
        """(m,), the output of one text's target for m other texts; for packages that make their own texts."""
        self.queries[text] += len(set(texts))
        return self._output(self._scores(list(texts)), np.full(len(texts), text))

    def _evaluated(
        self, coalitions: Sequence[Coalitions], reduce: Callable[[Floats, NDArray[np.int64]], NDArray[Any]]
    ) -> list[Floats]:
        """For each text and coalition what `reduce` makes of scores (rows, classes) and numbers of texts (rows,)."""
        for one, rows in zip(self.texts, coalitions, strict=True):
            if rows.ndim != 2 or rows.shape[1] != len(one):
                raise BadInput(
                    f"coalitions of shape {rows.shape} for {shortened(one.text)}",
                    f"use (rows, {len(one)}): one column for each word",
                )
        different = [_different(rows) for rows in coalitions]
        counts = [len(first) for first, _ in different]
        text_of, start_of = np.repeat(np.arange(len(counts)), counts), np.cumsum([0, *counts])
        found = np.empty(len(text_of))
        for chunk in self._chunks(counts):
            masked = list[str]()
            for text in np.unique(text_of[chunk]):
                rows = chunk[text_of[chunk] == text] - start_of[text]
                names = self.texts[text].mask(coalitions[text][different[text][0][rows]])
                self.queries[text] += len(set(names))
                masked += names
            found[chunk] = reduce(self._scores(masked), text_of[chunk])
        parts = np.split(found, start_of[1:-1])
        return [values[number] for values, (_, number) in zip(parts, different, strict=False)]

    def _chunks(self, counts: list[int]) -> Iterator[NDArray[np.int64]]:
        """The numbers of all queries, text by text, in parts of bounded size."""
        least = CHARACTERS_AT_ONCE // TEXTS_AT_ONCE
        characters = np.repeat([max(len(one.text) + 1, least) for one in self.texts], counts)
        ends = np.flatnonzero(np.diff(np.cumsum(characters) // CHARACTERS_AT_ONCE)) + 1
        return (part for part in np.split(np.arange(len(characters)), ends) if len(part))

    def _scores(self, texts: list[str]) -> Floats:
        """(m, classes), probabilities, or logits where log-odds are wanted and the classifier has logits."""
        if not texts:  # scikit-learn's models refuse an empty list
            return np.empty((0, len(self.classifier.classes_)), np.float64)
        query = self.classifier.decision_logits if self._logits else self.classifier.predict_proba
        found: Floats = predict_unique(
            lambda part: check_scores(self.classifier, query(part), len(part)), texts, TEXTS_AT_ONCE
        )
        return found

    def _output(self, rows: Floats, texts: NDArray[np.int64]) -> Floats:
        at, columns = np.arange(len(rows)), self.columns[texts]
        if self.output == "probability":
            return rows[at, columns]
        if self.foils is not None:
            rows, columns = rows[at[:, None], np.stack([columns, self.foils[texts]], 1)], np.zeros_like(columns)
            if not self._logits:
                rows = np.maximum(rows, np.finfo(np.float32).tiny)  # both may be next to impossible
                rows = rows / rows.sum(1, keepdims=True)
        if not self._logits:
            p = rows[at, columns].clip(_SMALLEST, 1 - _SMALLEST)
            return np.asarray(np.log(p) - np.log1p(-p), np.float64)
        others = rows.copy()
        others[at, columns] = -np.inf
        return np.asarray(rows[at, columns] - logsumexp(others, axis=1), np.float64)

    @property
    def _logits(self) -> bool:
        return self.output == "log-odds" and hasattr(self.classifier, "decision_logits")

    # ---- tokens, random numbers ------------------------------------------------------------------------------

    @cached_property
    def alignment(self) -> TokenAlignment:
        """The texts' tokens and which words they belong to.

        Raises:
            BadInput: a classifier without a torch module, or whose tokenizer does not tell where its tokens are.
        """
        check_differentiable(self.classifier)
        return align(self.classifier, self.texts)

    def random(self, text: int, seed: int) -> np.random.Generator:
        """Random numbers that depend on the seed and this text alone, not on the texts beside it."""
        check_seed(seed)
        digest = hashlib.sha256(self.texts[text].text.encode("utf-8", "surrogatepass")).digest()
        return np.random.default_rng([int(seed), int.from_bytes(digest[:8], "big")])

    # ---- results ---------------------------------------------------------------------------------------------

    def attribution(
        self, text: int, scores: Floats, base: float, method: str, error: float = float("nan"), kind: str = "none"
    ) -> Attribution:
        """The explanation of a text; one without words has no score, and no error."""
        if not len(scores):
            base, error = self.full_outputs[text], 0.0
        return Attribution(
            self.texts[text].text, self.texts[text].words, scores, float(base), float(self.full_outputs[text]),
            self.classifier.classes_[self.columns[text]], method, self.output, float(error), kind,
            int(self.queries[text]), foil=None if self.foils is None else self.classifier.classes_[self.foils[text]],
        )  # fmt: skip


def _different(rows: Coalitions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each different row comes first, and for each row its number among these."""
    packed = np.pad(np.packbits(rows, axis=1), ((0, 0), (0, 1)))  # one byte at least
    _, first, numbers = np.unique(packed.view(f"V{packed.shape[1]}")[:, 0], return_index=True, return_inverse=True)
    return first, numbers


def align(classifier: Any, texts: Sequence[MaskableText]) -> TokenAlignment:
    """Which tokens of a classifier's tokenizer belong to which words."""
    of_characters = [one.word_of_characters() for one in texts]
    return TokenAlignment.of(classifier.tokenizer_, [one.text for one in texts], of_characters, classifier.max_length)


def warn_of_unread_words(classifier: Any, texts: Sequence[MaskableText]) -> None:
    """Warns of words beyond the `max_length` tokens of a classifier whose tokenizer tells where its tokens are."""
    tokenizer, most = getattr(classifier, "tokenizer_", None), getattr(classifier, "max_length", None)
    if most is None or not getattr(tokenizer, "is_fast", False):
        return
    alignment = align(classifier, texts)
    unread = [sum(word.spans[0][0] >= end for word in one.words) if cut else 0
              for one, end, cut in zip(texts, alignment.ends, alignment.cut, strict=True)]  # fmt: skip
    if any(unread):
        warnings.warn(
            f"{sum(unread)} words of {sum(map(bool, unread))} of {len(texts)} texts are beyond the {most} tokens that "
            "the classifier reads",
            stacklevel=3,
        )


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
