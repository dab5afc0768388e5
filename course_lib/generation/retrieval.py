"""Retrieval-augmented generation (Lewis et al. 2020, arXiv:2005.11401): find passages, answer from them, name sources.

Two retrievers with one interface: `Retriever` compares sentence vectors (Reimers and Gurevych 2019, arXiv:1908.10084),
`BM25` counts shared words (Robertson and Zaragoza 2009, doi:10.1561/1500000019).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from course_lib.batching import check_texts
from course_lib.classifier import sentence_vectors
from course_lib.errors import BadInput
from course_lib.generation.decoding import generate
from course_lib.generation.pretrained import CausalLM
from course_lib.pretraining.documents import documents

PASSAGE_WORDS = 64  # what follows is often detail; Karpukhin et al. 2020 (arXiv:2004.04906) take 100
REFUSAL = "I don't know."
# Four wordings gave 9 to 11 right answers to 24 validation questions: the wording is not what decides.
GROUNDED_PROMPT = (
    "Answer the question in one short sentence, using only the passage. If the passage does not contain the answer, "
    f'write "{REFUSAL}"\n\nPassage: {{passages}}\n\nQuestion: {{question}}'
)
# BM25: how soon repetitions of a word stop to count, and how much longer passages are discounted, from 0 to 1.
K1, B = 1.2, 0.75  # as Robertson and Zaragoza recommend
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Passage:
    """A text that answers may rest on, with the title that names it as a source."""

    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.title}: {self.text}"


@dataclass(frozen=True)
class Hit:
    """A passage that was found. A higher score is a better match; scores of two retrievers cannot be compared."""

    passage: Passage
    score: float


def wikipedia_passages() -> list[Passage]:
    """The first paragraphs of 10,032 Wikipedia articles, by title, each cut after 64 words.

    Raises:
        Offline: the asset `wikipedia_leads` is missing and cannot be fetched.
    """
    leads = documents(("wikipedia_leads",))
    return [Passage(lead.name, " ".join(lead.text.split()[:PASSAGE_WORDS])) for lead in leads]


class PassageRanker:
    """What both retrievers have in common: the passages, the checks, and the order by score."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = list(passages)
        if not self.passages:
            raise BadInput("there are no passages", "give at least one Passage(title, text)")

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Shape (queries, passages)."""
        raise NotImplementedError

    def search(self, query: str, k: int = 3) -> list[Hit]:
        """The k best passages, the best first; equal scores in the order of the passages.

        Raises:
            BadInput: the query is empty or no string, or k is not between 1 and the number of passages.
        """
        _check_queries([query])
        if not 1 <= k <= len(self.passages):
            raise BadInput(f"k is {k}", f"use a whole number from 1 to {len(self.passages)}, the number of passages")
        scores = self.scores([query])[0]
        return [Hit(self.passages[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")[:k]]

    def ranks(self, queries: Sequence[str], titles: Sequence[str]) -> NDArray[np.int64]:
        """The rank, from 1 on, that each query's own passage gets among all passages. Shape (queries,).

        Args:
            queries: n questions.
            titles: the title of the passage that answers each.

        Raises:
            BadInput: different lengths, an empty query, or a title that no passage has.
        """
        _check_queries(queries)
        place = {passage.title: number for number, passage in enumerate(self.passages)}
        if len(queries) != len(titles):
            raise BadInput(f"{len(queries)} queries and {len(titles)} titles", "give the title of one passage for each")
        if unknown := [title for title in titles if title not in place]:
            raise BadInput(f"no passage has the title {unknown[0]!r}", "give titles of the passages")
        order = np.argsort(-self.scores(queries), axis=1, kind="stable")
        return np.asarray(np.argmax(order == np.array([[place[title]] for title in titles]), axis=1) + 1)


class Retriever(PassageRanker):
    """Exact search by cosine similarity of the course encoder's sentence vectors.

    Indexing reads every passage once: about 50 passages of 64 words a second on one core. A search then compares the
    query with all of them, which takes a millisecond for 10,000.

    Args:
        passages: at least one; the title is read as the beginning of the text.

    Attributes:
        vectors: shape (passages, 384), each of length 1.

    Raises:
        BadInput: there are no passages.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        super().__init__(passages)
        self.vectors = _unit_vectors([str(passage) for passage in self.passages])

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Cosine similarity of each query with each passage. Shape (queries, passages)."""
        return np.asarray(_unit_vectors(queries) @ self.vectors.T)


class BM25(PassageRanker):
    """Scores by shared words: rare words count more, repeated ones less and less, long passages less.

    Args:
        passages: at least one; the title is read as the beginning of the text.

    Raises:
        BadInput: there are no passages.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        super().__init__(passages)
        counts = [Counter(_words(str(passage))) for passage in self.passages]
        self._column = {word: number for number, word in enumerate(sorted(set().union(*counts)))}
        self._weights = self._term_weights(counts)

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Shape (queries, passages)."""
        columns = [[self._column[word] for word in _words(query) if word in self._column] for query in queries]
        return np.stack([self._weights[:, found].sum(1) for found in columns])

    def _term_weights(self, counts: Sequence[Counter[str]]) -> csr_array:
        """(passages, words): idf * tf (k1 + 1) / (tf + k1 (1 - b + b length / mean length)).

        Inside the idf's logarithm is 1 + the odds, as Lucene has it, so that no word counts against a passage.
        """
        rows = np.repeat(np.arange(len(counts)), [len(count) for count in counts])
        columns = np.array([self._column[word] for count in counts for word in count], dtype=np.int64)
        tf = np.array([n for count in counts for n in count.values()], dtype=np.float64)
        lengths = np.array([count.total() for count in counts], dtype=np.float64)
        n_with = np.bincount(columns, minlength=len(self._column))
        idf = np.log1p((len(counts) - n_with + 0.5) / (n_with + 0.5))
        discount = K1 * (1 - B + B * lengths / max(lengths.mean(), 1.0))
        values = idf[columns] * tf * (K1 + 1) / (tf + discount[rows])
        return csr_array((values, (rows, columns)), shape=(len(counts), len(self._column))).astype(np.float32)


class RankFusion(PassageRanker):
    """Reciprocal rank fusion (Cormack et al. 2009, SIGIR): the sum of 1 / (60 + rank) over several rankers.

    Ranks need no common scale, which cosine similarities and BM25 scores lack.

    Args:
        rankers: at least one, all with the same passages in the same order.

    Raises:
        BadInput: there are no rankers, or their passages differ.
    """

    def __init__(self, rankers: Sequence[PassageRanker]) -> None:
        super().__init__(rankers[0].passages if rankers else [])
        if any(ranker.passages != self.passages for ranker in rankers):
            raise BadInput("the rankers have different passages", "make all of them from the same list")
        self.rankers = list(rankers)

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Shape (queries, passages)."""
        orders = [np.argsort(-ranker.scores(queries), axis=1, kind="stable") for ranker in self.rankers]
        return np.asarray(sum(1 / (61 + np.argsort(order, axis=1)) for order in orders), dtype=np.float32)


