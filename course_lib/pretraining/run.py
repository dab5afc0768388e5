"""One pretraining run: corpus, model, training with evaluations on held-out text, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import assets, machine
from course_lib.batching import load_tokenizer
from course_lib.checkpoints import CheckpointFolder, resume_identity
from course_lib.classifier.pretrained import load_bert
from course_lib.encoder import BertEncoder
from course_lib.pretraining.adapters import add_adapters
from course_lib.pretraining.batches import PretrainingBatch, PretrainingBatches, Vocabulary
from course_lib.pretraining.corpus import PretrainingCorpus, load_corpus
from course_lib.pretraining.flops import step_flops, training_bytes
from course_lib.pretraining.measures import Measures, bits_per_character, measure, unigram_entropy
from course_lib.pretraining.model import BertForPretraining
from course_lib.pretraining.recipes import EVAL_PHASES, PretrainingRecipe
from course_lib.pretraining.rows import PairRows, RowSource, StreamRows
from course_lib.pretraining.wordpiece import own_tokenizer
from course_lib.training import Callback, History, LogEntry, train
from course_lib.training.parallel import mean_over_processes, rank, world_size

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HELD_OUT_TOKENS = 65_536  # measured at the end: about 9,800 predicted words
_EVALUATED = 1 / 40  # of a run's tokens are measured after each phase, at most a quarter of the above
_HELD_OUT_SEED = 2**31  # masks of the held-out text: the same ones for every run
_WARM, _TIMED = 3, 8  # steps that are run to learn this machine's speed


@dataclass(frozen=True)
class Material:
    """Text of a run, tokenised.

    Attributes:
        tokenizer: of the model.
        train: documents to learn from.
        held_out: documents that are never learned from.
    """

    tokenizer: PreTrainedTokenizerBase
    train: PretrainingCorpus
    held_out: PretrainingCorpus


@dataclass(frozen=True)
class Pretrained:
    """A finished run.

    Attributes:
        model: in evaluation mode.
        material: what it has learned from.
        history: of the training, with `validation_loss` after each phase.
        held_out: measures on HELD_OUT_TOKENS of held-out text at the end.
        unigram_entropy: of the held-out text, in nats (see `measures.unigram_entropy`).
        bits_per_character: on the held-out text; None where words are masked.
        tokens: positions that the run has seen, padding included.
        seconds: of training, without evaluation.
        flops: operations of the run's matrix products, counted by formula.
    """

    model: BertForPretraining
    material: Material
    history: History
    held_out: Measures
    unigram_entropy: float
    bits_per_character: float | None
    tokens: int
    seconds: float
    flops: float

    def to_dict(self) -> dict[str, Any]:
        """The figures, JSON-able."""
        return {
            "held_out": asdict(self.held_out),
            "unigram_entropy": self.unigram_entropy,
            "below_unigram_entropy": self.held_out.loss < self.unigram_entropy,
            "bits_per_character": self.bits_per_character,
            "tokens": self.tokens,
            "flops": self.flops,
            "training_seconds": self.seconds,
            "tokens_per_second": self.tokens / self.seconds,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "history": self.history.to_dict(),
        }


def material_of(recipe: PretrainingRecipe) -> Material:
    """Tokenizer and tokenised text of a recipe, made at their first use and kept in the cache."""
    if recipe.shape is None:
        folder = assets.path("course_encoder")
    else:
        folder = own_tokenizer(recipe.shape.vocab_size, recipe.sources)
    parts = [load_corpus(folder, recipe.sources, part) for part in ("train", "held_out")]
    return Material(load_tokenizer(folder), *parts)


def rows_of(recipe: PretrainingRecipe, corpus: PretrainingCorpus, seed: int, length: int) -> RowSource:
    """Sentence pairs for next-sentence prediction; else rows of running text."""
    if recipe.objective == "mlm+nsp":
        return PairRows(corpus, length, seed)
    # A masked model is later given [CLS] text [SEP]; a causal one begins after a [SEP].
    return StreamRows(corpus, length, seed, framed=recipe.objective == "mlm")


def new_model(recipe: PretrainingRecipe) -> BertForPretraining:
    """The model before training: new, or the course encoder with a new head. Random numbers are the caller's."""
    if recipe.shape is not None:
        dropout = recipe.shape.dropout if recipe.dropout is None else recipe.dropout
        return BertForPretraining(BertEncoder(replace(recipe.shape, dropout=dropout)), recipe.objective == "mlm+nsp")
    encoder = BertEncoder.from_transformers(load_bert(assets.path("course_encoder")), recipe.dropout)
    encoder.causal = recipe.objective == "causal"
    if recipe.trained == "adapters":
        add_adapters(encoder, recipe.rank)
    return BertForPretraining(encoder, recipe.objective == "mlm+nsp")


