"""On what a figure was measured: processor or card, cores, versions, day. No name of a host, no path, no user."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from course_lib import machine

_LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "numpy")
# What decides the speed of a matrix product, best first: the flag of the processor, the name in a result.
_FEATURES = (("amx_bf16", "amx-bf16"), ("avx512_bf16", "avx512-bf16"), ("avx512f", "avx512"), ("avx2", "avx2"))


def feature(flags: set[str]) -> str:
    """The best of a processor's vector units, `plain` where none is known."""
    return next((name for flag, name in _FEATURES if flag in flags), "plain")


def processor() -> str:
    """Such as `cpu x86_64 avx512-bf16 2 cores`."""
    information = Path("/proc/cpuinfo")
    known = information.read_text(encoding="utf-8") if information.exists() else ""
    flags = set(re.findall(r"\w+", known)) or {torch.backends.cpu.get_cpu_capability().lower()}
    return f"cpu {platform.machine()} {feature(flags)} {os.cpu_count()} cores"


def device_name() -> str:
    """The device that the course computes on, in words."""
    where = machine.device()
    return torch.cuda.get_device_name(where) if where.type == "cuda" else processor()


def slug(name: str) -> str:
    """A name as a part of a file's name: small letters, digits, hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def surroundings() -> dict[str, Any]:
    """All that belongs beside a figure; figures with the same `device` and `versions` may be compared."""
    return {
        "device": {
            "name": device_name(),
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "memory_gb": round(machine.memory().total / machine.GIGABYTE),
            "fast_precision": str(machine.precision()).removeprefix("torch."),
            "preset": machine.preset().name,
            "system": platform.system(),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
        "date": datetime.now(UTC).date().isoformat(),
    }


def load() -> float | None:
    """Processes that wanted a core in the last minute, on average; near 0 on a quiet machine. None on Windows."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
