"""Runs that are computed once: what makes two runs the same, and what is trusted."""

from __future__ import annotations

import functools
import json
import linecache
import math
import multiprocessing
import os
import shutil
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from course_lib import experiments, finetuning, machine
from course_lib.errors import BadInput, CorruptAsset, CourseError
from course_lib.experiments import Run, folder_of, forecast, identity, is_stored, run, store

COST = machine.Cost(flops=1e12, seconds=30.0, bytes=1e9)
calls: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    calls.clear()
    return tmp_path / "cache" / "runs"


def square(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    calls.append(config)
    (folder / "deep").mkdir()
    (folder / "deep" / "note.txt").write_text("é", encoding="utf-8")
    save_file({"x": torch.full((3,), float(config["x"]))}, folder / "x.safetensors")
    return {"square": config["x"] ** 2, "nothing": None, "pair": (1, 2)}


def cell(text: str, name: str = "study") -> FunctionType:
    """The function that a notebook's cell defines; its source is found as IPython lets it be found."""
    text = textwrap.dedent(text)
    place = f"<cell {hash(text)}>"
    linecache.cache[place] = (len(text), None, text.splitlines(keepends=True), place)
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, place, "exec"), scope)
    function: FunctionType = scope[name]
    return function


# ---- computed once -------------------------------------------------------------------------------------------


def test_second_call_reads_what_the_first_computed(cache: Path) -> None:
    first, second = run(square, {"x": 3}), run(square, {"x": 3})
    assert calls == [{"x": 3}]
    assert (first.stored, second.stored) == (False, True)
    assert first.result == second.result == {"square": 9, "nothing": None, "pair": [1, 2]}
    assert first.folder == second.folder == folder_of(square, {"x": 3})
    assert first.folder.parent == cache and first.folder.name.startswith("square-")
    assert first.seconds == second.seconds >= 0
    assert (second.name, second.config) == ("square", {"x": 3})


def test_files_stay_in_the_folder() -> None:
    run(square, {"x": 3})
    folder = run(square, {"x": 3}).folder
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "deep/note.txt", "run.json", "x.safetensors",
    ]  # fmt: skip
    assert (folder / "deep" / "note.txt").read_text(encoding="utf-8") == "é"
    assert torch.equal(load_file(folder / "x.safetensors")["x"], torch.full((3,), 3.0))


def test_a_stored_run_is_instant() -> None:
    run(square, {"x": 3})
    started = time.perf_counter()
    assert run(square, {"x": 3}).stored
    assert time.perf_counter() - started < 2


def test_deleted_run_is_made_again() -> None:
    shutil.rmtree(run(square, {"x": 3}).folder)
    assert not run(square, {"x": 3}).stored
    assert len(calls) == 2


def test_what_comes_back_is_the_same_the_first_time(tmp_path: Path) -> None:
    """Tuples become lists at once, not only when they are read back."""
    first, second = run(square, {"x": 1, "sizes": (1, 2)}), run(square, {"x": 1, "sizes": (1, 2)})
    assert first.config == second.config == calls[0] == {"x": 1, "sizes": [1, 2]}
    assert list(first.config) == list(second.config) == ["x", "sizes"], "in the order given"


def test_a_function_cannot_change_its_callers_configuration() -> None:
    def greedy(config: dict[str, Any], folder: Path) -> dict[str, Any]:
        config["list"].append(1)
        return {"n": len(config["list"])}

    mine = {"list": [0]}
    assert run(greedy, mine).result == {"n": 2}
    assert mine == {"list": [0]}
    assert run(greedy, mine).stored


def test_says_what_it_computes_and_records_the_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    made = run(square, {"x": 2}, cost=lambda: COST)
    assert made.expected_seconds == 30.0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"computing {made.folder.name}: about 30 s and 1.0 GB on this machine\n"
    assert run(square, {"x": 2}, cost=lambda: pytest.fail("a stored run is not estimated")).expected_seconds == 30.0
    assert run(square, {"x": 4}, show=False).expected_seconds is None
    assert capsys.readouterr().err == ""
    record = json.loads((made.folder / "run.json").read_text(encoding="utf-8"))
    assert record["preset"] == machine.preset().name
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_on_request_a_stored_run_says_so_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(square, {"x": 3}, show=False).folder
    monkeypatch.setenv("COURSE_SHOW_STORED", "1")
    monkeypatch.setattr(store, "_SEEN", set())  # as in a new process
    for _ in range(2):
        run(square, {"x": 3})
    assert capsys.readouterr().err == f"stored {folder.name}\n"


