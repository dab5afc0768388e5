"""What the machine is and what work costs: settings by hand-made hardware, counted against torch's own counter."""

import io
import json
import mmap
import platform
import random
import resource
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from toy_classifiers import TEXTS, tiny
from transformers import BertModel

from course_lib import machine
from course_lib.batching import LengthBuckets, collate, load_tokenizer, tokenize
from course_lib.classifier import BERTForSentimentAnalysis, TextClassifier
from course_lib.classifier.pretrained import encoder_config, encoder_folder
from course_lib.errors import BadInput, CourseError
from course_lib.machine import Cost, PeakMemory
from course_lib.training import TrainingConfig

PEAK = 1e11  # FLOP/s of the made-up machine that estimates are computed for


@pytest.fixture
def known_machine(monkeypatch):
    """The preset `cpu` on a machine of known speed."""
    monkeypatch.setenv("COURSE_PRESET", "cpu")
    monkeypatch.setattr(machine, "training_flops", lambda dtype: PEAK)
    monkeypatch.setattr(machine, "forward_flops", lambda: PEAK / 2)


@pytest.fixture
def gpu(monkeypatch):
    """What torch would report if there were a CUDA GPU."""
    monkeypatch.delenv("COURSE_PRESET", raising=False)
    monkeypatch.setattr(machine, "accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda where=None: "Model 9000")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (60_000_000_000, 80_000_000_000))
    monkeypatch.setattr(machine, "_measured_peak", lambda kind: {"cpu": 1e11, "cuda": 1e14}[kind])


@pytest.fixture
def mps(monkeypatch):
    """An accelerator that reports neither its name nor its memory, nor whether it multiplies bfloat16."""
    monkeypatch.delenv("COURSE_PRESET", raising=False)
    monkeypatch.setattr(machine, "accelerator", lambda: torch.device("mps"))


# Presets, devices, precision


@pytest.mark.parametrize("kind", [None, "cuda", "mps", "xpu"])
@pytest.mark.parametrize(("value", "name"), [("cpu", "cpu"), ("gpu", "gpu"), ("", None), (None, None)])
def test_preset_follows_the_variable_then_the_hardware(monkeypatch, value, kind, name):
    monkeypatch.setattr(machine, "accelerator", lambda: kind and torch.device(kind))
    monkeypatch.delenv("COURSE_PRESET", raising=False)
    if value is not None:
        monkeypatch.setenv("COURSE_PRESET", value)
    name = name or ("gpu" if kind else "cpu")
    assert machine.preset() is machine.PRESETS[name]
    assert machine.device() == torch.device(kind if kind and name == "gpu" else "cpu")


@pytest.mark.parametrize("value", ["GPU", "fast", " "])
def test_an_unknown_preset_is_named_with_the_known_ones(monkeypatch, value):
    monkeypatch.setenv("COURSE_PRESET", value)
    with pytest.raises(BadInput, match=f"(?s)COURSE_PRESET is '{value}'.*cpu, gpu"):
        machine.preset()


def test_presets_can_be_used():
    for name, preset in machine.PRESETS.items():
        assert preset.name == name and preset.predict_tokens > 512 and preset.seeds >= 1
        assert list(preset.curve_labels) == sorted(preset.curve_labels)


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("fpu sse avx2 avx512f", torch.float32),
        ("fpu avx512f avx512_bf16", torch.bfloat16),
        ("fpu amx_bf16 amx_tile", torch.bfloat16),
        (None, torch.float32),
    ],
    ids=["plain", "avx512_bf16", "amx", "no cpuinfo"],
)
def test_cpu_precision_follows_its_flags(monkeypatch, flags, dtype):
    def opened(path, **_):
        assert path == "/proc/cpuinfo"
        if flags is None:
            raise FileNotFoundError(path)
        return io.StringIO(f"processor : 0\nflags : {flags}\n")

    monkeypatch.setattr("builtins.open", opened)
    fresh = machine._cpu_has_fast_bfloat16.__wrapped__
    monkeypatch.setattr(machine, "_cpu_has_fast_bfloat16", fresh)
    assert machine.precision(torch.device("cpu")) == dtype


