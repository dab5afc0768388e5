"""Low-rank adapters: a frozen encoder learns a new task in a few weights (Hu et al. 2021, arXiv:2106.09685).

Every weight W (out x in) of the layers becomes W + B A with A (rank x in) and B (out x rank). Only A and B are trained
and stored: 1.0 M numbers for the course encoder at rank 24, beside 10.6 M.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from course_lib.encoder import BertEncoder
from course_lib.errors import BadInput

TARGETS = ("query", "key", "value", "attention.output", "expand", "contract")
_PART = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])\.default\.weight$")


def add_adapters(encoder: BertEncoder, rank: int) -> None:
    """Freezes the encoder and adds trainable adapters to the matrices of its layers. B starts at 0: no change."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS), lora_dropout=0.0)
    inject_adapter_in_model(config, encoder)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_("lora_" in name)


def adapter_weights(encoder: BertEncoder) -> dict[str, Tensor]:
    """`layers.0.attention.query.A` and `.B`, ...: empty for an encoder without adapters."""
    found = ((_PART.match(name), tensor) for name, tensor in encoder.state_dict().items())
    return {f"{name['module']}.{name['side']}": tensor.detach().clone() for name, tensor in found if name}


@torch.no_grad()
def merge_adapters(encoder: BertEncoder, weights: dict[str, Tensor]) -> None:
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
                f"adapters of {name} have the shape {tuple(change.shape)}", "use the encoder that they were made for"
            )
        linear.weight += change