def test_forecast_counts_missing_runs_only() -> None:
    configs = [{"x": n} for n in range(3)]
    asked: list[dict[str, Any]] = []

    def cost(config: dict[str, Any]) -> machine.Cost:
        asked.append(config)
        return COST

    assert forecast(square, configs, cost) == "This cell will take about 90 s and 1.0 GB on this machine."
    run(square, configs[1])
    assert [is_stored(square, config) for config in configs] == [False, True, False]
    asked.clear()
    assert forecast(square, configs, cost) == "This cell will take about 60 s and 1.0 GB on this machine."
    assert asked == [configs[0], configs[2]]
    for config in configs:
        run(square, config)
    asked.clear()
    assert forecast(square, configs, cost) == "This cell reads stored runs: a moment."
    assert asked == []


# ---- what makes it another run -------------------------------------------------------------------------------


def test_other_configuration_is_another_run() -> None:
    folders = [folder_of(square, config) for config in ({"x": 1}, {"x": 2}, {"x": 1, "y": None}, {"x": 1.5}, {})]
    assert len(set(folders)) == 5
    assert folder_of(square, {"a": 1, "b": 2}) == folder_of(square, {"b": 2, "a": 1})


def test_other_preset_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_PRESET", "cpu")
    small = folder_of(square, {})
    monkeypatch.setenv("COURSE_PRESET", "gpu")
    assert folder_of(square, {}) != small


def test_other_version_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = folder_of(square, {})
    assert set(identity.versions()) == {"torch", "transformers", "tokenizers", "numpy", "scikit-learn"}
    monkeypatch.setattr(identity, "versions", lambda: {"torch": "0.1"})
    assert folder_of(square, {}) != before


def test_other_data_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = set()
    monkeypatch.setattr("course_lib.assets.data_folder", lambda: tmp_path)
    for text in ("a", "b", "a"):
        (tmp_path / "manifest.toml").write_text(text)
        folders.add(folder_of(square, {}))
    assert len(folders) == 2


STUDY = """
def study(config, folder):
    return {"answer": 6 * 7}
"""
SAME = {
    "comment": STUDY.replace("folder):", "folder):  # a comment"),
    "docstring": STUDY.replace("):", '):\n    """Says it."""'),
    "layout": STUDY.replace('{"answer": 6 * 7}', '{\n        "answer": (6 * 7),\n    }'),
    "cell-around": "import os\n\nx = 1\n" + STUDY,
}
OTHER = {
    "number": STUDY.replace("6", "5"),
    "key": STUDY.replace("answer", "result"),
    "order": STUDY.replace("6 * 7", "7 * 6"),
    "default": STUDY.replace("folder)", "folder=None)"),
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_words_do_not_make_another_run(text: str) -> None:
    assert folder_of(cell(text), {}) == folder_of(cell(STUDY), {})


@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER)
def test_code_makes_another_run(text: str) -> None:
    assert folder_of(cell(text), {}) != folder_of(cell(STUDY), {})


def test_a_docstring_alone_is_a_body() -> None:
    """Without its docstring a function must still be one, or its code could not be compared."""
    assert folder_of(cell('def study(config, folder):\n    """Nothing."""\n'), {}) == folder_of(
        cell("def study(config, folder):\n    pass\n"), {}
    )


def test_a_notebooks_function_runs_and_is_stored() -> None:
    study = cell(STUDY)
    assert study.__module__ == "__main__"
    assert run(study, {}).result == {"answer": 42}
    assert run(cell(STUDY), {}).stored, "the cell was executed again, in this notebook or in another"
    assert not run(cell(OTHER["number"]), {}).stored


WITH_HELPERS = """
import functools
FACTOR = 2
def base(x):
    return x + 1
@functools.lru_cache
def middle(x):
    return base(x) * FACTOR
class Tool:
    def use(self):
        return 3
def unrelated():
    return 1
def study(config, folder):
    def inner():
        return middle(1)
    return {"answer": [inner(), Tool().use()]}
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("x + 1", "x + 2", False),  # two calls away, through a decorated function
        ("return 3", "return 4", False),
        ("return 1\ndef study", "return 2\ndef study", True),
        ("FACTOR = 2", "FACTOR = 3", True),  # values belong into the configuration, as the docstring of run says
    ],
    ids=["helper-of-helper", "method", "unrelated", "value"],
)
def test_helpers_of_a_notebook_count(old: str, new: str, same: bool) -> None:
    assert WITH_HELPERS.count(old) == 1
    folders = [folder_of(cell(text), {}) for text in (WITH_HELPERS, WITH_HELPERS.replace(old, new))]
    assert (folders[0] == folders[1]) == same


def test_recursion_and_closures_end() -> None:
    def make(helper: Callable[[int], int]) -> Callable[[dict[str, Any], Path], dict[str, Any]]:
        def study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
            return {"answer": helper(3), "me": study.__name__}

        return study

    def down(n: int) -> int:
        return down(n - 1) if n else 0

    def up(n: int) -> int:
        return n

    assert run(make(down), {}).result["answer"] == 0
    assert not run(make(up), {}).stored


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the course's code that a test may edit; fingerprints are taken from it."""
    copy = tmp_path / "course_lib"
    shutil.copytree(identity._LIBRARY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "_LIBRARY", copy)
    identity._course_code.cache_clear()
    yield copy
    identity._course_code.cache_clear()


