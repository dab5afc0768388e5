"""What ships is what the code gives: recomputed in parts, held against the stored figures, planted errors found."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import results

from course_lib import assets, machine
from course_lib.experiments import Experiment, Run, shipped

CONFIGS = [{"x": 1.0}, {"x": 2.0}, {"x": 3.0}]


def halves(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {"accuracy": config["x"] / 10, "queries": 4, "name": "toy", "seconds": 1.5, "rows": [1, 2]}


def toy(version: int = 1, **tolerance: float) -> Experiment:
    return Experiment("toy", version, halves, tolerance=tolerance)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shipped results of a toy experiment, in a data folder of the test's own."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(assets, "data_folder", lambda: tmp_path)
    monkeypatch.setattr(machine, "step_seconds", lambda: 0.1)
    known = toy(accuracy=0.02, seconds=math.inf)
    monkeypatch.setattr(results, "experiments", lambda: {"toy": known})
    for config in CONFIGS:
        known.ship(known.run(config, show=False))
    return tmp_path / "results" / "toy.json"


def plant(file: Path, name: str, value: Any, row: int = 1) -> None:
    """Changes one figure of a shipped result."""
    entries = json.loads(file.read_text(encoding="utf-8"))
    entries[row]["result"][name] = value
    file.write_text(json.dumps(entries), encoding="utf-8")


def test_true_results_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.xml"
    assert results.check("commit", math.inf, report) == 0
    assert "3 of 3 shipped results computed again, 0 failed" in capsys.readouterr().out
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert len(cases) == 3 and not any(case.findall("failure") for case in cases)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("accuracy", 0.25, "accuracy: 0.25 -> 0.2 (NOT ALLOWED: 0.02)"),
        ("queries", 5, "queries: 5 -> 4 (NOT ALLOWED: 0)"),
        ("name", "other", "name: other -> toy"),
        ("accuracy", math.nan, "accuracy: nan -> 0.2 (NOT ALLOWED"),
        ("more", 1, "rows and columns of the table"),
    ],
)
def test_a_planted_false_result_is_found(
    name: str, value: Any, said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(data, name, value)
    assert results.check("commit", math.inf, tmp_path / "report.xml") == 1
    told = capsys.readouterr().out
    assert said in told and "1 failed" in told
    (failure,) = ElementTree.parse(tmp_path / "report.xml").iter("failure")
    assert said in failure.attrib["message"]


def test_what_an_experiment_allows_is_told_and_passes(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(data, "accuracy", 0.21)
    plant(data, "seconds", 99.0, row=2)
    assert results.check("commit", math.inf, None) == 0
    told = capsys.readouterr().out
    assert "accuracy: 0.21 -> 0.2 (allowed: 0.02)" in told and "seconds: 99.0 -> 1.5 (allowed: inf)" in told


def test_a_raised_version_without_new_results_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "experiments", lambda: {"toy": toy(version=2)})
    assert results.check("commit", math.inf, None) == 1
    assert capsys.readouterr().out.count("its version or its data changed") == 3
    assert results.make("", fresh=False) == 0
    assert results.check("commit", math.inf, None) == 0


def test_make_stores_what_it_computes_and_tells_what_moved(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(data, "queries", 5)
    assert results.make("toy", fresh=True) == 0
    told = capsys.readouterr().out
    assert "queries: 5 -> 4" in told and "3 results computed and stored; figures moved in 1 of them" in told
    assert [entry.run.result["queries"] for entry in shipped.read("toy")] == [4, 4, 4]


def test_make_goes_on_where_it_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh: list[bool] = []
    real = Experiment.run

    def run(self: Experiment, config: dict[str, Any], **how: Any) -> Run:
        fresh.append(how["fresh"])
        return real(self, config, **how)

    monkeypatch.setattr(Experiment, "run", run)
    results.make("", fresh=False)
    assert fresh == [False] * 3, "this code has computed them on this machine"
    results.make("", fresh=True)
    assert fresh[3:] == [True] * 3


def test_every_result_has_its_turn() -> None:
    entries = [
        results.Entry(toy(), Run("toy", {"x": x}, {}, seconds, "course"))
        for x, seconds in enumerate([10.0] * 30 + [90.0])
    ]
    parts = [results.chosen(entries, f"commit {number}", 50) for number in range(80)]
    assert all(sum(entry.run.seconds for entry in part) <= 50 or len(part) == 1 for part in parts)
    assert all(len(part) == 5 or part[0].run.seconds == 90 for part in parts)
    assert {entry.run.config["x"] for part in parts for entry in part} == set(range(31))
    assert results.chosen(entries, "a", 50) == results.chosen(entries, "a", 50) != results.chosen(entries, "b", 50)


def test_no_results_are_no_success(data: Path) -> None:
    data.unlink()
    assert results.check("commit", math.inf, None) == 1
    assert results.make("", fresh=False) == 1
