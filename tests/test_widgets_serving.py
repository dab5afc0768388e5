"""The widgets of notebooks 11 and 12 are moved by values, and show what the functions behind them compute."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from course_lib import costs, widgets
from course_lib.errors import BadInput
from course_lib.scaling import ring_all_reduce
from course_lib.serving.batcher import take_batch
from course_lib.serving.load import LoadRun, quantile_interval
from course_lib.serving.simulation import POLICIES, simulate_batches
from course_lib.widgets.costs import Scenario, scenario_costs
from course_lib.widgets.queueing import batch_steps
from course_lib.widgets.ring import contributions
from course_lib.widgets.traffic import describe_run, latency_table


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


# ---------------------------------------------------------------- the queue

ARRIVALS = [0.0, 0.001, 0.002, 0.003, 0.004, 0.5]
LENGTHS = [10, 40, 11, 42, 12, 5]


def test_a_replay_shows_what_take_batch_takes_and_counts_padding() -> None:
    run = simulate_batches(ARRIVALS, LENGTHS, lambda rows, longest: 0.1, "length", max_tokens=84)
    steps = batch_steps(run, LENGTHS)
    assert [step.taken for step in steps] == [[0], [1, 3], [2, 4], [5]]
    for step in steps:
        chosen = take_batch([LENGTHS[row] for row in step.waiting], 84)
        assert sorted(step.waiting[place] for place in chosen) == step.taken
    assert [step.start for step in steps] == pytest.approx([0, 0.1, 0.2, 0.5])
    assert steps[1].padding == pytest.approx(2 / 84) and steps[1].padding_so_far == pytest.approx(2 / 94)
    assert [step.done for step in steps] == [1, 3, 5, 6] and steps[-1].end == pytest.approx(0.6)


def test_the_queues_of_all_policies_are_shown_at_the_same_time() -> None:
    slider, queues = widgets.queue_replay(ARRIVALS, LENGTHS, lambda rows, longest: 0.1).children
    slider.value = 1
    assert "the oldest row waits for the timer" in plain(queues.value)
    slider.value = slider.max
    assert plain(queues.value).count("6 of 6 rows are done") == len(POLICIES)
    seen = set()
    for step in range(1, slider.max + 1):
        slider.value = step
        seen.add(queues.value)
    assert len(seen) == slider.max


def test_in_the_example_rows_by_length_waste_least_and_end_first() -> None:
    slider, queues = widgets.queue_replay().children
    slider.value = slider.max
    padding = [int(found) for found in re.findall(r"so far: (\d+)%", queues.value)]
    ends = [int(found) for found in re.findall(r"done after (\d+) ms", queues.value)]
    assert padding[2] == min(padding) < padding[0] and ends[2] == min(ends) < ends[0]


# ---------------------------------------------------------------- a canary

LABELS = np.tile([0, 1], 500)
STABLE = np.where(np.arange(1000) % 10 == 0, 1 - LABELS, LABELS)  # 90 %
CANDIDATE = np.where(np.arange(1000) % 20 == 1, 1 - LABELS, STABLE)  # 85 %, the stable version's errors and more


def test_more_traffic_narrows_the_interval_and_changes_the_picture() -> None:
    box = widgets.canary_slider(STABLE, CANDIDATE, LABELS)
    fraction, hours, words, picture = box.children
    before, shown = plain(words.value), picture.value
    assert "predicts 800 texts" in before and "notice 5.0 percentage points" in before and "on 95.0% of" in before
    hours.value = 72
    assert "predicts 7,200 texts" in plain(words.value) and picture.value != shown
    fraction.value = 0.5
    assert "predicts 36,000 texts" in plain(words.value) and not plt.get_fignums()


def test_equal_predictions_leave_nothing_to_notice() -> None:
    words = widgets.canary_slider(STABLE, STABLE, LABELS).children[2]
    assert "there is no difference to notice" in words.value


# ---------------------------------------------------------------- live traffic


def load_run(latency: float, status: int = 200, n: int = 400) -> LoadRun:
    times = np.linspace(0, 2, n)
    return LoadRun(times, latency * np.linspace(1, 2, n), np.full(n, status), np.zeros(n))


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The loads that were sent; latency grows with the rate."""
    sent: list[tuple[Any, ...]] = []

    def stub(url: str, texts: list[str], rate: int, seconds: float, seed: int, token: str | None) -> LoadRun:
        sent.append((url, rate, seconds, seed))
        if rate == 400:
            raise BadInput("a <server> that is gone", "start it")
        return load_run(rate / 1e4, 503 if rate == 390 else 200)

    monkeypatch.setattr("course_lib.widgets.traffic.open_loop", stub)
    return sent


def test_each_move_sends_a_load_and_earlier_points_stay(traffic: list[tuple[Any, ...]]) -> None:
    box = widgets.live_traffic("http://127.0.0.1:1", ["a"])
    slider, again, words, last, curve = box.children
    pictures = [(last.value, curve.value)]
    assert not slider.continuous_update and "400 served, 0 refused, 0 lost. p50 is 3 ms" in plain(words.value)
    slider.value = 100
    pictures.append((last.value, curve.value))
    again.click()
    assert [rate for _, rate, *_ in traffic] == [20, 100, 100] and len({seed for *_, seed in traffic}) == 3
    assert pictures[0][0] != pictures[1][0] and pictures[0][1] != pictures[1][1]
    slider.value = 390
    assert "0 served, 400 refused" in plain(words.value) and last.layout.display == "none"
    slider.value = 400
    assert "a <server> that is gone" in plain(words.value)
    assert not plt.get_fignums()


