"""`python -m course_lib explain`: one text, a file of them, and plain errors."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from command_runs import told
from toy_classifiers import RATINGS, TEXTS, fitted, tiny

from course_lib.commands import explain as module
from course_lib.commands import main
from course_lib.explain import METHODS, explain


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted().save(tmp_path_factory.mktemp("explain") / "model")


@pytest.mark.parametrize("method", ["shap", "lime", "ig", "attention", "shap-package"])
def test_one_text(method: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--model", str(model), "--method", method, "--text", "an awful film", "--json"]) == 0
    said = told(capsys)
    wanted = explain(fitted(), ["an awful film"], method)[0]
    assert said["tokens"] == ["an", "awful", "film"] and said["spans"] == [[[0, 2]], [[3, 8]], [[9, 13]]]
    assert np.allclose(said["scores"], wanted.scores, atol=1e-5) and said["target"] == 0
    assert said["base_value"] == pytest.approx(wanted.base_value, abs=1e-5) and said["queries"] == wanted.queries
    assert (said["error"] is None) == (method == "attention") and said["error_kind"] == wanted.error_kind
    assert said["method"].startswith(method) and said["seconds"] >= 0 and said["model"] == str(model)


def test_settings_reach_the_method(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["explain", "--model", str(model), "--text", "a good film", "--json", "--method", "lime", "--samples", "50",
            "--seed", "3", "--output", "log-odds", "--removal", "mask", "--target", "0"]  # fmt: skip
    assert main(call) == 0
    wanted = explain(fitted(), ["a good film"], "lime", target=0, samples=50, seed=3, output="log-odds", removal="mask")
    assert np.allclose(told(capsys)["scores"], wanted[0].scores, atol=1e-5)


def test_a_surrogate_is_for_methods_that_draw(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["explain", "--model", str(model), "--text", "a good film", "--surrogate", "--json"]
    assert main([*call, "--method", "lime"]) == 0
    said, wanted = told(capsys), explain(fitted(), ["a good film"], "lime", surrogate=True)[0]
    assert np.allclose(said["scores"], wanted.scores, atol=1e-5) and said["error_kind"] == "standard error"
    assert main([*call, "--method", "ig"]) == 1
    assert "--surrogate with --method ig" in told(capsys)["error"]


def test_for_a_reader(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--model", str(model), "--method", "exact", "--text", "an awful film"]) == 0
    out = capsys.readouterr().out
    assert "  awful +" in out and "++++" in out and "(standard error)" in out and "queries     8 in" in out
    assert main(["explain", "--model", str(model), "--method", "attention", "--text", "an awful film"]) == 0
    assert "error       not known" in capsys.readouterr().out
    assert main(["explain", "--model", str(model), "--method", "attention", "--text", "..."]) == 0
    assert "There is no word to explain." in capsys.readouterr().out
    assert main(["explain", "--method", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(METHODS)


def test_a_file(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["a good film", "", 'an "awful", film\nindeed', "a good film"]
    with open(tmp_path / "in.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([str(i), text] for i, text in enumerate(texts))])
    out = tmp_path / "new" / "out.csv"
    assert main(["explain", "--model", str(model), "--csv", str(tmp_path / "in.csv"), "--out", str(out), "--json"]) == 0
    said = told(capsys)
    assert said["texts"] == 4 and said["out"] == str(out) and said["queries"] > 4
    with open(out, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert "".join(row["row"] for row in rows) == "00012222333"
    assert [row["token"] for row in rows] == [
        "a",
        "good",
        "film",
        "",
        "an",
        "awful",
        "film",
        "indeed",
        "a",
        "good",
        "film",
    ]
    for number, one in enumerate(explain(fitted(), texts, "shap")):
        mine = [row for row in rows if row["row"] == str(number) and row["token"]]
        assert np.allclose([float(row["score"]) for row in mine], one.scores, atol=1e-5)
        assert [one.text[int(row["start"]) : int(row["end"])] for row in mine] == one.words
        assert all(float(row["base_value"]) == pytest.approx(one.base_value, abs=1e-5) for row in mine)
    assert rows[3]["score"] == "" and rows[3]["text"] == "" and rows[5]["text"] == texts[2]
    assert sorted(file.name for file in out.parent.iterdir()) == ["out.csv"]


def explained(folder: Path, model: Path, content: str, out: str = "out.csv") -> list[dict[str, str]]:
    (folder / "in.csv").write_bytes(content.encode())
    call = ["explain", "--model", str(model), "--method", "occlusion", "--csv", str(folder / "in.csv"), "--json"]
    assert main([*call, "--out", str(folder / out)]) == 0
    with open(folder / out, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_line_ends_within_a_text_stay(model: Path, tmp_path: Path) -> None:
    texts = ["good\r\nfilm", "good\rfilm", "good\nfilm"]
    for end in ("\n", "\r\n", "\r"):
        rows = explained(tmp_path, model, end.join(["text", *(f'"{text}"' for text in texts)]) + end)
        assert list(dict.fromkeys(row["text"] for row in rows)) == texts
        for number, text in enumerate(texts):
            mine = [row for row in rows if row["row"] == str(number)]
            assert [row["text"][int(row["start"]) : int(row["end"])] for row in mine] == ["good", "film"]
            assert text.index("film") == int(mine[1]["start"])


def test_how_a_file_is_written_is_told(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '"a" naïve; film'
    (tmp_path / "in.csv").write_bytes(f"id;words\n1;{text[:-6]}\n".encode("cp1252"))
    call = ["explain", "--model", str(model), "--csv", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv")]
    how = ["--column", "words", "--separator", ";", "--encoding", "cp1252", "--no-quoting", "--method", "occlusion"]
    assert main([*call, *how]) == 0
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        assert {row["text"] for row in csv.DictReader(file)} == {'"a" naïve'}


def test_a_link_is_followed(model: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "out.csv").symlink_to(tmp_path / "there" / "real.csv")
    assert len(explained(tmp_path, model, "text\na good film\n")) == 3
    assert (tmp_path / "out.csv").is_symlink() and (tmp_path / "there" / "real.csv").is_file()


def test_a_place_that_cannot_be_is_told_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_explained", lambda *_: pytest.fail("the work was begun"))
    (tmp_path / "in.csv").write_text("text\na film\n", encoding="utf-8")
    below = tmp_path / "in.csv" / "new" / "out.csv"
    assert main(["explain", "--csv", str(tmp_path / "in.csv"), "--out", str(below), "--json"]) == 1
    assert "out.csv cannot be written" in told(capsys)["error"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--method", "magic", "--text", "a"], "--method is 'magic'"),
        ([], "one of --text and --csv is needed"),
        (["--text", "a", "--csv", "in.csv", "--out", "o"], "one of --text and --csv is needed"),
        (["--csv", "in.csv"], "--csv and --out belong together"),
        (["--text", "a", "--out", "o"], "--csv and --out belong together"),
        (["--csv", "in.csv", "--out", "in.csv"], "--out in.csv is --csv itself"),
        (["--csv", "in.csv", "--out", "."], "--out . is a folder"),
        (["--csv", "in.csv", "--out", "in.csv/below"], "--out in.csv/below cannot be written"),
        (["--csv", "missing.csv", "--out", "o"], "no file missing.csv"),
        (["--csv", "latin.csv", "--out", "o"], "latin.csv is not in utf-8"),
        (["--csv", "empty.csv", "--out", "o"], "empty.csv is empty"),
        (["--csv", "other.csv", "--out", "o"], "no column 'text' in other.csv; there are: 'words'"),
        (["--csv", "torn.csv", "--out", "o"], "torn.csv, line 3: 3 cells, but the header has 2"),
        (["--text", "a", "--target", "maybe"], "--target is 'maybe'"),
        (["--text", "a", "--output", "logits"], "output is 'logits'"),
        (["--text", "a", "--removal", "blur"], "removal is 'blur'"),
        (["--text", "a", "--samples", "1", "--method", "lime"], "samples is 1"),
        (["--text", "a", "--samples", "9", "--method", "ig"], "no setting 'samples'"),
        (["--text", "a", "--seed", "-1"], "seed is -1"),
        (["--text", "one " * 13, "--method", "exact"], "13 words"),
        (["--text", "a", "--model", "./nothing"], "nothing"),
        (["--text", "a", "--model", "rating"], "without predict_proba"),
    ],
    ids=lambda one: " ".join(one)[:40] if isinstance(one, list) else "",
)
def test_what_is_wrong_is_said(
    arguments: list[str], says: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, content in {"in.csv": "text\na film\n", "empty.csv": "", "other.csv": "words\na\n",
                          "torn.csv": "text,id\na,1\nb,2,3\n"}.items():  # fmt: skip
        Path(name).write_text(content, encoding="utf-8")
    Path("latin.csv").write_bytes("text\nnaïve\n".encode("latin-1"))
    if "rating" in arguments:
        tiny(head="regression").fit(TEXTS, RATINGS).save(tmp_path / "rating")
    before = sorted(tmp_path.iterdir())
    named = [] if "--model" in arguments else ["--model", str(model)]
    assert main(["explain", "--json", *named, *arguments]) == 1
    said = told(capsys)
    assert says in said["error"] and said["fix"]
    assert sorted(tmp_path.iterdir()) == before and Path("in.csv").read_text() == "text\na film\n"
