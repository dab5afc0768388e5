"""What several commands take from the command line: models, texts, tables, and places for what they write."""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.errors import BadInput, CourseError

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = {"tab": "\t", "\\t": "\t"}  # how a shell's user may write what is hard to type


def add_model(parser: argparse.ArgumentParser) -> None:
    """`--model`, as `load_model` reads it."""
    parser.add_argument(
        "--model",
        default="sentiment",
        help="folder of a saved model, or a model of the course: sentiment (default) or defended",
    )


def add_csv_format(parser: argparse.ArgumentParser) -> None:
    """How a CSV file is written, as `csv_format` reads it."""
    parser.add_argument("--encoding", default="utf-8", help="encoding of the CSV file (utf-8)")
    parser.add_argument("--separator", default=",", help="character between two cells of the CSV file, or tab (,)")
    parser.add_argument(
        "--no-quoting", dest="quoting", action="store_false", help="quotation marks are ordinary characters"
    )


def add_data(parser: argparse.ArgumentParser, what: str) -> None:
    """`--data` and the columns of a CSV file, as `load_data` reads them."""
    parser.add_argument("--data", default="movie_reviews", help=what)
    parser.add_argument("--text", default="text", metavar="COLUMN", help="the CSV file's column of texts (text)")
    parser.add_argument("--label", default="label", metavar="COLUMN", help="the CSV file's column of labels (label)")
    add_csv_format(parser)


def csv_format(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `corpora.read_csv` that `add_csv_format` has added."""
    separator = _SEPARATORS.get(options.separator, options.separator)
    return {"encoding": options.encoding, "separator": separator, "quoting": options.quoting}


def load_data(options: argparse.Namespace, rating: str | None = None) -> pd.DataFrame:
    """The corpus of `--data`: one of the course's, or a CSV file.

    Raises:
        BadInput: it is neither; the file cannot be used.
    """
    from course_lib import corpora

    if options.data in corpora.NAMES:
        return corpora.load(options.data)
    if not Path(options.data).is_file():
        raise BadInput(
            f"--data {options.data!r} is neither a corpus nor a file",
            f"use one of {', '.join(corpora.NAMES)}, or the path of a CSV file",
        )
    return corpora.from_csv(options.data, options.text, options.label, rating, **csv_format(options))


def load_test_part(options: argparse.Namespace) -> pd.DataFrame:
    """The first `--n` test rows of `--data`, in hash order. Raises as `load_data`."""
    from course_lib import corpora

    frame = load_data(options)
    frame = frame[frame["split"] == "test"]
    return frame.iloc[frame["text"].map(corpora.hash_fraction).argsort(kind="stable")].head(options.n)


def labels_of(frame: pd.DataFrame, classifier: Any) -> list[Any]:
    """The labels of a corpus as the classifier has them; 0 and 1 of the course's corpora also mean their names.

    Raises:
        BadInput: a label that the classifier does not have.
    """
    from course_lib import corpora

    labels = classifier.classes_.tolist()
    names = list(getattr(classifier, "class_names_", map(str, labels)))
    found = {}
    for code in sorted(set(frame["label"])):
        label = frame.attrs["classes"][code]
        if code in labels and frame.attrs["name"] in corpora.NAMES:
            found[code] = code
        elif label in labels:
            found[code] = label
        elif str(label) in names:
            found[code] = labels[names.index(str(label))]
        else:
            raise BadInput(
                f"--data {frame.attrs['name']} has the label {label!r}, which the model does not have",
                f"give texts whose labels are among {', '.join(map(str, labels))}",
            )
    return [found[code] for code in frame["label"]]


def read_lines(file: Path | None, encoding: str) -> list[str]:
    """The lines of a text file, or of standard input without one. A byte-order mark and line ends are no part of them.

    Raises:
        BadInput: it cannot be read, or is in another encoding.
    """
    from course_lib.corpora import decode

    name = f"--file {file}" if file else "standard input"
    try:
        content = file.read_bytes() if file else sys.stdin.buffer.read()
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error}", "give a text file, one sentence a line") from error
    # str.splitlines would also cut at form feeds and other characters inside a sentence.
    lines = re.split(r"\r\n?|\n", decode(content, encoding, name))
    return lines if lines[-1] else lines[:-1]


@contextmanager
def garbage_collector_paused() -> Iterator[None]:
    """For loading modules and weights: nearly all objects that are made there stay, so that looking for garbage among
    them again and again takes a tenth of the time and finds none."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@garbage_collector_paused()
def load_model(name: str) -> Any:
    """A classifier: one of the course's by its name, a saved one, a defended one, or an ONNX export.

    Raises:
        CourseError: there is no such model, or it is damaged.
    """
    if (Path(name) / "model.onnx").is_file():
        from course_lib.compression import OnnxClassifier

        return OnnxClassifier(name)
    from course_lib.defenses import load

    return load(name)


def find_label(classifier: Any, name: str | None) -> Any:
    """The label that `--target` names, as it is or in words (positive); None where nothing is named.

    Raises:
        BadInput: the model has no such label.
    """
    if name is None:
        return None
    labels = classifier.classes_.tolist()
    names = [str(label) for label in labels]
    for known in (names, list(getattr(classifier, "class_names_", names))):
        if name in known:
            return labels[known.index(name)]
    raise BadInput(f"--target is {name!r}, which is not a label of the model", f"use one of {', '.join(names)}")


def check_output_file(file: Path, option: str) -> None:
    """Raises BadInput before long work where a file cannot be written, or a device or a pipe would be replaced."""
    if os.path.isdir(file):
        raise BadInput(f"{option} {file} is a folder", "name a file in it")
    if os.path.exists(file) and not os.path.isfile(file):
        raise BadInput(f"{option} {file} is not an ordinary file", "name another file")
    check_writable(file, option)


def check_replaceable(out: Path, ours: bool, what: str) -> None:
    """Raises BadInput where a folder may not be written: `--out` is not ours and not empty, or in the course's folder.

    Args:
        ours: whether an earlier run of the same command has written what is there.
        what: what the command writes, such as "a bundle".
    """
    from course_lib import assets
    from course_lib.set_up import ROOT

    if out.is_relative_to(ROOT) and not out.is_relative_to(assets.cache_folder()):
        raise BadInput(f"--out {out} is inside the course's own folder", "give a folder outside it")
    if out.exists() and not ours and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"--out {out} exists and is not {what}", "give a new or an empty folder")
    check_writable(out, "--out")


