"""The command line: one JSON object, exit codes, plain errors, and a fine-tuning that can be interrupted."""

import copy
import csv
import errno
import gc
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import webbrowser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_runs import interrupt_command_at, told
from toy_classifiers import LABELS, LEARNING, MIXED, QUICK, RATINGS, TEXTS, fitted, tiny, transformers_logits

from course_lib import assets, commands
from course_lib.classifier import TextClassifier, shipped_model_folder
from course_lib.commands import main
from course_lib.commands.inputs import garbage_collector_paused
from course_lib.commands.saved_bert import SavedBert
from course_lib.compression import Bits, export_onnx
from course_lib.corpora import split_of
from course_lib.errors import MissingAsset
from course_lib.finetuning import RECIPES

ROOT = Path(commands.__file__).parents[2]
WORDS = {"pos": ("good", "great", "fine", "lovely"), "neg": ("bad", "awful", "poor", "dull")}


def named():
    """The toy classifier with names of its classes."""
    return copy.copy(fitted()).set_params(class_names=("negative", "positive"))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A saved toy classifier."""
    return named().save(tmp_path_factory.mktemp("commands") / "model")


@pytest.fixture
def table(tmp_path) -> Path:
    """A small CSV file: 120 sentences, whose label is in one word, with ratings."""
    return write_table(tmp_path / "films.csv")


def write_table(path: Path, kinds: dict[str, tuple[str, ...]] = WORDS, times: int = 15) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "score"])
        for i in range(times):
            for number, (label, words) in enumerate(kinds.items()):
                writer.writerows([f"a {word} film number {i}", label, 1.5 - 3 * number] for word in words)
    return path


TOY = ["--encoder", "tiny", "--epochs", "1", "--json"]
LEARN = ["--encoder", "tiny", "--epochs", "12", "--learning-rate", "3e-3", "--batch-size", "8", "--json"]


# All commands


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["finetune"], ["predict", "--nothing"], ["finetune", "--out", "m", "--seed", "one"],
     ["data", "--list", "--verify"]],
    ids=" ".join,
)  # fmt: skip
def test_a_misused_command_gives_2_and_says_how_to_use_it(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert said.out == "" and "usage: python -m course_lib" in said.err


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert set(commands.COMMANDS) >= {"doctor", "data", "lab", "bundle", "finetune", "predict", "pretrain", "fill",
                                      "attack", "explain", "compress", "export", "generate"}  # fmt: skip
    assert all(name in out for name in commands.COMMANDS)


@pytest.mark.slow
def test_a_real_process_loads_only_what_a_prediction_needs(model):
    """Standard output is the JSON alone, the exit code 0; neither transformers nor scikit-learn is imported."""
    command = [sys.executable, "-X", "importtime", "-m", "course_lib", "predict", "--model", str(model), "--json", "a"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert json.loads(done.stdout)["predictions"][0]["text"] == "a"
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "torch" in imported and not imported & {"transformers", "sklearn", "scipy", "pandas", "peft", "onnx"}


@pytest.mark.parametrize("as_json", [True, False])
def test_an_error_of_the_course_gives_1(capsys, as_json):
    assert main(["predict", "--model", "./nothing", "a", *(["--json"] if as_json else [])]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: there is no folder './nothing'\n  To fix it: ")
    if as_json:
        answer = json.loads(said.out)
        assert answer["error"] == "there is no folder './nothing'" and "folder" in answer["fix"]
    else:
        assert said.out == ""


def test_an_error_that_nobody_foresaw_is_not_swallowed(monkeypatch):
    monkeypatch.setattr(TextClassifier, "from_pretrained", lambda name: 1 / 0)  # not what a saved BERT is read by
    with pytest.raises(ZeroDivisionError):
        main(["predict", "--model", "x", "a"])


def test_a_reader_who_has_seen_enough_is_no_error(model, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["predict", "--model", str(model), "a"]) == 0


def test_a_warning_of_the_course_is_one_plain_line(monkeypatch, capsys):
    from course_lib.commands import data

    def run(_):
        warnings.warn("one", stacklevel=1)
        warnings.warn_explicit("two", UserWarning, data.__file__, 1)
        return {}, [], 0

    monkeypatch.setattr(data, "run", run)
    assert main(["data"]) == 0
    other, ours = capsys.readouterr().err.splitlines()[::2]
    assert "test_commands.py" in other and ours == "warning: two"


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (["data"], "continues from here"),
        (["attack"], "starts again"),
        (["finetune", "--out", "m"], "continues from here"),
        (["finetune", "--out", "m", "--checkpoint-every", "0"], "starts again"),
        (["pretrain", "--out", "m"], "continues from here"),
        (["pretrain"], "starts again"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_an_interrupted_command_promises_only_what_it_keeps(arguments, fix, monkeypatch, capsys):
    module = importlib.import_module(f"course_lib.commands.{arguments[0]}")
    monkeypatch.setattr(module, "run", lambda options: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main([*arguments, "--json"]) == 130
    answer = told(capsys)
    assert answer["error"] == "interrupted" and answer["fix"] == f"the same command {fix}"


# doctor


def test_doctor(capsys):
    assert main(["doctor", "--json"]) == 0
    facts = told(capsys)
    assert facts["ok"] is True and facts["problems"] == []
    assert {"device", "preset", "precision", "peak_gflops", "cores", "memory_gb", "disk_free_gb", "cache"} <= set(facts)
    assert facts["assets"]["course_encoder"] == "ready" and facts["packages"]["torch"]


def test_doctor_for_a_reader(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "all is well" in out and "preset" in out and "PROBLEM" not in out


def test_doctor_names_what_is_missing_and_the_command_that_mends_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "empty"))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "PROBLEM  course_encoder, " in out and " are missing: run python -m course_lib data\n" in out
    assert out.count("PROBLEM") == 1 and "all is well" not in out


def test_doctor_names_a_missing_package_a_full_disk_and_little_memory(capsys, monkeypatch):
    from course_lib import machine
    from course_lib.commands import doctor

    described = machine.describe()
    monkeypatch.setattr(doctor, "_PACKAGES", (*doctor._PACKAGES, "no-such-package"))
    monkeypatch.setattr(doctor, "_ROOM", 1e18)
    monkeypatch.setattr(machine, "describe", lambda: {**described, "memory_available_gb": 0.5})
    assert main(["doctor", "--json"]) == 1
    facts = told(capsys)
    assert facts["ok"] is False and len(facts["problems"]) == 3
    for problem, part in zip(facts["problems"], ["no-such-package", "of disk", "0.5 GB of memory"], strict=True):
        assert part in problem


@pytest.mark.parametrize("folder", ["", "runs", "assets"])
def test_doctor_tries_to_write_into_the_cache(folder, capsys, monkeypatch, tmp_path):
    """A read-only folder, which root could write to all the same: what opens a file there is refused."""
    from course_lib.commands import inputs

    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    (tmp_path / folder).mkdir(exist_ok=True)

    def temporary_file(dir):
        if dir == tmp_path / folder:
            raise PermissionError(13, "Permission denied")
        return tempfile.TemporaryFile(dir=dir)

    monkeypatch.setattr(inputs, "tempfile", SimpleNamespace(TemporaryFile=temporary_file))
    assert main(["doctor", "--json"]) == 1
    (problem,) = [one for one in told(capsys)["problems"] if "cannot be written" in one]
    assert str(tmp_path / folder) in problem and "set COURSE_CACHE to a folder where you may write" in problem


@pytest.fixture
def idle(monkeypatch) -> None:
    """A machine on which nothing else runs, and on which predictions are not timed."""
    from course_lib.commands import doctor

    monkeypatch.setattr("psutil.cpu_percent", lambda interval: 3.0)
    monkeypatch.setattr(doctor, "_speed", lambda facts, problems: "fast")


@pytest.fixture
def all_data(monkeypatch) -> dict[str, str]:
    """The states of all assets: each is there, whatever this clone has fetched so far."""
    states = dict.fromkeys(assets.read_manifest(), "ready")
    monkeypatch.setattr(assets, "status", lambda: states)
    return states


@pytest.mark.slow
def test_doctor_for_a_class_fits_a_screen_and_measures_the_speed(capsys, monkeypatch, all_data):
    from course_lib.commands import doctor

    monkeypatch.setattr("psutil.cpu_percent", lambda interval: 3.0)
    monkeypatch.setattr(doctor, "_SENTENCES", 2)
    monkeypatch.setattr(doctor, "_REFERENCE_RATE", 1e-9)
    assert main(["doctor", "--class"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "every notebook can run on this machine today"
    assert len(lines) <= 24 and max(map(len, lines)) <= 100 and any("takes about 0 s here" in line for line in lines)
    problems: list[str] = []
    monkeypatch.setattr(doctor, "_REFERENCE_RATE", 1e9)
    doctor._speed({"assets": all_data}, problems)
    assert len(problems) == 1 and "times as long as stated" in problems[0]


def test_doctor_for_a_class_names_the_notebooks_that_lack_data(capsys, idle, all_data):
    all_data |= {"taiwan_credit": "missing", "phishing": "missing", "smollm2": "damaged"}
    assert main(["doctor", "--class", "--json"]) == 1
    assert told(capsys)["problems"] == [
        "notebook 10 needs data that are damaged (93 MB): run python -m course_lib data --refetch smollm2",
        "notebook 14 needs data that are missing (41 MB): run python -m course_lib data taiwan_credit phishing",
    ]


def test_doctor_for_a_class_tries_the_kernel_the_threads_and_the_progress_file(
    capsys, monkeypatch, idle, all_data, tmp_path
):
    from course_lib import machine

    described = machine.describe()
    monkeypatch.setattr(machine, "describe", lambda: {**described, "threads": 1000, "memory_available_gb": 2.2})
    monkeypatch.setattr("psutil.cpu_percent", lambda interval: 80.0)
    monkeypatch.setattr("jupyter_client.manager.start_new_kernel", lambda **options: 1 / 0)
    monkeypatch.setattr("webbrowser.get", lambda: (_ for _ in ()).throw(webbrowser.Error))
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path))
    assert main(["doctor", "--class", "--json"]) == 1
    facts = told(capsys)
    found = ["kernel python3", "progress cannot be written", "unset OMP_NUM_THREADS", "80 % of", "notebook 12 needs"]
    assert len(facts["problems"]) == len(found)
    assert all(part in problem for part, problem in zip(found, facts["problems"], strict=True))
    assert facts["checks"]["browser"].startswith("none found")


# data


@pytest.fixture
def fetched(monkeypatch) -> list[str]:
    """Notes what would be fetched; fetches nothing."""
    names: list[str] = []
    monkeypatch.setattr(assets, "fetch", lambda name, say=None, refetch=False: names.append(name + "!" * refetch))
    monkeypatch.setattr(assets, "fetch_core", lambda say=None: names.append("core"))
    return names


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], ["core"]),
        (["wordnet", "speeches"], ["wordnet", "speeches"]),
        (["--refetch", "wordnet"], ["wordnet!"]),
        (["--list"], []),
        (["--list", "wordnet"], []),
        (["--verify"], []),
        (["--verify", "vader_lexicon"], []),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_data_fetches_what_is_asked_for(fetched, capsys, arguments, wanted):
    assert main(["data", "--json", *arguments]) == 0
    answer = told(capsys)
    assert fetched == wanted
    assert answer["ok"] is True and {asset["name"] for asset in answer["assets"]} >= {"course_encoder", "wordnet"}
    assert all(set(asset) == {"name", "state", "package", "licence", "what"} for asset in answer["assets"])


def test_data_for_a_reader_has_a_line_for_each(capsys):
    assert main(["data", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(assets.status()) and all("ready" in line or "missing" in line for line in lines)


def test_data_that_is_missing_gives_1(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "empty"))
    assert main(["data", "--list", "--json"]) == 1
    assert told(capsys)["ok"] is False


def test_data_of_an_unknown_name_gives_1(capsys):
    assert main(["data", "nonsense", "--json"]) == 1
    assert "nonsense" in told(capsys)["error"]


# predict


def test_predict_arguments(model, capsys):
    assert main(["predict", "--model", str(model), "--json", "a good film", "a bad film", "a good film"]) == 0
    answer = told(capsys)
    assert answer["model"] == str(model)
    rows = answer["predictions"]
    assert [row["text"] for row in rows] == ["a good film", "a bad film", "a good film"]
    assert [row["label"] for row in rows] == ["positive", "negative", "positive"]
    for row, wanted in zip(rows, fitted().predict_proba([row["text"] for row in rows]), strict=True):
        assert list(row["probabilities"]) == ["negative", "positive"]
        assert list(row["probabilities"].values()) == pytest.approx(wanted.tolist(), abs=1e-4)
        assert row["probability"] == max(row["probabilities"].values())


def test_predict_for_a_reader(model, capsys):
    assert main(["predict", "--model", str(model), "a good film", "a bad film"]) == 0
    good, bad = fitted().predict_proba(["a good film", "a bad film"]).max(1)
    lines = [f"    positive {good:.2f}  a good film", f"    negative {bad:.2f}  a bad film"]
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_as_it_was_after_a_model_is_loaded(enabled, monkeypatch):
    switched = []
    monkeypatch.setattr(gc, "isenabled", lambda: enabled)
    monkeypatch.setattr(gc, "disable", lambda: switched.append("off"))
    monkeypatch.setattr(gc, "enable", lambda: switched.append("on"))
    with pytest.raises(MissingAsset), garbage_collector_paused():
        raise MissingAsset("no model", "give one")
    assert switched == ["off", "on"][: 1 + enabled]


def test_a_saved_bert_predicts_what_the_classifier_predicts(model, tmp_path):
    texts = ["a good film", "", " ", "a bad \ud83d film", "Bücher 📚 [MASK]", "good " * 999, "a good film"]
    np.testing.assert_allclose(SavedBert(model).predict_proba(texts), fitted().predict_proba(texts), atol=1e-6)
    assert SavedBert(model).class_names_ == named().class_names_ and SavedBert(model).predict_proba([]).shape == (0, 2)
    shipped = SavedBert(shipped_model_folder("sentiment"))
    wanted = TextClassifier.from_pretrained("sentiment")
    np.testing.assert_allclose(shipped.predict_proba(texts), wanted.predict_proba(texts), atol=1e-5)
    assert shipped.class_names_ == wanted.class_names_
    rated = tiny(LEARNING, head="regression").fit(TEXTS, RATINGS)
    saved = SavedBert(rated.save(tmp_path / "m"))
    np.testing.assert_allclose(saved.predict(texts), rated.predict(texts), atol=1e-5)


@pytest.mark.parametrize("name", ["config.json", "course.json", "model.safetensors", "tokenizer.json"])
def test_predict_names_a_damaged_file(model, name, tmp_path, capsys):
    folder = Path(shutil.copytree(model, tmp_path / "m"))
    (folder / name).write_bytes((folder / name).read_bytes()[:30])
    assert main(["predict", "--model", str(folder), "--json", "a"]) == 1
    assert str(folder) in told(capsys)["error"]


def test_an_export_is_a_model_of_every_command(tmp_path, capsys):
    folder = str(export_onnx(named(), tmp_path / "onnx", Bits(32, 32)).folder)
    assert main(["predict", "--model", folder, "--json", "a good film"]) == 0
    (row,) = told(capsys)["predictions"]
    assert row["label"] == "positive"
    assert row["probability"] == pytest.approx(fitted().predict_proba(["a good film"]).max(), abs=1e-4)
    assert main(["explain", "--model", folder, "--method", "occlusion", "--text", "a good film", "--json"]) == 0
    assert told(capsys)["tokens"] == ["a", "good", "film"]
    file = write_table(tmp_path / "films.csv", {"positive": WORDS["pos"], "negative": WORDS["neg"]})
    assert main(["attack", "--model", folder, "--data", str(file), "--n", "3", "--json"]) == 0
    assert told(capsys)["n"] == 3


LINES = "a good film\nBücher 📚\r\n\rform\x0cfeed\u2028and more\n"
PARTED = ["a good film", "Bücher 📚", "", "form\x0cfeed\u2028and more"]
ENCODINGS = [
    ("utf-8", []),
    ("utf-8-sig", []),
    ("utf-16", ["--encoding", "utf-16"]),
    ("gb18030", ["--encoding", "gb18030"]),
]


def give_input(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(("encoding", "arguments"), ENCODINGS)
@pytest.mark.parametrize("source", ["file", "standard input"])
def test_predict_lines(model, capsys, tmp_path, monkeypatch, encoding, arguments, source):
    if source == "file":
        (tmp_path / "lines.txt").write_bytes(LINES.encode(encoding))
        arguments = [*arguments, "--file", str(tmp_path / "lines.txt")]
    else:
        give_input(monkeypatch, LINES.encode(encoding))
    assert main(["predict", "--model", str(model), "--json", *arguments]) == 0
    assert [row["text"] for row in told(capsys)["predictions"]] == PARTED


def test_predict_nothing(model, capsys, monkeypatch):
    give_input(monkeypatch, b"")
    assert main(["predict", "--model", str(model), "--json"]) == 0
    assert told(capsys)["predictions"] == []


def test_predict_a_regression(capsys, tmp_path):
    folder = tiny(LEARNING, head="regression").fit(TEXTS, RATINGS).save(tmp_path / "m")
    assert main(["attack", "--model", str(folder), "--json"]) == 1
    assert "without predict_proba" in told(capsys)["error"]
    assert main(["predict", "--model", str(folder), "--json", "a good film", "a bad film"]) == 0
    answer = told(capsys)
    good, bad = answer["predictions"]
    assert answer["model"] == str(folder) and good["rating"] > 1 > -1 > bad["rating"]
    assert main(["predict", "--model", str(folder), "a good film"]) == 0
    assert capsys.readouterr().out == f"{good['rating']:+.2f}  a good film\n"


def test_what_standard_output_cannot_write_is_escaped(model, monkeypatch):
    """An argument that is not UTF-8 arrives as lone surrogates; a Windows console may not know emoji."""
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    assert main(["predict", "--model", str(model), "a good \udcff film 📚"]) == 0
    assert plain.buffer.getvalue().decode().endswith("a good \\udcff film \\U0001f4da\n")


class Terminal(io.StringIO):
    """Standard input at which somebody sits."""

    def __str__(self) -> str:
        return "terminal"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ([], Terminal(), "there is no sentence"),
        ([], b"caf\xe9\n", "standard input is not in utf-8: byte b'\\xe9' at position 3 (line 1)"),
        ([], b"\xff\xfea\0", "standard input begins with the byte-order mark of utf-16"),
        (["--file", "none.txt"], b"", "--file none.txt cannot be read"),
        (["--file", "latin.txt"], b"", "--file latin.txt is not in utf-8: byte b'\\xe9' at position 5 (line 2)"),
        (["--file", "latin.txt", "--encoding", "x"], b"", "no encoding 'x'"),
        (["--file", "."], b"", "--file . cannot be read"),
        (["--file", "latin.txt", "a"], b"", "both as arguments and by --file"),
    ],
    ids=str,
)
def test_predict_says_what_it_cannot_read(model, capsys, monkeypatch, tmp_path, arguments, stdin, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"a\ncaf\xe9\n")
    if isinstance(stdin, bytes):
        give_input(monkeypatch, stdin)
    else:
        monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["predict", "--model", str(model), "--json", *arguments]) == 1
    answer = told(capsys)
    assert said in answer["error"] and answer["fix"]


# attack


def test_attack_of_a_csv_file(model, table, tmp_path, capsys):
    """Its labels are found in the model by their names; the texts are those of the file's test part."""
    file = write_table(tmp_path / "t.csv", {"positive": WORDS["pos"], "negative": WORDS["neg"]})
    file.write_text(file.read_text().replace("text,label", "review,verdict").replace(",", ";"))
    columns = ["--text", "review", "--label", "verdict", "--separator", ";", "--n", "9"]
    call = ["attack", "--model", str(model), "--data", str(file), *columns, "--json"]
    assert main(call) == 0
    answer = told(capsys)
    assert answer["accuracy"] == 1 and answer["n"] == 9
    assert all(split_of(text["text"]) == "test" for text in answer["texts"])
    assert main(["attack", "--model", str(model), "--data", str(table), "--json"]) == 1
    assert "films has the label 'neg', which the model does not have" in told(capsys)["error"]
    assert main([*call[:-1], "--html", str(tmp_path), "--json"]) == 1
    assert "is a folder" in told(capsys)["error"]
    assert main([*call[:-1], "--html", str(file / "page.html"), "--json"]) == 1
    assert "page.html cannot be written" in told(capsys)["error"]


