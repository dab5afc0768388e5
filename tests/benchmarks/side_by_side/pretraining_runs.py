"""Masked-language-model pretraining, one contender a process: the course's loop and transformers' Trainer.

Both start from the course encoder's weights with a new word head, on the same sentences of the course's documents.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from course_lib import assets, machine
from course_lib.encoder import BertEncoder
from course_lib.pretraining import (
    BertForPretraining,
    PretrainingRecipe,
    held_out_batches,
    material_of,
    measure,
    new_model,
    objective,
    train_documents,
    training_batches,
)
from course_lib.pretraining.documents import documents
from course_lib.pretraining.run import EVAL_PHASES, start_at_frequencies
from course_lib.training import TrainingConfig, train

from .clock import Clock
from .matmul import counted_flops, peak
from .surroundings import load

if TYPE_CHECKING:
    from transformers import Trainer

LENGTH = 128
WARM = 2  # steps before the clock starts


@dataclass(frozen=True)
class PretrainingContender:
    """One way to pretrain.

    Attributes:
        name: in the table.
        side: `ours` or `trainer`.
        precision: `float32` or `bfloat16`.
        grouped: the Trainer's texts are joined and cut into full rows, as its language-modelling example does.
        batch: rows of a step.
    """

    name: str
    side: str
    precision: str
    grouped: bool = True
    batch: int = 64


def contenders(fast: str) -> list[PretrainingContender]:
    """Everybody who races where `fast` is the precision that the hardware multiplies fast."""
    precisions = dict.fromkeys(["float32", fast])
    found = []
    for precision in precisions:
        mark = "" if precision == "float32" else f"-{precision}"
        found += [
            PretrainingContender(f"ours{mark}", "ours", precision),
            PretrainingContender(f"trainer{mark}", "trainer", precision, grouped=False, batch=8),
            PretrainingContender(f"trainer-grouped{mark}", "trainer", precision, grouped=True, batch=8),
        ]
    return found


def recipe_of(contender: PretrainingContender, tokens: int) -> PretrainingRecipe:
    """The course's side: masked words alone, packed rows, the whole encoder, no dropout (text is seen once)."""
    batch_tokens = contender.batch * LENGTH
    return PretrainingRecipe(
        "benchmark", None, "mlm", length=LENGTH, batch_tokens=batch_tokens,
        tokens=max(tokens, EVAL_PHASES * batch_tokens), dropout=0.0,
        training=TrainingConfig(learning_rate=5e-4, warmup=0.05, precision=contender.precision),
    )  # fmt: skip


class Enough(Exception):
    """Ends a run from inside a callback."""


def speed(argument: dict[str, Any]) -> dict[str, Any]:
    """Tokens a second, without padding. `argument`: `contender` (its fields), `seconds` to measure."""
    contender, before = PretrainingContender(**argument["contender"]), load()
    run = _our_speed if contender.side == "ours" else _trainer_speed
    return {**run(contender, argument["seconds"]), "load_before": before, "date": datetime.now(UTC).date().isoformat()}


@machine.freed_memory_kept()
def _our_speed(contender: PretrainingContender, wanted: float) -> dict[str, Any]:
    recipe = recipe_of(contender, 10**9)
    material = material_of(recipe)
    machine.seed_everything(0)
    model, batches = new_model(recipe), training_batches(recipe, material)
    dtype, where = getattr(torch, contender.precision), machine.device()
    peaks, meter = [peak(where, dtype)], _Meter(wanted)
    try:
        train(model, batches, objective, replace(recipe.training, epochs=1), callbacks=[meter.step], log_every=1)
    except Enough:
        peaks.append(peak(where, dtype))
    flops = counted_flops(lambda: _one_step(model, next(batches.epoch(0)), dtype))
    tokens = meter.steps * recipe.batch_tokens
    rate = flops * meter.steps / meter.seconds
    return {
        "tokens_a_second": tokens / meter.seconds, "seconds": meter.seconds, "steps": meter.steps,
        "gflops": rate / 1e9, "peak_gflops": max(peaks) / 1e9, "share_of_peak": rate / max(peaks),
    }  # fmt: skip


