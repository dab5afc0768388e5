"""The training loop: against transformers' schedules and a plain PyTorch loop, by hand-worked values, by property."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import Interrupted, interrupt_at
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from course_lib.batching import Batch, LengthBuckets, collate
from course_lib.checkpoints import Checkpoint, CheckpointFolder
from course_lib.classifier import BERTForSentimentAnalysis
from course_lib.errors import BadInput, CheckpointError
from course_lib.machine import seed_everything
from course_lib.training import (
    History,
    LogEntry,
    TensorBatch,
    TensorBatches,
    TrainingConfig,
    learning_rate_at,
    parameter_groups,
    train,
)
from course_lib.training.optimizers import make_optimizer

STEADY = TrainingConfig(epochs=1, learning_rate=1e-2, schedule="constant", warmup=0.0, precision="float32")
WORDS = np.random.default_rng(3)
ROWS = [[101, *WORDS.integers(1, 60, size=WORDS.integers(1, 9)).tolist(), 102] for _ in range(48)]
LABELS = torch.tensor([row[1] % 2 for row in ROWS])


class Bag(nn.Module):
    """The smallest text classifier: the mean of the tokens' vectors, dropout, a linear layer."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.words = nn.Embedding(128, 6)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(6, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask[..., None].float()
        logits: Tensor = self.head(self.dropout((self.words(input_ids) * mask).sum(1) / mask.sum(1)))
        return logits


class Fixed:
    """Batches with the given rows, in the given order, in every epoch."""

    def __init__(self, *batches: Sequence[int]) -> None:
        self.batches = batches

    @property
    def steps(self) -> int:
        return len(self.batches)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        return (collate(ROWS, index) for index in self.batches[start:])


def bag(dropout: float = 0.0) -> Bag:
    torch.manual_seed(5)
    return Bag(dropout)


def tiny_bert(dropout: float = 0.0) -> BERTForSentimentAnalysis:
    torch.manual_seed(5)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return BERTForSentimentAnalysis(
        2, BertModel(BertConfig(vocab_size=128, max_position_embeddings=16, **shape, **rates)), dropout
    )


def loss_of(module: nn.Module, batch: Batch) -> Tensor:
    labels = LABELS.to(batch.index.device)
    return F.cross_entropy(module(batch.input_ids, batch.attention_mask).float(), labels[batch.index])


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def farthest(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@pytest.fixture
def plain_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    """w - rate * gradient in AdamW's place: weights then tell the gradients, without division by their size."""

    def descent(groups: Any, lr: float, **_: Any) -> torch.optim.SGD:
        return torch.optim.SGD([group | {"weight_decay": 0.0} for group in groups], lr=lr)

    monkeypatch.setattr(torch.optim, "AdamW", descent)


# ---- schedule ------------------------------------------------------------------------------------------------


def rates(total: int, config: TrainingConfig) -> list[float]:
    return [learning_rate_at(step, total, config) for step in range(total)]


def test_linear_schedule_by_hand() -> None:
    """10 steps, 2 of them warm-up: thirds up to the peak, then eighths down."""
    config = TrainingConfig(learning_rate=1.0, warmup=0.2)
    expected = [1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    assert rates(10, config) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("schedule", "reference"),
    [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)],
    ids=["linear", "cosine"],
)
@pytest.mark.parametrize(("total", "warmup"), [(40, 0.25), (7, 0.0), (33, 0.1)], ids=str)
def test_fall_is_that_of_transformers(schedule: str, reference: Callable[..., Any], total: int, warmup: float) -> None:
    config = TrainingConfig(learning_rate=3e-4, warmup=warmup, schedule=schedule)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3e-4)
    rising = round(warmup * total)
    scheduler, expected = reference(optimizer, rising, total), []
    for _ in range(total):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    ours = rates(total, config)
    assert ours[rising:] == pytest.approx(expected[rising:], rel=1e-9)
    # While it rises, transformers wastes step 0 at rate 0; ours is above it, and under the peak.
    assert all(theirs < rate < 3e-4 for theirs, rate in zip(expected[:rising], ours[:rising], strict=True))


