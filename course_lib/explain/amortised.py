"""Shapley values in one forward pass: a student that learned them from a slow method (Yang et al. 2023,
arXiv:2305.19998).

The student is the classifier's own encoder with a linear layer on every token; a word's score is the sum over its
pieces. It is trained on the values that `kernel_shap` gives for texts without labels. What it says of another text is a
guess with a known error: its gap on texts that were held out.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import Batch, LengthBuckets, check_texts, collate, sorted_batches
from course_lib.classifier import TextClassifier
from course_lib.classifier.model import new_head
from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.faithfulness import rank_correlation
from course_lib.explain.game import Game, check_seed
from course_lib.explain.kernel_shap import kernel_shap
from course_lib.explain.pieces import Pieces
from course_lib.training import History, TrainingConfig, train

TRAINING = TrainingConfig(epochs=5, learning_rate=1e-4)
HELD_OUT = 0.1  # of the training texts
FEWEST = 20  # texts: two of them are held out
KIND = "root mean square gap"


class TokenScores(nn.Module):
    """An encoder with a linear layer on each token's state.

    Probabilities sum to 1 over classes, so a word's Shapley values sum to 0 over them: the mean is taken off.

    Args:
        bert: transformers' `BertModel`; it is not copied.
        classes: how many.
        unit: size of the scores that are learned; outputs are in it, so that the weights see numbers near 1.
    """

    bert: Any

    def __init__(self, bert: nn.Module, classes: int, unit: float) -> None:
        super().__init__()
        self.bert = bert
        self.bert.pooler = None
        self.classifier = new_head(self.bert.config.hidden_size, classes)
        self.unit = unit

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Float[Tensor, "batch seq classes"]:
        """Scores of every token for every class, in `unit`."""
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        scores: Tensor = self.classifier(states)
        return scores - scores.mean(-1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Amortised:
    """An explainer that asks the classifier only for a text's output with and without its words.

    Attributes:
        classifier: whose answers it explains.
        module: the student.
        error: root mean square gap between a word's score, uncorrected, and its `kernel_shap` value, over all words of
            the held-out texts; a probability.
        correlation: mean rank correlation of the two in the held-out texts; nan where none can be ranked.
        held_out: how many texts these figures rest on.
        history: of the training.
    """

    classifier: TextClassifier
    module: TokenScores
    error: float
    correlation: float
    held_out: int
    history: History

    def explain(self, texts: Sequence[str], *, target: Any = None, efficient: bool = True) -> list[Attribution]:
        """Guesses every word's Shapley value of the target's probability, one forward pass a text.

        Two more queries a text give `value` and `base_value`. The error that each states is that of the held-out texts.

        Args:
            texts: n strings; words beyond what the classifier reads get 0 before the correction.
            target: as in `explain`.
            efficient: shifts all scores of a text by the same number, so that they add up to value - base_value as
                Shapley values do: the nearest scores that add up (Jethani et al. 2022, arXiv:2107.07436). Without it
                `gap` tells by how much they miss.

        Raises:
            BadInput: an unknown target, an item that is not a string.
        """
        game = Game(self.classifier, texts, target=target)
        empty, scores = game.empty, _scores(self.module, Pieces.of(game), np.arange(len(game.texts)))
        if efficient:
            scores = [_adding_up(one, full - base)
                      for one, full, base in zip(scores, game.full, empty, strict=True)]  # fmt: skip
        return [game.attribution(i, one, empty[i], "amortised", self.error, KIND) if len(one)
                else game.nothing_to_say(i, "amortised", KIND) for i, one in enumerate(scores)]  # fmt: skip


def _adding_up(scores: Floats, change: float) -> Floats:
    return np.asarray(scores + (change - scores.sum()) / max(1, len(scores)), np.float64)


def amortise(
    classifier: TextClassifier,
    texts: Sequence[str],
    *,
    samples: int | None = None,
    taught: Sequence[Attribution] | None = None,
    training: TrainingConfig | None = None,
    seed: int = 0,
) -> Amortised:
    """Trains a student on the Shapley values of some texts, each for the class that the classifier gives it.

    A tenth of the different texts is held out, for the error. The classifier stays as it is.

    Args:
        classifier: fitted, on a BERT encoder.
        texts: at least 20 different ones with words, of the kind that will be explained; no labels are needed.
        samples: coalitions asked of each for `kernel_shap`. Few will do: the student averages over texts what each
            value is off.
        taught: values of these texts that are there already, in their order, of the probability of each text's
            likeliest class; then nothing is asked for them.
        training: hyper-parameters; 5 epochs at 1e-4 when left out. Its seed is not used.
        seed: of coalitions, the held-out part, the new layer and the training's order.

    Raises:
        BadInput: a classifier that is no fitted BERT, too few texts, scores that are all 0, too few samples, values
            of other texts, words, classes or outputs.
    """
    check_seed(seed)
    if getattr(getattr(classifier, "module_", None), "bert", None) is None:
        raise BadInput(f"a {type(classifier).__name__} without a BERT", "give a fitted TextClassifier on a BERT")
    game = Game(classifier, list(dict.fromkeys(check_texts(texts))))
    with_words = np.flatnonzero([len(one) > 0 for one in game.players])
    if len(with_words) < FEWEST:
        raise BadInput(f"{len(with_words)} different texts hold words", f"give at least {FEWEST}; thousands are better")
    values = _values(game, texts, taught) if taught is not None else kernel_shap(game, samples=samples, seed=seed)
    scores = [one.scores for one in values]
    unit = float(np.sqrt(np.mean(np.concatenate(scores) ** 2)))
    if not unit:
        raise BadInput(
            "every word's value is 0", "the classifier says the same of all texts: there is nothing to learn"
        )
    machine.seed_everything(seed)
    bert: nn.Module = copy.deepcopy(classifier.module_.bert)  # type: ignore[assignment]
    module = TokenScores(bert, len(classifier.classes_), unit)
    module.to(machine.device())
    order = np.random.default_rng(seed).permutation(with_words)
    held_out, learned = np.split(order, [max(2, round(HELD_OUT * len(order)))])
    pieces = Pieces.of(game)
    history = _teach(module, pieces, scores, learned, replace(training or TRAINING, seed=seed))
    error, correlation = _measured(_scores(module, pieces, held_out), [scores[row] for row in held_out])
    return Amortised(classifier, module, error, correlation, len(held_out), history)


def _values(game: Game, texts: Sequence[str], taught: Sequence[Attribution]) -> list[Attribution]:
    """The explanations that were given, one for each different text."""
    if [one.text for one in taught] != list(texts):
        raise BadInput(f"taught has {len(taught)} explanations, not those of the {len(texts)} texts", "give one a text")
    of = {one.text: one for one in taught}
    classes = game.classifier.classes_.tolist()
    for text, players, column in zip(game.texts, game.players, game.columns.tolist(), strict=True):
        one = of[text]
        if one.output != "probability" or one.target != classes[column] or one.tokens != players.words:
            raise BadInput(
                f"{text[:50]!r} was explained for the {one.output} of {one.target!r}, word by word or otherwise",
                f"explain the probability of {classes[column]!r}, which the classifier gives, with equal words apart",
            )
    return [of[text] for text in game.texts]


def _teach(
    module: TokenScores, pieces: Pieces, taught: list[Floats], rows: NDArray[np.int64], config: TrainingConfig
) -> History:
    batches = LengthBuckets([pieces.ids[row] for row in rows], config.batch_size, config.seed, pieces.pad_id)
    lesson = _Lesson(pieces, taught, rows)
    return train(module, batches, lesson, config)


class _Lesson:
    """The mean squared gap of a batch's words, in the student's unit.

    Args:
        pieces: of all texts.
        taught: each text's scores.
        rows: which of the texts are learned; a batch's index counts among them.
    """

    def __init__(self, pieces: Pieces, taught: list[Floats], rows: NDArray[np.int64]) -> None:
        self.pieces, self.taught, self.rows = pieces, taught, rows

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(module, TokenScores)  # train() hands back what `_teach` gave it
        texts = self.rows[batch.index.cpu().numpy()]
        of_target = _of_target(module(batch.input_ids, batch.attention_mask), self.pieces.game.columns[texts])
        wanted = [self.taught[text] for text in texts]
        first = np.cumsum([0, *(len(one) for one in wanted)])  # words of the batch stand in one row
        place = np.full(of_target.shape, first[-1])  # what is no piece of a word is added behind them
        for row, (text, start) in enumerate(zip(texts, first, strict=False)):
            owner = self.pieces.owners[text]
            place[row, : len(owner)] = np.where(owner >= 0, start + owner, first[-1])
        sums = of_target.new_zeros(int(first[-1]) + 1)
        sums = sums.index_add(0, torch.from_numpy(place.ravel()).to(sums.device), of_target.flatten())
        goal = torch.from_numpy(np.concatenate(wanted) / module.unit).to(sums)
        return (sums[:-1] - goal).square().mean()


def _of_target(scores: Float[Tensor, "batch seq classes"], columns: NDArray[np.int64]) -> Float[Tensor, "batch seq"]:
    """Each row's scores for its own class."""
    wanted = torch.from_numpy(columns).to(scores.device)
    return scores[torch.arange(len(scores), device=scores.device), :, wanted].float()


def _scores(module: TokenScores, pieces: Pieces, rows: NDArray[np.int64]) -> list[Floats]:
    """The scores of each of these texts' words, (n,), for its target, in probability."""
    done: dict[int, Floats] = {}
    module.eval()
    for part in sorted_batches([len(pieces.ids[row]) for row in rows], machine.preset().predict_tokens):
        texts = rows[part]
        batch = collate(pieces.ids, texts, pieces.pad_id).to(machine.device())
        with torch.inference_mode():
            scores = _of_target(module(batch.input_ids, batch.attention_mask), pieces.game.columns[texts])
        for text, of_tokens in zip(texts.tolist(), scores.cpu().numpy(), strict=True):
            done[text] = pieces.by_word(text, of_tokens) * module.unit
    return [done[row] for row in rows.tolist()]


def _measured(said: list[Floats], taught: list[Floats]) -> tuple[float, float]:
    """Root mean square gap over words, and mean rank correlation over texts."""
    gaps = np.concatenate(said) - np.concatenate(taught)
    ranked = [rank_correlation(one, other) for one, other in zip(said, taught, strict=True)]
    known = [one for one in ranked if one == one]
    return float(np.sqrt(np.mean(gaps**2))), float(np.mean(known)) if known else float("nan")
