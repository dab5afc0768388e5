"""Low-rank adapters: a frozen encoder learns a new task in a few weights (Hu et al. 2021, arXiv:2106.09685).

Every weight W (out x in) of the layers becomes W + B A with A (rank x in) and B (out x rank). Only A and B are trained
and kept: 1.0 M numbers for the course encoder at rank 24, beside 10.6 M.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.encoder import BertEncoder
from course_lib.errors import BadInput

TARGETS = ("query", "key", "value", "attention.output", "expand", "contract")
_PART = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])\.default\.weight$")


def add_adapters(encoder: BertEncoder, rank: int) -> None:
    """Freezes the encoder and puts trainable adapters beside the matrices of its layers. B starts at 0: no change."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS), lora_dropout=0.0)
    inject_adapter_in_model(config, encoder)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_("lora_" in name)


def adapter_weights(encoder: BertEncoder) -> dict[str, Tensor]:
    """`layers.0.attention.query.A` and `.B`, ...: empty for an encoder without adapters."""
    weights = {}
    for name, tensor in encoder.state_dict().items():
        if found := _PART.match(name):
            weights[f"{found['module']}.{found['side']}"] = tensor.detach().clone()
    return weights


def merge_adapters(encoder: BertEncoder) -> None:
    """Adds each product B A to its weight and takes the adapters away: a plain encoder with the same output."""
    for name, module in list(encoder.named_modules()):
        if hasattr(module, "lora_A"):
            peft_layer: Any = module
            peft_layer.merge()
            parent, _, own = name.rpartition(".")
            setattr(encoder.get_submodule(parent), own, peft_layer.get_base_layer())


@torch.no_grad()
def apply_adapters(encoder: BertEncoder, weights: dict[str, Tensor]) -> None:
    """Adds stored adapters to the weights of a plain encoder.

    Raises:
        BadInput: they belong to an encoder of another shape.
    """
    for name in sorted({name.rpartition(".")[0] for name in weights}):
        try:
            linear = encoder.get_submodule(name)
            change = weights[f"{name}.B"].float() @ weights[f"{name}.A"].float()
        except (AttributeError, KeyError) as error:
            raise BadInput(
                f"adapters for {name}: {error}", "use them with the encoder that they were made for"
            ) from error
        if not isinstance(linear, nn.Linear) or change.shape != linear.weight.shape:
            raise BadInput(
                f"adapters of {name} have the shape {tuple(change.shape)}", "use the encoder of their making"
            )
        linear.weight += change
