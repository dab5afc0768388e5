"""What the parts of `bench_explain` share: the model, the sentences, the packages as their manuals show them, turns."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from course_lib import corpora, machine
from course_lib.classifier import TextClassifier
from course_lib.explain import MaskableText
from course_lib.explain.attribution import Floats

from .claims import Claim
from .clock import take_turns
from .saved_models import course_model_folder

FEWEST_WORDS = 5  # of a sentence: ranks of fewer words say little
POSITIVE = 1  # the class that is explained, for both sides
REFERENCE_SEED = 1000  # of what estimates are held against; theirs begin at 0
Row = dict[str, Any]
Predict = Callable[[Sequence[str]], Floats]
Said = TypeVar("Said")


class Subject:
    """The course's fine-tuned model of movie reviews, read when it is first wanted."""

    @cached_property
    def folder(self) -> Path:
        """Where it lies, in transformers' form."""
        return course_model_folder()

    @cached_property
    def classifier(self) -> TextClassifier:
        """It as the course asks it."""
        return TextClassifier.from_pretrained(self.folder)


@dataclass(frozen=True)
class Part:
    """One part of the benchmark.

    Attributes:
        rows: measures; each row is kept when it is there.
        claims: what the rows say.
        heading: of the table.
        line: a row of the table.
        notes: sentences that are printed below the claims, and kept.
    """

    rows: Callable[[Subject, argparse.Namespace], Iterator[Row]]
    claims: Callable[[Sequence[Row]], list[Claim]]
    heading: tuple[str, ...]
    line: Callable[[Row], tuple[str, ...]]
    notes: Callable[[Sequence[Row]], list[str]]


def sentences(n: int, most_words: int = 1000, seed: int = 0) -> list[str]:
    """So many different sentences of the movie reviews' test part, of at least 5 words, drawn with a fixed seed."""
    texts = list(dict.fromkeys(corpora.part("movie_reviews", "test")["text"]))
    fitting = [text for text in texts if FEWEST_WORDS <= len(MaskableText.of(text)) <= most_words]
    order = np.random.default_rng(seed).permutation(len(fitting))
    return [fitting[i] for i in order[:n]]


def pipeline(folder: Path, **settings: Any) -> Any:
    """`transformers.pipeline` with all classes' probabilities."""
    import transformers

    return transformers.pipeline(
        "text-classification", model=str(folder), tokenizer=str(folder), device=machine.device(), top_k=None, **settings
    )


def predictor(pipe: Any) -> Predict:
    """A pipeline's probabilities as a table, which is what the `lime` package asks for."""
    order = [pipe.model.config.id2label[i] for i in range(pipe.model.config.num_labels)]

    def predict(texts: Sequence[str]) -> Floats:
        answers = [{one["label"]: one["score"] for one in answer} for answer in pipe(list(texts))]
        return np.array([[answer[name] for name in order] for answer in answers])

    return predict


def stock_lime(predict: Predict, text: str, samples: int, seed: int = 0) -> Floats:
    """(n,), what the `lime` package says of each different word of a text, in the order of their first places."""
    from lime.lime_text import LimeTextExplainer

    words = [word.text for word in MaskableText.of(text, bow=True).words]
    explainer = LimeTextExplainer(class_names=["negative", "positive"], random_state=seed)
    said = explainer.explain_instance(text, predict, num_features=len(words), num_samples=samples)
    score_of = dict(said.as_list(label=POSITIVE))
    return np.array([score_of[word] for word in words])


def in_turns(
    contenders: Mapping[str, Callable[[str], Said]], texts: Sequence[str]
) -> tuple[dict[str, list[float]], dict[str, list[Said]]]:
    """Seconds and answers of each contender for each text; they take turns text by text, after one text to warm up."""
    for contender in contenders.values():
        contender(texts[0])
    said: dict[str, list[Said]] = {name: [] for name in contenders}

    def next_text(name: str) -> Callable[[], None]:
        left = iter(texts)
        return lambda: said[name].append(contenders[name](next(left)))

    return take_turns({name: next_text(name) for name in contenders}, len(texts)), said
