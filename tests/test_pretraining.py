"""Pretraining: loss, heads, batches, runs, measures, saved models."""

import json
import math
import random
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import Interrupted, interrupt_at
from torch.nn import functional as F
from toy_pretraining import NOUNS, SHAPE, VERBS, document, toy_material, toy_recipe, weights_of

from course_lib import machine
from course_lib.checkpoints import CheckpointFolder
from course_lib.encoder import BertEncoder
from course_lib.errors import BadInput, CheckpointError, CorruptAsset, CourseError, MissingAsset
from course_lib.pretraining import (
    BertForPretraining,
    LanguageModel,
    MaskingRule,
    Material,
    PretrainingCorpus,
    bits_per_character,
    held_out_batches,
    loss_by_mask_type,
    measure,
    objective,
    pretrain,
    pretraining_cost,
    pretraining_recipe,
    run,
    save_language_model,
    step_flops,
    tied_cross_entropy,
    training_batches,
    unigram_entropy,
)
from course_lib.pretraining.adapters import adapter_weights, add_adapters, merge_adapters
from course_lib.pretraining.batches import PretrainingBatches, Vocabulary
from course_lib.pretraining.run import start_at_frequencies
from course_lib.training import TrainingConfig


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return toy_material(tmp_path_factory.mktemp("corpus"))


def toy_model(seed: int = 0, **changes) -> BertForPretraining:
    torch.manual_seed(seed)
    return BertForPretraining(BertEncoder(replace(SHAPE, **changes)), next_sentence=not changes.get("causal")).eval()


# ---- the loss --------------------------------------------------------------------------------------------------------


def _parts(predicted: int, vocab: int, hidden: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(predicted)
    shapes = ((predicted, hidden), (vocab, hidden), (vocab,))
    return [torch.randn(*shape, generator=random).requires_grad_() for shape in shapes]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(2, 60), st.integers(1, 45))
