"""`python -m course_lib fill`: a language model predicts a missing word, or continues a text."""

from __future__ import annotations

import argparse
from typing import Any

from course_lib.errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model and texts."""
    parser.add_argument(
        "--model", default="course", help="course (default), tiny-bert, or a folder written by pretrain --out"
    )
    parser.add_argument("--top", type=int, default=5, help="candidates for each [MASK] (5)")
    parser.add_argument("--tokens", type=int, default=30, help="tokens that a causal model adds (30)")
    parser.add_argument(
        "--temperature", type=float, default=0.8, help="of a causal model; 0 always takes the most probable token (0.8)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of a causal model's random choices (0)")
    parser.add_argument(
        "texts",
        nargs="+",
        metavar="TEXT",
        help="a text with [MASK] in place of a word; or, for a causal model, a text to continue",
    )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Candidates for each mask of each text, or each text with its continuation."""
    from course_lib.pretraining import LanguageModel

    for name, least in (("top", 1), ("tokens", 1), ("temperature", 0)):
        if getattr(options, name) < least:
            raise BadInput(f"--{name} is {getattr(options, name)}", f"use {least} or more")
    language = LanguageModel.from_pretrained(options.model)
    if language.model.encoder.causal:
        written = [language.generate(t, options.tokens, options.temperature, options.seed) for t in options.texts]
        rows = [{"text": text, "written": new} for text, new in zip(options.texts, written, strict=True)]
        return {"model": options.model, "texts": rows}, written, 0
    rows, lines = [], []
    for text in options.texts:
        masks = language.fill(text, options.top)
        rows.append({
            "text": text,
            "masks": [[{"word": word, "probability": round(p, 4)} for word, p in mask] for mask in masks],
        })  # fmt: skip
        lines += [text, *("  " + ", ".join(f"{word} {p:.2f}" for word, p in mask) for mask in masks)]
    return {"model": options.model, "texts": rows}, lines, 0
