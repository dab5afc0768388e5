"""A device named `sim` in Python, so that the GPU's code paths are tested where there is no GPU.

A tensor of the device holds a tensor of the CPU, and every operation is carried out on that one. What a GPU forbids is
forbidden here, too: an operation on tensors of two devices raises. What makes the CPU wait for a GPU is counted: values
that are read (`.item()`, `bool()`, `.cpu()`) and operations whose output's size depends on values (`nonzero`).

`install()` registers the device for the rest of the process: tests that use it run in a process of their own.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map_only

NAME = "sim"
_WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::unique")
_COPIES = ("aten::_copy_from", "aten::copy_", "aten::_to_copy")

waits: Counter[str] = Counter()  # operation and the line of ours that called it -> how often the CPU waited
_library = torch.library.Library("_", "IMPL")
_aten = torch.library.Library("aten", "IMPL")


class SimTensor(torch.Tensor):
    """A tensor of the device; `raw` holds its values on the CPU."""

    raw: torch.Tensor

    @staticmethod
    def of(raw: torch.Tensor) -> SimTensor:
        new = torch.Tensor._make_wrapper_subclass(
            SimTensor, raw.shape, strides=raw.stride(), storage_offset=raw.storage_offset(), dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )  # fmt: skip
        new.raw = raw
        return new

    def __repr__(self, **_: Any) -> str:
        return f"{NAME} {self.raw!r}"

    def tolist(self) -> Any:  # torch refuses it for subclasses
        waits[f"tolist in {_caller()}"] += 1
        return self.raw.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _on_the_cpu(operation, *args, **(kwargs or {}))


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    def synchronize(self, device: Any = None) -> None:
        pass


def install() -> torch.device:
    """Registers the device, once a process."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    _library.fallback(_on_the_cpu, "PrivateUse1")  # operations without a tensor, such as torch.zeros(3, device="sim")
    _library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")  # everything stays in float32
    torch.inference_mode = torch.no_grad  # type: ignore[misc, assignment]  # a subclass cannot make inference tensors
    _aten.impl(
        "_to_copy", lambda *args, **kwargs: _on_the_cpu(torch.ops.aten._to_copy.default, *args, **kwargs), "PrivateUse1"
    )
    _aten.impl("_fused_sdp_choice", lambda *args, **kwargs: 0, "PrivateUse1")  # attention by matrix products
    return torch.device(NAME)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Inside, everything that makes the CPU wait for the device is counted."""
    waits.clear()
    yield waits


def _on_the_cpu(operation: Any, *args: Any, **kwargs: Any) -> Any:
    name = operation.name().split(".")[0]
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    ours = [one for one in tensors if isinstance(one, SimTensor)]
    foreign = [one for one in tensors if not isinstance(one, SimTensor) and one.dim() > 0]
    if ours and foreign and name not in _COPIES:
        raise RuntimeError(f"{operation.name()}: tensors on two devices, {NAME} and {foreign[0].device}")
    target = kwargs.get("device")
    leaves = ours and (target is not None and torch.device(target).type == "cpu")
    leaves = leaves or (name == "aten::copy_" and isinstance(args[1], SimTensor) and not isinstance(args[0], SimTensor))
    if leaves or (ours and name in _WAITS):
        waits[f"{name} in {_caller()}"] += 1
    if target is not None:
        kwargs["device"] = torch.device("cpu")
    owners = {id(one.raw): one for one in ours}
    args, kwargs = tree_map_only(SimTensor, lambda one: one.raw, (args, kwargs))
    found = operation(*args, **kwargs)
    if leaves:
        return found
    return tree_map_only(torch.Tensor, lambda one: owners[id(one)] if id(one) in owners else SimTensor.of(one), found)


def _caller() -> str:
    """The line of the course's code that runs."""
    ours = [frame for frame in traceback.extract_stack() if "course_lib" in frame.filename]
    return f"{ours[-1].filename.rpartition('course_lib/')[2]}:{ours[-1].lineno}" if ours else "a test"
