"""The course's questions about Wikipedia leads, the measures of answers, and what retrieval is worth: two experiments."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from course_lib import assets
from course_lib.errors import BadInput
from course_lib.generation.generate import generate
from course_lib.generation.pretrained import CausalLM
from course_lib.generation.retrieval import BM25, Passage, Retriever, grounded_messages, wikipedia_passages

_WORD = re.compile(r"\w+")
_STEM = 5  # letters by which words are compared: "discovered" supports "discovery"
_REFUSAL = re.compile(
    r"\b(?:(?:do|does|did|is|are|was|were|has|have|can|could)(?: not|n't)|cannot|not (?:specified|mentioned|known|given)"
    r"|no (?:information|mention|such|answer)|unknown|unable|never|sorry|there (?:is|are|was|were) no)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Question:
    """A question of the course's own.

    Attributes:
        question: the text.
        kind: `keywords` (shares words with its passage), `paraphrase` (shares few or none), `absent` (about a thing that
            no passage is about) or `false premise` (takes something wrong for granted).
        title: of the passage that answers it; None where no passage does.
        answers: short answers that are accepted; each is in the passage.
    """

    question: str
    kind: str
    title: str | None
    answers: tuple[str, ...]


@lru_cache
def questions(part: str = "test") -> tuple[Question, ...]:
    """The questions of a part: `validation` (a quarter, to choose prompts with) or `test`.

    Raises:
        BadInput: another part.
    """
    if part not in ("validation", "test"):
        raise BadInput(f"part is {part!r}", 'use "validation" or "test"')
    rows = json.loads((assets.data_folder() / "questions.json").read_text(encoding="utf-8"))
    found = [Question(row["question"], row["kind"], row["title"], tuple(row["answers"])) for row in rows]
    return tuple(one for one in found if (_quarter(one.question) == 0) == (part == "validation"))


def _quarter(text: str) -> int:
    return hashlib.sha256(text.encode()).digest()[0] % 4


def contains_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the accepted answers is in the text, word for word; case, accents and plural endings do not count.

    More lenient than SQuAD's exact match (Rajpurkar et al. 2016, arXiv:1606.05250), since the model writes sentences. It
    also accepts a sentence that contains the right answer among wrong ones.
    """
    words = f" {' '.join(_normal(text))} "
    return any(f" {' '.join(_normal(one))} " in words for one in answers)


def is_refusal(text: str) -> bool:
    """Whether the text says that it does not know, or denies what the question takes for granted. By key words."""
    return not text.strip() or bool(_REFUSAL.search(text.replace("\u2019", "'")))


def unsupported_words(text: str, passages: Sequence[Passage], question: str = "") -> list[str]:
    """The content words and numbers of an answer that are in neither the passages nor the question.

    A crude form of faithfulness (Es et al. 2023, RAGAS, arXiv:2309.15217), which checks statements with a large model.
    Words are compared by their first five letters, and stop words do not count. What it misses: supported words that
    are combined to something wrong. What it accuses wrongly: synonyms, and true statements from outside the passages.
    """
    sources = [question, *(f"{passage.title} {passage.text}" for passage in passages)]
    known = {_stem(word) for source in sources for word in _normal(source)}
    return [word for word in _normal(text) if word not in ENGLISH_STOP_WORDS and len(word) > 1 and _stem(word) not in known]


