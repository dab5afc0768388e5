"""Runs that are computed once: what makes two runs the same, what ships, and what is trusted."""

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
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from course_lib import assets, evaluation, finetuning, machine
from course_lib.attacks import studies as attack_studies
from course_lib.errors import BadInput, CorruptAsset, CourseError
from course_lib.experiments import Experiment, Run, experiment, identity, shipped, store


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    for name in ("COURSE_COMPUTE", "COURSE_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "step_seconds", lambda: 0.1)  # OpenMP's threads do not survive a fork
    calls().clear()
    return tmp_path / "cache" / "runs"


def calls() -> list[dict[str, Any]]:
    """Configurations that `square` was called with; kept where they are no global value of `square`."""
    return calls.__dict__.setdefault("met", [])


def square(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    calls().append(config)
    (folder / "deep").mkdir()
    (folder / "deep" / "note.txt").write_text("é", encoding="utf-8")
    save_file({"x": torch.full((3,), float(config["x"]))}, folder / "x.safetensors")
    return {"square": config["x"] ** 2, "nothing": None, "pair": (1, 2)}


def run(function: Any, config: Any, **how: Any) -> Run:
    return Experiment(getattr(function, "__name__", "run"), 1, function).run(config, **how)


def folder_of(function: Any, config: Any) -> Path:
    return store.runs_folder() / f"{function.__name__}-{identity.fingerprint(function, config)}"


def is_stored(function: Any, config: dict[str, Any]) -> bool:
    return (folder_of(function, config) / store.RECORD).exists()


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
    """What comes back is the same the first time: tuples become lists at once, not only when they are read back."""
    config = {"x": 3, "sizes": (1, 2)}
    first, second = run(square, config), run(square, config)
    assert calls() == [first.config] == [second.config] == [{"x": 3, "sizes": [1, 2]}]
    assert list(first.config) == list(second.config) == ["x", "sizes"], "in the order given"
    assert (first.source, second.source) == ("computed", "stored")
    assert first.result == second.result == {"square": 9, "nothing": None, "pair": [1, 2]}
    assert first.folder == second.folder == folder_of(square, config)
    assert first.folder.parent == cache and first.folder.name.startswith("square-")
    assert first.seconds == second.seconds >= 0
    started = time.perf_counter()
    assert run(square, config).source == "stored"
    assert time.perf_counter() - started < 2
    assert second.name == "square"


def test_files_stay_in_the_folder() -> None:
    folder = run(square, {"x": 3}).folder
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "deep/note.txt", "run.json", "x.safetensors",
    ]  # fmt: skip
    assert (folder / "deep" / "note.txt").read_text(encoding="utf-8") == "é"
    assert torch.equal(load_file(folder / "x.safetensors")["x"], torch.full((3,), 3.0))


def test_a_function_cannot_change_its_callers_configuration() -> None:
    def greedy(config: dict[str, Any], folder: Path) -> dict[str, Any]:
        config["list"].append(1)
        return {"n": len(config["list"])}

    mine = {"list": [0]}
    assert run(greedy, mine).result == {"n": 2}
    assert mine == {"list": [0]}
    assert run(greedy, mine).source == "stored"


def test_says_that_it_computes_and_records_where(capsys: pytest.CaptureFixture[str]) -> None:
    made = run(square, {"x": 2})
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "computing square: for a time that is not known\n")
    run(square, {"x": 4}, show=False)
    assert capsys.readouterr().err == ""
    record = json.loads((made.folder / "run.json").read_text(encoding="utf-8"))["made"]
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert record["step_seconds"] > 0 and record["peak_bytes"] > 1e7 and "cores" in record["machine"]


# ---- what makes it another run -------------------------------------------------------------------------------


def test_other_configuration_is_another_run() -> None:
    folders = [folder_of(square, config) for config in ({"x": 1}, {"x": 2}, {"x": 1, "y": None}, {"x": 1.5}, {})]
    assert len(set(folders)) == 5
    assert folder_of(square, {"a": 1, "b": 2}) == folder_of(square, {"b": 2, "a": 1})


SURROUNDINGS = {
    "preset": ("course_lib.machine.PRESETS", {"cpu": machine.PRESETS["gpu"], "gpu": machine.PRESETS["cpu"]}),
    "precision": ("course_lib.machine.precision", lambda where=None: torch.float16),
    "version of a library": ("importlib.metadata.version", lambda name: "0.1"),
    "data": ("course_lib.assets.data_sha256", lambda: "other"),
}