USES_EVALUATION = """
from course_lib import evaluation
def study(config, folder):
    return {"low": evaluation.bootstrap([1.0, 0.0]).low}
"""
IMPORTS_INSIDE = """
def study(config, folder):
    from course_lib.evaluation import bootstrap
    return {"low": bootstrap([1.0, 0.0]).low}
"""


@pytest.mark.parametrize(
    ("function", "file", "counts"),
    [
        (finetuning.label_curve, "finetuning/studies.py", True),
        (finetuning.label_curve, "finetuning/recipes.py", True),
        (finetuning.finetune, "finetuning/studies.py", False),
        (finetuning.finetune, "training/rates.py", True),
        (finetuning.finetune, "corpora/splits.py", True),
        (finetuning.finetune, "plots/style.py", False),
        (finetuning.finetune, "machine.py", False),
        (finetuning.finetune, "evaluation/intervals.py", False),
        (cell(STUDY), "classifier/model.py", True),
        (cell(STUDY), "evaluation/intervals.py", False),
        (cell(USES_EVALUATION), "evaluation/intervals.py", True),
        (cell(IMPORTS_INSIDE), "evaluation/intervals.py", True),
    ],
    ids=lambda part: getattr(part, "__name__", str(part)).replace("/", "."),
)
def test_code_of_the_course_counts_where_a_run_stands_on_it(
    function: Callable[..., dict[str, Any]], file: str, counts: bool, library: Path
) -> None:
    before = folder_of(function, {})
    source = library / file
    source.write_text(source.read_text(encoding="utf-8") + "\n# a comment\n", encoding="utf-8")
    identity._course_code.cache_clear()
    assert folder_of(function, {}) == before
    source.write_text(source.read_text(encoding="utf-8") + "\nchanged = 1\n", encoding="utf-8")
    identity._course_code.cache_clear()
    assert (folder_of(function, {}) != before) == counts


def test_the_foundation_is_there() -> None:
    assert all(identity._file(name) for name in experiments.FOUNDATION)


# ---- nothing half is trusted ---------------------------------------------------------------------------------


def remains(cache: Path) -> list[str]:
    return sorted(entry.name for entry in cache.iterdir() if not entry.name.endswith(".lock"))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt], ids=["error", "interrupt"])
