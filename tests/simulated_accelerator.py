"""An accelerator `sim` without hardware: torch's PrivateUse1 device, whose operations run on the CPU.

What a GPU would refuse is refused: tensors of two devices in one operation. What makes a GPU wait is counted:
`counts["synchronize"]` for `.item()`, `bool()` and operations whose output's shape depends on values, and
`counts["to_host"]` and `counts["to_device"]` for copies. `launches` counts the kernels that a GPU would launch, by
operation: every operation but views, memory without values, and copies from and to the host. Attention is counted as
plain products, so a GPU launches fewer. `start()` must run before the device is used, once in a process, and stays in
force.

A tensor of the device has a storage without bytes; `_bytes` maps it to the storage on the CPU that holds the numbers.
Size, stride and offset are those of the CPU tensor, so views share memory as they do on a GPU.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "sim"
counts: collections.Counter[str] = collections.Counter()
launches: collections.Counter[str] = collections.Counter()  # of kernels, by operation
places: collections.Counter[str] = collections.Counter()  # of synchronizations and copies to the host, by caller
_bytes: dict[int, torch.UntypedStorage] = {}
_META = torch._C.DispatchKeySet(torch._C.DispatchKey.Meta)
_library, _aten = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
_COPIES = ("aten::_copy_from", "aten::_copy_from_and_resize")
# A GPU must read values to know the shape of the output, or hands a number to Python.
_WAITING = ("aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::_local_scalar_dense", "aten::equal",
            "aten::repeat_interleave.Tensor")  # fmt: skip
_INDEXING = ("aten::index", "aten::_index_put_impl_")
# One kernel on a GPU, which torch takes apart for devices that it does not know.
_FUSED = ("native_layer_norm", "_foreach_norm.Scalar", "_foreach_mul_.Tensor", "_foreach_add_.Scalar")
_NO_KERNEL = ("aten::empty", "aten::_local_scalar_dense", "aten::set_", "aten::resize_", "aten::_to_copy")
_missing: set[str] = set()


class _Module(_DummyBackendModule):
    """What stands as `torch.sim`."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        """That of the CPU, from which the device draws."""
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    def synchronize(self) -> None:
        """Nothing is ever pending."""


def start() -> torch.device:
    """Registers the device."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    _library.fallback(_run, "PrivateUse1")
    # torch refuses this one for all devices that it does not know, before it asks the fallback.
    convolution = torch.ops.aten.convolution.default
    _aten.impl("convolution_overrideable", lambda *args: _run(convolution, *args), "PrivateUse1")
    for name in _FUSED:
        packet, _, overload = name.partition(".")
        _aten.impl(name, partial(_run, getattr(getattr(torch.ops.aten, packet), overload or "default")), "PrivateUse1")
    torch.Tensor.__deepcopy__ = _deepcopy  # type: ignore[method-assign]
    return torch.device(NAME)


_deepcopy_elsewhere = torch.Tensor.__deepcopy__