@pytest.mark.parametrize("what", SURROUNDINGS)
def test_other_surroundings_make_another_run(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_PRESET", "cpu")
    before = folder_of(square, {})
    monkeypatch.setattr(*SURROUNDINGS[what])
    assert folder_of(square, {}) != before


def test_versions_are_those_of_what_the_code_imports() -> None:
    assert {"torch", "safetensors"} <= identity.code_of(square)[1]
    assert "onnxruntime" not in identity.code_of(square)[1]
    assert {"transformers", "peft", "sklearn"} <= identity.code_of(finetuning.finetune.function)[1]
    assert set(identity.versions({"torch", "sklearn"})) == {"python", "torch", "scikit-learn"}


def test_weights_that_ship_count_as_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_lib.assets.manifest.data_folder", lambda: tmp_path)
    folder = tmp_path / "checkpoints" / "sentiment"
    folder.mkdir(parents=True)
    hashes = []
    for number, weights in enumerate((b"a", b"b", b"a")):
        (folder / "difference.safetensors").write_bytes(weights)
        (folder / "figures.json").write_text(f"{number}")
        os.utime(folder / "difference.safetensors", (number, number))
        os.utime(folder / "figures.json", (number, number))
        hashes.append(assets.content_sha256("sentiment"))
    assert hashes[0] == hashes[2] != hashes[1], "figures of the run do not count"


STUDY = """
import functools
from dataclasses import dataclass
import numpy as np
FACTOR = 2
weights = np.array([1.0, 2.5])
@dataclass(frozen=True)
class Rule:
    rate: float
    def of(self, n):
        return self.rate * n
rule = Rule(0.5)
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
    '''Says it.'''
    def inner():
        return middle(1)
    return {"answer": [inner(), Tool().use(), rule.of(3), float(weights.sum()), 6 * 7]}
"""
CHANGES = {
    "comment": ("folder):", "folder):  # a comment", True),
    "docstring": ("Says it.", "Says it otherwise.", True),
    "layout": ("6 * 7]", "\n    (6 * 7)]", True),
    "another name in the notebook": ("import functools", "import os, functools\ny = 1", True),
    "a function that is not called": ("return 1\ndef study", "return 2\ndef study", True),
    "number": ("6 * 7", "5 * 7", False),
    "key": ("answer", "result", False),
    "default": ("folder)", "folder=None)", False),
    "a function two calls away": ("x + 1", "x + 2", False),
    "method": ("return 3", "return 4", False),
    "constant of a helper": ("FACTOR = 2", "FACTOR = 3", False),
    "array": ("2.5", "3.5", False),
    "field of a value": ("Rule(0.5)", "Rule(0.6)", False),
    "method of a value's class": ("self.rate * n", "self.rate + n", False),
}


@pytest.mark.parametrize(("old", "new", "is_same"), CHANGES.values(), ids=CHANGES)
def test_code_makes_another_run_and_words_do_not(old: str, new: str, is_same: bool) -> None:
    assert STUDY.count(old) == 1
    assert (folder_of(cell(STUDY), {}) == folder_of(cell(STUDY.replace(old, new)), {})) == is_same


def test_a_notebooks_function_runs_and_is_stored() -> None:
    study = cell(STUDY)
    assert study.__module__ == "__main__"
    assert run(study, {}).result == {"answer": [4, 3, 1.5, 3.5, 42]}
    assert run(cell(STUDY), {}).source == "stored", "the cell was executed again, in this notebook or in another"
    assert run(cell(STUDY.replace("6 * 7", "5 * 7")), {}).source == "computed"


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
    assert run(make(up), {}).source == "computed"


def test_a_global_without_a_description_is_refused() -> None:
    study = cell("""
        class Model:
            pass
        model = Model()
        def study(config, folder):
            return {"x": str(model)}
    """)
    with pytest.raises(BadInput, match="uses the global 'model', a Model"):
        run(study, {})


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
    ("function", "module", "counts"),
    [
        (finetuning.label_curve.function, "finetuning.studies", True),
        (finetuning.label_curve.function, "finetuning.recipes", True),
        (finetuning.finetune.function, "finetuning.studies", False),
        (finetuning.finetune.function, "training.schedule", True),
        (finetuning.finetune.function, "corpora.splits", True),
        (finetuning.finetune.function, "plots.style", False),
        (finetuning.finetune.function, "machine", True),
        (finetuning.finetune.function, "evaluation.intervals", False),
        (attack_studies.perplexity_study.function, "pretraining.measures", True),
        (cell(STUDY), "classifier.model", False),
        (cell(USES_EVALUATION), "evaluation.intervals", True),
        (cell(IMPORTS_INSIDE), "evaluation.intervals", True),
    ],
    ids=lambda part: getattr(part, "__name__", str(part)),
)
def test_code_of_the_course_counts_where_a_run_stands_on_it(function: Any, module: str, counts: bool) -> None:
    assert (f"course_lib.{module}" in identity.code_of(function)[0]) == counts


