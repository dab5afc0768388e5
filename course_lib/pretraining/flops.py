"""What a pretraining run computes and holds in memory, by formula, and how long that takes."""

from __future__ import annotations

from course_lib import machine
from course_lib.encoder import EncoderConfig
from course_lib.encoder.counts import activation_bytes, forward_flops, parameter_count
from course_lib.errors import BadInput
from course_lib.pretraining.recipes import PretrainingRecipe

BERT_BASE = EncoderConfig(hidden_size=768, n_layers=12, n_heads=12, intermediate_size=3072)
BERT_BASE_TOKENS = 256 * 512 * 1_000_000  # rows, tokens of a row, steps (Devlin et al. 2019, A.2)
H100_PEAK = 989e12  # FLOP/s, dense bfloat16, from NVIDIA's data sheet of the H100 SXM


def step_flops(recipe: PretrainingRecipe) -> float:
    """Operations of the matrix products of one training step, the mean over the run (a multiply-add is two).

    The forward pass, and twice as much for the backward pass: once for the states, once for the weights, which a frozen
    encoder is spared. Only predicted positions pass through the word head.
    """
    shape = recipe.shape or EncoderConfig()
    encoder = sum(forward_flops(shape, 1, n) * recipe.batch_tokens / n for n in recipe.lengths) / len(recipe.lengths)
    predicted = recipe.batch_tokens * (1.0 if recipe.objective == "causal" else recipe.masking.rate)
    head = 2.0 * predicted * shape.hidden_size * (shape.hidden_size + shape.vocab_size)
    passes = 3 if recipe.trained == "all" else 2
    return passes * (encoder + head)


def training_bytes(recipe: PretrainingRecipe) -> float:
    """Bytes in use while a recipe trains: each weight with its gradient and AdamW's two moments, and activations."""
    shape = recipe.shape or EncoderConfig()
    weights = parameter_count(shape).total + shape.hidden_size * (shape.hidden_size + 3) + shape.vocab_size
    rows = max(1, recipe.batch_tokens // recipe.length)
    return machine.base_bytes() + 16.0 * weights + activation_bytes(shape, rows, recipe.length)


def bert_base_flops(length: int = 512, mask_rate: float = 0.15) -> float:
    """Operations to pretrain BERT-base as its paper did: three forward passes' worth for each row."""
    rows = BERT_BASE_TOKENS / length
    head = 2.0 * mask_rate * length * BERT_BASE.hidden_size * (BERT_BASE.hidden_size + BERT_BASE.vocab_size)
    return 3.0 * rows * (forward_flops(BERT_BASE, 1, length) + head)


def days(flops: float, peak: float, utilization: float) -> float:
    """Days for so many operations on a device with this peak (FLOP/s), of which the run reaches a fraction.

    Raises:
        BadInput: a number that is not above 0, or a utilization over 1.
    """
    if not (flops > 0 and peak > 0 and 0 < utilization <= 1):
        raise BadInput(
            f"flops {flops}, peak {peak}, utilization {utilization}", "use numbers above 0, the last up to 1"
        )
    return flops / (peak * utilization) / 86_400
