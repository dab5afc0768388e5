"""`python -m course_lib compress`: a smaller or faster model from a fine-tuned one, for ONNX Runtime."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from course_lib.classifier import TextClassifier
    from course_lib.compression import CompressionResult, Plan


ATTACK, ATTACKED = "deepwordbug", 50  # recipe, and test texts that it attacks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Parent, place, and what is wanted."""
    parser.add_argument("--model", default="sentiment", help="a saved model's folder, or sentiment, which ships")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx, its tokenizer and its classes")
    parser.add_argument("--recipe", choices=("small", "fast"), help="a plan of the course")
    parser.add_argument("--target-mb", type=float, metavar="MB", help="searches the gentlest plan of at most that size")
    parser.add_argument("--max-lost", type=float, default=1.0, metavar="POINTS", help="accuracy that may be lost (1.0)")
    parser.add_argument("--data", default="movie_reviews", help="the corpus that the model is for (movie_reviews)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Makes it, measures it beside its parent on the test part, says all figures."""
    from course_lib import corpora
    from course_lib.classifier import TextClassifier
    from course_lib.compression.onnx_export import check_export_dir
    from course_lib.errors import BadInput

    if (options.recipe is None) == (options.target_mb is None):
        raise BadInput("one of --recipe and --target-mb is needed", "give --recipe small, --recipe fast or --target-mb")
    if options.data not in corpora.NAMES:
        raise BadInput(f"--data {options.data!r} is no corpus", f"use one of {', '.join(corpora.NAMES)}")
    check_export_dir(options.out)  # found out before minutes of work
    parent = TextClassifier.from_pretrained(options.model)
    made = _made(parent, options)
    result = {"model": str(options.model), **made.figures(), **_measured(parent, made, options)}
    result["out"] = str(options.out)
    return result, _lines(result), 0


def _made(parent: TextClassifier, options: argparse.Namespace) -> CompressionResult:
    from course_lib.compression import PLANS, compress, compress_cost, plans_within, search_plans
    from course_lib.compression.distillation import unlabelled_texts

    texts, soft = unlabelled_texts(options.data), _shades(options.data, parent)
    if options.recipe:
        plan = PLANS[options.recipe]
        print(f"{plan.name}: {compress_cost(parent, plan, texts)}", file=sys.stderr, flush=True)
        return compress(parent, plan, options.out, texts, soft_labels=soft)
    held_out = _held_out(options.data)
    before = parent.score(held_out["text"].tolist(), held_out["label"].to_numpy())

    def attempt(plan: Plan) -> tuple[CompressionResult, float]:
        print(f"{plan.name}: {compress_cost(parent, plan, texts)}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            made = compress(parent, plan, Path(scratch) / "model", texts, soft_labels=soft)
            lost = 100 * (before - _reader(made).score(held_out["text"].tolist(), held_out["label"].to_numpy()))
        print(f"{plan.name}: {lost:+.1f} points lost on held-out texts", file=sys.stderr, flush=True)
        return made, lost

    best, lost = search_plans(plans_within(parent, options.target_mb), attempt, options.max_lost)
    if lost > options.max_lost:
        said = f"no plan of that size loses {options.max_lost:g} points or less"
        print(f"{said}; {best.plan.name!r} loses least: {lost:.1f}", file=sys.stderr, flush=True)
    return _written(best, options.out, texts)


def _shades(data: str, parent: TextClassifier) -> Any:
    """What people said of the corpus's own texts, which stand in front; None for a model of other classes."""
    from course_lib import corpora, finetuning

    if parent.classes_.tolist() != [0, 1]:
        return None
    ratings = corpora.part(data, "train")["rating"].to_numpy()
    return corpora.soft_labels(ratings, finetuning.recipe("default").sharpness)


def _written(best: CompressionResult, out: Path, texts: list[str]) -> CompressionResult:
    """The result of the search, at its place."""
    from dataclasses import replace

    from course_lib.compression import export_onnx

    return replace(best, exported=export_onnx(best.student, out, best.plan.bits, texts[:256]))


def _reader(made: CompressionResult) -> Any:
    from course_lib.compression import OnnxClassifier

    return OnnxClassifier(made.exported.folder)


def _held_out(data: str) -> pd.DataFrame:
    from course_lib import corpora

    return corpora.part(data, "validation")


def _measured(parent: TextClassifier, made: CompressionResult, options: argparse.Namespace) -> dict[str, Any]:
    """Accuracy, agreement, who loses, robustness, speed and memory on the test part, the parent's beside them."""
    from course_lib import corpora
    from course_lib.compression import accuracy_by_slice, macs_per_token, quality, speed

    test = corpora.part(options.data, "test")
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    both = {"parent": parent, "compressed": _reader(made)}
    said = {name: model.predict_proba(texts) for name, model in both.items()}
    good = quality(said["compressed"], said["parent"], labels, parent.classes_)
    return {
        "test_rows": len(texts),
        **asdict(good),
        "slices": accuracy_by_slice(test, said["compressed"], said["parent"]).to_dict("records"),
        "macs_per_token": macs_per_token(made.exported.folder / "model.onnx"),
        "speed": {name: asdict(speed(model, texts[:500])) for name, model in both.items()},
        "memory_bytes": _memory(parent, made, texts[:20]),
        "attack": _attacked(both, texts[:ATTACKED], labels[:ATTACKED]),
    }


def _memory(parent: TextClassifier, made: CompressionResult, texts: list[str]) -> dict[str, int]:
    """Of a process of its own for each of the two."""
    from course_lib.compression import resident_memory

    with tempfile.TemporaryDirectory() as scratch:
        saved = parent.save(Path(scratch) / "parent")
        return {"parent": resident_memory(saved, texts), "compressed": resident_memory(made.exported.folder, texts)}


def _attacked(both: dict[str, Any], texts: list[str], labels: Any) -> dict[str, Any]:
    """Accuracy under typing errors, each model attacked anew."""
    from course_lib.attacks import recipe

    attack = recipe(ATTACK)
    under = {name: attack.run(model, texts, labels, seed=0).accuracy_under_attack for name, model in both.items()}
    return {"recipe": ATTACK, "texts": len(texts), "accuracy_under_attack": under}


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
        f"throughput   {fast['texts_a_second']:.0f} texts a second ({slow['texts_a_second']:.0f} before)",
        f"one text     {fast['median_ms']:.1f} ms, 99 of 100 in {fast['p99_ms']:.1f} ms {before}",
        f"memory       {memory['compressed'] / 1e6:.0f} MB a process ({memory['parent'] / 1e6:.0f} with torch before)",
        f"under attack {under['compressed']:.0%} right after typing errors ({under['parent']:.0%} before)",
        f"most lost    {worst['lost']:+.1f} points: {worst['slice']} ({worst['n']} texts)",
        f"rounding     logits move by {result['mean_error']:.3f} on average, {result['max_error']:.2f} at most",
        f"made in      {result['seconds']:.0f} s",
    ]
