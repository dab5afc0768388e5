"""`python -m course_lib predict`: classify sentences with a saved model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.classifier import TextClassifier


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model and sentences."""
    parser.add_argument("--model", default="sentiment", help="a saved model's folder, or sentiment, which ships")
    parser.add_argument("--file", type=Path, help="a text file, one sentence a line")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="sentences; from standard input when none is given")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """One prediction a sentence."""
    from course_lib.classifier import TextClassifier

    texts = _texts(options)
    classifier = TextClassifier.from_pretrained(options.model)
    rows = _ratings(classifier, texts) if classifier.head == "regression" else _labels(classifier, texts)
    lines = [f"{row['label']:>12} {row['probability']:.2f}  {row['text']}" if "label" in row
             else f"{row['rating']:+.2f}  {row['text']}" for row in rows]  # fmt: skip
    return {"model": str(options.model), "predictions": rows}, lines, 0


def _ratings(classifier: TextClassifier, texts: list[str]) -> list[dict[str, Any]]:
    return [{"text": text, "rating": float(x)} for text, x in zip(texts, classifier.predict(texts), strict=True)]


def _labels(classifier: TextClassifier, texts: list[str]) -> list[dict[str, Any]]:
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
    from course_lib.errors import BadInput

    if options.texts and options.file:
        raise BadInput("sentences are given both as arguments and by --file", "use one of the two")
    if options.texts:
        return list(options.texts)
    if options.file:
        try:
            return _lines(options.file.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"--file {options.file} cannot be read: {error}", "give a text file in UTF-8") from error
    if sys.stdin.isatty():
        raise BadInput("there is no sentence", 'give some: python -m course_lib predict "I like the movie"')
    try:
        return _lines(sys.stdin.read())
    except UnicodeDecodeError as error:
        raise BadInput(f"standard input cannot be read: {error}", "give text in UTF-8") from error


def _lines(text: str) -> list[str]:
    """The lines; str.splitlines would also cut at form feeds and other signs inside a sentence."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]