def test_the_chunked_loss_is_cross_entropy_on_the_whole_logits(predicted: int, vocab: int, chunk: int) -> None:
    parts, targets = _parts(predicted, vocab, 8), torch.arange(predicted) % vocab
    chunked = tied_cross_entropy(*parts, targets, chunk=chunk)
    gradients = torch.autograd.grad(3 * chunked, parts)
    whole = F.cross_entropy(F.linear(*parts), targets)
    torch.testing.assert_close(chunked, whole)
    for ours, theirs in zip(gradients, torch.autograd.grad(3 * whole, parts), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_the_loss_gives_only_the_gradients_that_are_wanted() -> None:
    hidden, embeddings, bias = _parts(6, 20, 8)
    embeddings.requires_grad_(False)
    tied_cross_entropy(hidden, embeddings, bias, torch.arange(6)).backward()
    assert hidden.grad is not None and bias.grad is not None and embeddings.grad is None
    with torch.no_grad():
        assert not tied_cross_entropy(hidden, embeddings, bias, torch.arange(6)).requires_grad


def test_the_loss_in_autocast_is_near_the_exact_one() -> None:
    parts, targets = _parts(30, 50, 16), torch.arange(30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = tied_cross_entropy(*parts, targets)
    exact = tied_cross_entropy(*parts, targets)
    assert rough.dtype == torch.float32 and rough.item() != exact.item()
    assert rough.item() == pytest.approx(exact.item(), rel=0.02)


# ---- heads -----------------------------------------------------------------------------------------------------------


def test_model_and_saved_folder_equal_transformers(tmp_path, material) -> None:
    from transformers import BertForPreTraining

    model = toy_model(vocab_size=len(material.tokenizer))
    save_language_model(model, material.tokenizer, tmp_path / "m", dtype=torch.float32)
    theirs = BertForPreTraining.from_pretrained(tmp_path / "m").eval()
    ids = torch.randint(5, len(material.tokenizer), (3, 20), generator=torch.Generator().manual_seed(0))
    kinds = (torch.arange(20) > 9).long().expand(3, 20)
    mask = torch.ones_like(ids)
    mask[0, 15:] = 0
    with torch.inference_mode():
        wanted = theirs(input_ids=ids, attention_mask=mask, token_type_ids=kinds)
        torch.testing.assert_close(model(ids, mask, kinds)[mask.bool()], wanted.prediction_logits[mask.bool()])
        hidden = model.encoder(ids, mask, kinds)
        torch.testing.assert_close(model.follows(hidden), wanted.seq_relationship_logits.flip(1))


# ---- batches ---------------------------------------------------------------------------------------------------------


def same(first, second) -> bool:
    parts = zip(vars(first).values(), vars(second).values(), strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in parts)


def flat(batches: PretrainingBatches) -> list:
    return [batch for epoch in range(8) for batch in batches.epoch(epoch)]


@pytest.mark.parametrize("kind", ["mlm+nsp", "mlm", "causal"])
def test_a_batch_depends_on_seed_and_number_alone(kind, material) -> None:
    recipe = toy_recipe(material, objective=kind)
    again = training_batches(recipe, material)
    whole = flat(training_batches(recipe, material))
    late = list(again.epoch(5, start=1))
    assert len(whole) == 8 * again.steps and all(map(same, late, whole[5 * again.steps + 1 :]))
    other = flat(training_batches(replace(recipe, training=TrainingConfig(seed=1)), material))
    assert not all(map(same, whole, other))


@pytest.mark.parametrize("kind", ["mlm+nsp", "mlm", "causal"])
def test_short_rows_come_first(kind, material) -> None:
    recipe = toy_recipe(material, objective=kind, first_lengths=(8, 8, 16))
    assert recipe.lengths == (8, 8, 16, 32, 32, 32, 32, 32)
    batches = training_batches(recipe, material)
    widest = [max(batch.input_ids.shape[1] for batch in batches.epoch(number)) for number in range(8)]
    assert widest == list(recipe.lengths)
    late = list(batches.epoch(1, start=1))
    assert late and all(map(same, late, list(batches.epoch(1))[1:]))
    assert all(batch.input_ids.numel() <= recipe.batch_tokens for batch in flat(batches))


def test_short_rows_first_cost_their_own_attention(material) -> None:
    parts = [step_flops(toy_recipe(material, length=length)) for length in (8, 32)]
    mixed = step_flops(toy_recipe(material, first_lengths=(8, 8, 8, 8)))
    assert parts[0] < parts[1] and mixed == pytest.approx(sum(parts) / 2)


def test_every_row_is_met_once_in_an_epoch_of_the_data(material) -> None:
    recipe = toy_recipe(material, objective="mlm", tokens=256 * 400)
    batches = training_batches(recipe, material)
    rows = len(batches.sources[0].epoch(0).lengths)
    met: list[int] = []
    for batch in batches.epoch(0):
        if len(met) + len(batch.index) > rows:
            break
        met += batch.index.tolist()
    assert sorted(met) == list(range(rows))


def test_causal_batches_ask_for_the_next_token(material) -> None:
    batch = next(training_batches(toy_recipe(material, objective="causal"), material).epoch(0))
    rows, seq = batch.input_ids.shape
    assert len(batch.positions) == rows * (seq - 1) and batch.token_type_ids is None and batch.follows is None
    assert torch.equal(batch.input_ids.flatten()[batch.positions + 1], batch.targets)


def test_masked_batches_hide_what_they_ask(material) -> None:
    recipe = toy_recipe(material, masking=MaskingRule(rate=0.3, mask=1.0, random=0.0))
    batch = next(training_batches(recipe, material).epoch(0))
    seen = batch.input_ids.flatten()[batch.positions]
    assert (seen == material.tokenizer.mask_token_id).all() and (batch.targets != seen).all()
    assert set(batch.follows.tolist()) <= {0, 1} and batch.input_ids.numel() <= recipe.batch_tokens


def test_a_batch_of_one_short_row_asks_for_something(material) -> None:
    recipe = toy_recipe(material, length=8, batch_tokens=8, masking=MaskingRule(rate=0.02), tokens=8 * 400)
    assert all(len(batch.targets) for batch in training_batches(recipe, material).epoch(0))


@pytest.mark.parametrize("world", [2, 3, 9])
@pytest.mark.parametrize("kind", ["mlm+nsp", "mlm", "causal"])
def test_the_parts_of_a_batch_are_the_batch(kind, world, material) -> None:
    """Rows, masks and the weighted sum of the losses, also with more processes than rows."""
    recipe, model = toy_recipe(material, objective=kind), toy_model(vocab_size=len(material.tokenizer))
    model = BertForPretraining(model.encoder, next_sentence=kind == "mlm+nsp").eval()
    whole = next(training_batches(recipe, material).epoch(0))
    assert len(whole.index) == 8
    parts = [whole.part(rank, world) for rank in range(world)]
    for rank, part in enumerate(parts[:8]):
        assert torch.equal(part.input_ids, whole.input_ids[rank::world])
        seen = part.input_ids.flatten()[part.positions]
        assert part.word_weight == 0 or set(zip(seen.tolist(), part.targets.tolist(), strict=True)) <= set(
            zip(whole.input_ids.flatten()[whole.positions].tolist(), whole.targets.tolist(), strict=True)
        )
    losses = torch.stack([objective(model, part) for part in parts])
    assert losses.mean().item() == pytest.approx(objective(model, whole).item(), rel=1e-6)


def test_vocabulary_of_a_tokenizer(material) -> None:
    vocabulary = Vocabulary.of(material.tokenizer)
    words = material.tokenizer.convert_ids_to_tokens(list(range(len(material.tokenizer))))
    assert {words[i] for i in np.flatnonzero(vocabulary.special)} == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert all(words[i].startswith("##") == vocabulary.continues[i] for i in range(len(words)))


# ---- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlm+nsp", "mlm", "causal"])
def test_a_short_run_learns(kind, material) -> None:
    recipe = toy_recipe(material, objective=kind, tokens=256 * 320)
    done = pretrain(recipe, material=material)
    assert done.held_out.loss < done.unigram_entropy
    assert done.tokens == 256 * 320 and done.seconds > 0 and done.flops == pytest.approx(320 * step_flops(recipe))
    assert (done.bits_per_character is not None) == (kind == "causal")
    json.dumps(done.to_dict())
    looks = [row for row in done.history.rows if "validation_loss" in row]
    assert len(looks) == 8 and ("validation_next_sentence" in looks[0]) == (kind == "mlm+nsp")


@pytest.mark.parametrize("step", [3, 13])
def test_a_broken_off_run_ends_in_the_same_weights(step, material, tmp_path) -> None:
    recipe = toy_recipe(material)
    whole = weights_of(pretrain(recipe, material=material, log_every=1))
    run_in_folder = partial(pretrain, recipe, material=material, checkpoints=CheckpointFolder(tmp_path, 2), log_every=1)
    with pytest.raises(Interrupted):
        run_in_folder(callbacks=[interrupt_at(step)])
    resumed = weights_of(run_in_folder())
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"masking": MaskingRule(rate=0.3)}, r"'recipe\.masking\.rate': \(0\.15, 0\.3\)"),
        ({"masking": MaskingRule(strategy="word")}, r"'recipe\.masking\.strategy': \('token', 'word'\)"),
        ({"length": 16}, r"'recipe\.length': \(32, 16\)"),
        ({"objective": "causal"}, r"'recipe\.objective': \('mlm', 'causal'\)"),
        ({"first_lengths": (16,)}, r"'recipe\.first_lengths': \(\[\], \[16\]\)"),
        ({}, r"'train\.tokens'"),
    ],
    ids=["rate", "strategy", "length", "objective", "short rows", "corpus"],
)
def test_checkpoints_of_another_recipe_are_not_continued(change, named, material, tmp_path) -> None:
    recipe = toy_recipe(material, objective="mlm", tokens=256 * 8)
    pretrain(recipe, material=material, checkpoints=CheckpointFolder(tmp_path / "run", 2))
    if not change:
        documents = [document(number) for number in range(49, -1, -1)]
        material = replace(material, train=PretrainingCorpus.build(documents, material.tokenizer, tmp_path / "other"))
    changed = toy_recipe(material, **{"objective": "mlm", "tokens": 256 * 8, **change})
    with pytest.raises(CheckpointError, match=f"of another run.*{named}"):
        pretrain(changed, material=material, checkpoints=CheckpointFolder(tmp_path / "run", 2))