CONFIGS = st.builds(
    TrainingConfig,
    learning_rate=st.floats(1e-8, 10.0),
    warmup=st.floats(0.0, 0.8),
    schedule=st.sampled_from(["linear", "cosine", "constant"]),
)


@settings(deadline=None)
@given(CONFIGS, st.integers(1, 300))
def test_schedule_rises_to_the_peak_then_falls_and_stays_within(config: TrainingConfig, total: int) -> None:
    values, rising = rates(total, config), round(config.warmup * total)
    peak = config.learning_rate
    assert all(0 < value <= peak * (1 + 1e-12) for value in values)
    assert all(a < b for a, b in pairwise(values[: rising + 1]))
    assert all(a >= b for a, b in pairwise(values[rising:]))
    assert rising == total or values[rising] == pytest.approx(peak)
    if config.schedule != "constant" and total - rising >= 50:
        assert values[-1] <= peak / 50 + 1e-12


# ---- which weight learns how fast ----------------------------------------------------------------------------

BERT_TABLE = [  # (name, weight decay)
    ("bert.embeddings.word_embeddings.weight", 0.01),
    ("bert.embeddings.LayerNorm.weight", 0.0),
    ("bert.encoder.layer.0.attention.self.query.weight", 0.01),
    ("bert.encoder.layer.0.attention.output.LayerNorm.bias", 0.0),
    ("bert.encoder.layer.1.intermediate.dense.weight", 0.01),
    ("bert.pooler.dense.weight", 0.01),
    ("classifier.weight", 0.01),
    ("classifier.bias", 0.0),
]
DISTILBERT_TABLE = [
    ("distilbert.embeddings.position_embeddings.weight", 0.01),
    ("distilbert.transformer.layer.0.attention.q_lin.weight", 0.01),
    ("distilbert.transformer.layer.1.ffn.lin1.bias", 0.0),
    ("distilbert.transformer.layer.1.sa_layer_norm.weight", 0.0),
    ("pre_classifier.weight", 0.01),
]


def tiny_distilbert() -> nn.Module:
    return DistilBertForSequenceClassification(
        DistilBertConfig(vocab_size=64, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=16)
    )


@pytest.mark.parametrize(
    ("module", "table"), [(tiny_bert, BERT_TABLE), (tiny_distilbert, DISTILBERT_TABLE)], ids=["bert", "distilbert"]
)
def test_groups_by_hand(module: Callable[[], nn.Module], table: list[tuple[str, float]]) -> None:
    built = module()
    groups = parameter_groups(built, STEADY)
    met = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    named = dict(built.named_parameters())
    assert [(name, met[id(named[name])]) for name, _ in table] == table
    assert sum(len(group["params"]) for group in groups) == len(named) == len(met), "each weight once"


def test_frozen_weights_stay_and_the_others_move() -> None:
    module = tiny_bert()
    module.bert.embeddings.requires_grad_(False)
    before = weights(module)
    train(module, Fixed(range(8), range(8, 16)), loss_of, STEADY)
    for name, tensor in weights(module).items():
        assert torch.equal(tensor, before[name]) == name.startswith("bert.embeddings"), name


# ---- the loop against a plain one ----------------------------------------------------------------------------


