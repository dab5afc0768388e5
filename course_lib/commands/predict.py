"""`python -m course_lib predict`: classify sentences with a saved model."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from course_lib.commands.inputs import add_model, garbage_collector_paused, load_model, read_lines
from course_lib.commands.processes import all_processes, exit_on_sigterm
from course_lib.errors import BadInput

_LONGEST = 24 * 3600.0  # seconds that several processes may take


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model and sentences."""
    add_model(parser)
    parser.add_argument("--file", type=Path, help="a text file, one sentence a line")
    parser.add_argument("--encoding", default="utf-8", help="encoding of the file or of standard input (utf-8)")
    parser.add_argument(
        "--processes", type=int, default=1, help="processes of this machine that compute together, by torchrun (1)"
    )
    parser.add_argument("--ray", action="store_true", help="by Ray Data and ONNX Runtime, on this machine or a cluster")
    parser.add_argument("--texts-json", type=Path, help=argparse.SUPPRESS)  # for the processes of --processes
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="sentences; without any, standard input is read")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """One prediction for each sentence.

    With --processes, or started by torchrun on one machine or several, each process computes its part of them.
    """
    if options.processes < 1:
        raise BadInput(f"--processes is {options.processes}", "use 1 or more")
    texts = _texts(options)
    if options.ray:
        rows = _rows_of_ray(options, texts)
    elif options.processes > 1 and not _in_torchrun():
        rows = _rows_of_processes(options, texts)
    else:
        with all_processes() if _in_torchrun() else nullcontext():
            rows = _rows(_load(options.model), texts)
    lines = [f"{row['label']:>12} {row['probability']:.2f}  {row['text']}" if "label" in row
             else f"{row['rating']:+.2f}  {row['text']}" for row in rows]  # fmt: skip
    return {"model": str(options.model), "predictions": rows}, lines, 0


def _in_torchrun() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _rows_of_processes(options: argparse.Namespace, texts: list[str]) -> list[dict[str, Any]]:
    """The same command in several processes; the texts reach them in a file, since they have no standard input."""
    from course_lib.scaling import run_torchrun

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts), encoding="utf-8")
        command = ["-m", "course_lib", "predict", "--json", "--model", str(options.model), "--texts-json", str(file)]
        with exit_on_sigterm():
            (found,) = run_torchrun(command, options.processes, _threads(options.processes), timeout=_LONGEST)
    rows: list[dict[str, Any]] = found["predictions"]
    return rows


def _rows_of_ray(options: argparse.Namespace, texts: list[str]) -> list[dict[str, Any]]:
    from course_lib.scaling.ray_engine import import_ray, ray_predict
    from course_lib.serving import servable_folder

    import_ray()  # before the export
    probabilities, names = ray_predict(servable_folder(options.model), texts, options.processes)
    return [_label(text, names, row) for text, row in zip(texts, probabilities, strict=True)]


def _threads(processes: int) -> int:
    return max(1, (os.cpu_count() or 1) // processes)


def _rows(classifier: Any, texts: list[str]) -> list[dict[str, Any]]:
    return _ratings(classifier, texts) if classifier.head == "regression" else _labels(classifier, texts)


def _computed(predict: Callable[[list[str]], Any], texts: list[str]) -> Any:
    """The outputs for all texts, by all processes of a torchrun where there are several."""
    if not _in_torchrun():
        return predict(texts)
    from course_lib.scaling.batch_inference import predict_in_parts

    return predict_in_parts(predict, texts)


@garbage_collector_paused()
def _load(name: str) -> Any:
    """The classifier; a plain BERT without the seconds that the import of transformers takes."""
    from course_lib import assets
    from course_lib.commands.saved_bert import SavedBert

    folder = assets.data_folder() / "checkpoints" / name if name == "sentiment" else Path(name)
    if name == "sentiment" or SavedBert.is_saved(folder):
        try:
            return SavedBert(folder)
        except Exception:  # damaged files raise errors of any kind: the usual loader says what is wrong
            return load_model(name)
    return load_model(name)


def _ratings(classifier: Any, texts: list[str]) -> list[dict[str, Any]]:
    numbers = _computed(classifier.predict, texts)
    return [{"text": text, "rating": float(x)} for text, x in zip(texts, numbers, strict=True)]


def _labels(classifier: Any, texts: list[str]) -> list[dict[str, Any]]:
    probabilities = _computed(classifier.predict_proba, texts)
    return [_label(text, classifier.class_names_, row) for text, row in zip(texts, probabilities, strict=True)]


def _label(text: str, names: list[str], row: Any) -> dict[str, Any]:
    probabilities = {name: round(float(p), 4) for name, p in zip(names, row, strict=True)}
    best = names[int(row.argmax())]
    return {"text": text, "label": best, "probability": probabilities[best], "probabilities": probabilities}


def _texts(options: argparse.Namespace) -> list[str]:
    if options.texts_json:
        texts: list[str] = json.loads(options.texts_json.read_text(encoding="utf-8"))
        return texts
    if options.texts and options.file:
        raise BadInput("sentences are given both as arguments and by --file", "use one of the two")
    if options.texts:
        return list(options.texts)
    if not options.file and sys.stdin.isatty():
        raise BadInput("there is no sentence", 'give some: python -m course_lib predict "I like the movie"')
    return read_lines(options.file, options.encoding)