def _one_step(model: BertForPretraining, batch: Any, dtype: torch.dtype) -> None:
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        loss = objective(model, batch)
    loss.backward()


class _Meter:
    """Counts steps and seconds after the warm ones, and ends the run when there are enough."""

    def __init__(self, wanted: float) -> None:
        self.wanted, self.done = wanted, 0
        self.clock: Clock | None = None

    def step(self, _: object = None) -> None:
        self.done += 1
        if self.done == WARM:
            self.clock = Clock()
        elif self.clock and self.clock.seconds >= self.wanted:
            self.seconds, self.steps = self.clock.seconds, self.done - WARM
            raise Enough


def _trainer_speed(contender: PretrainingContender, wanted: float) -> dict[str, Any]:
    meter, seen = _Meter(wanted), []
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(contender, Path(folder), seen.append)
        trainer.add_callback(_each_step(meter.step))
        with contextlib.suppress(Enough):
            trainer.train()
    tokens = sum(seen[WARM : WARM + meter.steps])
    return {"tokens_a_second": tokens / meter.seconds, "seconds": meter.seconds, "steps": meter.steps}


def make_trainer(contender: PretrainingContender, folder: Path, seen: Callable[[int], object]) -> Trainer:
    """A Trainer as the language-modelling example makes it; `seen` is told the tokens of each batch, without padding.

    Two defaults are changed in its favour: it writes no checkpoints and draws no progress bar.
    """
    from transformers import AutoTokenizer, DataCollatorForLanguageModeling, Trainer, TrainingArguments, set_seed

    set_seed(0)
    encoder = str(assets.path("course_encoder"))
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)

    def collate(rows: list[dict[str, Any]]) -> Any:
        batch = collator(rows)
        seen(int(batch["attention_mask"].sum()))
        return batch

    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=3, per_device_train_batch_size=contender.batch, save_strategy="no",
        bf16=contender.precision == "bfloat16", use_cpu=machine.device().type == "cpu", disable_tqdm=True,
        report_to="none", logging_strategy="no", dataloader_num_workers=0,
    )  # fmt: skip
    rows = _grouped(tokenizer) if contender.grouped else _sentences(tokenizer)
    return Trainer(model=masked_lm(encoder), args=arguments, train_dataset=rows, data_collator=collate)


def masked_lm(encoder: str) -> Any:
    """transformers' own masked language model on the course encoder, with a new head."""
    from transformers import BertForMaskedLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    return BertForMaskedLM.from_pretrained(encoder)


def _texts() -> list[tuple[str, ...]]:
    return [document.sentences for document in train_documents(documents(PretrainingRecipe("any").sources))]


def _sentences(tokenizer: Any) -> list[dict[str, Any]]:
    """A sentence a row."""
    sentences = [sentence for document in _texts() for sentence in document]
    encoded = tokenizer(sentences, truncation=True, max_length=LENGTH)
    return [
        {"input_ids": i, "attention_mask": m}
        for i, m in zip(encoded["input_ids"], encoded["attention_mask"], strict=True)
    ]


