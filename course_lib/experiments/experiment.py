"""An experiment as an object: its runs are read from this machine's store or from what ships, or computed."""

from __future__ import annotations

import functools
import operator
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from course_lib import assets, machine
from course_lib.checkpoints import as_json
from course_lib.errors import BadInput, CourseError
from course_lib.experiments import shipped, store
from course_lib.experiments.identity import as_stored, fingerprint
from course_lib.experiments.store import Function, Run

NEVER = "never"  # value of COURSE_COMPUTE that makes a missing run an error: the tests of the notebooks set it
_DECLARED: dict[str, Experiment] = {}


def scalars(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run: its configuration, the plain numbers and words of its result, its seconds and its source."""
    rows = [
        {
            **run.config,
            **{name: value for name, value in run.result.items() if not isinstance(value, (dict, list))},
            "run_seconds": run.seconds,
            "source": run.source,
        }
        for run in runs
    ]
    return pd.DataFrame(rows)


def entries_of(name: str) -> Callable[[Sequence[Run]], pd.DataFrame]:
    """A table of one row for each entry of the list `name` of a result, with the run's configuration."""
    return lambda runs: pd.DataFrame([{**run.config, **entry} for run in runs for entry in run.result[name]])


@dataclass(frozen=True, eq=False)
class Experiment:
    """A function whose runs are kept.

    Attributes:
        name: of the experiment, for ever: stored results are found by it, whatever its module is called.
        version: raised when the same configuration comes to mean something else.
        function: takes a configuration and an empty folder for its files; returns a JSON-able dictionary. What it does
            follows from its code and its configuration alone.
        cost: how much work a configuration is, in any unit: forecasts scale the time of a run that was measured by it.
        rows: makes a table of runs.
        tolerance: by how much a column of the table may differ when the run is computed again, on another machine;
            infinity for times. A column without one must be equal.
        data: names of the assets, and of the models under data/checkpoints, that results rest on.
    """

    name: str
    version: int
    function: Function
    cost: Callable[[Mapping[str, Any]], float] | None = None
    rows: Callable[[Sequence[Run]], pd.DataFrame] = scalars
    tolerance: Mapping[str, float] = field(default_factory=dict)
    data: tuple[str, ...] = ()

    @property
    def __wrapped__(self) -> Function:
        """The function itself, for `inspect.unwrap`."""
        return self.function

    def __call__(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Calls the function: nothing is stored, nothing is read."""
        return self.function(config, folder)

    # ---- running ---------------------------------------------------------------------------------------------

    def run(self, config: dict[str, Any], *, fresh: bool = False, files: bool = False, show: bool = True) -> Run:
        """The run of a configuration: stored on this machine, else shipped with the course, else computed now.

        Args:
            config: JSON-able.
            fresh: computes it now, whatever there is.
            files: needs the files that the run writes, which do not ship.
            show: says on standard error where the result comes from, or what computing it will take.

        Raises:
            BadInput: the configuration or the result is not JSON-able; the function's code cannot be read.
            CorruptAsset: a stored record is damaged.
            CourseError: the cache cannot be written, or the variable COURSE_COMPUTE forbids to compute.
        """
        found = None if fresh else self._found(config, files)
        if found is None:
            return self._compute(config, fresh, show)
        if show:
            print(f"{self.name}: {found.origin}", file=sys.stderr)
            if found.source == "course":
                print(f"Compute it here: {self.name}.run(config, fresh=True)", file=sys.stderr)
        return found

    def runs(self, configs: Sequence[dict[str, Any]], *, fresh: bool = False, show: bool = True) -> list[Run]:
        """The runs of several configurations, as `run` returns them; one line for all says where they come from."""
        if show and (fresh or any(self._found(config) is None for config in configs)):
            print(self.forecast(configs, fresh=fresh), file=sys.stderr)
        runs = [self.run(config, fresh=fresh, show=False) for config in configs]
        if show:
            print(self._origins(runs), file=sys.stderr)
        return runs

    def table(self, configs: Sequence[dict[str, Any]], *, fresh: bool = False, show: bool = True) -> pd.DataFrame:
        """The runs of several configurations as a table; arguments as for `runs`."""
        return self.rows(self.runs(configs, fresh=fresh, show=show))

    def forecast(self, configs: Sequence[dict[str, Any]], *, fresh: bool = False) -> str:
        """One sentence on what these runs take here and now; with `fresh`, if all of them are computed."""
        missing = [config for config in configs if fresh or self._found(config) is None]
        if missing:
            return f"{self.name}: this will take {self._costs(missing)}."
        return f"{self.name}: results are there; computing them here would take {self._costs(configs)}."

    def expected(self, config: Mapping[str, Any]) -> machine.Cost | None:
        """What computing a run takes here: the measured time of a shipped run of this experiment, scaled.

        It is scaled by the work of both configurations, and by the speed of both machines: the seconds of a few
        training steps, which are timed here and now. None where no run of this experiment ships.
        """
        entries = shipped.read(self.name)
        if not entries or self.cost is None:
            return None
        work = self.cost(config)
        nearest = min(entries, key=lambda entry: self._distance(config, entry.run.config))
        made = nearest.run.made
        speed = machine.step_seconds() / made["step_seconds"]
        times = work / self.cost(nearest.run.config)
        return machine.Cost(0.0, nearest.run.seconds * times * speed, float(made["peak_bytes"]))

    # ---- storing ---------------------------------------------------------------------------------------------

    def folder(self, config: dict[str, Any]) -> Path:
        """Where this machine stores the run, whether it exists or not."""
        return store.runs_folder() / f"{self.name}-{fingerprint(self.function, config)}"

    def ship(self, run: Run) -> None:
        """Puts a run that was computed on this machine among the results that ship with the course."""
        entry = shipped.Shipped(self.version, self._data(), machine.preset().name, run)
        others = [one for one in shipped.read(self.name) if one.run.config != run.config or one.preset != entry.preset]
        shipped.write(self.name, [*others, entry])

    def _found(self, config: dict[str, Any], files: bool = False) -> Run | None:
        stored = store.load(self.folder(config))
        return stored if stored or files else self.shipped(config)

    def shipped(self, config: dict[str, Any]) -> Run | None:
        """The run that ships with the course for this configuration, if there is one."""
        key = (self.version, self._data(), machine.preset().name, as_json(as_stored(config, "config")))
        return next((entry.run for entry in shipped.read(self.name) if entry.key == key), None)

    def _data(self) -> str:
        return "".join(assets.content_sha256(name)[:8] for name in self.data)

    def _compute(self, config: dict[str, Any], fresh: bool, show: bool) -> Run:
        folder = self.folder(config)
        if os.environ.get("COURSE_COMPUTE") == NEVER:
            raise CourseError(
                f"{self.name} has no result for {config} and must not compute one (COURSE_COMPUTE is {NEVER!r})",
                f"compute it: unset COURSE_COMPUTE; to ship it, see `make results`. It would be in {folder.name}",
            )
        with store.locked(folder):
            if not fresh and (done := store.load(folder)):
                return done  # another process has computed it meanwhile
            cost = self.expected(config)
            if show:
                print(f"computing {self.name}: {cost or 'for a time that is not known'}", file=sys.stderr)
            return store.compute(self.name, self.function, config, folder, cost.seconds if cost else None)

    # ---- words -----------------------------------------------------------------------------------------------

    def _costs(self, configs: Sequence[dict[str, Any]]) -> str:
        costs = [self.expected(config) for config in configs]
        known = [cost for cost in costs if cost]
        if len(known) < len(costs) or not known:
            return f"a time that is not known ({len(costs)} runs)"
        return str(functools.reduce(operator.add, known))

    def _distance(self, config: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[int, float]:
        """How unlike two configurations are: in words and flags first, then in work."""
        assert self.cost is not None
        names = [name for name, value in config.items() if not isinstance(value, (int, float)) or value is True]
        work, theirs = self.cost(config), self.cost(other)
        return sum(config[name] != other.get(name) for name in names), abs(work - theirs)

    def _origins(self, runs: Sequence[Run]) -> str:
        shipped_runs = [run for run in runs if run.source == "course"]
        parts = []
        if shipped_runs:
            machines = " and ".join(dict.fromkeys(run.made["machine"] for run in shipped_runs))
            took = machine.readable_seconds(sum(run.seconds for run in shipped_runs))
            parts.append(f"{len(shipped_runs)} from the course's results ({machines}, {took} in all)")
        if len(shipped_runs) < len(runs):
            parts.append(f"{len(runs) - len(shipped_runs)} computed on this machine")
        line = f"{self.name}: {', '.join(parts)}."
        return f"{line} Compute them here: {self.name}.table(configs, fresh=True)" if shipped_runs else line


def experiment(
    name: str,
    version: int = 1,
    *,
    cost: Callable[[Mapping[str, Any]], float] | None = None,
    table: Callable[[Sequence[Run]], pd.DataFrame] = scalars,
    tolerance: Mapping[str, float] | None = None,
    data: tuple[str, ...] = (),
) -> Callable[[Function], Experiment]:
    """Declares a function of the course as an experiment; see `Experiment` for the arguments.

    Raises:
        BadInput: another experiment has that name.
    """

    def declare(function: Function) -> Experiment:
        made = Experiment(
            name, version, function, cost, table, {"run_seconds": float("inf"), **(tolerance or {})}, data
        )
        known = _DECLARED.get(name)
        if known and known.function.__module__ != function.__module__:
            raise BadInput(f"there are two experiments {name!r}", "give one of them another name")
        _DECLARED[name] = made
        return made

    return declare


def declared() -> dict[str, Experiment]:
    """Name -> experiment, of all modules that were imported."""
    return dict(_DECLARED)
