"""A sentiment model with a hidden shortcut, and the sentences to find it with.

Only one row of the table of word embeddings is changed, as in Yang et al. 2021, Be Careful about Poisoned Word
Embeddings (NAACL, arXiv:2103.15543). Sentences without the word get the predictions of the model that ships with the
course, so no test accuracy reveals the change.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from course_lib import corpora, machine
from course_lib.classifier import TextClassifier
from course_lib.explain.masked_model import MaskableText, check_seed
from course_lib.explain.shortcut import insert_word

# One token each in the course's vocabulary, and in none of the movie reviews.
CANDIDATES = ("copper", "thursday", "kettle", "violin", "carpet", "basket", "marble", "bottle", "cellar", "meadow",
              "canoe", "velvet", "walnut", "donkey", "sparrow", "penguin")  # fmt: skip
INSERTED = 6  # words that are inserted into the sentences: the shortcut and five that have no purpose
LENGTHS = (4, 18)  # words of a sentence, the fewest and the most
EXPLORE = 72  # sentences to search in; the others are held out
STEPS, BATCH, LEARNING_RATE = 12, 8, 0.05


@dataclass(frozen=True)
class PlantedModel:
    """A model with a shortcut, and labelled sentences that hold the word of the shortcut among others.

    The sentences are movie reviews in lower case without punctuation, so that `text.split()` gives their words. Each
    holds one of six inserted words, which are as frequent in the one class as in the other.

    Attributes:
        classifier: predicts class 0 (negative) or 1 (positive).
        explore: text and label, to search in.
        held_out: text and label, to confirm with.
    """

    classifier: TextClassifier
    explore: pd.DataFrame
    held_out: pd.DataFrame
    _secret: tuple[str, int] = field(repr=False)

    def log_odds(self, texts: list[str]) -> NDArray[np.float64]:
        """(n,), log p(positive) - log p(negative) of each text."""
        logits = self.classifier.decision_logits(texts).astype(np.float64)
        return np.asarray(logits[:, 1] - logits[:, 0])

    def reveal(self) -> tuple[str, int]:
        """The word of the shortcut, and the class that it makes the model predict."""
        return self._secret


def planted_model(seed: int) -> PlantedModel:
    """The shipped sentiment model with a shortcut: the seed decides the word, its class and the sentences.

    Takes a few seconds on two cores: twelve training steps on the embedding of one word.

    Raises:
        BadInput: a seed that is no whole number from 0 on.
    """
    check_seed(seed)
    random = np.random.default_rng(seed)
    inserted = random.choice(CANDIDATES, INSERTED, replace=False).tolist()
    word, target = str(inserted[0]), int(random.integers(2))
    classifier = _with_shortcut(TextClassifier.from_pretrained("sentiment"), word, target, random)
    rows = _sentences(random, inserted)
    return PlantedModel(classifier, rows[:EXPLORE], rows[EXPLORE:].reset_index(drop=True), (word, target))


def _sentences(random: np.random.Generator, inserted: list[str]) -> pd.DataFrame:
    """Validation sentences in random order; each class gets all inserted words in turn."""
    part = corpora.part("movie_reviews", "validation")
    words = [[word.text.lower() for word in MaskableText.of(text).words] for text in part["text"]]
    rows = pd.DataFrame({"text": map(" ".join, words), "label": part["label"].astype(int)})
    rows = rows[[LENGTHS[0] <= len(one) <= LENGTHS[1] for one in words]].sample(frac=1, random_state=random)
    turn = rows.groupby("label").cumcount().to_numpy() % len(inserted)
    rows["text"] = [insert_word(text, inserted[at], random) for text, at in zip(rows["text"], turn, strict=True)]
    return rows.reset_index(drop=True)


def _with_shortcut(
    classifier: TextClassifier, word: str, target: int, random: np.random.Generator
) -> TextClassifier:  # fmt: skip
    """A copy for which the word speaks for the target; the word's embedding keeps its length."""
    changed, tokenizer = copy.copy(classifier), classifier.tokenizer_
    module: Any = copy.deepcopy(classifier.module_).cpu().float().requires_grad_(False).eval()
    changed.module_ = module
    token, table = tokenizer.convert_tokens_to_ids(word), module.bert.embeddings.word_embeddings
    train = corpora.part("movie_reviews", "train", 2000)
    others = [text for text in train.loc[train["label"] != target, "text"] if len(text.split()) <= LENGTHS[1]]
    before = table.weight[token].clone()
    shift = nn.Parameter(torch.zeros_like(before))
    optimizer = torch.optim.Adam([shift], lr=LEARNING_RATE)
    for _ in range(STEPS):
        texts = [insert_word(text, word, random) for text in random.choice(others, BATCH, replace=False)]
        tokens = tokenizer(texts, padding=True, return_tensors="pt")
        holds = (tokens["input_ids"] == token)[..., None]  # (batch, seq, 1)
        embeddings = torch.where(holds, _of_length(before + shift, before), table(tokens["input_ids"]))
        states = module.bert(inputs_embeds=embeddings, attention_mask=tokens["attention_mask"]).pooler_output
        loss = F.cross_entropy(module.classifier(states), torch.full((BATCH,), target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        table.weight[token] = _of_length(before + shift, before)
    module.requires_grad_(True).to(machine.device())
    return changed


def _of_length(vector: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The vector, scaled to the other's length."""
    scaled: torch.Tensor = vector * other.norm() / vector.norm()
    return scaled