def plain_loop(module: nn.Module, batches: Fixed, config: TrainingConfig) -> list[float]:
    """What a PyTorch tutorial writes: AdamW with two groups, transformers' schedule, clipping."""
    bare = [p for name, p in module.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    kept = {id(p) for p in bare}
    groups = [
        {"params": [p for p in module.parameters() if id(p) not in kept], "weight_decay": config.weight_decay},
        {"params": bare, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, batches.steps * config.epochs)
    losses = []
    module.train()
    for epoch in range(config.epochs):
        for batch in batches.epoch(epoch):
            loss = loss_of(module, batch)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses


def test_equals_a_plain_pytorch_loop() -> None:
    """Same batches, same dropout: after 18 steps the weights differ by rounding alone."""
    config = TrainingConfig(epochs=3, learning_rate=1e-3, warmup=0.0, clip_norm=0.5, precision="float32")
    batches = Fixed(*(range(start, start + 8) for start in range(0, 48, 8)))
    ours, theirs = tiny_bert(dropout=0.1), tiny_bert(dropout=0.1)
    start = weights(ours)
    seed_everything(11)
    history = train(ours, batches, loss_of, config, log_every=1)
    seed_everything(11)
    losses = plain_loop(theirs, batches, config)
    assert history.column("loss")[1] == pytest.approx(losses, abs=1e-6)
    assert farthest(weights(ours), weights(theirs)) < 1e-6
    assert farthest(weights(ours), start) > 1e-3, "something was learned"


@pytest.mark.usefixtures("plain_descent")
@pytest.mark.parametrize(
    ("parts", "accumulate"),
    [
        ([range(0, 4), range(4, 8), range(8, 12), range(12, 16)], 4),
        ([range(0, 6), range(6, 12), range(12, 14)], 3),  # a smaller last batch weighs less
        ([range(0, 8), range(8, 14)], 5),  # the epoch ends before five are together
    ],
    ids=["even", "uneven", "short"],
)
def test_accumulated_batches_are_one_large_batch(parts: list[range], accumulate: int) -> None:
    apart, together = tiny_bert(), tiny_bert()
    config = replace(STEADY, epochs=2, learning_rate=1.0, clip_norm=math.inf)
    first = train(apart, Fixed(*parts), loss_of, replace(config, accumulate=accumulate), log_every=1)
    second = train(together, Fixed([i for part in parts for i in part]), loss_of, config, log_every=1)
    assert first.column("loss")[1] == pytest.approx(second.column("loss")[1], abs=1e-6)
    assert farthest(weights(apart), weights(together)) < 1e-6
    assert farthest(weights(apart), weights(tiny_bert())) > 1e-2


def test_accumulation_counts_steps_not_batches() -> None:
    config = replace(STEADY, epochs=2, accumulate=2)
    history = train(bag(), Fixed([0, 1], [2, 3], [4, 5]), loss_of, config, log_every=1)
    assert [row["step"] for row in history.rows] == [1, 2, 3, 4]
    assert [row["epoch"] for row in history.rows] == [0.5, 1, 1.5, 2]


@pytest.mark.usefixtures("plain_descent")
def test_clipping_bounds_the_step() -> None:
    """One step of plain descent is as long as rate x clip_norm; a bound above the gradient's norm changes nothing."""
    moved = {}
    for bound in (0.01, 1e6, math.inf):
        module = bag()
        before = weights(module)
        train(module, Fixed(range(16)), loss_of, replace(STEADY, learning_rate=1.0, clip_norm=bound))
        moved[bound] = math.sqrt(sum(float((p - before[n]).square().sum()) for n, p in weights(module).items()))
    assert moved[0.01] == pytest.approx(0.01, rel=1e-3)
    assert moved[1e6] == moved[math.inf] > 0.05


def test_bfloat16_is_close_to_float32_and_no_more() -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        config = replace(STEADY, epochs=2, learning_rate=1e-3, precision=precision)
        history = train(tiny_bert(), Fixed(range(8), range(8, 16)), loss_of, config, log_every=1)
        losses[precision] = history.column("loss")[1]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], abs=0.02)
    assert losses["bfloat16"] != losses["float32"], "autocast was on"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card here")
def test_the_card_gives_what_the_cpu_gives() -> None:
    ends = []
    for device in ("cpu", "cuda"):
        module = tiny_bert().to(device)
        history = train(module, LengthBuckets(ROWS, 8), loss_of, replace(STEADY, learning_rate=1e-3), log_every=1)
        ends.append(history.column("loss")[1])
    assert ends[1] == pytest.approx(ends[0], abs=1e-3)


# ---- early stopping ------------------------------------------------------------------------------------------


def scripted(
    module: nn.Module, losses: Sequence[float]
) -> tuple[Callable[[nn.Module], LogEntry], list[dict[str, Tensor]]]:
    """A validation that gives these losses in turn, and the weights that it met."""
    met: list[dict[str, Tensor]] = []

    def validate(given: nn.Module) -> LogEntry:
        assert given is module and not given.training
        assert torch.is_inference_mode_enabled()
        met.append(weights(given))
        return {"validation_loss": losses[len(met) - 1], "validation_accuracy": 0.5}

    return validate, met