# finetune


def test_finetune(table, tmp_path, capsys):
    """Learns the words of somebody's own file, says how well, and answers with the labels of that file."""
    out = tmp_path / "deep" / "model"
    assert main(["finetune", "--data", str(table), "--out", str(out), "--seed", "3", *LEARN]) == 0
    answer = told(capsys)
    assert {"test_accuracy", "seconds", "preset", "seed"} <= set(answer)
    assert (answer["seed"], answer["preset"], answer["encoder"], answer["out"]) == (3, "default", "tiny", str(out))
    assert answer["test_accuracy"] == 1 and answer["test_interval"] == [1, 1] and answer["seconds"] > 0
    assert answer["train_rows"] + answer["test_rows"] < 120 and answer["validation_accuracy"] == 1
    assert answer["recall"] == {"neg": 1, "pos": 1} and answer["balanced_accuracy"] == 1 > answer["majority_accuracy"]
    assert answer["expected_seconds"] >= 0 and answer["peak_memory_gb"] > 0.1

    back = TextClassifier.from_pretrained(out)
    assert back.classes_.tolist() == ["neg", "pos"]
    assert back.predict(["a good film", "an awful film"]).tolist() == ["pos", "neg"]
    np.testing.assert_allclose(transformers_logits(out, MIXED), back.decision_logits(MIXED), atol=1e-4)
    assert sorted(entry.name for entry in out.parent.iterdir()) == ["model"]  # no checkpoints are left


