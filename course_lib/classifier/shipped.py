"""Fine-tuned models that ship with the course: stored as small differences to the course encoder.

Fine-tuning moves each weight a little, so few bits are enough for the difference (BitDelta, Liu et al. 2024,
arXiv:2402.10193, takes one). Here a matrix has two bits a weight and one scale for each run of `GROUP` weights of a
row. Of the table of words only the rows of tokens that the training texts hold are stored, with one bit a weight.
Biases, layer norms, pooler and head are stored in half precision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from course_lib import assets
from course_lib.batching import load_tokenizer, tokenize
from course_lib.checkpoints import write_atomically
from course_lib.classifier.data import check_parameters
from course_lib.classifier.model import BERTForSentimentAnalysis
from course_lib.classifier.pretrained import COURSE_FILE, Pretrained, load_bert
from course_lib.errors import BadInput, CorruptAsset

FILE = "difference.safetensors"
SENTIMENT_CLASSES = ("negative", "positive")  # all shipped models are trained on sentiment data
GROUP = 384  # weights that share a scale
MATRIX_BITS, WORD_BITS = 2, 1
_WORDS, _POSITIONS = "bert.embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight"
_LEVELS = {1: (-1.0, 1.0), 2: (-1.5, -0.5, 0.5, 1.5)}  # in units of the scale


def shipped_models() -> list[str]:
    """Names of the fine-tuned models that ship with the course."""
    return sorted(file.parent.name for file in _checkpoints().glob(f"*/{FILE}"))


def shipped_model_folder(name: str) -> Path:
    """Where a shipped model's difference is."""
    return _checkpoints() / name


def _checkpoints() -> Path:
    return assets.data_folder() / "checkpoints"


def save_difference(classifier: Any, folder: Path, texts: Sequence[str]) -> Path:
    """Writes a classifier that was fine-tuned from the course encoder as its difference to it.

    Args:
        classifier: a fitted `TextClassifier`; it is not changed, and differs a little from what `load_shipped` returns.
        folder: made where it is missing.
        texts: those that it was trained on. Words that they do not hold keep the encoder's vectors.

    Raises:
        BadInput: no classifier on the course encoder's shape.
    """
    module, base = getattr(classifier, "module_", None), load_bert(assets.path("course_encoder"))
    if not isinstance(module, BERTForSentimentAnalysis) or module.rating is not None:
        raise BadInput(f"a {type(classifier).__name__} that is no fitted BERT classifier", "fine-tune one first")
    theirs = {f"bert.{name}": tensor for name, tensor in base.state_dict().items()}
    used = {
        _WORDS: torch.tensor(sorted({i for row in tokenize(texts, classifier.tokenizer_) for i in row})),
        _POSITIONS: torch.arange(classifier.max_length),
    }
    stored: dict[str, Tensor] = {}
    for name, mine in module.state_dict().items():
        mine = mine.detach().cpu()
        if name.startswith(("bert.pooler", "classifier")):
            stored[name] = mine.half()
        elif name in used:
            rows = used[name]
            stored[f"{name}.rows"] = rows.int()
            _store(stored, name, (mine - theirs[name])[rows], WORD_BITS if name == _WORDS else MATRIX_BITS)
        elif mine.dim() == 2 and mine.shape[1] % GROUP == 0 and mine.shape[0] > 2:
            _store(stored, name, mine - theirs[name], MATRIX_BITS)
        else:
            stored[name] = (mine - theirs[name]).half()
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, folder / FILE)
    parameters = {"max_length": classifier.max_length, "dropout": classifier.dropout}
    note = {"base": "course", "parameters": parameters, "classes": classifier.classes_.tolist()}
    write_atomically(folder / COURSE_FILE, json.dumps(note, indent=1))
    return folder


def _store(stored: dict[str, Tensor], name: str, difference: Float[Tensor, "out in"], bits: int) -> None:
    scales, codes = quantized(difference.reshape(-1, GROUP), bits)
    stored[f"{name}.scales"], stored[f"{name}.codes"] = scales.half(), packed(codes, bits)


