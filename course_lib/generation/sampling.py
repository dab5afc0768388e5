"""From the scores of the next token to one that is drawn: temperature, top-k, top-p and min-p."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.errors import BadInput

_LOWEST_TEMPERATURE = 1e-30  # a lower one is 0 in float32


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. The names and their meaning are those of transformers' `GenerationConfig`.

    Attributes:
        temperature: logits are divided by it; 0 takes the likeliest token (greedy decoding).
        top_k: only the k likeliest tokens can be drawn; 0 for all.
        top_p: only the likeliest tokens that together reach this probability (Holtzman et al. 2020, arXiv:1904.09751).
        min_p: only tokens with at least this fraction of the likeliest one's probability (Nguyen et al. 2024,
            arXiv:2407.01082).

    Raises:
        BadInput: a number outside its range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        for name in ("temperature", "top_k", "top_p", "min_p"):
            if not isinstance(value := getattr(self, name), (int, float)) or value != value:
                raise BadInput(f"{name} is {value!r}", "use a number")
        if not 0 <= self.temperature < float("inf"):
            raise BadInput(f"temperature is {self.temperature}", "use 0 for the likeliest token, or a positive number")
        if self.top_k < 0 or not float(self.top_k).is_integer():
            raise BadInput(f"top_k is {self.top_k}", "use a whole number of tokens, or 0 for all")
        if not 0 < self.top_p <= 1:
            raise BadInput(f"top_p is {self.top_p}", "use a probability above 0, at most 1")
        if not 0 <= self.min_p <= 1:
            raise BadInput(f"min_p is {self.min_p}", "use a number from 0 to 1")

    def probabilities(self, logits: Float[Tensor, "*batch vocab"]) -> Float[Tensor, "*batch vocab"]:
        """The distribution that a token is drawn from: temperature, then the filters top-k, top-p and min-p.

        The order is that of transformers' `generate`: each filter reads probabilities of the tokens that are left.
        """
        if self.temperature == 0:
            return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        shifted = logits.float() - logits.max(-1, keepdim=True).values.float()  # no overflow, however low it is
        scaled = shifted / max(self.temperature, _LOWEST_TEMPERATURE)
        for keep in (self._top_k, self._top_p, self._min_p):
            scaled = keep(scaled)
        return scaled.softmax(-1)

    def draw(self, logits: Float[Tensor, "vocab"], random: torch.Generator) -> int:
        """One token of one row. `random` is a generator of the CPU, where the token is drawn on every machine."""
        if self.temperature == 0:
            return int(logits.argmax())
        return int(torch.multinomial(self.probabilities(logits).cpu(), 1, generator=random))

    def _top_k(self, logits: Tensor) -> Tensor:
        if not 0 < self.top_k < logits.shape[-1]:
            return logits
        lowest = logits.topk(int(self.top_k), -1).values[..., -1:]
        return logits.masked_fill(logits < lowest, -torch.inf)

    def _top_p(self, logits: Tensor) -> Tensor:
        if self.top_p == 1:
            return logits
        ordered, order = logits.sort(-1, descending=True)
        probabilities = ordered.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities  # a token stays if those before it do not reach top_p yet
        dropped = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= self.top_p)
        return logits.masked_fill(dropped, -torch.inf)

    def _min_p(self, logits: Tensor) -> Tensor:
        if self.min_p == 0:
            return logits
        probabilities = logits.softmax(-1)
        return logits.masked_fill(probabilities < self.min_p * probabilities.amax(-1, keepdim=True), -torch.inf)
