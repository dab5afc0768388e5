"""What a training or a service costs: operations, seconds, money and joules, and how many machines it needs.

Measured rates and dated prices go in; nothing here knows a price. The prices are in `data/prices.json`, which is yours
to edit: each has its source and date, or says that it is assumed.
"""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from datetime import date
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from course_lib.assets import data_folder
from course_lib.errors import BadInput

ASSUMED = "assumed"  # the source of a price that nobody published
SECONDS_PER_HOUR = 3600.0
_MOST_SERVERS = 1_000_000
RAPL = Path("/sys/class/powercap")  # Running Average Power Limit: the energy counters of Intel and AMD processors


@dataclass(frozen=True)
class Price:
    """What one machine costs.

    Attributes:
        name: of the machine.
        usd_per_hour: US dollars for one hour, used or not.
        watts: power under load, in joules per second.
        source: where the price was published, or "assumed".
        date: when it was read there (YYYY-MM-DD); empty where it is assumed.
        note: what the machine is, and which of the numbers is a guess.
    """

    name: str
    usd_per_hour: float
    watts: float
    source: str
    date: str = ""
    note: str = ""


@dataclass(frozen=True)
class ApiPrice:
    """What another company charges for a million requests. `source`, `date` and `note` are those of `Price`."""

    name: str
    usd_per_million: float
    source: str
    date: str = ""
    note: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a piece of work takes: seconds from start to end, US dollars and joules over all machines."""

    seconds: float
    usd: float
    joules: float


def load_prices(path: Path | None = None) -> dict[str, Price]:
    """The prices of machines: name -> Price, from `data/prices.json` or a file of that form.

    Raises:
        BadInput: the file is missing or is not JSON; an entry has an unknown or missing key, a number that is negative
            or not finite, or neither a source with its date nor the word "assumed". The message names the entry.
    """
    return _load(path, "machines", Price)


def load_api_prices(path: Path | None = None) -> dict[str, ApiPrice]:
    """The prices of APIs that do the same work: name -> ApiPrice. Raises what `load_prices` raises."""
    return _load(path, "apis", ApiPrice)


_Entry = TypeVar("_Entry", Price, ApiPrice)


def _load(path: Path | None, part: str, kind: type[_Entry]) -> dict[str, _Entry]:
    file = path or data_folder() / "prices.json"
    try:
        entries = json.loads(Path(file).read_text(encoding="utf-8"))[part]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{file} has no prices of {part} ({error})", "write it as data/prices.json is written"
        ) from error
    if not isinstance(entries, Mapping):
        raise BadInput(f"{part} in {file} is no object", "write one entry for each name, as data/prices.json does")
    return {name: _entry(name, values, kind) for name, values in entries.items()}


def _entry(name: str, values: Any, kind: type[_Entry]) -> _Entry:
    known = {field.name: field for field in fields(kind) if field.name != "name"}
    needed = {key for key, field in known.items() if field.default is MISSING}
    given = values.keys() if isinstance(values, Mapping) else set()
    if not needed <= given <= known.keys():
        missing, unknown = sorted(needed - given), sorted(given - known.keys())
        raise BadInput(f"the price {name!r} lacks {missing}, unknown are {unknown}", f"give it {', '.join(known)}")
    for key, field in known.items():
        if "float" in str(field.type) and not _is_number(values[key]):
            raise BadInput(f"the price {name!r}: {key} is {values[key]!r}", "write a number that is not negative")
    _check_source(name, values)
    return kind(name=name, **values)


def _check_source(name: str, values: Mapping[str, Any]) -> None:
    source, day = values["source"], values.get("date", "")
    if not isinstance(source, str) or not source.strip():
        raise BadInput(f"the price {name!r} has no source", f'name where it was published, or write "{ASSUMED}"')
    try:
        dated = bool(date.fromisoformat(day))
    except (TypeError, ValueError):
        dated = False
    if not dated and (day or source != ASSUMED):
        raise BadInput(f"the price {name!r}: its date is {day!r}", f'write YYYY-MM-DD, or the source "{ASSUMED}"')


def _is_number(value: Any) -> bool:
    """Whether it is finite and not negative, as Python's or numpy's number."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf
    except OverflowError:  # a whole number that no float can hold
        return False


