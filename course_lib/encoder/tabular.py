"""Rows of a table as tokens for the encoder: one vector for each column, and a Transformer that reads them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.encoder.config import EncoderConfig
from course_lib.encoder.model import BertEncoder
from course_lib.errors import BadInput


class FeatureTokenizer(nn.Module):
    """One vector for each column: x_j W_j + b_j for a number, a row of a table for a category; [CLS] first.

    Gorishniy et al. 2021, Revisiting Deep Learning Models for Tabular Data, section 3.3 (arXiv:2106.11959).

    Args:
        n_numbers: number of numeric columns.
        cardinalities: number of codes of each categorical column.
        hidden_size: of a vector.
    """

    def __init__(self, n_numbers: int, cardinalities: Sequence[int], hidden_size: int) -> None:
        super().__init__()
        bound = hidden_size**-0.5
        self.weight = nn.Parameter(torch.empty(n_numbers, hidden_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_numbers, hidden_size).uniform_(-bound, bound))
        self.cls = nn.Parameter(torch.empty(1, hidden_size).uniform_(-bound, bound))
        self.tables = nn.ModuleList(nn.Embedding(n, hidden_size) for n in cardinalities)

    def forward(
        self, numbers: Float[Tensor, "batch n_numbers"], codes: Int[Tensor, "batch n_codes"]
    ) -> Float[Tensor, "batch tokens hidden"]:
        """The tokens of each row: [CLS], then the numbers, then the categories.

        Raises:
            BadInput: not one number and one code for each column.
        """
        if numbers.shape[1:] != self.weight.shape[:1] or codes.shape != (len(numbers), len(self.tables)):
            raise BadInput(
                f"numbers have the shape {tuple(numbers.shape)} and codes {tuple(codes.shape)}",
                f"pass (n, {len(self.weight)}) and (n, {len(self.tables)})",
            )
        of_numbers = numbers[:, :, None] * self.weight + self.bias
        of_codes = [table(codes[:, [place]]) for place, table in enumerate(self.tables)]
        return torch.cat([self.cls.expand(len(numbers), 1, -1), of_numbers, *of_codes], dim=1)


class FTTransformer(nn.Module):
    """The course's encoder on the tokens of a row; [CLS] -> ReLU -> one logit (Gorishniy et al. 2021, equation 2)."""

    def __init__(self, n_numbers: int, cardinalities: Sequence[int], hidden_size: int = 64, n_layers: int = 2) -> None:
        super().__init__()
        self.tokenizer = FeatureTokenizer(n_numbers, cardinalities, hidden_size)
        self.encoder = BertEncoder(EncoderConfig(
            vocab_size=1, pad_id=None, hidden_size=hidden_size, n_layers=n_layers, n_heads=8, norm="pre", dropout=0.1,
            intermediate_size=2 * hidden_size, max_positions=1 + n_numbers + len(cardinalities), n_segments=1,
        ))  # fmt: skip
        self.head = nn.Linear(hidden_size, 1)

    def forward(
        self, numbers: Float[Tensor, "batch n_numbers"], codes: Int[Tensor, "batch n_codes"]
    ) -> Float[Tensor, "batch"]:
        """The log-odds of the second class."""
        states = self.encoder(inputs_embeds=self.tokenizer(numbers, codes), cls_only=True)
        logits: Tensor = self.head(states[:, 0].relu())[:, 0]
        return logits
