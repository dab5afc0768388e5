"""The command line, one module for each command; `python -m course_lib --help` lists them."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from course_lib.commands.inputs import write_out
from course_lib.errors import CourseError

COMMANDS = {
    "doctor": "show what this machine is, and whether anything is missing",
    "data": "fetch and verify data and weights",
    "lab": "open the first notebook in JupyterLab; further options are passed to JupyterLab",
    "bundle": "write one folder from which a class sets the course up without a network",
    "progress": "show how far you are in the exercises and where to continue, or how far a class is",
    "workshop": "write notebooks for a class, with and without solutions, slides and a guide for the instructor",
    "finetune": "train a classifier on a corpus or on your own CSV file, evaluate it and save it",
    "pretrain": "pretrain a language model on the course's texts, measure it on held-out text and save it",
    "fill": "predict a missing word with a pretrained language model",
    "predict": "classify sentences with a saved model",
    "compress": "make a smaller or faster model of a fine-tuned one, for ONNX Runtime, and measure both",
    "export": "write a saved classifier as an ONNX file and compare it with torch",
    "serve": "answer requests over HTTP with a saved model",
    "deploy": "change the version of the model that a running server uses",
    "attack": "search for small changes of sentences that change the predictions of a saved model",
    "explain": "show which words made a saved model predict what it predicts",
    "generate": "let a language model answer a message or continue a text",
}
FAILED, INTERRUPTED = 1, 130  # argparse itself exits with 2 for a misused command


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands; with `only`, no other command has its arguments, and no other module is loaded."""
    top = argparse.ArgumentParser("python -m course_lib", description="Large Models, Hands On: the command line.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in COMMANDS.items():
        sub = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        sub.add_argument("--json", action="store_true", help="print one JSON object on standard output, nothing else")
        if only in (None, name):
            import_module(f"course_lib.commands.{name}").add_arguments(sub)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit code: 0 done, 1 failed (reason and fix are on standard error), 2 misused, 130 interrupted.
    """
    given = sys.argv[1:] if arguments is None else arguments
    top = parser(only=given[0] if given else "")
    options, others = top.parse_known_args(given)
    if others and options.command != "lab":
        top.error(f"unrecognized arguments: {' '.join(others)}")
    options.others = others
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            result, lines, code = import_module(f"course_lib.commands.{options.command}").run(options)
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        result, lines, code = {"error": error.message, "fix": error.fix}, [], FAILED
    except KeyboardInterrupt:
        fix = "the same command continues from here" if _continues(options) else "the same command starts again"
        print(f"interrupted; {fix}", file=sys.stderr)
        result, lines, code = {"error": "interrupted", "fix": fix}, [], INTERRUPTED
    if text := json.dumps(result) if options.json else "\n".join(lines):
        write_out(text + "\n")
    return int(code)


def _continues(options: argparse.Namespace) -> bool:
    """Whether an interrupted command left something from which it continues: archives, or checkpoints beside --out."""
    has_checkpoints = getattr(options, "checkpoint_every", 0) and options.out
    return options.command == "data" or bool(has_checkpoints)


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """A warning of the course as one plain line, another one as Python shows it."""
    ours = Path(filename).is_relative_to(Path(__file__).parents[1])
    text = f"warning: {message}" if ours else warnings.formatwarning(message, category, filename, lineno).rstrip()
    print(text, file=sys.stderr, flush=True)