def test_runs_leave_the_random_numbers_of_the_caller(material, monkeypatch) -> None:
    def drawn():
        return random.random(), np.random.rand(), torch.rand(1).item()

    monkeypatch.setattr(run, "material_of", lambda recipe: material)
    recipe = toy_recipe(material, tokens=256 * 8)
    for work in (pretrain, run.step_seconds):
        machine.seed_everything(5)
        expected = drawn()
        machine.seed_everything(5)
        work(recipe)
        assert drawn() == expected


def test_a_resumed_run_counts_its_seconds_once(material, tmp_path, monkeypatch) -> None:
    """Evaluation takes 0.2 s each time: whatever was measured before the interruption stays out of the speed, too."""
    real = run.measure
    monkeypatch.setattr(run, "measure", lambda *given: (time.sleep(0.2), real(*given))[1])
    recipe, folder = toy_recipe(material), CheckpointFolder(tmp_path, 2)
    with pytest.raises(Interrupted):
        pretrain(recipe, material=material, checkpoints=folder, callbacks=[interrupt_at(13)], log_every=1)
    done = pretrain(recipe, material=material, checkpoints=folder)
    assert done.history.validation_seconds > 8 * 0.2 and done.history.seconds - done.seconds > 8 * 0.2


def test_the_bias_starts_at_the_frequencies(material) -> None:
    model = toy_model(vocab_size=len(material.tokenizer))
    start_at_frequencies(model, material.train)
    shares, tokens = model.words.bias.detach().exp(), np.asarray(material.train.tokens)
    assert shares.sum().item() == pytest.approx(1)
    the = material.tokenizer.convert_tokens_to_ids("the")
    assert shares[the].item() == pytest.approx((tokens == the).mean(), rel=0.05)


