"""`TextClassifier`: it learns what it is told to, and answers in order and alike in any company."""

import json
import math
import random
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interruption import Interrupted, interrupt_at
from safetensors.torch import load_file
from toy_classifiers import (
    BAD,
    GOOD,
    LABELS,
    LEARNING,
    MIXED,
    QUICK,
    RATINGS,
    TEXTS,
    fitted,
    same_bits,
    tiny,
    transformers_logits,
    weights,
)
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
)

from course_lib import assets, machine
from course_lib.checkpoints import CheckpointFolder
from course_lib.classifier import BERTForSentimentAnalysis, TextClassifier, sentence_vectors
from course_lib.errors import BadInput, CheckpointError


def scaled_by(factor):
    """A plain function as loss wrapper."""
    return lambda usual: lambda module, batch: factor * usual(module, batch)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """The folder of a classifier that knows the toy words."""
    return fitted().save(tmp_path_factory.mktemp("classifier") / "model")


# The module


def test_the_reference_design():
    """Encoder, pooled output, dropout 0.1, one linear layer; logits; 768 wide for BERT-base."""
    with torch.device("meta"):
        module = BERTForSentimentAnalysis(num_labels=3)
    assert module.dropout.p == 0.1
    assert (module.classifier.in_features, module.classifier.out_features) == (768, 3)
    assert sum(p.numel() for p in module.parameters()) == 109_482_240 + 768 * 3 + 3


def test_logits_are_those_of_transformers_with_the_same_weights():
    torch.manual_seed(0)
    config = BertConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=48, num_labels=3, initializer_range=0.3)  # fmt: skip
    theirs = BertForSequenceClassification(config).eval()
    mine = BERTForSentimentAnalysis(3, BertModel(config)).eval()
    mine.load_state_dict(theirs.state_dict())
    ids, mask = torch.randint(1, 60, (4, 9)), torch.ones(4, 9, dtype=torch.long)
    mask[1, 4:] = 0
    types = torch.randint(0, 2, (4, 9))
    with torch.no_grad():
        wanted = theirs(ids, mask, types).logits
        torch.testing.assert_close(mine(ids, mask, types), wanted, atol=1e-5, rtol=0)
    assert wanted.std() > 0.1