def _normal(text: str) -> list[str]:
    """Lower-case words without accents and without a plural's s."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).lower()
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in _WORD.findall(plain)]


def _stem(word: str) -> str:
    return word if word.isdigit() else word[:_STEM]


# ---- the studies ---------------------------------------------------------------------------------------------------

RETRIEVAL_RUNS = [
    {"retriever": retriever, "passages": passages} for passages in (1000, 10_032) for retriever in ("bm25", "encoder")
]
ANSWER_RUNS = [
    {"context": "none", "k": 0},
    {"context": "gold", "k": 1},
    {"context": "unrelated", "k": 1},
    *({"context": retriever, "k": k} for retriever in ("bm25", "encoder") for k in (1, 3)),
]
_RETRIEVERS: dict[str, type[BM25 | Retriever]] = {"bm25": BM25, "encoder": Retriever}
_ANSWER_PASSAGES = 1000  # that the answers' study searches
_BATCH = 8  # prompts of similar length at once
_ANSWER_TOKENS = 32
_DATA = ("course_encoder", "wikipedia_leads")


def question_passages(n: int = 400) -> list[Passage]:
    """A collection of n passages: those that answer the course's questions, and others that were drawn once.

    Raises:
        BadInput: n is smaller than the number of passages that have a question, or larger than the number of leads.
    """
    passages = wikipedia_passages()
    wanted = {one.title for part in ("validation", "test") for one in questions(part)} - {None}
    if not len(wanted) <= n <= len(passages):
        raise BadInput(f"n is {n}", f"use a whole number from {len(wanted)} to {len(passages)}")
    drawn = sorted(passages, key=lambda one: (one.title not in wanted, hashlib.sha256(one.title.encode()).digest()))
    kept = {one.title for one in drawn[:n]}
    return [passage for passage in passages if passage.title in kept]


@experiment(
    "retrieval_study",
    cost=lambda config: config["passages"] * (1.0 if config["retriever"] == "encoder" else 0.01),
    tolerance={"recall_at_1": 0.02, "recall_at_3": 0.02, "recall_at_10": 0.02, "mean_reciprocal_rank": 0.02},
    data=_DATA,
)
def retrieval_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The rank of the passage that answers each test question, among `passages` passages.

    `config`: `retriever` (`bm25`, `encoder`), `passages` (a number). `ranks` are in the order of `answerable()`.
    """
    asked = answerable()
    retriever = _RETRIEVERS[config["retriever"]](question_passages(config["passages"]))
    ranks = retriever.ranks([one.question for one in asked], [str(one.title) for one in asked])
    recalls = {f"recall_at_{k}": recall_at_k(ranks, k) for k in (1, 3, 10)}
    return {**recalls, "mean_reciprocal_rank": mean_reciprocal_rank(ranks), "ranks": ranks.tolist()}


def answerable(part: str = "test") -> list[Question]:
    """The questions of a part that a passage answers, in the order of the studies' lists."""
    return [one for one in questions(part) if one.title]


def unanswerable(part: str = "test") -> list[Question]:
    """The questions of a part that no passage answers, in the order of the studies' lists."""
    return [one for one in questions(part) if not one.title]


@experiment(
    "grounded_answer_study",
    cost=lambda config: 1.0 + 2 * config["k"],
    tolerance={"accuracy": 0.03, "refused": 0.03, "unsupported": 0.03, "invented": 0.06},
    data=("smollm2", *_DATA),
)
def grounded_answer_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the decoder answers to the test questions, without a passage and with one.

    `config`: `context`, which is `none` (the question alone), `gold` (the passage that answers it), `unrelated` (another
    question's passage), or a retriever, `bm25` or `encoder`, that searches 1,000 passages; and `k` passages.

    The result has lists of 0 and 1 in the order of `answerable()`: `correct`, `refusal` and `unsupported` (no refusal, and
    a word that is not in the passages; for `none`, not in the gold passage). `invention` is in the order of
    `unanswerable()`, for the retrievers and `none`: an answer that is no refusal. The numbers are their means.
    """
    lm, context = CausalLM.from_pretrained(), config["context"]
    asked = answerable() + ([] if context in ("gold", "unrelated") else unanswerable())
    given = _contexts(asked, context, config["k"])
    texts = _write(lm, [lm.chat_ids(_messages(one, given[one.question])) for one in asked])
    gold = _contexts(answerable(), "gold", 1)
    lists: dict[str, list[int]] = {"correct": [], "refusal": [], "unsupported": [], "invention": []}
    for one, text in zip(asked, texts, strict=True):
        refused = is_refusal(text)
        if one.title is None:
            lists["invention"].append(int(not refused))
            continue
        sources = given[one.question] or gold[one.question]
        lists["correct"].append(int(contains_answer(text, one.answers)))
        lists["refusal"].append(int(refused))
        lists["unsupported"].append(int(not refused and bool(unsupported_words(text, sources, one.question))))
    names = {"accuracy": "correct", "refused": "refusal", "unsupported_rate": "unsupported", "invented": "invention"}
    means = {name: float(np.mean(lists[key])) if lists[key] else None for name, key in names.items()}
    return {**means, **lists}
