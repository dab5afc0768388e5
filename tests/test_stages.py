"""`make test` is green only where every stage is, and its closing line counts every test of every stage."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import stages
from stages import Stage


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of these tests lie apart from those of a `make test` that runs them; pytest starts without plugins."""
    monkeypatch.setattr(stages, "REPORTS", tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def tool(name: str, code: int) -> Stage:
    """A stage of one command without a report."""
    return Stage(name, f"the {name} tool", (("-c", f"raise SystemExit({code})"),))


def suite(name: str, folder: Path, source: str, after: str = "") -> Stage:
    """A stage that runs pytest over one file, and a command after it."""
    file = folder / f"test_{name}.py"
    file.write_text(source)
    run = ("-m", "pytest", "-q", "-p", "no:cacheprovider", str(file), "--junitxml={report}")
    return Stage(name, f"the {name} tests", (run, ("-c", after)))


def closing_line(capfd: pytest.CaptureFixture[str]) -> str:
    """pytest's last line, without the time."""
    return re.sub(r" in [\d.]+s.*", "", capfd.readouterr().out.strip().splitlines()[-1])


GREEN = "import pytest\ndef test_a(): assert 1\ndef test_b(): assert 1\ndef test_c(): pytest.skip('no card')\n"


def test_green_stages_are_summed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = [tool("lint", 0), suite("unit", tmp_path, GREEN)]
    assert [stages.run(stage) for stage in made] == [True, True]
    assert stages.close(made) == 0
    assert closing_line(capfd) == "3 passed, 1 skipped"


@pytest.mark.parametrize(
    ("source", "after", "line"),
    [
        pytest.param(GREEN + "def test_d(): assert 0\n", "", "1 failed, 3 passed, 1 skipped", id="a test fails"),
        pytest.param("import nowhere\n", "", "1 failed, 1 passed", id="a file cannot be imported"),
        pytest.param("", "", "1 failed, 1 passed", id="no test is found"),
        pytest.param(GREEN, "raise SystemExit(3)", "1 failed, 3 passed, 1 skipped", id="only the exit status is bad"),
    ],
)
def test_trouble_reaches_the_closing_line(
    source: str, after: str, line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = [suite("unit", tmp_path, source, after), tool("browser", 0)]
    assert [stages.run(stage) for stage in made] == [False, True]
    assert stages.close(made) == 1
    assert closing_line(capfd) == line


def test_a_failing_tool_is_a_failed_test(capfd: pytest.CaptureFixture[str]) -> None:
    made = [tool("types", 2)]
    assert stages.run(made[0]) is False
    assert stages.close(made) == 1
    assert closing_line(capfd) == "1 failed"


def test_an_old_report_is_not_taken_for_a_new_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stage = suite("unit", tmp_path, GREEN)
    assert stages.run(stage)
    crash = Stage("unit", stage.title, (("-c", "raise SystemExit(9)  # {report}"),))
    assert not stages.run(crash)
    assert stages.close([crash]) == 1
    assert closing_line(capfd) == "1 failed"


def test_the_order_warms_the_cache_for_the_browser() -> None:
    names = [stage.name for stage in stages.STAGES]
    assert names == ["lint", "types", "layers", "unit", "notebooks", "browser"]
