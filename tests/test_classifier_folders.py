"""Classifiers on the disk: ordinary transformers folders, whole or not at all, and said plainly where they are not."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_classifiers import (
    LABELS,
    LEARNING,
    MIXED,
    QUICK,
    RATINGS,
    TEXTS,
    fitted,
    tiny,
    transformers_folder,
    transformers_logits,
    weights,
)
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertModel,
)

from course_lib import assets
from course_lib.classifier import TextClassifier, pretrained
from course_lib.errors import BadInput, CorruptAsset, CourseError, MissingAsset, Offline


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """The folder of a classifier that knows the toy words."""
    return fitted().save(tmp_path_factory.mktemp("classifier") / "model")


@pytest.fixture
def copy_of(saved, tmp_path) -> Path:
    """A copy of that folder that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


# Saving and loading


def test_a_saved_classifier_answers_as_before(saved):
    back = TextClassifier.from_pretrained(saved)
    np.testing.assert_allclose(back.decision_logits(MIXED), fitted().decision_logits(MIXED), atol=1e-6)
    assert back.predict(TEXTS).tolist() == fitted().predict(TEXTS).tolist()
    assert back.get_params() == {**fitted().get_params(), "encoder": str(saved), "training": None}


def test_transformers_loads_it_and_gives_the_same_logits(saved):
    np.testing.assert_allclose(transformers_logits(saved, MIXED), fitted().decision_logits(MIXED), atol=1e-4)
    config = AutoModelForSequenceClassification.from_pretrained(saved).config
    assert config.id2label == {0: "0", 1: "1"} and config.label2id == {"0": 0, "1": 1}
    assert config.architectures == ["BertForSequenceClassification"]
    assert config.problem_type == "single_label_classification"