def _check(above_zero: Mapping[str, float], at_least_zero: Mapping[str, float] | None = None) -> None:
    """Raises BadInput that names the first number which is out of its range or not finite."""
    for name, value in above_zero.items():
        if not _is_number(value) or value == 0:
            raise BadInput(f"{name} is {value!r}", "use a number above 0")
    for name, value in (at_least_zero or {}).items():
        if not _is_number(value):
            raise BadInput(f"{name} is {value!r}", "use a number that is not negative")


def _check_fraction(name: str, value: float) -> None:
    if not _is_number(value) or not 0 < value <= 1:
        raise BadInput(f"{name} is {value!r}", "use a fraction above 0, at most 1")


# Work, money and energy


def training_flops(parameters: float, tokens: float) -> float:
    """Floating-point operations of a training: 6 N D, a third in the forward pass and two in the backward pass.

    Kaplan et al. 2020 (arXiv:2001.08361), section 2.1; Hoffmann et al. 2022 (arXiv:2203.15556), appendix F. The
    products of attention that grow with the length are left out, and so is padding.

    Args:
        parameters: N, without the embedding tables, of which a token reads one row.
        tokens: D, over all epochs.

    Raises:
        BadInput: a number that is not above 0.
    """
    return 3.0 * inference_flops(parameters, tokens)


def inference_flops(parameters: float, tokens: float) -> float:
    """Floating-point operations of a forward pass: 2 N D, a multiplication and an addition for each weight and token.

    Sources, arguments and errors are those of `training_flops`.
    """
    _check({"parameters": parameters, "tokens": tokens})
    return 2.0 * parameters * tokens


def estimate(
    flops: float, flops_per_second: float, price: Price, machines: int = 1, utilization: float = 1.0
) -> Estimate:
    """Seconds, US dollars and joules of a number of operations.

    Args:
        flops: operations in all.
        flops_per_second: of one machine: a measured rate, or the peak of its data sheet with `utilization` below 1.
        price: of one machine.
        machines: how many work at once. The work is assumed to divide evenly: include what communication costs in
            `utilization`.
        utilization: fraction of `flops_per_second` that is reached, in (0, 1].

    Raises:
        BadInput: a number outside its range.
    """
    _check({"flops": flops, "flops_per_second": flops_per_second, "machines": machines})
    _check_fraction("utilization", utilization)
    seconds = flops / (flops_per_second * machines * utilization)
    machine_seconds = seconds * machines
    return Estimate(seconds, machine_seconds / SECONDS_PER_HOUR * price.usd_per_hour, machine_seconds * price.watts)


def cost_per_million(requests_per_second: float, usd_per_hour: float, utilization: float = 1.0) -> float:
    """US dollars for a million requests on a machine that is paid by the hour.

    Args:
        requests_per_second: what the machine can do.
        usd_per_hour: its price.
        utilization: mean traffic divided by `requests_per_second`, in (0, 1]. A machine that waits costs the same.

    Raises:
        BadInput: a number outside its range.
    """
    _check({"requests_per_second": requests_per_second}, {"usd_per_hour": usd_per_hour})
    _check_fraction("utilization", utilization)
    return usd_per_hour / (SECONDS_PER_HOUR * requests_per_second * utilization) * 1e6


def break_even(usd_per_month: float, usd_per_million: float, own_usd_per_million: float = 0.0) -> float:
    """Requests a month from which a service of your own is cheaper than an API; infinite where it never is.

    Args:
        usd_per_month: what your service costs however little it is used: machines, and people's hours.
        usd_per_million: the API's price.
        own_usd_per_million: what a million requests add to your own bill.

    Raises:
        BadInput: a negative number.
    """
    _check({"usd_per_million": usd_per_million}, {"usd_per_month": usd_per_month, "own": own_usd_per_million})
    saved = usd_per_million - own_usd_per_million
    return usd_per_month / saved * 1e6 if saved > 0 else math.inf


# Waiting


def erlang_c(arrival_rate: float, service_rate: float, servers: int) -> float:
    """Probability that a request has to wait in an M/M/c queue (Erlang 1917); 1 where the load is too high.

    Requests arrive as a Poisson process, service times are exponential, the queue is unbounded. Computed by the
    recursion of Erlang's B formula, which does not overflow: B(c) = a B(c-1) / (c + a B(c-1)), with a = load.

    Args:
        arrival_rate: requests per second.
        service_rate: requests per second that one server completes.
        servers: c, how many there are.

    Raises:
        BadInput: a number outside its range.
    """
    _check({"service_rate": service_rate}, {"arrival_rate": arrival_rate})
    if not isinstance(servers, Integral) or servers < 1:
        raise BadInput(f"servers is {servers!r}", "use a whole number, at least 1")
    load = arrival_rate / service_rate
    if load >= servers:
        return 1.0
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mmc_wait(arrival_rate: float, service_rate: float, servers: int) -> float:
    """Mean seconds before service begins in an M/M/c queue; infinite where the load is too high.

    Arguments and errors are those of `erlang_c`.
    """
    waits = erlang_c(arrival_rate, service_rate, servers)
    spare = servers * service_rate - arrival_rate
    return waits / spare if spare > 0 else math.inf


