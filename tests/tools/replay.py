"""A pytest plugin that collects JUnit reports: each test of a report passes, skips or fails again as it did.

`make test` runs several tools one after the other; this gives them one closing pytest line.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest


class StageFailed(Exception):
    """A test of an earlier stage failed; the message is what its report says."""


class Report(pytest.File):
    """One JUnit file, named after its stage."""

    def collect(self) -> Iterator[pytest.Item]:
        cases = list(ElementTree.parse(self.path).iter("testcase"))
        if not cases:
            cases = [_missing("no test was run")]
        for case in cases:
            name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
            yield Case.from_parent(self, name=name or "collection", case=case)


class Case(pytest.Item):
    """One test of an earlier stage."""

    def __init__(self, *, case: ElementTree.Element, **others: object) -> None:
        super().__init__(**others)  # type: ignore[arg-type]
        self.case = case

    def runtest(self) -> None:
        for kind in ("failure", "error"):
            if (found := self.case.find(kind)) is not None:
                raise StageFailed((found.get("message") or found.text or "").strip().split("\n")[0])
        if (found := self.case.find("skipped")) is not None:
            pytest.skip(found.get("message") or "skipped")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.path.stem}: {self.name}"


def _missing(message: str) -> ElementTree.Element:
    case = ElementTree.Element("testcase", name="report")
    ElementTree.SubElement(case, "error", message=message)
    return case


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Report | None:
    """Takes every .xml file for a JUnit report."""
    return Report.from_parent(parent, path=file_path) if file_path.suffix == ".xml" else None
