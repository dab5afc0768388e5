"""Several processes do what one does: training, its resumption, batch inference; and the arithmetic of it by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from toy_classifiers import MIXED
from toy_pretraining import SHARED_RUNS, toy_material, toy_recipe, weights_of
from toy_processes import COUNTS, ROWS, learned

from course_lib.batching import LengthBuckets
from course_lib.checkpoints import CheckpointFolder
from course_lib.classifier import TextClassifier
from course_lib.commands import main
from course_lib.commands.processes import exit_on_sigterm
from course_lib.errors import BadInput, CheckpointError, CourseError
from course_lib.pretraining import pretrain
from course_lib.scaling import (
    average_gradients,
    launch,
    ring_all_reduce,
    ring_bytes,
    ring_seconds,
    run_torchrun,
    state_bytes,
)
from course_lib.scaling.batch_inference import deal, predict_in_parts
from course_lib.training.parallel import process_group

TOOLS = str(Path(__file__).parent / "tools")


# ---- two processes: two launches of torchrun for all tests -------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


def launched(folder, *arguments):
    paths = os.pathsep.join([str(launch.ROOT), TOOLS])
    return run_torchrun([f"{TOOLS}/toy_processes.py", str(folder), *arguments], environment={"PYTHONPATH": paths})


@pytest.fixture(scope="module")
def killed(folder):
    """The message about a process that was killed; its checkpoints stay."""
    with pytest.raises(CourseError) as caught:
        launched(folder, "0", "10")
    return caught.value, CheckpointFolder(folder / "checkpoints pairs").steps()


@pytest.fixture(scope="module")
def processes(folder, killed):
    """What the two processes of the second launch found."""
    found = launched(folder)
    assert [one["rank"] for one in found] == [0, 1]
    return found


@pytest.mark.slow
def test_a_killed_process_is_named(killed):
    error, steps = killed
    assert "SIGKILL" in error.message and steps == [6, 9]
    assert not launch_children()


@pytest.mark.slow
def test_two_processes_take_the_steps_that_one_takes_in_pretraining(processes, folder, tmp_path):
    """Equal to rounding, after a process was killed and the run resumed, too."""
    material = toy_material(tmp_path)
    for name, changes in SHARED_RUNS.items():
        alone = pretrain(toy_recipe(material, **changes), material=material, log_every=1)
        close(load_file(folder / f"{name}.safetensors"), weights_of(alone), atol=2e-5)
        if name == "next word":
            close(load_file(folder / "sharded.safetensors"), weights_of(alone), atol=2e-5)


def close(found, wanted, atol):
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, atol=atol, rtol=1e-4, msg=lambda text, name=name: name + text)


@pytest.mark.slow
@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_two_processes_take_the_steps_that_one_takes_in_fine_tuning(processes, folder, name, counts):
    alone = learned(COUNTS[counts])
    close(
        TextClassifier.from_pretrained(folder / f"{name} {counts}").module_.state_dict(),
        alone.module_.state_dict(), atol=2e-5,
    )  # fmt: skip
    if counts == "unequal":
        assert processes[0][name]["losses"] == pytest.approx(alone.history_.column("loss")[1], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_a_continued_run_has_the_same_bits(processes, name):
    assert [one[name]["to_the_bit"] for one in processes] == [True, True]


@pytest.mark.slow
def test_bytes_in_each_process_are_those_of_the_formula(processes):
    parameters = sum(p.numel() for p in learned(COUNTS["equal"]).module_.parameters())
    for one in processes:
        for name, strategy in (("ddp", "DDP"), ("fsdp", "FSDP")):
            wanted = state_bytes(parameters, 2, strategy)
            for kind, held in one[name]["bytes"].items():
                assert held == pytest.approx(getattr(wanted, kind), rel=1e-3), (name, kind)


@pytest.mark.slow
def test_another_number_of_processes_does_not_continue_a_run(processes, folder):
    with pytest.raises(CheckpointError, match=r"'processes': \(2, 1\)"):
        learned(COUNTS["unequal"], folder / "checkpoints ddp")


@pytest.mark.slow
def test_what_several_processes_cannot_do_is_refused(processes):
    assert "accumulate is 2 with 2 processes" in processes[1]["ddp"]["accumulate"]
    assert "muon" in processes[0]["fsdp"]["muon"]


@pytest.mark.slow
def test_all_processes_decide_by_the_number_of_the_first(processes):
    assert [one["agreed"] for one in processes] == [5.0, 5.0]


@pytest.mark.slow
def test_batch_inference_in_order(processes, folder):
    for rank in range(2):
        mixed, one, none, whole = np.load(folder / f"predicted-{rank}.npz").values()
        np.testing.assert_allclose(mixed, whole, atol=1e-5)
        np.testing.assert_allclose(one, whole[:1], atol=1e-5)
        assert none.shape == (0, 2)


# ---- launching -----------------------------------------------------------------------------------------------------


def launch_children():
    return [child for child in psutil.Process().children(recursive=True) if "torch.distributed.run" in child.cmdline()]


def torchrun_stub(monkeypatch, code):
    """Stands in for torchrun: a program of a line, since a launch takes seconds."""
    original = launch._run
    monkeypatch.setattr(launch, "_run", lambda _, *rest: original([sys.executable, "-c", code], *rest))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('import sys; print(\'{"error": "no model", "fix": "give one"}\'); sys.exit(1)', "no model"),
        ("raise ValueError('seven')", "ValueError: seven"),
        ("import sys; sys.exit('[rank1]: ValueError: six\\n traceback : To enable traceback')", "ValueError: six"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
        ("import time; time.sleep(60)", "more than 1.5 s"),
    ],
)
def test_a_failed_job_says_why(monkeypatch, code, message):
    torchrun_stub(monkeypatch, code)
    with pytest.raises(CourseError, match=message):
        run_torchrun(["x"], timeout=1.5 if "sleep" in code else 60)


def test_results_come_in_the_order_of_the_processes(monkeypatch):
    torchrun_stub(monkeypatch, "print('a word'); print('{\"rank\": 1}'); print('{\"rank\": 0}')")
    assert run_torchrun(["x"]) == [{"rank": 0}, {"rank": 1}]


def test_two_results_on_one_line_are_two_results(monkeypatch):
    """torchrun runs Python unbuffered: the text of a line and its end are written apart."""
    torchrun_stub(monkeypatch, 'print(\'{"rank": 1}{"rank": 0}\'); print(\'{"cut\')')
    assert run_torchrun(["x"]) == [{"rank": 0}, {"rank": 1}]


def test_no_grandchild_is_left(monkeypatch, tmp_path):
    note = tmp_path / "pid"
    child = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    code = f"import subprocess, sys; open({str(note)!r}, 'w').write(str(subprocess.Popen({child}).pid))"
    torchrun_stub(monkeypatch, code)
    run_torchrun(["x"])
    for _ in range(100):
        if not psutil.pid_exists(int(note.read_text())):
            return
        if psutil.Process(int(note.read_text())).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    os.kill(int(note.read_text()), signal.SIGKILL)
    pytest.fail("a process is left")


def test_a_job_that_is_ended_leaves_no_process_in_another_session():
    """torchrun starts its processes in sessions of their own."""
    child = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    code = f"import subprocess, sys, time; print(subprocess.Popen({child}, start_new_session=True).pid, flush=True); "
    job = subprocess.Popen(
        [sys.executable, "-c", code + "time.sleep(600)"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with job:
        left = psutil.Process(int(job.stdout.readline()))
        launch.end_group(job)
    try:
        assert job.returncode == -signal.SIGKILL and psutil.wait_procs([left], timeout=10)[1] == []
    finally:
        with suppress(psutil.NoSuchProcess):
            left.kill()


def test_predict_starts_the_same_command_in_several_processes(monkeypatch, capsys):
    seen = []

    def answer(command, processes, threads, timeout):
        seen.append((command, processes, json.loads(Path(command[-1]).read_text(encoding="utf-8"))))
        return [{"predictions": [{"text": "b\na", "label": "positive", "probability": 0.5}]}]

    monkeypatch.setattr("course_lib.scaling.run_torchrun", answer)
    assert main(["predict", "--processes", "2", "--model", "some", "--json", "b\na"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"][0]["probability"] == 0.5
    ((command, processes, texts),) = seen
    assert processes == 2 and texts == ["b\na"] and command[command.index("--model") + 1] == "some"
    assert main(["predict", "--processes", "0", "a"]) == 1


def test_sigterm_ends_the_block():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, exit_on_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert ended.value.code == 143 and signal.getsignal(signal.SIGTERM) is before


def test_fsdp_needs_several_processes():
    with pytest.raises(BadInput, match="one process"), process_group(sharded=True):
        pass


# ---- by hand -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(0, 9))
def test_a_ring_all_reduce_gives_every_process_the_sum(n, more):
    arrays = np.random.default_rng(n).normal(size=(n, n + more))
    steps = ring_all_reduce(list(arrays))
    assert len(steps) == 2 * (n - 1)
    if steps:
        np.testing.assert_allclose(steps[-1].states, np.tile(arrays.sum(0), (n, 1)))
        assert [step.phase for step in steps] == (n - 1) * ["reduce-scatter"] + (n - 1) * ["all-gather"]


def test_a_ring_of_two_by_hand():
    first, second = ring_all_reduce([np.array([1.0, 2.0]), np.array([10.0, 20.0])])
    assert first.states.tolist() == [[1.0, 22.0], [11.0, 20.0]]
    assert second.states.tolist() == [[11.0, 22.0], [11.0, 22.0]]


def test_bytes_and_seconds_of_a_ring_by_hand():
    assert ring_bytes(100, 1) == 0 and ring_bytes(100, 2) == 100 and ring_bytes(100, 4) == 150
    assert ring_seconds(100, 4, bandwidth=50, latency=0.5) == pytest.approx(3 + 6 * 0.5)
    steps = ring_all_reduce([np.zeros(8)] * 4)
    assert sum(8 // 4 for step in steps for one in step.transfers if one.sender == 0) == ring_bytes(8, 4) == 12


def test_gradients_are_averaged_by_rows():
    """The gradient of a mean over three rows, of which one process has two: the mean of means is wrong."""
    rows = np.array([1.0, 2.0, 6.0])
    means = [rows[:2].mean(keepdims=True), rows[2:]]
    assert average_gradients(means, [2, 1]) == pytest.approx(rows.mean())
    assert np.mean(means) != pytest.approx(rows.mean())


@pytest.mark.parametrize("rows", [1, 2, 5, 16])
def test_parts_of_a_batch_count_by_their_rows(rows):
    ids = [[1] * (3 + i) for i in range(rows)]
    parts = [next(LengthBuckets(ids, 16, rank=rank, world=3).epoch(0)) for rank in range(3)]
    (whole,) = LengthBuckets(ids, 16).epoch(0)
    counted = [part.index for part in parts if part.weight]
    assert sorted(torch.cat(counted).tolist()) == sorted(whole.index.tolist())
    assert sum(part.weight for part in parts) == pytest.approx(3) and whole.weight == 1
    assert average_gradients([part.index.float().mean() for part in parts], [part.weight * rows for part in parts]) == (
        pytest.approx(float(whole.index.float().mean()))
    )


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 5))
def test_texts_are_dealt_out_evenly(lengths, n):
    parts = deal(lengths, n)
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    totals = [sum(lengths[row] for row in part) for part in parts]
    assert max(totals) - min(totals) <= 2 * max(lengths, default=0)


def test_without_torchrun_all_texts_are_one_part():
    seen = []
    predict_in_parts(lambda texts: seen.append(texts) or np.zeros((len(texts), 2), np.float32), MIXED)
    assert seen == [MIXED]


def test_bytes_of_a_state_by_hand():
    """Rajbhandari et al. 2020: 16-bit weights and gradients with a float32 state of 12 bytes; 7.5 billion, 64 ways."""
    wanted = {"DDP": 120, "ZeRO-1": 31.4, "ZeRO-2": 16.6, "FSDP": 1.9}
    for strategy, gigabytes in wanted.items():
        found = state_bytes(7_500_000_000, 64, strategy, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12)
        assert found.total / 1e9 == pytest.approx(gigabytes, abs=0.06)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ring_all_reduce([]),
        lambda: ring_all_reduce([np.ones(3), np.ones(4)]),
        lambda: ring_all_reduce([np.ones(2)] * 3),
        lambda: ring_bytes(-1, 2),
        lambda: ring_seconds(1, 2, 0),
        lambda: average_gradients([np.ones(2)], [1, 2]),
        lambda: average_gradients([np.ones(2), np.ones(3)], [1, 2]),
        lambda: average_gradients([np.ones(2)], [0]),
        lambda: state_bytes(10, 2, "ZeRO-4"),
        lambda: state_bytes(0),
        lambda: deal([1], 0),
        lambda: run_torchrun(["x"], processes=0),
        lambda: run_torchrun(["x"], restarts=-1),
    ],
)
def test_what_cannot_be_done_is_refused(call):
    with pytest.raises(BadInput):
        call()


def test_rows_of_the_toy_make_unequal_counts():
    assert ROWS % COUNTS["equal"].batch_size == 1 and COUNTS["unequal"].batch_size % 2 == 1


# ---- Ray -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["predict", "--ray", "a"], ["serve", "--ray"]])
def test_without_ray_its_commands_say_how_to_install_it(monkeypatch, capsys, tmp_path, command):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("course_lib.serving.servable_folder", lambda *_: tmp_path)
    assert main([*command, "--json"]) == 1
    assert "[scale]" in json.loads(capsys.readouterr().out)["fix"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason='Ray is not installed: pip install -e ".[scale]"')
def test_ray_predicts_in_the_order_of_the_texts():
    from course_lib.onnx_model import OnnxModel, softmax
    from course_lib.scaling.ray_engine import ray_predict
    from course_lib.serving import servable_folder

    folder, texts = servable_folder("sentiment"), ["I like it", "a dull and long film", "I like it", "so"]
    found, names = ray_predict(folder, texts, processes=1)
    model = OnnxModel(folder)
    alone = [softmax(model.logits([model.encode([text])[0].ids]))[0] for text in texts]
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert names == ["negative", "positive"]
    assert ray_predict(folder, [])[0].shape == (0, 2)
