"""Commands that torchrun may start in several processes: all compute, and the first one alone writes and prints."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from course_lib.errors import CourseError


def add_fsdp(parser: argparse.ArgumentParser) -> None:
    """`--fsdp`, as `all_processes` reads it."""
    parser.add_argument(
        "--fsdp", action="store_true",
        help="with torchrun: divide weights, gradients and optimizer state among the processes (FSDP2)",
    )  # fmt: skip


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Inside the block SIGTERM raises SystemExit, so that the processes that it has started are ended, too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def all_processes(sharded: bool = False) -> Iterator[None]:
    """Runs the block in every process of a torchrun; after it, only the first one goes on.

    Raises:
        SystemExit: in the other processes: 0 after the block, 1 after an error, which the first one reports.
        BadInput, CourseError: as `training.parallel.process_group`.
    """
    from course_lib.training.parallel import process_group, rank

    with process_group(sharded):
        number = rank()
        try:
            yield
        except (CourseError, KeyboardInterrupt):
            if number:
                raise SystemExit(1) from None
            raise
    if number:
        raise SystemExit(0)