@pytest.mark.parametrize(("supported", "dtype"), [(False, torch.float32), (True, torch.bfloat16)])
def test_precision_of_an_accelerator_is_what_it_reports(gpu, monkeypatch, supported, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert machine.precision(torch.device("cuda")) == machine.precision() == dtype


def test_a_gpu_is_described(gpu):
    told = machine.describe()
    assert told["device"] == "cuda" and told["name"] == "Model 9000" and told["preset"] == "gpu"
    assert told["memory_gb"] == 80 and told["memory_available_gb"] == 60 and told["peak_gflops"] == 1e5


def test_an_accelerator_that_reports_little(mps):
    assert machine.device_name() == "MPS" and machine.precision() == torch.float32
    assert machine.memory().total == psutil.virtual_memory().total
    with PeakMemory() as peak:
        pass
    assert peak.bytes > 1e7


def test_an_operation_that_the_device_lacks_is_named(mps):
    said = "The operator 'aten::frobnicate' is not currently implemented for the MPS device. Please open an issue."
    with (
        pytest.raises(CourseError, match=r"(?s)MPS \(mps\) lacks.*aten::frobnicate.*COURSE_PRESET=cpu"),
        machine.named_operations(),
    ):
        raise NotImplementedError(said)


def test_this_machine_is_described(monkeypatch):
    monkeypatch.setenv("COURSE_PRESET", "cpu")
    told = machine.describe()
    assert told == json.loads(json.dumps(told))
    assert told["device"] == "cpu" and told["torch"] == torch.__version__ and told["cores"] >= 1
    assert 0 < told["memory_available_gb"] <= told["memory_gb"]
    assert told["peak_gflops"] == pytest.approx(machine.peak_flops() / 1e9, abs=0.1)


# Seeds


def test_a_seed_fixes_all_three_generators():
    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    machine.seed_everything(5)
    first = drawn()
    machine.seed_everything(5)
    assert drawn() == first
    machine.seed_everything(6)
    assert all(new != old for new, old in zip(drawn(), first, strict=True))
    machine.seed_everything(np.int64(5))
    assert drawn() == first


def test_generators_are_as_before_after_a_seeded_block():
    machine.seed_everything(1)
    expected = random.random(), np.random.random(), torch.rand(()).item()
    machine.seed_everything(1)
    with pytest.raises(ZeroDivisionError), machine.seeded(2):
        random.random(), np.random.random(3), torch.rand(2)
        raise ZeroDivisionError
    assert (random.random(), np.random.random(), torch.rand(()).item()) == expected


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "1", None, float("nan")], ids=repr)
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(BadInput, match="seed is"):
        machine.seed_everything(seed)


# Speed and memory


def test_the_peak_is_measured_once_and_leaves_random_numbers_alone(monkeypatch):
    machine._measured_peak.cache_clear()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    monkeypatch.setenv("COURSE_PRESET", "cpu")
    peak = machine.peak_flops()
    assert torch.equal(torch.rand(3), expected)
    assert 1e8 < peak < 1e14
    monkeypatch.setattr(machine, "_seconds_of_product", lambda *_: pytest.fail("measured twice"))
    assert machine.peak_flops() == peak


def test_the_peak_is_that_of_the_device_in_use(gpu, monkeypatch):
    assert machine.peak_flops() == 1e14
    monkeypatch.setenv("COURSE_PRESET", "cpu")
    assert machine.peak_flops() == 1e11


def test_peak_counts_two_operations_a_multiply_add(monkeypatch):
    monkeypatch.setitem(machine._PEAK_SIZE, "cpu", 10)
    monkeypatch.setattr(machine, "_seconds_of_product", lambda *_: 0.5)
    assert machine._measured_peak.__wrapped__("cpu") == 2 * 10**3 / 0.5


def test_memory_of_the_gpu_where_the_course_runs_on_it(gpu, monkeypatch):
    assert machine.memory() == machine.Memory(total=80_000_000_000, available=60_000_000_000)
    monkeypatch.setenv("COURSE_PRESET", "cpu")
    assert machine.memory().total != 80_000_000_000


