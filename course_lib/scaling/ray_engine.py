"""The same service and the same predictions on Ray, which runs them on one machine or on a cluster.

Ray is an extra (`pip install -e ".[scale]"`). On one machine the commands start it themselves:

    python -m course_lib serve --ray --model sentiment --workers 2
    python -m course_lib predict --ray --processes 2 --file texts.txt

On a cluster, each machine needs the course and the model's folder at the same path. Ray is started first, and the
commands find it through `RAY_ADDRESS`:

    ray start --head --port 6379                            # on the first machine
    ray start --address FIRST-MACHINE:6379                  # on each other one
    RAY_ADDRESS=FIRST-MACHINE:6379 python -m course_lib serve --ray --model /models/v1 --workers 16 --token ...

Ray runs the code that reaches its ports, and listens on all addresses of a machine. On one machine the commands make a
secret token for each run; for a cluster, set `RAY_AUTH_MODE=token` and `RAY_AUTH_TOKEN` on all machines, and close the
ports to others.

Ray's own HTTP proxy receives the requests. It replaces replicas that die. The service's deadline for clients that send
slowly (`serving.protocol`) does not apply to it: put a reverse proxy in front of it.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from course_lib.errors import BadInput, CourseError
from course_lib.onnx_model import OnnxModel, softmax
from course_lib.scaling.launch import ROOT
from course_lib.serving import Settings, create_app
from course_lib.serving.limits import check_address

if TYPE_CHECKING:
    from starlette.applications import Starlette

_OBJECT_STORE = 100_000_000  # bytes of shared memory on one machine: texts are small
_NAME = "course"


def import_ray() -> Any:
    """The module `ray`, with Serve and Data.

    Raises:
        CourseError: it is not installed, or was imported before this function could set its token.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_ADDRESS" not in os.environ and "RAY_AUTH_MODE" not in os.environ:
        if sys.modules.get("ray"):
            raise CourseError("Ray was imported before it had a token", "restart Python, without importing ray")
        # Ray listens on all addresses of the machine and runs what it is sent. Read when it is imported.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray
        import ray.data
        import ray.serve
    except ImportError as error:
        raise CourseError(f"Ray is not installed ({error})", 'install it: pip install -e ".[scale]"') from error
    return ray


@contextmanager
def ray_cluster(cpus: int) -> Iterator[Any]:
    """Connects to the cluster of `RAY_ADDRESS`; without it, starts Ray on this machine and ends it after the block.

    Args:
        cpus: that Ray may give away on this machine.

    Raises:
        CourseError: Ray is not installed, or does not start.
    """
    ray = import_ray()
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        local: dict[str, Any] = {}
        if "RAY_ADDRESS" not in os.environ:
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            local = {
                "num_cpus": cpus, "object_store_memory": _OBJECT_STORE, "include_dashboard": False,
                "_node_ip_address": "127.0.0.1", "_temp_dir": folder,
            }  # fmt: skip
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **local)
        except Exception as error:  # of many kinds: no port, a cluster that does not answer, an agent that is too slow
            ray.shutdown()
            raise CourseError(
                f"Ray did not start: {str(error).splitlines()[0][:200]}", "try again, with less running on this machine"
            ) from error
        try:
            yield ray
        finally:
            ray.shutdown()


# ---- serving -----------------------------------------------------------------------------------------------------


def _app_builder(settings: Settings) -> Callable[[], Starlette]:
    """A function that each replica calls: the application itself has a model, which cannot be sent."""

    def build() -> Starlette:
        return create_app(settings)

    return build


@contextmanager
def ray_server(settings: Settings, host: str = "127.0.0.1", port: int = 8000) -> Iterator[str]:
    """The service of `serving.create_app` as a Ray Serve deployment, `settings.workers` replicas of one CPU each.

    Args:
        settings: model, limits, token, workers.
        host: another address than this machine's own needs a token.
        port: of Ray's HTTP proxy.

    Yields:
        Its address.

    Raises:
        BadInput: an address without a token, or port 0.
        CourseError: Ray is not installed, or does not start.
    """
    check_address(host, settings.token)
    if port < 1:
        raise BadInput(f"port is {port}", "give the number of a free port: Ray Serve cannot choose one")
    absolute = replace(settings, folder=settings.folder.absolute())
    with ray_cluster(cpus=settings.workers + 1) as ray:
        serve = ray.serve
        serve.start(http_options={"host": host, "port": port})
        deployment = serve.deployment(
            serve.ingress(_app_builder(absolute))(), name=_NAME, num_replicas=settings.workers,
            ray_actor_options={"num_cpus": 1}, max_ongoing_requests=settings.limits.waiting,
        )  # fmt: skip
        try:
            serve.run(deployment.bind(), name=_NAME, route_prefix="/")
            yield f"http://{host}:{port}"
        finally:
            serve.shutdown()


def wait_for_signal() -> None:
    """Returns when this process gets SIGTERM or Ctrl-C."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(1):
        pass


# ---- batch inference ---------------------------------------------------------------------------------------------


class OnnxPredictor:
    """An actor of Ray Data: one model, which predicts batch after batch.

    Args:
        folder: an export.
    """

    def __init__(self, folder: str) -> None:
        self.model = OnnxModel(folder)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """From rows with `row` and `text` to rows with `row` and `logits`."""
        tokens = self.model.encode(batch["text"].tolist())
        return {"row": batch["row"], "logits": self.model.logits([one.ids for one in tokens])}


def ray_predict(
    folder: str | os.PathLike[str], texts: Sequence[str], processes: int = 2, batch_size: int = 16
) -> tuple[NDArray[np.float32], list[str]]:
    """Probabilities of many texts by Ray Data, and the names of their columns.

    Equal texts are computed once; texts of similar length are in one batch.

    Args:
        folder: an export, at the same path on each machine.
        texts: n strings.
        processes: actors of one CPU each.
        batch_size: texts of a batch.

    Returns:
        (n, classes) in the order of the texts, and the classes' names.

    Raises:
        BadInput: fewer than one process or text in a batch.
        MissingAsset, CorruptAsset: there is no export, or a damaged one.
        CourseError: Ray is not installed, or does not start.
    """
    if processes < 1 or batch_size < 1:
        raise BadInput(f"processes={processes}, batch_size={batch_size}", "use 1 or more for both")
    path = str(Path(folder).absolute())
    names = OnnxModel(path).class_names  # fails here, with its reason, and not in each actor
    if not len(texts):
        return np.empty((0, len(names)), np.float32), names
    unique = sorted(dict.fromkeys(texts), key=len)
    with ray_cluster(cpus=processes + 1) as ray:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items(
            [{"row": row, "text": text} for row, text in enumerate(unique)],
            override_num_blocks=min(4 * processes, len(unique)),
        )
        found = rows.map_batches(
            OnnxPredictor, fn_constructor_args=[path], batch_size=batch_size, num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=processes),
        ).take_all()  # fmt: skip
    logits = np.empty((len(unique), len(names)), np.float32)
    logits[[one["row"] for one in found]] = [one["logits"] for one in found]
    place = {text: row for row, text in enumerate(unique)}
    return softmax(logits)[[place[text] for text in texts]], names
