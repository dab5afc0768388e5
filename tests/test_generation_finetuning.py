"""Low-rank adapters on a decoder, its embeddings, and the table that compares methods; on a tiny random decoder."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from course_lib.errors import BadInput
from course_lib.experiments import Run
from course_lib.generation import CausalLM, Decoder, DecoderClassifier, DecoderConfig, decoder_embeddings
from course_lib.generation.decoder import Linear
from course_lib.generation.finetuning import LoraLinear, with_adapters
from course_lib.generation.scoring import answer_log_probabilities
from course_lib.generation.studies import DECODER_RUNS, METHODS, WORDINGS, decoder_table, prompt_classifier
from course_lib.training import TrainingConfig

WORDS = [
    "[PAD]", "[UNK]", "review:", "sentiment:", "positive", "negative", "good", "bad", "a", "the", "film", "plot",
    "really",
]  # fmt: skip
TEXTS = [
    f"{a} {b} {c}" for a in ("a", "the", "really a") for b in ("good", "bad") for c in ("film", "plot", "the film")
]
LABELS = [int("good" in text) for text in TEXTS]
TRAINING = TrainingConfig(epochs=10, batch_size=4, learning_rate=1e-2, precision="float32")


@pytest.fixture
def lm() -> CausalLM:
    inner = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 32}
    decoder = Decoder(DecoderConfig(vocab_size=len(WORDS), max_positions=64, **shape))
    decoder.embeddings.weight.data.normal_()  # so that logits are not all near 0
    return CausalLM(decoder.eval().requires_grad_(False), tokenizer)


def test_adapters_start_at_the_decoder_itself_and_share_its_weights(lm: CausalLM) -> None:
    ids = torch.randint(0, len(WORDS), (3, 7))
    adapted = with_adapters(lm.model, rank=2)
    with torch.no_grad():
        assert torch.equal(adapted(ids), lm.model(ids))
    shared = adapted.get_parameter("layers.0.attention.o_proj.base.weight")
    assert shared is lm.model.get_parameter("layers.0.attention.o_proj.weight")
    assert not any(isinstance(module, LoraLinear) for module in lm.model.modules())


def test_an_adapter_is_that_of_peft(lm: CausalLM) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    base = lm.model.get_submodule("layers.0.attention.o_proj")
    assert isinstance(base, Linear)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["proj"])
    theirs = inject_adapter_in_model(config, torch.nn.ModuleDict({"proj": copy.deepcopy(base)})).get_submodule("proj")
    ours = LoraLinear(base, 2)
    ours.B.data = torch.randn(16, 2)
    for name, tensor in (("A", ours.A), ("B", ours.B)):
        theirs.get_parameter(f"lora_{name}.default.weight").data = tensor.data
    x = torch.randn(5, 16)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_training_changes_the_adapters_alone_and_learns(lm: CausalLM) -> None:
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    classifier = DecoderClassifier(lm, training=TRAINING, lora_rank=2).fit(TEXTS, LABELS)
    assert all(torch.equal(before[name], tensor) for name, tensor in lm.model.state_dict().items())
    changed = [name for name, _ in classifier.module_.named_parameters() if name.rpartition(".")[2] in "AB"]
    inputs_and_outputs = (16 + 32) + (16 + 16) + (16 + 64) + (32 + 16)  # of a layer's four matrices
    assert classifier.trained_weights_ == 2 * 2 * inputs_and_outputs
    assert len(changed) == 2 * 2 * 4
    losses = classifier.history_.column("loss")[1]
    assert losses[-1] < 0.5 * losses[0]
    assert classifier.score(TEXTS, LABELS) == 1.0


def test_fit_is_repeatable_and_a_second_fit_starts_over(lm: CausalLM) -> None:
    short = replace(TRAINING, epochs=1)
    first = DecoderClassifier(lm, training=short, lora_rank=2).fit(TEXTS, LABELS)
    probabilities = first.predict_proba(TEXTS)
    assert np.array_equal(probabilities, first.fit(TEXTS, LABELS).predict_proba(TEXTS))


def test_before_fit_it_is_the_decoder_and_padding_changes_nothing(lm: CausalLM) -> None:
    classifier = DecoderClassifier(lm)
    texts = ["good", "really a bad film the plot"]
    answers = [lm.encode(answer) for answer in classifier.answers.values()]
    scores = np.exp(answer_log_probabilities(lm, classifier.token_ids(texts), answers))
    assert np.allclose(classifier.predict_proba(texts), scores / scores.sum(1, keepdims=True), atol=1e-5)


def test_soft_labels_are_learned(lm: CausalLM) -> None:
    soft = np.tile([0.8, 0.2], (len(TEXTS), 1))
    classifier = DecoderClassifier(lm, training=TRAINING, lora_rank=2)
    classifier.fit(TEXTS, LABELS, soft_labels=soft)
    assert np.allclose(classifier.predict_proba(TEXTS), soft, atol=0.1)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.fit(TEXTS, LABELS[:-1]),
        lambda c: c.fit(TEXTS, [1] * len(TEXTS)),
        lambda c: c.fit(TEXTS, [None, *LABELS[1:]]),
        lambda c: c.fit(TEXTS, [math.nan, *LABELS[1:]]),
        lambda c: c.fit(TEXTS, [7, *LABELS[1:]]),
        lambda c: c.fit("a good film", LABELS),
        lambda c: c.fit(TEXTS, LABELS, soft_labels=[[0.5, 0.6]] * len(TEXTS)),
        lambda c: DecoderClassifier(c.lm, prompt="Review:"),
        lambda c: DecoderClassifier(c.lm, {0: "good film", 1: "good plot"}),
        lambda c: DecoderClassifier(c.lm, {1: "good"}),
        lambda c: DecoderClassifier(c.lm, lora_rank=0),
        lambda c: decoder_embeddings(c.lm, ["a film"], "first"),
        lambda c: decoder_embeddings(c.lm, ["a film"], {1: "first"}),
        lambda c: decoder_embeddings(c.lm, ["a film"], {3: "mean"}),
        lambda c: decoder_embeddings(c.lm, ["a film"], {-1: "mean"}),
        lambda c: decoder_embeddings(c.lm, ["a film"], {}),
        lambda c: prompt_classifier(c.lm, "no such wording"),
    ],
    ids=[
        "unequal lengths", "one class", "None", "NaN", "unknown class", "one string", "soft labels",
        "no text in the prompt", "equal first tokens", "one answer", "rank 0", "pooling", "pooling of a layer",
        "layer 3 of 2", "layer -1", "no layer", "wording",
    ],
)  # fmt: skip
def test_bad_input_is_refused(lm: CausalLM, call: Callable[[DecoderClassifier], Any]) -> None:
    with pytest.raises(BadInput):
        call(DecoderClassifier(lm))


def test_embeddings_are_those_of_the_last_layer(lm: CausalLM) -> None:
    texts = ["good", "really a bad film"]
    states = lm.model(torch.tensor([lm.encode(texts[1])]))[0]
    assert np.allclose(decoder_embeddings(lm, texts)[1], states[1:].mean(0), atol=1e-5)
    assert np.allclose(decoder_embeddings(lm, texts, "last")[1], states[-1], atol=1e-5)
    assert decoder_embeddings(lm, []).shape == (0, 16)


def test_the_mean_of_one_token_is_its_state(lm: CausalLM) -> None:
    (token,) = lm.encode("good")
    state = lm.model(torch.tensor([[token]]))[0, 0]
    for texts in (["good"], ["good", "really a bad film"]):  # alone, and padded
        assert np.allclose(decoder_embeddings(lm, texts)[0], state, atol=1e-5)


def test_embeddings_of_several_layers_stand_side_by_side(lm: CausalLM) -> None:
    texts = ["good", "really a bad film"]
    states = lm.model.hidden_states(torch.tensor([lm.encode(texts[1])]), (0, 1))
    found = decoder_embeddings(lm, texts, {1: "mean", 0: "last"})[1]
    assert np.allclose(found, torch.cat([states[1][0, 1:].mean(0), states[0][0, -1]]), atol=1e-5)
    assert decoder_embeddings(lm, [], {1: "mean", 0: "last"}).shape == (0, 32)


def _run(method: str, labels: int, right: list[int], seconds: float = 7.2) -> Run:
    result = {
        "right": {"none": right}, "trained_weights": 5, "train_core_seconds": 1.0,
        "core_seconds_per_1000": seconds, "peak_bytes": 2e9,
    }  # fmt: skip
    return Run("decoder_study", {"method": method, "labels": labels, "seed": 0}, result, 1.0, "computed", {})


def test_the_table_averages_seeds_pairs_sentences_and_counts_money() -> None:
    runs = [_run("few-shot prompt", 8, [1, 0, 1, 0], 72.0)]
    runs += [_run("fine-tuned BERT", 2000, right) for right in ([1, 1, 1, 0], [1, 1, 1, 1])]
    table = decoder_table(runs, price_per_hour=0.1).set_index("method")
    assert table.loc["fine-tuned BERT", "accuracy"] == 7 / 8
    assert table.loc["fine-tuned BERT", "difference"] == 0
    assert table.loc["few-shot prompt", "difference"] == -3 / 8
    assert table.loc["few-shot prompt", "money_per_million"] == pytest.approx(1.0)  # 72,000 core-seconds: 10 hours
    assert "difference" not in decoder_table(runs[:1])
    with pytest.raises(BadInput):
        decoder_table(runs, price_per_hour=0)


def test_runs_name_methods_and_wordings_hold_the_text() -> None:
    assert {run["method"] for run in DECODER_RUNS} == set(METHODS)
    assert all("{text}" in instruction for instruction, _, _ in WORDINGS.values())


def test_examples_are_balanced(lm: CausalLM) -> None:
    examples = prompt_classifier(lm, shots=8).examples
    assert [label for _, label in examples] == [0, 1] * 4
    assert len({text for text, _ in examples}) == 8
