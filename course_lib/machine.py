"""What this machine is and what work costs on it: device, precision, measured peak, memory, seeds, estimates.

Everything that depends on the hardware is decided here, once, so that a notebook runs unchanged on a laptop and on any
accelerator that torch knows (CUDA, ROCm, Apple's MPS, XPU). Costs are counted operations over the speed that a few
steps reach at this moment, whatever else this machine is doing; never a table of processor names.
"""

from __future__ import annotations

import ctypes
import os
import platform
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Integral
from types import TracebackType
from typing import Any

import numpy as np
import psutil
import torch
from torch.overrides import TorchFunctionMode

from course_lib.errors import BadInput, CourseError

GIGABYTE = 1e9
_PEAK_SIZE = {"cpu": 2048, "accelerator": 8192}  # rows of the square matrices whose product is timed
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # options of mallopt(3)
_INTERPRETER_BYTES = 0.75e9  # Python with torch and transformers loaded, before any model (measured: 0.6-0.8 GB)


@dataclass(frozen=True)
class Preset:
    """Sizes that follow the hardware. One row of the table `PRESETS`."""

    name: str
    predict_tokens: int  # tokens of one forward batch, padding included
    curve_labels: tuple[int, ...]  # training-set sizes of the label-efficiency curve
    seeds: int  # repetitions behind a mean with a spread


PRESETS = {
    "cpu": Preset("cpu", 2048, (100, 400, 1600), 3),
    "gpu": Preset("gpu", 65536, (100, 400, 1600, 5000), 5),
}


def accelerator() -> torch.device | None:
    """The accelerator that torch finds here, whatever its make, or None."""
    return torch.accelerator.current_accelerator(check_available=True)


def device() -> torch.device:
    """The device that compute runs on: the accelerator if there is one and `COURSE_PRESET` allows it, else the CPU."""
    found = accelerator() if preset().name == "gpu" else None
    return found or torch.device("cpu")


def preset() -> Preset:
    """The preset named by `COURSE_PRESET`, or the one that fits the hardware.

    Raises:
        BadInput: `COURSE_PRESET` is neither `cpu` nor `gpu`.
    """
    name = os.environ.get("COURSE_PRESET") or ("gpu" if accelerator() else "cpu")
    if name not in PRESETS:
        raise BadInput(f"COURSE_PRESET is {name!r}", f"set it to one of {', '.join(PRESETS)}, or unset it")
    return PRESETS[name]


def _of_device(where: torch.device, name: str) -> Callable[..., Any] | None:
    """A function of the device's own module, such as `torch.cuda.synchronize`; None where it has none, as on a CPU."""
    if where.type == "cpu":
        return None
    return getattr(torch.get_device_module(where), name, None)


def _synchronize(where: torch.device) -> None:
    if wait := _of_device(where, "synchronize"):
        wait()