def test_no_pickle_is_inside(saved):
    files = sorted(file.name for file in saved.iterdir())
    assert {"config.json", "course.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert {Path(name).suffix for name in files} <= {".json", ".safetensors", ".txt"}
    assert not any(file.read_bytes()[:2] in (b"\x80\x02", b"\x80\x04", b"\x80\x05", b"PK") for file in saved.iterdir())


def test_parameters_of_a_search_and_paths_can_be_saved(saved, tmp_path):
    classifier = TextClassifier(saved, training=QUICK, max_length=np.int64(16), dropout=np.float64(0.25))
    back = TextClassifier.from_pretrained(classifier.fit(TEXTS, LABELS).save(tmp_path / "m"))
    assert (back.max_length, back.dropout) == (16, 0.25)


def test_a_classifier_that_stands_there_is_replaced(copy_of):
    other = tiny(replace(QUICK, seed=3)).fit(TEXTS, ["yes" if label else "no" for label in LABELS])
    other.save(copy_of)
    back = TextClassifier.from_pretrained(copy_of)
    assert back.classes_.tolist() == ["no", "yes"]
    np.testing.assert_array_equal(back.decision_logits(MIXED), other.decision_logits(MIXED))
    assert [entry.name for entry in copy_of.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["disk full", "ctrl-c"]
)
def test_a_save_that_fails_midway_leaves_the_old_one_intact(copy_of, monkeypatch, error):
    before = {file.name: file.read_bytes() for file in copy_of.iterdir()}

    def half(tensors, path, metadata):
        save_file(tensors, path, metadata)
        with open(path, "rb+") as file:
            file.truncate(1000)
        raise error

    monkeypatch.setattr(pretrained, "save_file", half)
    with pytest.raises(CourseError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        fitted().save(copy_of)
    if isinstance(error, OSError):
        assert "No space left" in str(caught.value) and "make room" in str(caught.value)
    assert {file.name: file.read_bytes() for file in copy_of.iterdir()} == before
    assert [entry.name for entry in copy_of.parent.iterdir()] == ["copy"]


def test_a_save_whose_last_step_fails_puts_the_old_one_back(copy_of, monkeypatch):
    before, real = (copy_of / "course.json").read_bytes(), Path.replace

    def replace_unless_part(self, target):
        if self.name.startswith(".part-"):
            raise OSError(13, "Permission denied")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace_unless_part)
    with pytest.raises(CourseError, match="could not be written"):
        fitted().save(copy_of)
    assert (copy_of / "course.json").read_bytes() == before
    assert [entry.name for entry in copy_of.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize("inside", ["notes.txt", "config.json and main.py", "config.json and folder", "a file itself"])
def test_nothing_foreign_is_ever_replaced(tmp_path, inside):
    target = tmp_path / "mine"
    if inside == "a file itself":
        target.write_text("my thesis")
    else:
        target.mkdir()
    for name in inside.split(" and "):
        if name == "folder":
            (target / name).mkdir()
        elif target.is_dir():
            (target / name).write_text("{}")
    before = sorted(str(entry) for entry in tmp_path.rglob("*"))
    with pytest.raises(BadInput, match=r"(?s)mine exists and is not a saved classifier.*new or empty folder"):
        fitted().save(target)
    assert sorted(str(entry) for entry in tmp_path.rglob("*")) == before


def test_saving_makes_the_folders_above_and_takes_an_empty_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given_back = fitted().save("a/b/c")
    assert given_back.is_absolute() and (tmp_path / "a/b/c/config.json").is_file()
    (tmp_path / "empty").mkdir()
    assert (fitted().save(tmp_path / "empty") / "model.safetensors").is_file()


@pytest.mark.parametrize("folder", ["x" * 300, "a\0b", "/dev/null/model", "/", None, 5], ids=repr)
def test_a_place_that_cannot_be_written_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CourseError) as caught:
        fitted().save(folder)
    assert "folder" in caught.value.fix and not list(tmp_path.iterdir())


def test_a_saved_classifier_is_an_encoder_for_the_next_one(saved):
    again = TextClassifier(str(saved), training=replace(QUICK, learning_rate=1e-6)).fit(TEXTS, LABELS)
    encoder = {name: t for name, t in load_file(saved / "model.safetensors").items() if name.startswith("bert.encoder")}
    for name, tensor in encoder.items():
        torch.testing.assert_close(weights(again)[name], tensor, atol=1e-4, rtol=0)


def test_scratch_has_the_course_encoders_shape_and_random_weights():
    shape = {"encoder": "scratch", "frozen_encoder": True, "training": QUICK}
    scratch = TextClassifier(**shape).fit(TEXTS[:8], LABELS[:8])
    course = load_file(assets.path("course_encoder") / "model.safetensors")
    state = weights(scratch)
    assert {name.removeprefix("bert."): t.shape for name, t in state.items() if name.startswith("bert.")} == {
        name: tensor.shape for name, tensor in course.items() if name != "embeddings.position_ids"
    }
    assert not torch.equal(state["bert.pooler.dense.weight"], course["pooler.dense.weight"])


def test_the_course_encoder_is_the_one_of_the_assets():
    classifier = TextClassifier(frozen_encoder=True, training=QUICK).fit(TEXTS[:8], LABELS[:8])
    course, state = load_file(assets.path("course_encoder") / "model.safetensors"), weights(classifier)
    assert torch.equal(state["bert.encoder.layer.5.output.dense.weight"], course["encoder.layer.5.output.dense.weight"])
    assert torch.equal(state["bert.pooler.dense.weight"], course["pooler.dense.weight"])


# Folders that transformers wrote

TINY = {
    "vocab_size": 30522,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}


def test_a_bert_of_transformers(tmp_path):
    torch.manual_seed(0)
    names = {0: "sad", 1: "glad", 2: "neither"}
    config = BertConfig(**TINY, max_position_embeddings=40, id2label=names, initializer_range=0.3)
    folder = transformers_folder(BertForSequenceClassification(config), tmp_path)
    classifier = TextClassifier.from_pretrained(str(folder))
    assert classifier.classes_.tolist() == ["sad", "glad", "neither"] and classifier.max_length == 40
    texts = [*MIXED[:5], MIXED[6]]
    np.testing.assert_allclose(classifier.decision_logits(texts), transformers_logits(folder, texts), atol=1e-5)
    assert classifier.predict(["long " * 500]).shape == (1,)  # no longer than its table of positions


def test_a_bert_of_older_transformers_holds_its_positions(copy_of):
    tensors = load_file(copy_of / "model.safetensors")
    tensors["bert.embeddings.position_ids"] = torch.arange(512)[None]
    save_file(tensors, copy_of / "model.safetensors", metadata={"format": "pt"})
    back = TextClassifier.from_pretrained(copy_of)
    np.testing.assert_allclose(back.decision_logits(MIXED), fitted().decision_logits(MIXED), atol=1e-6)


def test_a_regression_of_transformers(tmp_path):
    folder = transformers_folder(BertForSequenceClassification(BertConfig(**TINY, num_labels=1)), tmp_path)
    classifier = TextClassifier.from_pretrained(folder)
    assert classifier.head == "regression"
    np.testing.assert_allclose(classifier.predict(["a"]), transformers_logits(folder, ["a"])[:, 0], atol=1e-5)


DISTIL = {"vocab_size": 30522, "dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "initializer_range": 0.1}


def test_a_distilbert_predicts_and_learns(tmp_path):
    torch.manual_seed(0)
    first = DistilBertForSequenceClassification(DistilBertConfig(**DISTIL))
    folder = transformers_folder(first, tmp_path / "theirs")
    classifier = TextClassifier.from_pretrained(folder)
    np.testing.assert_allclose(classifier.decision_logits(MIXED), transformers_logits(folder, MIXED), atol=1e-5)

    learner = TextClassifier(str(folder), training=LEARNING, dropout=0.05)
    learner.fit(TEXTS, ["yes" if label else "no" for label in LABELS])
    assert learner.score(TEXTS, ["yes" if label else "no" for label in LABELS]) > 0.9
    assert {m.p for m in learner.module_.modules() if isinstance(m, torch.nn.Dropout)} == {0.05}
    back = TextClassifier.from_pretrained(learner.save(tmp_path / "mine"))
    np.testing.assert_allclose(back.decision_logits(MIXED), learner.decision_logits(MIXED), atol=1e-6)
    np.testing.assert_allclose(transformers_logits(tmp_path / "mine", MIXED), learner.decision_logits(MIXED), atol=1e-4)
    assert json.loads((tmp_path / "mine/config.json").read_text())["id2label"] == {"0": "no", "1": "yes"}
    assert {file.suffix for file in (tmp_path / "mine").iterdir()} <= {".json", ".safetensors", ".txt"}


def test_a_distilbert_gets_a_head_for_another_number_of_classes(tmp_path):
    folder = transformers_folder(DistilBertForSequenceClassification(DistilBertConfig(**DISTIL)), tmp_path)
    classifier = TextClassifier(str(folder), training=QUICK, frozen_encoder=True)
    classifier.fit(TEXTS, [i % 3 for i in range(40)])
    assert classifier.predict_proba(["a"]).shape == (1, 3)
    assert classifier.trained_weights_ == 32 * 32 + 32 + 32 * 3 + 3


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"head": "multitask"}, "multitask.*distilbert"), ({"lora_rank": 2}, "lora_rank=2.*not a BERT")],
    ids=["multitask", "lora"],
)
def test_what_only_a_bert_can_do_is_said(tmp_path, parameters, said):
    folder = transformers_folder(DistilBertForSequenceClassification(DistilBertConfig(**DISTIL)), tmp_path)
    ratings = RATINGS if "head" in parameters else None
    with pytest.raises(BadInput, match=said):
        TextClassifier(str(folder), training=QUICK, **parameters).fit(TEXTS, LABELS, ratings=ratings)


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_an_encoder_without_a_head_is_no_classifier(tmp_path, kind):
    """transformers would answer with random numbers."""
    model = BertModel(BertConfig(**TINY)) if kind == "bert" else DistilBertModel(DistilBertConfig(**DISTIL))
    folder = transformers_folder(model, tmp_path)
    with pytest.raises(CorruptAsset, match=r"(?s)TextClassifier\(encoder=\.\.\.\)\.fit"):
        TextClassifier.from_pretrained(folder)