def test_held_out_rows_are_the_same_for_every_seed(material) -> None:
    recipe = toy_recipe(material)
    first = held_out_batches(recipe, material)
    second = held_out_batches(replace(recipe, training=TrainingConfig(seed=9)), material)
    assert len(first) == len(second) and all(map(same, first, second))


def test_measures_are_those_of_the_whole_logits(material) -> None:
    model, batches = toy_model(vocab_size=len(material.tokenizer)), held_out_batches(toy_recipe(material), material)
    found = measure(model, batches)
    losses, right, judged = [], [], []
    with torch.inference_mode():
        for batch in batches:
            logits = model(batch.input_ids, batch.attention_mask, batch.token_type_ids).flatten(0, 1)[batch.positions]
            losses += F.cross_entropy(logits, batch.targets, reduction="none").tolist()
            right += (logits.argmax(1) == batch.targets).tolist()
            hidden = model.encoder(batch.input_ids, batch.attention_mask, batch.token_type_ids)
            judged += (model.follows(hidden).argmax(1) == batch.follows).tolist()
    assert found.loss == pytest.approx(np.mean(losses)) and found.top1 == pytest.approx(np.mean(right))
    assert found.next_sentence == pytest.approx(np.mean(judged)) and found.pairs == len(judged)
    assert found.perplexity == pytest.approx(math.exp(np.mean(losses)))


def test_the_loss_by_mask_type_is_that_of_each_place(material) -> None:
    model, batches = toy_model(vocab_size=len(material.tokenizer)), held_out_batches(toy_recipe(material), material)
    mask_id = material.tokenizer.mask_token_id
    losses: dict[str, list[float]] = {"masked": [], "kept": [], "random": []}
    with torch.inference_mode():
        for batch in batches:
            logits = model(batch.input_ids, batch.attention_mask, batch.token_type_ids).flatten(0, 1)
            for place, target in zip(batch.positions.tolist(), batch.targets.tolist(), strict=True):
                seen = batch.input_ids.flatten()[place].item()
                kind = "masked" if seen == mask_id else "kept" if seen == target else "random"
                losses[kind].append(float(F.cross_entropy(logits[place], torch.tensor(target))))
    found = loss_by_mask_type(model, batches, mask_id)
    assert found == pytest.approx({kind: np.mean(some) for kind, some in losses.items()})
    n = {kind: len(some) for kind, some in losses.items()}
    mean = sum(found[kind] * n[kind] for kind in n) / sum(n.values())
    whole = measure(model, batches, mask_id)
    assert mean == pytest.approx(whole.loss) and found["masked"] == pytest.approx(whole.loss_at_masks)
    assert measure(model, batches).loss_at_masks is None


@pytest.mark.parametrize(
    ("text", "wanted"), [([1, 1, 1, 1], 0.0), ([1, 2, 3, 4], math.log(4)), ([1, 1, 2, 3], 1.5 * math.log(2))]
)
def test_unigram_entropy_by_hand(text, wanted) -> None:
    assert unigram_entropy(np.array(text)) == pytest.approx(wanted)


def test_bits_per_character_by_hand() -> None:
    assert bits_per_character(nats=math.log(16), tokens=10, characters=40) == pytest.approx(1.0)


