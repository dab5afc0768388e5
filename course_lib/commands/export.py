"""`python -m course_lib export`: a saved classifier as an ONNX file, compared with torch."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.commands.inputs import add_model, check_writable, load_model
from course_lib.errors import BadInput

if TYPE_CHECKING:
    from course_lib.classifier import TextClassifier


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, place, bits."""
    add_model(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx, its tokenizer and its classes")
    parser.add_argument("--bits", type=int, default=32, help="of matrices and embeddings: 32, 8 or 4 (32)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Writes the folder; in float32 it is refused if its predictions differ from torch's."""
    from course_lib.compression import Bits, export_onnx

    bits = Bits(options.bits, options.bits)
    check_export_place(options.out)
    made = export_onnx(load_parent(options.model), options.out, bits)
    result = {"model": str(options.model), **asdict(made), "folder": str(options.out), "bits": options.bits}
    lines = [
        f"{options.out}/model.onnx  {made.model_bytes / 1e6:.1f} MB, opset {made.opset}, any batch and length",
        f"logits differ from torch's by {made.max_error:.1e} at most ({made.texts} texts), labels agree on "
        f"{made.agreement:.0%}",
    ]
    return result, lines, 0


def check_export_place(out: Path) -> None:
    """Raises BadInput before long work where an export cannot be written."""
    from course_lib.compression.onnx_export import check_export_dir

    check_writable(check_export_dir(out), "--out")


def load_parent(name: str) -> TextClassifier:
    """A BERT classifier with classes, which can be compressed and exported.

    Raises:
        BadInput: an export, a defended model, a regression model or one that is not a BERT.
        CourseError: there is no such model, or it is damaged.
    """
    from course_lib.classifier import TextClassifier
    from course_lib.compression import OnnxClassifier
    from course_lib.compression.linear_layers import bert_encoder

    model = load_model(name)
    if isinstance(model, OnnxClassifier):
        raise BadInput(
            f"--model {name} is an ONNX export, which cannot be compressed or exported again",
            "give the folder of the model that it was made from",
        )
    if not isinstance(model, TextClassifier):
        raise BadInput(f"--model {name} is a {type(model).__name__}", "give the folder of a fine-tuned BERT")
    bert_encoder(model)
    if model.head != "classification":
        raise BadInput(f"--model {name} has the head {model.head!r}", "give a model with classes")
    return model