def test_the_rating_head_is_the_last_column():
    config = BertConfig(vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    module = BERTForSentimentAnalysis(2, BertModel(config), rating_head=True).eval()
    ids = torch.randint(1, 60, (3, 5))
    with torch.no_grad():
        output, pooled = module(ids, torch.ones_like(ids)), module.pooled(ids, torch.ones_like(ids))
        torch.testing.assert_close(output[:, 2:], module.rating(pooled))
        torch.testing.assert_close(output[:, :2], module.classifier(pooled))


# Learning


def test_it_learns_what_the_words_say_and_carries_it_to_new_sentences():
    classifier = fitted()
    assert classifier.score(TEXTS, LABELS) == 1
    new = [f"the {word} film" for word in GOOD + BAD]
    assert classifier.predict(new).tolist() == [1] * 4 + [0] * 4
    steps, losses = classifier.history_.column("loss")
    assert losses[-1] < 0.3 * losses[0] and steps[-1] == 12 * math.ceil(len(TEXTS) / 8)


def test_the_same_seed_gives_the_same_weights_to_the_bit():
    one, again, other = (tiny(replace(QUICK, seed=seed)).fit(TEXTS, LABELS) for seed in (1, 1, 2))
    assert same_bits(one, again) and not same_bits(one, other)


def test_order_and_dropout_have_a_seed_of_their_own(monkeypatch):
    """Members of a soup start from the same head and meet the sentences in another order."""
    starts, seeds, real = [], [], TextClassifier._choose_weights

    def watched(classifier):
        starts.append(weights(classifier))
        return real(classifier)

    monkeypatch.setattr(TextClassifier, "_choose_weights", watched)
    one, other = (
        tiny(replace(QUICK, seed=5, order_seed=seed)).fit(
            TEXTS, LABELS, callbacks=[lambda row: seeds.append(torch.initial_seed())]
        )
        for seed in (1, 2)
    )
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
    assert seeds == [1, 2] and not same_bits(one, other)


@pytest.mark.parametrize(
    ("positive", "negative", "names"),
    [
        ("pos", "neg", ["neg", "pos"]),
        (True, False, ["False", "True"]),
        (1, 0, ["0", "1"]),
        (3, -1, ["-1", "3"]),
        (2.0, 1.0, ["1.0", "2.0"]),
        ("", "é 好", ["", "é 好"]),
    ],
    ids=repr,
)
def test_labels_of_any_kind_come_back_as_they_were(tmp_path, positive, negative, names):
    given_labels = [positive if label else negative for label in LABELS]
    classifier = tiny().fit(TEXTS, given_labels)
    assert classifier.classes_.tolist() == sorted([positive, negative]) and classifier.class_names_ == names
    back = TextClassifier.from_pretrained(classifier.save(tmp_path / "m"))
    assert back.classes_.tolist() == classifier.classes_.tolist()
    assert back.classes_.dtype == classifier.classes_.dtype
    assert set(back.predict(TEXTS).tolist()) <= {positive, negative}
    assert type(back.predict(TEXTS[:1]).tolist()[0]) is type(positive)


def test_three_classes():
    extra = [f"a plain film number {i}" for i in range(12)]
    classifier = tiny(LEARNING).fit(TEXTS + extra, ["good" if x else "bad" for x in LABELS] + ["neither"] * 12)
    assert classifier.classes_.tolist() == ["bad", "good", "neither"]
    assert classifier.predict_proba(MIXED).shape == (7, 3)
    assert classifier.predict(["a plain film number 3", "a good film", "a bad film"]).tolist() == [
        "neither",
        "good",
        "bad",
    ]


def test_soft_labels_are_learned_instead_of_the_labels():
    """The labels say the contrary, and the probabilities end near those that were given."""
    soft = np.array([[0.2, 0.8] if label else [0.8, 0.2] for label in LABELS])
    classifier = tiny(LEARNING).fit(TEXTS, [1 - label for label in LABELS], soft_labels=soft)
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), soft, atol=0.1)


def test_regression_learns_numbers(tmp_path):
    classifier = tiny(LEARNING, head="regression").fit(TEXTS, RATINGS, validation=(TEXTS, RATINGS))
    predicted = classifier.predict(TEXTS)
    assert predicted.shape == (40,) and predicted.dtype == np.float32
    assert np.abs(predicted - RATINGS).mean() < 0.6
    residual = np.square(predicted - RATINGS).sum() / np.square(RATINGS).sum()
    assert classifier.score(TEXTS, RATINGS) == pytest.approx(1 - residual)
    assert classifier.history_.rows[-1]["validation_loss"] == pytest.approx(
        np.square(predicted - RATINGS).mean(), rel=1e-4
    )
    assert not hasattr(classifier, "predict_proba") and not hasattr(classifier, "classes_")
    folder = classifier.save(tmp_path / "m")
    np.testing.assert_allclose(TextClassifier.from_pretrained(folder).predict(TEXTS), predicted, atol=1e-6)
    np.testing.assert_allclose(transformers_logits(folder, MIXED), classifier.decision_logits(MIXED), atol=1e-4)
    assert json.loads((folder / "config.json").read_text())["problem_type"] == "regression"


def test_multitask_learns_labels_and_ratings(tmp_path):
    classifier = tiny(LEARNING, head="multitask").fit(TEXTS, LABELS, ratings=RATINGS, validation=(TEXTS, LABELS))
    assert classifier.score(TEXTS, LABELS) == 1 and np.abs(classifier.predict_rating(TEXTS) - RATINGS).mean() < 0.8
    assert classifier.decision_logits(MIXED).shape == (7, 2) and not hasattr(fitted(), "predict_rating")
    folder = classifier.save(tmp_path / "m")
    back = TextClassifier.from_pretrained(folder)
    np.testing.assert_allclose(back.predict_rating(MIXED), classifier.predict_rating(MIXED), atol=1e-6)
    np.testing.assert_allclose(transformers_logits(folder, MIXED), classifier.decision_logits(MIXED), atol=1e-4)