# ---- recipes and costs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "gpt"}, "objective is 'gpt'"),
        ({"length": 600}, "length is 600"),
        ({"tokens": 10}, "tokens is 10"),
        ({"batch_tokens": 16}, "batch_tokens is 16"),
        ({"trained": "adapters"}, "on a new encoder"),
        ({"sources": ()}, "sources is"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"first_lengths": (16, 100)}, r"first_lengths is \(16, 100\)"),
        ({"first_lengths": 8 * (16,)}, "at most 7 numbers"),
    ],
)
def test_a_bad_recipe_is_refused(change, message) -> None:
    with pytest.raises(BadInput, match=message):
        replace(pretraining_recipe("tiny-bert"), **change)


@pytest.mark.parametrize("name", ["tiny-bert", "course-head"])
def test_a_recipe_replaces_the_dropout_of_its_encoder(name) -> None:
    for recipe, wanted in (
        (pretraining_recipe(name), 0.1 if name == "course-head" else 0.0),
        (replace(pretraining_recipe(name), dropout=0.3), 0.3),
    ):
        encoder = run.new_model(recipe).encoder
        assert encoder.config.dropout == wanted
        assert {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)} == {wanted}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tied_cross_entropy(*_parts(0, 20, 8), torch.arange(0)), "no position is predicted"),
        (lambda: BertForPretraining(BertEncoder(replace(SHAPE, causal=True)), next_sentence=True), "causal"),
        (lambda: toy_model(causal=True).follows(torch.zeros(1, 4, 32)), "no next-sentence head"),
        (lambda: Vocabulary.of(SimpleNamespace(mask_token_id=None)), "no mask token"),
        (lambda: PretrainingBatches(None, None, None, steps=0), "steps=0"),
        (lambda: PretrainingBatches(None, None, None, steps=1, batch_tokens=0), "batch_tokens=0"),
        (lambda: measure(toy_model(), []), "no held-out batch"),
        (lambda: loss_by_mask_type(toy_model(), [], 4), "no held-out batch"),
        (lambda: unigram_entropy(np.array([])), "the text has no token"),
        (lambda: bits_per_character(1.0, 10, 0), "characters is 0"),
        (lambda: pretraining_recipe("huge"), "use one of tiny-bert"),
    ],
)
def test_what_cannot_be_done_is_refused(call, message) -> None:
    with pytest.raises(BadInput, match=message):
        call()


def test_flops_of_a_step_are_those_that_torch_counts(material) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    recipe = toy_recipe(material, objective="causal")
    model = BertForPretraining(BertEncoder(recipe.shape), next_sentence=False)
    batch = next(training_batches(recipe, material).epoch(0))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        objective(model, batch).backward()
    assert step_flops(recipe) == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_a_step_is_timed_for_every_length_of_row(material, monkeypatch) -> None:
    monkeypatch.setattr(run, "material_of", lambda recipe: material)
    recipe = toy_recipe(material, first_lengths=(8, 8, 16))
    assert 0 < run.step_seconds(recipe) < 5
    monkeypatch.setattr(run, "_timed_steps", lambda recipe, material, length: float(length))
    assert run.step_seconds(recipe) == (8 + 8 + 16 + 5 * 32) / 8
    assert run.tokens_in(240.0, recipe) == 10 * recipe.batch_tokens


def test_a_longer_run_costs_more(material, monkeypatch) -> None:
    monkeypatch.setattr(run, "step_seconds", lambda recipe: 0.25)
    recipe = toy_recipe(material)
    one, four = pretraining_cost(recipe), pretraining_cost(replace(recipe, tokens=4 * recipe.tokens))
    assert one.seconds == 0.25 * recipe.steps and four.seconds == 4 * one.seconds
    assert four.bytes == one.bytes > 0


# ---- adapters --------------------------------------------------------------------------------------------------------


def adapted(seed: int = 0) -> BertForPretraining:
    model = toy_model(seed)
    add_adapters(model.encoder, rank=3)
    torch.manual_seed(seed + 1)
    for name, parameter in model.encoder.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def test_new_adapters_change_nothing_and_are_all_that_learns() -> None:
    plain, model = toy_model(), toy_model()
    add_adapters(model.encoder, rank=3)
    ids = torch.arange(20)[None]
    torch.testing.assert_close(model(ids), plain(ids))
    assert {n.split(".")[-3] for n, p in model.encoder.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}


