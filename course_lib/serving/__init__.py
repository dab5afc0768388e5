"""A service for a classifier, without torch: HTTP, dynamic batching, limits, versions that change while it runs.

`app` has the routes, `limits` what a request may be, `batcher` the queue before the model, `versions` the models that
are in use, `explanations` Shapley values within a budget, `metrics` the figures for Prometheus, `page` the page at `/`,
`protocol` the deadline for slow clients, `balance` even work for the workers. `server` starts all of it under uvicorn,
whose supervisor replaces workers that die. `load` sends requests to a server and measures it, `simulation` computes
queues without one.
"""

from course_lib.serving.app import Settings, create_app
from course_lib.serving.batcher import Batcher, DeadlineExceeded, ModelFailed, QueueFull, Row, RowQueue, take_batch
from course_lib.serving.limits import Limits, RateLimiter
from course_lib.serving.load import LoadRun, closed_loop, open_loop, quantile_interval, requests_for_quantile
from course_lib.serving.server import RunningServer, serve, start_server
from course_lib.serving.versions import Deployment, Versions, load_version, servable_folder, write_deployment

__all__ = [
    "Batcher",
    "DeadlineExceeded",
    "Deployment",
    "Limits",
    "LoadRun",
    "ModelFailed",
    "QueueFull",
    "RateLimiter",
    "Row",
    "RowQueue",
    "RunningServer",
    "Settings",
    "Versions",
    "closed_loop",
    "create_app",
    "load_version",
    "open_loop",
    "quantile_interval",
    "requests_for_quantile",
    "servable_folder",
    "serve",
    "start_server",
    "take_batch",
    "write_deployment",
]
