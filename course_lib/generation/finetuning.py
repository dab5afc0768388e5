"""Fine-tuning the decoder: a classifier that learns to answer, by low-rank adapters, and one of frozen embeddings.

LoRA (Hu et al. 2021, arXiv:2106.09685): every weight W (out x in) becomes W + s B A with A (rank x in), B (out x rank)
and a constant s. Only A and B are trained; the weights of the decoder stay as they are and are not copied.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import LengthBuckets, check_texts
from course_lib.classifier.data import encode, probabilities, task_loss
from course_lib.classifier.model import forward, trained_weights
from course_lib.errors import BadInput
from course_lib.generation.decoder import Decoder, Linear, product
from course_lib.generation.pretrained import CausalLM
from course_lib.text.classifiers import ProbabilityClassifierMixin, columns_of
from course_lib.training import History, TrainingConfig, train

PROMPT = "Review: {text}\nSentiment:"
ANSWERS = {0: " negative", 1: " positive"}  # with the space that a word in a sentence has before it
TRAINING = TrainingConfig(epochs=1, batch_size=16, learning_rate=1e-3)  # the rate: 0.865 on validation, 5e-4 0.840
POOLINGS = ("mean", "last")


class LoraLinear(nn.Module):
    """A frozen linear layer plus a trainable update of low rank: W x + 2 B A x.

    A starts at random and B at 0, so that training begins at the layer's own output. The factor 2 is the usual one
    (peft calls it `lora_alpha / r`).
    """

    def __init__(self, base: Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        like = base.weight
        self.A = nn.Parameter(like.new_empty(rank, base.in_features))
        self.B = nn.Parameter(like.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        output: Tensor = self.base(x) + 2.0 * product(product(x, self.A), self.B)
        return output


def with_adapters(decoder: Decoder, rank: int) -> Decoder:
    """A decoder with an adapter on every linear layer.

    It shares the weights of the given one. Their values are not changed, but they no longer require gradients.
    """
    kept = {id(tensor): tensor for tensor in (*decoder.parameters(), *decoder.buffers())}
    adapted = copy.deepcopy(decoder, kept).requires_grad_(False)  # the modules are copied, the tensors are not
    for parent in list(adapted.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Linear):
                setattr(parent, name, LoraLinear(child, rank))
    return adapted


class AnswerLogits(nn.Module):
    """The logits of the answers' first tokens as the next token after each row.

    Args:
        decoder: the model.
        answer_ids: one token for each class.
    """

    answer_ids: Tensor

    def __init__(self, decoder: Decoder, answer_ids: Sequence[int]) -> None:
        super().__init__()
        self.decoder = decoder
        self.register_buffer("answer_ids", torch.tensor(answer_ids), persistent=False)

    def forward(
        self, input_ids: Int[Tensor, "batch seq"], attention_mask: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch classes"]:
        last = last_states(self.decoder(input_ids), attention_mask)
        return product(last, self.decoder.embeddings.weight[self.answer_ids])


def last_states(
    states: Float[Tensor, "batch seq hidden"], attention_mask: Int[Tensor, "batch seq"]
) -> Float[Tensor, "batch hidden"]:
    """The state of each row's last token. Padding is on the right, where a causal model does not see it."""
    return states[torch.arange(len(states), device=states.device), attention_mask.sum(1) - 1]