class _WithoutDraws(TorchFunctionMode):
    """Leaves out `nn.init.normal_`: on the meta device it would load torch's compiler, which takes a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        return named["tensor"] if func is torch.nn.init.normal_ else func(*args, **named)


@contextmanager
def init_empty_weights() -> Iterator[None]:
    """Modules that are built in the block have shapes, but neither memory nor values for their weights.

    For those whose weights are loaded next, by `load_state_dict(..., assign=True)`.
    """
    with torch.device("meta"), _WithoutDraws():
        yield


@contextmanager
def named_operations() -> Iterator[None]:
    """Names the device and the operation where the device lacks one that the block needs, as a CourseError."""
    try:
        yield
    except NotImplementedError as error:
        if device().type == "cpu":
            raise
        reason = str(error).split(". ")[0].strip()
        raise CourseError(
            f"{device_name()} ({device().type}) lacks an operation: {reason}",
            "set COURSE_PRESET=cpu (on Apple's MPS, PYTORCH_ENABLE_MPS_FALLBACK=1 runs this operation on the CPU)",
        ) from error


@lru_cache(maxsize=1)
def _cpu_has_fast_bfloat16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = file.read()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def precision(where: torch.device | None = None) -> torch.dtype:
    """bfloat16 where the hardware multiplies it fast, float32 elsewhere.

    A CPU without AVX-512-BF16 or AMX runs bfloat16 tens to hundreds of times slower than float32.
    """
    where = where or device()
    if where.type == "cpu":
        return torch.bfloat16 if _cpu_has_fast_bfloat16() else torch.float32
    supported = _of_device(where, "is_bf16_supported")
    return torch.bfloat16 if supported and supported(including_emulation=False) else torch.float32


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch (all devices).

    Raises:
        BadInput: `seed` is not a whole number from 0 to 2**63 - 1.
    """
    if not isinstance(seed, Integral) or not 0 <= seed < 2**63:
        raise BadInput(f"seed is {seed!r}", "use a whole number from 0 on, such as 0, 1, 2")
    seed = int(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def restored_generators() -> Iterator[None]:
    """What the block draws from the generators of Python, NumPy and torch, it does not take from the caller."""
    where = device()
    read, write = _of_device(where, "get_rng_state"), _of_device(where, "set_rng_state")
    states = random.getstate(), np.random.get_state(), torch.get_rng_state(), read() if read else None
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if write and states[3] is not None:
            write(states[3])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """`seed_everything` for the block alone: afterwards the generators are as before."""
    with restored_generators():
        seed_everything(seed)
        yield


def peak_flops() -> float:
    """Floating-point operations a second of a large square matrix product here, measured (takes about a second).

    The best of several repetitions, in float32 on a CPU and in `precision()` on an accelerator. A multiply-add counts
    as two.
    """
    return _measured_peak(device().type)


@lru_cache(maxsize=2)
def _measured_peak(kind: str) -> float:
    where = torch.device(kind)
    size = _PEAK_SIZE["cpu" if kind == "cpu" else "accelerator"]
    own = torch.Generator(where).manual_seed(0)  # the caller's random numbers stay as they are
    dtype = torch.float32 if kind == "cpu" else precision(where)
    left, right = (torch.randn(size, size, device=where, dtype=dtype, generator=own) for _ in range(2))
    best = min(_seconds_of_product(left, right) for _ in range(6))
    return 2 * size**3 / best


# The layer by which speed is measured: one of the course encoder's, on 32 sentences of 27 tokens.
_HIDDEN, _HEADS, _WIDE = 384, 12, 1536
_LAYER_WEIGHTS = 4 * _HIDDEN**2 + 2 * _HIDDEN * _WIDE
_ROWS, _TOKENS, _STEPS = 32, 27, 8


def step_seconds() -> float:
    """Seconds of four matrix products with their gradients, from a few that are timed now or in the last half minute.

    Stored results keep it beside the time that they took: their time on another machine, or on a busy one, is forecast
    by the ratio of the two.
    """
    return _timed_products(device().type, precision(), int(time.monotonic() // 30))


@lru_cache(maxsize=1)
def _timed_products(kind: str, dtype: torch.dtype, moment: int) -> float:
    """Mean seconds of 768 states, 384 wide, through two layers of 1,536 and back."""
    where = torch.device(kind)
    own = torch.Generator(where).manual_seed(0)  # the caller's random numbers stay as they are
    states = torch.randn(768, _HIDDEN, device=where, generator=own)
    shapes = ((_WIDE, _HIDDEN), (_HIDDEN, _WIDE)) * 2
    weights = [(torch.randn(shape, device=where, generator=own) * 0.02).requires_grad_() for shape in shapes]

    @torch.enable_grad()
    def step() -> None:
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            hidden = states
            for weight in weights:
                hidden = torch.nn.functional.gelu(hidden @ weight.T)
            hidden.float().square().mean().backward()

    return _mean_seconds(step, 6)


def _mean_seconds(step: Callable[[], None], times: int) -> float:
    """After one step to warm up."""
    step()
    with stopwatch() as seconds:
        for _ in range(times):
            step()
    return seconds[0] / times


def training_flops(dtype: torch.dtype) -> float:
    """Operations a second in the matrix products of a training step, timed now or in the last half minute."""
    return 6.0 * _LAYER_WEIGHTS * _ROWS * _TOKENS / _timed(device().type, dtype, True, int(time.monotonic() // 30))


def forward_flops() -> float:
    """The same for predictions, in float32."""
    seconds = _timed(device().type, torch.float32, False, int(time.monotonic() // 30))
    return 2.0 * _LAYER_WEIGHTS * _ROWS * _TOKENS / seconds


@lru_cache(maxsize=4)
def _timed(kind: str, dtype: torch.dtype, trains: bool, moment: int) -> float:
    """Mean seconds of a step through one encoder layer; the random numbers of the caller stay as they are."""
    where = torch.device(kind)
    with restored_generators():
        layer = torch.nn.TransformerEncoderLayer(
            _HIDDEN, _HEADS, _WIDE, activation="gelu", batch_first=True, device=where
        ).train(trains)
        states = torch.randn(_ROWS, _TOKENS, _HIDDEN, device=where)
        optimizer = torch.optim.AdamW(layer.parameters())

        def step() -> None:
            with torch.autocast(kind, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                output = layer(states)
            if trains:
                output.float().square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()

        with torch.set_grad_enabled(trains):
            return _mean_seconds(step, _STEPS)


def _seconds_of_product(left: torch.Tensor, right: torch.Tensor) -> float:
    started = time.perf_counter()
    left @ right
    _synchronize(left.device)
    return time.perf_counter() - started


@contextmanager
def freed_memory_kept() -> Iterator[bool]:
    """Inside the block this process reuses memory that it has freed, instead of returning it to the system.

    glibc returns every block above 32 MB to the system when it is freed, and the system fills each page of the next one
    with zeros. A training step frees and takes hundreds of megabytes: with a batch of 64 x 128 tokens in bfloat16 on a
    CPU that is a fifth of its time. After the block, free memory is returned, and glibc has the thresholds that it sets
    itself once a block of 32 MB has been freed (mallopt switches its own adjustment off for good).

    Yields whether this system has that setting (glibc on Linux); elsewhere nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        yield False
        return
    library = ctypes.CDLL(None)
    # No block by mmap, which is unmapped when it is freed; and no giving back of the heap's end under 2 GB.
    kept = all([library.mallopt(_MMAP_MAX, 0), library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)])
    try:
        yield kept
    finally:
        library.mallopt(_MMAP_MAX, 65_536)  # glibc's own values
        library.mallopt(_MMAP_THRESHOLD, 32 * 2**20)
        library.mallopt(_TRIM_THRESHOLD, 64 * 2**20)
        library.malloc_trim(0)


@dataclass(frozen=True)
class Memory:
    """Bytes of memory, in all and free to use now."""

    total: int
    available: int


def memory() -> Memory:
    """The accelerator's memory where the course runs on one that tells it, else main memory. In bytes."""
    if told := _of_device(device(), "mem_get_info"):
        free, total = told()
        return Memory(total, free)
    state = psutil.virtual_memory()
    return Memory(state.total, state.available)


@dataclass(frozen=True)
class Cost:
    """What a piece of work takes: floating-point operations, seconds here, bytes at the highest point."""

    flops: float
    seconds: float
    bytes: float

    def __str__(self) -> str:
        return f"about {readable_seconds(self.seconds)} and {self.bytes / GIGABYTE:.1f} GB on this machine"

    def __add__(self, other: Cost) -> Cost:
        """One after the other: time adds up, memory is that of the larger."""
        return Cost(self.flops + other.flops, self.seconds + other.seconds, max(self.bytes, other.bytes))

    def __mul__(self, times: float) -> Cost:
        return Cost(self.flops * times, self.seconds * times, self.bytes)


def readable_seconds(seconds: float) -> str:
    """`0.4 s`, `55 s` or `6.2 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def training_cost(
    parameters: int,
    matmul_parameters: int,
    tokens: float,
    batch_tokens: int,
    width: int,
    dtype: torch.dtype = torch.float32,
) -> Cost:
    """Cost of training a Transformer encoder with AdamW.

    A token costs 2 operations a weight forward and 4 backward (Kaplan et al. 2020, arXiv:2001.08361, section 2.1),
    with `matmul_parameters` the weights outside the embedding tables.

    Args:
        parameters: all weights; in float32 each holds itself, its gradient and AdamW's two moments (16 bytes).
        matmul_parameters: weights that take part in a matrix product.
        tokens: tokens of the whole run, padding included.
        batch_tokens: tokens of one step.
        width: activation values kept for the backward pass, per token.
        dtype: of the forward and backward pass.
    """
    flops = 6.0 * matmul_parameters * tokens
    # A step also reads and writes each number of the tables, its gradient and moments: 28 bytes at 20 GB/s on a CPU.
    steps, tables = tokens / max(1, batch_tokens), max(0, parameters - matmul_parameters)
    traffic = steps * tables * 28 / (20e9 if device().type == "cpu" else 1.5e12)
    seconds = flops / training_flops(dtype) + traffic
    return Cost(flops, seconds, base_bytes() + 16.0 * parameters + 4.0 * batch_tokens * width)


def forward_cost(parameters: int, matmul_parameters: int, tokens: float, batch_tokens: int, width: int) -> Cost:
    """Cost of predictions; arguments as in `training_cost`, `width` being the values alive at one moment."""
    flops = 2.0 * matmul_parameters * tokens
    seconds = flops / forward_flops()
    return Cost(flops, seconds, base_bytes() + 4.0 * parameters + 4.0 * batch_tokens * width)


def base_bytes() -> float:
    """Bytes in use before the model: on a CPU the interpreter and its libraries, on an accelerator its context."""
    return _INTERPRETER_BYTES if device().type == "cpu" else 0.5e9


@dataclass
class PeakMemory:
    """Highest memory use inside a `with` block, in bytes: allocations on an accelerator that counts them, else the
    resident set of this process."""

    bytes: int = 0
    interval: float = 0.01
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def __enter__(self) -> PeakMemory:
        if reset := _of_device(device(), "reset_peak_memory_stats"):
            reset()
        self._stop.clear()
        self.bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        process, stopped = psutil.Process(), False
        while not stopped:  # it reads once more at the end of the block
            stopped = self._stop.wait(self.interval)
            self.bytes = max(self.bytes, process.memory_info().rss)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if allocated := _of_device(device(), "max_memory_allocated"):
            self.bytes = allocated()


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Appends the seconds of the `with` block to the list that it yields; waits for the accelerator to finish."""
    seconds: list[float] = []
    started = time.perf_counter()
    yield seconds
    _synchronize(device())
    seconds.append(time.perf_counter() - started)


def device_name() -> str:
    """The name of the accelerator in use, or the kind of processor."""
    where = device()
    if where.type == "cpu":
        return platform.machine() or "CPU"
    name = _of_device(where, "get_device_name")
    return str(name(where)) if name else where.type.upper()


def describe() -> dict[str, object]:
    """This machine in JSON-able words and numbers, for `python -m course_lib doctor`."""
    where, state = device(), memory()
    return {
        "device": where.type,
        "name": device_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "preset": preset().name,
        "precision": str(precision(where)).removeprefix("torch."),
        "peak_gflops": round(peak_flops() / 1e9, 1),
        "memory_gb": round(state.total / GIGABYTE, 1),
        "memory_available_gb": round(state.available / GIGABYTE, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
