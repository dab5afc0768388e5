"""`python -m course_lib serve`: a model as a service over HTTP."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from course_lib.commands.inputs import add_model, say

_TOKEN = "COURSE_SERVE_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, address, limits."""
    from course_lib.serving.limits import Limits

    add_model(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address; another one than this machine's needs a token")
    parser.add_argument("--port", type=int, default=8000, help="port, or 0 for a free one (8000)")
    parser.add_argument("--workers", type=int, default=1, help="processes that predict, one thread each (1)")
    parser.add_argument("--token", help=f"what clients must send; better in the environment variable {_TOKEN}")
    parser.add_argument("--ray", action="store_true", help="by Ray Serve, on this machine or a cluster")
    parser.add_argument("--batch-tokens", type=int, default=256, help="tokens of a padded batch (256)")
    parser.add_argument("--log-requests", action="store_true", help="one line for each request, without its text")
    for limit in fields(Limits):
        name, kind = limit.name.replace("_", "-"), type(limit.default)
        parser.add_argument(
            f"--{name}", type=kind, default=limit.default, help=f"{limit.metadata['help']} ({limit.default:g})"
        )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Serves until it is stopped."""
    from course_lib.serving import Limits, Settings, servable_folder, serve
    from course_lib.serving.limits import check_address

    limits = Limits(**{limit.name: getattr(options, limit.name) for limit in fields(Limits)})
    token = options.token or os.environ.get(_TOKEN) or None
    settings = Settings(Path(options.model), limits, token, options.batch_tokens, options.workers, options.log_requests)
    check_address(options.host, token)
    settings = replace(settings, folder=servable_folder(options.model, say))  # last: an export takes seconds
    if options.ray:
        from course_lib.scaling.ray_engine import ray_server, wait_for_signal

        with ray_server(settings, options.host, options.port) as url:
            say(f"serving on {url}")
            wait_for_signal()
    else:
        serve(settings, options.host, options.port)
    return {"stopped": True}, [], 0
