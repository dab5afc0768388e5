"""Predictions for many texts by several processes: each computes its part, and the results come back in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from course_lib import machine
from course_lib.batching import unique_rows
from course_lib.errors import BadInput
from course_lib.training.parallel import world_size


def deal(lengths: Sequence[int], processes: int) -> list[list[int]]:
    """Row numbers of each process: by length, dealt out in turn and back, so that all have nearly equal work.

    Each process then has texts of all lengths, sorted, which it can put into batches with little padding.

    Args:
        lengths: of the texts, in any unit.
        processes: how many lists.

    Raises:
        BadInput: fewer than one process.
    """
    if processes < 1:
        raise BadInput(f"processes is {processes}", "use 1 or more")
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    turns = np.concatenate([np.arange(processes), np.arange(processes)[::-1]])  # 0, 1, 2, 2, 1, 0
    owner = np.resize(turns, len(order)) if len(order) else order
    return [order[owner == process].tolist() for process in range(processes)]


def predict_in_parts(predict: Callable[[list[str]], NDArray[np.float32]], texts: Sequence[str]) -> NDArray[np.float32]:
    """The rows that `predict` gives for the texts, computed in parts by the processes of a torchrun.

    Accelerate divides the work (`split_between_processes`) and collects it. Without torchrun it is one call.

    Args:
        predict: from n texts to (n, ...) numbers; called in each process with its texts.
        texts: the same ones in all processes. Equal texts are computed once.

    Returns:
        (n, ...) in the order of the texts, in all processes.
    """
    if world_size() == 1:
        return predict(list(texts))
    from accelerate import PartialState
    from accelerate.utils import gather_object

    unique, index = unique_rows(texts)
    parts = deal([len(text) for text in unique], world_size())
    state = PartialState(cpu=machine.device().type == "cpu")
    with state.split_between_processes(parts) as mine, torch.inference_mode():
        computed = predict([unique[row] for part in mine for row in part])
    gathered: list[NDArray[np.float32]] = gather_object([computed])
    rows = np.concatenate(gathered)
    ordered = np.empty_like(rows)
    ordered[[row for part in parts for row in part]] = rows
    result: NDArray[np.float32] = ordered[index]
    return result
