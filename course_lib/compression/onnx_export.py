"""Writes a fitted classifier as a folder for ONNX Runtime, and compares its predictions with torch's."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from course_lib.assets.manifest import sha256_of
from course_lib.checkpoints import atomic_folder
from course_lib.classifier import TextClassifier
from course_lib.compression.linear_layers import bert_encoder
from course_lib.compression.onnx_classifier import OnnxClassifier
from course_lib.compression.onnx_graph import OPSET, Bits, build_graph
from course_lib.errors import BadInput, CourseError
from course_lib.onnx_model import FILES, MODEL_FILE, NOTE_FILE, TOKENIZER_FILE

EXACT = 1e-4  # largest difference allowed between the logits of a float32 graph and of torch
_COMPARED = 64  # sentences that are compared where the caller gives none


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far its predictions are from torch's."""

    folder: Path  # with `model.onnx`, `tokenizer.json` and `classes.json`
    model_bytes: int  # of `model.onnx`
    folder_bytes: int  # of all files
    opset: int  # of the standard operators
    texts: int  # how many were compared
    max_error: float  # largest difference of a logit from torch's
    mean_error: float
    agreement: float  # fraction of the texts that get torch's label


def export_onnx(
    classifier: TextClassifier, folder: str | os.PathLike[str], bits: Bits | None = None, texts: Sequence[str] = ()
) -> ExportReport:
    """Writes the folder that `OnnxClassifier` reads, complete or not at all, and compares its predictions with torch's.

    Args:
        classifier: fitted, a BERT with classes.
        folder: new, empty, or an earlier export, which is replaced.
        bits: of the weights; float32 when left out.
        texts: on which the two are compared; sentences of random words when left out.

    Raises:
        BadInput: another kind of model, or a folder that holds something else.
        CourseError: the folder cannot be written, or the predictions of the float32 graph differ from torch's.
    """
    bert_encoder(classifier)
    if classifier.head != "classification":
        raise BadInput(f"the classifier has the head {classifier.head!r}", "export one with head='classification'")
    bits, target = bits or Bits(), check_export_dir(folder)
    graph = build_graph(classifier.module_, bits, classifier.max_length)
    texts = texts or _random_sentences(classifier)
    with atomic_folder(target) as part:
        _write(classifier, graph, bits, part)
        mine, theirs = OnnxClassifier(part).decision_logits(texts), classifier.decision_logits(texts)
        apart = np.abs(mine - theirs)
        if bits == Bits() and apart.max() > EXACT:
            raise CourseError(f"logits differ from torch's by {apart.max():.1e}", "please report this as a bug")
        sizes = {file.name: file.stat().st_size for file in part.iterdir()}
    agreement = float((mine.argmax(1) == theirs.argmax(1)).mean())
    errors = float(apart.max()), float(apart.mean())
    return ExportReport(target, sizes[MODEL_FILE], sum(sizes.values()), OPSET, len(texts), *errors, agreement)


def check_export_dir(folder: str | os.PathLike[str]) -> Path:
    """The folder as an absolute path.

    Raises:
        BadInput: it holds something that is not an export, or it cannot be written there.
    """
    target = Path(folder).resolve()
    foreign = sorted({entry.name for entry in target.iterdir()} - FILES) if target.is_dir() else []
    if foreign or (target.exists() and not target.is_dir()):
        found = f"it holds {foreign[0]}" if foreign else "it is a file"
        raise BadInput(f"{target} exists and is not an export: {found}", "give a new or empty folder")
    above = next(parent for parent in target.parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        found = "cannot be written to" if above.is_dir() else "is a file"
        raise BadInput(f"{target} cannot be made: {above} {found}", "give another folder")
    return target


def _write(classifier: TextClassifier, graph: onnx.ModelProto, bits: Bits, folder: Path) -> None:
    onnx.save(graph, str(folder / MODEL_FILE))
    classifier.tokenizer_.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
    note = {
        "classes": classifier.classes_.tolist(),
        "names": list(classifier.class_names_),
        "max_length": classifier.max_length,
        "pad_id": int(classifier.tokenizer_.pad_token_id or 0),
        "bits": asdict(bits),
        "sha256": {name: sha256_of(folder / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    }
    (folder / NOTE_FILE).write_text(json.dumps(note, indent=1), encoding="utf-8")


def _random_sentences(classifier: TextClassifier) -> list[str]:
    """Sentences of random words, of many lengths."""
    words = sorted(word for word in classifier.tokenizer_.get_vocab() if word.isalpha())
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(words, size=1 + number)) for number in range(_COMPARED)]
