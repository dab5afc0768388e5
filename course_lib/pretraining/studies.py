"""Small pretraining runs to compare, each one experiment: other objectives, row lengths, norms, optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from course_lib import machine
from course_lib.encoder import EncoderConfig, parameter_count
from course_lib.experiments import Run, experiment
from course_lib.pretraining.flops import step_flops
from course_lib.pretraining.language_model import save_language_model
from course_lib.pretraining.masking import MaskingRule
from course_lib.pretraining.measures import loss_by_mask_type
from course_lib.pretraining.recipes import PretrainingRecipe
from course_lib.pretraining.run import held_out_batches, pretrain
from course_lib.training import TrainingConfig

VOCABULARY = 8192
HEAD_SIZE = 32
# What a study's configuration may say, and what holds where it does not.
SETTINGS: dict[str, Any] = {
    "objective": "mlm", "width": 128, "layers": 2, "tokens": 200_000, "mask_rate": 0.15, "masking": "token",
    "norm": "post", "optimizer": "adamw", "learning_rate": 2e-3, "batch_tokens": 1024, "length": 64,
    "first_lengths": [], "seed": 0,
}  # fmt: skip

# ---- the configurations of notebook 02

CAUSAL: dict[str, Any] = {"objective": "causal", "width": 128, "tokens": 200_000}
_LONG_ROWS: dict[str, Any] = {"objective": "mlm+nsp", "tokens": 1_000_000, "mask_rate": 0.3}
SHORT_ROWS_FIRST: dict[str, Any] = _LONG_ROWS | {"first_lengths": [16, 16, 16, 16]}
# Four masked models of one size and cost; each of the last three differs from the first in one setting.
FOUR_SETTINGS: dict[str, dict[str, Any]] = {
    "short rows first": SHORT_ROWS_FIRST,
    "long rows from the start": _LONG_ROWS,
    "norm before each block": SHORT_ROWS_FIRST | {"norm": "pre"},
    "Muon": SHORT_ROWS_FIRST | {"optimizer": "muon"},
}
SEEDS = (0, 1)


def study_recipe(config: Mapping[str, Any]) -> PretrainingRecipe:
    """The recipe of a configuration; see `SETTINGS`."""
    chosen = SETTINGS | dict(config)
    shape = EncoderConfig(
        vocab_size=VOCABULARY, hidden_size=chosen["width"], n_layers=chosen["layers"],
        n_heads=max(1, chosen["width"] // HEAD_SIZE), intermediate_size=4 * chosen["width"],
        max_positions=chosen["length"], norm=chosen["norm"], causal=chosen["objective"] == "causal",
    )  # fmt: skip
    return PretrainingRecipe(
        "study", shape, chosen["objective"], MaskingRule(rate=chosen["mask_rate"], strategy=chosen["masking"]),
        length=chosen["length"], first_lengths=tuple(chosen["first_lengths"]),
        batch_tokens=chosen["batch_tokens"], tokens=chosen["tokens"],
        training=TrainingConfig(
            learning_rate=chosen["learning_rate"], optimizer=chosen["optimizer"], warmup=0.05, seed=chosen["seed"]
        ),
    )  # fmt: skip


def _flops(config: Mapping[str, Any]) -> float:
    recipe = study_recipe(config)
    return recipe.steps * (step_flops(recipe) + 2e9)  # a step costs something besides its products


def _figures(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a run: its configuration, parameters, tokens, flops, held-out loss (nats) and the rest."""
    rows = []
    for run in runs:
        held_out = run.result["held_out"]
        rows.append({
            **SETTINGS, **run.config, **{k: run.result[k] for k in ("parameters", "tokens", "flops")},
            "loss": held_out["loss"], "top1": held_out["top1"], "next_sentence": held_out["next_sentence"],
            "unigram_entropy": run.result["unigram_entropy"], "bits_per_character": run.result["bits_per_character"],
        })  # fmt: skip
    return pd.DataFrame(rows)


@experiment(
    "pretraining_study",
    cost=_flops,
    table=_figures,
    tolerance={"loss": 0.1, "top1": 0.03, "next_sentence": 0.06, "bits_per_character": 0.1, "flops": 1e9},
    data=("course_encoder", "speeches", "wikipedia_leads"),
)
def pretraining_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: one run; saves the model in the folder `model`, returns its figures.

    `parameters` are the weights outside the tables of words and positions, as scaling laws count them. A model of
    masked words also has `loss_by_mask_type`, and `losses_at_masks`: the mean loss at [MASK] of each held-out batch.
    The batches and their masks are the same for all runs of one objective and mask rate, so runs can be compared in
    pairs.
    """
    recipe = study_recipe(config)
    done = pretrain(recipe)
    save_language_model(done.model, done.material.tokenizer, folder / "model")
    count = parameter_count(done.model.encoder.config)
    figures = done.to_dict() | {"parameters": count["attention"] + count["feed_forward"] + count["norms"]}
    if recipe.objective != "causal":
        batches = [batch.to(machine.device()) for batch in held_out_batches(recipe, done.material)]
        mask_id = done.material.tokenizer.mask_token_id
        figures["loss_by_mask_type"] = loss_by_mask_type(done.model, batches, mask_id)
        figures["losses_at_masks"] = [loss_by_mask_type(done.model, [batch], mask_id)["masked"] for batch in batches]
    return figures


def curve(run: Run) -> pd.DataFrame:
    """The run's history by `tokens` seen, a row a step: `loss` while it trained, `validation_loss` on held-out text."""
    recipe = study_recipe(run.config)
    rows = pd.DataFrame(run.result["history"]["rows"]).groupby("step", as_index=False).first()
    return rows.assign(tokens=rows["step"] * recipe.batch_tokens)


def paired_differences() -> pd.DataFrame:
    """How the other runs of `FOUR_SETTINGS` differ from the first one with the same seed, batch by batch.

    Returns:
        A row for each setting and seed: `setting`, `seed`, `loss` at [MASK], `difference` from "short rows first" in
        nats (below 0: better), and `low` and `high`, its 95 % interval over the held-out batches.
    """
    base, *others = FOUR_SETTINGS
    rows = []
    for seed in SEEDS:
        losses = {name: _losses_at_masks(config | {"seed": seed}) for name, config in FOUR_SETTINGS.items()}
        for name in others:
            difference = losses[name] - losses[base]
            mean = float(difference.mean())
            half = float(stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference))
            rows.append((name, seed, float(losses[name].mean()), mean, mean - half, mean + half))
    columns = ["setting", "seed", "loss", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns).sort_values(["setting", "seed"], ignore_index=True)


def _losses_at_masks(config: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Of each held-out batch. Seed 0 is the default, so it is no part of a configuration."""
    config = {name: value for name, value in config.items() if (name, value) != ("seed", 0)}
    return np.array(pretraining_study.run(config, show=False).result["losses_at_masks"])