@pytest.mark.parametrize(
    ("losses", "patience", "rounds", "best", "early"),
    [
        ([1.0, 0.5, 0.6, 0.7, 0.1, 0.1], 2, 4, 1, True),
        ([1.0, 0.5, 0.6, 0.4, 0.45, 0.46], 2, 6, 3, False),
        ([1.0, 1.0, 0.1, 0.1, 0.1, 0.1], 1, 2, 0, True),  # as good is not better
        ([0.9, math.nan, 0.1, 0.1, 0.1, 0.1], 1, 2, 0, True),
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1], 1, 6, 5, False),
    ],
    ids=["stops", "recovers", "no-better", "nan", "improves"],
)
def test_early_stopping_takes_the_best_weights(
    losses: list[float], patience: int, rounds: int, best: int, early: bool
) -> None:
    module = bag()
    validate, met = scripted(module, losses)
    config = replace(STEADY, epochs=6, patience=patience)
    history = train(module, Fixed(range(8), range(8, 16)), loss_of, config, validate=validate)
    assert (len(met), history.stopped_early) == (rounds, early)
    assert farthest(weights(module), met[best]) == 0
    assert best == 0 or farthest(met[best], met[0]) > 0


def test_without_patience_validation_changes_nothing() -> None:
    watched, alone = bag(), bag()
    validate, met = scripted(watched, [0.1, 0.9, 0.9])
    train(watched, Fixed(range(8)), loss_of, replace(STEADY, epochs=3), validate=validate)
    train(alone, Fixed(range(8)), loss_of, replace(STEADY, epochs=3))
    assert len(met) == 3
    assert farthest(weights(watched), weights(alone)) == 0


# ---- history -------------------------------------------------------------------------------------------------


def test_history_rows_and_callbacks() -> None:
    module, seen = bag(), []
    validate, _ = scripted(module, [0.7, 0.6])
    config = replace(STEADY, epochs=2, warmup=0.5)
    batches = Fixed(*([i] for i in range(6)))
    history = train(module, batches, loss_of, config, validate=validate, callbacks=[seen.append], log_every=4)
    assert seen == history.rows
    trained = {"step", "total_steps", "epoch", "loss", "learning_rate", "seconds"}
    measured = {"step", "total_steps", "epoch", "seconds", "validation_loss", "validation_accuracy"}
    assert [(row["step"], set(row)) for row in history.rows] == [
        (4, trained), (6, measured), (8, trained), (12, trained), (12, measured),
    ]  # fmt: skip
    assert [row["epoch"] for row in history.rows] == pytest.approx([4 / 6, 1, 8 / 6, 2, 2])
    assert history.column("learning_rate")[1] == [learning_rate_at(step - 1, 12, config) for step in (4, 8, 12)]
    assert history.column("validation_loss") == ([6, 12], [0.7, 0.6])
    seconds = [row["seconds"] for row in history.rows]
    assert seconds[0] > 0 and seconds == sorted(seconds) and history.seconds >= seconds[-1]
    assert History(**json.loads(json.dumps(history.to_dict()))) == history


def test_logged_loss_is_the_mean_since_the_last_row() -> None:
    batches = Fixed(range(4), range(4, 8), range(8, 12), range(12, 16))
    fine = train(bag(), batches, loss_of, STEADY, log_every=1).column("loss")[1]
    coarse = train(bag(), batches, loss_of, STEADY, log_every=3).column("loss")
    assert coarse == ([3, 4], [pytest.approx(sum(fine[:3]) / 3), pytest.approx(fine[3])])


def test_module_is_left_in_evaluation_mode() -> None:
    module = bag(dropout=0.5).eval()
    modes = []
    train(module, Fixed(range(4)), lambda m, b: (modes.append(m.training), loss_of(m, b))[1], STEADY)
    assert modes == [True] and not module.training


def test_same_seed_same_weights() -> None:
    ends = {}
    for run, (seed, order) in {"a": (1, 1), "again": (1, 1), "dropout": (2, 1), "order": (1, 2)}.items():
        module = bag(dropout=0.3)
        seed_everything(seed)
        train(module, LengthBuckets(ROWS, 8, order), loss_of, replace(STEADY, epochs=2))
        ends[run] = weights(module)
    assert farthest(ends["a"], ends["again"]) == 0
    assert farthest(ends["a"], ends["dropout"]) > 1e-4
    assert farthest(ends["a"], ends["order"]) > 1e-4