def test_runs_of_one_rate_are_pooled_and_refusals_do_not_count() -> None:
    runs = {50: [load_run(0.01), load_run(0.03)], 60: [load_run(0.01, 503)]}
    table = latency_table(runs)
    served = np.concatenate([run.served for run in runs[50]])
    assert table["rate"].tolist() == [50] and table["p99"][0] == pytest.approx(np.quantile(served, 0.99))
    assert (table["p99_low"][0], table["p99_high"][0]) == quantile_interval(served, 0.99)
    assert "takes 368 requests" in describe_run(load_run(0.01, n=50))
    assert "too busy" in describe_run(replace(load_run(0.01), lateness=np.full(400, 0.1)))


# ---------------------------------------------------------------- prices

PRICE = costs.Price("a machine", 2.0, 100, "assumed")
API = costs.ApiPrice("an API", 50.0, "assumed")
EXAMPLE = Scenario(PRICE, API, 1e6, 1e9, 1e12, 0.5, 90.0, 0.5, 100.0, 0.1, 540.0)


def test_costs_by_hand() -> None:
    found = scenario_costs(EXAMPLE)
    assert found.flops == 6e15 and found.training.seconds == pytest.approx(12_000)
    assert found.training.usd == pytest.approx(20 / 3) and found.training.joules == pytest.approx(1.2e6)
    assert found.replicas == costs.replicas_for(90, 100, 0.1) == 2 and found.busy == pytest.approx(0.225)
    assert found.usd_per_month == pytest.approx(2 * 2 * 730 + 540)
    requests = 45 * 730 * 3600
    assert found.usd_per_million * requests / 1e6 == pytest.approx(2 * 2 * 730)
    assert found.api_usd_per_month == pytest.approx(requests / 1e6 * 50)
    assert found.break_even_requests == pytest.approx(found.usd_per_month / 50 * 1e6)


def test_the_sliders_change_the_costs_and_a_machine_brings_its_price() -> None:
    cheap = costs.Price("<spot>", 0.5, 100, "a list", "2026-01-01")
    box = widgets.price_sliders({"a machine": PRICE, "<spot>": cheap}, EXAMPLE)
    machine, *sliders, shown = box.children
    named = {slider.description: slider for slider in sliders}
    assert len(sliders) == 11 and "Your own machines are cheaper" in shown.value and "$3,460" in shown.value
    machine.value = "<spot>"
    assert named["Price per hour (USD)"].value == 0.5 and "$1,270" in shown.value
    assert "&lt;spot&gt;: a list, 2026-01-01" in shown.value and "<spot>" not in shown.value
    seen = {shown.value}
    for slider in sliders:
        slider.value = slider.value / 2
        seen.add(shown.value)
    assert len(seen) == 12  # each slider changes something
    named["Requests per second at the peak"].value, named["Requests per second of a replica"].value = 1e5, 1
    assert "There is no result." in shown.value


def test_without_arguments_the_prices_are_those_of_the_input_file() -> None:
    box = widgets.price_sliders()
    assert [name for _, name in box.children[0].options] == list(costs.load_prices())
    assert next(iter(costs.load_api_prices())) in box.children[-1].value


# ---------------------------------------------------------------- the ring


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_every_step_adds_one_process_and_all_end_with_the_sum(processes: int) -> None:
    steps = ring_all_reduce([np.full(processes, 2.0**i) for i in range(processes)])
    for number, step in enumerate(steps[: processes - 1], start=1):
        parts = contributions(step.states)
        for one in step.transfers:
            sources = {(one.receiver - back) % processes for back in range(number + 1)}
            assert set(parts[one.receiver][one.chunk]) == sources
    assert contributions(steps[-1].states) == [[list(range(processes))] * processes] * processes


def test_the_step_and_the_processes_move_the_table() -> None:
    processes, step, table = widgets.ring_all_reduce_steps(4, size=4000).children
    assert "has its own gradients alone" in table.value and "sent 0 of 6,000 bytes" in table.value
    step.value = 1
    assert "0+3" in table.value and "sent 1,000 of 6,000 bytes" in table.value
    assert table.value.count("from process") == 4
    step.value = 6
    assert table.value.count(">all<") == 16 and "1.5 times its gradients" in table.value
    processes.value = 2
    assert step.max == step.value == 2 and table.value.count(">all<") == 4


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: widgets.queue_replay(ARRIVALS), "belong together"),
        (lambda: batch_steps(simulate_batches([0.0], [3], lambda rows, longest: 0.1), [3, 4]), "2 lengths for 1 rows"),
        (lambda: widgets.canary_slider(STABLE[:5], CANDIDATE, LABELS), "shapes"),
        (lambda: widgets.canary_slider([], [], []), "shapes"),
        (lambda: widgets.live_traffic("http://127.0.0.1:1", ["a"], highest=5), "up to 5"),
        (lambda: widgets.price_sliders({}), "no prices"),
        (lambda: widgets.ring_all_reduce_steps(9), "9 processes"),
        (lambda: widgets.price_sliders(scenario=replace(EXAMPLE, requests_per_second=0)), "utilization is 0"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        call()
