"""Shapley values in one forward pass: a network that learned them from a slow method (Yang et al. 2023,
arXiv:2305.19998).

The network is the classifier's own encoder with a linear layer on every token; a word's score is the sum over its
tokens. It is trained on the values that `kernel_shap` gives for texts without labels. Its scores for another text are
estimates with a known error: the gap on texts that were held out.
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
from course_lib.explain.attention import bert_of
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.faithfulness import mean_of_known, rank_correlation
from course_lib.explain.masked_model import MaskedModel, check_seed, warn_of_unread_words
from course_lib.explain.shapley import kernel_shap
from course_lib.text.modules import inference_copy
from course_lib.training import History, TrainingConfig, train

TRAINING = TrainingConfig(epochs=5, learning_rate=1e-4)
HELD_OUT = 0.1  # of the training texts
FEWEST = 20  # texts: two of them are held out
KIND = "root mean square gap"


class TokenScores(nn.Module):
    """An encoder with a linear layer on each token's state.

    Probabilities sum to 1 over classes, so a word's Shapley values sum to 0 over them: their mean is subtracted.

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
class AmortisedExplainer:
    """An explainer that queries the classifier only for a text's output with and without its words.

    Attributes:
        classifier: whose outputs it explains.
        module: the trained network.
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

    def explain(self, texts: Sequence[str], *, target: Any = None) -> list[Attribution]:
        """Estimates every word's Shapley value of the target's probability, one forward pass for each text.

        Two more queries a text give `value` and `base_value`. All scores of a text are shifted by the same number, so
        that they add up to value - base_value as Shapley values do: the nearest scores that add up (Jethani et al.
        2022, arXiv:2107.07436). The error of each is that of the held-out texts.

        Args:
            texts: n strings; words beyond the tokens that the classifier reads get 0 before the shift.
            target: as in `explain`.

        Raises:
            BadInput: an unknown target, an item that is not a string.
        """
        model = MaskedModel(self.classifier, texts, target=target)
        warn_of_unread_words(self.classifier, model.texts)
        found = []
        for text, scores in enumerate(predicted_scores(self.module, model, np.arange(len(model.texts)))):
            base = float(model.empty_outputs[text])
            missing = float(model.full_outputs[text]) - base - scores.sum()
            shifted = scores + missing / max(1, len(scores))
            found.append(model.attribution(text, shifted, base, "amortised", self.error, KIND))
        return found


def amortise(
    classifier: TextClassifier,
    texts: Sequence[str],
    *,
    samples: int | None = None,
    attributions: Sequence[Attribution] | None = None,
    training: TrainingConfig | None = None,
    seed: int = 0,
) -> AmortisedExplainer:
    """Trains a network on the Shapley values of some texts, each for the class that the classifier predicts.

    A tenth of the different texts is held out, for the error. The classifier is not changed.

    Args:
        classifier: fitted, on a BERT encoder.
        texts: at least 20 different ones with words, of the kind that will be explained; no labels are needed.
        samples: coalitions of each for `kernel_shap`. Few are enough: the network averages the errors of the values
            over texts.
        attributions: values of these texts that were computed before, in their order, of the probability of each text's
            most probable class; then nothing is queried for them.
        training: hyper-parameters; 5 epochs at 1e-4 when left out. Its seed is not used.
        seed: of coalitions, the held-out part, the new layer and the training's order.

    Raises:
        BadInput: a classifier that is no fitted BERT, too few texts, scores that are all 0, too few samples, values
            of other texts, words, classes or outputs.
    """
    check_seed(seed)
    bert = bert_of(classifier)
    model = MaskedModel(classifier, list(dict.fromkeys(check_texts(texts))))
    with_words = np.flatnonzero([len(one) > 0 for one in model.texts])
    if len(with_words) < FEWEST:
        raise BadInput(f"{len(with_words)} different texts hold words", f"give at least {FEWEST}; thousands are better")
    if attributions is None:
        values = [one.scores for one in kernel_shap(model, samples=samples, seed=seed)]
    else:
        values = _scores_of(model, texts, attributions)
    unit = float(np.sqrt(np.mean(np.concatenate(values) ** 2)))
    if not unit:
        raise BadInput("every word's value is 0", "the classifier predicts the same for all texts: nothing is learned")
    held_out, learned = np.split(np.random.default_rng(seed).permutation(with_words), [_held_out(len(with_words))])
    config = replace(training or TRAINING, seed=seed)
    with machine.seeded(seed):
        module = TokenScores(copy.deepcopy(bert), len(classifier.classes_), unit).to(machine.device())
        batches = LengthBuckets([model.alignment.ids[row] for row in learned], config.batch_size, seed, _pad_id(model))
        history = train(module, batches, _WordLoss(model, values, learned), config)
    gaps, correlations = [], []
    for row, scores in zip(held_out.tolist(), predicted_scores(module, model, held_out), strict=True):
        gaps.append(scores - values[row])
        correlations.append(rank_correlation(scores, values[row]))
    error = float(np.sqrt(np.mean(np.concatenate(gaps) ** 2)))
    return AmortisedExplainer(classifier, module, error, mean_of_known(correlations), len(held_out), history)


def _held_out(texts: int) -> int:
    return max(2, round(HELD_OUT * texts))


def _pad_id(model: MaskedModel) -> int:
    return int(model.classifier.tokenizer_.pad_token_id or 0)


def _scores_of(model: MaskedModel, texts: Sequence[str], attributions: Sequence[Attribution]) -> list[Floats]:
    """The scores of the explanations that were given, for each different text."""
    if [one.text for one in attributions] != list(texts):
        raise BadInput(
            f"attributions has {len(attributions)} explanations, not those of the {len(texts)} texts",
            "give one for each text",
        )
    of = {one.text: one for one in attributions}
    classes = model.classifier.classes_.tolist()
    for text, column in zip(model.texts, model.columns.tolist(), strict=True):
        one = of[text.text]
        if one.output != "probability" or one.target != classes[column] or one.tokens != text.words:
            raise BadInput(
                f"{text.text[:50]!r} was explained for the {one.output} of {one.target!r}, or not word by word",
                f"explain the probability of {classes[column]!r}, the predicted class, with bow=False",
            )
    return [of[text.text].scores for text in model.texts]


class _WordLoss:
    """The mean squared gap of a batch's words, in the network's unit.

    Args:
        model: of all texts.
        values: each text's scores.
        rows: which of the texts are learned; a batch's index counts among them.
    """

    def __init__(self, model: MaskedModel, values: list[Floats], rows: NDArray[np.int64]) -> None:
        self.model, self.values, self.rows = model, values, rows

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(module, TokenScores)  # the one that `amortise` passed to `train`
        texts = self.rows[batch.index.cpu().numpy()]
        of_target = _of_target(module(batch.input_ids, batch.attention_mask), self.model.columns[texts])
        first = np.cumsum([0, *(len(self.values[text]) for text in texts)])  # all words of the batch in one row
        pairs = [self.model.alignment.pairs[text] for text in texts]
        tokens, words, weights = (
            torch.from_numpy(np.concatenate(parts)).to(of_target.device)
            for parts in (
                [at * of_target.shape[1] + one.tokens for at, one in enumerate(pairs)],
                [start + one.words for start, one in zip(first[:-1], pairs, strict=True)],
                [one.weights for one in pairs],
            )
        )
        sums = of_target.new_zeros(int(first[-1]))
        sums = sums.index_add(0, words, of_target.flatten()[tokens] * weights.to(of_target.dtype))
        goal = torch.from_numpy(np.concatenate([self.values[text] for text in texts]) / module.unit).to(sums)
        return (sums - goal).square().mean()


def _of_target(scores: Float[Tensor, "batch seq classes"], columns: NDArray[np.int64]) -> Float[Tensor, "batch seq"]:
    """Each row's scores for its own class."""
    wanted = torch.from_numpy(columns).to(scores.device)
    return scores[torch.arange(len(scores), device=scores.device), :, wanted].float()


def predicted_scores(module: TokenScores, model: MaskedModel, rows: NDArray[np.int64]) -> list[Floats]:
    """The network's scores of the words of some texts, (n,) each, for the target, in probability."""
    ids, done = model.alignment.ids, dict[int, Floats]()
    unit, network = module.unit, inference_copy(module)
    for part in sorted_batches([len(ids[row]) for row in rows], machine.preset().predict_tokens):
        texts = rows[part]
        batch = collate(ids, texts, _pad_id(model)).to(machine.device())
        with torch.inference_mode():
            scores = _of_target(network(batch.input_ids, batch.attention_mask), model.columns[texts])
        for text, of_tokens in zip(texts.tolist(), scores.double().cpu().numpy(), strict=True):
            done[text] = model.alignment.sum_by_word(text, of_tokens, len(model.texts[text])) * unit
    return [done[row] for row in rows.tolist()]
