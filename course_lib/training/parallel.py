"""Several processes of one run, started by torchrun: each computes its rows of every batch.

Two ways to train one module in them, with the same steps:

* `torch.nn.parallel.DistributedDataParallel` (Li et al. 2020, arXiv:2006.15704): each process has all weights,
  gradients and optimizer state; the gradients are averaged.
* `torch.distributed.fsdp.fully_shard` (FSDP2; Zhao et al. 2023, arXiv:2304.11277): each process has a part of them.
  The weights of a layer are gathered while it computes, and its gradients are averaged and divided again.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from course_lib import machine
from course_lib.errors import BadInput, CourseError
from course_lib.training.schedule import LAYER

Objective = Callable[[nn.Module, Any], Tensor]
_shards = False  # whether the modules of this process group are sharded; see `process_group`


@contextmanager
def process_group(sharded: bool = False) -> Iterator[None]:
    """Inside the block the processes that torchrun has started communicate; without torchrun nothing happens.

    Args:
        sharded: training inside the block divides weights, gradients and optimizer state among the processes (FSDP2).

    Raises:
        BadInput: `sharded` with a single process.
        CourseError: another process of the run has ended, or does not respond.
    """
    if distributed.is_initialized():  # a block inside another one
        with _sharding(sharded):
            yield
        return
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        if sharded:
            raise BadInput("FSDP with one process", "start two processes or more by torchrun")
        yield
        return
    if machine.device().type != "cpu":
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(distributed.get_default_backend_for_device(machine.device()))
    try:
        with _sharding(sharded):
            yield
        distributed.barrier()  # destroyed while another process still communicates, gloo may abort it
    except RuntimeError as error:
        if not any(word in str(error) for word in ("peer", "Gloo", "NCCL")):
            raise
        reason = re.sub(r"^\[\S*\] ", "", str(error)).splitlines()[0].split(". ")[0][:200]  # without a file of torch
        raise CourseError(
            f"process {rank()} of the run has lost another one: {reason}",
            "see the report of torchrun, then run the same command again",
        ) from error
    finally:
        distributed.destroy_process_group()


@contextmanager
def _sharding(wanted: bool) -> Iterator[None]:
    global _shards
    before, _shards = _shards, wanted
    try:
        yield
    finally:
        _shards = before


def rank() -> int:
    """The number of this process in its run, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """How many processes the run has."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_sharded() -> bool:
    """Whether `data_parallel` divides the weights among the processes."""
    return _shards


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


def from_first_process(value: float) -> float:
    """The number that the first process has, in all of them: they decide alike, even if their machines round apart."""
    held = [value]
    if world_size() > 1:
        distributed.broadcast_object_list(held)
    return held[0]


# ---- one module in several processes -----------------------------------------------------------------------------


class Trained:
    """A module in training: what takes the steps, and the caller's module, which is read in between.

    Attributes:
        module: whose parameters the optimizer steps. The caller's own, unless it is sharded.
        objective: (module, batch) -> loss of this process's rows; its backward pass averages the gradients.
    """

    def __init__(self, module: nn.Module, objective: Objective) -> None:
        self.module, self.objective = module, objective

    @contextmanager
    def gathered(self) -> Iterator[nn.Module]:
        """Inside the block the caller's module has the present weights, whole, in every process."""
        yield self.module

    def finish(self) -> None:
        """After the last step: the caller's module has the trained weights."""


def data_parallel(module: nn.Module, objective: Objective) -> Trained:
    """Prepares a module for training in this process, or together with the others of its process group.

    The mean of the processes' losses must be the loss of the whole batch: a process with more rows than another one
    weights its mean loss accordingly (see `LengthBuckets`).
    """
    if world_size() == 1:
        return Trained(module, objective)
    if is_sharded():
        return _Sharded(module, objective)
    # A static graph: the same weights get a gradient in each step, and some, such as an unread pooler, never.
    parallel = DistributedDataParallel(_Loss(module, objective), static_graph=True)
    return Trained(module, lambda _, batch: parallel(batch))


class _Loss(nn.Module):
    """A module and its objective as one module, whose forward pass DDP and FSDP2 can prepare."""

    def __init__(self, module: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.module, self.objective = module, objective

    def forward(self, batch: Any) -> Tensor:
        return self.objective(self.module, batch)


class _Sharded(Trained):
    """FSDP2 on a copy of the module. The module itself is empty but inside `gathered`, and after training."""

    def __init__(self, module: nn.Module, objective: Objective) -> None:
        from torch.distributed.fsdp import fully_shard  # here, since its import takes most of a second

        loss = _Loss(copy.deepcopy(module), objective)
        for layer in _layers(loss.module):
            fully_shard(layer)
        fully_shard(loss)
        super().__init__(loss.module, lambda _, batch: loss(batch))
        self.whole = module
        self._empty()

    @contextmanager
    def gathered(self) -> Iterator[nn.Module]:
        """Fills the caller's module, and empties it afterwards."""
        self.finish()
        try:
            yield self.whole
        finally:
            self._empty()

    def finish(self) -> None:
        """Fills the caller's module."""
        for mine, part in zip(self.whole.parameters(), self.module.parameters(), strict=True):
            mine.data = gather(part.detach()).clone()

    def _empty(self) -> None:
        for parameter in self.whole.parameters():
            parameter.data = parameter.new_empty(0)


def _layers(module: nn.Module) -> list[list[nn.Module]]:
    """The parts of each encoder layer that have weights of their own: FSDP2 gathers and frees them as one group."""
    groups: dict[str, list[nn.Module]] = {}
    for name, part in module.named_modules():
        if (found := LAYER.search(f"{name}.")) and any(True for _ in part.parameters(recurse=False)):
            groups.setdefault(name[: found.end()], []).append(part)
    return list(groups.values())


def gather(tensor: Tensor) -> Tensor:
    """The whole tensor of which each process has a part; all processes must call it. An ordinary one is returned."""
    if not hasattr(tensor, "full_tensor"):
        return tensor
    whole: Tensor = tensor.full_tensor()
    return whole


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor that all processes have, divided as `like` is."""
    if not is_sharded():
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def local_bytes(tensors: Iterable[Any]) -> int:
    """Bytes of these tensors that this process holds."""
    parts: list[Tensor] = [tensor.to_local() if hasattr(tensor, "to_local") else tensor for tensor in tensors]
    return sum(part.numel() * part.element_size() for part in parts)
