"""Progress of a learner and of a class: what is recorded, what survives damage, what the tables say."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from course_lib.commands import main
from course_lib.errors import BadInput, CourseError
from course_lib.exercises import check, progress, reference
from course_lib.exercises.catalogue import EXERCISES, NOTEBOOKS, of_notebook, stages_of
from course_lib.exercises.summary import progress_in, where_to_continue
from course_lib.widgets import show_progress

PERCENTAGE = "This is a percentage. Return a fraction between 0 and 1: leave out the 100."


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.jsonl"))
    return tmp_path / "progress.jsonl"


def answer(name: str, way: str) -> None:
    """What the check cell does with the solution, with the stub, or with the known mistake `way`."""
    known = {"right": reference, "stub": None}.get(way, EXERCISES[name].wrong_answers.get(way))
    given = getattr(reference, name) if known is reference else known
    function = getattr(check, name).or_reference(given)
    getattr(check, name)(function)


def event(**fields: Any) -> dict[str, Any]:
    return {"time": "2026-11-30T12:00:00+00:00", "notebook": "00", "result": "passed", "exercise": "softmax"} | fields


def write(file: Path, *lines: object) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["progress", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


# Recording


def test_a_check_cell_adds_one_line_without_the_code(file):
    answer("accuracy", PERCENTAGE)
    (line,) = map(json.loads, file.read_text().splitlines())
    assert progress.read().events[0].when.utcoffset() is not None and line.pop("time")
    assert line == {"notebook": "00", "exercise": "accuracy", "result": "wrong", "mistake": PERCENTAGE}


def test_an_error_of_the_answer_is_recorded_without_its_words(file):
    def softmax(logits):
        raise ValueError("/home/me/secret")

    check.softmax(softmax)
    assert "raised ValueError" in file.read_text() and "secret" not in file.read_text()


def test_a_check_opens_the_file_once_and_writes_one_line(file, monkeypatch):
    """However long the file is: nothing of it is read but its last byte."""
    write(file, *[event()] * 1000)
    calls: list[str] = []
    for name in ("open", "write", "read", "fsync"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _n=name, _r=real: calls.append(_n) or _r(*a))
    monkeypatch.setattr(Path, "read_bytes", lambda path: calls.append("whole file"))
    progress.record_check("softmax", "passed", "")
    assert calls == ["open", "read", "write"]


def test_off_which_the_tests_run_with_records_nothing(capsys):
    assert os.environ["COURSE_PROGRESS"] == "off" and progress.file_of_progress() is None
    answer("softmax", "right")
    assert told(capsys)["continue"] == {"notebook": "00", "exercise": "softmax"}
    with pytest.raises(CourseError, match="nothing is recorded"):
        progress.export()


def add_500(name: str, start: Any) -> None:
    start.wait()
    for number in range(500):
        progress.record_check("accuracy", "wrong", f"{name}{number}{'.' * 200}")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and files opened to append are locked")
def test_two_processes_that_write_at_the_same_time_lose_nothing(file):
    context = multiprocessing.get_context("fork")  # a new interpreter would need seconds for its imports
    start = context.Barrier(2)
    running = [context.Process(target=add_500, args=(name, start)) for name in "ab"]
    for process in running:
        process.start()
    for process in running:
        process.join()
    history = progress.read()
    assert [process.exitcode for process in running] == [0, 0] and history.damaged == 0
    assert len({one.mistake for one in history.events}) == len(history.events) == 1000


POSIX = ["pipe", "/dev/full"] if os.name == "posix" else []


@pytest.mark.parametrize("place", ["folder", "missing/file", "file/below", "zero\0byte", *POSIX])
def test_a_place_that_cannot_be_written_breaks_no_cell(place, tmp_path, monkeypatch, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(progress, "file_of_progress", lambda: tmp_path / place)
    assert check.softmax(reference.softmax).status == "passed"
    assert progress.read().events == () and progress.answered("00") == {}
    with pytest.raises(CourseError, match="cannot be written"):
        progress.reset("00")
    assert main(["progress"]) == 0
    assert "cannot be written, so nothing is recorded" in capsys.readouterr().out


# Damage


@pytest.mark.parametrize(
    "line",
    [[], 7, "x", None, {}, event(extra=1), event(time=5), event(time="2026-11-30"), event(time="9999-01-01T00:00:00Z"),
     event(exercise="no_such"), event(notebook="03"), event(notebook=["00"]), event(result="excellent"),
     event(mistake=3), event(mistake="\x1b[2J"), event(exercise="", question=99, letter="a", result="right"),
     event(exercise="", question=-1, letter="a", result="right"), event(exercise="", question=1, letter="f")],
    ids=str,
)  # fmt: skip
def test_a_line_that_is_no_event_is_passed_over_and_counted(line, file, capsys):
    write(file, event(), line, event(exercise="accuracy"))
    assert [one.exercise for one in progress.read().events] == ["softmax", "accuracy"]
    assert progress.read().damaged == 1
    assert main(["progress"]) == 0
    assert f"1 line of {file} cannot be used" in capsys.readouterr().out


@given(st.binary(max_size=200), st.integers(0, 200), st.recursive(st.none() | st.text() | st.integers(), st.lists))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_an_event_after_any_damage_is_found(file, garbage, cut, wrong):
    whole = json.dumps(event()).encode()
    file.write_bytes(garbage + b"\n" + json.dumps(wrong).encode() + b"\n" + b"[" * 3000 + b"\n" + whole[:cut])
    progress.record_check("accuracy", "passed", "")
    assert progress.read().events[-1].exercise == "accuracy"


# Summary


def test_states_times_and_first_answers(file, capsys):
    write(
        file,
        event(result="not attempted"),
        event(time="2026-11-30T12:01:00+00:00", result="wrong", mistake="one"),
        event(time="2026-11-30T12:06:30+00:00"),
        event(result="not attempted"),
        event(exercise="accuracy", result="not attempted"),
    )
    progress.record_question("00", 2, "a")
    progress.record_question("00", 2, "c")
    progress.record_question("00", 3, "a")
    first = told(capsys)["notebooks"][0]
    assert [(one["state"], one["seconds_to_pass"]) for one in first["exercises"]] == [
        ("passed", 330), ("skipped", None), ("not reached", None)]  # fmt: skip
    assert (first["first_letters"], first["right_at_first"]) == ({"2": "a", "3": "a"}, 1)
    assert progress.answered("00") == {2: "ac", 3: "a"}
    assert main(["progress"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split()[:6] == ["00_start_here", "1", "0", "1", "1", "1/5"] and out[1].endswith("5.5 min")


def test_continue_is_the_first_open_exercise_of_the_newest_notebook_then_of_the_next():
    def passed(notebook: str) -> list[progress.Event]:
        names = [one.name for one in of_notebook(notebook) + stages_of(notebook)]
        return [progress.Event(event()["time"], notebook, "passed", exercise=name) for name in names]

    assert where_to_continue([]) == ("00", "softmax")
    assert where_to_continue(passed("03")[:1]) == ("03", of_notebook("03")[1].name)
    assert where_to_continue(passed("03")) == ("04", of_notebook("04")[0].name)
    assert where_to_continue(passed("04") + passed("03"))[0] == "05"
    assert where_to_continue(passed("17")) == ("00", "softmax")
    assert where_to_continue([one for notebook in NOTEBOOKS for one in passed(notebook)]) is None


def test_reset_forgets_one_notebook(file, capsys):
    write(file, event(), event(notebook="03", exercise=of_notebook("03")[0].name))
    assert told(capsys, "--reset", "00")["notebooks"][0]["exercises"][0]["state"] == "not reached"
    assert {one["notebook"] for one in progress.export()["events"]} == {"03"}
    answer("softmax", "right")
    assert progress_in("00", progress.read().events).count("passed") == 1
    with pytest.raises(BadInput, match="no notebook '18'"):
        progress.reset("18")


def test_the_widget_asks_twice_before_it_forgets(file):
    write(file, event())
    box = show_progress()
    table, link, choice, button, said = box.children
    assert table.value.count('<th scope="row"') == len(NOTEBOOKS) and ">1</td>" in table.value
    assert '<a href="00_start_here.ipynb">' in link.outputs[0]["data"]["text/html"]
    button.click()
    assert button.description == "Yes, forget notebook 00" and progress.read().events
    choice.value = "01"
    assert button.description == "Forget this notebook"
    choice.value = "00"
    button.click()
    button.click()
    assert not progress.read().events and ">1</td>" not in table.value and "forgotten" in said.value


@pytest.mark.parametrize(
    "arguments",
    [["--name", "Ann"], ["--export", "a", "--name", " "], ["--export", "a", "--name", "\x1b[2J"], ["--export", "."],
     ["--export", "x" * 300], ["--class", "nowhere"], ["--reset", ""]],
    ids=str,
)  # fmt: skip
def test_a_misuse_is_refused(arguments, file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["progress", *arguments]) == 1
    assert "To fix it" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_an_export_replaces_an_export_and_nothing_else(file, tmp_path, capsys):
    """Also not the learner's own progress, and no pipe, which renaming would replace."""
    write(file, event())
    os.mkfifo(tmp_path / "pipe")
    for place, what in (
        (file, "exists and is not an export"),
        (tmp_path / "pipe", "is not an ordinary file"),
    ):
        assert main(["progress", "--export", str(place)]) == 1
        assert what in capsys.readouterr().err
    assert progress.read().events and (tmp_path / "pipe").is_fifo()
    for _ in range(2):
        assert main(["progress", "--export", str(tmp_path / "a.json")]) == 0


def test_a_full_disk_is_said(file, monkeypatch, capsys):
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=0))
    assert main(["progress"]) == 0
    assert "cannot be written, so nothing is recorded" in capsys.readouterr().out


@pytest.mark.parametrize("question", [("99", 1, "a"), ("00", 0, "a"), ("00", 99, "a"), ("00", 1, "f"), ("00", 1, "ab")])
def test_an_answer_that_no_quiz_has_is_not_recorded(question, file):
    with pytest.raises(BadInput):
        progress.record_question(*question)
    assert not file.exists()