def check_writable(place: Path, option: str) -> None:
    """Writes a byte beside a file or folder that is to be made, and removes it.

    Raises:
        BadInput: it cannot be written there, or the disk is full.
    """
    try:
        with suppress(FileNotFoundError):
            os.stat(place)  # a name that is too long is found here
        above = next(folder for folder in place.absolute().parents if folder.exists())  # folders below it will be made
        with tempfile.TemporaryFile(dir=above) as probe:
            probe.write(b"x")
    except OSError as error:
        raise BadInput(
            f"{option} {place} cannot be written: {error.strerror or error}",
            "give a place where you may write, with room on the disk",
        ) from error


def write_text(file: Path, content: str, option: str) -> None:
    """Writes a file whole or not at all. A link is followed, not replaced.

    Raises:
        CourseError: it cannot be written.
    """
    from course_lib.assets.files import write_atomically

    try:
        write_atomically(file.resolve(), content)
    except OSError as error:
        raise CourseError(f"{option} {file} cannot be written: {error}", "make room, or give another place") from error


def in_words(value: Any) -> str:
    """A value for the screen; a dictionary as its names and values."""
    return ", ".join(f"{name} {one}" for name, one in value.items()) if isinstance(value, dict) else str(value)


def say(line: str) -> None:
    """Prints on standard error: standard output is for the result alone."""
    print(line, file=sys.stderr, flush=True)


def write_out(text: str) -> bool:
    """Writes on standard output at once, with escapes for characters that its encoding lacks.

    Returns:
        False where the reader, such as `head`, has seen enough: what is written from then on goes nowhere.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return False
    return True
