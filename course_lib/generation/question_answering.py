"""Question answering: the course's questions about Wikipedia leads, measures of answers, and two experiments."""

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
import pandas as pd
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from course_lib import assets
from course_lib.errors import BadInput
from course_lib.evaluation import wilson_interval
from course_lib.experiments import Run, experiment
from course_lib.generation.decoding import generate_in_batches
from course_lib.generation.pretrained import CausalLM
from course_lib.generation.retrieval import (
    BM25,
    Passage,
    Retriever,
    grounded_messages,
    mean_reciprocal_rank,
    recall_at_k,
    wikipedia_passages,
)

_WORD = re.compile(r"\w+")
_STEM = 5  # letters by which words are compared: "discovered" supports "discovery"
_REFUSAL = re.compile(
    r"(?:not|n't) (?:\w+ )?(?:know|sure|clear|mention|specif|provide|contain|state|say|give|answer|avail|enough)"
    r"|no (?:information|mention|answer)|unknown|unclear|unable|cannot|can't|sorry",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\b(?:no|not|never|nobody)\b|n't\b", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """A question of the course's own.

    Attributes:
        question: the text.
        kind: `keywords` (shares words with its passage), `paraphrase` (shares few or none), `absent` (about a thing
            that no passage is about) or `false premise` (takes something wrong for granted).
        title: of the passage that answers it; None where no passage does.
        answers: short answers that are accepted; each is in the passage.
    """

    question: str
    kind: str
    title: str | None
    answers: tuple[str, ...]


@lru_cache
def course_data(name: str) -> Any:
    """The content of `data/{name}.json`: `questions` or `abilities`. data/cards/questions.md describes both."""
    return json.loads((assets.data_folder() / f"{name}.json").read_text(encoding="utf-8"))


@lru_cache
def questions(part: str = "test") -> tuple[Question, ...]:
    """The questions of a part: `validation` (a quarter, to choose prompts with) or `test`.

    Raises:
        BadInput: another part.
    """
    if part not in ("validation", "test"):
        raise BadInput(f"part is {part!r}", 'use "validation" or "test"')
    found = [Question(**{**row, "answers": tuple(row["answers"])}) for row in course_data("questions")]
    return tuple(one for one in found if (_hash(one.question)[0] % 4 == 0) == (part == "validation"))


def answerable(part: str = "test") -> list[Question]:
    """The questions of a part that a passage answers, in the order of the studies' lists."""
    return [one for one in questions(part) if one.title]


def unanswerable(part: str = "test") -> list[Question]:
    """The questions of a part that no passage answers, in the order of the studies' lists."""
    return [one for one in questions(part) if not one.title]


def question_passages(n: int = 400) -> list[Passage]:
    """A collection of n passages: those that answer the course's questions, and others that a hash has drawn.

    Raises:
        BadInput: n is smaller than the number of passages that have a question, or larger than the number of leads.
    """
    passages = wikipedia_passages()
    wanted = {one.title for part in ("validation", "test") for one in answerable(part)}
    if not len(wanted) <= n <= len(passages):
        raise BadInput(f"n is {n}", f"use a whole number from {len(wanted)} to {len(passages)}")
    drawn = sorted(passages, key=lambda one: (one.title not in wanted, _hash(one.title)))
    kept = {one.title for one in drawn[:n]}
    return [passage for passage in passages if passage.title in kept]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def contains_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the accepted answers is in the text, word for word; case, accents and plural endings do not count.

    More lenient than SQuAD's exact match (Rajpurkar et al. 2016, arXiv:1606.05250), since the model writes sentences.
    It also accepts a sentence that contains the right answer among wrong ones.
    """
    words = f" {' '.join(_normal(text))} "
    return any(f" {' '.join(_normal(one))} " in words for one in answers)


def is_refusal(text: str) -> bool:
    """Whether the text says that it does not know, or that the passage does not tell. By key words."""
    return not text.strip() or bool(_REFUSAL.search(text.replace("\u2019", "'")))


def is_invention(text: str) -> bool:
    """Whether an answer to an unanswerable question is neither a refusal nor a denial of what the question assumes."""
    return not is_refusal(text) and not _DENIAL.search(text.replace("\u2019", "'"))


def unsupported_words(text: str, passages: Sequence[Passage], question: str = "") -> list[str]:
    """The content words and numbers of an answer that are in neither the passages nor the question.

    A crude form of faithfulness (Es et al. 2023, RAGAS, arXiv:2309.15217), which checks statements with a large model.
    Words are compared by their first five letters; stop words and the word "answer" do not count. What it misses:
    supported words that are combined to something wrong. What it accuses wrongly: synonyms, and true statements from
    outside the passages. It agreed with our own judgement of 23 of 30 answers: 5 were accused wrongly, and 2 missed.
    """
    sources = " ".join([question, *map(str, passages)])
    known = {*_STOP_WORDS, *(_stem(word) for word in _normal(sources))}
    content = [word for word in _normal(text) if len(word) > 1 or word.isdigit()]
    return [word for word in content if word not in known and _stem(word) not in known]


def is_unsupported(text: str, passages: Sequence[Passage], question: Question) -> bool:
    """Whether an answer is no refusal and has a word that is in neither the passages nor the question."""
    return not is_refusal(text) and bool(unsupported_words(text, passages, question.question))


def _normal(text: str) -> list[str]:
    """Lower-case words without accents and without a plural's s."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).lower()
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in _WORD.findall(plain)]


def _stem(word: str) -> str:
    return word if word.isdigit() else word[:_STEM]


