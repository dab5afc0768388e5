"""`make test` is green only where every stage is, and its closing line counts every test of every stage."""

from __future__ import annotations

import re
import time
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
    assert [result.green for result in stages.run_all(made)] == [True, True]
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
    assert [result.green for result in stages.run_all(made)] == [False, True]
    assert stages.close(made) == 1
    assert closing_line(capfd) == line


def test_a_failing_tool_is_a_failed_test(capfd: pytest.CaptureFixture[str]) -> None:
    made = [tool("types", 2)]
    assert not stages.run(made[0]).green
    assert stages.close(made) == 1
    assert closing_line(capfd) == "1 failed"


def test_an_old_report_is_not_taken_for_a_new_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stage = suite("unit", tmp_path, GREEN)
    assert stages.run(stage).green
    crash = Stage("unit", stage.title, (("-c", "raise SystemExit(9)  # {report}"),))
    assert not stages.run(crash).green
    assert stages.close([crash]) == 1
    assert closing_line(capfd) == "1 failed"


def light(name: str, code: str) -> Stage:
    """A stage that may run beside others."""
    return Stage(name, f"the {name} tool", (("-c", code),), light=True)


def test_light_stages_run_side_by_side_and_print_one_after_the_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each of the two waits for a file that the other one writes."""
    wait = (
        "import pathlib, sys, time\n"
        "mine, other = pathlib.Path({!r}), pathlib.Path({!r})\n"
        "print('first', mine.name, flush=True); mine.touch(); start = time.time()\n"
        "while not other.exists() and time.time() - start < 20: time.sleep(0.01)\n"
        "print('then', mine.name); sys.exit(not other.exists())"
    )
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    made = [light("one", wait.format(a, b)), light("two", wait.format(b, a)), tool("three", 2)]
    results = list(stages.run_all(made))
    assert [result.green for result in results] == [True, True, False]
    shown = [line for line in capfd.readouterr().out.splitlines() if re.match("the|first|then", line)]
    assert [re.sub(r" in \d+ s", "", line) for line in shown] == [
        *("the one tool", "first a", "then a", "the one tool: ok"),
        *("the two tool", "first b", "then b", "the two tool: ok"),
        *("the three tool", "the three tool: FAILED"),
    ]
    assert stages.close(made) == 1
    assert closing_line(capfd) == "1 failed, 2 passed"


def test_a_table_of_seconds_stands_before_the_closing_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stages, "STAGES", (tool("lint", 0), tool("unit", 1), tool("browser", 3)))
    assert stages.main(["lint", "unit", f"--started={time.time() - 90}"]) == 1
    out = capfd.readouterr().out
    table = out[out.index("\nstage ") :]
    assert re.search(r"^set-up +9\d  ok$", table, flags=re.MULTILINE)
    assert re.search(r"^the lint tool +\d  ok$", table, flags=re.MULTILINE)
    assert re.search(r"^the unit tool +\d  FAILED$", table, flags=re.MULTILINE)
    assert re.search(r"^in all +9\d$", table, flags=re.MULTILINE)
    assert "browser" not in table
    assert re.match(r"1 failed, 1 passed in", out.strip().splitlines()[-1])
    with pytest.raises(SystemExit):
        stages.main(["notebook"])
    assert "unknown stage: notebook" in capfd.readouterr().err


def test_what_the_two_commands_run() -> None:
    names = [stage.name for stage in stages.chosen([], check=False)]
    # Results and notebooks come before the browser: they fill the cache for it.
    assert names == ["types", "lint", "layers", "unit", "results", "notebooks", "browser"]
    assert [stage.name for stage in stages.chosen([], check=True)] == ["types", "lint", "layers", "fast"]
    assert [stage.name for stage in stages.chosen(["unit", "lint"], check=False)] == ["lint", "unit"]