def test_finetune_the_same_seed_gives_the_same_model(table, tmp_path, capsys):
    for name, seed in (("one", "1"), ("again", "1"), ("other", "2")):
        assert main(["finetune", "--data", str(table), "--out", str(tmp_path / name), "--seed", seed, *TOY]) == 0
    one, again, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "again", "other"))
    assert one == again != other


def test_finetune_three_classes_with_other_column_names(tmp_path, capsys):
    kinds = {**WORDS, "so-so": ("plain", "usual", "mixed")}
    file = write_table(tmp_path / "t.csv", kinds)
    file.write_text(file.read_text().replace("text,label,score", "review,verdict,score", 1))
    out, columns = tmp_path / "m", ["--text", "review", "--label", "verdict"]
    assert main(["finetune", "--data", str(file), "--out", str(out), *columns, *LEARN]) == 0
    assert told(capsys)["test_accuracy"] > 0.8
    assert main(["predict", "--model", str(out), "--json", "a usual film number 2"]) == 0
    (row,) = told(capsys)["predictions"]
    assert row["label"] == "so-so" and list(row["probabilities"]) == ["neg", "pos", "so-so"]


def test_zero_and_one_of_another_task_are_no_sentiment(tmp_path, capsys):
    file = write_table(tmp_path / "t.csv", {"0": WORDS["neg"], "1": WORDS["pos"]})
    assert main(["finetune", "--data", str(file), "--out", str(tmp_path / "m"), *TOY]) == 0
    capsys.readouterr()
    assert main(["predict", "--model", str(tmp_path / "m"), "a good film", "--json"]) == 0
    (row,) = told(capsys)["predictions"]
    assert row["label"] in ("0", "1") and list(row["probabilities"]) == ["0", "1"]


