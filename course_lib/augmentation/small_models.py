"""Two classifiers that start from nothing: TF-IDF with logistic regression, and a small convolutional network.

They are the kind of model that augmentation was proposed for (Wei & Zou 2019 trained such networks, on GloVe vectors;
this one starts from random word vectors).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from course_lib.augmentation.dataset import Augmented
from course_lib.baselines import tfidf_logistic
from course_lib.classifier import sentence_vectors
from course_lib.text.document import Document

BATCH = 25  # sentences of a step; it divides 50, 100, 500 and 2,000
LENGTH = 30  # words that the network reads
PADDING, UNKNOWN = 0, 1
_RATE = 2e-3  # Adam


class TextCNN(nn.Module):
    """Convolutions over one, two and three words, their maxima, and a linear layer (Kim 2014, arXiv:1408.5882)."""

    def __init__(self, vocabulary: int, classes: int, width: int = 32, filters: int = 16) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        nn.init.normal_(self.embeddings.weight, std=0.1)
        sizes = (1, 2, 3)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, filters, size, padding=size - 1) for size in sizes)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(filters * len(sizes), classes)

    def forward(self, words: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch classes"]:
        """Logits."""
        vectors = self.embeddings(words).transpose(1, 2)
        strongest = [F.relu(convolution(vectors)).amax(2) for convolution in self.convolutions]
        logits: Tensor = self.classifier(self.dropout(torch.cat(strongest, 1)))
        return logits


def fit_tfidf(made: Augmented, texts: Sequence[str]) -> NDArray[Any]:
    """Predictions of TF-IDF and logistic regression; an original and its copies weigh together as much as one sentence.

    Returns:
        (n,) a label for each of `texts`.
    """
    weights = 1 / np.bincount(made.origin)[made.origin]
    predicted: NDArray[Any] = (
        tfidf_logistic().fit(made.texts, made.labels, logistic__sample_weight=weights).predict(list(texts))
    )
    return predicted


def fit_probe(made: Augmented) -> LogisticRegression:
    """Logistic regression on the sentence vectors of the course's encoder; weights as in `fit_tfidf`."""
    weights = 1 / np.bincount(made.origin)[made.origin]
    return LogisticRegression(max_iter=2000).fit(sentence_vectors(made.texts), made.labels, weights)


def fit_cnn(made: Augmented, texts: Sequence[str], steps: int, seed: int) -> NDArray[Any]:
    """Predictions of a `TextCNN` after so many steps of 25 sentences.

    Returns:
        (n,) a label for each of `texts`.
    """
    torch.manual_seed(seed)
    words = [_words(text) for text in made.texts]
    number = {word: at for at, word in enumerate(sorted(set().union(*words)), start=2)}
    classes, targets = np.unique(made.labels, return_inverse=True)
    rows, wanted = _numbers(words, number), torch.tensor(targets)
    network = TextCNN(len(number) + 2, len(classes))
    optimizer = torch.optim.Adam(network.parameters(), _RATE)
    for batch in _batches(len(rows), steps, seed):
        loss = F.cross_entropy(network(rows[batch]), wanted[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        predicted: NDArray[Any] = classes[network(_numbers([_words(text) for text in texts], number)).argmax(1).numpy()]
    return predicted


def _batches(rows: int, steps: int, seed: int) -> Int[Tensor, "steps batch"]:
    """Row numbers of each step: one random order of all rows after the other."""
    draw = np.random.default_rng(seed)
    orders = [draw.permutation(rows) for _ in range(steps * BATCH // rows + 1)]
    return torch.tensor(np.concatenate(orders)[: steps * BATCH].reshape(steps, BATCH))


def _words(text: str) -> list[str]:
    return [word.lower() for word in Document.of(text).words[:LENGTH]]


def _numbers(words: Sequence[Sequence[str]], number: dict[str, int]) -> Int[Tensor, "texts seq"]:
    """Numbers of the words, padded."""
    rows = [[number.get(word, UNKNOWN) for word in text] for text in words]
    return torch.tensor([row + [PADDING] * (LENGTH - len(row)) for row in rows])
