"""`python -m course_lib pretrain`: train a language model on the course's texts, measure it, save it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.commands.inputs import in_words
from course_lib.commands.processes import add_fsdp, all_processes

if TYPE_CHECKING:
    from course_lib.checkpoints import CheckpointFolder
    from course_lib.pretraining import Pretrained, PretrainingRecipe

FIGURES = "figures.json"  # beside the weights: what --json says of the run that made them
_BEGINNING = 10  # rows of the history in the result, by which a run can be recognised within seconds
_RECIPE = ("objective", "tokens", "batch_tokens", "length")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Recipe, budget, place."""
    parser.add_argument("--preset", default="tiny-bert", help="recipe: tiny-bert, tiny-gpt or course-head")
    parser.add_argument("--objective", help="mlm+nsp, mlm or causal; overrides the recipe")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--tokens", type=int, help="tokens of the run, padding included; overrides the recipe")
    budget.add_argument("--minutes", type=float, help="trains as many tokens as this takes here, measured first")
    parser.add_argument("--batch-tokens", type=int, help="tokens of a step; overrides the recipe")
    parser.add_argument("--length", type=int, help="tokens of a row; overrides the recipe")
    parser.add_argument(
        "--mask-rate", type=float, help="fraction of the tokens that is predicted; overrides the recipe"
    )
    parser.add_argument("--masking", choices=("token", "word", "span"), help="what is masked as one")
    parser.add_argument("--learning-rate", type=float, help="overrides the recipe")
    parser.add_argument("--optimizer", choices=("adamw", "muon"), help="overrides the recipe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for the model; left out, only figures are given")
    parser.add_argument("--checkpoint-every", type=int, default=200, metavar="STEPS", help="0 for none (200)")
    add_fsdp(parser)


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Pretrains, measures, saves. With --out, an interrupted run continues when the same command is given again.

    Started by torchrun, several processes share each batch; the first one alone writes and prints.
    """
    with all_processes(options.fsdp):
        result = _run(options)
    shown = {name: value for name, value in result.items() if not isinstance(value, list)}
    return result, [f"{name:>22}  {in_words(value)}" for name, value in shown.items()], 0


def _run(options: argparse.Namespace) -> dict[str, Any]:
    started = time.perf_counter()
    from course_lib.assets.files import write_atomically
    from course_lib.checkpoints import CheckpointFolder
    from course_lib.commands.inputs import check_writable
    from course_lib.commands.progress_bar import ProgressBar
    from course_lib.errors import BadInput
    from course_lib.pretraining import material_of, pretrain, pretraining_cost, save_language_model
    from course_lib.pretraining.language_model import check_save_dir
    from course_lib.training.parallel import rank

    recipe = recipe_of(options)
    if options.checkpoint_every < 0:
        raise BadInput(f"--checkpoint-every is {options.checkpoint_every}", "use 0 for none, or a number of steps")
    if options.out:
        check_save_dir(options.out)  # before minutes of training
        check_writable(options.out, "--out")
    material = material_of(recipe)
    folder = options.out.with_name(f".{options.out.name}.checkpoints") if options.out else None
    checkpoints = CheckpointFolder(folder, options.checkpoint_every) if folder and options.checkpoint_every else None
    recipe = _in_time(recipe, options, checkpoints)
    cost = pretraining_cost(recipe)
    if rank() == 0:
        print(f"{recipe.tokens:,} tokens in {recipe.steps:,} steps: {cost}", file=sys.stderr)
    bar = ProgressBar()
    try:
        done = pretrain(recipe, material=material, callbacks=[bar], checkpoints=checkpoints)
    finally:
        bar.close()
    result = _figures(recipe, done, options) | {"seconds": round(time.perf_counter() - started, 1)}
    if options.out and rank() == 0:
        base = "course" if recipe.shape is None and recipe.trained != "all" else None
        save_language_model(done.model, material.tokenizer, options.out, base=base)
        write_atomically(options.out / FIGURES, json.dumps(result, indent=1))
        shutil.rmtree(folder or "", ignore_errors=True)
    return result


def recipe_of(options: argparse.Namespace) -> PretrainingRecipe:
    """The recipe of `--preset` with what the other options change."""
    from course_lib.pretraining import pretraining_recipe

    recipe = pretraining_recipe(options.preset)
    changes = {name: getattr(options, name) for name in _RECIPE if getattr(options, name) is not None}
    masking = {"rate": options.mask_rate, "strategy": options.masking}
    training = {"learning_rate": options.learning_rate, "optimizer": options.optimizer, "seed": options.seed}
    if options.length is not None:
        changes["first_lengths"] = tuple(length for length in recipe.first_lengths if length < options.length)
    if recipe.shape is not None:
        changes["shape"] = dataclasses.replace(
            recipe.shape, causal=changes.get("objective", recipe.objective) == "causal"
        )
    return dataclasses.replace(
        recipe,
        **changes,
        masking=dataclasses.replace(recipe.masking, **{k: v for k, v in masking.items() if v is not None}),
        training=dataclasses.replace(recipe.training, **{k: v for k, v in training.items() if v is not None}),
    )


def _in_time(
    recipe: PretrainingRecipe, options: argparse.Namespace, checkpoints: CheckpointFolder | None
) -> PretrainingRecipe:
    """With --minutes, the recipe with as many tokens as fit. A resumed run keeps the number of its first start."""
    from course_lib.assets.files import write_atomically
    from course_lib.errors import BadInput
    from course_lib.pretraining import tokens_in
    from course_lib.training.parallel import rank

    if options.minutes is None:
        return recipe
    if not options.minutes > 0:
        raise BadInput(f"--minutes is {options.minutes}", "use a number above 0")
    note = checkpoints.folder / "minutes.json" if checkpoints else None
    if checkpoints and note and note.exists() and checkpoints.steps():
        begun = json.loads(note.read_text(encoding="utf-8"))
        if begun["minutes"] != options.minutes:
            raise BadInput(
                f"--minutes is {options.minutes}; the run in {checkpoints.folder} began with {begun['minutes']}",
                "repeat the same command to continue it, or delete that folder",
            )
        return dataclasses.replace(recipe, tokens=begun["tokens"])
    recipe = dataclasses.replace(recipe, tokens=tokens_in(60 * options.minutes, recipe))
    if note and rank() == 0:
        write_atomically(note, json.dumps({"minutes": options.minutes, "tokens": recipe.tokens}))
    return recipe


def _figures(recipe: PretrainingRecipe, done: Pretrained, options: argparse.Namespace) -> dict[str, Any]:
    from course_lib import machine
    from course_lib.training.parallel import world_size

    held_out = done.held_out
    measured = [row for row in done.history.rows if "validation_loss" in row]
    return {
        "preset": recipe.name,
        "objective": recipe.objective,
        "parameters": sum(parameter.numel() for parameter in done.model.parameters()),
        "tokens": done.tokens,
        "steps": recipe.steps,
        "training_seconds": round(done.seconds, 1),
        "tokens_per_second": round(done.tokens / done.seconds),
        "gflops": round(done.flops / done.seconds / 1e9, 1),
        "share_of_peak": round(done.flops / done.seconds / world_size() / machine.peak_flops(), 3),
        "held_out_loss": round(held_out.loss, 4),
        "unigram_entropy": round(done.unigram_entropy, 4),
        "below_unigram_entropy": held_out.loss < done.unigram_entropy,
        "held_out_perplexity": round(held_out.perplexity, 2),
        "held_out_top1": round(held_out.top1, 4),
        "held_out_next_sentence": None if held_out.next_sentence is None else round(held_out.next_sentence, 4),
        "bits_per_character": None if done.bits_per_character is None else round(done.bits_per_character, 4),
        "curve": [
            {"tokens": round(row["step"] * recipe.batch_tokens), "loss": row["validation_loss"]} for row in measured
        ],
        "beginning": [
            {"step": int(row["step"]), "loss": round(row["loss"], 4)} for row in _first_rows(done.history.rows)
        ],
        "precision": str(recipe.training.dtype).removeprefix("torch."),
        "processes": world_size(),
        "process_bytes": done.history.process_bytes,
        "seed": options.seed,
        "out": str(options.out) if options.out else None,
    }


def _first_rows(rows: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    return [row for row in rows if "loss" in row][:_BEGINNING]