def mmc_wait_quantile(arrival_rate: float, service_rate: float, servers: int, q: float) -> float:
    """Seconds that a fraction q of the requests wait at most, in an M/M/c queue served in order of arrival.

    P(wait > t) = C exp(-(c mu - lambda) t), with C from `erlang_c`. It is 0 where a fraction q does not wait at all.

    Raises:
        BadInput: q outside (0, 1), or what `erlang_c` raises.
    """
    if not _is_number(q) or not 0 < q < 1:
        raise BadInput(f"q is {q!r}", "use a fraction between 0 and 1, such as 0.99")
    waits = erlang_c(arrival_rate, service_rate, servers)
    spare = servers * service_rate - arrival_rate
    if spare <= 0:
        return math.inf
    return max(0.0, math.log(waits / (1 - q)) / spare) if waits > 0 else 0.0


def mg1_wait(arrival_rate: float, mean_service: float, scv: float) -> float:
    """Mean seconds before service begins at one server, for any service times: Pollaczek (1930) and Khinchine (1932).

    rho / (1 - rho) * (1 + scv) / 2 * mean_service, with rho = arrival_rate * mean_service. Infinite from rho = 1.

    Args:
        arrival_rate: requests per second, a Poisson process.
        mean_service: mean seconds of service.
        scv: squared coefficient of variation of the service times, variance / mean^2: 0 where all are equal, 1 where
            they are exponential.

    Raises:
        BadInput: a number outside its range.
    """
    _check({"mean_service": mean_service}, {"arrival_rate": arrival_rate, "scv": scv})
    load = arrival_rate * mean_service
    return load / (1 - load) * (1 + scv) / 2 * mean_service if load < 1 else math.inf


def replicas_for(arrival_rate: float, service_rate: float, wait_seconds: float, quantile: float = 0.99) -> int:
    """Smallest number of servers with which a fraction of the requests waits at most so long, in an M/M/c queue.

    Args:
        arrival_rate: requests per second.
        service_rate: requests per second that one replica completes.
        wait_seconds: the longest wait that is accepted; service comes on top of it.
        quantile: fraction of the requests that must keep to it.

    Raises:
        BadInput: a number outside its range.
    """
    _check({"service_rate": service_rate}, {"arrival_rate": arrival_rate, "wait_seconds": wait_seconds})
    load = arrival_rate / service_rate
    if load > _MOST_SERVERS:
        raise BadInput(f"{load:g} servers would be busy all the time", f"plan for fewer than {_MOST_SERVERS:,}")

    def is_enough(servers: int) -> bool:
        return mmc_wait_quantile(arrival_rate, service_rate, servers, quantile) <= wait_seconds

    fewest = max(1, math.floor(load))
    more = 1
    while not is_enough(fewest + more):
        more *= 2
    return fewest + bisect_left(range(more + 1), True, key=lambda spare: is_enough(fewest + spare))


# Machines that can be taken away


def checkpoint_interval(checkpoint_seconds: float, mean_seconds_between_failures: float, order: str = "daly") -> float:
    """Seconds of work between two checkpoints that lose the least time to checkpoints and failures together.

    "young": sqrt(2 d M) (Young 1974, CACM 17:530). "daly": the estimate of higher order (Daly 2006, Future Generation
    Computer Systems 22:303, equation 37), which is better where a checkpoint takes long; M from d = 2 M on.

    Args:
        checkpoint_seconds: d, to write one checkpoint.
        mean_seconds_between_failures: M, over all machines of the run: ten machines fail ten times as often as one.
        order: "daly" or "young".

    Raises:
        BadInput: a number that is not above 0, or another order.
    """
    _check({"checkpoint_seconds": checkpoint_seconds, "mean_seconds_between_failures": mean_seconds_between_failures})
    if order not in ("daly", "young"):
        raise BadInput(f"order is {order!r}", 'use "daly" or "young"')
    young = math.sqrt(2 * checkpoint_seconds * mean_seconds_between_failures)
    if order == "young":
        return young
    if checkpoint_seconds >= 2 * mean_seconds_between_failures:
        return mean_seconds_between_failures
    ratio = checkpoint_seconds / (2 * mean_seconds_between_failures)
    return young * (1 + math.sqrt(ratio) / 3 + ratio / 9) - checkpoint_seconds


