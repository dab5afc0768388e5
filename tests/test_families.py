"""Models of many families predict in batches what transformers predicts one text at a time, or are refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import families
import numpy as np
import pytest

from course_lib.attacks import (
    PGD,
    AnyWord,
    Attack,
    Characters,
    Document,
    GradientBeam,
    GradientGuided,
    Greedy,
    MaskedWords,
    Neighbours,
    Synonyms,
    Untargeted,
    VictimModel,
)
from course_lib.batching import tokenize
from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput
from course_lib.text.gradients import embedding_gradients
from course_lib.training import TrainingConfig

ATTACKS = {
    "characters": Attack("characters", Untargeted(), Characters(), Greedy("gradient")),
    "synonyms": Attack("synonyms", Untargeted(), Synonyms(), GradientBeam(2, 2)),
    "masked words": Attack("masked words", Untargeted(), MaskedWords("tiny-bert", 5), Greedy("deletion")),
    "any word": Attack("any word", Untargeted(), AnyWord(5), GradientGuided()),
    "neighbours": Attack("neighbours", Untargeted(), Neighbours(5, -1.0), Greedy("unknown")),
}
QUICK = TrainingConfig(epochs=1, batch_size=4, learning_rate=1e-3, precision="float32")


@pytest.fixture(scope="module", params=families.FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.folder_of(families.FAMILIES[request.param], tmp_path_factory.mktemp(request.param))


@pytest.mark.filterwarnings("ignore:.*longer than max_length")
def test_a_batch_is_what_transformers_gives_one_text_at_a_time(folder: Path) -> None:
    classifier = TextClassifier.from_pretrained(folder)
    assert classifier.classes_.tolist() == ["sad", "glad", "neither"]
    texts = [text for text in families.TEXTS if classifier.tokenizer_(text)["input_ids"]]
    wanted = families.one_at_a_time(folder, texts, classifier.max_length).numpy()
    np.testing.assert_allclose(classifier.decision_logits(texts), wanted, rtol=1e-3, atol=1e-3)
    assert np.ptp(wanted, axis=0).max() > 0.1
    assert np.isfinite(classifier.predict_proba(families.TEXTS)).all()  # an empty text, too
    with pytest.raises(BadInput, match="max_length is") if classifier.max_length < 128 else pytest.warns(UserWarning):
        classifier.set_params(max_length=200).predict(["good " * 300])


@pytest.mark.filterwarnings("ignore:.*longer than max_length")
def test_it_learns_and_comes_back_from_its_folder(folder: Path, tmp_path: Path) -> None:
    texts, labels = ["a good film", "an awful story", "lovely and fine", "dull"] * 4, ["yes", "no"] * 8
    learner = TextClassifier(str(folder), training=QUICK, max_length=16, dropout=0.0).fit(texts, labels)
    assert learner.fit_cost(texts).flops > 0 and learner.predict_cost(texts).bytes > 0
    back = TextClassifier.from_pretrained(learner.save(tmp_path / "mine"))
    wanted = families.one_at_a_time(tmp_path / "mine", texts[:4], 16).numpy()
    for classifier in (learner, back):
        np.testing.assert_allclose(classifier.decision_logits(texts[:4]), wanted, rtol=1e-3, atol=1e-3)
    before = {name: tensor.clone() for name, tensor in back.module_.state_dict().items()}
    probe = TextClassifier(str(tmp_path / "mine"), training=QUICK, max_length=16, frozen_encoder=True)
    after = probe.fit(texts, labels).module_.state_dict()
    moved = {name for name in after if name in before and not after[name].equal(before[name])}
    assert moved and len(moved) <= 4 and probe.trained_weights_ < sum(tensor.numel() for tensor in after.values()) / 2


@pytest.mark.parametrize("name", families.REFUSED)
def test_what_cannot_be_run_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    family, said = families.REFUSED[name]
    folder = families.folder_of(family, tmp_path)
    with pytest.raises(BadInput, match=said):
        TextClassifier.from_pretrained(folder)


def test_gradients_of_a_batch_are_those_of_one_text_at_a_time(folder: Path) -> None:
    classifier = TextClassifier.from_pretrained(folder)
    texts = ["a good film", "an awful story and", "I like it very much"]
    ids = tokenize(texts, classifier.tokenizer_, 16)

    def gradients(rows: list[list[int]]) -> list[np.ndarray]:
        found: list[np.ndarray] = [np.empty(0)] * len(rows)
        for batch in embedding_gradients(classifier, rows, lambda logits, _: logits[:, 0]):
            for row, gradient in zip(batch.rows, batch.gradient, strict=True):
                found[row] = gradient[: len(rows[row])].numpy()
        return found

    for together, row in zip(gradients(ids), ids, strict=True):
        (alone,) = gradients([row])
        assert np.abs(alone).max() > 1e-4
        np.testing.assert_allclose(together, alone, rtol=1e-2, atol=1e-3 * np.abs(alone).max())


SENTENCES = ["a good film and a great story", "an awful film, dull and poor", "I like this movie very much"]


@pytest.fixture(scope="module")
def attacked(folder: Path) -> TextClassifier:
    return TextClassifier.from_pretrained(folder)


@pytest.mark.filterwarnings("ignore:.*longer than max_length")
@pytest.mark.parametrize("kind", ATTACKS)
def test_every_kind_of_attack_works(kind: str, attacked: TextClassifier) -> None:
    labels = attacked.predict(SENTENCES)
    attack = replace(ATTACKS[kind], query_budget=30)
    for result in attack.run(attacked, SENTENCES, labels).results:
        assert result.status in ("succeeded", "failed") and 1 < result.queries <= 30
        assert result.after == attacked.predict([result.adversarial])[0]
        assert (result.after != result.label) == (result.status == "succeeded")


def test_attacks_on_embeddings_work(attacked: TextClassifier) -> None:
    texts = [*SENTENCES, ""]
    labels = attacked.predict(texts)
    report = PGD(1.0, steps=2).run(attacked, texts, labels)
    assert report.before.tolist() == labels.tolist()
    np.testing.assert_allclose(report.loss_before, -np.log(attacked.predict_proba(texts).max(1)), rtol=1e-2, atol=1e-3)
    assert (report.loss_after >= report.loss_before).all() and (report.loss_after[:3] > report.loss_before[:3]).any()
    assert (report.sizes[:3] <= 1.001).all() and report.sizes[3] == 0


def test_every_word_has_a_gradient_and_an_embedding(attacked: TextClassifier) -> None:
    """Byte-level and SentencePiece tokens begin with the blank: most words had neither."""
    victim, documents = VictimModel(attacked, Untargeted()), [Document.of(text) for text in SENTENCES]
    for gradient in victim.gradients(documents, [0, 1, 2]):
        assert (gradient.lengths > 0).all()
    assert (np.abs(victim.embeddings.of(documents[1].words)).max(1) > 0).all()
    rows = victim.embeddings.table[attacked.tokenizer_("a good film")["input_ids"]]
    assert (rows == victim.embeddings.of(["film"])).all(1).any()  # the token that it has inside a text
    assert "film" in victim.embeddings.whole_words.values()
