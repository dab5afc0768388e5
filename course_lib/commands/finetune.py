"""`python -m course_lib finetune`: train a classifier, evaluate it once on its test part, save it."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.commands.inputs import add_data, check_writable, in_words, load_data, say
from course_lib.commands.processes import add_fsdp, all_processes
from course_lib.errors import BadInput, CheckpointError

if TYPE_CHECKING:
    import pandas as pd

    from course_lib.classifier import TextClassifier
    from course_lib.finetuning import Recipe
    from course_lib.machine import Cost

_OVERRIDES = ("epochs", "batch_size", "learning_rate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Data, recipe, place."""
    add_data(parser, "a corpus of the course, or a CSV file of yours (movie_reviews)")
    parser.add_argument(
        "--rating", metavar="COLUMN", help="the CSV file's column of real-valued ratings, if it has one"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the model (a transformers folder)")
    parser.add_argument("--preset", default="default", help="recipe: quick, default or best (default)")
    parser.add_argument("--encoder", default="course", help="course, scratch, tiny, a folder or a hub name (course)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random choices (0)")
    parser.add_argument("--epochs", type=int, help="overrides the recipe")
    parser.add_argument("--batch-size", type=int, help="overrides the recipe")
    parser.add_argument("--learning-rate", type=float, help="overrides the recipe")
    parser.add_argument("--max-length", type=int, help="tokens of a text that the model reads (128)")
    parser.add_argument("--checkpoint-every", type=int, default=100, metavar="STEPS", help="0 for no checkpoints (100)")
    add_fsdp(parser)


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Trains, saves, evaluates. The same command continues a run that was interrupted.

    Started by torchrun, several processes share each batch; the first one alone evaluates, writes and prints.
    """
    started = time.perf_counter()
    from course_lib import machine
    from course_lib.classifier.pretrained import check_save_dir
    from course_lib.training.parallel import world_size

    chosen, out = _recipe(options), check_save_dir(options.out)
    check_writable(out, "--out")
    frame = load_data(options, options.rating)
    if options.rating:
        _check_ratings(frame, options.rating)
    kept = out.with_name(f".{out.name}.checkpoints")
    with all_processes(options.fsdp):
        processes = world_size()
        classifier, cost, peak = _train(chosen, frame, options, kept)
    _name_classes(classifier, frame, options)
    classifier.save(out)
    shutil.rmtree(kept, ignore_errors=True)
    result = {
        "data": options.data,
        "preset": chosen.name,
        "seed": options.seed,
        "encoder": options.encoder,
        "train_rows": min(int((frame["split"] == "train").sum()), chosen.train_rows or len(frame)),
        **_figures(classifier, frame),
        "expected_seconds": round(cost.seconds, 1),
        "peak_memory_gb": round(peak / 1e9, 2),
        "expected_memory_gb": round(cost.bytes / 1e9, 2),
        "machine": machine.preset().name,
        "precision": str(chosen.training.dtype).removeprefix("torch."),
        "processes": processes,
        "process_bytes": classifier.history_.process_bytes,
        "out": str(options.out),
        "seconds": round(time.perf_counter() - started, 1),
    }
    return result, [f"{name:>20}  {in_words(value)}" for name, value in result.items()], 0


def _train(
    chosen: Recipe, frame: pd.DataFrame, options: argparse.Namespace, kept: Path
) -> tuple[TextClassifier, Cost, int]:
    """The classifier, what its training was expected to cost, and the peak memory of this process in bytes."""
    from course_lib import machine
    from course_lib.commands.progress_bar import ProgressBar
    from course_lib.finetuning import fit_recipe, recipe_cost
    from course_lib.training.parallel import rank

    cost = recipe_cost(chosen, frame, options.encoder)
    if rank() == 0:
        say(f"training: {cost}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    bar = ProgressBar()
    try:
        with machine.PeakMemory() as peak:
            classifier = fit_recipe(
                chosen, frame, seed=options.seed, encoder=options.encoder, callbacks=[bar],
                checkpoints=kept if options.checkpoint_every else None, every=options.checkpoint_every or 1,
            )  # fmt: skip
    except CheckpointError as error:
        raise CheckpointError(error.message, f"{error.fix}; to start again, delete {kept}") from error
    bar.close()
    return classifier, cost, peak.bytes


def _check_ratings(frame: pd.DataFrame, column: str) -> None:
    """Ratings become probabilities of the second class: above 0 must mean that class."""
    classes = frame.attrs["classes"]
    if len(classes) != 2:
        raise BadInput(f"--rating {column} with {len(classes)} classes", "leave --rating out, or use two classes")
    odd = int(((frame["rating"] > 0) != (frame["label"] == 1)).sum())
    if odd > len(frame) / 10:
        raise BadInput(
            f"--rating {column} contradicts the labels in {odd} of {len(frame)} rows",
            f"shift the ratings so that {classes[1]!r} is above 0 and {classes[0]!r} below, or leave --rating out",
        )


def _name_classes(classifier: TextClassifier, frame: pd.DataFrame, options: argparse.Namespace) -> None:
    """A model of a user's own file predicts the labels of that file, not their numbers 0, 1, 2."""
    import numpy as np

    from course_lib import corpora

    if options.data not in corpora.NAMES:
        names = np.asarray(frame.attrs["classes"])
        classifier.classes_ = names[classifier.classes_]
        frame["label"] = names[frame["label"]]


def _recipe(options: argparse.Namespace) -> Recipe:
    from course_lib.finetuning import recipe

    if options.checkpoint_every < 0:
        raise BadInput(f"--checkpoint-every is {options.checkpoint_every}", "use 0 for none, or a number of steps")
    chosen = recipe(options.preset)
    changes = {name: getattr(options, name) for name in _OVERRIDES if getattr(options, name) is not None}
    training = dataclasses.replace(chosen.training, **changes)
    max_length = chosen.max_length if options.max_length is None else options.max_length
    return dataclasses.replace(chosen, training=training, max_length=max_length)


def _figures(classifier: TextClassifier, frame: pd.DataFrame) -> dict[str, Any]:
    """Accuracy on the validation part; on the test part with its interval, and what it hides in unbalanced data."""
    from course_lib.evaluation import evaluate

    held_out, test = (frame[frame["split"] == split] for split in ("validation", "test"))
    found = evaluate(
        classifier.predict_proba(test["text"].tolist()), test["label"].to_numpy(), classifier.classes_.tolist()
    )
    recall = [None if one is None else round(one, 4) for one in found.recall]
    figures: dict[str, Any] = {
        "test_accuracy": round(found.accuracy.estimate, 4),
        "test_interval": [round(found.accuracy.low, 4), round(found.accuracy.high, 4)],
        "test_rows": found.n,
        "majority_accuracy": round(found.majority, 4),
        "balanced_accuracy": round(found.balanced_accuracy, 4),
        "recall": dict(zip(classifier.class_names_, recall, strict=True)),
    }
    if len(held_out):
        score = classifier.score(held_out["text"].tolist(), held_out["label"].to_numpy())
        figures["validation_accuracy"] = round(score, 4)
    return figures
