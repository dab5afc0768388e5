"""The torch modules under a `TextClassifier`, which of their weights are trained, and their forward pass over rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import collate, sorted_batches, unique_rows
from course_lib.encoder import cls_state
from course_lib.errors import BadInput
from course_lib.text.modules import inference_copy, input_embeddings


class BERTForSentimentAnalysis(nn.Module):
    """A BERT encoder, its pooled output, dropout, a linear head (Devlin et al. 2019, arXiv:1810.04805, figure 4b).

    Parameters carry the names of transformers' `BertForSequenceClassification`, so that either loads the other's.

    Args:
        num_labels: size of the logits; 1 makes a regression head.
        bert: the encoder; a new one of BERT-base's shape, with random weights, when left out.
        dropout: probability with which a value of the pooled output is dropped in training.
        rating_head: adds a second head with one output (multi-task).
    """

    bert: Any  # transformers' BertModel
    rating: nn.Linear | None

    def __init__(
        self,
        num_labels: int = 2,
        bert: nn.Module | None = None,
        dropout: float = 0.1,
        rating_head: bool = False,
    ) -> None:
        super().__init__()
        if bert is None:
            from transformers import BertConfig, BertModel

            bert = BertModel(BertConfig())
        self.bert = bert
        self.dropout = nn.Dropout(dropout)
        hidden: int = self.bert.config.hidden_size
        self.classifier = new_head(hidden, num_labels)
        self.rating = new_head(hidden, 1) if rating_head else None

    def pooled(
        self,
        input_ids: Int[Tensor, "batch seq"],
        attention_mask: Int[Tensor, "batch seq"],
        token_type_ids: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch hidden"]:
        """tanh(W h_CLS + b): the vector that the heads read."""
        state = cls_state(self.bert, input_ids, attention_mask, token_type_ids)
        pooled: Tensor = self.bert.pooler(state[:, None])
        return pooled

    def forward(
        self,
        input_ids: Int[Tensor, "batch seq"],
        attention_mask: Int[Tensor, "batch seq"],
        token_type_ids: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch labels"]:
        """Logits; with a rating head, its output is the last column."""
        pooled = self.dropout(self.pooled(input_ids, attention_mask, token_type_ids))
        logits = self.classifier(pooled)
        return logits if self.rating is None else torch.cat([logits, self.rating(pooled)], dim=-1)


class TransformersClassifier(nn.Module):
    """A sequence classifier of transformers of any family, called as `BERTForSentimentAnalysis` is.

    Args:
        model: such as a `RobertaForSequenceClassification`.
        token_types: the type of each special token whose type is not 0 in the tokenizer (XLNet's `<cls>`).
        padded: False runs each row without padding, for models whose output for a row depends on its padding.
    """

    model: Any

    def __init__(self, model: nn.Module, token_types: Mapping[int, int], padded: bool = True) -> None:
        super().__init__()
        self.model, self.token_types, self.padded = model, dict(token_types), padded

    def forward(
        self, input_ids: Int[Tensor, "batch seq"], attention_mask: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch labels"]:
        """Logits."""
        inputs = {"attention_mask": attention_mask}
        if self.token_types:
            types = inputs["token_type_ids"] = torch.zeros_like(input_ids)
            for token, kind in self.token_types.items():
                types.masked_fill_(input_ids == token, kind)
        logits: Tensor
        if self.padded:
            logits = self.model(input_ids=input_ids, **inputs).logits
            return logits
        # Vectors instead of ids, so that the embedding layer runs once for the whole batch.
        inputs["inputs_embeds"] = self.model.get_input_embeddings()(input_ids)
        rows = [
            self.model(**{name: tensor[i : i + 1, :length] for name, tensor in inputs.items()}).logits
            for i, length in enumerate(attention_mask.sum(1).tolist())
        ]
        return torch.cat(rows)


def new_head(hidden: int, outputs: int) -> nn.Linear:
    """A linear layer started as in BERT: weights from N(0, 0.02^2), biases 0."""
    head = nn.Linear(hidden, outputs)
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


# ---- which weights are trained -----------------------------------------------------------------------------------


def freeze(module: nn.Module, encoder: bool, embeddings: bool) -> None:
    """Stops the gradients of the encoder (all but the heads), or of the token embedding table alone."""
    prefix = f"model.{module.model.base_model_prefix}." if isinstance(module, TransformersClassifier) else "bert."
    table = input_embeddings(module).weight
    for name, parameter in module.named_parameters():
        frozen = (encoder and name.startswith(prefix)) or (embeddings and parameter is table)
        parameter.requires_grad_(not frozen)


def add_lora(module: nn.Module, rank: int) -> Callable[[], None]:
    """Trains rank-`rank` updates of query and value instead of the weights (Hu et al. 2021, arXiv:2106.09685).

    Returns:
        A function that adds the trained updates to the weights, after which the module is an ordinary one again.
    """
    from peft import LoraConfig, get_peft_model

    if not isinstance(module, BERTForSentimentAnalysis):
        raise BadInput(f"lora_rank={rank} with an encoder that is not a BERT", "use a BERT encoder, or lora_rank=0")
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["query", "value"])
    with warnings.catch_warnings():  # peft uses a name of transformers that is deprecated
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        wrapped = get_peft_model(module.bert, lora)
    # peft puts its updates inside the encoder's own modules, so that the encoder is still called as before.

    def merge() -> None:
        module.bert = wrapped.merge_and_unload()

    return merge


def trained_weights(module: nn.Module) -> int:
    """How many weights receive gradients."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


# ---- predicting --------------------------------------------------------------------------------------------------


def forward(
    module: nn.Module,
    ids: Sequence[Sequence[int]],
    pad_id: int = 0,
    compute: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None,
    precision: str = "float32",
) -> NDArray[np.float32]:
    """Runs n > 0 rows of token ids through `module` in evaluation mode, (n, outputs).

    Equal rows are computed once, rows of equal length together; the order is that of `ids`. Many threads may call this
    with one module at once: its mode is never switched, a module in training is copied.

    Args:
        module: called with input_ids and attention_mask, unless `compute` is given.
        ids: the rows.
        pad_id: token id used for padding.
        compute: a function of the module, input_ids and attention_mask that replaces the module's own forward pass.
        precision: `float32`, or `auto` for what the hardware multiplies fastest.

    Raises:
        BadInput: an unknown precision.
        CourseError: the device lacks an operation.
    """
    if precision not in ("float32", "auto"):
        raise BadInput(f"precision is {precision!r}", "use 'float32' or 'auto'")
    unique, numbers = unique_rows([tuple(row) for row in ids])
    where = machine.device()
    dtype = machine.precision() if precision == "auto" else torch.float32
    here = all(parameter.device.type == where.type for parameter in module.parameters())
    ready = here and not any(one.training for one in module.modules())
    private, parts, places = module if ready else inference_copy(module), [], []
    with (
        machine.named_operations(),
        torch.inference_mode(),
        torch.autocast(where.type, dtype=dtype, enabled=dtype != torch.float32),
    ):
        for rows in sorted_batches([len(row) for row in unique], machine.preset().predict_tokens):
            batch = collate(unique, rows, pad_id).to(where)
            inputs = batch.input_ids, batch.attention_mask
            parts.append((compute(private, *inputs) if compute else private(*inputs)).float())
            places.append(rows)
        outputs = torch.cat(parts).cpu().numpy()
    ordered = np.empty_like(outputs)
    ordered[np.concatenate(places)] = outputs
    result: NDArray[np.float32] = ordered[numbers]
    return result
