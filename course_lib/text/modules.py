"""Private copies of a torch module that share its weights.

A hook or a switch to evaluation mode on a module is visible to every thread that uses the module. Predictions and
gradients therefore run on a copy: its submodules are new objects with their own mode and hooks, and their parameters
and buffers are the tensors of the original. A copy of a 6-layer encoder takes about a millisecond and no memory.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from course_lib import machine
from course_lib.errors import BadInput


def shared_copy(module: nn.Module) -> nn.Module:
    """A copy with its own mode and hooks; parameters and buffers are the original's."""
    return _copied(module, {})


def inference_copy(module: nn.Module) -> nn.Module:
    """A `shared_copy` in evaluation mode. The weights are moved to the course's device if they are elsewhere."""
    return shared_copy(module.to(machine.device())).eval()


def _copied(module: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    """`made` maps the id of each submodule to its copy, since one submodule may occur in several places."""
    if id(module) not in made:
        new = made[id(module)] = module.__new__(type(module))
        new.__dict__ = {
            name: copy.copy(value) if isinstance(value, dict) else value for name, value in vars(module).items()
        }
        for name, child in module._modules.items():
            new._modules[name] = None if child is None else _copied(child, made)
    return made[id(module)]


def input_embeddings(module: nn.Module) -> nn.Embedding:
    """The layer that turns token ids into vectors.

    Raises:
        BadInput: the module has none that transformers names.
    """
    inner_modules: tuple[Any, ...] = (module, getattr(module, "bert", None), getattr(module, "model", None))
    for inner in inner_modules:
        if hasattr(inner, "get_input_embeddings"):
            layer: nn.Embedding = inner.get_input_embeddings()
            return layer
    raise BadInput(f"{type(module).__name__} has no input embeddings", "use a TextClassifier")


@contextmanager
def add_to_embeddings(module: nn.Module, delta: Float[Tensor, "batch seq hidden"]) -> Iterator[None]:
    """While inside, the module's token embeddings are what they are plus `delta`; gradients reach both.

    Args:
        module: private to the caller, such as a `shared_copy`, or in training.
        delta: of the shape of the embeddings.
    """

    def add(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        further = output.shape[1] - delta.shape[1]  # Longformer pads rows inside, up to whole windows
        return output + (nn.functional.pad(delta, (0, 0, 0, further)) if further else delta)

    hook = input_embeddings(module).register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def capture_embeddings(module: nn.Module) -> Iterator[list[Tensor]]:
    """While inside, the token embeddings of each forward pass are collected as leaves that gradients can be taken of.

    Args:
        module: private to the caller, such as a `shared_copy`, or in training.
    """
    captured: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        captured.append(output.detach().requires_grad_())
        return captured[-1]

    hook = input_embeddings(module).register_forward_hook(keep)
    try:
        yield captured
    finally:
        hook.remove()
