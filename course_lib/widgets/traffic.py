"""Send requests to a running server at a rate of your choice, and watch its latency."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets
import numpy as np
import pandas as pd

from course_lib import plots
from course_lib.errors import BadInput
from course_lib.serving.load import NO_RESPONSE, LoadRun, open_loop, quantile_interval, requests_for_quantile
from course_lib.widgets.base import control_style, error_message, live_box, message

START = 20  # requests per second
LOOK_FOR = "Raise the rate step by step and look for the one from which p99 grows steeply."


def live_traffic(
    url: str, texts: Sequence[str], highest: int = 400, seconds: float = 2.0, token: str | None = None
) -> ipywidgets.VBox:
    """A slider of requests per second; each move sends an open load and adds a point to the curve of latencies.

    Requests arrive at random (Poisson), whether or not earlier ones are answered, and latency counts from the time at
    which each was due. Runs at equal rates are pooled; the intervals are too narrow under load, since requests that
    wait in a queue depend on each other. The kernel is busy while a load is sent. What goes wrong is
    shown in place of the pictures.

    Args:
        url: of a server, such as that of `course_lib.serving.start_server`.
        texts: sent in turn, one in each request; pass hundreds, since equal texts that wait are computed once.
        highest: requests per second at the slider's end.
        seconds: of each load.
        token: that the server wants.

    Returns:
        A box of the class `live-traffic`: slider (children[0]), the button "Send again" (children[1]), words
        (children[2], HTML), the last run (children[3]) and the curve (children[4]).

    Raises:
        BadInput: `highest` below 20, or a time that is not above 0.
    """
    if highest < START or not seconds > 0:
        raise BadInput(
            f"up to {highest} requests per second for {seconds} s", f"use at least {START}, and a time above 0"
        )
    return _Traffic(url, texts, highest, seconds, token).box


class _Traffic:
    """The controls, and the runs so far."""

    def __init__(self, url: str, texts: Sequence[str], highest: int, seconds: float, token: str | None) -> None:
        self.url, self.texts, self.seconds, self.token = url, texts, seconds, token
        self.runs: dict[int, list[LoadRun]] = {}
        self.slider = ipywidgets.IntSlider(
            value=START, min=10, max=highest, step=10, description="Requests per second", continuous_update=False,
            **control_style(),
        )  # fmt: skip
        again = ipywidgets.Button(description="Send again", layout={"width": "auto", "align_self": "flex-start"})
        again.on_click(self.show)
        self.words = ipywidgets.HTML(layout={"width": "min(100%, 760px)"})
        self.last, self.curve = ipywidgets.HTML(), ipywidgets.HTML()
        self.box = live_box("live-traffic", [self.slider], [again, self.words, self.last, self.curve], self.show)

    def show(self, _: object = None) -> None:
        """Sends a load and shows it."""
        rate = self.slider.value
        self.words.value = message(f"Sending {rate} requests per second for {self.seconds:g} s …")
        try:
            run = self.send(rate)
        except Exception as error:  # of a server that may be gone: shown, not hidden
            self.words.value = message("No load was sent.") + error_message(error)
            return
        self.runs.setdefault(rate, []).append(run)
        self.words.value = message(describe_run(run)) + f"<p>{LOOK_FOR}</p>"
        self.draw(run)

    def send(self, rate: int) -> LoadRun:
        """One load; each has other arrival times."""
        seed = sum(map(len, self.runs.values()))
        return open_loop(self.url, self.texts, rate, self.seconds, seed, token=self.token)

    def draw(self, run: LoadRun) -> None:
        """The pictures; without a single result there is none of this run."""
        if len(run.served):
            title = f"Latency of the last run, {self.slider.value} requests per second"
            self.last.value = plots.to_html(
                plots.run_timeline(run.arrivals, run.latency, title=title, status=run.status)
            )
        self.last.layout.display = "" if len(run.served) else "none"
        table = latency_table(self.runs)
        if len(table):
            self.curve.value = plots.to_html(plots.percentiles_over_rate(table))


def latency_table(runs: dict[int, list[LoadRun]]) -> pd.DataFrame:
    """p50 and p99 in seconds with their 95 % intervals, a row for each rate at which anything was served.

    Args:
        runs: requests per second -> the runs at this rate, which are pooled.

    Returns:
        A table for `plots.percentiles_over_rate`.
    """
    rows = []
    for rate, found in runs.items():
        served = np.concatenate([run.served for run in found])
        if len(served):
            row = {"rate": float(rate)}
            for name, q in (("p50", 0.5), ("p99", 0.99)):
                low, high = quantile_interval(served, q)
                row |= {name: float(np.quantile(served, q)), f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
    return pd.DataFrame(rows)


def describe_run(run: LoadRun) -> str:
    """What became of the requests of a run, in words."""
    lost = int(np.sum(run.status == NO_RESPONSE))
    refused = run.failed - lost
    words = f"{len(run.status):,} requests were sent: {len(run.served):,} served, {refused:,} refused, {lost:,} lost. "
    if not len(run.served):
        return words
    low, high = quantile_interval(run.served, 0.99)
    if np.isfinite(high):
        interval = f"95 % interval {1000 * low:.3g} to {1000 * high:.3g} ms"
    else:
        interval = f"an upper end of its interval takes {requests_for_quantile(0.99):,} requests"
    words += f"p50 is {1000 * run.quantile(0.5):.3g} ms, p99 is {1000 * run.quantile(0.99):.3g} ms ({interval})."
    if np.quantile(run.lateness, 0.99) > 0.2 * run.quantile(0.99):
        words += " The client itself was late: this machine is too busy to measure the server alone."
    return words