def quantized(
    groups: Float[Tensor, "groups size"], bits: int
) -> tuple[Float[Tensor, "groups"], UInt8[Tensor, "groups size"]]:
    """Scales and codes whose levels are nearest to the weights, the best of some scales for each group.

    Args:
        groups: each row gets one scale.
        bits: 1 or 2; the levels are -1 and 1, or -1.5, -0.5, 0.5 and 1.5 times the scale.
    """
    levels = torch.tensor(_LEVELS[bits])
    if bits == 1:  # the mean size is the best scale for signs
        return groups.abs().mean(1), (groups >= 0).to(torch.uint8)
    spread = groups.square().mean(1).sqrt()
    best = torch.full_like(spread, float("inf"))
    scales, codes = torch.zeros_like(spread), torch.zeros_like(groups, dtype=torch.uint8)
    for factor in np.linspace(0.5, 1.5, 21):
        scale = (spread * factor).clamp_min(1e-12)
        code = (groups / scale[:, None] - levels[0]).round().clamp(0, len(levels) - 1)
        error = (levels[code.long()] * scale[:, None] - groups).square().sum(1)
        better = error < best
        best = torch.where(better, error, best)
        scales = torch.where(better, scale, scales)
        codes = torch.where(better[:, None], code.to(torch.uint8), codes)
    return scales, codes


def packed(codes: UInt8[Tensor, "groups size"], bits: int) -> UInt8[Tensor, "bytes"]:
    """Codes in as few bytes as they need, the first one in the lowest bits."""
    apart = codes.reshape(-1, 8 // bits).int()
    whole: Tensor = (apart << torch.arange(0, 8, bits)).sum(1)
    return whole.to(torch.uint8)


def unpacked(stored: UInt8[Tensor, "bytes"], bits: int) -> UInt8[Tensor, "codes"]:
    """What `packed` was given, in one row."""
    apart: Tensor = (stored.int()[:, None] >> torch.arange(0, 8, bits)) & (2**bits - 1)
    return apart.to(torch.uint8).flatten()


def load_shipped(name: str) -> Pretrained:
    """The shipped model of that name.

    Raises:
        CorruptAsset: the files are damaged.
    """
    folder, encoder = shipped_model_folder(name), assets.path("course_encoder")
    bert = load_bert(encoder)
    try:
        note = json.loads((folder / COURSE_FILE).read_text(encoding="utf-8"))
        parameters, classes = {**note["parameters"], "class_names": SENTIMENT_CLASSES}, np.asarray(note["classes"])
        check_parameters(parameters)
        with torch.random.fork_rng(devices=[]):  # the head that it draws is overwritten at once
            module = BERTForSentimentAnalysis(len(classes), bert, parameters["dropout"])
        _apply(module, load_file(folder / FILE))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CorruptAsset(f"{folder} cannot be loaded ({reason})", f"restore it: git checkout -- {FILE}") from error
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = parameters["dropout"]
    return Pretrained({**parameters, "encoder": "course"}, classes, module.eval(), load_tokenizer(encoder))


@torch.no_grad()
def _apply(module: BERTForSentimentAnalysis, stored: dict[str, Tensor]) -> None:
    """Adds the stored difference to the encoder's weights."""
    for name, weight in module.state_dict().items():  # the tensors are the module's own
        if name in stored:
            fixed = name.startswith(("bert.pooler", "classifier"))
            weight.copy_(stored[name] if fixed else weight + stored[name])
        else:
            rows = stored.get(f"{name}.rows")
            bits = WORD_BITS if name == _WORDS else MATRIX_BITS
            difference = _restored(stored[f"{name}.codes"], stored[f"{name}.scales"], bits)
            if rows is None:
                weight += difference.reshape(weight.shape)
            else:
                weight.index_add_(0, rows.long(), difference.reshape(len(rows), -1))


def _restored(codes: Tensor, scales: Tensor, bits: int) -> Float[Tensor, "groups size"]:
    steps = torch.tensor(_LEVELS[bits])[unpacked(codes, bits).long()].reshape(-1, GROUP)
    difference: Tensor = steps * scales.float()[:, None]
    return difference