# Training less than everything


def test_a_frozen_encoder_stays_the_same_to_the_bit(saved):
    classifier = TextClassifier(str(saved), training=QUICK, frozen_encoder=True).fit(TEXTS, LABELS)
    before, after = load_file(saved / "model.safetensors"), weights(classifier)
    assert classifier.trained_weights_ == 64 * 2 + 2
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]) == name.startswith("bert."), name


def test_a_frozen_multitask_encoder_trains_both_heads():
    classifier = tiny(head="multitask", frozen_encoder=True).fit(TEXTS, LABELS, ratings=RATINGS)
    assert classifier.trained_weights_ == (64 * 2 + 2) + (64 + 1)


def test_frozen_embeddings_leave_one_table_alone(saved):
    classifier = TextClassifier(str(saved), training=QUICK, frozen_embeddings=True).fit(TEXTS, LABELS)
    before, after = load_file(saved / "model.safetensors"), weights(classifier)
    assert {name for name in after if torch.equal(after[name], before[name])} == {
        "bert.embeddings.word_embeddings.weight"
    }
    assert classifier.trained_weights_ == sum(t.numel() for t in after.values()) - 30522 * 64


def test_lora_changes_query_and_value_only_and_leaves_an_ordinary_model(saved, tmp_path):
    classifier = TextClassifier(str(saved), training=QUICK, lora_rank=2).fit(TEXTS, LABELS)
    before, after = load_file(saved / "model.safetensors"), weights(classifier)
    assert after.keys() == before.keys()  # no trace of peft
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    attention = {f"bert.encoder.layer.{i}.attention.self.{part}.weight" for i in (0, 1) for part in ("query", "value")}
    assert moved == attention | {"classifier.weight", "classifier.bias"}
    assert classifier.trained_weights_ == 2 * 2 * 2 * (64 * 2) + 64 * 2 + 2
    assert np.linalg.matrix_rank((after[(query := min(moved))] - before[query]).numpy(), tol=1e-6) <= 2
    folder = classifier.save(tmp_path / "m")
    np.testing.assert_allclose(transformers_logits(folder, MIXED), classifier.decision_logits(MIXED), atol=1e-4)


def test_lora_that_is_broken_off_leaves_an_ordinary_model_too():
    classifier = tiny(lora_rank=2)
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(TEXTS, LABELS, callbacks=[interrupt_at(1, KeyboardInterrupt)])
    assert weights(classifier).keys() == weights(fitted()).keys()
    assert all(parameter.requires_grad for parameter in classifier.module_.parameters())


def test_all_weights_can_be_trained_again_after_a_frozen_fit():
    classifier = tiny(frozen_encoder=True).fit(TEXTS, LABELS)
    assert all(parameter.requires_grad for parameter in classifier.module_.parameters())
    assert classifier.set_params(frozen_encoder=False).fit(TEXTS, LABELS).trained_weights_ > 1_000_000


# Validation, early stopping, callbacks, checkpoints


def test_early_stopping_goes_back_to_the_best_weights(monkeypatch):
    """Validation losses are scripted: the second of four is the best, and patience is two."""
    script, seen = iter([0.5, 0.4, 0.9, 0.8, 0.1]), []

    def scripted(self, texts, labels, classes):
        def validate(module):
            seen.append(weights(classifier))
            return {"validation_loss": next(script)}

        return validate

    monkeypatch.setattr(TextClassifier, "_validation", scripted)
    classifier = tiny(replace(QUICK, epochs=9, patience=2))
    classifier.fit(TEXTS, LABELS, validation=(TEXTS[:8], LABELS[:8]))
    assert classifier.history_.stopped_early and len(seen) == 4
    final = weights(classifier)
    assert all(torch.equal(final[name], seen[1][name]) for name in final)
    assert not all(torch.equal(final[name], seen[3][name]) for name in final)


