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
    from course_lib.compression import Compressed, Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Parent, place, and what is wanted."""
    parser.add_argument("--model", default="sentiment", help="a saved model's folder, or sentiment (made when missing)")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx, its tokenizer and its classes")
    parser.add_argument("--recipe", choices=("small", "fast"), help="a plan of the course")
    parser.add_argument("--target-mb", type=float, metavar="MB", help="searches the gentlest plan of at most that size")
    parser.add_argument("--max-lost", type=float, default=1.0, metavar="POINTS", help="accuracy that may be lost (1.0)")
    parser.add_argument("--data", default="movie_reviews", help="the corpus that the model is for (movie_reviews)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Makes it, measures it beside its parent on the test part, says all figures."""
    from course_lib import corpora
    from course_lib.classifier import TextClassifier
    from course_lib.compression.export import place
    from course_lib.errors import BadInput

    if (options.recipe is None) == (options.target_mb is None):
        raise BadInput("one of --recipe and --target-mb is needed", "give --recipe small, --recipe fast or --target-mb")
    if options.data not in corpora.NAMES:
        raise BadInput(f"--data {options.data!r} is no corpus", f"use one of {', '.join(corpora.NAMES)}")
    place(options.out)  # found out before minutes of work
    parent = TextClassifier.from_pretrained(options.model)
    made = _made(parent, options)
    result = {"model": str(options.model), **made.figures(), **_measured(parent, made, options.data)}
    result["out"] = str(options.out)
    return result, _lines(result), 0


def _made(parent: TextClassifier, options: argparse.Namespace) -> Compressed:
    from course_lib.compression import PLANS, compress, compress_cost, fitting, search
    from course_lib.compression.distillation import unlabelled_texts

    texts, soft = unlabelled_texts(options.data), _shades(options.data, parent)
    if options.recipe:
        plan = PLANS[options.recipe]
        print(f"{plan.name}: {compress_cost(parent, plan, texts)}", file=sys.stderr, flush=True)
        return compress(parent, plan, options.out, texts, soft_labels=soft)
    held_out = _held_out(options.data)
    before = parent.score(held_out["text"].tolist(), held_out["label"].to_numpy())

    def attempt(plan: Plan) -> tuple[Compressed, float]:
        print(f"{plan.name}: {compress_cost(parent, plan, texts)}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            made = compress(parent, plan, Path(scratch) / "model", texts, soft_labels=soft)
            lost = 100 * (before - _reader(made).score(held_out["text"].tolist(), held_out["label"].to_numpy()))
        print(f"{plan.name}: {lost:+.1f} points lost on held-out texts", file=sys.stderr, flush=True)
        return made, lost

    best, lost = search(fitting(parent, options.target_mb), attempt, options.max_lost)
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


def _written(best: Compressed, out: Path, texts: list[str]) -> Compressed:
    """The result of the search, at its place."""
    from dataclasses import replace

    from course_lib.compression import export

    return replace(best, exported=export(best.student, out, best.plan.bits, texts[:256]))


def _reader(made: Compressed) -> Any:
    from course_lib.compression import OnnxClassifier

    return OnnxClassifier(made.exported.folder)


def _held_out(data: str) -> pd.DataFrame:
    from course_lib import corpora

    return corpora.part(data, "validation")


def _measured(parent: TextClassifier, made: Compressed, data: str) -> dict[str, Any]:
    """Accuracy, agreement and speed on the test part, the parent's beside them."""
    from course_lib import corpora
    from course_lib.compression import products_a_token, quality, speed

    test = corpora.part(data, "test")
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    small = _reader(made)
    good = quality(small.predict_proba(texts), parent.predict_proba(texts), labels, small.classes_)
    speeds = {"parent": speed(parent, texts[:500]), "compressed": speed(small, texts[:500])}
    return {
        "test_rows": len(texts),
        **asdict(good),
        "products_a_token": products_a_token(made.exported.folder / "model.onnx"),
        "speed": {name: asdict(one) for name, one in speeds.items()},
    }


def _lines(result: dict[str, Any]) -> list[str]:
    fast, slow = result["speed"]["compressed"], result["speed"]["parent"]
    before = f"({slow['median_ms']:.1f} ms before)"
    return [
        f"plan         {result['plan']['name']}",
        f"file         {result['model_bytes'] / 1e6:.1f} MB ({result['out']}/model.onnx)",
        f"accuracy     {result['accuracy']:.1%} ({result['low']:.1%} to {result['high']:.1%}) on {result['test_rows']} "
        f"test texts, {result['lost']:+.1f} points lost",
        f"agreement    {result['agreement']:.1%} of the texts get the parent's label",
        f"calibration  {result['calibration_error']:.1%} expected error",
        f"throughput   {fast['texts_a_second']:.0f} texts a second ({slow['texts_a_second']:.0f} before)",
        f"one text     {fast['median_ms']:.1f} ms, 99 of 100 in {fast['p99_ms']:.1f} ms {before}",
        f"rounding     logits move by {result['mean_error']:.3f} on average, {result['max_error']:.2f} at most",
        f"made in      {result['seconds']:.0f} s",
    ]