def test_merged_adapters_give_the_same_model() -> None:
    model, plain, ids = adapted(), toy_model(), torch.arange(20)[None]
    with torch.inference_mode():
        wanted = model(ids)
        merge_adapters(plain.encoder, adapter_weights(model.encoder))
        torch.testing.assert_close(plain(ids), wanted, atol=1e-5, rtol=1e-4)


def test_adapters_of_another_shape_are_refused() -> None:
    weights = adapter_weights(adapted().encoder)
    small = BertEncoder(replace(SHAPE, hidden_size=16))
    with pytest.raises(BadInput, match="adapters of layers"):
        merge_adapters(small, weights)
    with pytest.raises(BadInput, match="adapters for nowhere"):
        merge_adapters(small, {"nowhere.A": torch.zeros(1, 1), "nowhere.B": torch.zeros(1, 1)})


# ---- saved models ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(material, tmp_path_factory):
    done = pretrain(toy_recipe(material, tokens=256 * 160), material=material)
    folder = save_language_model(done.model, material.tokenizer, tmp_path_factory.mktemp("saved") / "toy")
    return SimpleNamespace(folder=folder, done=done)


def test_a_saved_model_fills_as_it_did(saved, material) -> None:
    loaded = LanguageModel.from_pretrained(saved.folder)
    before = LanguageModel(saved.done.model, material.tokenizer)
    text = "the king [MASK] the old [MASK] ."
    ours, theirs = loaded.fill(text, 3), before.fill(text, 3)
    assert [len(mask) for mask in ours] == [3, 3] and ours[0][0][0] in VERBS and ours[1][0][0] in NOUNS
    for mask, other in zip(ours, theirs, strict=True):
        assert [p for _, p in mask] == pytest.approx([p for _, p in other], abs=2e-3)
        assert [p for _, p in mask] == sorted((p for _, p in mask), reverse=True)


def test_half_precision_halves_the_file(saved, material, tmp_path) -> None:
    large = save_language_model(saved.done.model, material.tokenizer, tmp_path / "l", dtype=torch.float32)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (saved.folder, large)]
    assert sizes[0] < 0.6 * sizes[1]
    assert not [file for file in saved.folder.iterdir() if file.suffix in {".bin", ".pt", ".pkl"}]


def test_causal_models_write_and_masked_ones_fill(saved, material, tmp_path) -> None:
    recipe = toy_recipe(material, objective="causal", tokens=256 * 100)
    recipe = replace(recipe, shape=replace(recipe.shape, norm="pre"))
    done = pretrain(recipe, material=material)
    writer = LanguageModel.from_pretrained(save_language_model(done.model, material.tokenizer, tmp_path / "g"))
    start = "the poet sees the old"
    text = writer.generate(start, tokens=12, seed=3)
    assert text.startswith(f"{start} ") and text.split()[5].strip(".") in NOUNS
    assert text == writer.generate(start, tokens=12, seed=3) != writer.generate(start, tokens=12, seed=4)
    assert writer.generate("the poet sees", tokens=2, temperature=0) == "the poet sees the old"
    with pytest.raises(BadInput, match="causal"):
        writer.fill("the [MASK]")
    with pytest.raises(BadInput, match="both directions"):
        LanguageModel.from_pretrained(saved.folder).generate("the")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the king", r"no \[MASK\]"),
        ("", "the text is ''"),
        (None, "the text is None"),
        ("[MASK] " * 60, "has 62 tokens"),
    ],
)
def test_texts_that_cannot_be_filled(text, message, saved) -> None:
    with pytest.raises(BadInput, match=message):
        LanguageModel.from_pretrained(saved.folder).fill(text)


def test_missing_and_damaged_models(saved, tmp_path, material) -> None:
    with pytest.raises(MissingAsset, match="no language model 'nowhere'"):
        LanguageModel.from_pretrained("nowhere")
    broken = save_language_model(saved.done.model, material.tokenizer, tmp_path / "broken")
    content = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptAsset, match="cannot be loaded"):
        LanguageModel.from_pretrained(broken)


def test_a_folder_of_something_else_is_not_overwritten(saved, material, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(BadInput, match="no language model of the course"):
        save_language_model(saved.done.model, material.tokenizer, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    with pytest.raises(CourseError, match="could not be written"):
        save_language_model(saved.done.model, material.tokenizer, tmp_path / "mine" / "thesis.txt" / "m")