def test_validation_is_measured_after_each_epoch_without_dropout():
    texts, labels = [f"this {word} film" for word in GOOD + BAD], [1] * 4 + [0] * 4
    classifier = tiny(replace(QUICK, epochs=3)).fit(TEXTS, LABELS, validation=(texts, labels))
    epochs = [row["epoch"] for row in classifier.history_.rows if "validation_loss" in row]
    assert epochs == [1, 2, 3]
    probabilities = classifier.predict_proba(texts)[np.arange(8), labels]
    last = classifier.history_.rows[-1]
    assert last["validation_loss"] == pytest.approx(-np.log(probabilities).mean(), abs=1e-5)
    assert last["validation_accuracy"] == classifier.score(texts, labels)


def test_validation_does_not_change_what_is_learned():
    looked_at = tiny().fit(TEXTS, LABELS, validation=(TEXTS[:3], LABELS[:3]))
    assert same_bits(looked_at, tiny().fit(TEXTS, LABELS))


def test_callbacks_see_every_row_of_the_history():
    rows = []
    classifier = tiny(replace(QUICK, epochs=4)).fit(TEXTS, LABELS, callbacks=[rows.append], validation=(["a"], [1]))
    assert rows == classifier.history_.rows and {row["total_steps"] for row in rows} == {12}


def test_a_fit_that_was_broken_off_ends_in_the_same_weights(tmp_path):
    folder, steps = CheckpointFolder(tmp_path / "run", every=4), []
    with pytest.raises(Interrupted):
        tiny(LEARNING).fit(TEXTS, LABELS, callbacks=[interrupt_at(20)], checkpoints=folder)
    assert folder.steps() == [12, 16]
    resumed = tiny(LEARNING).fit(TEXTS, LABELS, callbacks=[lambda row: steps.append(row["step"])], checkpoints=folder)
    assert steps[0] == 20  # it did not begin again
    assert same_bits(resumed, fitted())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"texts": [*TEXTS[:-1], "another film"]}, "texts"),
        ({"labels": [1 - label for label in LABELS]}, "labels"),
        ({"training": replace(QUICK, learning_rate=1e-5)}, "'learning_rate': .*0.003.*1e-05"),
        ({"frozen_encoder": True}, "'frozen_encoder': .*False.*True"),
        ({"validation": (TEXTS[:4], LABELS[:4])}, "'validation'"),
        ({"validation": None}, "'validation'"),
        ({"loss_wrapper": scaled_by(3.0)}, "'loss_wrapper'"),
        ({"loss_wrapper": None}, "'loss_wrapper'"),
    ],
    ids=["texts", "labels", "learning rate", "frozen", "validation", "no validation", "wrapper", "no wrapper"],
)
def test_checkpoints_of_another_run_are_not_continued(tmp_path, change, said):
    folder, data = CheckpointFolder(tmp_path / "run", every=1), {"validation": (TEXTS[:9], LABELS[:9])}
    given = {"texts": TEXTS, "labels": LABELS, "loss_wrapper": scaled_by(2.0), **data}
    tiny().fit(**given, checkpoints=folder)
    tiny().fit(**given | {"loss_wrapper": scaled_by(2.0)}, checkpoints=folder)  # an equal plain function continues
    given |= {name: change[name] for name in change if name in given}
    parameters = {name: value for name, value in change.items() if name not in given}
    with pytest.raises(CheckpointError, match=f"(?s)of another run.*{said}.*empty checkpoint folder"):
        tiny(**parameters).fit(**given, checkpoints=folder)


def test_checkpoints_of_another_encoder_in_the_same_folder_are_not_continued(tmp_path):
    folder = CheckpointFolder(tmp_path / "run", every=1)
    for seed in (1, 2):
        tiny(replace(QUICK, seed=seed)).fit(TEXTS, LABELS).save(tmp_path / "encoder")
        learner = TextClassifier(str(tmp_path / "encoder"), training=QUICK)
        if seed == 1:
            learner.fit(TEXTS, LABELS, checkpoints=folder)
    with pytest.raises(CheckpointError, match="encoder_weights"):
        learner.fit(TEXTS, LABELS, checkpoints=folder)