def new_pages():
    """200 MB that the process has not had before, touched; an array may get memory that was freed earlier."""
    pages = mmap.mmap(-1, 200_000_000)
    for start in range(0, len(pages), mmap.PAGESIZE):
        pages[start] = 1
    return pages


def test_peak_memory_sees_what_was_there_for_a_moment():
    with PeakMemory() as before:
        pass
    with PeakMemory() as peak:
        held = new_pages()
    held.close()
    assert peak.bytes - before.bytes == pytest.approx(200e6, rel=0.2)


def test_peak_memory_forgets_an_earlier_block():
    peak = PeakMemory()
    with peak:
        held = new_pages()
    large = peak.bytes
    held.close()
    with peak:
        pass
    assert peak.bytes < large - 150e6


def test_peak_memory_of_a_gpu_is_what_torch_allocated(gpu, monkeypatch):
    reset = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: reset.append(True))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 12345)
    with PeakMemory() as peak:
        assert reset == [True]
    assert peak.bytes == 12345


def test_peak_memory_stops_watching_after_an_error():
    peak = PeakMemory()
    with pytest.raises(ZeroDivisionError), peak:
        1 / 0  # noqa: B018
    assert peak._thread is not None and not peak._thread.is_alive()
    assert peak.bytes > 1e7


def test_stopwatch_waits_for_the_gpu(gpu, monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(True))
    with machine.stopwatch() as seconds:
        assert seconds == [] and not waited
    assert waited == [True] and len(seconds) == 1 and 0 <= seconds[0] < 5


# Costs


def test_cost_arithmetic():
    one, other = Cost(1e12, 10, 3e9), Cost(2e12, 5, 4e9)
    assert one + other == other + one == Cost(3e12, 15, 4e9)
    assert one * 3 == Cost(3e12, 30, 3e9)


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (Cost(0, 55.4, 1.12e9), "about 55 s and 1.1 GB on this machine"),
        (Cost(0, 0.44, 0.96e9), "about 0.4 s and 1.0 GB on this machine"),
        (Cost(0, 372, 25e9), "about 6.2 min and 25.0 GB on this machine"),
    ],
)
def test_cost_reads_as_a_sentence(cost, text):
    assert str(cost) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (9.94, "9.9 s"), (10, "10 s"), (119.4, "119 s"), (120, "2.0 min")]
)
def test_readable_seconds(seconds, text):
    assert machine.readable_seconds(seconds) == text


def test_training_cost_worked_by_hand(known_machine):
    cost = machine.training_cost(parameters=1000, matmul_parameters=600, tokens=5000, batch_tokens=50, width=7)
    assert cost.flops == 6 * 600 * 5000
    assert cost.seconds == pytest.approx(6 * 600 * 5000 / PEAK + 100 * (1000 - 600) * 28 / 20e9)
    assert cost.bytes == pytest.approx(machine.base_bytes() + 16 * 1000 + 4 * 50 * 7)


def test_forward_cost_worked_by_hand(known_machine):
    cost = machine.forward_cost(parameters=1000, matmul_parameters=600, tokens=5000, batch_tokens=50, width=7)
    assert cost.flops == 2 * 600 * 5000
    assert cost.seconds == pytest.approx(2 * 600 * 5000 / (PEAK / 2))
    assert cost.bytes == pytest.approx(machine.base_bytes() + 4 * 1000 + 4 * 50 * 7)


def test_a_gpu_holds_no_interpreter_and_moves_weights_faster(gpu, monkeypatch):
    monkeypatch.setattr(machine, "training_flops", lambda dtype: PEAK)
    assert machine.base_bytes() == 0.5e9
    on_gpu = machine.training_cost(10**8, 0, 1000, 10, 1).seconds
    assert on_gpu == pytest.approx(100 * 10**8 * 28 / 1.5e12)