# Damaged folders


def rewrite(file: Path, **changes) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


DAMAGE = {
    "weights cut": lambda folder: (folder / "model.safetensors").write_bytes(
        (folder / "model.safetensors").read_bytes()[:999_999]
    ),
    "weights empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "weights of something else": lambda folder: save_file({"x": torch.zeros(2)}, folder / "model.safetensors"),
    "config cut": lambda folder: (folder / "config.json").write_text('{"model_type": "be'),
    "config empty": lambda folder: (folder / "config.json").write_bytes(b""),
    "config a list": lambda folder: (folder / "config.json").write_text("[]"),
    "config of no model": lambda folder: (folder / "config.json").write_text("{}"),
    "config of an unknown model": lambda folder: rewrite(folder / "config.json", model_type="nope"),
    "config too deep": lambda folder: rewrite(folder / "config.json", num_hidden_layers=3),
    "config with odd heads": lambda folder: rewrite(folder / "config.json", num_attention_heads=7),
    "config of text": lambda folder: rewrite(folder / "config.json", vocab_size="many"),
    "note cut": lambda folder: (folder / "course.json").write_text('{"parameters": '),
    "note a list": lambda folder: (folder / "course.json").write_text("[]"),
    "note of another version": lambda folder: rewrite(
        folder / "course.json", parameters={"head": "multitask", "wings": 2}
    ),
    "note with an odd head": lambda folder: rewrite(folder / "course.json", parameters={"head": "duck"}),
    "note with more classes": lambda folder: rewrite(folder / "course.json", classes=[1, 2, 3]),
    "note without classes": lambda folder: rewrite(folder / "course.json", classes=None),
    "tokenizer cut": lambda folder: (folder / "tokenizer.json").write_text('{"version": "1.0", "model'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_named(copy_of, damage):
    damage(copy_of)
    with pytest.raises(CorruptAsset) as caught:
        TextClassifier.from_pretrained(copy_of)
    assert str(copy_of) in caught.value.message and "again" in caught.value.fix
    assert len(caught.value.message) < 600


@pytest.mark.parametrize("damage", ["weights cut", "weights of something else", "config cut"])
def test_a_damaged_encoder_is_named(copy_of, damage):
    DAMAGE[damage](copy_of)
    with pytest.raises(CorruptAsset) as caught:
        TextClassifier(str(copy_of), training=QUICK).fit(TEXTS, LABELS)
    assert str(copy_of) in caught.value.message


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_weights_in_several_files(tmp_path, kind):
    torch.manual_seed(0)
    bert, distil = BertConfig(**TINY, initializer_range=0.3), DistilBertConfig(**DISTIL)
    model = BertForSequenceClassification(bert) if kind == "bert" else DistilBertForSequenceClassification(distil)
    folder = transformers_folder(model, tmp_path / "whole")
    wanted = TextClassifier.from_pretrained(folder).decision_logits(MIXED)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="1MB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    np.testing.assert_array_equal(TextClassifier.from_pretrained(folder).decision_logits(MIXED), wanted)
    TextClassifier(str(folder), training=QUICK, frozen_encoder=True).fit(TEXTS[:8], LABELS[:8])
    next(folder.glob("*-00002-of-*.safetensors")).unlink()
    for use in (TextClassifier.from_pretrained, lambda name: TextClassifier(str(name)).fit(TEXTS, LABELS)):
        with pytest.raises(MissingAsset, match=r"lacks model-00002-of-.*model\.safetensors\.index\.json"):
            use(folder)


@pytest.mark.parametrize("use", ["load", "fit"])
def test_pickled_weights_are_refused_with_the_way_to_convert_them(copy_of, use):
    (copy_of / "model.safetensors").rename(copy_of / "pytorch_model.bin")
    with pytest.raises(MissingAsset, match=r"(?s)pytorch_model\.bin, a pickle.*save_pretrained\(new_folder\)"):
        TextClassifier.from_pretrained(copy_of) if use == "load" else TextClassifier(str(copy_of)).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"problem_type": "multi_label_classification"}, "problem_type is 'multi_label_classification' with 2 outputs"),
        ({"problem_type": "regression"}, "problem_type is 'regression' with 2 outputs"),
        ({"id2label": {"0": "same", "1": "same"}}, "id2label in config.json is"),
    ],
)
def test_a_configuration_that_would_be_misread_is_refused(copy_of, changes, said):
    rewrite(copy_of / "config.json", **changes)
    (copy_of / "course.json").unlink()
    with pytest.raises(BadInput, match=said):
        TextClassifier.from_pretrained(copy_of)