@torch.no_grad()
def start_at_frequencies(model: BertForPretraining, corpus: PretrainingCorpus) -> None:
    """Sets the bias of each word to the logarithm of its frequency (words not met count half an occurrence).

    So the first steps need not learn word frequencies: a tenth of a short run.
    """
    counts = np.bincount(np.asarray(corpus.tokens), minlength=len(model.words.bias)).clip(0.5)
    model.words.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


def objective(module: nn.Module, batch: PretrainingBatch) -> Tensor:
    """Loss of the words, plus that of next-sentence prediction if there is one (Devlin et al. 2019, A.2)."""
    assert isinstance(module, BertForPretraining)
    words, sentences = module.losses(
        batch.input_ids, batch.attention_mask, batch.token_type_ids, batch.positions, batch.targets, batch.follows
    )
    words = words * batch.word_weight
    return words if sentences is None else words + sentences * batch.pair_weight


def held_out_batches(
    recipe: PretrainingRecipe, material: Material, tokens: int = HELD_OUT_TOKENS
) -> list[PretrainingBatch]:
    """So many tokens of held-out rows: the same rows with the same masks for every run of a recipe's kind."""
    wanted = max(1, round(min(tokens, material.held_out.n_tokens) / recipe.batch_tokens))
    batches = PretrainingBatches(
        (rows_of(recipe, material.held_out, _HELD_OUT_SEED, recipe.length),), Vocabulary.of(material.tokenizer),
        None if recipe.objective == "causal" else recipe.masking,
        steps=wanted, batch_tokens=recipe.batch_tokens, seed=_HELD_OUT_SEED,
    )  # fmt: skip
    return list(batches.epoch(0))