def recall_at_k(ranks: ArrayLike, k: int) -> float:
    """The fraction of queries whose own passage is among the first k. `ranks` are counted from 1, shape (queries,)."""
    return float((_checked_ranks(ranks) <= k).mean())


def mean_reciprocal_rank(ranks: ArrayLike) -> float:
    """The mean of 1 / rank: 1 where the right passage always comes first. `ranks`, shape (queries,)."""
    return float((1 / _checked_ranks(ranks)).mean())


@dataclass(frozen=True)
class GroundedAnswer:
    """What the model wrote, and the passages that it was given, the best first. `sources` are their titles."""

    text: str
    passages: tuple[Passage, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(passage.title for passage in self.passages)


def grounded_messages(question: str, passages: Sequence[Passage]) -> list[dict[str, str]]:
    """The conversation that tells a model to answer from the passages only, and to say "I don't know." otherwise.

    Raises:
        BadInput: the question is empty or no string, or there is no passage.
    """
    _check_queries([question])
    if not passages:
        raise BadInput("there are no passages", "give at least one Passage(title, text)")
    content = GROUNDED_PROMPT.format(passages="\n\n".join(map(str, passages)), question=question.strip())
    return [{"role": "user", "content": content}]


def answer(
    lm: CausalLM, retriever: PassageRanker, question: str, k: int = 1, max_new_tokens: int = 40
) -> GroundedAnswer:
    """Searches k passages and answers from them, greedily.

    Raises:
        BadInput: as `search` and `generate` do.
    """
    passages = tuple(hit.passage for hit in retriever.search(question, k))
    prompt = lm.chat_ids(grounded_messages(question, passages))
    return GroundedAnswer(generate(lm, prompt, max_new_tokens=max_new_tokens)[0].text, passages)


def _unit_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    vectors = sentence_vectors(texts)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _check_queries(queries: Sequence[str]) -> None:
    if not all(query.strip() for query in check_texts(queries, "queries")):
        raise BadInput("a query is empty", "write a question with some words")


def _checked_ranks(ranks: ArrayLike) -> NDArray[np.int64]:
    checked = np.asarray(ranks)
    if checked.ndim != 1 or not len(checked) or (checked < 1).any():
        raise BadInput(f"ranks are {ranks!r:.80}", "give one rank for each query, counted from 1")
    return checked