def test_classes_of_others_keep_their_order_when_trained_further(copy_of):
    """`warm_start` on a model whose classes are not sorted: labels are learned by name."""
    rewrite(copy_of / "config.json", id2label={"0": "sad", "1": "glad"})
    (copy_of / "course.json").unlink()
    classifier = TextClassifier.from_pretrained(copy_of).set_params(training=QUICK, warm_start=True)
    names = np.where(np.array(LABELS) == 1, "glad", "sad")
    classifier.fit(TEXTS, names, validation=(TEXTS, names))
    assert classifier.classes_.tolist() == ["sad", "glad"] and classifier.score(TEXTS, names) == 1
    assert classifier.history_.rows[-1]["validation_accuracy"] == 1


def test_class_names_are_kept_beside_the_labels(tmp_path):
    classifier = tiny(class_names=("negative", "positive")).fit(TEXTS, LABELS)
    back = TextClassifier.from_pretrained(classifier.save(tmp_path / "m"))
    assert back.class_names_ == classifier.class_names_ == ["negative", "positive"]
    assert back.classes_.tolist() == [0, 1]
    assert json.loads((tmp_path / "m/config.json").read_text())["id2label"] == {"0": "negative", "1": "positive"}
    with pytest.raises(BadInput, match="one name for each class"):
        tiny(class_names=("a", "b", "c")).fit(TEXTS, LABELS)


