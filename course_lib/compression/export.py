"""A fitted classifier as a folder for ONNX Runtime, compared with torch before anybody relies on it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from course_lib.checkpoints import flush_file, replace_folder
from course_lib.classifier import TextClassifier
from course_lib.compression.graph import OPSET, Bits, build
from course_lib.compression.onnx_classifier import MODEL_FILE, NOTE_FILE, TOKENIZER_FILE, OnnxClassifier
from course_lib.compression.structure import bert_of
from course_lib.errors import BadInput, CourseError

EXACT = 1e-4  # logits of a float32 graph and of torch may differ by so much
_SHOWN = 64  # texts that are compared where the caller names none
_OURS = {MODEL_FILE, TOKENIZER_FILE, NOTE_FILE}


@dataclass(frozen=True)
class Export:
    """What was written, and how far it answers as torch does.

    Attributes:
        folder: with `model.onnx`, `tokenizer.json` and `classes.json`.
        model_bytes: of `model.onnx`.
        folder_bytes: of all files.
        opset: of the standard operators.
        texts: how many were compared.
        max_error: largest difference of a logit from torch's on them.
        mean_error: mean difference.
        agreement: share of them that get torch's label.
    """

    folder: Path
    model_bytes: int
    folder_bytes: int
    opset: int
    texts: int
    max_error: float
    mean_error: float
    agreement: float


def export(
    classifier: TextClassifier, folder: str | os.PathLike[str], bits: Bits | None = None, texts: Sequence[str] = ()
) -> Export:
    """Writes the folder that `OnnxClassifier` reads, complete or not at all, and compares its answers with torch's.

    Args:
        classifier: fitted, a BERT with classes.
        folder: new, empty, or an earlier export, which is replaced.
        bits: of the weights; float32 when left out.
        texts: on which the two are compared; sentences made from the vocabulary when left out.

    Raises:
        BadInput: another kind of model, or a folder that holds something else.
        CourseError: the folder cannot be written, or the float32 graph answers differently from torch.
    """
    bert_of(classifier)
    if classifier.head != "classification":
        raise BadInput(f"the classifier has the head {classifier.head!r}", "export one with head='classification'")
    chosen, target = bits or Bits(), place(folder)
    graph = build(classifier.module_, chosen, classifier.max_length)
    part = target.with_name(f".part-{target.name}-{os.getpid()}")
    try:
        part.mkdir(parents=True)
        _write(classifier, graph, chosen, part)
        compared = _compared(classifier, OnnxClassifier(part), texts or _sentences(classifier))
        if chosen == Bits() and compared[0] > EXACT:
            raise CourseError(f"logits differ from torch's by {compared[0]:.1e}", "please report this as a bug")
        sizes = {file.name: file.stat().st_size for file in part.iterdir()}
        replace_folder(part, target)
    except OSError as error:
        raise CourseError(f"{target} could not be written: {error}", "make room, or give another folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Export(target, sizes[MODEL_FILE], sum(sizes.values()), OPSET, len(texts) or _SHOWN, *compared)


def place(folder: str | os.PathLike[str]) -> Path:
    """The folder as an absolute path. Raises BadInput where it holds something that is no export."""
    target = Path(folder).resolve()
    foreign = sorted({entry.name for entry in target.iterdir()} - _OURS) if target.is_dir() else []
    if foreign or (target.exists() and not target.is_dir()):
        held = f": it holds {foreign[0]}" if foreign else ": it is a file"
        raise BadInput(f"{target} exists and is no export{held}", "give a new or empty folder")
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
    }
    (folder / NOTE_FILE).write_text(json.dumps(note, indent=1), encoding="utf-8")
    for file in folder.iterdir():
        flush_file(file)


def _compared(classifier: TextClassifier, made: OnnxClassifier, texts: Sequence[str]) -> tuple[float, float, float]:
    """Largest and mean difference of logits, and the share of equal labels."""
    mine, theirs = classifier.decision_logits(texts), made.decision_logits(texts)
    apart = np.abs(mine - theirs)
    return float(apart.max()), float(apart.mean()), float((mine.argmax(1) == theirs.argmax(1)).mean())


def _sentences(classifier: TextClassifier) -> list[str]:
    """Rows of drawn words, of many lengths."""
    words = [word for word in classifier.tokenizer_.get_vocab() if word.isalpha()]
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(sorted(words), size=1 + number)) for number in range(_SHOWN)]
