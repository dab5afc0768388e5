"""Which weights are trained: all, the head alone, or low-rank updates."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from torch import nn

from course_lib.classifier.model import BERTForSentimentAnalysis
from course_lib.errors import BadInput

# Names under which BERT and its relatives in transformers keep what is not the encoder.
_HEADS = ("classifier.", "rating.", "model.classifier.", "model.pre_classifier.", "model.score.")


def freeze(module: nn.Module, encoder: bool, embeddings: bool) -> None:
    """Stops the gradients of the encoder (all but the heads), or of the token embedding table alone."""
    for name, parameter in module.named_parameters():
        frozen = (encoder and not name.startswith(_HEADS)) or (embeddings and "word_embeddings" in name)
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
    with warnings.catch_warnings():  # peft asks transformers by a name that is about to go
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        wrapped = get_peft_model(module.bert, lora)
    # peft puts its updates inside the encoder's own modules, so that the encoder goes on being called as before.

    def merge() -> None:
        module.bert = wrapped.merge_and_unload()

    return merge


def trained_weights(module: nn.Module) -> int:
    """How many weights receive gradients."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
