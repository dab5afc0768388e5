"""Progress of a class: what three learners did, exports that do not count, many learners."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_progress import PERCENTAGE, answer, event, told, write

from course_lib.commands import main
from course_lib.exercises import progress
from course_lib.exercises.catalogue import EXERCISES, NOTEBOOK_OF, of_notebook


def learner(file: Path, monkeypatch: pytest.MonkeyPatch, ways: dict[str, str], letters: str, *options: str) -> None:
    """One learner does exercises and answers the quiz of notebook 00 in order, then exports."""
    monkeypatch.setenv("COURSE_PROGRESS", str(file.with_suffix(".jsonl")))
    for name, way in ways.items():
        answer(name, way)
    for number, letter in enumerate(letters, start=1):
        progress.record_question("00", number, letter)
    assert main(["progress", "--export", str(file), *options]) == 0


def test_the_table_of_a_class_shows_what_three_learners_did(tmp_path, monkeypatch, capsys):
    batches, other = of_notebook("03")[0], of_notebook("03")[1]
    mistake, rare = list(batches.wrong_answers)[:2]
    folder = tmp_path / "class"
    folder.mkdir()
    everything_right = {"softmax": "right", "accuracy": "right", batches.name: mistake}
    learner(folder / "a.json", monkeypatch, everything_right, "ba", "--name", "Ann")
    learner(folder / "b.json", monkeypatch, {"softmax": "stub", "accuracy": PERCENTAGE, batches.name: mistake}, "a")
    learner(folder / "c.json", monkeypatch, {batches.name: rare, other.name: "right"}, "ac", "--name", "Bob")
    write(folder / "c.json", json.loads((folder / "c.json").read_text()) | {"name": "Bob\x1b[2J"})
    assert set(json.loads((folder / "a.json").read_text())) == {
        "format",
        "version",
        "learner",
        "name",
        "time",
        "events",
    }
    capsys.readouterr()
    summary = told(capsys, "--class", str(folder))
    assert [one["name"][:8] for one in summary["learners"]] == ["Ann", "Bob[2J", "learner "]
    rows = {row["exercise"]: row for row in summary["exercises"]}
    assert list(rows) == list(EXERCISES)
    assert rows["softmax"]["states"] == ["passed", "not reached", "skipped"]
    assert rows["accuracy"]["states"] == ["passed", "not reached", "wrong"]
    assert rows[batches.name]["states"] == ["wrong"] * 3 and rows[other.name]["passed"] == 1
    assert rows[batches.name]["commonest_mistake"] == {"message": mistake, "learners": 2}
    assert [(q["answered"], q["wrong"]) for q in summary["questions"][:3]] == [(3, 2), (2, 1), (0, 0)]
    assert main(["progress", "--class", str(folder)]) == 0
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("00  accuracy")]
    assert row.split() == ["00", "accuracy", "\u2713", "\u2717", "1", "1", "0"]
    assert f"03 {batches.name}: 3 learners made a mistake,\n     2 of them this one: {mistake}" in out
    assert "00 question 1: 2 of 3 wrong. For a review, the model" in out and "\x1b" not in out
    assert "2 of them chose a: The model is right about 97 % of all reviews." in out


def test_what_does_not_count_in_a_class_is_said(tmp_path, monkeypatch, capsys):
    own = tmp_path / "own.jsonl"
    write(own, {"learner": "0123456789ab"}, event())
    monkeypatch.setenv("COURSE_PROGRESS", str(own))
    folder = tmp_path / "class"
    (folder / "below").mkdir(parents=True)
    export = progress.export("Ann")
    write(folder / "old.json", export | {"time": "2020-01-01T00:00:00+00:00", "events": []})
    write(folder / "below" / "new.json", export | {"events": [*export["events"], 7]})
    write(folder / "future.json", export | {"version": 2})
    (folder / "photo.png").write_bytes(b"\x89PNG")
    write(folder / "list.json", [1])
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")
    with open(folder / "weights.bin", "wb") as file:
        file.truncate(10**12)  # which nobody could read into memory
    summary = told(capsys, "--class", str(folder))
    assert [(one["name"], one["passed"]) for one in summary["learners"]] == [("Ann", 1)]
    starts = sorted(note.split(":")[0] for note in summary["notes"])
    assert starts == ["below/new.json", "future.json is left out", "list.json is left out", "old.json is left out",
                      "photo.png is left out", "weights.bin is left out"]  # fmt: skip
    assert any("version 2" in note for note in summary["notes"])


def test_a_class_of_25_fits_a_screen(tmp_path, capsys):
    for number in range(25):
        events = [event(exercise=name, notebook=NOTEBOOK_OF[name]) for name in list(EXERCISES)[:number]]
        export = {"format": progress.FORMAT, "version": 1, "learner": f"{number:012x}", "name": "", "events": events}
        (tmp_path / f"{number}.json").write_text(json.dumps(export | {"time": event()["time"]}))
    assert main(["progress", "--class", str(tmp_path)]) == 0
    table = capsys.readouterr().out.partition("Most frequent")[0]
    assert 90 < max(map(len, table.splitlines())) <= 120


def test_two_of_one_name_are_told_apart_and_different_mistakes_are_not_called_frequent(tmp_path, monkeypatch, capsys):
    first, second = list(EXERCISES["softmax"].wrong_answers)[:2]
    folder = tmp_path / "class"
    folder.mkdir()
    for name, mistake in (("a", first), ("b", second)):
        learner(folder / f"{name}.json", monkeypatch, {"softmax": mistake}, "", "--name", "Ann")
    capsys.readouterr()
    assert main(["progress", "--class", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "quiz: no answer (a.json)" in out and "quiz: no answer (b.json)" in out
    assert "00 softmax: 2 learners made a mistake,\n     and no two of them made the same one" in out
    assert first not in out and second not in out
