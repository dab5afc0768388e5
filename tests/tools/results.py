"""The results that ship with the course: `make` computes them again and stores them, `check` computes a part of them.

Both print every figure that moved. `check` takes another part at each commit, so that all of them are computed again in
turn; a result that cannot answer any more (a raised version, other data) fails at once.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from notebook_cells import ROOT

from course_lib import assets, corpora
from course_lib.assets.files import write_atomically
from course_lib.checkpoints import as_json
from course_lib.classifier import shipped_model_folder
from course_lib.experiments import RESULTS_FOLDER, Experiment, Run, declared, shipped

# The modules that declare experiments.
MODULES = (
    "finetuning",
    "pretraining.studies",
    "augmentation",
    "attacks.studies",
    "cases.credit",
    "cases.customer_service",
    "cases.heart",
    "cases.image_studies",
    "cases.medicine",
    "cases.recommendation",
    "defenses",
    "compression.studies",
    "explain.studies",
    "generation.abilities",
    "generation.injection_studies",
    "generation.question_answering",
    "generation.studies",
)
CHECK_SECONDS = 240  # of recorded computing time in one `check`


@dataclass(frozen=True)
class Entry:
    """One shipped result."""

    experiment: Experiment
    run: Run

    @property
    def name(self) -> str:
        """The experiment with its configuration."""
        return f"{self.experiment.name} {json.dumps(self.run.config)}"


@dataclass(frozen=True)
class Moved:
    """A figure that is another one when it is computed again."""

    column: str
    shipped: Any
    now: Any
    allowed: float

    @property
    def fails(self) -> bool:
        """Whether it moved by more than the experiment allows."""
        if self.shipped is None or self.now is None or isinstance(self.shipped, str) or isinstance(self.now, str):
            return True
        return not abs(float(self.shipped) - float(self.now)) <= self.allowed

    def __str__(self) -> str:
        sign = "NOT ALLOWED" if self.fails else "allowed"
        return f"{self.column}: {self.shipped} -> {self.now} ({sign}: {self.allowed:g})"


def experiments() -> dict[str, Experiment]:
    """All experiments of the course."""
    for module in MODULES:
        importlib.import_module(f"course_lib.{module}")
    return declared()


def entries() -> list[Entry]:
    """All shipped results, also those that cannot answer any more."""
    known = experiments()
    files = sorted((assets.data_folder() / RESULTS_FOLDER).glob("*.json"))
    return [Entry(known[file.stem], one.run) for file in files for one in shipped.read(file.stem)]


def outdated(entry: Entry) -> bool:
    """Whether the result was computed for another version of the experiment, or from other data."""
    return entry.experiment.shipped(entry.run.config) is None


def moved(experiment: Experiment, before: Run, after: Run) -> list[Moved]:
    """The figures that differ between two runs of one configuration, by the experiment's own table."""
    dropped = ["source", "run_seconds"]
    tables = [experiment.rows([run]).drop(columns=dropped, errors="ignore") for run in (before, after)]
    shapes = [f"{len(table)} rows of {', '.join(sorted(map(str, table)))}" for table in tables]
    if shapes[0] != shapes[1]:
        return [Moved("rows and columns of the table", *shapes, 0.0)]
    found = []
    for column in tables[0]:
        pairs = list(zip(tables[0][column], tables[1][column], strict=True))
        different = [pair for pair in pairs if not _equal(*pair)]
        if different:
            worst = max(different, key=_gap)
            found.append(Moved(str(column), *worst, experiment.tolerance.get(str(column), 0.0)))
    return found


def _equal(left: Any, right: Any) -> bool:
    return bool(left == right) or (pd.api.types.is_scalar(left) and pd.isna(left) and pd.isna(right))


def _gap(pair: tuple[Any, Any]) -> float:
    try:
        gap = abs(float(pair[0]) - float(pair[1]))
    except (TypeError, ValueError):
        return math.inf
    return math.inf if math.isnan(gap) else gap


def chosen(all_entries: Sequence[Entry], commit: str, seconds: float) -> list[Entry]:
    """A part of the results that takes about so many seconds; the commit says where it begins.

    Over a row of commits each result has its turn: an order that belongs to the commit, cut where the time is up. The
    first one is always taken, however long it takes, and others only if they fit.
    """

    def place(entry: Entry) -> str:
        return hashlib.sha256(f"{commit} {entry.name}".encode()).hexdigest()

    taken: list[Entry] = []
    left = seconds
    for entry in sorted(all_entries, key=place):
        if not taken or entry.run.seconds <= left:
            taken.append(entry)
            left -= entry.run.seconds
    return taken


def compute(some: Sequence[Entry], *, store: bool, fresh: bool) -> Iterator[tuple[Entry, list[Moved]]]:
    """Computes results one after the other, tells what moved, and stores them where asked.

    Without `fresh` a run counts that this machine has computed with this very code: an interrupted `make` goes on.
    """
    for number, entry in enumerate(some, 1):
        print(f"[{number}/{len(some)}] {entry.name}: {entry.run.seconds:.0f} s when it was made", flush=True)
        folder = entry.experiment.folder(entry.run.config)
        ours = not fresh and (folder / "run.json").exists()
        run = entry.experiment.run(entry.run.config, fresh=not ours, show=False)
        found = moved(entry.experiment, entry.run, run)
        for figure in found:
            print(f"    {figure}", flush=True)
        if store:
            entry.experiment.ship(run)
        yield entry, found