def _deepcopy(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
    """torch copies the storage, which has no bytes here."""
    if not _is_mine(tensor):
        return _deepcopy_elsewhere(tensor, memo)
    return memo.setdefault(id(tensor), tensor.detach().clone().requires_grad_(tensor.requires_grad))


@contextmanager
def counted() -> Iterator[collections.Counter[str]]:
    """Counts from zero inside the block."""
    for counter in (counts, launches, places):
        counter.clear()
    yield counts


@contextmanager
def without(operation: str) -> Iterator[None]:
    """Inside, the device lacks an operation such as `aten::gelu`."""
    _missing.add(operation)
    try:
        yield
    finally:
        _missing.discard(operation)


def _run(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Any operation of the device: on the CPU, with inputs and outputs exchanged."""
    name = op.name()
    if name in _missing or name.split(".")[0] in _missing:
        raise NotImplementedError(f"The operator '{name}' is not currently implemented for the sim device. Wait.")
    if name == "aten::_fused_sdp_choice":
        return 0  # attention by plain products, as on a device without kernels of its own
    given, tree = pytree.tree_flatten((args, kwargs))
    _count(name, given)
    if _is_launch(op, given):
        launches[name] += 1
    _check_devices(name, given)
    inner = [_on_cpu(x) if _is_mine(x) else torch.device("cpu") if isinstance(x, torch.device) else x for x in given]
    raw_args, raw_kwargs = pytree.tree_unflatten(inner, tree)
    output = raw_args[1].copy_(raw_args[0]) if name in _COPIES else op(*raw_args, **raw_kwargs)
    mine = [(raw, x) for raw, x in zip(inner, given, strict=True) if _is_mine(x)]
    for raw, x in mine:
        if raw.shape != x.shape:  # an output that was resized
            x.data = _on_device(raw)
    if name in _COPIES:
        return args[1]
    same = {id(raw): x for raw, x in mine}
    bases = {raw.untyped_storage()._cdata: x for raw, x in mine}
    return pytree.tree_map_only(
        torch.Tensor, lambda out: same[id(out)] if id(out) in same else _on_device(out, bases), output
    )


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """The CPU's view of a tensor of the device."""
    empty = torch.empty(0, dtype=tensor.dtype)
    return empty.set_(_bytes[_key(tensor)], tensor.storage_offset(), tensor.shape, tensor.stride())


def _on_device(raw: torch.Tensor, bases: dict[int, torch.Tensor] | None = None) -> torch.Tensor:
    """A tensor of the device for one of the CPU; it is a view where the CPU tensor is one of one of the inputs."""
    storage = raw.untyped_storage()
    base = (bases or {}).get(storage._cdata)
    if base is None:
        base = torch._C._acc.create_empty_tensor(raw.shape, raw.dtype)
        _bytes[_key(base)] = storage
    as_strided = torch.ops.aten.as_strided.default
    view: torch.Tensor = as_strided.redispatch(_META, base, raw.shape, raw.stride(), raw.storage_offset())
    return view


def _key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _is_mine(one: Any) -> bool:
    return isinstance(one, torch.Tensor) and one.device.type == NAME


def _check_devices(name: str, given: list[Any]) -> None:
    """As on a GPU: a number of the CPU may take part, and CPU indices may index; other tensors may not."""
    if name in _COPIES or name.startswith(_INDEXING):
        return
    foreign = [x for x in given if isinstance(x, torch.Tensor) and not _is_mine(x) and x.ndim]
    if foreign:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, found {NAME}:0 and cpu")


def _count(name: str, given: list[Any]) -> None:
    kind = None
    if name.startswith(_WAITING):
        kind = "synchronize"
    elif name in _COPIES and _is_mine(given[0]) != _is_mine(given[1]):
        kind = "to_host" if _is_mine(given[0]) else "to_device"
    elif name.startswith(_INDEXING) and any(isinstance(x, torch.Tensor) and not _is_mine(x) for x in given):
        kind = "to_device"
    if kind:
        counts[kind] += 1
        places[f"{kind} {_caller()}"] += 1


def _is_launch(op: Any, given: list[Any]) -> bool:
    """Whether a GPU computes something: its output is no view of an input, and no memory without values."""
    name = op.name()
    if name in _COPIES:
        return _is_mine(given[0]) and _is_mine(given[1])
    views = [output.alias_info is not None and not output.alias_info.is_write for output in op._schema.returns]
    return not (any(views) or name.startswith(_NO_KERNEL))


def _caller() -> str:
    """The innermost line of `course_lib` that led here."""
    import sys

    frame: Any = sys._getframe(2)
    while frame and "/course_lib/" not in frame.f_code.co_filename:
        frame = frame.f_back
    return f"{frame.f_code.co_filename.split('/course_lib/')[1]}:{frame.f_lineno}" if frame else "elsewhere"
