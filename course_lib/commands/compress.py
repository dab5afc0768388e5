"""`python -m course_lib compress`: a smaller or faster model from a fine-tuned one, for ONNX Runtime."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.commands.export import check_export_place, load_parent
from course_lib.commands.inputs import add_data, add_model, labels_of, load_data, say
from course_lib.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

    from course_lib.classifier import TextClassifier
    from course_lib.compression import CompressionResult, Plan


ATTACK, ATTACKED = "deepwordbug", 50  # recipe, and test texts that it attacks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Parent, place, and what is wanted."""
    add_model(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx, its tokenizer and its classes")
    parser.add_argument("--recipe", choices=("small", "fast"), help="a plan of the course")
    parser.add_argument("--target-mb", type=float, metavar="MB", help="searches the mildest plan of at most that size")
    parser.add_argument("--max-lost", type=float, default=1.0, metavar="POINTS", help="accuracy that may be lost (1.0)")
    add_data(parser, "the corpus or the CSV file that the model is for (movie_reviews)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Compresses the model and compares it with its parent on the test part."""
    from course_lib.compression import PLANS, plans_within

    if (options.recipe is None) == (options.target_mb is None):
        raise BadInput("one of --recipe and --target-mb is needed", "give --recipe small, --recipe fast or --target-mb")
    check_export_place(options.out)
    parent = load_parent(options.model)
    data = _data(parent, options)
    plans = [PLANS[options.recipe]] if options.recipe else plans_within(parent, options.target_mb)
    made = _made(parent, plans, data, options)
    result = {"model": str(options.model), **made.figures(), **_measured(parent, made, data.test)}
    result["out"] = str(options.out)
    return result, _lines(result), 0


@dataclass(frozen=True)
class _Data:
    """What the student learns from and is measured on; labels are those of the parent."""

    texts: list[str]
    soft_labels: Any
    validation: pd.DataFrame
    test: pd.DataFrame


def _data(parent: TextClassifier, options: argparse.Namespace) -> _Data:
    """Raises BadInput where a label is not one of the parent's, or a part has no text."""
    from course_lib import corpora, finetuning
    from course_lib.compression import unlabelled_texts

    frame = load_data(options)
    frame = frame.assign(label=labels_of(frame, parent))
    parts = {name: frame[frame["split"] == name].reset_index(drop=True) for name in ("train", "validation", "test")}
    if missing := [name for name, part in parts.items() if part.empty]:
        raise BadInput(f"--data {options.data} has no {missing[0]} texts", "give a file of 50 rows or more")
    texts, soft = parts["train"]["text"].tolist(), None
    if options.data in corpora.NAMES:
        texts = unlabelled_texts(options.data)
        if parent.classes_.tolist() == [0, 1]:  # people's ratings of the corpus's own texts, which are the first
            soft = corpora.soft_labels(parts["train"]["rating"], finetuning.recipe("default").sharpness)
    return _Data(texts, soft, parts["validation"], parts["test"])


def _made(parent: TextClassifier, plans: list[Plan], data: _Data, options: argparse.Namespace) -> CompressionResult:
    """The result of the only plan, or of the first one that loses little accuracy on the validation part."""
    from course_lib.compression import OnnxClassifier, compress, compress_cost, export_onnx, search_plans

    def follow(plan: Plan, folder: Path) -> CompressionResult:
        say(f"{plan.name}: {compress_cost(parent, plan, data.texts)}")
        return compress(parent, plan, folder, data.texts, soft_labels=data.soft_labels)

    if options.recipe:
        return follow(plans[0], options.out)
    texts, labels = data.validation["text"].tolist(), data.validation["label"].to_numpy()
    before = parent.score(texts, labels)

    def attempt(plan: Plan) -> tuple[CompressionResult, float]:
        with tempfile.TemporaryDirectory() as scratch:
            made = follow(plan, Path(scratch) / "model")
            lost = 100 * (before - OnnxClassifier(made.exported.folder).score(texts, labels))
        say(f"{plan.name}: {lost:+.1f} points lost on validation texts")
        return made, lost

    best, lost = search_plans(plans, attempt, options.max_lost)
    if lost > options.max_lost:
        failed = f"no plan of that size loses {options.max_lost:g} points or less"
        say(f"{failed}; {best.plan.name!r} loses least: {lost:.1f}")
    return replace(best, exported=export_onnx(best.student, options.out, best.plan.bits, data.texts[:256]))


def _measured(parent: TextClassifier, made: CompressionResult, test: pd.DataFrame) -> dict[str, Any]:
    """Accuracy, agreement, losses by kind of text, robustness, speed and memory, beside the parent's."""
    from course_lib.attacks import recipe
    from course_lib.compression import (
        OnnxClassifier,
        accuracy_by_slice,
        macs_per_token,
        quality,
        resident_memory,
        speed,
    )

    folder, classes = made.exported.folder, parent.classes_
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    both: dict[str, Any] = {"parent": parent, "compressed": OnnxClassifier(folder)}
    before, after = (model.predict_proba(texts) for model in both.values())
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"parent": parent.save(Path(scratch) / "parent"), "compressed": folder}
        memory = {name: resident_memory(place, texts[:20]) for name, place in folders.items()}
    attacked = {
        name: recipe(ATTACK).run(model, texts[:ATTACKED], labels[:ATTACKED], seed=0).accuracy_under_attack
        for name, model in both.items()
    }
    return {
        "test_rows": len(texts),
        **asdict(quality(after, before, labels, classes)),
        "slices": accuracy_by_slice(test, after, before, classes.tolist()).to_dict("records"),
        "macs_per_token": macs_per_token(folder / "model.onnx"),
        "speed": {name: asdict(speed(model, texts[:500])) for name, model in both.items()},
        "memory_bytes": memory,
        "attack": {"recipe": ATTACK, "texts": len(texts[:ATTACKED]), "accuracy_under_attack": attacked},
    }


def _lines(result: dict[str, Any]) -> list[str]:
    fast, slow = result["speed"]["compressed"], result["speed"]["parent"]
    before = f"({slow['median_ms']:.1f} ms before)"
    memory, under = result["memory_bytes"], result["attack"]["accuracy_under_attack"]
    worst = result["slices"][0]
    return [
        f"plan         {result['plan']['name']}",
        f"file         {result['model_bytes'] / 1e6:.1f} MB ({result['out']}/model.onnx)",
        f"accuracy     {result['accuracy']:.1%} ({result['low']:.1%} to {result['high']:.1%}) on {result['test_rows']} "
        f"test texts, {result['lost']:+.1f} points lost",
        f"agreement    {result['agreement']:.1%} of the texts get the parent's label",
        f"calibration  {result['calibration_error']:.1%} expected error",
        f"throughput   {fast['texts_a_second']:.0f} texts per second ({slow['texts_a_second']:.0f} before)",
        f"one text     {fast['median_ms']:.1f} ms, 99 of 100 in {fast['p99_ms']:.1f} ms {before}",
        f"memory       {memory['compressed'] / 1e6:.0f} MB per process, {memory['parent'] / 1e6:.0f} with torch before",
        f"under attack {under['compressed']:.0%} correct after typing errors ({under['parent']:.0%} before)",
        f"most lost    {worst['lost']:+.1f} points: {worst['slice']} ({worst['n']} texts)",
        f"rounding     logits move by {result['mean_error']:.3f} on average, {result['max_error']:.2f} at most",
        f"made in      {result['seconds']:.0f} s",
    ]
