"""A test file that becomes several times slower is found, and a slow machine is not taken for one."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import budgets
import pytest
from budgets import faults

RECORDED = {"test_a.py": 10.0, "test_b.py": 4.0, "test_c.py": 0.1, "test_d.py": 20.0}
pytest_plugins = "pytester"


@pytest.mark.parametrize(
    ("measured", "slow"),
    [
        pytest.param(RECORDED, [], id="as recorded"),
        pytest.param({**RECORDED, "test_a.py": 79.0, "test_c.py": 29.0}, [], id="within the budget"),
        pytest.param({**RECORDED, "test_a.py": 90.0}, ["test_a.py"], id="nine times as long"),
        pytest.param({**RECORDED, "test_c.py": 31.0}, ["test_c.py"], id="a short one"),
        pytest.param({file: 3 * seconds for file, seconds in RECORDED.items()}, [], id="a slow machine"),
        pytest.param(
            {file: (30 if file == "test_a.py" else 3) * seconds for file, seconds in RECORDED.items()},
            ["test_a.py"],
            id="one file on a slow machine",
        ),
        pytest.param({file: seconds / 3 for file, seconds in RECORDED.items()}, [], id="a fast machine"),
        pytest.param({"test_c.py": 0.1}, [], id="only some files are run"),
        pytest.param({**RECORDED, "test_new.py": 0.1}, ["test_new.py"], id="nothing is recorded"),
        pytest.param({}, [], id="no test at all"),
    ],
)
def test_which_files_are_too_slow(measured: dict[str, float], slow: list[str]) -> None:
    assert list(faults(measured, RECORDED)) == slow


@pytest.mark.parametrize(("recorded", "code"), [({"test_x.py": 1.0}, 0), ({}, 1)])
def test_the_run_fails(
    recorded: dict[str, float], code: int, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "FILE", pytester.path / "durations.json")
    monkeypatch.setattr(budgets, "seconds", budgets.Counter())
    budgets.FILE.write_text(json.dumps(recorded))
    pytester.makepyfile(test_x="def test_y(): pass")
    done = pytester.runpytest_inprocess("-p", "budgets", "-p", "no:cacheprovider", "--junitxml=report.xml")
    assert done.ret == code
    sentence = "test_x.py is not in durations.json: record it"
    assert (sentence in done.stdout.str()) == bool(code)
    failures = ElementTree.parse(pytester.path / "report.xml").findall(".//testcase[@name='budget']/failure")
    assert [failure.text for failure in failures] == [sentence] * code
    assert pytester.runpytest_inprocess("-p", "budgets", "-p", "no:cacheprovider", "--record").ret == 0
    assert list(json.loads(budgets.FILE.read_text())) == ["test_x.py"]


def test_the_longest_file_comes_first(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "FILE", pytester.path / "durations.json")
    budgets.FILE.write_text(json.dumps({"test_a.py": 1.0, "test_b.py": 3.0}))
    pytester.makepyfile(test_a="def test_1(): pass\ndef test_2(): pass", test_b="def test_3(): pass")
    shown = pytester.runpytest_inprocess("-p", "budgets", "-p", "no:cacheprovider", "-v").stdout.str()
    assert re.findall(r"::test_(\d) ", shown) == ["3", "1", "2"]
