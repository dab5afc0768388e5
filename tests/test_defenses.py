"""Adversarial training, ensembles, smoothing, detectors."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interruption import Interrupted, interrupt_at
from torch import Tensor, nn

from course_lib import TextClassifier
from course_lib.attacks import recipe
from course_lib.attacks.pgd import PGD
from course_lib.batching import Batch, collate, tokenize
from course_lib.checkpoints import CheckpointFolder
from course_lib.classifier.data import task_loss
from course_lib.defenses import (
    FGM,
    Ensemble,
    FreeLB,
    PGDTraining,
    Smoothed,
    UnknownWords,
    fused,
    masked_copies,
    roc,
)
from course_lib.errors import BadInput, CheckpointError
from course_lib.pretraining import LanguageModel, pseudo_perplexity
from course_lib.text.document import Document
from course_lib.training import TrainingConfig

TEXTS = [f"{word} {noun}" for word in ("good", "great", "bad", "awful") for noun in ("film", "plot", "cast", "end")]
LABELS = [1] * 8 + [0] * 8
QUICK = TrainingConfig(epochs=6, learning_rate=3e-3, batch_size=4)
ONE_BATCH = TrainingConfig(epochs=30, learning_rate=3e-3, batch_size=16)
ADVERSARIES = (FGM(0.1), PGDTraining(0.1), FreeLB(0.1))
NAMES = [type(adversary).__name__ for adversary in ADVERSARIES]


def fitted(training: TrainingConfig = QUICK, adversary: Any = None, **settings: Any) -> TextClassifier:
    usual = {"dropout": 0.0, "frozen_embeddings": True}  # the table is most of the weights, and of the time
    classifier = TextClassifier("tiny", training=training, **(usual | settings))
    return classifier.fit(TEXTS, LABELS, loss_wrapper=adversary)


@pytest.fixture(scope="module")
def tiny() -> TextClassifier:
    return fitted()


@pytest.fixture(scope="module")
def language_model() -> LanguageModel:
    return LanguageModel.from_pretrained("tiny-bert")


def weights(classifier: TextClassifier) -> dict[str, Tensor]:
    return classifier.module_.state_dict()


def same_bits(one: TextClassifier, other: TextClassifier) -> bool:
    return all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(one).items())


@dataclass
class Fixed:
    """Stands for a classifier: the same probabilities for every text."""

    probabilities: Sequence[float]
    classes: Sequence[Any] = (0, 1, 2)

    @property
    def classes_(self) -> Any:
        return np.array(self.classes)

    def predict_proba(self, texts: Sequence[str]) -> Any:
        return np.tile(np.float32(self.probabilities), (len(texts), 1))


class Good:
    """Stands for a classifier: class 1 with the share of "good" among the words that are not masked."""

    classes_ = np.array([0, 1])

    def predict_proba(self, texts: Sequence[str]) -> Any:
        kept = [[word for word in text.split() if word != "[MASK]"] for text in texts]
        right = np.array([np.mean([word == "good" for word in words]) if words else 0.5 for words in kept])
        return np.stack([1 - right, right], axis=1).reshape(len(texts), 2).astype(np.float32)


# ---- adversarial training --------------------------------------------------------------------------------------


def case(classifier: TextClassifier) -> tuple[Any, nn.Module, Batch]:
    """The usual loss, a module that is trained, and a batch with padding."""
    texts = ["good film", "a very bad film indeed", "plot"]
    batch = collate(tokenize(texts, classifier.tokenizer_), [0, 1, 2])
    return task_loss({"labels": torch.tensor([1, 0, 1])}, 2), classifier.module_, batch


def gradients(loss: Tensor, module: nn.Module) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)
    return [tensor for tensor in found if tensor is not None]


@pytest.mark.parametrize(
    "adversary",
    [
        FreeLB(epsilon=0, steps=1),
        FreeLB(epsilon=0, steps=3),
        FGM(epsilon=0),
        PGDTraining(epsilon=0, steps=2),
        FGM(adversarial_weight=0),
        PGDTraining(adversarial_weight=0),
    ],
    ids=repr,
)
def test_an_adversary_that_may_do_nothing_is_the_usual_training(adversary: Any, tiny: TextClassifier) -> None:
    usual, module, batch = case(tiny)
    plain, hard = usual(module, batch), adversary(usual)(module, batch)
    assert hard.item() == pytest.approx(plain.item(), rel=1e-5)
    pairs = list(zip(gradients(plain, module), gradients(hard, module), strict=True))
    assert len(pairs) > 10 and all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in pairs)


class Spy:
    """The usual loss, which notes the embeddings of each pass and its loss."""

    def __init__(self, usual: Any) -> None:
        self.usual = usual
        self.seen: list[Tensor] = []
        self.losses: list[float] = []

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        norm = module.bert.embeddings.LayerNorm
        # After the layer and its hooks: the input of the layer norm, less positions and segments.
        hook = norm.register_forward_pre_hook(lambda _, inputs: self.seen.append(inputs[0].detach()))
        loss = self.usual(module, batch)
        hook.remove()
        self.losses.append(loss.item())
        return loss


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(
    ("adversary", "hard"),
    [(FGM(0.02), [1]), (PGDTraining(0.02, steps=3), [3]), (FreeLB(0.02, steps=3), [0, 1, 2])],
    ids=NAMES,
)
def test_an_adversary_moves_words_inside_its_ball_and_uphill(
    adversary: Any, hard: list[int], norm: str, tiny: TextClassifier
) -> None:
    epsilon = 0.02 if norm == "l2" else 0.001
    usual, module, batch = case(tiny)
    spy = Spy(usual)
    spy(module, batch)
    clean, before = spy.seen.pop(), spy.losses.pop()
    adversary = replace(adversary, epsilon=epsilon, norm=norm)
    torch.manual_seed(0)
    loss = adversary(spy)(module, batch)
    assert len(spy.seen) == adversary.passes
    deltas = [seen - clean for seen in spy.seen]
    real = batch.attention_mask.clone()
    real[:, 0] = 0
    real[torch.arange(3), batch.attention_mask.sum(1) - 1] = 0
    for delta in deltas:
        sizes = delta.flatten(1).norm(dim=1) if norm == "l2" else delta.abs().amax((1, 2))
        assert bool((sizes <= epsilon * 1.001 + 1e-6).all())
        assert float(delta[real == 0].abs().max()) < 1e-6
    furthest = deltas[hard[-1]].flatten(1).norm(dim=1) if norm == "l2" else deltas[hard[-1]].abs().amax((1, 2))
    assert furthest.tolist() == pytest.approx([epsilon] * 3, rel=0.01)
    assert spy.losses[hard[-1]] > before
    harder = np.mean([spy.losses[i] for i in hard])
    expected = harder if isinstance(adversary, FreeLB) else 0.5 * before + 0.5 * harder
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_free_gradients_are_the_mean_over_the_points(tiny: TextClassifier) -> None:
    """Against one graph that holds all points, whose places the spy gives."""
    usual, module, batch = case(tiny)
    spy = Spy(usual)
    spy(module, batch)
    clean = spy.seen.pop()
    torch.manual_seed(1)
    free = gradients(FreeLB(0.05, steps=3)(spy)(module, batch), module)
    layer, losses = module.bert.embeddings.word_embeddings, []
    for seen in spy.seen:
        hook = layer.register_forward_hook(lambda _, __, output, delta=seen - clean: output + delta)
        losses.append(usual(module, batch))
        hook.remove()
    expected = gradients(torch.stack(losses).mean(), module)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(free, expected, strict=True))


@pytest.mark.parametrize("adversary", ADVERSARIES, ids=NAMES)
def test_an_adversary_leaves_nothing_on_the_module(adversary: Any, tiny: TextClassifier) -> None:
    usual, module, batch = case(tiny)
    loss = adversary(usual)(module, batch)
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not module.bert.embeddings.word_embeddings._forward_hooks
    (3 * loss).backward()
    triple = [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]
    module.zero_grad(set_to_none=True)
    if isinstance(adversary, FGM):  # draws nothing, so that it can be asked again
        once = gradients(adversary(usual)(module, batch), module)
        assert all(torch.allclose(a, 3 * b, rtol=1e-3, atol=1e-6) for a, b in zip(triple, once, strict=True))
    assert len(triple) > 10


def test_all_passes_share_one_dropout_mask(tiny: TextClassifier) -> None:
    usual, module, batch = case(fitted(replace(QUICK, epochs=1), dropout=0.3))
    module.train()
    spy = Spy(usual)
    FreeLB(0.0, steps=4)(spy)(module, batch)
    assert len(set(spy.losses)) == 1
    PGDTraining(0.0, steps=1)(spy)(module, batch)
    assert len(set(spy.losses)) == 2  # another step, another mask


@pytest.mark.parametrize("adversary", ADVERSARIES, ids=NAMES)
def test_an_adversarial_fit_that_was_broken_off_ends_in_the_same_weights(adversary: Any, tmp_path: Any) -> None:
    def fit(adversary: Any, **settings: Any) -> TextClassifier:
        unfitted = TextClassifier("tiny", training=replace(QUICK, epochs=3), frozen_embeddings=True)
        return unfitted.fit(TEXTS, LABELS, loss_wrapper=adversary, **settings)

    folder, steps = CheckpointFolder(tmp_path / "run", every=6), []
    with pytest.raises(Interrupted):
        fit(adversary, callbacks=[interrupt_at(10)], checkpoints=folder)
    with pytest.raises(CheckpointError, match=r"loss_wrapper.epsilon"):
        fit(replace(adversary, epsilon=0.7), checkpoints=folder)
    resumed = fit(adversary, callbacks=[lambda row: steps.append(row["step"])], checkpoints=folder)
    assert steps == [10, 12]
    assert same_bits(resumed, fit(adversary))


@pytest.mark.parametrize(
    "settings", [{"lora_rank": 2}, {"frozen_embeddings": False}, {"frozen_encoder": True}], ids=str
)
@pytest.mark.parametrize("adversary", ADVERSARIES, ids=NAMES)
def test_an_adversary_trains_whatever_is_trained(adversary: Any, settings: dict[str, Any]) -> None:
    classifier = fitted(replace(QUICK, epochs=1, precision="bfloat16", accumulate=2), adversary, **settings)
    assert np.isfinite(classifier.predict_proba(TEXTS)).all()


@pytest.fixture(scope="module")
def loss_of_the_unprotected() -> float:
    report = PGD(0.05).run(fitted(ONE_BATCH), TEXTS, LABELS)
    return float(report.loss_after.mean())


@pytest.mark.parametrize("adversary", ADVERSARIES, ids=NAMES)
def test_an_adversarial_fit_learns_and_is_harder_to_attack(adversary: Any, loss_of_the_unprotected: float) -> None:
    report = PGD(0.05).run(fitted(ONE_BATCH, adversary), TEXTS, LABELS)
    assert report.accuracy == 1
    assert report.loss_after.mean() < 0.3 * loss_of_the_unprotected


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FGM(-1), "epsilon is -1"),
        (lambda: FGM(adversarial_weight=2), "adversarial_weight is 2"),
        (lambda: PGDTraining(steps=0), "steps is 0"),
        (lambda: PGDTraining(adversarial_weight=-0.1), "adversarial_weight is -0.1"),
        (lambda: FreeLB(norm="l1"), "norm is 'l1'"),
        (lambda: FreeLB(step_size=-1), "step_size is -1"),
    ],
)
def test_bad_adversaries(make: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make()


def test_an_adversary_tells_all_about_itself() -> None:
    assert repr(FreeLB()) == "FreeLB(epsilon=0.2, steps=3, step_size=None, norm='l2')"
    every = (FGM(), PGDTraining(steps=3), PGDTraining(adversarial_weight=1), FreeLB())
    assert [adversary.passes for adversary in every] == [2, 5, 4, 3]


# ---- ensembles -------------------------------------------------------------------------------------------------

MEMBERS = (Fixed((0.5, 0.3, 0.2)), Fixed((0.4, 0.35, 0.25)), Fixed((0.0, 0.9, 0.1)))


def test_the_mean_and_the_vote_by_hand() -> None:
    mean, vote = Ensemble(MEMBERS), Ensemble(MEMBERS, "vote")
    assert mean.predict_proba(["x", "y"]).tolist() == [pytest.approx([0.3, 1.55 / 3, 0.55 / 3])] * 2
    assert mean.predict(["x"]).tolist() == [1] and vote.predict(["x"]).tolist() == [0]
    assert vote.predict_proba(["x"])[0].tolist() == pytest.approx([2.3 / 4, (1 + 1.55 / 3) / 4, 0.55 / 12])
    assert vote.score(["x", "y"], [0, 1]) == 0.5 and mean.score(["x", "y"], [1, 1], [1, 3]) == 1


def test_even_votes_are_decided_by_the_mean() -> None:
    assert Ensemble((Fixed((0.6, 0.4, 0)), Fixed((0.1, 0.9, 0))), "vote").predict(["x"]).tolist() == [1]
    assert Ensemble((Fixed((0.9, 0.1, 0)), Fixed((0.4, 0.6, 0))), "vote").predict(["x"]).tolist() == [0]


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=6))
def test_more_votes_always_win(rows: list[list[float]]) -> None:
    shares = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    ensemble = Ensemble([Fixed(row) for row in shares], "vote")
    row = ensemble.predict_proba(["x"])[0]
    votes = np.bincount(np.float32(shares).argmax(1), minlength=3)
    assert votes[row.argmax()] == votes.max()
    assert row.sum() == pytest.approx(1, abs=1e-5)


def test_an_ensemble_can_be_attacked(tiny: TextClassifier) -> None:
    """By an attacker who only needs predictions, no gradient."""
    ensemble = Ensemble((tiny, fitted(replace(QUICK, seed=1))), "vote")
    report = recipe("deepwordbug").run(ensemble, TEXTS[:4], ensemble.predict(TEXTS[:4]))  # type: ignore[arg-type]
    assert report.accuracy == 1 and report.queries_per_text > 1
    assert ensemble.predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Ensemble(()), "no member"),
        (lambda: Ensemble(MEMBERS, "max"), "how is 'max'"),
        (lambda: Ensemble((*MEMBERS, Fixed((0.5, 0.5), ["a", "b"]))), r"member 3 has the classes \['a', 'b'\]"),
        (lambda: Ensemble((TextClassifier("tiny"),)), "member 0 is not fitted"),
        (lambda: Ensemble(("x",)), "member 0 is a str without predict_proba"),  # type: ignore[arg-type]
        (lambda: Ensemble(MEMBERS).predict("x"), "single str"),
    ],
)
def test_bad_ensembles(make: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make()


def test_a_fusion_of_equal_members_is_the_member(tiny: TextClassifier) -> None:
    whole = fused([tiny, tiny, tiny])
    assert whole.predict_proba(TEXTS).tolist() == [pytest.approx(row, abs=1e-6) for row in tiny.predict_proba(TEXTS)]
    assert whole is not tiny and whole.module_ is not tiny.module_


def test_a_fusion_is_the_mean_of_the_weights_and_leaves_the_members(tiny: TextClassifier) -> None:
    other = fitted(replace(QUICK, order_seed=7))
    kept = {name: tensor.clone() for name, tensor in weights(tiny).items()}
    whole = weights(fused([tiny, other]))
    for name, tensor in weights(other).items():
        assert torch.equal(weights(tiny)[name], kept[name])
        assert torch.allclose(whole[name], (kept[name] + tensor) / 2, atol=1e-7)


def test_a_fusion_refuses_what_does_not_fit(tiny: TextClassifier) -> None:
    short = replace(QUICK, epochs=1)
    strings = TextClassifier("tiny", training=short).fit(TEXTS, ["a"] * 8 + ["b"] * 8)
    regression = TextClassifier("tiny", head="regression", training=short).fit(TEXTS, [float(y) for y in LABELS])
    both = TextClassifier("tiny", head="multitask", training=short).fit(TEXTS, LABELS, ratings=LABELS)
    for other, says in ((strings, "classes"), (regression, "classes, head, shapes"), (both, "head, shapes of weights")):
        with pytest.raises(BadInput, match=f"member 1 differs from member 0 in {says}"):
            fused([tiny, other])
    with pytest.raises(BadInput, match="no member"):
        fused([])
    with pytest.raises(BadInput, match="member 1 is no fitted TextClassifier"):
        fused([tiny, TextClassifier("tiny")])
    assert fused([regression, regression]).predict(["good"]).shape == (1,)


# ---- smoothing -------------------------------------------------------------------------------------------------


def test_without_masks_it_is_the_base(tiny: TextClassifier) -> None:
    texts = [*TEXTS, "", "a", "good " * 200]
    smoothed = Smoothed(tiny, rate=0.0, samples=5)
    assert np.allclose(smoothed.predict_proba(texts), tiny.predict_proba(texts), atol=1e-6)
    assert (smoothed.predict(texts) == tiny.predict(texts)).all()
    assert smoothed.predict_proba([]).shape == (0, 2)


@given(st.text(alphabet="abc .,-'é\n", max_size=40), st.floats(0, 1), st.integers(0, 10**6))
def test_so_many_words_are_masked_and_nothing_else(text: str, rate: float, seed: int) -> None:
    n = len(Document.of(text).words)
    copies = masked_copies(text, rate, 3, seed)
    assert copies == masked_copies(text, rate, 3, seed)
    for copy in copies:
        assert copy.count("[MASK]") == round(rate * n)
        *gaps, last = map(re.escape, Document.of(text).gaps)
        words = [rf"(\[MASK\]|{re.escape(word)})" for word in Document.of(text).words]
        assert re.fullmatch("".join(map("".join, zip(gaps, words, strict=True))) + last, copy)


def test_every_set_of_words_is_equally_likely() -> None:
    counts = np.unique(masked_copies("a b c d", 0.5, 6000), return_counts=True)[1]
    assert len(counts) == 6 and abs(counts - 1000).max() < 4 * math.sqrt(1000)


def test_smoothing_is_the_mean_over_copies_and_asks_once() -> None:
    asked: list[list[str]] = []
    base = Good()
    spy = SimpleNamespace(
        classes_=base.classes_, predict_proba=lambda texts: asked.append(texts) or base.predict_proba(texts)
    )
    texts = ["good good bad end", "bad end"]
    rows = Smoothed(spy, rate=0.5, samples=7, seed=3).predict_proba(texts)  # type: ignore[arg-type]
    copies = [masked_copies(text, 0.5, 7, 3) for text in texts]
    assert asked == [copies[0] + copies[1]]
    assert rows.tolist() == [pytest.approx(base.predict_proba(part).mean(0)) for part in copies]


def test_a_masked_word_is_one_token_to_the_model(tiny: TextClassifier) -> None:
    (copy,) = masked_copies("unbelievable-film, good", 1.0, 1)
    assert copy == "[MASK], [MASK]"
    assert tiny.tokenizer_.tokenize(copy) == ["[MASK]", ",", "[MASK]"]


def test_the_mask_is_the_tokenizers_own() -> None:
    queries: list[str] = []
    base = Good()
    base.predict_proba = lambda texts: queries.extend(texts) or np.full((len(texts), 2), 0.5, np.float32)
    base.tokenizer_ = SimpleNamespace(mask_token="<mask>")
    Smoothed(base, rate=1.0, samples=1).predict_proba(["good film"])
    assert queries == ["<mask> <mask>"]
    base.tokenizer_ = SimpleNamespace(mask_token=None)
    with pytest.raises(BadInput, match="no mask token"):
        Smoothed(base)


def test_noise_follows_from_seed_and_text() -> None:
    smoothed = Smoothed(Good(), rate=0.5, samples=3)
    texts = ["good good bad end film plot", "bad good end good cast plot"]
    rows = smoothed.predict_proba(texts)
    assert (smoothed.predict_proba(texts[::-1])[::-1] == rows).all()
    assert (smoothed.reseeded(0).predict_proba(texts) == rows).all()
    assert (smoothed.reseeded(1).predict_proba(texts) != rows).any()


def test_the_expectation_is_what_fresh_noise_gives_on_average() -> None:
    smoothed, text = Smoothed(Good(), rate=0.5, samples=2), "good bad bad end"
    kept = [np.mean([word == "good" for word in pair]) for pair in itertools.combinations(text.split(), 2)]
    wide = smoothed.expected(1000, seed=5)
    assert (wide.samples, wide.seed, smoothed.samples) == (2000, 5, 2)
    assert wide.predict_proba([text])[0, 1] == pytest.approx(np.mean(kept), abs=0.02)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Smoothed(Good(), rate=1.5), "rate is 1.5"),
        (lambda: Smoothed(Good(), samples=0), "copies is 0"),
        (lambda: Smoothed(TextClassifier("tiny")), "classifier is not fitted"),
    ],
)
def test_bad_smoothing(make: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make()


# ---- detection -------------------------------------------------------------------------------------------------


def test_unknown_words_by_hand(tiny: TextClassifier) -> None:
    own = UnknownWords.of(["A good, well-made Film"])
    assert own.scores(["good film", "GOOD plot", "a well-good flim (xx)", "", "..."]).tolist() == [0, 0.5, 0.5, 0, 0]
    both = UnknownWords.of(["good"], tiny.tokenizer_)
    assert both.scores(["the film is good", "teh fi1m is good"]).tolist() == [0, 0.5]
    pieces = SimpleNamespace(get_vocab=lambda: {"▁good": 0, "ing": 1, "▁film": 2})  # of SentencePiece
    assert UnknownWords.of([], pieces).scores(["Good film", "ing"]).tolist() == [0, 1]


def test_pseudo_perplexity_is_the_loop_over_masks(language_model: LanguageModel) -> None:
    text = "The king sees an old ship."
    model, tokenizer = language_model.model, language_model.tokenizer
    ids = torch.tensor(tokenizer([text])["input_ids"])
    losses = []
    for place in range(1, ids.shape[1] - 1):
        masked = ids.clone()
        masked[0, place] = tokenizer.mask_token_id
        with torch.no_grad():
            losses.append(-model(masked)[0, place].log_softmax(-1)[ids[0, place]].item())
    (value,) = pseudo_perplexity(language_model, [text])
    assert value == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)


def test_pseudo_perplexity_of_many_texts(language_model: LanguageModel) -> None:
    texts = ["the old king", "", "king old the", "the old king", "a ship " * 100, "it was the first of its kind ."]
    values = pseudo_perplexity(language_model, texts)
    assert np.isnan(values).tolist() == [False, True, False, False, False, False]
    assert values[0] == values[3] and (values[~np.isnan(values)] > 1).all()
    for text, value in zip(texts[2:], values[2:], strict=True):
        assert pseudo_perplexity(language_model, [text])[0] == pytest.approx(value, rel=1e-3)
    assert values[5] < pseudo_perplexity(language_model, ["it was the apple of its run ."])[0]
    assert pseudo_perplexity(language_model, []).shape == (0,)


def test_a_causal_model_has_no_pseudo_perplexity() -> None:
    causal = SimpleNamespace(model=SimpleNamespace(encoder=SimpleNamespace(causal=True)))
    with pytest.raises(BadInput, match="causal"):
        pseudo_perplexity(causal, ["x"])  # type: ignore[arg-type]


def test_a_curve_by_hand() -> None:
    curve = roc([0.1, 0.2, 0.3, 0.4], [0.35, 0.5, 0.6, 0.7])
    assert curve.auc == pytest.approx(15 / 16)  # of 16 pairs one is the wrong way round
    assert curve.tpr[curve.fpr == 0].max() == 0.75 and curve.tpr[curve.fpr == 0.25].max() == 1
    assert roc([0, 1], [2, 3]).auc == 1 and roc([2, 3], [0, 1]).auc == 0 and roc([1, 1], [1]).auc == 0.5


@pytest.mark.parametrize("scores", [[], [math.nan], [[1.0]]])
def test_bad_scores(scores: Any) -> None:
    with pytest.raises(BadInput, match="clean scores"):
        roc(scores, [1.0])
