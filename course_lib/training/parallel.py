"""Several processes of one run, started by torchrun: each computes its rows of every batch.

Their gradients are averaged by `torch.nn.parallel.DistributedDataParallel` (Li et al. 2020, arXiv:2006.15704).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed

from course_lib import machine
from course_lib.errors import CourseError


@contextmanager
def process_group() -> Iterator[None]:
    """Inside the block the processes that torchrun has started communicate; without torchrun nothing happens.

    Raises:
        CourseError: another process of the run has ended, or does not respond.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield
        return
    if machine.device().type != "cpu":
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(distributed.get_default_backend_for_device(machine.device()))
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error) for word in ("peer", "Gloo", "NCCL")):
            raise
        raise CourseError(
            f"process {rank()} of the run has lost another one: {str(error).splitlines()[0][:200]}",
            "see the report of torchrun, then run the same command again",
        ) from error
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """The number of this process in its run, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """How many processes the run has."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes."""
    if world_size() > 1:
        distributed.all_reduce(values)
        values /= world_size()
    return values


def from_all_processes(tensor: Tensor) -> list[Tensor]:
    """The tensor of each process, by rank."""
    if world_size() == 1:
        return [tensor]
    found = [torch.empty_like(tensor) for _ in range(world_size())]
    distributed.all_gather(found, tensor)
    return found