def test_a_run_that_fails_leaves_nothing(error: type[BaseException], cache: Path) -> None:
    broken = True

    def fails(config: dict[str, Any], folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("x")
        if broken:
            raise error("in the middle")
        return {}

    with pytest.raises(error, match="in the middle"):
        run(fails, {})
    assert remains(cache) == [] and not is_stored(fails, {})
    broken = False
    made = run(fails, {})
    assert not made.stored and remains(cache) == [made.folder.name]


def test_a_half_folder_is_not_trusted(cache: Path) -> None:
    folder = folder_of(square, {"x": 3})
    (folder / "deep").mkdir(parents=True)
    (folder / "old").write_text("of a run without a record")
    made = run(square, {"x": 3})
    assert not made.stored and not (folder / "old").exists()
    assert remains(cache) == [folder.name]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "null",
        lambda text: text.replace('"result"', '"results"'),
        lambda text: text.replace('"seconds": ', '"seconds": "soon", "other": '),
    ],
    ids=["truncated", "empty", "null", "key-lost", "no-number"],
)
def test_a_damaged_record_is_told_with_the_cure(damage: Callable[[str], str]) -> None:
    folder = run(square, {"x": 3}).folder
    record = folder / "run.json"
    record.write_text(damage(record.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(CorruptAsset, match=folder.name) as caught:
        run(square, {"x": 3})
    assert caught.value.fix == "delete that folder; it is made again"
    shutil.rmtree(folder)
    assert run(square, {"x": 3}).result["square"] == 9


def test_bytes_that_are_no_text_are_told() -> None:
    folder = run(square, {"x": 3}).folder
    (folder / "run.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorruptAsset, match=folder.name):
        run(square, {"x": 3})


def test_a_full_disk_is_told_and_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "replace_folder", full)
    with pytest.raises(CourseError, match="No space left on device") as caught:
        run(square, {"x": 3})
    assert "COURSE_CACHE" in caught.value.fix
    assert remains(cache) == []


def test_a_cache_that_is_no_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    with pytest.raises(CourseError, match="cannot be written") as caught:
        run(square, {"x": 3})
    assert "COURSE_CACHE" in caught.value.fix and calls == []


def test_all_files_are_flushed_before_the_folder_gets_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    real = store.replace_folder
    monkeypatch.setattr(store, "flush_file", lambda file: flushed.append(file.name))
    monkeypatch.setattr(store, "replace_folder", lambda *places: (flushed.append("renamed"), real(*places)))
    run(square, {"x": 3})
    assert sorted(flushed[:3]) == ["note.txt", "run.json", "x.safetensors"] and flushed[3:] == ["renamed"]


# ---- several at once -----------------------------------------------------------------------------------------


def slow(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    with open(config["log"], "a", encoding="utf-8") as log:
        log.write(f"{os.getpid()}\n")
    time.sleep(0.3)
    return {"made_by": os.getpid()}


def test_threads_compute_once(tmp_path: Path) -> None:
    config = {"log": str(tmp_path / "log")}
    made: list[Run] = []
    threads = [threading.Thread(target=lambda: made.append(run(slow, config, show=False))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(one.stored for one in made) == [False, True, True, True]
    assert (tmp_path / "log").read_text().count("\n") == 1


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system starts no process by fork")


@forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_compute_once(tmp_path: Path) -> None:
    config = {"log": str(tmp_path / "log")}
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=run, args=(slow, config), kwargs={"show": False}) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0, 0]
    pids = (tmp_path / "log").read_text().split()
    assert len(pids) == 1
    mine = run(slow, config)
    assert mine.stored and mine.result == {"made_by": int(pids[0])}


def dies(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "half").write_text("x")
    if os.getpid() != config["survivor"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"files": sorted(entry.name for entry in folder.iterdir())}


@forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_run_is_made_again_and_cleaned_up(cache: Path) -> None:
    config = {"survivor": os.getpid()}
    child = multiprocessing.get_context("fork").Process(target=run, args=(dies, config), kwargs={"show": False})
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL
    assert not is_stored(dies, config)
    assert [name.startswith(".part-") for name in remains(cache)] == [True]
    made = run(dies, config)
    assert not made.stored and made.result == {"files": ["half"]}
    assert remains(cache) == [made.folder.name]


# ---- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"x": np.float32(1)}, "result is not JSON-able: .*float32"),
        ({"x": {1, 2}}, "result is not JSON-able: .*set"),
        ({"x": torch.zeros(1)}, "result is not JSON-able: .*Tensor"),
        (None, "result is None, not a dictionary"),
        ([1, 2], r"result is \[1, 2\], not a dictionary"),
    ],
    ids=["numpy", "set", "tensor", "none", "list"],
)
def test_a_result_that_is_no_json(result: Any, told: str, cache: Path) -> None:
    def gives(config: dict[str, Any], folder: Path) -> Any:
        return result

    with pytest.raises(BadInput, match=told):
        run(gives, {})
    assert remains(cache) == []


@pytest.mark.parametrize("config", [{"x": Path()}, {"x": np.int64(1)}, {("a", "b"): 1}, None, [1]], ids=repr)
def test_a_configuration_that_is_no_json(config: Any) -> None:
    with pytest.raises(BadInput, match="config is "):
        run(square, config)
    assert calls == []


def test_nan_comes_back() -> None:
    def gives(config: dict[str, Any], folder: Path) -> dict[str, Any]:
        return {"x": math.nan}

    assert math.isnan(run(gives, {}).result["x"]) and math.isnan(run(gives, {}).result["x"])


@pytest.mark.parametrize(
    "function", [functools.partial(square, {}), print, "square", type("Study", (), {"__call__": square})()],
    ids=["partial", "builtin", "string", "object"],
)  # fmt: skip
def test_not_a_plain_function(function: Any) -> None:
    with pytest.raises(BadInput, match="is not a plain function") as caught:
        run(function, {"x": 1})
    assert "def" in caught.value.fix


def test_a_function_without_source() -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("def study(config, folder): return {}", scope)
    with pytest.raises(BadInput, match=r"code of __main__\.study cannot be read"):
        run(scope["study"], {})


def test_a_lambda_has_a_folder_that_every_system_can_name() -> None:
    study = lambda config, folder: {"x": 1}  # noqa: E731
    made = run(study, {})
    assert made.result == {"x": 1} and made.folder.name.startswith("lambda-")