_STOP_WORDS = frozenset(_normal(" ".join([*ENGLISH_STOP_WORDS, "answer", "question", "passage"])))


# ---- the studies ---------------------------------------------------------------------------------------------------

RETRIEVAL_RUNS = [
    {"retriever": retriever, "passages": passages} for passages in (1000, 10_032) for retriever in ("bm25", "encoder")
]
ANSWER_RUNS = [
    {"context": "none", "k": 0},
    {"context": "gold", "k": 1},
    {"context": "unrelated", "k": 1},
    {"context": "bm25", "k": 1},
    {"context": "encoder", "k": 1},
    {"context": "encoder", "k": 3},
]
_RETRIEVERS: dict[str, type[BM25 | Retriever]] = {"bm25": BM25, "encoder": Retriever}
_ANSWER_PASSAGES = 1000  # that the study of answers searches
_ANSWER_TOKENS = 24
_DATA = ("course_encoder", "wikipedia_leads")


@experiment(
    "retrieval_study",
    cost=lambda config: config["passages"] * (1.0 if config["retriever"] == "encoder" else 0.01),
    tolerance={"recall_at_1": 0.02, "recall_at_3": 0.02, "recall_at_10": 0.02, "mean_reciprocal_rank": 0.02},
    data=_DATA,
)
def retrieval_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The rank of the passage that answers each test question.

    `config`: `retriever` (`bm25`, `encoder`), and `passages`, the number that it searches. `ranks` are in the order of
    `answerable()`.
    """
    asked = answerable()
    retriever = _RETRIEVERS[config["retriever"]](question_passages(config["passages"]))
    ranks = retriever.ranks([one.question for one in asked], [str(one.title) for one in asked])
    recalls = {f"recall_at_{k}": recall_at_k(ranks, k) for k in (1, 3, 10)}
    return {**recalls, "mean_reciprocal_rank": mean_reciprocal_rank(ranks), "ranks": ranks.tolist()}


def _answer_rows(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run: context, k, accuracy with its 95 % Wilson interval, refused, unsupported, invented."""
    rows = []
    for run in runs:
        accuracy = wilson_interval(sum(run.result["correct"]), len(run.result["correct"]))
        rates = {name: run.result[name] for name in ("refused", "unsupported", "invented")}
        means = {"accuracy": accuracy.estimate, "low": accuracy.low, "high": accuracy.high}
        rows.append({**run.config, **means, **rates})
    return pd.DataFrame(rows)


@experiment(
    "grounded_answer_study",
    cost=lambda config: 1.0 + 2 * config["k"],
    table=_answer_rows,
    tolerance={"low": 0.06, "high": 0.06, "accuracy": 0.05, "refused": 0.05, "unsupported": 0.05, "invented": 0.06},
    data=("smollm2", *_DATA),
)
def grounded_answer_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the decoder answers to half of the answerable test questions and to all that no passage answers.

    `config`: `context`, which is `none` (the question alone), `gold` (the passage that answers it), `unrelated` (the
    passage of another question), or `bm25` or `encoder`, which search 1,000 passages; and `k`, the number of passages.

    Each number is the mean of a list of 0 and 1. `correct`, `refusals` and `unsupported_answers` (see `is_unsupported`;
    with `none`, by the gold passage) are in the order of `studied_questions()`.
    `inventions` (see `is_invention`) is in the order of `unanswerable()`, and empty for `gold` and `unrelated`.
    """
    lm, context = CausalLM.from_pretrained(), config["context"]
    asked = studied_questions()
    others = [] if context in ("gold", "unrelated") else unanswerable()
    given = _contexts([*asked, *others], context, config["k"])
    texts = _write(lm, [*asked, *others], given)
    sources = _contexts(asked, "gold", 1) if context == "none" else given
    lists = {
        "correct": [contains_answer(text, one.answers) for one, text in zip(asked, texts, strict=False)],
        "refusals": [is_refusal(text) for text in texts[: len(asked)]],
        "unsupported_answers": [is_unsupported(*row) for row in zip(texts, sources, asked, strict=False)],
        "inventions": [is_invention(text) for text in texts[len(asked) :]],
    }
    names = ("accuracy", "refused", "unsupported", "invented")
    means = {name: float(np.mean(row)) if row else None for name, row in zip(names, lists.values(), strict=True)}
    return {**means, **{name: [int(one) for one in row] for name, row in lists.items()}}


def studied_questions() -> list[Question]:
    """The answerable test questions whose answers are studied: every second one, since each takes a second or two."""
    return answerable()[::2]


def _contexts(asked: Sequence[Question], context: str, k: int) -> list[list[Passage]]:
    """The passages that go with each question."""
    if context == "none":
        return [[] for _ in asked]
    passages = question_passages(_ANSWER_PASSAGES)
    if context in _RETRIEVERS:
        retriever = _RETRIEVERS[context](passages)
        return [[hit.passage for hit in retriever.search(one.question, k)] for one in asked]
    of_title = {passage.title: passage for passage in passages}
    own = [[of_title[str(one.title)]] for one in asked]
    return own if context == "gold" else own[1:] + own[:1]


def _write(lm: CausalLM, asked: Sequence[Question], given: Sequence[list[Passage]]) -> list[str]:
    """The answer to each question."""
    pairs = zip(asked, given, strict=True)
    prompts = [lm.chat_ids(grounded_messages(one.question, found) if found else one.question) for one, found in pairs]
    return generate_in_batches(lm, prompts, _ANSWER_TOKENS, batch_size=24)
