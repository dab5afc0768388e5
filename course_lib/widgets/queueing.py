"""Replay a simulated queue batch by batch: which rows each policy takes, and how much of a batch is padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ipywidgets
import numpy as np
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.serving.simulation import POLICIES, QueueRun, poisson_arrivals, simulate_batches
from course_lib.widgets.base import control_style, live_box, message

MOST_BARS = 28  # waiting rows that are drawn; the rest is counted
POLICY_NAMES = {"arrival": "in order of arrival", "timer": "after a timer", "length": "by similar length"}
TAKEN, LEFT = "#2f6fb0", "#b5b5b5"
PADDING = "repeating-linear-gradient(45deg,#a3322b 0 2px,transparent 2px 5px)"
LOOK_FOR = (
    "Step through the batches and compare the red hatching: it is padding, which the model computes for nothing. "
    "Blue rows are taken, grey rows wait; the number is a row's length in tokens."
)


@dataclass(frozen=True)
class BatchStep:
    """A batch of a simulated run, and the rows that waited when it began.

    Attributes:
        start: seconds since the first arrival.
        seconds: of computing.
        waiting: rows in the queue, in order of arrival, those taken included.
        taken: rows of the batch.
        padding: fraction of the batch's tokens that are padding.
        padding_so_far: the same fraction over this batch and all before it.
        done: rows computed when the batch ends.
    """

    start: float
    seconds: float
    waiting: list[int]
    taken: list[int]
    padding: float
    padding_so_far: float
    done: int

    @property
    def end(self) -> float:
        """Seconds since the first arrival."""
        return self.start + self.seconds


def batch_steps(run: QueueRun, lengths: Sequence[int]) -> list[BatchStep]:
    """The batches of a run of `simulate_batches`, in order.

    Args:
        run: what became of each row.
        lengths: (n,) tokens of each row, as they were simulated.

    Raises:
        BadInput: as many lengths as there are not rows.
    """
    tokens = np.asarray(lengths)
    if tokens.shape != run.arrivals.shape:
        raise BadInput(f"{tokens.size} lengths for {len(run.arrivals)} rows", "pass the lengths that were simulated")
    start, first = run.arrivals + run.wait, run.arrivals[0]
    steps: list[BatchStep] = []
    used = computed = done = 0
    for number in range(int(run.batch.max()) + 1):
        taken = np.flatnonzero(run.batch == number)
        began = start[taken[0]]
        waiting = np.flatnonzero((run.arrivals <= began) & (run.batch >= number))
        padded = len(taken) * int(tokens[taken].max())
        used, computed, done = used + int(tokens[taken].sum()), computed + padded, done + len(taken)
        seconds = float(run.latency[taken[0]] - run.wait[taken[0]])
        steps.append(BatchStep(
            float(began - first), seconds, waiting.tolist(), taken.tolist(), 1 - int(tokens[taken].sum()) / padded,
            1 - used / computed, done,
        ))  # fmt: skip
    return steps


def queue_replay(
    arrivals: ArrayLike | None = None,
    lengths: Sequence[int] | None = None,
    seconds_of: Callable[[int, int], float] | None = None,
    max_tokens: int = 256,
    max_rows: int = 8,
    timer: float = 0.02,
) -> ipywidgets.VBox:
    """A slider over the batches of three policies side by side, with the waiting rows as bars of their lengths.

    At each step one of the policies begins a batch; the others are shown at the same time. It opens halfway, where rows
    have queued up.

    Args:
        arrivals: (n,) seconds, not decreasing; left out, 120 rows of an example that comes a little too fast.
        lengths: (n,) tokens of each row; left out, those of the example.
        seconds_of: (rows, longest) -> seconds of such a batch, as you have measured it; left out, an assumed 1 ms and
            0.12 ms for each token with its padding.
        max_tokens: of a batch with its padding, where rows are taken by length.
        max_rows: of a batch.
        timer: seconds that the oldest row waits for others, for the policy "timer".

    Returns:
        A box of the class `queue-replay`: slider (children[0]) and the queues (children[1], HTML).

    Raises:
        BadInput: arrivals without lengths or the other way round, or what `simulate_batches` raises.
    """
    if (arrivals is None) != (lengths is None):
        raise BadInput("arrivals and lengths belong together", "pass both, or neither")
    times = np.asarray(_example_arrivals() if arrivals is None else arrivals, dtype=np.float64)
    tokens = [int(length) for length in (_example_lengths(len(times)) if lengths is None else lengths)]
    steps: dict[str, list[BatchStep]] = {
        policy: batch_steps(
            simulate_batches(times, tokens, seconds_of or _assumed_seconds, policy, max_tokens, max_rows, timer), tokens
        )
        for policy in POLICIES
    }
    moments = sorted({step.start for found in steps.values() for step in found})
    slider = ipywidgets.IntSlider(
        value=len(moments) // 2 + 1, min=1, max=len(moments), description="Step", **control_style("4em")
    )
    queues = ipywidgets.HTML(layout={"width": "min(100%, 1000px)"})

    def show(_: object = None) -> None:
        queues.value = queues_html(steps, tokens, moments[slider.value - 1])

    return live_box("queue-replay", [slider], [queues], show)


def queues_html(steps: Mapping[str, Sequence[BatchStep]], lengths: Sequence[int], seconds: float) -> str:
    """The queues of each policy at the last batch that it had begun at this time (seconds since the first arrival)."""
    columns = "".join(
        f'<div style="flex:1 1 18em"><b>{POLICY_NAMES[name]}</b>{_column(found, lengths, seconds)}</div>'
        for name, found in steps.items()
    )
    time = message(f"{1000 * seconds:,.0f} ms after the first arrival:")
    return f'<p>{LOOK_FOR}</p>{time}<div style="display:flex;flex-wrap:wrap;gap:1.5em">{columns}</div>'


def _column(steps: Sequence[BatchStep], lengths: Sequence[int], seconds: float) -> str:
    begun = [step for step in steps if step.start <= seconds]
    if not begun:
        return "<p>No batch has begun: the oldest row waits for the timer.</p>"
    step = begun[-1]
    longest, widest = max(lengths[row] for row in step.taken), max(lengths)
    bars = "".join(
        _row_bar(lengths[row], longest if row in step.taken else 0, widest) for row in step.waiting[:MOST_BARS]
    )
    words = (
        f"Batch {len(begun)} of {len(steps)} takes {len(step.taken)} of {len(step.waiting)} waiting rows and "
        f"{1000 * step.seconds:.1f} ms. {step.padding:.0%} of its tokens are padding (so far: "
        f"{step.padding_so_far:.0%}). "
        f"When it ends, {step.done} of {steps[-1].done} rows are done after {1000 * step.end:,.0f} ms."
    )
    hidden = step.waiting[MOST_BARS:]
    rest = f"<p>and {len(hidden)} more rows, {len(set(hidden) & set(step.taken))} of them taken</p>" * bool(hidden)
    return f"<p>{words}</p>{bars}{rest}"


def _row_bar(length: int, padded: int, widest: int) -> str:
    """A row as a bar: its tokens, then the padding if it is taken (`padded` above 0)."""
    colour, name = (TAKEN, "taken") if padded else (LEFT, "waits")
    tokens = f'<span style="height:0.8em;width:{82 * length / widest:.1f}%;background:{colour}"></span>'
    padding = f'<span style="height:0.8em;width:{82 * max(0, padded - length) / widest:.1f}%;background:{PADDING}">'
    label = f'<span style="font-size:0.8em;padding-left:0.3em;line-height:1">{length}</span>'
    return f'<div style="display:flex;height:1em" title="{length} tokens, {name}">{tokens}{padding}</span>{label}</div>'


def _example_arrivals() -> ArrayLike:
    return poisson_arrivals(300, 0.5, seed=3)[:120]


def _example_lengths(n: int) -> list[int]:
    """Synthetic lengths: most texts are short, a few are long."""
    drawn = np.random.default_rng(3).lognormal(3.0, 0.6, n)
    return [int(length) for length in np.clip(drawn, 4, 120)]


def _assumed_seconds(rows: int, longest: int) -> float:
    return 0.001 + 0.00012 * rows * longest
