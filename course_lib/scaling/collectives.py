"""All-reduce by hand: how the processes of a run get the mean of their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from course_lib.errors import BadInput


@dataclass(frozen=True)
class Transfer:
    """One message: `sender` sends its chunk number `chunk` to `receiver`."""

    sender: int
    receiver: int
    chunk: int


@dataclass(frozen=True)
class RingStep:
    """One step of a ring all-reduce, in which all processes send at the same time.

    Attributes:
        phase: `reduce-scatter`, in which a receiver adds, or `all-gather`, in which it replaces.
        transfers: one message of each process.
        states: (processes, size), what each process has after the step.
    """

    phase: str
    transfers: list[Transfer]
    states: NDArray[np.float64]


def ring_all_reduce(arrays: Sequence[NDArray[np.floating]]) -> list[RingStep]:
    """The 2(n - 1) steps after which each of n processes has the sum of all arrays (Patarasuk & Yuan 2009).

    Each array is cut into n chunks. In the first n - 1 steps process i adds what its left neighbour sends; it then has
    one chunk that is summed over all processes. In the second n - 1 steps these chunks travel round the ring.

    Args:
        arrays: one vector of equal size for each process.

    Returns:
        The steps; `states` of the last one is the sum in every row. Empty for one process.

    Raises:
        BadInput: no array, arrays that are not vectors of one size, or fewer numbers than processes.
    """
    states = _stacked(arrays)
    n, size = states.shape
    if size < n:
        raise BadInput(f"{size} numbers for {n} processes", "give each process at least one chunk: longer arrays")
    edges = np.linspace(0, size, n + 1).round().astype(int)
    chunks = [slice(edges[i], edges[i + 1]) for i in range(n)]
    steps = []
    for number in range(2 * (n - 1)):
        adds = number < n - 1
        shift = number if adds else number - n
        transfers = [Transfer(i, (i + 1) % n, (i - shift) % n) for i in range(n)]
        sent = [states[one.sender, chunks[one.chunk]].copy() for one in transfers]
        for one, values in zip(transfers, sent, strict=True):
            place = one.receiver, chunks[one.chunk]
            states[place] = states[place] + values if adds else values
        steps.append(RingStep("reduce-scatter" if adds else "all-gather", transfers, states.copy()))
    return steps


def ring_bytes(size: float, processes: int) -> float:
    """Bytes that each process sends in a ring all-reduce of `size` bytes: 2 (n - 1) / n * size, under twice the size.

    Raises:
        BadInput: a negative size, or fewer than one process.
    """
    if size < 0 or processes < 1:
        raise BadInput(f"size={size}, processes={processes}", "use 0 or more bytes and 1 or more processes")
    return 2 * (processes - 1) / processes * size


def ring_seconds(size: float, processes: int, bandwidth: float, latency: float = 0.0) -> float:
    """Seconds of a ring all-reduce: 2 (n - 1) messages of size / n bytes (Patarasuk & Yuan 2009).

    Args:
        size: bytes of the gradients.
        processes: n.
        bandwidth: bytes a second between two neighbours.
        latency: seconds of a message without content.

    Raises:
        BadInput: a bandwidth that is not above 0, a negative latency, or as `ring_bytes`.
    """
    if not bandwidth > 0 or latency < 0:
        raise BadInput(f"bandwidth={bandwidth}, latency={latency}", "use a bandwidth above 0, a latency of 0 or more")
    return 2 * (processes - 1) * latency + ring_bytes(size, processes) / bandwidth


def average_gradients(gradients: Sequence[NDArray[np.floating]], counts: Sequence[int]) -> NDArray[np.float64]:
    """The gradient of the mean loss over all rows, from each process's gradient of the mean over its own rows.

    Processes with more rows count more: sum(n_i * g_i) / sum(n_i). The plain mean is right for equal counts only.

    Args:
        gradients: one array of equal shape for each process.
        counts: rows of each process, 0 or more.

    Raises:
        BadInput: the numbers of gradients and counts differ, the shapes differ, a count is negative, or all are 0.
    """
    if len(gradients) != len(counts) or not len(counts):
        raise BadInput(f"{len(gradients)} gradients, {len(counts)} counts", "give one count for each gradient")
    if len({np.shape(gradient) for gradient in gradients}) > 1:
        raise BadInput(f"shapes {[np.shape(gradient) for gradient in gradients]}", "give gradients of one shape")
    if min(counts) < 0 or not sum(counts):
        raise BadInput(f"counts are {list(counts)}", "use 0 or more rows, and at least one row in all")
    return np.average(np.asarray(gradients, dtype=np.float64), axis=0, weights=np.asarray(counts, dtype=np.float64))


def _stacked(arrays: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    shapes = {np.shape(array) for array in arrays}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise BadInput(f"arrays of the shapes {sorted(shapes)}", "give one vector for each process, all of one size")
    return np.array(arrays, dtype=np.float64)