def test_fit_leaves_the_random_numbers_of_the_caller():
    def drawn():
        return random.random(), np.random.rand(), torch.rand(1).item()

    machine.seed_everything(5)
    expected = drawn()
    machine.seed_everything(5)
    tiny(replace(QUICK, order_seed=9)).fit(TEXTS[:8], LABELS[:8])
    assert drawn() == expected


def test_a_refused_fit_leaves_the_fitted_model_as_it_was():
    classifier = tiny().fit(TEXTS, LABELS)
    before = classifier.predict_proba(MIXED)
    with pytest.raises(BadInput):
        classifier.fit(TEXTS, [*LABELS[:-1], 2], soft_labels=[[1, 0]] * 40)
    np.testing.assert_array_equal(classifier.predict_proba(MIXED), before)


# Predicting

SHORT = st.lists(
    st.sampled_from(["a good film", "bad", "", "好 film", "one two three four five", "x"]) | st.text(max_size=12)
)
QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUIET
@given(texts=SHORT)
def test_probabilities_are_rows_that_sum_to_one_and_equal_texts_get_equal_ones(texts):
    probabilities = fitted().predict_proba(texts)
    assert probabilities.dtype == np.float32 and probabilities.shape == (len(texts), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    for i, text in enumerate(texts):
        np.testing.assert_array_equal(probabilities[i], probabilities[texts.index(text)])


@QUIET
@given(texts=SHORT, data=st.data())
def test_a_permutation_of_the_texts_permutes_the_answers(texts, data):
    order = data.draw(st.permutations(range(len(texts))))
    shuffled = fitted().decision_logits([texts[i] for i in order])
    np.testing.assert_allclose(shuffled, fitted().decision_logits(texts)[order], atol=1e-6)


@QUIET
@given(texts=SHORT.filter(bool), data=st.data())
def test_company_does_not_change_an_answer(texts, data):
    i = data.draw(st.integers(0, len(texts) - 1))
    np.testing.assert_allclose(fitted().decision_logits([texts[i]])[0], fitted().decision_logits(texts)[i], atol=1e-5)


def test_prediction_is_the_likeliest_class():
    probabilities = fitted().predict_proba(TEXTS)
    assert fitted().predict(TEXTS).tolist() == probabilities.argmax(1).tolist()
    logits = fitted().decision_logits(TEXTS)
    np.testing.assert_allclose(probabilities, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), atol=1e-6)


def test_no_text_gives_no_answer():
    assert fitted().predict_proba([]).shape == (0, 2) and fitted().predict([]).shape == (0,)
    assert fitted().predict_proba([]).dtype == np.float32


def test_small_token_budgets_change_nothing(monkeypatch):
    wanted = fitted().decision_logits(MIXED)
    monkeypatch.setitem(machine.PRESETS, "cpu", replace(machine.PRESETS["cpu"], predict_tokens=7))
    monkeypatch.setenv("COURSE_PRESET", "cpu")
    np.testing.assert_allclose(fitted().decision_logits(MIXED), wanted, atol=1e-5)


def test_no_work_is_done_twice_and_hardly_any_on_padding():
    sizes = []
    hook = fitted().module_.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape))
    try:
        fitted().predict_proba([*TEXTS, "A GOOD film", "bad"] * 20)
    finally:
        hook.remove()
    # 40 different texts; "A GOOD film" has the tokens of "a good film"
    assert sum(rows for rows, _ in sizes) == 41
    tokens = sum(len(ids) for ids in fitted().tokenizer_([*TEXTS, "bad"])["input_ids"])
    assert sum(rows * longest for rows, longest in sizes) < 2 * tokens


def test_predicting_uses_no_dropout_and_leaves_the_module_as_it_was():
    classifier = tiny(dropout=0.5).fit(TEXTS, LABELS)
    first = classifier.predict_proba(MIXED)
    classifier.module_.train()
    np.testing.assert_array_equal(classifier.predict_proba(MIXED), first)
    assert classifier.module_.training


