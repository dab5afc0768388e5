"""`python -m course_lib deploy`: which versions of a model a running server uses."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.serving.versions import Mode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Folder and versions."""
    parser.add_argument("--folder", type=Path, required=True, help="folder with one exported model for each version")
    parser.add_argument("--stable", required=True, help="the version that answers")
    trial = parser.add_mutually_exclusive_group()
    trial.add_argument("--canary", metavar="VERSION", help="a version that answers a fraction of the texts")
    trial.add_argument("--shadow", metavar="VERSION", help="a version that predicts a fraction of the texts unseen")
    parser.add_argument("--fraction", type=float, default=0.1, help="of the texts for the canary or shadow (0.1)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Verifies the versions and writes the file that servers watch."""
    from course_lib.serving import Deployment, write_deployment

    mode: Mode = "canary" if options.shadow is None else "shadow"
    candidate = options.canary if options.shadow is None else options.shadow
    deployment = Deployment(options.stable, candidate, mode, 0.0 if candidate is None else options.fraction)
    write_deployment(options.folder, deployment)
    trial = f", {candidate} as {mode} for {deployment.fraction:.0%} of the texts" if candidate else ""
    return vars(deployment), [f"{options.folder}: servers use {options.stable}{trial}"], 0