def _grouped(tokenizer: Any) -> list[dict[str, Any]]:
    """Documents joined and cut into rows of `LENGTH`."""
    encoded = tokenizer([" ".join(document) for document in _texts()])["input_ids"]
    joined = np.fromiter((token for row in encoded for token in row), dtype=np.int64)
    rows = joined[: len(joined) // LENGTH * LENGTH].reshape(-1, LENGTH).tolist()
    return [{"input_ids": row, "attention_mask": [1] * LENGTH} for row in rows]


def _each_step(step: Callable[[], None]) -> Any:
    from transformers import TrainerCallback

    class Each(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            step()
            return control

    return Each()


def trainer_loss(argument: dict[str, Any]) -> dict[str, Any]:
    """The held-out loss that the Trainer has after so many seconds. `argument`: `contender`, `seconds`."""
    contender, before = PretrainingContender(**argument["contender"]), load()
    recipe = recipe_of(PretrainingContender("held out", "ours", "float32"), 0)
    batches = held_out_batches(recipe, material_of(recipe))
    meter = _Meter(argument["seconds"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(contender, Path(folder), lambda tokens: None)
        trainer.add_callback(_each_step(meter.step))
        with contextlib.suppress(Enough):
            trainer.train()
    found = measure(as_ours(trainer.model), batches)
    return {
        "loss": found.loss,
        "top1": found.top1,
        "seconds": meter.seconds,
        "steps": meter.steps,
        "load_before": before,
    }


def as_ours(model: Any) -> BertForPretraining:
    """The Trainer's model under our face, so that one measure serves both."""
    ours = BertForPretraining(BertEncoder.from_transformers(model.bert), next_sentence=False)
    head = model.cls.predictions
    ours.words.dense.load_state_dict(head.transform.dense.state_dict())
    ours.words.norm.load_state_dict(head.transform.LayerNorm.state_dict())
    ours.words.bias.data.copy_(head.bias)
    return ours.eval()


@machine.freed_memory_kept()
def seconds_to_loss(argument: dict[str, Any]) -> dict[str, Any]:
    """Seconds that the course takes to a held-out loss. `argument`: `contender`, `loss`, `tokens` of its run.

    A step has 1,024 tokens, as in the recipe of the course's word head. With 8 times as many, as in `speed`, a token
    takes 7 % less time on 2 cores with AVX2, but a run of so few tokens has too few steps.
    """
    contender, before = PretrainingContender(**argument["contender"]), load()
    recipe = replace(recipe_of(contender, argument["tokens"]), batch_tokens=1024)
    material = material_of(recipe)
    batches = held_out_batches(recipe_of(PretrainingContender("held out", "ours", "float32"), 0), material)
    machine.seed_everything(0)
    clock, looks = Clock(), []
    model = new_model(recipe)
    start_at_frequencies(model, material.train)  # as `pretrain` does; a part of our seconds

    def watch(row: dict[str, float]) -> None:
        with clock.stopped():
            model.eval()
            looks.append(
                {
                    "seconds": clock.seconds,
                    "tokens": row["step"] * recipe.batch_tokens,
                    "loss": measure(model, batches).loss,
                }
            )
            model.train()
        if looks[-1]["loss"] <= argument["loss"]:
            raise Enough

    try:
        steps = training_batches(recipe, material)
        steps.steps *= EVAL_PHASES
        train(model, steps, objective, replace(recipe.training, epochs=1), callbacks=[watch], log_every=10)
    except Enough:
        return {"seconds": looks[-1]["seconds"], "looks": looks, "load_before": before}
    return {"seconds": None, "looks": looks, "load_before": before}


@machine.freed_memory_kept()
def cost_of_tokens(argument: dict[str, Any]) -> dict[str, Any]:
    """Seconds of training on so many tokens. `argument`: `contender`, `tokens`."""
    contender, before = PretrainingContender(**argument["contender"]), load()
    recipe = replace(recipe_of(contender, 0), tokens=argument["tokens"], batch_tokens=1024)
    material = material_of(recipe)
    model, batches = new_model(recipe), training_batches(recipe, material)
    batches.steps = recipe.steps
    train(model, _First(batches, 3), objective, replace(recipe.training, epochs=1))  # libraries and memory warm
    clock = Clock()
    train(model, batches, objective, replace(recipe.training, epochs=1))
    return {"tokens": recipe.steps * recipe.batch_tokens, "seconds": clock.seconds, "load_before": before}


@dataclass
class _First:
    """The first few of other batches."""

    batches: Any
    steps: int

    def epoch(self, number: int, start: int = 0) -> Any:
        for _, batch in zip(range(self.steps - start), self.batches.epoch(number, start), strict=False):
            yield batch
