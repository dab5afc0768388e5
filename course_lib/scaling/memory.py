"""How many bytes of a training each process holds: DistributedDataParallel against ZeRO and FSDP, by formula."""

from __future__ import annotations

from dataclasses import dataclass

from course_lib.errors import BadInput

# What each strategy divides among the processes (Rajbhandari et al. 2020, arXiv:1910.02054, figure 1).
STRATEGIES: dict[str, frozenset[str]] = {
    "DDP": frozenset(),
    "ZeRO-1": frozenset({"optimizer"}),
    "ZeRO-2": frozenset({"optimizer", "gradients"}),
    "FSDP": frozenset({"optimizer", "gradients", "parameters"}),  # ZeRO-3
}


@dataclass(frozen=True)
class StateBytes:
    """Bytes in one process, without activations and without what the libraries take.

    Attributes:
        parameters: of the model.
        gradients: one number a parameter.
        optimizer: its state: AdamW's two running means.
    """

    parameters: float
    gradients: float
    optimizer: float

    @property
    def total(self) -> float:
        """All three."""
        return self.parameters + self.gradients + self.optimizer


def state_bytes(
    parameters: int,
    processes: int = 1,
    strategy: str = "DDP",
    parameter_bytes: int = 4,
    gradient_bytes: int = 4,
    optimizer_bytes: int = 8,
) -> StateBytes:
    """Bytes that each process holds between two steps (Rajbhandari et al. 2020, section 3.1).

    While a layer computes, FSDP also holds that layer's whole weights; this is not counted.

    Args:
        parameters: how many the model has.
        processes: n; what is divided counts 1/n.
        strategy: `DDP`, `ZeRO-1`, `ZeRO-2`, or `FSDP` (ZeRO-3).
        parameter_bytes, gradient_bytes: of one number; 4 in float32.
        optimizer_bytes: of one parameter's state; 8 for AdamW in float32, 12 with float32 copies of 16-bit weights.

    Raises:
        BadInput: an unknown strategy, or fewer than one parameter or process.
    """
    if strategy not in STRATEGIES:
        raise BadInput(f"strategy is {strategy!r}", f"use one of {', '.join(STRATEGIES)}")
    if parameters < 1 or processes < 1:
        raise BadInput(f"parameters={parameters}, processes={processes}", "use 1 or more for both")
    whole = {"parameters": parameter_bytes, "gradients": gradient_bytes, "optimizer": optimizer_bytes}
    divided = STRATEGIES[strategy]
    held = {name: parameters * each / (processes if name in divided else 1) for name, each in whole.items()}
    return StateBytes(**held)