def test_texts_that_are_cut_are_told(model, capsys):
    long = "good " * 300
    for text in (["predict", long], ["explain", "--method", "gradient", "--text", long]):
        assert main([*text, "--model", str(model)]) in (0, 1)
        assert "warning: 1 of 1 texts are longer than max_length=" in capsys.readouterr().err


def test_finetune_with_ratings(tmp_path, capsys):
    """The second class in the alphabet has to be the one above 0."""
    file = write_table(tmp_path / "films.csv")
    assert main(["finetune", "--data", str(file), "--rating", "score", "--out", str(tmp_path / "m"), *LEARN]) == 0
    assert told(capsys)["test_accuracy"] == 1
    asked_for = 1 / (1 + np.exp(-1.5 * RECIPES["default"].sharpness))
    probability = TextClassifier.from_pretrained(tmp_path / "m").predict_proba(["a good film number 3"])[0, 1]
    assert probability == pytest.approx(asked_for, abs=0.05)


def test_finetune_takes_a_corpus_of_the_course(tmp_path, capsys, monkeypatch):
    """0 and 1 stay what they are; `quick` reads at most 2,000 rows of it."""
    from course_lib import corpora, finetuning

    frame = corpora.load("movie_reviews")
    seen = {}

    def fitted_at_once(recipe, rows, **settings):
        seen.update(settings, recipe=recipe, rows=rows)
        return named()

    monkeypatch.setattr(finetuning, "fit_recipe", fitted_at_once)
    monkeypatch.setattr(corpora, "load", lambda name: frame[frame.index % 10 < 5].copy())
    arguments = ["finetune", "--out", str(tmp_path / "m"), "--preset", "quick", "--json", "--seed", "5"]
    assert main([*arguments, "--epochs", "7", "--batch-size", "9", "--learning-rate", "0.5"]) == 0
    answer = told(capsys)
    assert answer["data"] == "movie_reviews" and answer["train_rows"] == 2000
    assert seen["seed"] == 5 and seen["encoder"] == "course" and seen["every"] == 100
    training = seen["recipe"].training
    assert (training.epochs, training.batch_size, training.learning_rate) == (7, 9, 0.5)
    back = TextClassifier.from_pretrained(tmp_path / "m")
    assert back.classes_.tolist() == [0, 1] and back.class_names_ == ["negative", "positive"]
    assert answer["test_accuracy"] == pytest.approx(
        (fitted().predict((test := seen["rows"][seen["rows"]["split"] == "test"])["text"]) == test["label"]).mean(),
        abs=1e-4,
    )


