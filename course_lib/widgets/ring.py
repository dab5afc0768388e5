"""A ring all-reduce step by step: what each process has of each chunk, and how many bytes were sent."""

from __future__ import annotations

import ipywidgets
import numpy as np
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.scaling import RingStep, ring_all_reduce, ring_bytes
from course_lib.widgets.base import control_style, live_box, message

MOST_PROCESSES = 8
LOOK_FOR = (
    "In the first half every step adds one more process to one chunk of each row; in the second half the finished "
    "chunks (dark) are copied. A thick frame marks what was just received."
)


def ring_all_reduce_steps(processes: int = 4, size: float = 1e6) -> ipywidgets.VBox:
    """Sliders for the processes and the step, and a table of what each process has after it.

    The steps are those of `course_lib.scaling.ring_all_reduce`: its arrays are chosen so that each sum tells which
    processes it contains.

    Args:
        processes: to begin with, from 2 to 8.
        size: bytes of the gradients of one process.

    Returns:
        A box of the class `ring-all-reduce`: processes (children[0]), step (children[1]) and the table (children[2],
        HTML).

    Raises:
        BadInput: another number of processes, or no bytes.
    """
    if not 2 <= processes <= MOST_PROCESSES or not size > 0:
        raise BadInput(f"{processes} processes, {size} bytes", f"use 2 to {MOST_PROCESSES} processes, and bytes")
    look = control_style("6em")
    count = ipywidgets.IntSlider(value=processes, min=2, max=MOST_PROCESSES, description="Processes", **look)
    step = ipywidgets.IntSlider(value=0, min=0, max=2 * (processes - 1), description="Step", **look)
    table = ipywidgets.HTML()

    def show(_: object = None) -> None:
        step.max = 2 * (count.value - 1)
        table.value = ring_html(count.value, step.value, size)

    return live_box("ring-all-reduce", [count, step], [table], show)


def contributions(states: NDArray[np.float64]) -> list[list[list[int]]]:
    """The processes whose numbers each sum contains, where process i began with 2^i everywhere.

    Args:
        states: (processes, chunks) sums.

    Returns:
        For each process and chunk, the contributing processes in order.
    """
    return [[[i for i in range(len(states)) if int(cell) >> i & 1] for cell in row] for row in states.tolist()]


def ring_html(processes: int, step: int, size: float) -> str:
    """The table after a step (0: before the first), with its words and the bytes sent so far.

    Args:
        processes: n.
        step: from 0 to 2 (n - 1).
        size: bytes of the gradients of one process.
    """
    start = [np.full(processes, 2.0**i) for i in range(processes)]
    steps = ring_all_reduce(start)
    now = steps[step - 1] if step else None
    parts = contributions(now.states if now else np.array(start))
    received = {(one.receiver, one.chunk): one.sender for one in now.transfers} if now else {}
    head = "".join(f'<th style="padding:0.2em 0.6em">chunk {chunk}</th>' for chunk in range(processes))
    rows = "".join(
        f"<tr><th>process {process}</th>"
        + "".join(_cell(cell, processes, received.get((process, chunk))) for chunk, cell in enumerate(row))
        + "</tr>"
        for process, row in enumerate(parts)
    )
    return (
        f"{message(_words(now, step, len(steps)))}<p>{LOOK_FOR}</p>"
        f'<div style="overflow-x:auto"><table style="border-collapse:separate;border-spacing:3px">'
        f"<tr><td></td>{head}</tr>{rows}</table></div><p>{_bytes(processes, step, size)}</p>"
    )


def _cell(parts: list[int], processes: int, sender: int | None) -> str:
    """The numbers of the processes in a sum; the darker, the more of them."""
    fraction = (len(parts) - 1) / (processes - 1)
    shade = f"rgb({225 - 198 * fraction:.0f},{235 - 193 * fraction:.0f},{245 - 153 * fraction:.0f})"
    ink, frame = ("white" if fraction > 0.5 else "#222222"), ("3px solid #a3322b" if sender is not None else "none")
    text = "all" if len(parts) == processes else "+".join(map(str, parts))
    title = "" if sender is None else f' title="from process {sender}"'
    style = f"background:{shade};color:{ink};outline:{frame};outline-offset:-3px;text-align:center;padding:0.4em 0.8em"
    return f'<td style="{style}"{title}>{text}</td>'


def _words(step: RingStep | None, number: int, steps: int) -> str:
    if step is None:
        return "Before the first step, each process has its own gradients alone."
    done = "adds it to its own" if step.phase == "reduce-scatter" else "puts it in place of its own"
    return (
        f"Step {number} of {steps} ({step.phase}): each process sends one chunk to its right neighbour, which {done}."
    )


def _bytes(processes: int, step: int, size: float) -> str:
    whole = ring_bytes(size, processes)
    return (
        f"Each process has sent {step * size / processes:,.0f} of {whole:,.0f} bytes, which is 2 (n - 1) / n = "
        f"{whole / size:.3g} times its gradients. If one process collected all gradients and sent the sum back, "
        f"{2 * (processes - 1) * size:,.0f} bytes would pass through it."
    )