class DecoderClassifier(ProbabilityClassifierMixin):
    """A decoder that is trained to continue a prompt with the answer, in a few weights (LoRA).

    The loss is the cross-entropy over the answers' logits at the last token of the prompt. Before `fit` the classifier
    is the untrained decoder.

    Args:
        lm: the model. Its weights stay as they are, and are shared.
        answers: class -> answer; only the first token of each counts.
        prompt: what the model reads, with `{text}` where the text goes. There is no chat template: a short prompt
            takes less time.
        training: the hyper-parameters.
        lora_rank: rank of the update of each linear layer.

    Attributes:
        module_: decoder and answers, (input_ids, attention_mask) -> logits.
        history_: what happened in `fit`.
        trained_weights_: how many weights `fit` trained.

    Raises:
        BadInput: no `{text}` in the prompt, fewer than two answers, answers that begin with the same token, a rank
            below 1.
    """

    def __init__(
        self,
        lm: CausalLM,
        answers: Mapping[Any, str] = ANSWERS,
        prompt: str = PROMPT,
        training: TrainingConfig = TRAINING,
        lora_rank: int = 8,
    ) -> None:
        if "{text}" not in prompt:
            raise BadInput(f"the prompt is {prompt!r:.80}", "put {text} where the text goes")
        first = [lm.encode(answer)[0] for answer in answers.values()]
        if len(first) < 2 or len(set(first)) < len(first):
            raise BadInput(f"answers are {dict(answers)!r:.80}", "give two or more that begin with different tokens")
        if lora_rank < 1:
            raise BadInput(f"lora_rank is {lora_rank}", "use 1 or more, such as 8")
        self.lm, self.answers, self.prompt = lm, dict(answers), prompt
        self.training, self.lora_rank = training, lora_rank
        self.module_ = AnswerLogits(lm.model, first).to(lm.device).eval()

    @property
    def classes_(self) -> NDArray[Any]:
        return np.array(list(self.answers))

    def fit(
        self,
        texts: Sequence[str],
        labels: ArrayLike,
        *,
        soft_labels: ArrayLike | None = None,
    ) -> Self:
        """Trains new adapters.

        Args:
            texts: n strings.
            labels: their classes, keys of `answers`.
            soft_labels: (n, classes) probabilities to learn instead of the labels; rows sum to 1.

        Raises:
            BadInput: mismatched lengths, a missing label, one class only, or a label that is no class.
        """
        rows, classes = check_texts(texts), len(self.answers)
        encode(labels, len(rows))  # refuses missing labels and a single class
        targets = {"labels": torch.from_numpy(columns_of(self.classes_, labels, len(rows)))}
        if soft_labels is not None:
            targets["soft_labels"] = torch.from_numpy(probabilities(soft_labels, len(rows), classes))
        batches = LengthBuckets(self.token_ids(rows), self.training.batch_size, self.training.seed, self.lm.pad_id)
        with machine.seeded(self.training.seed):
            module = AnswerLogits(with_adapters(self.lm.model, self.lora_rank), self.module_.answer_ids.tolist())
            self.trained_weights_ = trained_weights(module)
            loss = task_loss({name: tensor.to(self.lm.device) for name, tensor in targets.items()}, classes)
            self.history_: History = train(module.to(self.lm.device), batches, loss, self.training)
        self.module_ = module.requires_grad_(False)
        return self

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """What the model reads of each text."""
        return [self.lm.encode(self.prompt.replace("{text}", text)) for text in texts]

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = check_texts(texts)
        if not rows:
            return np.empty((0, len(self.answers)), np.float32)
        return torch.from_numpy(forward(self.module_, self.token_ids(rows), self.lm.pad_id)).softmax(-1).numpy()


def decoder_embeddings(
    lm: CausalLM, texts: Sequence[str], pooling: str | Mapping[int, str] = "mean"
) -> NDArray[np.float32]:
    """The decoder's vectors of texts, (n, hidden), from the states of its last layer or of others.

    The last layer predicts the next token. The states in the middle often represent a text better (Skean et al. 2025,
    arXiv:2502.02013), and take less time.

    Args:
        lm: the model.
        texts: n strings with a word each.
        pooling: `mean` over the tokens but the first, or `last`, the only token that has read the whole text. The first
            token's state is many times as large as the others and hardly depends on the text (an attention sink: Xiao
            et al. 2023, arXiv:2309.17453). A mapping reads the states after several layers and concatenates their
            vectors: {18: "mean", 22: "last"} gives (n, 2 hidden).

    Raises:
        BadInput: an empty text, an unknown pooling, no layer, or one that the decoder does not have.
    """
    poolings = {lm.model.config.n_layers: pooling} if isinstance(pooling, str) else dict(pooling)
    for layer, name in poolings.items():
        if name not in POOLINGS:
            raise BadInput(f"pooling is {name!r}", f"use one of {', '.join(POOLINGS)}")
        if not 0 <= layer <= lm.model.config.n_layers:
            raise BadInput(f"a layer is {layer}", f"give numbers from 0 to {lm.model.config.n_layers}")
    if not poolings:
        raise BadInput("pooling names no layer", 'give one, such as {18: "mean"}')

    def pool(module: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = module.hidden_states(input_ids, poolings)
        return torch.cat([_pooled(states[layer], attention_mask, name) for layer, name in poolings.items()], -1)

    ids = [lm.encode(text) for text in check_texts(texts)]
    if not ids:
        return np.empty((0, len(poolings) * lm.model.config.hidden_size), np.float32)
    return forward(lm.model, ids, lm.pad_id, compute=pool)


def _pooled(
    states: Float[Tensor, "batch seq hidden"], attention_mask: Int[Tensor, "batch seq"], pooling: str
) -> Float[Tensor, "batch hidden"]:
    if pooling == "last":
        return last_states(states, attention_mask)
    weights = attention_mask[..., None].to(states.dtype)  # (batch, seq, 1)
    if states.shape[1] > 1:
        weights[:, 0] = 1 - weights[:, 1]  # the first token counts where it is the only one
    mean: Tensor = (states * weights).sum(1) / weights.sum(1)
    return mean
