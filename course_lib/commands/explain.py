"""`python -m course_lib explain`: which words made a saved model say what it says."""

from __future__ import annotations

import argparse
import csv
import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.explain import Attribution

_BAR = 20  # signs of the longest bar
_LONGEST_CELL = 2**31 - 1  # characters
_COLUMNS = ("row", "position", "token", "start", "end", "score", "target", "value", "base_value", "error",
            "error_kind", "queries", "method", "text")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, method and texts."""
    parser.add_argument(
        "--model", default="sentiment", help="a saved model's folder, or one that ships: sentiment (default), defended"
    )
    parser.add_argument("--method", default="shap", help="how to explain, or list for all names (shap)")
    parser.add_argument("--text", help="the sentence to be explained")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a CSV file with a column text, instead of --text")
    parser.add_argument("--out", type=Path, metavar="FILE", help="with --csv: the CSV file to write, a row a word")
    parser.add_argument("--target", help="the label that is explained (the likeliest of each text)")
    parser.add_argument("--output", default="probability", help="probability of the target, or its log-odds")
    parser.add_argument("--removal", default="delete", help="what becomes of a word taken out: delete or mask (delete)")
    parser.add_argument("--samples", type=int, help="of methods that sample (the method's own number)")
    parser.add_argument("--seed", type=int, default=0, help="of methods that sample (0)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """The attribution of one text, or those of a file."""
    from course_lib.explain import METHODS

    if options.method == "list":
        names = {name: method.what for name, method in METHODS.items()}
        return {"methods": names}, [f"{name:14} {what}" for name, what in names.items()], 0
    texts = _texts(options)
    found, seconds = _explained(options, texts)
    if options.text is not None:
        said = {"model": str(options.model), **found[0].to_dict(), "seconds": seconds}
        return said, _lines(found[0], seconds), 0
    _write(options.out, found)
    queries = sum(one.queries for one in found)
    said = {"model": str(options.model), "method": options.method, "texts": len(found), "queries": queries,
            "seconds": seconds, "out": str(options.out)}  # fmt: skip
    return said, [f"{len(found)} texts explained in {seconds:.1f} s with {queries} queries: {options.out}"], 0


def _texts(options: argparse.Namespace) -> list[str]:
    """What is to be explained; what is wrong with the arguments is found out before the model is loaded."""
    from course_lib.errors import BadInput
    from course_lib.explain import METHODS

    if options.method not in METHODS:
        raise BadInput(f"--method is {options.method!r}", f"use one of {', '.join(METHODS)}")
    if (options.text is None) == (options.csv is None):
        raise BadInput("one of --text and --csv is needed", 'give --text "I like the movie", or --csv FILE --out FILE')
    if (options.out is None) != (options.csv is None):
        raise BadInput("--csv and --out belong together", "give --csv FILE --out FILE")
    if options.csv is None:
        return [options.text]
    if options.out.is_dir() or options.out.resolve() == options.csv.resolve():
        raise BadInput(f"--out {options.out} cannot be written: it is a folder, or --csv itself", "name a new file")
    above = next(one for one in options.out.resolve().parents if one.exists())  # folders below it will be made
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise BadInput(f"--out {options.out} cannot be written: {above} takes no files", "give another place")
    return _column(options.csv)


def _column(file: Path) -> list[str]:
    """The column `text` of a CSV file."""
    from course_lib.errors import BadInput

    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        page = io.StringIO(file.read_bytes().decode("utf-8-sig"), newline="")  # line ends in a cell stay as they are
        rows = list(csv.reader(page, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"--csv {file} cannot be read: {error}", "give a CSV file in UTF-8") from error
    finally:
        csv.field_size_limit(limit)
    header, *lines = [row for row in rows if row] or [[]]
    names = [name.strip() for name in header]
    if "text" not in names:
        raise BadInput(f"--csv {file} has no column text, but {names}", "name the column of the sentences text")
    for number, line in enumerate(lines, 1):
        if len(line) != len(header):
            raise BadInput(
                f"--csv {file}, row {number} below the header: {len(line)} cells, but the header has {len(header)}",
                'put cells that hold a comma between quotation marks "..."',
            )
    return [line[names.index("text")] for line in lines]


def _explained(options: argparse.Namespace, texts: list[str]) -> tuple[list[Attribution], float]:
    """The attributions, and the seconds that they took once the model was loaded."""
    from course_lib.defenses import load
    from course_lib.explain import explain
    from course_lib.text.classifiers import check_classifier

    classifier = load(options.model)
    check_classifier(classifier, f"--model {options.model}")
    started = time.perf_counter()
    found = explain(
        classifier, texts, options.method, target=_target(classifier, options.target), output=options.output,
        removal=options.removal, samples=options.samples, seed=options.seed,
    )  # fmt: skip
    return found, round(time.perf_counter() - started, 3)


def _target(classifier: Any, name: str | None) -> Any:
    """The label that the command line names, as it is or in words (positive)."""
    from course_lib.errors import BadInput

    if name is None:
        return None
    labels = classifier.classes_.tolist()
    names = [str(label) for label in labels]
    for known in (names, list(getattr(classifier, "class_names_", names))):
        if name in known:
            return labels[known.index(name)]
    raise BadInput(f"--target is {name!r}, which the model does not know", f"use one of {', '.join(names)}")


def _write(file: Path, found: list[Attribution]) -> None:
    """A row a word; a text without words has one row without a token. A link is followed, not replaced."""
    from course_lib.checkpoints import write_atomically
    from course_lib.errors import BadInput

    page = io.StringIO()
    # Before Python 3.13 a lone \r would not be quoted otherwise, and the row could not be read.
    writer = csv.writer(page, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row, one in enumerate(found):
        said = one.to_dict()
        end = [said[name] for name in ("target", "value", "base_value", "error", "error_kind", "queries", "method")]
        words: list[tuple[Any, ...]] = [(at, token.text, *token.spans[0], score)
                 for at, (token, score) in enumerate(zip(one.tokens, said["scores"], strict=True))]  # fmt: skip
        writer.writerows([row, *word, *end, one.text] for word in words or [("", "", "", "", "")])
    try:
        write_atomically(file.resolve(), page.getvalue())
    except OSError as error:
        raise BadInput(f"--out {file} cannot be written: {error}", "give another place") from error


def _lines(one: Attribution, seconds: float) -> list[str]:
    largest = max((abs(score) for score in one.scores), default=0.0) or 1.0
    width = max((len(word) for word in one.words), default=0)
    bars = [f"  {word:{width}} {score:+.3f} {('+' if score > 0 else '-') * round(_BAR * abs(score) / largest)}".rstrip()
            for word, score in zip(one.words, one.scores, strict=True)]  # fmt: skip
    return [
        *(bars or ["  There is no word to explain."]),
        f"target      {one.target}: {one.output} {one.value:.3f}, from {one.base_value:.3f}",
        f"error       {one.error:.3g} ({one.error_kind})" if one.error == one.error else "error       not known",
        f"queries     {one.queries} in {seconds:.2f} s",
    ]