@pytest.mark.slow
def test_finetune_continues_where_it_was_interrupted(table, tmp_path, capsys, monkeypatch):
    call = ["finetune", "--data", str(table), "--checkpoint-every", "4", *LEARN, "--epochs", "4"]
    assert main([*call, "--out", str(tmp_path / "whole")]) == 0
    capsys.readouterr()
    with monkeypatch.context() as patched:
        interrupt_command_at(20, patched)
        assert main([*call, "--out", str(tmp_path / "parts")]) == 130
    said = capsys.readouterr()
    assert "interrupted; the same command continues" in said.err and json.loads(said.out)["error"] == "interrupted"
    kept = tmp_path / ".parts.checkpoints"
    assert kept.is_dir() and not (tmp_path / "parts").exists()

    steps = []
    monkeypatch.setattr(
        "course_lib.commands.progress_bar.ProgressBar.__call__", lambda bar, row: steps.append(row["step"])
    )
    assert main([*call, "--out", str(tmp_path / "parts")]) == 0
    assert steps[0] > 12 and not kept.exists()
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_finetune_does_not_go_on_with_another_file(table, tmp_path, capsys, monkeypatch):
    call = ["finetune", "--checkpoint-every", "1", "--out", str(tmp_path / "m"), *LEARN]
    with monkeypatch.context() as patched:
        interrupt_command_at(10, patched)
        assert main([*call, "--data", str(table)]) == 130
    capsys.readouterr()
    other = write_table(tmp_path / "other.csv", {"neg": WORDS["pos"], "pos": WORDS["neg"]})
    assert main([*call, "--data", str(other)]) == 1
    answer = told(capsys)
    assert "another run" in answer["error"] and f"delete {tmp_path / '.m.checkpoints'}" in answer["fix"]


