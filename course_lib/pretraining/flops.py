"""What a pretraining run computes and holds in memory, by formula."""

from __future__ import annotations

from course_lib import machine
from course_lib.encoder import EncoderConfig
from course_lib.encoder.counts import activation_bytes, forward_flops, parameter_count
from course_lib.pretraining.recipes import PretrainingRecipe


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