@pytest.mark.parametrize("gone", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_a_needed_file_is_named(copy_of, gone):
    (copy_of / gone).unlink()
    with pytest.raises(MissingAsset, match=f"(?s){gone}"):
        TextClassifier.from_pretrained(copy_of)


# Names


@pytest.mark.parametrize("use", ["load", "fit"])
@pytest.mark.parametrize("name", ["no-such-model", "somebody/no-such-model"])
def test_a_hub_name_without_network_says_so_quickly(name, use):
    started = time.perf_counter()
    with pytest.raises(Offline, match=f"(?s)'{name}' is no folder here.*go online once.*encoder='course'"):
        TextClassifier.from_pretrained(name) if use == "load" else TextClassifier(name).fit(TEXTS, LABELS)
    assert time.perf_counter() - started < 15  # trying five times, as online, takes 27 s


@pytest.mark.parametrize("use", ["load", "fit"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("./nothing", MissingAsset),
        ("/no/such/folder", MissingAsset),
        ("~/model", MissingAsset),
        (Path("no"), MissingAsset),
        ("a" * 5000, MissingAsset),
        ("a\0b", MissingAsset),
        ("a\nb", MissingAsset),
        ("", BadInput),
        (" ", BadInput),
        (None, BadInput),
        (3, BadInput),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, type) else "",
)
def test_a_name_of_nothing_is_named(name, kind, use):
    with pytest.raises(kind) as caught:
        TextClassifier.from_pretrained(name) if use == "load" else TextClassifier(name).fit(TEXTS, LABELS)
    shown = repr(str(name) if isinstance(name, Path) else name)
    assert shown[1:20].strip("'") in caught.value.message and "folder" in caught.value.fix
    assert len(str(caught.value)) < 300


def test_a_folder_of_something_else_is_named(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(MissingAsset, match=r"holds no config\.json"):
        TextClassifier.from_pretrained(tmp_path)
