"""How much memory a process takes that does nothing but answer texts: with torch, or with ONNX Runtime alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from course_lib.batching import check_texts
from course_lib.compression.onnx_classifier import MODEL_FILE
from course_lib.errors import BadInput, CourseError

_SECONDS = 300  # to load and answer; more means that something hangs
_WITH_TORCH = """
import json, sys
import psutil
from course_lib import TextClassifier
model = TextClassifier.from_pretrained(sys.argv[1])
model.predict_proba(json.load(sys.stdin))
print(psutil.Process().memory_info().rss)
"""
# What a server without this library and without torch would do.
_WITH_ONNX_RUNTIME = """
import json, pathlib, sys
import numpy, onnxruntime, psutil
from tokenizers import Tokenizer
folder = pathlib.Path(sys.argv[1])
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_truncation(json.loads((folder / "classes.json").read_text())["max_length"])
session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
for text in json.load(sys.stdin):
    row = tokenizer.encode(text)
    session.run(None, {"input_ids": numpy.array([row.ids]), "attention_mask": numpy.array([row.attention_mask])})
print(psutil.Process().memory_info().rss)
"""


def footprint(folder: str | os.PathLike[str], texts: Sequence[str]) -> int:
    """Bytes that a new process holds in memory (resident) after it has loaded a model and answered the texts.

    An export is read by ONNX Runtime, text by text, in a process without torch; a saved `TextClassifier` by this
    library. The libraries' own code is part of it: that is what a server pays.

    Args:
        folder: an export, or a saved classifier.
        texts: n > 0 strings.

    Raises:
        BadInput: no text, an item that is not a string, or no folder.
        CourseError: the process failed, or took longer than five minutes.
    """
    place = Path(folder).resolve()
    if not place.is_dir():
        raise BadInput(f"there is no folder {folder}", "give an export or a saved classifier")
    if not check_texts(texts):
        raise BadInput("there is no text", "give one or more")
    script = _WITH_ONNX_RUNTIME if (place / MODEL_FILE).is_file() else _WITH_TORCH
    command = [sys.executable, "-c", script, str(place)]
    try:
        done = subprocess.run(
            command, input=json.dumps(list(texts)), capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise CourseError(
            f"the process that loads {place} failed: {last[:300]}", "look whether it loads here"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CourseError(f"{place} was not answered in {_SECONDS} s", "use fewer texts") from error
    return int(done.stdout.strip().splitlines()[-1])