def test_automatic_precision_is_the_machines(monkeypatch):
    monkeypatch.setattr(machine, "precision", lambda where=None: torch.bfloat16)
    exact = fitted().decision_logits(TEXTS)
    fast = TextClassifier(**{**fitted().get_params(), "precision": "auto"})
    fast.module_, fast.tokenizer_, fast.classes_ = fitted().module_, fitted().tokenizer_, fitted().classes_
    rounded = fast.decision_logits(TEXTS)
    assert rounded.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() < 0.2


def test_neither_loading_nor_fitting_is_visible_to_others(saved):
    """Random numbers and the verbosity of transformers are as before."""
    from transformers.utils import logging

    def state() -> list[object]:
        drawn = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        return [*drawn, logging.get_verbosity(), logging.is_progress_bar_enabled()]

    logging.set_verbosity_warning()
    logging.enable_progress_bar()
    before = state()
    TextClassifier.from_pretrained(saved)
    TextClassifier.from_pretrained("sentiment")
    assert state() == before
    tiny().fit(TEXTS, LABELS)
    assert state() == before


def test_threads_predict_with_one_classifier_at_once(monkeypatch):
    """Texts of many lengths, cut and not; no thread switches the mode of the module that all use."""
    texts = [*MIXED, *TEXTS, "a good film " * 200]
    wanted, module, switched, real = fitted().decision_logits(texts), fitted().module_, [], torch.nn.Module.train

    def train(self, mode=True):
        if self is module:
            switched.append(mode)
        return real(self, mode)

    monkeypatch.setattr(torch.nn.Module, "train", train)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: fitted().decision_logits(texts[i % 3 :])[-40:], range(40)))
    for logits in found:
        np.testing.assert_allclose(logits, wanted[-40:], atol=1e-5)
    assert switched == []


def test_texts_that_are_cut_are_counted_once():
    classifier = tiny(max_length=8)
    with pytest.warns(UserWarning, match="24 of 40 texts are longer than max_length=8 tokens: 144 tokens"):
        classifier.fit(TEXTS, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.predict(TEXTS)  # `fit` has said it


def test_more_tokens_than_positions_are_refused():
    with pytest.raises(BadInput, match="max_length is 600"):
        tiny(max_length=600).fit(TEXTS, LABELS)
    classifier = tiny().fit(TEXTS, LABELS).set_params(max_length=600)
    with pytest.raises(BadInput, match="reads 512 tokens at most"):
        classifier.predict(TEXTS)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ((2**63, 2**63 + 1), "which 64 bits do not hold"),
        ((-(2**63) - 1, 2**64), "which 64 bits do not hold"),
        ((2.0**53, 1.0), "its neighbours are the same number"),
        ((2**53 + 1, 2.0**53), "mix types: real numbers, whole numbers"),
        (("a", "a\0"), "ends in a NUL"),
        ((True, 1), "mix types: truth values, whole numbers"),
    ],
    ids=repr,
)
def test_labels_that_numpy_would_merge_are_refused(pair, said):
    with pytest.raises(BadInput, match=said):
        tiny().fit(TEXTS, [pair[label] for label in LABELS])


def test_the_largest_whole_numbers_stay_distinct():
    pair = (2**63 - 2, 2**63 - 1)
    assert tiny().fit(TEXTS, [pair[label] for label in LABELS]).classes_.tolist() == list(pair)


def test_sentence_vectors_are_means_over_the_tokens():
    texts = ["I like it", "A long film that never ends", "I like it"]
    folder = assets.path("course_encoder")
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()(**tokens).last_hidden_state
    wanted = [state[mask.bool()].mean(0).numpy() for state, mask in zip(states, tokens["attention_mask"], strict=True)]
    np.testing.assert_allclose(sentence_vectors(texts), wanted, atol=1e-5)
    assert sentence_vectors([]).shape == (0, 384)