# ---- resuming ------------------------------------------------------------------------------------------------


RESUMABLE = replace(STEADY, epochs=3, accumulate=2)  # 9 steps over these batches
BATCHES = LengthBuckets(ROWS, 8)


def interrupted(
    module: nn.Module, folder: Path, config: TrainingConfig = RESUMABLE, objective: Any = loss_of
) -> CheckpointFolder:
    """A run that ends after step 5 of 9; its checkpoints are those of steps 2 and 4."""
    checkpoints = CheckpointFolder(folder, every=2)
    with pytest.raises(Interrupted):
        train(module, BATCHES, objective, config, callbacks=[interrupt_at(5)], checkpoints=checkpoints, log_every=1)
    return checkpoints


def test_resumed_run_has_the_weights_and_the_history_of_a_whole_one(tmp_path: Path) -> None:
    whole, resumed = bag(dropout=0.2), bag(dropout=0.2)
    seed_everything(4)
    expected = train(whole, BATCHES, loss_of, RESUMABLE, log_every=2)
    seed_everything(4)
    folder = interrupted(resumed, tmp_path)
    assert folder.steps() == [2, 4]
    seed_everything(99)  # random numbers, weights and history come from the checkpoint alone
    fresh = Bag(0.2)
    history = train(fresh, BATCHES, loss_of, RESUMABLE, checkpoints=folder, log_every=2)
    assert farthest(weights(fresh), weights(whole)) == 0
    # The interrupted run wrote a row a step until step 4.
    assert history.column("loss")[0] == [1, 2, 3, 4, 6, 8, 9]
    assert history.column("loss")[1][4:] == expected.column("loss")[1][2:]


def noisy(draw: Callable[[], float]) -> Callable[[nn.Module, Batch], Tensor]:
    """A loss that draws its own numbers."""
    return lambda module, batch: loss_of(module, batch) * draw()


@pytest.mark.parametrize(
    ("model", "changes", "objective"),
    [
        (tiny_bert, {"optimizer": "muon"}, loss_of),
        (bag, {}, noisy(random.random)),
        (bag, {}, noisy(np.random.rand)),
    ],
    ids=["muon", "random numbers of python", "random numbers of numpy"],
)
def test_other_runs_resume_to_the_bit(
    model: Callable[[], nn.Module], changes: dict[str, Any], objective: Any, tmp_path: Path
) -> None:
    config = replace(RESUMABLE, **changes)
    whole, broken, fresh = model(), model(), model()
    seed_everything(5)
    train(whole, BATCHES, objective, config)
    seed_everything(5)
    folder = interrupted(broken, tmp_path, config, objective)
    seed_everything(99)
    train(fresh, BATCHES, objective, config, checkpoints=folder)
    assert farthest(weights(fresh), weights(whole)) == 0


def test_muon_steps_the_matrices_of_the_layers_and_adamw_the_rest() -> None:
    module = tiny_bert()
    joined = make_optimizer(module, replace(STEADY, optimizer="muon"))
    names = {id(p): name for name, p in module.named_parameters()}
    adamw, muon = ([names[id(p)] for g in part.param_groups for p in g["params"]] for part in joined.parts)
    assert sorted(adamw + muon) == sorted(names.values())
    assert all("layer." in name and name.endswith(".weight") and "LayerNorm" not in name for name in muon)
    assert not [name for name in adamw if "layer." in name and module.get_parameter(name).ndim == 2]


