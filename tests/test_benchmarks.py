"""The benchmarks' own arithmetic: clocks, races, claims, contenders, and what may stand beside what."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.side_by_side import serving_runs
from benchmarks.side_by_side.claims import Claim, off_by, table
from benchmarks.side_by_side.clock import Clock, take_turns
from benchmarks.side_by_side.contenders import DOCUMENTED_RATE, all_contenders, claims, fastest
from benchmarks.side_by_side.matmul import counted_flops, peak
from benchmarks.side_by_side.process import in_fresh_process
from benchmarks.side_by_side.race import Point, Race, Time, looks, middle, outcome, speed_up
from benchmarks.side_by_side.report import Report, same_conditions
from benchmarks.side_by_side.surroundings import feature, slug, surroundings
from benchmarks.side_by_side.training_runs import grouping

from course_lib.serving import LoadRun


class FakeTime:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a benchmark script as its interpreter finds its modules."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    return import_module


# ---- clocks ------------------------------------------------------------------------------------------------------


def test_a_clock_stands_still_in_a_stopped_block_even_after_an_error() -> None:
    time = FakeTime()
    clock = Clock(time)
    time.seconds = 3
    with pytest.raises(KeyError), clock.stopped():
        time.seconds = 100
        assert clock.seconds == 3
        raise KeyError
    time.seconds = 102
    assert clock.seconds == 5


def test_contenders_take_turns_and_each_begins_once() -> None:
    time, order = FakeTime(), []

    def work(name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            order.append(name)
            time.seconds += seconds

        return run

    seconds = take_turns({"a": work("a", 1), "b": work("b", 2)}, rounds=3, read=time)
    assert seconds == {"a": [1, 1, 1], "b": [2, 2, 2]}
    assert order == ["a", "b", "b", "a", "a", "b"]


# ---- races -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "epochs", "fraction", "expected"),
    [
        (248, 2, 0.25, [70, 130, 190, 250, 310, 380, 440]),  # 62, 124, 186, 248, ... rounded up to tens
        (248, 1, 0.5, [130]),
        (2, 1, 0.25, []),  # the end alone
        (20, 1, 0.25, [10]),  # two looks on one step are one, and the last step is no look
    ],
)
def test_looks_are_on_tens_and_never_at_the_end(steps: int, epochs: int, fraction: float, expected: list[int]) -> None:
    assert looks(steps, epochs, fraction) == expected


def race(accuracies: list[float], **settings: Any) -> tuple[Race, FakeTime]:
    """40 steps an epoch, looks every 10 steps, one second a step, 50 seconds a look."""
    time, left = FakeTime(), iter(accuracies)

    def evaluate() -> float:
        time.seconds += 50
        return next(left)

    return Race(Clock(time), 40, 1, 0.85, 0.25, evaluate, **settings), time


def run(running: Race, time: FakeTime) -> bool:
    """Runs up to 40 steps; whether it stopped early."""
    for step in range(1, 41):
        time.seconds += 1
        if running.may_stop(step):
            return True
    running.finish()
    return False


def test_a_race_stops_at_the_target_and_looking_costs_nothing() -> None:
    running, time = race([0.6, 0.85])
    assert run(running, time)
    assert running.points == [Point(10, 0.25, 10.0, 0.6), Point(20, 0.5, 20.0, 0.85)]
    found = outcome(running.points, 0.85, total_steps=40, rows_an_epoch=1280)
    assert found["seconds_to_target"] == 20 and found["epochs_to_target"] == 0.5
    assert found["final_accuracy"] is None and found["rows_a_second"] == 32


def test_a_race_to_the_end_keeps_the_first_arrival_and_the_final_accuracy() -> None:
    running, time = race([0.6, 0.86, 0.9, 0.84], to_the_end=True)
    assert not run(running, time)
    found = outcome(running.points, 0.85, 40, 1280)
    assert (found["seconds_to_target"], found["best_accuracy"], found["final_accuracy"]) == (20, 0.9, 0.84)


def test_a_race_that_never_arrives_says_so() -> None:
    running, time = race([0.5, 0.6, 0.7, 0.8])
    assert not run(running, time)
    found = outcome(running.points, 0.85, 40, 1280)
    assert found["seconds_to_target"] is None and found["seconds"] == 40 and found["final_accuracy"] == 0.8


def test_a_callback_that_comes_late_is_one_look() -> None:
    running, _ = race([0.5, 0.6])
    running.may_stop(25)
    running.may_stop(26)
    assert [point.step for point in running.points] == [25]


def row(seconds: float | None, whole: float = 100.0, **contender: Any) -> dict[str, Any]:
    """A finished race."""
    settings = {"name": "x", "side": "ours", "precision": "float32", "learning_rate": 1e-4, "soft": True}
    return {"contender": settings | contender, "seed": 0, "seconds_to_target": seconds, "seconds": whole}


def test_the_median_run_decides_whether_a_contender_arrived() -> None:
    assert middle([row(10), row(None), row(30)]) == Time(30, True)
    assert middle([row(10), row(None, 90), row(None, 110)]) == Time(100, False)


def test_a_peer_that_never_arrives_gives_a_lower_bound_and_we_none() -> None:
    assert speed_up(Time(10, True), Time(40, True)) == (4.0, "")
    assert speed_up(Time(10, True), Time(40, False)) == (4.0, ">")
    assert speed_up(Time(10, False), Time(40, True)) == (None, "")


def test_an_arrival_is_faster_than_a_short_run_without_one() -> None:
    rows = [row(50, name="arrives"), row(None, whole=20, name="ends")]
    assert fastest(rows, side="ours") == ("arrives", Time(50, True))
    assert fastest(rows, side="trainer") is None


# ---- contenders --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fast", ["float32", "bfloat16"])
def test_contenders_have_names_of_their_own_and_precisions_of_this_hardware(fast: str) -> None:
    known = all_contenders(fast, [1e-4, 5e-5])
    assert len({contender.name for contender in known}) == len(known)
    assert {contender.precision for contender in known} == {fast, "float32"}
    documented = next(contender for contender in known if contender.name == "trainer")
    assert (documented.precision, documented.learning_rate, documented.epochs) == ("float32", 2e-5, 3)
    assert {"trainer-grouped-lr1e-4", "trainer-grouped-lr5e-5"} <= {contender.name for contender in known}


def test_our_contenders_are_the_default_recipe_but_for_what_their_names_say() -> None:
    known = {contender.name: contender for contender in all_contenders("bfloat16")}
    recipes = {name: one.course_recipe() for name, one in known.items() if one.side == "ours"}
    assert recipes["ours-one-epoch"].training.epochs == 1
    assert recipes["ours-float32"].training.precision == "float32"
    assert recipes["ours"].training.precision == "bfloat16"
    assert recipes["ours-labels-only"].sharpness == 0 < recipes["ours"].sharpness


def test_claims_part_the_precisions_and_take_the_peers_best_rate() -> None:
    peer = {"side": "trainer", "soft": False, "grouped": False}
    rows = [
        row(10, name="ours", precision="bfloat16"),
        row(20, name="ours-float32"),
        row(80, name="trainer", learning_rate=DOCUMENTED_RATE, **peer),
        row(50, name="trainer-lr1e-4", **peer),
        row(30, name="trainer-lr1e-4-bf16", **{**peer, "precision": "bfloat16"}),
    ]
    found = {
        (claim.text.split(":")[0], claim.text.split(", ")[-1].split(" (")[0]): claim
        for claim in claims(rows, "bfloat16")
    }
    assert {key: claim.measured for key, claim in found.items()} == {
        ("as installed", "documented rate"): 8.0,
        ("as installed", "best rate"): 5.0,
        ("both sides in float32", "documented rate"): 4.0,
        ("both sides in float32", "best rate"): 2.5,
        ("both sides in bfloat16", "best rate"): 3.0,
    }
    assert not found["both sides in float32", "best rate"].met  # 2.5 of 3


def test_length_grouping_by_the_name_that_this_release_knows() -> None:
    assert grouping(True, {"train_sampling_strategy"}) == {"train_sampling_strategy": "group_by_length"}
    assert grouping(True, {"group_by_length"}) == {"group_by_length": True}
    assert grouping(False, set()) == {}
    with pytest.raises(ValueError, match="new name"):
        grouping(True, {"learning_rate"})


# ---- claims and results ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "at_most", "met"),
    [
        (2.0, False, True), (1.99, False, False), (2.0, True, True), (2.01, True, False),
        (None, False, False), (None, True, False),
    ],
)  # fmt: skip
def test_a_claim_is_met_on_its_targets_good_side(measured: float | None, at_most: bool, met: bool) -> None:
    claim = Claim("speed", 2.0, measured, at_most)
    assert claim.met is met and claim.to_dict()["met"] is met
    assert str(claim).endswith(": met" if met else ": not met")


def test_an_estimate_misses_alike_in_both_directions() -> None:
    assert off_by(3, 2) == off_by(2, 3) == 1.5
    assert off_by(2, 2) == 1


def test_a_table_aligns_its_columns() -> None:
    assert table([("name", "s"), ("a", "10.0")]).splitlines() == ["name     s", "-" * 10, "a     10.0"]


def test_surroundings_name_no_host_and_no_path() -> None:
    text = json.dumps(surroundings())
    assert not platform.node() or platform.node() not in text
    assert str(Path.home()) not in text and "/" not in text
    assert slug("cpu x86_64 AVX2, 2 cores") == "cpu-x86-64-avx2-2-cores"
    assert feature({"avx2", "avx512f", "avx512_bf16"}) == "avx512-bf16" and feature({"sse2"}) == "plain"


def test_rows_are_kept_at_once_and_taken_up_only_under_the_same_conditions(tmp_path: Path) -> None:
    first = Report("speed", {"rows": 5}, trial=True, folder=tmp_path)
    first.add({"seconds": 1.0})
    assert first.file.name.endswith("-trial.json") and json.loads(first.file.read_text())["rows"] == [{"seconds": 1.0}]
    assert Report("speed", {"rows": 5}, trial=True, folder=tmp_path).resume() == 1
    assert Report("speed", {"rows": 6}, trial=True, folder=tmp_path).resume() == 0
    assert Report("speed", {"rows": 5}, trial=False, folder=tmp_path).resume() == 0
    other = first.content | {"versions": first.content["versions"] | {"torch": "0"}}
    assert not same_conditions(other, first.content)


def test_a_fresh_process_answers_and_a_failed_one_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import os\ndef pid(given):\n    print('noise')\n    return {**given, 'pid': os.getpid()}\n"
    source += "def fails(given):\n    raise ValueError('no such row')\n"
    (tmp_path / "measured_elsewhere.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = import_module("measured_elsewhere")
    answer = in_fresh_process(module.pid, {"rows": 3})
    assert answer["rows"] == 3 and answer["pid"] != module.pid({})["pid"]
    with pytest.raises(RuntimeError, match="no such row"):
        in_fresh_process(module.fails, {})


# ---- operations --------------------------------------------------------------------------------------------------


def test_operations_of_a_layer_and_of_attention_are_those_counted_by_hand() -> None:
    layer, rows = torch.nn.Linear(8, 5), torch.randn(3, 8)
    query = torch.randn(2, 4, 7, 6)  # batch, heads, positions, size

    def work() -> None:
        with torch.inference_mode():
            layer(rows)
            torch.nn.functional.scaled_dot_product_attention(query, query, query)

    assert counted_flops(work) == 2 * 3 * 8 * 5 + 2 * (2 * 2 * 4 * 7 * 7 * 6)


def test_the_peak_is_a_plausible_number() -> None:
    assert 1e7 < peak(torch.device("cpu"), torch.float32, size=64) < 1e15


# ---- scripts -----------------------------------------------------------------------------------------------------


def test_a_fifth_of_the_mixed_sentences_are_repeats(script: Callable[[str], ModuleType]) -> None:
    sentences = script("bench_predict").mixed_sentences
    texts = sentences(100)
    assert len(texts) == 100 and len(set(texts)) == 80
    assert texts == sentences(100) and max(Counter(texts).values()) > 1


def test_the_pipelines_better_batch_size_counts(script: Callable[[str], ModuleType]) -> None:
    speeds = {"ours": 200.0, "pipeline, batch 1": 125.0, "pipeline, batch 32": 80.0}
    rows = [{"contender": name, "sentences_a_second": v, "largest_difference": 1e-6} for name, v in speeds.items()]
    faster, _, share = script("bench_predict").claims(rows, 0.9)
    assert faster.measured == 1.6 and "batch 1," in faster.text and share.met


def test_the_start_is_held_against_the_pipelines(script: Callable[[str], ModuleType]) -> None:
    seconds = {"predict, the model that ships": [2.0, 9.0, 2.5], "pipeline": [7.0, 5.0, 4.0]}
    absolute, ratio = script("bench_predict").start_claims(seconds)
    assert (absolute.measured, absolute.met, ratio.measured, ratio.met) == (2.5, True, 2.0, True)


def test_seeds_give_mean_and_sample_deviation(script: Callable[[str], ModuleType]) -> None:
    module = script("bench_seeds")
    rows = [{"test_accuracy": value, "seconds": 100.0} for value in (0.86, 0.87, 0.88)]
    found = module.summary(rows)
    assert found["mean"] == pytest.approx(87) and found["standard_deviation"] == pytest.approx(1)
    assert [claim.met for claim in module.claims("default", rows)] == [True, True]
    assert [claim.met for claim in module.claims("best", rows)] == [False, False]
    assert [claim.met for claim in module.claims("best", rows[:1])] == [False, False]  # one seed has no deviation


def test_memory_and_estimates_are_held_against_their_own_precision(script: Callable[[str], ModuleType]) -> None:
    rows = [
        {"side": "ours", "precision": "float32", "estimate_bytes": 15, "peak_bytes": 10},
        {"side": "trainer", "precision": "bfloat16", "estimate_bytes": None, "peak_bytes": 5},
        {"side": "trainer", "precision": "float32", "estimate_bytes": None, "peak_bytes": 20},
    ]
    estimate, ratio = script("bench_memory").claims(rows)
    assert (estimate.measured, estimate.met, ratio.measured, ratio.met) == (1.5, True, 0.5, True)
    cells = [{"cell": "fit", "predicted_seconds": 4.0, "measured_seconds": [2.0, 9.0, 2.5]}]
    assert script("bench_estimate").claims(cells)[0].measured == 1.6


def test_training_beside_other_programs_is_held_against_training_alone(script: Callable[[str], ModuleType]) -> None:
    seconds = {("course", 0): 5.0, ("course", 2): 6.0, ("default", 0): 5.0, ("default", 2): 18.0}
    rows = [
        {"waiting": waiting, "busy": busy, "processor_seconds": value, "wall_seconds": value}
        for (waiting, busy), value in seconds.items()
    ]
    module = script("bench_beside")
    assert [claim.measured for claim in module.claims(rows)] == [1.2, 3.0, 1.0]
    assert module.line(rows, "default", 2) == ("default", "2", "18.0", "18.0", "3.60")


# ---- attacks and defenses ----------------------------------------------------------------------------------------


def attacked(contender: str, seconds: float, succeeded: int, queries: float, **more: Any) -> dict[str, Any]:
    row = {"contender": contender, "recipe": "deepwordbug", "n": 100, "seconds": seconds, "succeeded": succeeded}
    row |= {"failed": 80 - succeeded, "queries_per_text": queries}
    return (row | {"model_share": 0.95} if contender == "ours" else row) | more


def test_claims_about_attacks(script: Callable[[str], ModuleType]) -> None:
    rows = [
        attacked("ours", 10, 76, 25.0),
        attacked("ours, with a surrogate", 5, 76, 12.0),
        attacked("ours, with a surrogate", 20, 70, 30.0, recipe="pwws"),
        attacked("TextAttack, padded to 64", 50, 77, 25.5),
        attacked("TextAttack", 300, 77, 25.5),
        attacked("ours", 2, 60, 5, recipe="gradient-synonyms"),
        attacked("ours", 4, 70, 10, recipe="gradient-beam"),
        attacked("ours", 90, 72, 100, recipe="beam-synonyms"),
        attacked("TextAttack", 30, 7, 300.0, recipe="beam", n=10),
        attacked("ours", 40.4, 300, 25.0, n=400, failed=20, model_share=0.7),
    ]
    found = {claim.text: claim for claim in script("bench_attack").claims(rows)}
    measured = {text: (round(claim.measured, 3), claim.met) for text, claim in found.items()}
    assert measured == {
        "DeepWordBug: times TextAttack's rate as installed": (30, True),
        "DeepWordBug: times its rate with the padding fixed": (5, True),
        "success rates apart, in points": (1.25, True),
        "queries apart, as a share": (0.02, True),
        "with a surrogate: times TextAttack's rate as installed": (60, True),
        "with a surrogate: times its rate with the padding fixed": (10, True),
        "points of success behind it": (1.25, True),
        "gradient-guided search: points of success behind beam-8": (2.5, False),
        "its queries as a share of beam-8's": (0.1, True),
        "times the rate of TextAttack's own beam-8 as installed": (75, True),
        "seconds a sentence at 400 over those at 100": (1.01, True),
        "share of the time inside the model": (0.7, False),
    }


def test_nothing_is_claimed_of_a_peer_that_did_not_run(script: Callable[[str], ModuleType]) -> None:
    found = script("bench_attack").claims([attacked("ours", 10, 76, 25.0)])
    assert [claim.text for claim in found] == ["share of the time inside the model"]
    assert script("bench_attack").claims([]) == []


def test_claims_about_the_default_defence(script: Callable[[str], ModuleType]) -> None:
    bench = script("bench_defense")

    def row(name: str, clean: float, under: float, seconds: float) -> dict[str, Any]:
        return {"defence": name, "clean_accuracy": clean, "under": dict.fromkeys(bench.ATTACKS, under),
                "training_seconds": seconds, "usual_training_seconds": 200.0}  # fmt: skip

    rows = [row("none", 0.86, 0.05, 200), row("none", 0.88, 0.05, 200)]
    rows += [row(bench.DEFAULT_DEFENSE, 0.85, 0.6, 400), row(bench.DEFAULT_DEFENSE, 0.86, 0.45, 960)]
    measured = [(round(claim.measured, 3), claim.met) for claim in bench.claims(rows)]
    assert measured == [(0.525, True), (0.525, True), (1.5, False), (16, False), (3.4, False)]
    assert bench.claims(rows[:2]) == []


def test_compressed_models_are_held_against_the_full_ones(script: Callable[[str], ModuleType]) -> None:
    bench = script("bench_compress")

    def row(name: str, seed: int, accuracy: float, megabytes: float, speed: float, alone: float) -> dict[str, Any]:
        size = {"bytes": megabytes * 1e6, "made_in_seconds": 60.0}
        times = {"texts_a_second": speed, "milliseconds_alone": alone}
        return {"contender": name, "seed": seed, "accuracy": accuracy, **size, **times}

    rows = [
        row(bench.EAGER, 0, 0.87, 91, 100, 16), row(bench.EAGER, 1, 0.85, 91, 100, 16),
        row(bench.DYNAMIC, 0, 0.86, 23, 250, 4), row(bench.DYNAMIC, 1, 0.86, 23, 250, 4),
        row("small", 0, 0.86, 7.4, 200, 5), row("small", 1, 0.85, 7.5, 200, 5),
        row("fast", 0, 0.85, 14, 700, 1), row("fast", 1, 0.83, 14, 700, 1),
    ]  # fmt: skip
    found = {claim.text: claim for claim in bench.claims(rows)}
    assert found["small: points of accuracy lost"].measured == pytest.approx(0.5)
    assert found["small: megabytes"].measured == 7.5
    assert found["fast: throughput over eager float32"].measured == 7
    assert found["fast: throughput over ONNX Runtime's dynamic int8"].measured == pytest.approx(2.8)
    assert found["fast: time of one text, as a share of eager float32's"].measured == pytest.approx(1 / 16)
    assert [claim.text for claim in found.values() if not claim.met] == [
        "fast: points of accuracy lost", "fast: throughput over ONNX Runtime's dynamic int8",
    ]  # fmt: skip
    assert bench.claims([]) == []
    assert len(bench.line(rows[0])) == len(bench.HEADING)


def test_generation_is_held_against_transformers_and_against_itself(script: Callable[[str], ModuleType]) -> None:
    bench = script("bench_generate")
    speeds = {
        ("batch 1", "ours"): 60, ("batch 1", "transformers"): 30,
        ("batch 1", "int4"): 120, ("batch 1", "int8"): 75, ("batch 1", "int4, int8 activations"): 150,
        ("batch 8", "ours"): 90, ("batch 8", "transformers"): 100,
        ("repeated text", f"lookup {bench.LOOKUP}"): 84, ("repeated text", "lookup 0"): 60,
        ("repeated text, int4", f"lookup {bench.LOOKUP}"): 90, ("repeated text, int4", "lookup 0"): 100,
        ("cache", "with cache"): 60, ("cache", "without"): 15,
    }  # fmt: skip
    rows = [{"what": what, "contender": name, "tokens_a_second": v} for (what, name), v in speeds.items()]
    found = [(claim.measured, claim.met) for claim in bench.claims(rows, 0.86, 1.4)]
    assert found == [
        (2, True), (0.9, False), (4, True), (5, True), (2.5, False), (0.9, False), (1.4, True), (4, False),
        (0.86, True), (1.4, False),
    ]  # fmt: skip
    content = {
        "perplexity": {name: {"increase": n} for name, n in zip(bench.BITS, (0.002, 0.01, 0.02), strict=True)},
        "prompts_s": {"16": {"ours": 0.1, "int4": 0.05}, "512": {"ours": 1.0, "int4": 1.2}},
    }
    found = [(claim.measured, claim.met) for claim in bench.claims_of_bits(content)]
    assert found == [(0.002, True), (0.01, True), (0.02, False), (0.5, True), (1.2, False)]
    texts = iter([[[1, 2, 3]], [[1, 2]]])
    first, second = bench.race("x", {"a": lambda: next(texts), "b": lambda: next(texts)}, 1)
    assert (first["equal"], second["equal"]) == (1, 0) and len(bench.line(first)) == len(bench.HEADING)


# ---- the service -------------------------------------------------------------------------------------------------


def test_the_highest_rate_is_found_by_bisection(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(sustained: bool) -> LoadRun:
        latency = np.full(500, 0.05 if sustained else 0.2)
        return LoadRun(np.linspace(0, 10, 500), latency, np.full(500, 200), np.zeros(500))

    monkeypatch.setattr(serving_runs, "closed_loop", lambda *_: run(True))  # 50 requests per second
    monkeypatch.setattr(serving_runs, "loaded", lambda url, texts, rate, seconds, seed: run(rate <= 42))
    rate, runs = serving_runs.highest_rate("", [], 0.1, 10, 8, 0)
    assert 42 - 65 / 2**8 < rate <= 42 and len(runs) == 8
    rate, _ = serving_runs.highest_rate("", [], 0.01, 10, 8, 0)
    assert rate == 0


def test_every_row_is_computed_once_whatever_the_policy() -> None:
    seen: list[tuple[int, ...]] = []
    model = SimpleNamespace(logits=lambda ids: seen.extend(ids))
    rows = [(number,) * (1 + number % 7) for number in range(50)]
    for policy in serving_runs.POLICIES:
        seen.clear()
        assert serving_runs.rows_per_cpu_second(model, rows, policy, 8) > 0  # type: ignore[arg-type]
        assert sorted(seen) == sorted(rows)
