"""Handwritten digits: the data, the models against references, attacks, generated and detected digits."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from course_lib import assets, corpora
from course_lib.attacks.pgd import PGD
from course_lib.cases import image_studies as studies
from course_lib.cases import images
from course_lib.cases.images import Digits, accuracy, load_digits
from course_lib.encoder import EncoderConfig, VisionTransformer, patchify, unpatchify
from course_lib.errors import BadInput, CorruptAsset
from course_lib.evaluation import box_iou, count_detections, non_max_suppression
from course_lib.exercises import reference
from course_lib.experiments import Run

CARD = (assets.data_folder() / "cards" / "mnist.md").read_text(encoding="utf-8")


def raw(file: str) -> np.ndarray:
    return corpora.read_idx(assets.path("mnist") / f"{file}-ubyte.gz")


# ---- data ----------------------------------------------------------------------------------------------------------


def test_the_card_tells_the_counts() -> None:
    for file, name in (("train", "train"), ("t10k", "test")):
        pixels, labels = raw(f"{file}-images-idx3"), raw(f"{file}-labels-idx1")
        assert pixels.shape == (len(labels), 28, 28) and pixels.dtype == np.uint8
        counts = " | ".join(f"{count:,}" for count in np.bincount(labels))
        assert f"| {name} | {len(labels):,} | {counts} |" in CARD
        ink = (pixels > 0).mean()
        assert f"{100 * ink:.1f} %" in CARD
    both = np.concatenate([raw("train-images-idx3"), raw("t10k-images-idx3")])
    assert f"{len(both) - len(np.unique(both.reshape(len(both), -1), axis=0))} images occur twice" in CARD


def test_parts_are_disjoint_and_fixed() -> None:
    train, validation, test = map(load_digits, ("train", "validation", "test"))
    assert [len(part.labels) for part in (train, validation, test)] == [5_000, 1_000, 10_000]
    assert train.images.min() == 0 and train.images.max() == 1 and train.images.dtype == torch.float32
    assert torch.equal(load_digits("train", 7).labels, train.labels[:7])
    assert sorted(test.labels.tolist()) == sorted(raw("t10k-labels-idx1").tolist())
    seen = {image.numpy().tobytes() for image in train.images}
    assert not [image for image in validation.images if image.numpy().tobytes() in seen]
    with pytest.raises(BadInput, match="use one of train, validation, test"):
        load_digits("dev")


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x0d\1\0\0\0\1\0", b"\0\0\x08\1\0\0\0\2\0"], ids=["empty", "floats", "short"]
)
def test_a_damaged_idx_file_is_named(tmp_path, content) -> None:
    file = tmp_path / "digits.gz"
    file.write_bytes(gzip.compress(content))
    with pytest.raises(CorruptAsset, match=r"digits.gz is no IDX file"):
        corpora.read_idx(file)
    whole = gzip.compress(bytes(1000))
    file.write_bytes(whole[:12] + b"\xff" * 4 + whole[16:])  # an error of zlib
    with pytest.raises(CorruptAsset, match=r"digits.gz is no IDX file"):
        corpora.read_idx(file)


# ---- the vision transformer ----------------------------------------------------------------------------------------


def test_patches_by_hand() -> None:
    image = torch.arange(24.0).view(1, 4, 6)
    patches = patchify(image, 2)
    assert patches.shape == (1, 6, 4) and patches[0, 0].tolist() == [0, 1, 6, 7]
    assert patches[0, 1].tolist() == [2, 3, 8, 9] and patches[0, 3].tolist() == [12, 13, 18, 19]
    assert torch.equal(unpatchify(patches, columns=3), image)
    with pytest.raises(BadInput, match="divides both sides"):
        patchify(image, 4)


def test_patch_embedding_is_a_convolution() -> None:
    vit, pixels = images.digit_vit(), torch.rand(3, 28, 28)
    linear = vit.patch_embedding
    kernel = linear.weight.view(-1, 1, 7, 7)
    expected = F.conv2d(pixels[:, None], kernel, linear.bias, stride=7).flatten(2).transpose(1, 2)
    assert torch.allclose(linear(patchify(pixels, 7)), expected, atol=1e-5)


def test_it_is_transformers_vit() -> None:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    vit, pixels = images.digit_vit().eval(), torch.rand(4, 28, 28)
    nn.init.normal_(vit.class_token)
    theirs = ViTModel(
        ViTConfig(
            hidden_size=64, num_hidden_layers=3, intermediate_size=128, num_attention_heads=4,
            layer_norm_eps=vit.encoder.config.norm_eps, image_size=28, patch_size=7, num_channels=1,
        ),
        add_pooling_layer=False,
    ).eval()  # fmt: skip
    ours = vit.encoder
    names = {"attention_norm": "layernorm_before", "feed_forward_norm": "layernorm_after", "last_norm": "layernorm",
             "query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj", "feed_forward": "mlp",
             "expand": "fc1", "contract": "fc2"}  # fmt: skip
    weights = {
        ".".join(names.get(part, part) for part in name.split(".")): tensor
        for name, tensor in ours.state_dict().items()
        if name.startswith(("layers", "last_norm"))
    }
    positions = ours.embeddings.positions.weight + ours.embeddings.segments.weight[0]
    weights |= {
        "embeddings.cls_token": vit.class_token,
        "embeddings.position_embeddings": positions[None],
        "embeddings.patch_embeddings.projection.weight": vit.patch_embedding.weight.view(-1, 1, 7, 7),
        "embeddings.patch_embeddings.projection.bias": vit.patch_embedding.bias,
    }
    theirs.load_state_dict(weights)
    with torch.inference_mode():
        expected = vit.head(theirs(pixels[:, None]).last_hidden_state[:, 0])
        assert torch.allclose(vit(pixels), expected, atol=1e-4)


def test_without_positions_patches_have_no_order() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(2, 28, 28)
    mixed = unpatchify(patchify(pixels, 7)[:, torch.randperm(16)], columns=4)
    for positions in (True, False):
        vit = images.digit_vit(positions).eval()
        nn.init.normal_(vit.head.weight)
        with torch.inference_mode():
            assert torch.allclose(vit(pixels), vit(mixed), atol=1e-4) != positions
    with pytest.raises(BadInput, match="max_positions=17"):
        VisionTransformer(28, 7, 10, EncoderConfig(max_positions=16))


# ---- training and attacks ------------------------------------------------------------------------------------------


def test_perturbed_images_stay_in_the_ball_and_in_the_box() -> None:
    data, random = load_digits("train", 20), torch.Generator().manual_seed(0)
    module = images.digit_cnn()
    for name in ("fgsm", "fgsm, random start", "pgd"):
        changed = images.perturb(module, data, name, random)
        assert (changed - data.images).abs().max() <= images.EPSILON + 1e-6
        assert changed.min() >= 0 and changed.max() <= 1 and not torch.equal(changed, data.images)


def test_one_step_of_fgsm_by_hand() -> None:
    data, module = load_digits("train", 8), images.digit_cnn()
    pixels = data.images.clone().requires_grad_()
    F.cross_entropy(module(pixels), data.labels).backward()
    expected = (data.images + images.EPSILON * pixels.grad.sign()).clamp(0, 1)
    assert torch.allclose(images.perturb(module, data, "fgsm", torch.Generator()), expected)


@pytest.fixture(scope="module")
def quick_cnn() -> nn.Module:
    torch.manual_seed(1)
    return images.fit(images.digit_cnn(), load_digits("train", 3_000), epochs=4)


def test_attacks_agree_with_foolbox(quick_cnn) -> None:
    measured = images.attacked_accuracy(quick_cnn, load_digits("test", 100), epsilon=0.1)
    assert measured["clean"] >= 0.85 and measured["random signs"] >= 0.8
    assert measured["fgsm"] <= measured["foolbox fgsm"] + 1e-6 <= measured["fgsm"] + 0.05
    assert measured["pgd"] == pytest.approx(measured["foolbox pgd"], abs=0.05)
    assert measured["pgd"] <= measured["fgsm"] <= measured["clean"]


def test_more_bits_are_nearer(quick_cnn) -> None:
    test = load_digits("test", 500)
    exact = images.predict(quick_cnn, test.images)
    off = [
        float(
            (images.predict(images.quantized_copy(images.digit_cnn, quick_cnn, bits), test.images) - exact).abs().mean()
        )
        for bits in (8, 4, 2)
    ]
    assert off[0] < off[1] < off[2]


def test_a_gradient_all_on_ink_is_1() -> None:
    class Ink(nn.Module):
        def forward(self, pixels):
            return torch.stack([pixels.square().sum((1, 2)), torch.zeros(len(pixels))], 1)

    pixels = torch.zeros(2, 28, 28)
    pixels[:, 3:5] = 0.5
    assert images.ink_gradient(Ink(), Digits(pixels, torch.tensor([0, 1]))) == 1.0


@pytest.mark.parametrize("seed", [21, 22])
def test_a_defense_that_passes_its_own_attack_and_falls_to_the_next(seed: int) -> None:
    """The surprise of the notebook on fresh seeds: FGSM without a random start gives a defense against FGSM alone.

    The CNN needs a minute for each training, so this is the classifier of the build, which needs four seconds.
    """
    test, found = load_digits("test", 300), {}
    for training in ("fgsm", "fgsm, random start"):
        torch.manual_seed(seed)
        module = images.fit(reference.PatchClassifier(), load_digits("train"), 8, training, seed)
        for steps in (1, 10):
            attack = PGD(images.EPSILON, "linf", steps, random_start=False)
            attacked = attack.perturb_images(module, *test)
            found[training, steps] = accuracy(module, Digits(attacked, test.labels))
    assert found["fgsm", 1] >= 0.4, found
    assert found["fgsm", 10] <= 0.2, found
    assert found["fgsm, random start", 10] - found["fgsm", 10] >= 0.1, found


# ---- what ships ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, training", [("cnn", "clean"), ("cnn, fgsm", "fgsm"), ("cnn, pgd", "pgd"), ("vit", "clean")]
)
def test_shipped_weights_are_those_of_the_shipped_run(name: str, training: str) -> None:
    run = studies.digit_study.shipped({"model": name.partition(",")[0], "training": training, "seed": 0})
    assert run is not None
    test = load_digits("test")
    module = images.load_model(name)
    assert accuracy(module, test) == pytest.approx(run.result["test_accuracy"], abs=5e-4)
    assert 1 - len(run.result["wrong"]) / len(test.labels) == pytest.approx(run.result["test_accuracy"])


def test_weights_of_a_run_are_shipped(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(images, "_weights_file", lambda: tmp_path / "digits" / "model.safetensors")
    module = images.digit_cnn().half().float()
    save_file(module.state_dict(), tmp_path / images.WEIGHTS)
    images.ship_models({"cnn": Run("digit_study", {}, {}, 0.0, "computed", folder=tmp_path)})
    again = images.load_model("cnn").state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in module.state_dict().items())
    assert [file.name for file in (tmp_path / "digits").iterdir()] == ["model.safetensors"]


def test_unknown_and_damaged_models(tmp_path, monkeypatch) -> None:
    with pytest.raises(BadInput, match="use one of cnn; cnn, fgsm"):
        images.load_model("resnet")
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    monkeypatch.setattr(images, "_weights_file", lambda: tmp_path / "model.safetensors")
    with pytest.raises(CorruptAsset, match="git checkout"):
        images.load_model("cnn")


# ---- boxes -----------------------------------------------------------------------------------------------------------


def test_boxes_by_hand() -> None:
    boxes = [[0, 0, 4, 4], [0, 2, 4, 6], [10, 10, 14, 14]]
    assert np.allclose(box_iou(boxes[:1], boxes), [[1, 8 / 24, 0]])
    assert non_max_suppression(boxes, [0.8, 0.9, 0.1], iou=0.3) == [1, 2]
    assert non_max_suppression(boxes, [0.8, 0.9, 0.1], iou=0.4) == [1, 0, 2]
    assert non_max_suppression([], []) == []
    assert count_detections(boxes, [7, 7, 2], boxes[:1], [7], iou=0.3) == 1, "the second box on one object is wrong"
    assert count_detections(boxes, [3, 3, 3], boxes, [3, 3, 5]) == 2
    with pytest.raises(BadInput, match="top < bottom"):
        box_iou([[4, 0, 0, 4]], boxes)
    with pytest.raises(BadInput, match="3 rows of predictions and 2 scores"):
        non_max_suppression(boxes, [0.8, 0.9])
    with pytest.raises(BadInput, match="3 rows of predictions and 1 labels"):
        count_detections(boxes, [7], boxes, [7, 7, 7])


def test_canvases_and_windows() -> None:
    canvases = studies.make_canvases(load_digits("test", 50), 10, seed=3)
    for canvas in canvases:
        overlap = box_iou(canvas.boxes, canvas.boxes)
        assert len(canvas.labels) <= 5 and np.allclose(overlap, np.eye(len(overlap)))
    pixels, boxes = studies.windows(canvases[0].image)
    top, left, bottom, right = boxes[17]
    assert torch.equal(pixels[17], canvases[0].image[top:bottom, left:right]) and len(boxes) == 15 * 15
    data = studies.detector_data(canvases)
    assert set(data.labels.tolist()) <= set(range(11)) and (data.labels == 10).float().mean() > 0.5


def test_generated_images_have_the_form_of_digits() -> None:
    data = load_digits("train", 100)
    generator = studies.PatchGenerator(data, epochs=1)
    codes = generator.sample(torch.tensor([3, 7]))
    assert codes.shape == (2, 49) and generator.decode(codes).shape == (2, 28, 28)
    again = generator.encode(generator.decode(generator.encode(data.images)))
    assert (again == generator.encode(data.images)).float().mean() > 0.99
    with torch.inference_mode():
        first = generator.logits(data.labels[:4], generator.encode(data.images[:4])[:, :5])[:, :3]
        assert torch.allclose(
            first, generator.logits(data.labels[:4], generator.encode(data.images[:4])[:, :2]), atol=1e-5
        )