def test_a_step_of_muon_is_as_long_in_every_direction() -> None:
    """Gradients of singular values from 0.1 to 1 move the matrix alike; the root mean square is 0.2 of the rate."""
    layer = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(32, 32, bias=False)])})
    weight = layer["layers"][0].weight
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(32, 32))[0] for _ in range(2))
    weight.grad = left @ torch.diag(torch.linspace(0.1, 1, 32)) @ right
    before = weight.detach().clone()
    joined = make_optimizer(layer, replace(STEADY, optimizer="muon", weight_decay=0.0, learning_rate=1e-3))
    joined.step()
    moved = torch.linalg.svdvals(before - weight.detach())
    assert moved.max() < 2 * moved.min()  # 10 in the gradient
    assert (before - weight.detach()).square().mean().sqrt().item() == pytest.approx(0.2e-3, rel=0.3)


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    first, again, calls = bag(), Bag(), []
    folder = CheckpointFolder(tmp_path, every=100)
    done = train(first, BATCHES, loss_of, RESUMABLE, checkpoints=folder)
    rows = train(again, BATCHES, loss_of, RESUMABLE, checkpoints=folder, callbacks=[calls.append]).rows
    assert farthest(weights(first), weights(again)) == 0
    assert rows == done.rows and calls == []
    assert not again.training


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"optimizer": "muon"}, r"'optimizer': \('adamw', 'muon'\)"),
        ({"learning_rate": 5e-3}, r"'learning_rate': \(0\.01, 0\.005\)"),
        ({"seed": 3, "betas": (0.9, 0.99)}, r"'betas': \(\[0\.9, 0\.999\], \[0\.9, 0\.99\]\), 'seed': \(0, 3\)"),
        ({"epochs": 4}, r"'epochs': \(3, 4\), 'total_steps': \(9, 12\)"),  # as another amount of data would
        ({"patience": 2}, r"'patience': \(None, 2\)"),
    ],
    ids=["optimizer", "rate", "two", "epochs", "patience"],
)
def test_checkpoint_of_other_settings_is_refused(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    folder, module = interrupted(bag(), tmp_path), bag()
    with pytest.raises(CheckpointError, match=named) as caught:
        train(module, BATCHES, loss_of, replace(RESUMABLE, **changes), checkpoints=folder,
              validate=lambda _: {"validation_loss": 1.0})  # fmt: skip
    assert "empty checkpoint folder" in caught.value.fix
    assert farthest(weights(module), weights(bag())) == 0


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    folder, frozen, renamed = interrupted(bag(), tmp_path), bag(), bag()
    frozen.words.requires_grad_(False)
    renamed.tail = renamed.head
    del renamed.head
    others = {r"'trained_weights': \(782, 14\)": frozen, r"(?s)another model.*head\.weight": renamed}
    for message, module in others.items():
        with pytest.raises(CheckpointError, match=message):
            train(module, BATCHES, loss_of, RESUMABLE, checkpoints=folder)
    folder.save(Checkpoint(6, {"x": torch.zeros(2)}, {}))  # of something else
    with pytest.raises(CheckpointError, match="another run"):
        train(bag(), BATCHES, loss_of, RESUMABLE, checkpoints=folder)


# ---- bad input -----------------------------------------------------------------------------------------------

BAD_VALUES: dict[str, list[Any]] = {
    "epochs": [0, -1, 1.5, 2.0, "3", None, True, math.nan],
    "batch_size": [0, -8, 16.0, None],
    "learning_rate": [0, -1e-4, math.inf, math.nan, "1e-4", None],
    "optimizer": ["Adam", "", None, 3],
    "schedule": ["Linear", "", None, 3],
    "warmup": [-0.1, 1.0, math.nan, "0.1", None],
    "weight_decay": [-0.01, math.inf, math.nan, None],
    "betas": [(0.9, 1.0), (-0.1, 0.9), (0.9,), 0.9, None, ("0.9", 0.99), (math.nan, 0.9)],
    "clip_norm": [0, -1, math.nan, None],
    "accumulate": [0, -2, 1.5, None],
    "patience": [0, -1, 1.5, "2"],
    "precision": ["float16", "bf16", None, torch.bfloat16],
    "seed": [-1, 1.5, "0", None],
    "order_seed": [-1, 1.5, "0"],
}


def test_table_of_bad_values_is_complete() -> None:
    assert set(BAD_VALUES) == {field.name for field in fields(TrainingConfig)}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_VALUES.items() for value in values],
    ids=lambda part: str(part).replace(" ", ""),
)
def test_bad_value_is_named_with_its_range(name: str, value: Any) -> None:
    with pytest.raises(BadInput) as caught:
        TrainingConfig(**{name: value})
    assert caught.value.message == f"{name} is {value!r}"
    assert caught.value.fix.startswith(f"{name} must be ")


