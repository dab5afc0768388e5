"""`python -m course_lib progress`: how far you are in the exercises, and how far a class is."""

from __future__ import annotations

import argparse
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from course_lib.commands.inputs import check_output_file, write_text
from course_lib.errors import BadInput

if TYPE_CHECKING:
    from course_lib.exercises.summary import NotebookProgress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do with the progress instead of showing it."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--reset", metavar="03", help="forget what was recorded for a notebook")
    what.add_argument(
        "--export", type=Path, metavar="FILE", help="write a file that you can hand in: results, and no code"
    )
    what.add_argument("--class", dest="folder", type=Path, help="show the progress of all exports in a folder")
    parser.add_argument("--name", help="your name, for --export; without it the class sees a random number")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """The progress of a learner, or of a class."""
    name = (options.name or "").strip()
    if options.name is not None and (options.export is None or not name or not name.isprintable()):
        raise BadInput(f"--name is {options.name!r}", "give your name together with --export FILE, or leave it out")
    if options.folder:
        from course_lib.workshop import class_progress

        summary = class_progress.class_summary(*class_progress.read_exports(options.folder))
        return summary, class_progress.as_text(summary), 0
    if options.export:
        return _export(options.export, name)
    return _show(options.reset)


def _export(file: Path, name: str) -> tuple[dict[str, Any], list[str], int]:
    from course_lib.exercises import progress

    check_output_file(file, "--export")
    if os.path.exists(file) and not _is_export(file):
        raise BadInput(f"--export {file} exists and is not an export", "name a new file, such as NAME.json")
    export = progress.export(name)
    write_text(file, json.dumps(export, indent=1) + "\n", "--export")
    line = f"{len(export['events'])} events of {name or 'learner ' + export['learner'][:6]} are in {file}"
    return {"ok": True, "file": str(file), "learner": export["learner"], "events": len(export["events"])}, [line], 0


def _is_export(file: Path) -> bool:
    """Whether an older export is there. Anything else, such as the learner's own progress file, is never replaced."""
    from course_lib.exercises import progress

    with suppress(OSError), open(file, "rb") as opened:
        return progress.FORMAT.encode() in opened.read(100)
    return False


def _show(forget: str | None) -> tuple[dict[str, Any], list[str], int]:
    from course_lib.exercises import catalogue, progress, summary

    if forget is not None:
        progress.reset(forget)
    history, file = progress.read(), progress.file_of_progress()
    notebooks = [summary.progress_in(number, history.events) for number in catalogue.NOTEBOOKS]
    place = summary.where_to_continue(history.events)
    result = {
        "file": str(file) if file else None,
        "notebooks": [asdict(notebook) for notebook in notebooks],
        "continue": {"notebook": place[0], "exercise": place[1]} if place else None,
        "damaged_lines": history.damaged,
    }
    lines = [f"{'notebook':33} passed  wrong  skipped  not reached  quiz  {'first':16}  {'last':16}  to pass"]
    lines += [_row(notebook) for notebook in notebooks]
    lines.append("quiz: right at the first answer; to pass: median time from the first try of an exercise to its pass")
    lines.append(
        f"continue with {place[1]} in {summary.file_of(place[0])}" if place else "you have passed every exercise"
    )
    if history.damaged:
        what = "1 line" if history.damaged == 1 else f"{history.damaged} lines"
        lines.append(f"{what} of {file} cannot be used and will be ignored")
    if file is None:
        lines.append("COURSE_PROGRESS is off: nothing is recorded")
    elif not progress.is_writable():
        lines.append(f"{file} cannot be written, so nothing is recorded: set COURSE_PROGRESS to another file")
    return result, lines, 0


def _row(one: NotebookProgress) -> str:
    from course_lib.exercises.summary import file_of, local_time

    counts = [one.count(state) for state in ("passed", "wrong", "skipped", "not reached")]
    seconds = [exercise.seconds_to_pass for exercise in one.exercises if exercise.seconds_to_pass is not None]
    to_pass = f"{median(seconds) / 60:.1f} min" if seconds else ""
    quiz = f"{one.right_at_first}/{one.questions}" if one.first_letters else ""
    return (
        f"{file_of(one.notebook).removesuffix('.ipynb'):33} {counts[0]:>6}  {counts[1]:>5}  {counts[2]:>7}  "
        f"{counts[3]:>11}  {quiz:>4}  {local_time(one.first):16}  {local_time(one.last):16}  {to_pass:>7}"
    ).rstrip()
