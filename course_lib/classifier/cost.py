"""What fitting and predicting will take on this machine, from counted operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from course_lib import machine
from course_lib.batching import LengthBuckets, load_tokenizer, tokenize
from course_lib.classifier.sources import encoder_config, encoder_folder
from course_lib.training import TrainingConfig

_ACTIVATIONS_A_LAYER = 18  # values kept for the backward pass per token and layer, in units of the hidden size


def fit_cost(encoder: str, training: TrainingConfig, texts: Sequence[str], max_length: int) -> machine.Cost:
    """Cost of training all weights on these texts; tokenises them, trains nothing."""
    tokenizer = load_tokenizer(encoder_folder(encoder))
    batches = LengthBuckets(tokenize(texts, tokenizer, max_length), training.batch_size, training.seed)
    longest = max(len(batch) * max(len(batches.token_ids[i]) for i in batch) for batch in batches.order(0))
    config = encoder_config(encoder)
    tokens = batches.tokens() * training.epochs
    width = config.hidden_size * _ACTIVATIONS_A_LAYER * config.num_hidden_layers
    return machine.training_cost(*_sizes(config), tokens, longest, width, training.dtype)


def predict_cost(encoder: str, texts: Sequence[str], max_length: int) -> machine.Cost:
    """Cost of predictions for these texts, each different one counted once."""
    tokenizer = load_tokenizer(encoder_folder(encoder))
    tokens = sum(map(len, tokenize(list(dict.fromkeys(texts)), tokenizer, max_length)))
    config = encoder_config(encoder)
    budget = min(tokens, machine.preset().predict_tokens)
    return machine.forward_cost(*_sizes(config), tokens, budget, config.hidden_size * _ACTIVATIONS_A_LAYER)


def _sizes(config: Any) -> tuple[int, int]:
    """All weights, and those that a token is multiplied by (most of the last layer serves the first token only)."""
    hidden, layers, wide = config.hidden_size, config.num_hidden_layers, config.intermediate_size
    matrices = layers * (4 * hidden * hidden + 2 * hidden * wide)
    tables = (config.vocab_size + config.max_position_embeddings) * hidden
    for_first_token_only = 2 * hidden * hidden + 2 * hidden * wide
    return tables + matrices + hidden * hidden, matrices - for_first_token_only
