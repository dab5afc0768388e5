"""Costs: formulas against values worked out by hand, against the literature and against a simulation."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from course_lib import costs
from course_lib.errors import BadInput

PRICE = costs.Price("box", usd_per_hour=0.5, watts=100.0, source="assumed")


def written(folder: Path, part: str, **entries: object) -> Path:
    file = folder / "prices.json"
    file.write_text(json.dumps({part: entries}))
    return file


def test_shipped_prices_say_where_they_come_from() -> None:
    machines, apis = costs.load_prices(), costs.load_api_prices()
    assert len(machines) >= 5 and len(apis) >= 2
    for entry in [*machines.values(), *apis.values()]:
        assert entry.note and (entry.source == costs.ASSUMED) == (entry.date == "")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"usd_per_hour": -1}, "usd_per_hour is -1"),
        ({"usd_per_hour": "1"}, "usd_per_hour is '1'"),
        ({"usd_per_hour": True}, "usd_per_hour is True"),
        ({"watts": float("nan")}, "watts is nan"),
        ({"watts": float("inf")}, "watts is inf"),
        ({"source": " "}, "no source"),
        ({"source": None}, "no source"),
        ({"source": "a page"}, "its date is ''"),
        ({"source": "a page", "date": "yesterday"}, "its date is 'yesterday'"),
        ({"date": 5}, "its date is 5"),
        ({"euros": 1}, "unknown are ['euros']"),
    ],
)
def test_a_wrong_price_is_named(tmp_path: Path, change: dict[str, object], named: str) -> None:
    right = {"usd_per_hour": 1, "watts": 5, "source": "assumed"}
    assert costs.load_prices(written(tmp_path, "machines", box=right))["box"].usd_per_hour == 1
    with pytest.raises(BadInput) as caught:
        costs.load_prices(written(tmp_path, "machines", box=right | change))
    assert "'box'" in caught.value.message and named in caught.value.message


def test_files_of_another_form(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"lacks \['source', 'usd_per_hour', 'watts'\]"):
        costs.load_prices(written(tmp_path, "machines", box=[]))
    with pytest.raises(BadInput, match="no prices of machines"):
        costs.load_prices(written(tmp_path, "apis"))
    with pytest.raises(BadInput, match="no prices of machines"):
        costs.load_prices(tmp_path / "absent.json")
    (tmp_path / "prices.json").write_text('{"machines": [1]}')
    with pytest.raises(BadInput, match="is no object"):
        costs.load_prices(tmp_path / "prices.json")


def test_work_money_and_energy() -> None:
    assert costs.training_flops(70e9, 1.4e12) == pytest.approx(5.76e23, rel=0.03)  # Chinchilla, as its paper says
    assert costs.inference_flops(110e6, 128) == pytest.approx(2.816e10)
    one = costs.estimate(3.6e15, 1e12, PRICE)
    assert (one.seconds, one.usd, one.joules) == (3600, 0.5, 360_000)
    four = costs.estimate(3.6e15, 1e12, PRICE, machines=4, utilization=0.5)
    assert (four.seconds, four.usd, four.joules) == (1800, 1.0, 720_000)


def test_price_of_a_million_and_break_even() -> None:
    assert costs.cost_per_million(1000, 3.6) == pytest.approx(1.0)
    assert costs.cost_per_million(1000, 3.6, utilization=0.25) == pytest.approx(4.0)
    assert costs.break_even(60, 300) == pytest.approx(200_000)
    assert costs.break_even(60, 300, 100) == pytest.approx(300_000)
    assert costs.break_even(60, 300, 300) == math.inf


def test_waiting_against_known_values() -> None:
    assert costs.erlang_c(2, 1, 3) == pytest.approx(4 / 9)
    assert costs.erlang_c(0.8, 1, 1) == pytest.approx(0.8)  # one server: the load
    assert costs.mmc_wait(0.8, 1, 1) == pytest.approx(4.0)
    assert costs.mmc_wait(2, 1, 3) == pytest.approx(4 / 9)
    assert costs.mmc_wait_quantile(0.8, 1, 1, 0.99) == pytest.approx(math.log(80) / 0.2)
    assert costs.mmc_wait_quantile(0.1, 1, 1, 0.5) == 0
    assert costs.mg1_wait(0.8, 1, 1) == pytest.approx(costs.mmc_wait(0.8, 1, 1))
    assert costs.mg1_wait(0.8, 1, 0) == pytest.approx(2.0)  # equal service times: half of it


def test_erlang_c_against_its_sum() -> None:
    load, servers = 990.0, 1000
    logs = [k * math.log(load) - math.lgamma(k + 1) for k in range(servers + 1)]
    last = math.exp(logs[-1] - max(logs)) / (1 - load / servers)
    below = math.fsum(math.exp(log - max(logs)) for log in logs[:-1])
    assert costs.erlang_c(load, 1, servers) == pytest.approx(last / (below + last), rel=1e-9)


def test_too_much_load_waits_for_ever() -> None:
    assert costs.erlang_c(3, 1, 3) == 1
    assert costs.mmc_wait(3, 1, 3) == costs.mmc_wait_quantile(3, 1, 3, 0.5) == costs.mg1_wait(1, 1, 0) == math.inf


def test_replicas_are_the_fewest() -> None:
    for rate in (0.0, 3.0, 99.9, 100.0, 1000.0):
        for wait in (0.0, 0.01, 0.5):
            found = costs.replicas_for(rate, 10, wait)
            assert costs.mmc_wait_quantile(rate, 10, found, 0.99) <= wait
            assert found == 1 or costs.mmc_wait_quantile(rate, 10, found - 1, 0.99) > wait
    assert 50_000 < costs.replicas_for(5e4, 1, 0.01) < 51_000  # of many servers few have to be spare
    assert costs.replicas_for(np.float64(99.9), np.int64(10), 0.01, 0.999) >= costs.replicas_for(99.9, 10, 0.01, 0.9)


def run_with_failures(draw: np.random.Generator, steps: int, length: float, restart: float, mtbf: float) -> float:
    """Seconds of a run of equal steps, each lost when a failure falls into it."""
    seconds = 0.0
    for _ in range(steps):
        needed = length
        while (failure := draw.exponential(mtbf)) < needed:
            seconds, needed = seconds + failure, restart + length
        seconds += needed
    return seconds


@pytest.mark.parametrize(("interval", "mtbf"), [(50.0, 300.0), (200.0, 300.0), (100.0, 5000.0)])
def test_run_time_with_failures_against_a_simulation(interval: float, mtbf: float) -> None:
    draw = np.random.default_rng(1)
    runs = [run_with_failures(draw, int(1000 / interval), interval + 10, 20, mtbf) for _ in range(4000)]
    error = np.std(runs, ddof=1) / math.sqrt(len(runs))
    assert abs(np.mean(runs) - costs.expected_seconds(1000, interval, 10, 20, mtbf)) < 4 * error


@pytest.mark.parametrize("checkpoint", [1.0, 60.0, 600.0])
def test_checkpoint_interval_is_where_the_run_is_shortest(checkpoint: float) -> None:
    best = min(np.geomspace(1, 20_000, 20_001), key=lambda t: costs.expected_seconds(1e6, t, checkpoint, 30, 3600))
    assert costs.checkpoint_interval(checkpoint, 3600) == pytest.approx(best, rel=0.01)
    assert abs(costs.checkpoint_interval(checkpoint, 3600, "young") - best) > abs(
        costs.checkpoint_interval(checkpoint, 3600) - best
    )


def test_checkpoint_limits() -> None:
    assert costs.checkpoint_interval(50, 3600, "young") == 600
    assert costs.checkpoint_interval(500, 100) == 100
    assert costs.expected_seconds(100, 1000, 10, 5, 1e12) == pytest.approx(110)  # no failures, one checkpoint
    with pytest.raises(BadInput, match="never ends"):
        costs.expected_seconds(1e6, 1e6, 10, 5, 100)


@pytest.mark.parametrize(
    "call",
    [
        lambda: costs.training_flops(0, 1),
        lambda: costs.inference_flops(1, float("inf")),
        lambda: costs.inference_flops(1, 10**400),
        lambda: costs.estimate(1, 1, PRICE, machines=0),
        lambda: costs.estimate(1, 1, PRICE, utilization=1.1),
        lambda: costs.cost_per_million(0, 1),
        lambda: costs.cost_per_million(1, 1, 0),
        lambda: costs.break_even(-1, 1),
        lambda: costs.erlang_c(1, 1, 0),
        lambda: costs.erlang_c(1, 1, 1.5),  # type: ignore[arg-type]
        lambda: costs.mmc_wait(-1, 1, 1),
        lambda: costs.mmc_wait_quantile(1, 2, 1, 1.0),
        lambda: costs.mg1_wait(1, 1, -1),
        lambda: costs.replicas_for(1, 1, -0.1),
        lambda: costs.replicas_for(1e9, 1, 0.1),
        lambda: costs.replicas_for(1, 1, 0.1, float("nan")),
        lambda: costs.checkpoint_interval(0, 1),
        lambda: costs.checkpoint_interval(1, 1, "best"),
        lambda: costs.expected_seconds(1, 1, -1, 0, 1),
        lambda: costs.energy_meter((5.0, 1.0)).__enter__(),
    ],
)
def test_bad_numbers(call: object) -> None:
    with pytest.raises(BadInput):
        call()  # type: ignore[operator]


def counter(folder: Path, name: str, microjoules: int) -> None:
    folder.mkdir(exist_ok=True)
    for file, text in {"name": name, "max_energy_range_uj": "999999", "energy_uj": str(microjoules)}.items():
        (folder / file).write_text(text)


def test_energy_from_counters_that_wrap(tmp_path: Path) -> None:
    counter(tmp_path / "intel-rapl:0", "package-0\n", 900_000)
    counter(tmp_path / "intel-rapl:1", "psys\n", 0)  # contains the package: not added
    with costs.energy_meter((1.0, 2.0), tmp_path) as energy:
        counter(tmp_path / "intel-rapl:0", "package-0\n", 100_000)
        counter(tmp_path / "intel-rapl:1", "psys\n", 500_000)
    assert (energy.method, energy.low, energy.high) == ("rapl", 0.2, 0.2)


def test_energy_without_counters_is_a_range(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no energy counters"), costs.energy_meter(powercap=tmp_path):
        pass
    with costs.energy_meter((10.0, 30.0), tmp_path) as energy:
        sum(range(1000))
    assert energy.method == "declared" and energy.seconds > 0
    assert energy.low == pytest.approx(10 * energy.seconds) and energy.high == pytest.approx(30 * energy.seconds)