def expected_seconds(
    work_seconds: float, interval: float, checkpoint_seconds: float, restart_seconds: float, mtbf: float
) -> float:
    """Expected seconds from start to end of a run that checkpoints and that failures interrupt.

    M e^(R/M) (e^((t + d)/M) - 1) W/t (Daly 2006, equation 20). Failures come at random (exponential times), also
    while a checkpoint is written or the run restarts; each loses the work since the last checkpoint.

    Args:
        work_seconds: W, of the run without failures and checkpoints.
        interval: t, work between two checkpoints; one longer than the run counts as the run.
        checkpoint_seconds: d, to write one; the last is written at the end.
        restart_seconds: R, from a failure to the next step, with the time until a new machine is there.
        mtbf: M, mean seconds between failures.

    Raises:
        BadInput: a number outside its range, or a run that would not end (over e^700 times as long).
    """
    _check(
        {"work_seconds": work_seconds, "interval": interval, "mtbf": mtbf},
        {"checkpoint_seconds": checkpoint_seconds, "restart_seconds": restart_seconds},
    )
    step = min(interval, work_seconds)
    try:
        per_step = mtbf * math.exp(restart_seconds / mtbf) * math.expm1((step + checkpoint_seconds) / mtbf)
    except OverflowError as error:
        raise BadInput(f"with a failure every {mtbf:g} s the run never ends", "checkpoint more often") from error
    return per_step * work_seconds / step


# Energy


@dataclass
class Energy:
    """What a block of code used, filled in when the block ends.

    Attributes:
        seconds: the block took.
        low: joules; equal to `high` where the processor's counters were read.
        high: joules.
        method: "rapl" (measured: the whole processor with all programs on it, without memory, disk and screen) or
            "declared" (seconds times the watts that the caller declared).
    """

    seconds: float = math.nan
    low: float = math.nan
    high: float = math.nan
    method: str = "declared"


@contextmanager
def energy_meter(watts: tuple[float, float] | None = None, powercap: Path = RAPL) -> Iterator[Energy]:
    """Measures the joules of a `with` block by the processor's counters, or estimates them from declared watts.

    Linux lets only root read the counters unless the administrator allows more. They wrap around after some 20 minutes
    or more under full load; one such wrap is corrected, a second within the same block is not seen.

    Args:
        watts: (low, high) that the machine draws, for machines without readable counters (most clouds, macOS).
        powercap: where the counters are.

    Raises:
        BadInput: no readable counters and no watts, or watts that are no range.
    """
    if watts is not None and not (len(watts) == 2 and all(map(_is_number, watts)) and watts[0] <= watts[1]):
        raise BadInput(f"watts is {watts!r}", "pass (low, high) in watts, such as (15.0, 45.0)")
    before = _counters(powercap)
    if not before and watts is None:
        raise BadInput(
            f"there are no energy counters to read in {powercap}", "declare a range, such as energy_meter((15.0, 45.0))"
        )
    energy, start = Energy(), time.perf_counter()
    try:
        yield energy
    finally:
        energy.seconds = time.perf_counter() - start
        after = _counters(powercap)
        if before and after.keys() == before.keys():
            energy.low = energy.high = sum((after[p][0] - before[p][0]) % after[p][1] for p in before) / 1e6
            energy.method = "rapl"
        elif watts is not None:
            energy.low, energy.high = watts[0] * energy.seconds, watts[1] * energy.seconds


def _counters(powercap: Path) -> dict[str, tuple[int, int]]:
    """Processor package -> (microjoules so far, where the counter wraps); empty where they cannot be read."""
    found = {}
    try:
        for folder in sorted(powercap.glob("intel-rapl:*")):  # AMD's are called so, too
            if (folder / "name").read_text().startswith("package"):  # others are parts of a package, or contain it
                most = int((folder / "max_energy_range_uj").read_text())
                found[folder.name] = (int((folder / "energy_uj").read_text()), most + 1)
    except (OSError, ValueError):
        return {}
    return found
