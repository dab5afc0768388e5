"""What is pretrained, on what, and how long: named recipes, one for each purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from course_lib.encoder import EncoderConfig
from course_lib.errors import BadInput
from course_lib.pretraining.masking import MaskingRule
from course_lib.training import TrainingConfig

Objective = Literal["mlm+nsp", "mlm", "causal"]
OBJECTIVES: tuple[Objective, ...] = ("mlm+nsp", "mlm", "causal")
TRAINED = ("all", "adapters")
EVAL_PHASES = 8  # equal parts of a run, with an evaluation on held-out text after each
_TINY = EncoderConfig(vocab_size=8192, hidden_size=128, n_layers=4, n_heads=4, intermediate_size=512, max_positions=64)


@dataclass(frozen=True)
class PretrainingRecipe:
    """A named way to pretrain. Change a part with `dataclasses.replace`.

    Attributes:
        name: of the recipe.
        shape: of a new encoder; None starts from the course encoder and its tokenizer.
        objective: `mlm+nsp` (BERT), `mlm` (RoBERTa), or `causal` (the next token, as GPT).
        masking: which tokens are predicted, and what replaces them; not used by `causal`.
        length: tokens of a row.
        first_lengths: of the rows in the first eighths of the run, one number for each. In short rows a new encoder
            learns which position is next to which, since it meets each position more often (Nagatsuka et al. 2021; BERT
            itself began with rows of 128 and ended with 512).
        batch_tokens: tokens of a step, padding included.
        tokens: of the whole run.
        training: learning rate, schedule, seed; its `epochs` and `batch_size` are not used.
        dropout: of the encoder while it trains; None keeps that of its shape, 0.1 for the course encoder. Text that is
            seen once or twice needs none (Geiping and Goldstein 2023, arXiv:2212.14034). On a CPU 0.1
            costs about a quarter of a step's time: random numbers are drawn, and attention leaves the fused kernel.
        trained: `all`, or `adapters`: low-rank ones (LoRA) in a frozen encoder, and the head.
        rank: of the adapters.
        sources: of text.

    Raises:
        BadInput: a value is out of its range.
    """

    name: str
    shape: EncoderConfig | None = _TINY
    objective: Objective = "mlm+nsp"
    masking: MaskingRule = field(default_factory=MaskingRule)
    length: int = 64
    first_lengths: tuple[int, ...] = ()
    batch_tokens: int = 2048
    tokens: int = 1_000_000
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(learning_rate=1e-3, warmup=0.05))
    dropout: float | None = None
    trained: str = "all"
    rank: int = 16
    sources: tuple[str, ...] = ("speeches", "wikipedia_leads")

    def __post_init__(self) -> None:
        most = self.shape.max_positions if self.shape else 512
        checks = {
            "objective": (self.objective in OBJECTIVES, f"one of {', '.join(OBJECTIVES)}"),
            "trained": (self.trained in TRAINED, f"one of {', '.join(TRAINED)}"),
            "length": (8 <= self.length <= most, f"from 8 to {most}, the positions of the encoder"),
            "first_lengths": (
                len(self.first_lengths) < EVAL_PHASES and all(8 <= n <= self.length for n in self.first_lengths),
                f"at most {EVAL_PHASES - 1} numbers from 8 to {self.length}, the length of the last rows",
            ),
            "batch_tokens": (self.batch_tokens >= self.length, f"at least one row of {self.length} tokens"),
            "tokens": (self.tokens >= self.batch_tokens, f"at least one batch of {self.batch_tokens} tokens"),
            "dropout": (self.dropout is None or 0 <= self.dropout < 1, "None, or a probability from 0 to below 1"),
            "rank": (self.rank >= 1, "1 or more"),
            "training": (self.training.accumulate == 1, "accumulate=1: batch_tokens is the size of a step"),
            "sources": (bool(self.sources), "at least one name of a source of text"),
        }
        for name, (good, allowed) in checks.items():
            if not good:
                raise BadInput(f"{name} is {getattr(self, name)!r}", f"use {allowed}")
        if self.trained != "all" and self.shape is not None:
            raise BadInput(
                f"trained={self.trained!r} on a new encoder", "train all of it, or start from the course encoder"
            )

    @property
    def lengths(self) -> tuple[int, ...]:
        """Of the rows in each eighth of the run."""
        return self.first_lengths + (EVAL_PHASES - len(self.first_lengths)) * (self.length,)

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return max(1, round(self.tokens / self.batch_tokens))


RECIPES = {
    # Short rows first lead away from the plateau where a model knows word frequencies only: with rows of one length,
    # eight million tokens were not enough. Many masks and Muon help a little more.
    "tiny-bert": PretrainingRecipe(
        "tiny-bert", masking=MaskingRule(rate=0.3), length=64, first_lengths=(16, 16, 16, 16), batch_tokens=1024,
        training=TrainingConfig(learning_rate=4e-3, warmup=0.02, optimizer="muon"),
    ),
    "tiny-gpt": PretrainingRecipe(
        "tiny-gpt",
        EncoderConfig(
            vocab_size=8192, hidden_size=256, n_layers=4, n_heads=4, intermediate_size=1024, max_positions=128,
            norm="pre", causal=True,
        ),
        "causal", length=128,
    ),
    "course-head": PretrainingRecipe(
        "course-head", None, "mlm", length=128, batch_tokens=1024, tokens=3_000_000, trained="adapters", rank=24,
        training=TrainingConfig(learning_rate=2e-3, warmup=0.02),
    ),
}  # fmt: skip


def pretraining_recipe(name: str) -> PretrainingRecipe:
    """The recipe of that name.

    Raises:
        BadInput: there is none.
    """
    if name not in RECIPES:
        raise BadInput(f"there is no pretraining recipe {name!r}", f"use one of {', '.join(RECIPES)}")
    return RECIPES[name]
