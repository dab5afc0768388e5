"""`python -m course_lib serve`: a model as a service over HTTP."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from course_lib.commands.inputs import add_model, say
from course_lib.errors import BadInput, CourseError

_TOKEN = "COURSE_SERVE_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, address, limits."""
    from course_lib.serving.limits import Limits

    add_model(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address; another one than this machine's needs a token")
    parser.add_argument("--port", type=int, default=8000, help="port, or 0 for a free one (8000)")
    parser.add_argument("--workers", type=int, default=1, help="processes that predict, one thread each (1)")
    parser.add_argument("--token", help=f"what clients must send; better in the environment variable {_TOKEN}")
    parser.add_argument("--batch-tokens", type=int, default=256, help="tokens of a padded batch (256)")
    parser.add_argument("--log-requests", action="store_true", help="one line for each request, without its text")
    for limit in fields(Limits):
        name, kind = limit.name.replace("_", "-"), type(limit.default)
        parser.add_argument(
            f"--{name}", type=kind, default=limit.default, help=f"{limit.metadata['help']} ({limit.default:g})"
        )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Serves until it is stopped."""
    from course_lib.serving import Limits, Settings, serve

    limits = Limits(**{limit.name: getattr(options, limit.name) for limit in fields(Limits)})
    if options.batch_tokens < 1:
        raise BadInput(f"--batch-tokens is {options.batch_tokens}", "use 1 or more")
    settings = Settings(
        servable_folder(options.model), limits, options.token or os.environ.get(_TOKEN), options.batch_tokens,
        options.workers, options.log_requests,
    )  # fmt: skip
    serve(settings, options.host, options.port)
    return {"stopped": True}, [], 0


def servable_folder(name: str) -> Path:
    """The folder of an export or of versions as it is; another model is exported into the cache first.

    Raises:
        CourseError: there is no such model, or it cannot be exported.
    """
    from course_lib.assets import cache_folder, data_folder
    from course_lib.onnx_model import MODEL_FILE

    folder = Path(name)
    if any((folder / file).is_file() for file in (MODEL_FILE, "deployment.json")):
        return folder
    ours = data_folder() / "checkpoints" / name
    source = ours if ours.is_dir() else folder
    if not source.is_dir():
        raise BadInput(f"--model {name} is neither a folder nor a model of the course", "give one of them")
    state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(source.iterdir())]
    digest = hashlib.sha256(repr((str(source.resolve()), state)).encode()).hexdigest()[:8]
    target = cache_folder() / "exports" / f"{source.name}-{digest}"
    if not (target / MODEL_FILE).is_file():
        say(f"exporting {name} for ONNX Runtime")
        command = [sys.executable, "-m", "course_lib", "export", "--model", name, "--out", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # torch ends with the child
        if done.returncode:
            raise CourseError(f"--model {name} cannot be exported: {done.stderr.strip()[-300:]}", "see the message")
    return target
