"""`python -m course_lib predict`: classify sentences with a saved model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from course_lib.commands.inputs import add_model, load_model, read_lines
from course_lib.errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model and sentences."""
    add_model(parser)
    parser.add_argument("--file", type=Path, help="a text file, one sentence a line")
    parser.add_argument("--encoding", default="utf-8", help="encoding of the file or of standard input (utf-8)")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="sentences; without any, standard input is read")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """One prediction for each sentence."""
    texts = _texts(options)
    classifier = _load(options.model)
    rows = _ratings(classifier, texts) if classifier.head == "regression" else _labels(classifier, texts)
    lines = [f"{row['label']:>12} {row['probability']:.2f}  {row['text']}" if "label" in row
             else f"{row['rating']:+.2f}  {row['text']}" for row in rows]  # fmt: skip
    return {"model": str(options.model), "predictions": rows}, lines, 0


def _load(name: str) -> Any:
    """The classifier; a plain BERT without the seconds that the import of transformers takes."""
    from course_lib import assets
    from course_lib.commands.saved_bert import SavedBert

    folder = assets.data_folder() / "checkpoints" / name if name == "sentiment" else Path(name)
    if name == "sentiment" or SavedBert.is_saved(folder):
        try:
            return SavedBert(folder)
        except Exception:  # damaged files raise errors of any kind: the usual loader says what is wrong
            return load_model(name)
    return load_model(name)


def _ratings(classifier: Any, texts: list[str]) -> list[dict[str, Any]]:
    return [{"text": text, "rating": float(x)} for text, x in zip(texts, classifier.predict(texts), strict=True)]


def _labels(classifier: Any, texts: list[str]) -> list[dict[str, Any]]:
    names = classifier.class_names_
    rows = []
    for text, row in zip(texts, classifier.predict_proba(texts), strict=True):
        probabilities = {name: round(float(p), 4) for name, p in zip(names, row, strict=True)}
        best = int(row.argmax())
        rows.append({
            "text": text, "label": names[best], "probability": probabilities[names[best]],
            "probabilities": probabilities,
        })  # fmt: skip
    return rows


def _texts(options: argparse.Namespace) -> list[str]:
    if options.texts and options.file:
        raise BadInput("sentences are given both as arguments and by --file", "use one of the two")
    if options.texts:
        return list(options.texts)
    if not options.file and sys.stdin.isatty():
        raise BadInput("there is no sentence", 'give some: python -m course_lib predict "I like the movie"')
    return read_lines(options.file, options.encoding)
