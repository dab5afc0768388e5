"""What a pretraining run costs: operations by formula, seconds and memory on this machine."""

from __future__ import annotations

from dataclasses import replace

import torch

from course_lib import machine
from course_lib.encoder import EncoderConfig
from course_lib.encoder.counts import activation_bytes, forward_flops, parameter_count
from course_lib.pretraining.recipes import PretrainingRecipe

# Seconds of a step besides its products: making the batch, calling some 300 operations. Measured on two CPU cores.
_STEP_SECONDS = 0.018


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


def pretraining_cost(recipe: PretrainingRecipe) -> machine.Cost:
    """What `pretrain` will take here."""
    shape = recipe.shape or EncoderConfig()
    weights = parameter_count(shape).total + shape.hidden_size * (shape.hidden_size + 3) + shape.vocab_size
    rows, flops = max(1, recipe.batch_tokens // recipe.length), step_flops(recipe)
    dtype = recipe.training.dtype
    # training_cost counts 6 operations a weight and token: the weights here are those that give this run's count.
    equivalent = round(flops / 6 / recipe.batch_tokens)
    width = activation_bytes(shape, rows, recipe.length, torch.float32) / 4 / recipe.batch_tokens
    products = machine.training_cost(
        weights, equivalent, recipe.batch_tokens * recipe.steps, recipe.batch_tokens, int(width), dtype
    )
    return replace(products, seconds=products.seconds + _STEP_SECONDS * recipe.steps)