def test_code_counts_as_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was edited since then does not count; what was put in its place while running does."""
    study = cell(USES_EVALUATION)
    before = folder_of(study, {})
    with monkeypatch.context() as patched:
        patched.setattr(evaluation.intervals, "CONFIDENCE", 0.5, raising=False)
        assert folder_of(study, {}) != before
    assert folder_of(study, {}) == before


# ---- experiments ---------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own, in which results ship."""
    monkeypatch.setattr(assets, "data_folder", lambda: tmp_path / "data")
    return tmp_path / "data"


def squares(version: int = 1, **settings: Any) -> Experiment:
    return Experiment("squares", version, square, cost=lambda config: config["x"], **settings)


def test_answers_come_from_the_store_then_from_what_ships_then_by_computing(
    data: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, config = squares(), {"x": 3}
    first = study.run(config)
    assert first.source == "computed" and "computing squares" in capsys.readouterr().err
    study.ship(first)
    assert study.run(config).source == "stored"
    shutil.rmtree(cache)
    there = study.run(config)
    assert there.source == "course" and there.folder is None and there.result == first.result
    said = capsys.readouterr().err
    assert "from the course's results" in said and "squares.run(config, fresh=True)" in said
    assert len(calls()) == 1
    assert study.run(config, fresh=True).source == "computed"
    assert study.run(config).source == "stored", "the learner's own run comes first from now on"


def test_files_do_not_ship(data: Path, cache: Path) -> None:
    study = squares()
    study.ship(study.run({"x": 3}))
    shutil.rmtree(cache)
    with pytest.raises(CourseError, match="ships with the course, without its files") as caught:
        study.run({"x": 3}).file("x.safetensors")
    assert "files=True" in caught.value.fix
    assert study.run({"x": 3}, files=True).file("x.safetensors").is_file()


def test_what_ships_answers_for_its_version_data_and_preset(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "content_sha256", lambda name: f"{name}-hash")
    study = squares(data=("words",))
    study.ship(study.run({"x": 3}))
    assert study.shipped({"x": 3}) and not study.shipped({"x": 4})
    assert not squares(version=2, data=("words",)).shipped({"x": 3})
    monkeypatch.setattr(assets, "content_sha256", lambda name: "others")
    assert not study.shipped({"x": 3})
    monkeypatch.setattr(assets, "content_sha256", lambda name: f"{name}-hash")
    monkeypatch.setenv("COURSE_PRESET", "gpu")
    assert not study.shipped({"x": 3})


def test_shipping_again_replaces(data: Path) -> None:
    study = squares()
    for fresh in (False, True):
        study.ship(study.run({"x": 3}, fresh=fresh))
    study.ship(study.run({"x": 4}))
    assert [entry.run.config for entry in shipped.read("squares")] == [{"x": 3}, {"x": 4}]


def test_a_forecast_scales_what_was_measured(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = squares()
    assert "a time that is not known" in study.forecast([{"x": 3}])
    assert study.expected({"x": 3}) is None
    study.ship(study.run({"x": 3}))
    (entry,) = shipped.read("squares")
    monkeypatch.setattr(machine, "step_seconds", lambda: 0.2)  # this machine is half as fast
    cost = study.expected({"x": 6})
    assert cost is not None and cost.seconds == pytest.approx(4 * entry.run.seconds)
    assert cost.bytes == entry.run.made["peak_bytes"]
    assert study.forecast([{"x": 6}]) == f"squares: this will take {cost}."
    assert study.forecast([{"x": 3}]).startswith("squares: results are there; computing them here would take")


def test_the_nearest_configuration_is_the_measure(data: Path) -> None:
    study = squares()
    for kind, seconds in (("slow", 50.0), ("fast", 1.0)):
        made = study.run({"x": 2, "kind": kind})
        object.__setattr__(made, "seconds", seconds)
        study.ship(made)
    forecast = study.expected({"x": 4, "kind": "slow"})
    assert forecast is not None and forecast.seconds == pytest.approx(100)


def test_runs_and_tables_say_once_where_they_come_from(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, configs = squares(), [{"x": 2}, {"x": 3}]
    study.ship(study.run(configs[0], show=False))
    shutil.rmtree(store.runs_folder())
    capsys.readouterr()
    table = study.table(configs)
    assert table["square"].tolist() == [4, 9] and table["source"].tolist() == ["course", "computed"]
    forecast, origin, _ = capsys.readouterr().err.split("\n")
    assert forecast.startswith("squares: this will take")
    assert "1 from the course's results" in origin and "1 computed on this machine" in origin
    assert "fresh=True" in origin


def test_computing_can_be_forbidden(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_COMPUTE", "never")
    with pytest.raises(CourseError, match="must not compute"):
        squares().run({"x": 3})
    assert calls() == []


def test_two_experiments_of_one_name_are_refused() -> None:
    def other(config: dict[str, Any], folder: Path) -> dict[str, Any]:
        return {}

    other.__module__ = "another"
    experiment("of_this_test")(square)
    with pytest.raises(BadInput, match="two experiments 'of_this_test'"):
        experiment("of_this_test")(other)


def test_an_experiment_can_be_called(tmp_path: Path) -> None:
    assert squares()({"x": 5}, tmp_path)["square"] == 25 and len(calls()) == 1


@pytest.mark.parametrize("text", ["{", "[{}]", '[{"config": {}}]'], ids=["cut", "empty", "keys-lost"])
def test_damaged_results_are_told(text: str, data: Path) -> None:
    (data / "results").mkdir(parents=True)
    (data / "results" / "squares.json").write_text(text)
    with pytest.raises(CorruptAsset, match=r"squares\.json is damaged"):
        squares().run({"x": 3})


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
    assert made.source == "computed" and remains(cache) == [made.folder.name]


def test_a_half_folder_is_not_trusted(cache: Path) -> None:
    folder = folder_of(square, {"x": 3})
    (folder / "deep").mkdir(parents=True)
    (folder / "old").write_text("of a run without a record")
    made = run(square, {"x": 3})
    assert made.source == "computed" and not (folder / "old").exists()
    assert remains(cache) == [folder.name]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"null",
        lambda content: content.replace(b'"result"', b'"results"'),
        lambda content: content.replace(b'"seconds": ', b'"seconds": "soon", "other": '),
        lambda content: b"\xff\xfe\x00",
    ],
    ids=["truncated", "empty", "null", "key-lost", "no-number", "no-text"],
)
def test_a_damaged_record_is_told_with_the_cure(damage: Callable[[bytes], bytes]) -> None:
    folder = run(square, {"x": 3}).folder
    record = folder / "run.json"
    record.write_bytes(damage(record.read_bytes()))
    with pytest.raises(CorruptAsset, match=folder.name) as caught:
        run(square, {"x": 3})
    assert caught.value.fix == "delete that folder; it is computed again"
    shutil.rmtree(folder)
    assert run(square, {"x": 3}).result["square"] == 9


@pytest.mark.parametrize("step", ["FileLock.acquire", "Path.mkdir", "flush_file", "replace_folder"])
def test_a_full_or_read_only_cache_is_told_and_leaves_nothing(
    step: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the folder of all runs is there: its lock or the run's own folder cannot be made."""

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    cache.mkdir(parents=True)
    owner, _, name = step.rpartition(".")
    monkeypatch.setattr(getattr(store, owner) if owner else store, name, refused)
    with pytest.raises(CourseError, match="No space left on device") as caught:
        run(square, {"x": 3})
    monkeypatch.undo()
    assert "COURSE_CACHE" in caught.value.fix
    assert remains(cache) == []


def test_a_cache_that_is_no_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    with pytest.raises(CourseError, match="cannot be written") as caught:
        run(square, {"x": 3})
    assert "COURSE_CACHE" in caught.value.fix and calls() == []


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
    assert sorted(one.source for one in made) == ["computed", "stored", "stored", "stored"]
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
    assert mine.source == "stored" and mine.result == {"made_by": int(pids[0])}


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
    assert made.source == "computed" and made.result == {"files": ["half"]}
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
    assert calls() == []


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


def _cut(name: str) -> list[str]:
    """Configurations whose seconds, speed of the machine and memory are all those of another shipped run."""
    runs = [entry.run for entry in shipped.read(name)]
    cost = [(run.seconds, run.made["step_seconds"], run.made["peak_bytes"]) for run in runs]
    return [str(run.config) for run, one in zip(runs, cost, strict=True) if cost.count(one) > 1]


SHIPPED = sorted(file.stem for file in shipped.results_file("any").parent.glob("*.json"))


@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_result_is_a_run_of_its_own(name: str) -> None:
    assert shipped.read(name) and not _cut(name)
