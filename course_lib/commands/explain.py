"""`python -m course_lib explain`: which words made a saved model predict what it predicts."""

from __future__ import annotations

import argparse
import csv
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.commands.inputs import (
    add_csv_format,
    add_model,
    check_output_file,
    csv_format,
    find_label,
    garbage_collector_paused,
    load_model,
    write_text,
)
from course_lib.errors import BadInput

if TYPE_CHECKING:
    from course_lib.explain import Attribution

_BAR = 20  # characters of the longest bar
_COLUMNS = ("row", "position", "token", "start", "end", "score", "target", "value", "base_value", "error",
            "error_kind", "queries", "method", "text")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, method and texts."""
    add_model(parser)
    parser.add_argument("--method", default="shap", help="how to explain, or list for all names (shap)")
    parser.add_argument("--text", help="the sentence to explain")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a CSV file of texts, instead of --text")
    parser.add_argument("--column", default="text", help="the CSV file's column of texts (text)")
    add_csv_format(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="with --csv: the CSV file to write, one row per word")
    parser.add_argument("--target", help="the label to explain (the most probable one of each text)")
    parser.add_argument("--output", default="probability", help="probability of the target, or its log-odds")
    parser.add_argument("--removal", default="delete", help="how a word is removed: delete or mask (delete)")
    parser.add_argument("--samples", type=int, help="samples of a method that draws some (the method's own number)")
    parser.add_argument("--surrogate", action="store_true", help="with lime and shap: a smaller error from the samples")
    parser.add_argument("--seed", type=int, default=0, help="seed of a method that draws samples (0)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """The attribution of one text, or those of a file."""
    with garbage_collector_paused():
        from course_lib.explain import METHODS

    if options.method == "list":
        names = {name: method.what for name, method in METHODS.items()}
        return {"methods": names}, [f"{name:14} {what}" for name, what in names.items()], 0
    texts = _texts(options)
    found, seconds = _explained(options, texts)
    if options.text is not None:
        result = {"model": str(options.model), **found[0].to_dict(), "seconds": seconds}
        return result, _lines(found[0], seconds), 0
    _write(options.out, found)
    queries = sum(one.queries for one in found)
    result = {"model": str(options.model), "method": options.method, "texts": len(found), "queries": queries,
              "seconds": seconds, "out": str(options.out)}  # fmt: skip
    return result, [f"{len(found)} texts explained in {seconds:.1f} s with {queries} queries: {options.out}"], 0


def _texts(options: argparse.Namespace) -> list[str]:
    """The texts to explain; wrong arguments are refused before the model is loaded."""
    from course_lib.corpora import read_csv
    from course_lib.explain import METHODS

    if options.method not in METHODS:
        raise BadInput(f"--method is {options.method!r}", f"use one of {', '.join(METHODS)}")
    if options.surrogate and "surrogate" not in METHODS[options.method].settings:
        raise BadInput(f"--surrogate with --method {options.method}", "use --method lime or --method shap")
    if (options.text is None) == (options.csv is None):
        raise BadInput("one of --text and --csv is needed", 'give --text "I like the movie", or --csv FILE --out FILE')
    if (options.out is None) != (options.csv is None):
        raise BadInput("--csv and --out belong together", "give --csv FILE --out FILE")
    if options.csv is None:
        return [options.text]
    if options.out.resolve() == options.csv.resolve():
        raise BadInput(f"--out {options.out} is --csv itself", "name a new file")
    check_output_file(options.out, "--out")
    return read_csv(options.csv, [options.column], **csv_format(options)).column(options.column)


def _explained(options: argparse.Namespace, texts: list[str]) -> tuple[list[Attribution], float]:
    """The attributions, and the seconds that they took once the model was loaded."""
    from course_lib.explain import explain
    from course_lib.text.classifiers import check_classifier

    classifier = load_model(options.model)
    check_classifier(classifier, f"--model {options.model}")
    started = time.perf_counter()
    found = explain(
        classifier, texts, options.method, target=find_label(classifier, options.target), output=options.output,
        removal=options.removal, samples=options.samples, seed=options.seed,
        **({"surrogate": True} if options.surrogate else {}),
    )  # fmt: skip
    return found, round(time.perf_counter() - started, 3)


def _write(file: Path, found: list[Attribution]) -> None:
    """One row per word; a text without words has one row without a token."""
    page = io.StringIO()
    # Before Python 3.13 a lone \r would not be quoted otherwise, and the row could not be read.
    writer = csv.writer(page, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row, one in enumerate(found):
        result = one.to_dict()
        end = [result[name] for name in ("target", "value", "base_value", "error", "error_kind", "queries", "method")]
        words: list[tuple[Any, ...]] = [(at, token.text, *token.spans[0], score)
                 for at, (token, score) in enumerate(zip(one.tokens, result["scores"], strict=True))]  # fmt: skip
        writer.writerows([row, *word, *end, one.text] for word in words or [("", "", "", "", "")])
    write_text(file, page.getvalue(), "--out")


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
