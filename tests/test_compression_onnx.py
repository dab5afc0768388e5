"""Graphs for ONNX Runtime: they answer as torch does, in float32 exactly, with fewer bits nearly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer
from toy_classifiers import LABELS, MIXED, RATINGS, TEXTS, fitted, tiny

from course_lib.classifier import TextClassifier
from course_lib.compression.onnx_classifier import OnnxClassifier
from course_lib.compression.onnx_export import EXACT, check_export_dir, export_onnx
from course_lib.compression.onnx_graph import OPSET, Bits, build_graph, pair_safe
from course_lib.compression.pruning import drop_layers
from course_lib.compression.quantization import fit_qparams
from course_lib.compression.vocabulary import cluster_embeddings, trim_vocabulary
from course_lib.errors import BadInput, CorruptAsset, MissingAsset
from course_lib.onnx_model import session

FEWER = [Bits(8, 8), Bits(4, 4), Bits(8, 4), Bits(4, 8, block_size=16)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(fitted(), tmp_path_factory.mktemp("onnx") / "plain").folder


def test_a_float32_graph_answers_as_torch(plain: Path) -> None:
    made = OnnxClassifier(plain)
    assert np.abs(made.decision_logits(MIXED) - fitted().decision_logits(MIXED)).max() < EXACT
    assert np.abs(made.predict_proba(TEXTS) - fitted().predict_proba(TEXTS)).max() < EXACT
    assert made.predict(TEXTS).tolist() == LABELS
    assert made.score(TEXTS, LABELS) == 1.0
    assert made.classes_.tolist() == [0, 1]
    assert made.predict_proba([]).shape == (0, 2)
    assert np.allclose(made.predict_proba(MIXED).sum(1), 1, atol=1e-6)


def test_it_uses_standard_operators_alone(plain: Path) -> None:
    model = onnx.load(plain / "model.onnx")
    assert {node.domain for node in model.graph.node} == {""}
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    assert [dimension.dim_param for dimension in model.graph.input[0].type.tensor_type.shape.dim] == ["batch", "seq"]


def test_ten_lines_without_this_course_give_the_same_answer(plain: Path) -> None:
    tokenizer = Tokenizer.from_file(str(plain / "tokenizer.json"))
    tokenizer.enable_padding()
    rows = tokenizer.encode_batch(TEXTS)
    feed = {"input_ids": np.array([row.ids for row in rows]),
            "attention_mask": np.array([row.attention_mask for row in rows])}  # fmt: skip
    (logits,) = onnxruntime.InferenceSession(plain / "model.onnx").run(None, feed)
    assert np.abs(logits - fitted().decision_logits(TEXTS)).max() < EXACT


def test_the_last_layer_of_all_tokens_gives_the_same(plain: Path, tmp_path: Path) -> None:
    onnx.save(build_graph(fitted().module_, Bits(), all_tokens=True), tmp_path / "all.onnx")
    feed = {"input_ids": np.array([[101, 2204, 2143, 102]]), "attention_mask": np.ones((1, 4), np.int64)}
    both = [session(file, 2).run(None, feed)[0] for file in (tmp_path / "all.onnx", plain / "model.onnx")]
    assert np.abs(both[0] - both[1]).max() < 1e-6


@pytest.mark.parametrize("bits", [Bits(), *FEWER], ids=str)
def test_a_prediction_does_not_depend_on_the_texts_beside_it(bits: Bits, tmp_path: Path) -> None:
    """With one scale for a batch (DynamicQuantizeMatMul), logits moved by 0.01 here, by 0.2 in `sentiment`."""
    texts = [*MIXED, *TEXTS, "the " * 100]
    made = OnnxClassifier(export_onnx(fitted(), tmp_path / "model", bits, TEXTS).folder)
    alone = np.concatenate([made.decision_logits([text]) for text in texts])
    for order in (texts, texts[::-1], texts[:7] + texts):
        together = dict(zip(order, made.decision_logits(order), strict=True))
        np.testing.assert_allclose([together[text] for text in texts], alone, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_int8_products_cannot_saturate_without_vnni(seed: int) -> None:
    """VPMADDUBSW adds two neighbouring products u8 * s8 in 16 bits, and cuts the sum off at 32767."""
    draw = np.random.default_rng(seed)
    weight = torch.from_numpy(draw.standard_t(3, (50, 96))).float()  # heavy tails
    weight[0, :2] = weight[0].abs().max()  # two of the largest side by side
    integers = pair_safe(weight).quantize(weight).numpy().astype(int)
    for activations in (draw.integers(0, 256, 96), np.full(96, 255)):
        pairs = (integers * activations).reshape(50, -1, 2).sum(-1)
        assert pairs.min() >= -32768 and pairs.max() <= 32767
    plain = fit_qparams(weight, axis=0)
    assert np.abs(plain.quantize(weight)[0, :2].numpy().astype(int) * 255).sum() > 32767
    lost = [float((q.dequantize(q.quantize(weight)) - weight).square().mean()) for q in (pair_safe(weight), plain)]
    assert lost[0] < 1.5 * lost[1]


@pytest.mark.parametrize("bits", FEWER, ids=str)
def test_fewer_bits_make_a_smaller_file_that_answers_nearly_alike(bits: Bits, plain: Path, tmp_path: Path) -> None:
    made = export_onnx(fitted(), tmp_path / "small", bits, TEXTS)
    assert made.model_bytes < 0.75 * (plain / "model.onnx").stat().st_size
    assert 0 < made.mean_error <= made.max_error < 1.5
    assert made.agreement == 1.0
    assert OnnxClassifier(made.folder).score(TEXTS, LABELS) == 1.0
    assert made.folder_bytes > made.model_bytes
    assert json.loads((made.folder / "classes.json").read_text())["bits"]["matrices"] == bits.matrices


def test_fewer_bits_for_words_alone_differ_by_rounding_alone(tmp_path: Path) -> None:
    """Activations stay in float32, so that nothing but the table is moved."""
    errors = [export_onnx(fitted(), tmp_path / str(bits), Bits(32, bits), TEXTS).max_error for bits in (32, 8, 4)]
    assert errors[0] < errors[1] < errors[2] / 5 < EXACT  # steps are 17 times as wide


def test_smaller_models_are_exported_too(tmp_path: Path) -> None:
    smaller = trim_vocabulary(drop_layers(fitted(), keep=[1]), TEXTS)
    made = OnnxClassifier(export_onnx(smaller, tmp_path / "one").folder)
    assert np.abs(made.decision_logits(MIXED) - smaller.decision_logits(MIXED)).max() < EXACT


@pytest.fixture(scope="module")
def shared() -> TextClassifier:
    return cluster_embeddings(fitted(), TEXTS, 2000)


@pytest.mark.parametrize("bits", [Bits(), Bits(32, 8), Bits(32, 4)], ids=str)
def test_shared_vectors_are_stored_once(bits: Bits, shared: TextClassifier, tmp_path: Path) -> None:
    made, whole = (
        export_onnx(one, tmp_path / name, bits, TEXTS) for one, name in ((shared, "shared"), (fitted(), "whole"))
    )
    spared = (30522 - 2000) * 64 * bits.embeddings / 8
    assert whole.model_bytes - made.model_bytes > spared - 2 * 30522 - 1000
    answers = OnnxClassifier(made.folder).decision_logits(MIXED)
    assert np.abs(answers - shared.decision_logits(MIXED)).max() < (EXACT if bits == Bits() else 0.02)


def test_names_and_three_classes_are_kept(tmp_path: Path) -> None:
    three = tiny().fit(TEXTS, [["no", "perhaps", "yes"][i % 3] for i in range(len(TEXTS))])
    made = OnnxClassifier(export_onnx(three, tmp_path / "three").folder)
    assert made.class_names_ == ["no", "perhaps", "yes"]
    assert made.predict(TEXTS).tolist() == three.predict(TEXTS).tolist()


def test_an_export_replaces_an_export_and_nothing_else(plain: Path, tmp_path: Path) -> None:
    again = export_onnx(fitted(), tmp_path / "twice").folder
    assert export_onnx(fitted(), again).folder == again
    (again / "my notes.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"my notes\.txt"):
        export_onnx(fitted(), again)
    with pytest.raises(BadInput, match="it is a file"):
        export_onnx(fitted(), again / "my notes.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["twice"]


@pytest.mark.parametrize("make", [lambda: Bits(3), lambda: Bits(8, 16), lambda: Bits(4, 4, 24), lambda: Bits(4, 4, 8)])
def test_bits_that_no_kernel_has_are_refused(make: object) -> None:
    with pytest.raises(BadInput, match="use"):
        make()  # type: ignore[operator]


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="regression"):
        export_onnx(tiny(head="regression").fit(TEXTS, RATINGS), tmp_path / "a")
    with pytest.raises(BadInput, match="not a fitted"):
        export_onnx(tiny(), tmp_path / "b")
    with pytest.raises(BadInput, match="positions is 600"):
        build_graph(fitted().module_, Bits(), 600)
    with pytest.raises(BadInput, match="multiple of 128"):
        build_graph(fitted().module_, Bits(4, 32, 128))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"notes\.txt is a file"):
        check_export_dir(tmp_path / "notes.txt" / "model")
    assert check_export_dir(tmp_path / "new" / "model") == tmp_path / "new" / "model"


def test_a_folder_that_is_not_whole_is_refused(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match=r"model\.onnx"):
        OnnxClassifier(tmp_path)
    made = export_onnx(fitted(), tmp_path / "one").folder
    content = (made / "model.onnx").read_bytes()
    (made / "model.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptAsset, match=r"model\.onnx"):
        OnnxClassifier(made)
    (made / "model.onnx").write_bytes(content)
    (made / "classes.json").write_text("{}")
    with pytest.raises(CorruptAsset, match="classes"):
        OnnxClassifier(made)
    with pytest.raises(BadInput, match="threads is 0"):
        OnnxClassifier(plain, threads=0)


def test_one_text_instead_of_a_list_is_refused(plain: Path) -> None:
    with pytest.raises(BadInput, match="single str"):
        OnnxClassifier(plain).predict_proba("a good film")