def test_speed_is_timed_again_after_half_a_minute(monkeypatch):
    """What else the machine does now counts; the caller's random numbers stay as they are."""
    times = iter([3.0, 1.0, 1.0])

    @contextmanager
    def stopwatch():
        yield [next(times)]

    moment = [0.0]
    monkeypatch.setattr(machine, "stopwatch", stopwatch)
    monkeypatch.setattr(machine.time, "monotonic", lambda: moment[0])
    for timed in (machine._timed, machine._timed_products):
        timed.cache_clear()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    busy = machine.step_seconds()
    assert machine.step_seconds() == busy == 3.0 / 6
    moment[0] = 31.0
    assert machine.step_seconds() == 1.0 / 6
    assert torch.equal(torch.rand(3), expected)
    weights = 4 * 384**2 + 2 * 384 * 1536
    assert machine.forward_flops() == pytest.approx(2 * weights * 32 * 27 / (1.0 / 8))
    for timed in (machine._timed, machine._timed_products):
        timed.cache_clear()


# Costs against what torch counts: the course encoder's shape, sentences of the length that the corpora have


@pytest.fixture(scope="module")
def course_shape():
    return BERTForSentimentAnalysis(2, BertModel(encoder_config("course")))


TYPICAL = [f"A film that {word} more than it ought to, and takes two long hours for what is there." for word in
           ("says", "promises", "shows", "hides", "costs", "wants", "tells", "gives")]  # fmt: skip


def typical_batch():
    ids = tokenize(TYPICAL, load_tokenizer(encoder_folder("course")), 128)
    return collate(ids, range(len(ids)))


def test_the_forward_estimate_is_what_torch_counts(course_shape, known_machine):
    batch = typical_batch()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        course_shape.eval()(batch.input_ids, batch.attention_mask)
    assert TextClassifier().predict_cost(TYPICAL).flops == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_the_training_estimate_is_what_torch_counts(course_shape, known_machine):
    batch = typical_batch()
    with FlopCounterMode(display=False) as counter:
        course_shape.train()(batch.input_ids, batch.attention_mask).sum().backward()
    course_shape.zero_grad()
    one_epoch = TrainingConfig(epochs=1, batch_size=len(TYPICAL))
    assert TextClassifier(training=one_epoch).fit_cost(TYPICAL).flops == pytest.approx(
        counter.get_total_flops(), rel=0.05
    )


def test_the_estimate_knows_the_weights(course_shape, known_machine):
    weights = sum(parameter.numel() for parameter in course_shape.parameters())
    cost = TextClassifier().predict_cost(["a"])
    assert cost.bytes == pytest.approx(machine.base_bytes() + 4 * weights, rel=0.01)


def test_repeated_texts_are_counted_once(known_machine):
    assert tiny().predict_cost(TEXTS * 3) == tiny().predict_cost(list(dict.fromkeys(TEXTS)))


def test_an_estimate_trains_nothing(known_machine):
    classifier = tiny()
    cost = classifier.fit_cost(TEXTS)
    assert not hasattr(classifier, "module_") and cost.flops > 0
    longer = tiny(TrainingConfig(epochs=4, batch_size=16)).fit_cost(TEXTS)
    assert longer.flops == pytest.approx(4 * cost.flops)
    ids = tokenize(TEXTS, load_tokenizer(encoder_folder("tiny")), 128)
    # By hand: two layers of 4 * 64^2 + 2 * 64 * 128, less what the last one spares.
    assert cost.flops == 6 * 40_960 * LengthBuckets(ids, 16).tokens()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives freed memory back block by block")
def test_freed_memory_stays_inside_the_block_and_is_returned_after_it() -> None:
    def resident() -> int:
        return psutil.Process().memory_info().rss

    with machine.freed_memory_kept() as kept:
        assert kept
        before = resident()
        held = np.ones(50_000_000)
        del held
        assert resident() > before + 300e6
    assert resident() < before + 100e6
    held = np.ones(50_000_000)
    full = resident()
    del held
    assert resident() < full - 300e6
    # Blocks up to 32 MB are reused without the system, as in any long process.
    np.ones(500_000)  # 4 MB
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(500_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults < 5_000


def test_empty_weights_are_neither_stored_nor_drawn():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with machine.init_empty_weights():
        module = torch.nn.Sequential(torch.nn.Embedding(9, 4, padding_idx=0), torch.nn.Linear(4, 2))
    assert all(weight.is_meta for weight in module.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    drawn = torch.nn.Embedding(9, 4)  # the same modules as ever after the block
    torch.manual_seed(0)
    assert torch.equal(drawn.weight, torch.randn(9, 4))