def test_numbers_of_numpy_are_as_good(tmp_path: Path) -> None:
    config = TrainingConfig(epochs=np.int64(2), learning_rate=np.float32(0.5), seed=np.uint8(3), precision="float32")
    assert config == replace(config, epochs=2, learning_rate=0.5, seed=3)
    train(bag(), Fixed(range(4)), loss_of, config, checkpoints=CheckpointFolder(tmp_path))
    assert CheckpointFolder(tmp_path).steps() == [2]


@pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
def test_loss_that_is_not_finite_stops_the_run(value: float) -> None:
    calls = []

    def objective(module: nn.Module, batch: Batch) -> Tensor:
        calls.append(1)
        return loss_of(module, batch) * (value if len(calls) == 3 else 1.0)

    with pytest.raises(BadInput, match=rf"the loss is {value} at step 2") as caught:
        train(bag(), Fixed(range(4)), objective, replace(STEADY, epochs=5))
    assert "learning_rate" in caught.value.fix


def test_gradient_that_is_not_finite_leaves_the_weights() -> None:
    """sqrt has no finite derivative at 0: the loss is a fine 0, its gradient is not."""
    module = bag()
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(BadInput, match=r"the gradient's norm is (nan|inf) at step 0"):
        train(module, Fixed(range(4)), lambda m, _: (0 * m.head.weight.sum()).sqrt(), STEADY)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(
    ("trains", "changes", "arguments", "said"),
    [
        (True, {"patience": 1}, {}, "nothing to validate on"),
        (True, {}, {"validate": lambda _: {"accuracy": 1.0}}, r"validate gave \['accuracy'\]"),
        (True, {}, {"log_every": 0}, "log_every is 0"),
        (False, {}, {}, "takes a gradient"),
    ],
    ids=["no validation data", "no validation loss", "no distance of rows", "nothing to train"],
)
def test_bad_arguments(trains: bool, changes: dict[str, Any], arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        train(bag().requires_grad_(trains), Fixed(range(4)), loss_of, replace(STEADY, **changes), **arguments)


# ---- batches of plain tensors


def test_tensor_batches_hold_each_row_once_in_an_order_of_the_seed():
    rows, labels = torch.arange(20).reshape(10, 2), torch.arange(10)
    batches = TensorBatches(rows, labels, batch_size=4, seed=1)
    assert batches.steps == 3
    epochs = [[batch.tensors for batch in batches.epoch(number)] for number in (0, 0, 1)]
    for epoch in epochs:
        assert [len(labels) for _, labels in epoch] == [4, 4, 2]
        assert sorted(torch.cat([labels for _, labels in epoch]).tolist()) == list(range(10))
        assert all(torch.equal(part[:, 0], 2 * numbers) for part, numbers in epoch)
    orders = [torch.cat([labels for _, labels in epoch]).tolist() for epoch in epochs]
    assert orders[0] == orders[1] != orders[2]
    assert [batch.index.tolist() for batch in batches.epoch(0, start=2)] == [orders[0][8:]]
    assert orders[0] != torch.cat([batch.index for batch in TensorBatches(rows, seed=2).epoch(0)]).tolist()


def test_a_model_of_plain_tensors_is_trained():
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 3, generator=random)
    wanted = inputs @ torch.tensor([1.0, -2.0, 0.5])
    module = nn.Linear(3, 1)

    def objective(module: nn.Module, batch: TensorBatch) -> Tensor:
        given, targets = batch.tensors
        return F.mse_loss(module(given)[:, 0], targets)

    train(module, TensorBatches(inputs, wanted), objective, replace(STEADY, epochs=100, learning_rate=5e-2))
    torch.testing.assert_close(module.weight[0], torch.tensor([1.0, -2.0, 0.5]), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("tensors", "size", "says"),
    [((), 4, r"the tensors have \[\] rows"), ((torch.ones(2), torch.ones(3)), 4, r"\[2, 3\]"),
     ((torch.ones(0),), 4, r"\[0\]"), ((torch.ones(2),), 0, "batch_size is 0")],
    ids=["none", "lengths", "no row", "batch size"],
)  # fmt: skip
def test_tensors_that_make_no_batches(tensors, size, says):
    with pytest.raises(BadInput, match=says):
        TensorBatches(*tensors, batch_size=size)
