"""Plain text for pretraining: speeches, Wikipedia leads and news, as documents of sentences in their order.

A whole document is either trained on or held out: neighbouring sentences share names, topics and phrases, so a
split by sentence would measure what the model has already seen.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from course_lib import assets, cleaning, corpora
from course_lib.cleaning import clean_text, normalise
from course_lib.errors import BadInput

# FIXED: another rate moves documents between the parts, and every held-out figure measured before would be void.
HELD_OUT_RATE = 0.05
PARTS = ("train", "held_out")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A full stop after one of these never ends a sentence.
_TITLES = _words(
    "mr mrs ms dr st messrs gen col capt lt sgt maj adm brig hon rev prof gov sen rep sens reps pres supt vs viz cf "
    "ca fig figs vol vols pp art arts arr approx lit fl bap al eds"
)
# After one of these it does only when a word follows that begins sentences: "in the U.S. The", not "the U.S. Army".
_EITHER_WAY = _words(
    "jr sr inc co ltd corp bros etc dept no nos jan feb mar apr jun jul aug sept sep oct nov dec ave mt ft esq est sq"
)
_STARTERS = _words(
    "the this that these those it its he she they we you i in on at by for from with as if when while after before "
    "since although though but and however a an our his her their there here thus so to what who why how most many "
    "some all no not one among during under"
)
_END = re.compile(r"""[.!?…]+["'”’)\]]*\s+(?=["'“‘(\[$]*[A-Z0-9À-ÖØ-Þ])""")
_LAST_WORD = re.compile(r"[\w.'’-]+$")
_DOTTED = re.compile(r"[A-Za-z](?:\.[A-Za-z]{1,2})*")  # an initial, "U.S", "Ph.D" (the last stop is cut off)
_ENUMERATOR = re.compile(r"[\"'(“]*(?:\d{1,3}|[IVXLivxl]{1,5}|[A-Za-z])[.)]+")
_FIRST_WORD = re.compile(r"\W*(\w+)")
# What transcribers put in: [Laughter], [see APP Note], [At this point, ... .]; but not "[the States]".
_NOTE = re.compile(r"\[\s*(?:(?i:laughter|applause|inaudible|see app note)[^]]*|[A-Z][^]]*\.)\s*\]")
_MARKS = re.compile(r"(?:•|\*|\|)\s*|_{2,}|[\u200b-\u200f\u2060]")
_NUMBER = re.compile(r"\d\S*")
_WORD = re.compile(r"[^\W\d_]{2,}")
# A lead that only lists meanings: "Sea snake may refer to either of two groups: ...".
_MEANINGS = re.compile(r"[^.]{0,80}\bmay (?:also )?refer to\b[^.]*:")


@dataclass(frozen=True)
class Document:
    """A text in its order, or a piece of one: neighbouring sentences are neighbours in the text.

    Attributes:
        name: of the text, unique within its source; its pieces share it.
        source: "speeches", "wikipedia_leads" or "news".
        sentences: at least one; cleaned, none empty.
    """

    name: str
    source: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """The sentences with one blank between them."""
        return " ".join(self.sentences)


def documents(sources: Sequence[str] = ("speeches", "wikipedia_leads", "news")) -> list[Document]:
    """All documents of these sources, in a fixed order: source by source, then by name or number.

    News articles are the sentences of the corpus `news`; where it lacks a sentence the article is split. Its test split
    is among them: a model that was pretrained here has read those texts, without labels.

    Raises:
        BadInput: an unknown source, none, or one twice.
        Offline, CorruptAsset: as assets.path does.
    """
    source_hashes(sources)
    return [document for source in sources for document in _documents_of(source)]


@lru_cache
def _documents_of(source: str) -> tuple[Document, ...]:
    """Cached, since tokenizer and corpus both read them, and they take a second to make."""
    return tuple(Document(name, source, sentences) for name, sentences in _READ[source]() if sentences)


def source_hashes(sources: Sequence[str]) -> dict[str, str]:
    """Source -> sha256 of its file.

    Raises:
        BadInput: an unknown source, none, or one twice.
    """
    if isinstance(sources, str) or not sources or len(set(sources)) < len(sources) or not set(sources) <= set(_READ):
        raise BadInput(f"sources is {sources!r}", f"give some of {tuple(_READ)}, each once, in a tuple")
    return {source: assets.read_manifest()[_ASSET_OF.get(source, source)].sha256 for source in sources}


def code_files() -> list[Path]:
    """The modules that decide which sentences there are: what is stored under their hash is made again with them."""
    return [Path(str(module.__file__)) for module in (sys.modules[__name__], cleaning.texts, corpora.ratings)]


def documents_of_part(part: str, sources: Sequence[str]) -> list[Document]:
    """The training documents ("train"), or the held-out ones without sentences that are in both ("held_out").

    Raises:
        BadInput: an unknown part or source.
    """
    if part not in PARTS:
        raise BadInput(f"part is {part!r}", f"use one of: {', '.join(PARTS)}")
    every = documents(sources)
    if part == "train":
        return train_documents(every)
    return without_shared(held_out_documents(every), train_documents(every))


def without_shared(kept: Iterable[Document], seen: Iterable[Document]) -> list[Document]:
    """The documents `kept` without the sentences that are also in `seen` (as the same words, `normalise`).

    "God bless America" and "Thank you" are in most speeches: what a model has memorized measures nothing. A document is
    split where a sentence is removed, so that neighbours here are neighbours in the text; the pieces bear its name.
    """
    known = {normalise(sentence) for document in seen for sentence in document.sentences}
    pieces = []
    for document in kept:
        runs = groupby(document.sentences, key=lambda sentence: normalise(sentence) in known)
        pieces += [Document(document.name, document.source, tuple(run)) for shared, run in runs if not shared]
    return pieces


def held_out(document: Document) -> bool:
    """Whether the document is kept for measuring: 5 % of them, by a hash of source and name alone.

    The messages that a president sent in one year are on the same side, because they repeat each other (a written
    message and its spoken summary): their serial number is left out of the hash.
    """
    name = document.name.rpartition("-")[0] if document.source == "speeches" else document.name
    digest = hashlib.sha256(f"{document.source}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < HELD_OUT_RATE


def train_documents(of: Iterable[Document]) -> list[Document]:
    """Those to train on."""
    return [document for document in of if not held_out(document)]


def held_out_documents(of: Iterable[Document]) -> list[Document]:
    """Those to evaluate on."""
    return [document for document in of if held_out(document)]


def sentences_of(text: str) -> tuple[str, ...]:
    """The sentences of a text, in order. A line end always ends one.

    By rule, without a dictionary: a sentence ends at . ! ? or … before white space and a capital letter or a digit,
    unless the full stop belongs to a title (Mr.), an initial (J. S. Bach), an abbreviation (U.S. Army) or a list
    number (2.). "".join(sentences) holds the text's own characters but white space.
    """
    return tuple(sentence for line in text.splitlines() for sentence in _split_line(" ".join(line.split())))


def _split_line(line: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(line):
        if _ends_here(line, start, match):
            yield line[start : match.end()].strip()
            start = match.end()
    if start < len(line):
        yield line[start:]


def _ends_here(line: str, start: int, match: re.Match[str]) -> bool:
    sign = match[0].rstrip()
    if _ENUMERATOR.fullmatch(line[start : match.end()].strip()):
        return False
    if sign != ".":  # "?", "!", '."' and "..." are clear
        return True
    # The longest abbreviation is short: a look at 20 characters keeps this linear.
    before = _LAST_WORD.search(line[max(start, match.start() - 20) : match.start()])
    word = before[0] if before else ""
    if word.lower() in _TITLES:
        return False
    if word.lower() not in _EITHER_WAY and not _DOTTED.fullmatch(word):
        return True
    following = _FIRST_WORD.match(line, match.end())
    return following is not None and following[1].lower() in _STARTERS


def _speeches() -> Iterator[tuple[str, tuple[str, ...]]]:
    for file in sorted((assets.path("speeches") / "speeches").glob("*.txt")):
        yield file.stem, _prose(file.read_text(encoding="utf-8"))


def _wikipedia_leads() -> Iterator[tuple[str, tuple[str, ...]]]:
    articles = json.loads(assets.path("wikipedia_leads").read_text(encoding="utf-8"))
    for title in sorted(articles):
        text = articles[title]["extract"]
        if not _MEANINGS.match(text):
            yield title, _prose(text)


def _news() -> Iterator[tuple[str, tuple[str, ...]]]:
    rows = corpora.raw("news")[["document", "position", "text"]].sort_values("position")
    for name, article in sorted(rows.groupby("document"), key=lambda pair: int(str(pair[0]))):
        numbered = enumerate(zip(article["position"], article["text"], strict=True))
        # Position minus rank grows by one at each sentence that is missing.
        for _, run in groupby(numbered, key=lambda item: item[1][0] - item[0]):
            lines = (clean_text(text) for _, (_, text) in run)
            yield str(name), tuple(line for line in lines if _WORD.search(line))


_ASSET_OF = {"news": "sentiment_ratings"}  # of the other sources it bears their name
_READ: dict[str, Callable[[], Iterator[tuple[str, tuple[str, ...]]]]] = {
    "speeches": _speeches,
    "wikipedia_leads": _wikipedia_leads,
    "news": _news,
}


def _prose(text: str) -> tuple[str, ...]:
    """The sentences of the lines that are prose, without transcribers' notes, bullets and rulers."""
    lines = [clean_text(_MARKS.sub(" ", _NOTE.sub(" ", line))) for line in text.splitlines()]
    prose = "\n".join(line for line in lines if not _is_table(line))
    return tuple(sentence for sentence in sentences_of(prose) if _WORD.search(sentence))


def _is_table(line: str) -> bool:
    """A row of figures: at least three numbers, and no fewer numbers than words."""
    numbers = len(_NUMBER.findall(line))
    return numbers >= 3 and 2 * numbers >= len(line.split())