def test_finetune_without_checkpoints_writes_none(table, tmp_path, capsys, monkeypatch):
    interrupt_command_at(10, monkeypatch)
    call = ["finetune", "--data", str(table), "--out", str(tmp_path / "m"), "--checkpoint-every", "0", *LEARN]
    assert main(call) == 130
    assert [entry.name for entry in tmp_path.iterdir()] == ["films.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "none.csv"], "'none.csv' is neither a corpus nor a file"),
        (["--data", "movies"], "'movies' is neither a corpus nor a file"),
        (["--data", "films.csv", "--label", "verdict"], "no column 'verdict'"),
        (["--data", "films.csv", "--rating", "shifted"], "no column 'shifted'"),
        (["--data", "films.csv", "--preset", "fast"], "no recipe 'fast'"),
        (["--data", "films.csv", "--epochs", "0"], "epochs is 0"),
        (["--data", "films.csv", "--learning-rate", "-1"], "learning_rate is -1"),
        (["--data", "films.csv", "--batch-size", "0"], "batch_size is 0"),
        (["--data", "films.csv", "--seed", "-1"], "seed is -1"),
        (["--data", "films.csv", "--checkpoint-every", "-1"], "--checkpoint-every is -1"),
        (["--data", "films.csv", "--encoder", "./nothing"], "there is no folder './nothing'"),
        (["--data", "films.csv", "--encoder", "no/such"], "'no/such'"),
        (["--data", "one.csv"], "only class"),
        (["--data", "stars.csv", "--rating", "score"], "--rating score contradicts the labels"),
        (["--data", "three.csv", "--rating", "score"], "--rating score with 3 classes"),
        (["--data", "films.csv", "--out", "films.csv"], "films.csv exists and is not a saved classifier"),
        (["--data", "films.csv", "--out", "project"], "it holds main.py"),
        (["--data", "films.csv", "--max-length", "2"], "max_length is 2"),
        (["--data", "films.csv", "--encoding", "utf-16"], "not in utf-16"),
        (["--data", "films.csv", "--separator", "tab"], "no column 'text', 'label'"),
        (["--data", "films.csv", "--out", "films.csv/m"], "cannot be written"),
        (["--data", "films.csv", "--out", ""], "exists and is not a saved classifier"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_finetune_names_what_it_cannot_use_before_any_work(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "films.csv")
    write_table(tmp_path / "one.csv", {"pos": WORDS["pos"]})
    write_table(tmp_path / "three.csv", {**WORDS, "so-so": ("plain",)})
    stars = write_table(tmp_path / "stars.csv").read_text().replace("-1.5", "0.5")
    (tmp_path / "stars.csv").write_text(stars)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "main.py").write_text("")
    (tmp_path / "project" / "config.json").write_text("{}")
    before = sorted(str(entry) for entry in tmp_path.rglob("*"))
    assert main(["finetune", "--out", "m", *TOY, *arguments]) == 1
    answer = told(capsys)
    assert said in answer["error"] and answer["fix"]
    assert sorted(str(entry) for entry in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_finetune_where_nothing_can_be_written(number, table, tmp_path, capsys, monkeypatch):
    from course_lib import corpora
    from course_lib.commands import inputs

    def refused(dir):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(inputs, "tempfile", SimpleNamespace(TemporaryFile=refused))
    monkeypatch.setattr(corpora, "from_csv", lambda *_: pytest.fail("work was begun"))
    assert main(["finetune", "--data", str(table), "--out", str(tmp_path / "m"), *TOY]) == 1
    assert f"cannot be written: {os.strerror(number)}" in told(capsys)["error"]


def test_finetune_reads_as_many_tokens_as_it_is_told(table, tmp_path):
    assert main(["finetune", "--data", str(table), "--max-length", "6", "--out", str(tmp_path / "m"), *TOY]) == 0
    assert TextClassifier.from_pretrained(tmp_path / "m").max_length == 6


def test_finetune_replaces_a_saved_model(table, model, tmp_path, capsys):
    old = tiny(QUICK).fit(TEXTS, LABELS).save(tmp_path / "m")
    assert main(["finetune", "--data", str(table), "--out", str(old), *TOY]) == 0
    assert TextClassifier.from_pretrained(old).classes_.tolist() == ["neg", "pos"]


def test_finetune_shows_what_it_will_take_on_standard_error(table, tmp_path, capsys):
    arguments = [part for part in TOY if part != "--json"]
    assert main(["finetune", "--data", str(table), "--out", str(tmp_path / "m"), *arguments]) == 0
    said = capsys.readouterr()
    assert "training: about" in said.err and "on this machine" in said.err
    assert "test_accuracy" in said.out and "{" not in said.out
    assert "recall  neg " in said.out and ", pos " in said.out


def test_finetune_names_missing_data(tmp_path, capsys, monkeypatch):
    from course_lib import corpora

    def missing(name):
        raise MissingAsset(f"{name} is not here", "run: python -m course_lib data")

    monkeypatch.setattr(corpora, "load", missing)
    assert main(["finetune", "--out", str(tmp_path / "m"), "--json"]) == 1
    assert told(capsys) == {"error": "movie_reviews is not here", "fix": "run: python -m course_lib data"}
