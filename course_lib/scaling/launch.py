"""Starts a small job of several processes on this machine, and returns what they print."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

from course_lib.errors import BadInput, CourseError

ROOT = Path(__file__).parents[2]
_REASON = re.compile(r"^(error: .*|(?:\w+\.)*\w*(?:Error|Exception)\b.*)$")  # of the course, or of a traceback
_RANK = re.compile(r"^\[rank\d+\]:")  # torch writes it before each line of a traceback
_SIGNAL = re.compile(r"Signal \d+ \((SIG\w+)\) received by PID")


def run_torchrun(
    command: Sequence[str],
    processes: int = 2,
    threads: int = 1,
    timeout: float = 600,
    environment: Mapping[str, str] | None = None,
    folder: str | Path | None = None,
    restarts: int = 0,
) -> list[dict[str, Any]]:
    """Runs a program in several processes that communicate, as `torchrun --standalone --nproc-per-node N` does.

    Each process prints its result as one JSON object on a line of its own. No process is left when this returns.

    Args:
        command: arguments of Python, such as `["-m", "course_lib", "finetune", "--json", ...]` or `["script.py"]`.
        processes: how many are started.
        threads: of torch in each of them.
        timeout: seconds until all processes are ended.
        environment: variables that are set besides those of this process.
        folder: where the processes run; the present one when left out.
        restarts: how often all processes are started again after one of them has failed.

    Returns:
        The printed objects; those with a `rank` in its order. Some commands print in the first process alone.

    Raises:
        BadInput: fewer than one process or thread, or a negative number of restarts.
        CourseError: the job failed or took too long. The message has the reason that the failing process gave.
    """
    if processes < 1 or threads < 1 or restarts < 0:
        raise BadInput(
            f"processes={processes}, threads={threads}, restarts={restarts}", "use 1 or more, and 0 or more restarts"
        )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    launcher += ["--max-restarts", str(restarts)]
    if command and command[0] == "-m":
        launcher.append("-m")
        command = command[1:]
    code, out, err = _run([*launcher, *command], timeout, _environment(threads, environment), folder)
    found = _objects(out)
    if code != 0:
        raise _failed(found, err, code, timeout)
    return sorted(found, key=lambda one: one.get("rank", 0))


def _objects(out: str) -> list[dict[str, Any]]:
    """The JSON objects that lines begin with. Two may be on one line: torchrun's processes write without a buffer."""
    decoder, found = json.JSONDecoder(), []
    for line in out.splitlines():
        while line.startswith("{"):
            try:
                value, end = decoder.raw_decode(line)
            except ValueError:
                break
            found.append(value)
            line = line[end:]
    return found


def _environment(threads: int, more: Mapping[str, str] | None) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
    # torch 2.13 keeps its store of addresses over a restart: a process may then call one that was killed.
    own["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    if sys.platform == "linux":
        own["GLOO_SOCKET_IFNAME"] = "lo"  # else gloo may choose an address that does not reach this machine
    return {**os.environ, **own, **(more or {})}


def _run(
    command: Sequence[str], timeout: float, environment: Mapping[str, str], folder: str | Path | None
) -> tuple[int | None, str, str]:
    """Exit code (None: out of time), standard output, standard error.

    Both are files, not pipes: a pipe can be read to its end only when the last grandchild has closed it.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        code: int | None = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = started.wait(timeout)
        finally:
            end_group(started)
        return code, _text(out), _text(err)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def end_group(process: subprocess.Popen[Any]) -> None:
    """Ends a process that was started in a session of its own, and all processes that it has started.

    torchrun starts its processes in further sessions, which a signal to its own group does not reach.
    """
    descendants: list[psutil.Process] = []
    if process.poll() is None:
        launcher = psutil.Process(process.pid)
        launcher.suspend()  # so that it starts no more
        descendants = launcher.children(recursive=True)
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    for one in descendants:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()


def _failed(found: Sequence[Mapping[str, Any]], err: str, code: int | None, timeout: float) -> CourseError:
    """The error of a job, from what its processes have printed."""
    killed = [f"a process was ended by {name}" for name in _SIGNAL.findall(err) if name != "SIGTERM"][-1:]
    for one in found:
        if "error" in one:
            message = "; ".join([*killed, str(one["error"])])
            return CourseError(message, str(one.get("fix", "see the report of torchrun")))
    if code is None:
        return CourseError(f"the processes took more than {timeout:g} s and were ended", "raise timeout, or do less")
    lines = [_RANK.sub("", line).strip() for line in err.splitlines()]
    reasons = [line for line in lines if _REASON.match(line) and "ChildFailedError" not in line]
    last = next((line for line in reversed(lines) if line.strip("=-")), f"exit code {code}")
    return CourseError(
        f"the processes failed: {'; '.join([*killed, *reasons[-1:]]) or last}"[:500], "see what it says, and repeat"
    )
