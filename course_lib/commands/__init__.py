"""The command line, one module a command; `python -m course_lib --help` lists them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from course_lib.errors import CourseError

COMMANDS = {
    "doctor": "what this machine is, and whether anything is missing",
    "data": "fetch and verify data and weights",
    "lab": "open the first notebook in JupyterLab; further options go to JupyterLab",
    "bundle": "write one folder from which a class sets the course up without a network",
    "finetune": "train a classifier on a corpus or on your own CSV file, evaluate it and save it",
    "pretrain": "pretrain a language model on the course's texts, measure it on held-out text and save it",
    "fill": "ask a pretrained language model for a missing word",
    "predict": "classify sentences with a saved model",
    "compress": "make a smaller or faster model of a fine-tuned one, for ONNX Runtime, and measure both",
    "export": "write a saved classifier as an ONNX file and compare it with torch",
    "attack": "look for small changes of sentences that turn a saved model's answers",
    "explain": "say which words made a saved model answer as it does",
}
FAILED, INTERRUPTED = 1, 130  # argparse itself gives 2 for a misused command


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser("python -m course_lib", description="Large Models, Hands On: the command line.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in COMMANDS.items():
        sub = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        sub.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else there")
        import_module(f"course_lib.commands.{name}").add_arguments(sub)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit code: 0 done, 1 failed (the reason and what mends it go to standard error), 2 misused, 130 broken off.
    """
    top = parser()
    options, others = top.parse_known_args(arguments)
    if others and options.command != "lab":
        top.error(f"unrecognized arguments: {' '.join(others)}")
    options.others = others
    try:
        result, lines, code = import_module(f"course_lib.commands.{options.command}").run(options)
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        result, lines, code = {"error": error.message, "fix": error.fix}, [], FAILED
    except KeyboardInterrupt:
        fix = "the same command goes on from here"
        print(f"broken off; {fix}", file=sys.stderr)
        result, lines, code = {"error": "broken off", "fix": fix}, [], INTERRUPTED
    _say(json.dumps(result) if options.json else "\n".join(lines))
    return int(code)


def _say(text: str) -> None:
    """Prints on standard output, with escapes for what its encoding cannot write."""
    if not text:
        return
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
