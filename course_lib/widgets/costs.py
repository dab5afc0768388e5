"""What training and serving a model cost, with a slider for each number that the answer depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import ipywidgets

from course_lib.costs import (
    ApiPrice,
    Estimate,
    Price,
    break_even,
    cost_per_million,
    estimate,
    load_api_prices,
    load_prices,
    replicas_for,
    training_flops,
)
from course_lib.errors import BadInput
from course_lib.widgets.base import control_style, error_message, live_box, message

HOURS_PER_MONTH = 730.0
LOG_STEP = 0.1  # of a logarithmic slider: ten steps multiply by ten
MOST_REPLICAS = 1_000
JOULES_PER_KWH = 3.6e6
LOOK_FOR = "Move one slider at a time, and look for those that change a cost by as large a factor as their own."


@dataclass(frozen=True)
class Scenario:
    """What a company wants to do, and what it measured.

    Attributes:
        price: of one machine, for training and for serving.
        api: of another company that does the same work.
        parameters: of the model, without embedding tables.
        tokens: of the training, over all epochs.
        flops_per_second: of one machine: measured, or a peak with a utilization below 1.
        utilization: fraction of it that the training reaches.
        requests_per_second: at the peak of the day.
        mean_traffic: mean of the day divided by the peak.
        replica_rate: requests per second that one machine completes.
        wait_seconds: that 99 % of the requests wait at most.
        people_usd: for those who run your own service, a month.
    """

    price: Price
    api: ApiPrice
    parameters: float = 1e7
    tokens: float = 1e8
    flops_per_second: float = 1e11
    utilization: float = 0.4
    requests_per_second: float = 20.0
    mean_traffic: float = 0.4
    replica_rate: float = 100.0
    wait_seconds: float = 0.05
    people_usd: float = 0.0


@dataclass(frozen=True)
class ScenarioCosts:
    """What a scenario costs.

    Attributes:
        flops: of the training.
        training: its seconds, US dollars and joules.
        replicas: machines that keep the waiting time at the peak.
        busy: fraction of their rate that is used over the day.
        usd_per_million: of serving, without people.
        usd_per_month: of serving, people included.
        api_usd_per_month: for the same requests.
        break_even_requests: a month, from which these machines are cheaper than the API.
        months_to_pay_training: until the training is paid by what is saved; infinite where nothing is.
    """

    flops: float
    training: Estimate
    replicas: int
    busy: float
    usd_per_million: float
    usd_per_month: float
    api_usd_per_month: float
    break_even_requests: float
    months_to_pay_training: float


def scenario_costs(scenario: Scenario) -> ScenarioCosts:
    """All costs of a scenario. The replicas are paid all day, also when traffic is low.

    Raises:
        BadInput: a number outside its range, or more than 1,000 replicas.
    """
    flops = training_flops(scenario.parameters, scenario.tokens)
    training = estimate(flops, scenario.flops_per_second, scenario.price, utilization=scenario.utilization)
    peak = scenario.requests_per_second
    if peak > MOST_REPLICAS * scenario.replica_rate:
        raise BadInput(f"{peak:g} requests per second need over {MOST_REPLICAS:,} replicas", "lower the requests")
    replicas = replicas_for(peak, scenario.replica_rate, scenario.wait_seconds)
    mean = peak * scenario.mean_traffic
    busy = mean / (replicas * scenario.replica_rate)
    usd_per_month = replicas * scenario.price.usd_per_hour * HOURS_PER_MONTH + scenario.people_usd
    api_usd_per_month = mean * HOURS_PER_MONTH * 3600 / 1e6 * scenario.api.usd_per_million
    saved = api_usd_per_month - usd_per_month
    return ScenarioCosts(
        flops, training, replicas, busy,
        cost_per_million(scenario.replica_rate, scenario.price.usd_per_hour, busy), usd_per_month, api_usd_per_month,
        break_even(usd_per_month, scenario.api.usd_per_million), training.usd / saved if saved > 0 else math.inf,
    )  # fmt: skip


def price_sliders(prices: Mapping[str, Price] | None = None, scenario: Scenario | None = None) -> ipywidgets.VBox:
    """A machine, its price and sliders for the numbers of a scenario; below them, what training and serving cost.

    Args:
        prices: name -> price of one machine; left out, those of `data/prices.json`.
        scenario: to begin with; left out, an example with the first prices. Pass the rates that you have measured.

    Returns:
        A box of the class `price-sliders`: the machine (children[0], a dropdown), its price (children[1]), the sliders
        (children[2] to children[11]) and the costs (children[12], HTML).

    Raises:
        BadInput: no prices, a number of the scenario outside its range, or what `load_prices` raises.
    """
    known = load_prices() if prices is None else dict(prices)
    if not known:
        raise BadInput("there are no prices", "pass at least one, or write them into data/prices.json")
    start = scenario or Scenario(next(iter(known.values())), next(iter(load_api_prices().values())))
    scenario_costs(start)  # says what is wrong with it
    known.setdefault(start.price.name, start.price)
    options = [(f"{name} (${one.usd_per_hour:.3g} an hour)", name) for name, one in known.items()]
    machine = ipywidgets.Dropdown(options=options, value=start.price.name, description="Machine", **_LOOK)
    sliders = _sliders(start)
    shown = ipywidgets.HTML(layout={"width": "min(100%, 900px)"})

    def take_price(_: object) -> None:
        sliders["usd_per_hour"].value = known[machine.value].usd_per_hour

    def show(_: object = None) -> None:
        numbers = {name: slider.value for name, slider in sliders.items()}
        price = replace(known[machine.value], usd_per_hour=numbers.pop("usd_per_hour"))
        api = replace(start.api, usd_per_million=numbers.pop("usd_per_million"))
        try:
            shown.value = costs_html(Scenario(price, api, **numbers)) + _origin(known[machine.value], start.api)
        except BadInput as error:
            shown.value = message("There is no result.") + error_message(error)

    machine.observe(take_price, names="value")
    return live_box("price-sliders", [machine, *sliders.values()], [shown], show)


def costs_html(scenario: Scenario) -> str:
    """The costs of a scenario: which is cheaper, in words, and two tables."""
    found = scenario_costs(scenario)
    if found.usd_per_month < found.api_usd_per_month:
        repaid = _duration(found.months_to_pay_training * HOURS_PER_MONTH * 3600)
        verdict = f"Your own machines are cheaper than the API; what they save pays for the training in {repaid}."
    else:
        verdict = "The API is cheaper than your own machines at this traffic."
    training = {
        "operations": f"{found.flops:.2e} FLOPs",
        "time on one machine": _duration(found.training.seconds),
        "price": _usd(found.training.usd),
        "energy": f"{_count(found.training.joules / JOULES_PER_KWH)} kWh",
    }
    serving = {
        "replicas at the peak": f"{found.replicas:,}",
        "utilization over the day": f"{found.busy:.0%}",
        "machines for a million requests": _usd(found.usd_per_million),
        "machines and people a month": _usd(found.usd_per_month),
        "the API for the same requests": f"{_usd(found.api_usd_per_month)} a month",
        "break-even": f"{_count(found.break_even_requests)} requests a month",
    }
    tables = _table("Training", training) + _table("Serving", serving)
    columns = f'<div style="display:flex;flex-wrap:wrap;gap:2em;align-items:flex-start">{tables}</div>'
    return f"{message(verdict)}<p>{LOOK_FOR}</p>{columns}"


def _origin(price: Price, api: ApiPrice) -> str:
    """Where the prices that the sliders begin with come from."""
    lines = [f"{one.name}: {', '.join(filter(None, [one.source, one.date]))}" for one in (price, api)]
    return f"<p>Sources of the prices before you change them. {escape('. '.join(lines))}.</p>"


_LOOK = control_style("19em", "620px")


def _sliders(start: Scenario) -> dict[str, Any]:
    return {
        "usd_per_hour": ipywidgets.BoundedFloatText(
            value=start.price.usd_per_hour, max=1e6, step=0.01, description="Price per hour (USD)", **_LOOK
        ),
        "parameters": _log("Parameters", start.parameters, 5, 12),
        "tokens": _log("Tokens of training", start.tokens, 5, 13.5),
        "flops_per_second": _log("FLOP/s of one machine", start.flops_per_second, 9, 16),
        "utilization": _fraction("Fraction of FLOP/s reached", start.utilization),
        "requests_per_second": _log("Requests per second at the peak", start.requests_per_second, -2, 5),
        "mean_traffic": _fraction("Mean traffic / peak", start.mean_traffic),
        "replica_rate": _log("Requests per second of a replica", start.replica_rate, 0, 5),
        "wait_seconds": _log("SLO: 99 % wait at most (s)", start.wait_seconds, -3, 1, ".3f"),
        "usd_per_million": _log("API price per million (USD)", start.api.usd_per_million, -2, 4),
        "people_usd": ipywidgets.FloatSlider(
            value=start.people_usd,
            max=max(20_000, start.people_usd),
            step=100,
            readout_format=",.0f",
            description="People per month (USD)",
            **_LOOK,
        ),
    }


def _log(name: str, value: float, low: float, high: float, readout: str = ".3s") -> ipywidgets.FloatLogSlider:
    """A slider from about 10^low to 10^high; its steps meet the start, which the browser would round otherwise."""
    place = math.log10(value)
    below, above = (max(0, math.ceil(room / LOG_STEP)) for room in (place - low, high - place))
    return ipywidgets.FloatLogSlider(
        value=value, min=place - below * LOG_STEP, max=place + above * LOG_STEP, step=LOG_STEP, description=name,
        readout_format=readout, **_LOOK,
    )  # fmt: skip


def _fraction(name: str, value: float) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(value=value, min=0.05, max=1, step=0.05, description=name, **_LOOK)


def _table(title: str, rows: Mapping[str, str]) -> str:
    cells = "".join(
        f'<tr><td style="padding-right:1em">{escape(name)}</td><td style="text-align:right">{escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f'<table><caption style="text-align:left"><b>{title}</b></caption>{cells}</table>'


def _usd(amount: float) -> str:
    return f"${amount:,.0f}" if amount >= 100 else f"${amount:.3g}"


def _count(number: float) -> str:
    if number < 1e6:
        return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
    return f"{number / 1e6:,.3g} million" if number < 1e9 else f"{number / 1e9:,.3g} billion"


def _duration(seconds: float) -> str:
    units = ((86400 * 365, "years"), (86400, "days"), (3600, "hours"), (60, "minutes"), (0, "seconds"))
    size, name = next((size, name) for size, name in units if seconds >= 2 * size)
    return f"{seconds / max(size, 1):,.3g} {name}"
