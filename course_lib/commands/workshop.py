"""`python -m course_lib workshop`: notebooks for a class and for its instructor, slides, and a guide."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from course_lib.commands.inputs import check_replaceable, say
from course_lib.errors import BadInput, CourseError

_WRITTEN = {"student", "instructor", "slides", "guide.md"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Place, and which notebooks."""
    parser.add_argument("--out", type=Path, help="folder of the workshop (data/cache/workshop)")
    parser.add_argument("--notebooks", nargs="+", default=[], metavar="03", help="only these notebooks, by number")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Writes everything into a temporary folder and renames it at the end."""
    from course_lib import assets
    from course_lib.workshop import copies, plan, slides

    files = copies.notebook_files(options.notebooks)
    out = (options.out or assets.cache_folder() / "workshop").resolve()
    check_replaceable(out, _is_ours(out), "a folder with an older workshop and nothing else")
    part = out.with_name(f".partial-{out.name}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        copies.write_copies(part, files)
        say("Writing the slides, about a second for each notebook")
        found: list[plan.Section] = []
        for number, file in files.items():
            notebook = copies.read(file)
            slides.write_slides(notebook, number, part / "slides")
            found += plan.sections(notebook, number)
        (part / "guide.md").write_text(plan.guide(found), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        part.replace(out)
    except CourseError:  # one of them is an OSError too
        raise
    except OSError as error:
        raise BadInput(f"the workshop cannot be written: {error}", "free some disk, or give another --out") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    lines = [f"{out}: {len(files)} notebooks, in student/, instructor/ and slides/", f"Begin with {out / 'guide.md'}"]
    return {"workshop": str(out), "notebooks": list(files)}, lines, 0


def _is_ours(out: Path) -> bool:
    """Whether an older workshop is there, and nothing else: a folder with collected work is never replaced."""
    return out.is_dir() and {file.name for file in out.iterdir()} - {".ipynb_checkpoints"} == _WRITTEN
