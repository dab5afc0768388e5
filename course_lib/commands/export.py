"""`python -m course_lib export`: a saved classifier as an ONNX file, compared with torch."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, place, bits."""
    parser.add_argument("--model", default="sentiment", help="a saved model's folder, or sentiment, which ships")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx, its tokenizer and its classes")
    parser.add_argument("--bits", type=int, default=32, help="of matrices and words: 32, 8 or 4 (32)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Writes the folder; in float32 it is refused if its answers differ from torch's."""
    from course_lib.classifier import TextClassifier
    from course_lib.compression import Bits, export_onnx

    made = export_onnx(TextClassifier.from_pretrained(options.model), options.out, Bits(options.bits, options.bits))
    result = {"model": str(options.model), **asdict(made), "folder": str(options.out), "bits": options.bits}
    lines = [
        f"{options.out}/model.onnx  {made.model_bytes / 1e6:.1f} MB, opset {made.opset}, any batch and length",
        f"logits differ from torch's by {made.max_error:.1e} at most ({made.texts} texts), labels agree on "
        f"{made.agreement:.0%}",
    ]
    return result, lines, 0