def training_batches(recipe: PretrainingRecipe, material: Material) -> PretrainingBatches:
    """The batches that a recipe learns from, in `EVAL_PHASES` equal parts; in a process group this process's rows."""
    seed = recipe.training.seed
    rows = {length: rows_of(recipe, material.train, seed, length) for length in set(recipe.lengths)}
    return PretrainingBatches(
        tuple(rows[length] for length in recipe.lengths), Vocabulary.of(material.tokenizer),
        None if recipe.objective == "causal" else recipe.masking,
        steps=-(-recipe.steps // EVAL_PHASES), batch_tokens=recipe.batch_tokens, seed=seed,
        rank=rank(), world=world_size(),
    )  # fmt: skip


class Evaluator:
    """Measures a model on held-out batches, as `train` calls it after each phase of the run."""

    def __init__(self, batches: Sequence[PretrainingBatch], mask_id: int | None) -> None:
        self.batches, self.mask_id = [batch.to(machine.device()) for batch in batches], mask_id

    def __call__(self, module: nn.Module) -> LogEntry:
        assert isinstance(module, BertForPretraining)
        found = measure(module, self.batches, self.mask_id)
        row = {"validation_loss": found.loss, "validation_accuracy": found.top1}
        more = {"next_sentence": found.next_sentence, "loss_at_masks": found.loss_at_masks}
        return row | {f"validation_{name}": value for name, value in more.items() if value is not None}


@machine.freed_memory_kept()
def pretrain(
    recipe: PretrainingRecipe,
    *,
    material: Material | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoints: CheckpointFolder | None = None,
    log_every: int = 10,
) -> Pretrained:
    """Trains a recipe from its beginning, or from the newest checkpoint.

    In a process group (`torchrun ... -m course_lib pretrain`, see `training.parallel`) each process computes its rows
    of every batch, and together they take the step that one process would take, but for rounding.

    Args:
        recipe: what to do.
        material: text that is at hand already; made when left out.
        callbacks: called with every row of the history.
        checkpoints: a run that was killed and is called again ends, on a CPU, in the same weights to the bit.
        log_every: steps between two rows of the history.

    Raises:
        CheckpointError: the checkpoints are of another run: another recipe, other texts or other first weights.
    """
    material = material or material_of(recipe)
    with machine.seeded(recipe.training.seed):
        model = new_model(recipe)
        start_at_frequencies(model, material.train)
        identity = {} if checkpoints is None else resume_identity(
            recipe=recipe, train=material.train, held_out=material.held_out, tokenizer=material.tokenizer,
            initial_weights=model,
        )  # fmt: skip
        if rank():  # each process has its own dropout
            torch.manual_seed(recipe.training.seed + rank())
        model.to(machine.device())
        few = int(min(HELD_OUT_TOKENS / 4, recipe.tokens * _EVALUATED))
        history = train(
            model, training_batches(recipe, material), objective,
            replace(recipe.training, epochs=EVAL_PHASES),
            validate=Evaluator(held_out_batches(recipe, material, few), material.tokenizer.mask_token_id),
            callbacks=callbacks, checkpoints=checkpoints, log_every=log_every, identity=identity,
        )  # fmt: skip
    return _finished(recipe, material, model, history)


def _finished(recipe: PretrainingRecipe, material: Material, model: BertForPretraining, history: History) -> Pretrained:
    batches = [batch.to(machine.device()) for batch in held_out_batches(recipe, material)]
    found, steps = (
        measure(model, batches, material.tokenizer.mask_token_id),
        EVAL_PHASES * training_batches(recipe, material).steps,
    )
    characters = round(found.predicted * material.held_out.characters / material.held_out.n_tokens)
    bits = bits_per_character(found.loss, found.predicted, characters) if recipe.objective == "causal" else None
    return Pretrained(
        model, material, history, found, unigram_entropy(np.asarray(material.held_out.tokens)),
        bits_per_character=bits, tokens=steps * recipe.batch_tokens, flops=steps * step_flops(recipe),
        seconds=history.seconds - history.validation_seconds,
    )  # fmt: skip


def pretraining_cost(recipe: PretrainingRecipe) -> machine.Cost:
    """What `pretrain` will take here: seconds by `step_seconds`, memory by formula."""
    return machine.Cost(recipe.steps * step_flops(recipe), recipe.steps * step_seconds(recipe), training_bytes(recipe))


def tokens_in(seconds: float, recipe: PretrainingRecipe) -> int:
    """How many tokens a run of this recipe sees in so many seconds; see `step_seconds`."""
    return max(recipe.batch_tokens, int(seconds / step_seconds(recipe)) * recipe.batch_tokens)


def step_seconds(recipe: PretrainingRecipe) -> float:
    """Mean seconds of a step of this run, from a few steps of each row length that are timed and thrown away."""
    material = material_of(recipe)
    taken = {length: _timed_steps(recipe, material, length) for length in set(recipe.lengths)}
    return sum(taken[length] for length in recipe.lengths) / EVAL_PHASES


@machine.freed_memory_kept()
def _timed_steps(recipe: PretrainingRecipe, material: Material, length: int) -> float:
    short = replace(recipe, length=length, first_lengths=(), tokens=EVAL_PHASES * _TIMED * recipe.batch_tokens)
    with machine.seeded(0):
        model = new_model(short).to(machine.device())
        batches = training_batches(short, material)
        batches.steps = _WARM + _TIMED
        rows = train(model, batches, objective, replace(recipe.training, epochs=1), log_every=1).rows
    seconds = torch.tensor((rows[-1]["seconds"] - rows[_WARM - 1]["seconds"]) / _TIMED, dtype=torch.float64)
    return float(mean_over_processes(seconds))