def check(commit: str, seconds: float, report: Path | None) -> int:
    """Computes a part of the results again; 0 where all of them are as shipped, within the tolerances."""
    everything = entries()
    old = "its version or its data changed: run `make results`"
    failures = {entry.name: old for entry in everything if outdated(entry)}
    some = [entry for entry in chosen(everything, commit, seconds) if entry.name not in failures]
    for entry, found in compute(some, store=False, fresh=True):
        if wrong := [str(figure) for figure in found if figure.fails]:
            failures[entry.name] = "; ".join(wrong)
    if report:
        _write(report, [entry.name for entry in some], failures)
    for name, why in failures.items():
        print(f"FAILED {name}: {why}")
    print(f"{len(some)} of {len(everything)} shipped results computed again, {len(failures)} failed")
    return int(bool(failures) or not everything)


def make(pattern: str, fresh: bool) -> int:
    """Computes the results whose experiment's name holds the pattern, and stores them."""
    some = [entry for entry in entries() if pattern in entry.experiment.name]
    count = sum(bool(found) for _, found in compute(some, store=True, fresh=fresh))
    print(f"{len(some)} results computed and stored; figures moved in {count} of them")
    return int(not some)


def add(name: str, config: str) -> int:
    """Computes one more configuration and ships it."""
    one = experiments()[name]
    run = one.run(json.loads(config), fresh=True)
    one.ship(run)
    print(f"{name} {as_json(run.config)}: shipped after {run.seconds:.0f} s")
    return 0


def models() -> int:
    """Makes the shipped fine-tuned models again from the runs that their cards name, and measures them."""
    from course_lib.classifier import TextClassifier, save_difference
    from course_lib.defenses import NormalizedClassifier, defend, defended
    from course_lib.finetuning import SENTIMENT, finetune

    train, test = (corpora.part("movie_reviews", name) for name in ("train", "test"))
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    whole = TextClassifier.from_pretrained(finetune.run(SENTIMENT, files=True).file("model"))
    save_difference(whole, shipped_model_folder("sentiment"), train["text"].tolist())
    _measure("sentiment", whole, TextClassifier.from_pretrained("sentiment"), texts, labels)
    normalized = NormalizedClassifier.from_pretrained(defend.run({"seed": 0}, files=True).file("defended"))
    read = normalized.normalizer.normalize(train["text"].tolist())
    save_difference(normalized.classifier, shipped_model_folder("defended"), read)
    _measure("defended", normalized, defended(), texts, labels)
    return 0


def _measure(name: str, whole: Any, small: Any, texts: list[str], labels: Any) -> None:
    """Writes the figures of a shipped model beside it."""
    answers = [one.predict(texts) for one in (whole, small)]
    figures = {
        "test_rows": len(texts),
        "test_accuracy": round(float((answers[1] == labels).mean()), 4),
        "test_accuracy_before": round(float((answers[0] == labels).mean()), 4),
        "same_label": round(float((answers[0] == answers[1]).mean()), 4),
    }
    write_atomically(shipped_model_folder(name) / "figures.json", json.dumps(figures, indent=1) + "\n")
    print(name, figures)


def _write(report: Path, computed: Sequence[str], failures: dict[str, str]) -> None:
    """A JUnit report, a test a result."""
    suite = ElementTree.Element("testsuite", name="results")
    for name in dict.fromkeys([*computed, *failures]):
        case = ElementTree.SubElement(suite, "testcase", name=name, classname="results")
        if name in failures:
            ElementTree.SubElement(case, "failure", message=failures[name])
    report.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(report, encoding="utf-8", xml_declaration=True)


def head() -> str:
    """The commit that is checked out; the day where there is no git."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or pd.Timestamp.today().strftime("%Y-%m-%d")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    checking = actions.add_parser("check", help="compute a part again and compare")
    checking.add_argument("--report", type=Path)
    checking.add_argument("--seconds", type=float, default=CHECK_SECONDS)
    checking.add_argument("--all", action="store_true", help="compute everything")
    making = actions.add_parser("make", help="compute and store")
    making.add_argument("pattern", nargs="?", default="", help="only experiments whose name holds this")
    making.add_argument("--all", action="store_true", help="also what this machine has computed with this very code")
    adding = actions.add_parser("add", help="compute and ship one more configuration")
    adding.add_argument("name")
    adding.add_argument("config", help="as JSON")
    actions.add_parser("models", help="make the shipped fine-tuned models again")
    options = parser.parse_args(arguments)
    if options.action == "add":
        return add(options.name, options.config)
    if options.action == "models":
        return models()
    if options.action == "make":
        return make(options.pattern, options.all)
    return check(head(), math.inf if options.all else options.seconds, options.report)


if __name__ == "__main__":
    sys.exit(main())
