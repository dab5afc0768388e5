"""Who races in the fine-tuning benchmark, and what the finished races claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from course_lib.finetuning.recipes import Recipe, recipe

from .claims import Claim
from .race import Time, middle, speed_up

DOCUMENTED_RATE, DOCUMENTED_EPOCHS, DOCUMENTED_BATCH = 2e-5, 3, 32  # transformers' run_glue.py, README
MAX_LENGTH = 128  # also from there; the course's own default
PLAIN_TARGET, GROUPED_TARGET = 3.0, 1.5  # how many times faster the course is to be


@dataclass(frozen=True)
class Contender:
    """One way to fine-tune the course encoder.

    Attributes:
        name: as given to `--contenders`.
        side: `ours` or `trainer`.
        precision: of the forward pass, `float32` or `bfloat16`.
        learning_rate: peak of the schedule.
        epochs: of the whole run.
        grouped: batches of rows with about equal lengths (the course has no other).
        soft: learns the human rating as a soft label; else the label.
    """

    name: str
    side: str
    precision: str
    learning_rate: float
    epochs: int
    grouped: bool = False
    soft: bool = False

    def course_recipe(self) -> Recipe:
        """The course's default recipe with this contender's settings.

        Raises:
            ValueError: the default recipe averages several runs, which this race cannot look into.
        """
        default = recipe("default")
        if default.members != 1:
            raise ValueError(f"the default recipe has {default.members} members: this benchmark races one run")
        training = replace(
            default.training, epochs=self.epochs, learning_rate=self.learning_rate, precision=self.precision
        )
        return replace(default, training=training, sharpness=default.sharpness if self.soft else 0.0)

    def settings(self) -> dict[str, Any]:
        """All that decides its run: a stored row is taken for this contender's only where they are equal."""
        own = asdict(self.course_recipe()) if self.side == "ours" else {"batch_size": DOCUMENTED_BATCH}
        return asdict(self) | {"details": repr(sorted(own.items()))}


def all_contenders(fast_precision: str, rates: Sequence[float] = (1e-4,)) -> list[Contender]:
    """Everybody who can race on this hardware.

    Args:
        fast_precision: what the hardware multiplies fastest; both sides race in it and in float32.
        rates: learning rates that the peer may use besides the documented one.
    """
    precisions = list(dict.fromkeys([fast_precision, "float32"]))
    return [*_ours(precisions), *_trainers(precisions, [DOCUMENTED_RATE, *rates])]


def _ours(precisions: Sequence[str]) -> Iterator[Contender]:
    default = recipe("default").training
    for precision in precisions:
        tail = "" if precision == precisions[0] else f"-{precision}"
        whole = Contender("ours" + tail, "ours", precision, default.learning_rate, default.epochs, True, True)
        yield whole
        yield replace(whole, name="ours-one-epoch" + tail, epochs=1)
    yield Contender("ours-labels-only", "ours", precisions[0], default.learning_rate, default.epochs, True, False)


def _trainers(precisions: Sequence[str], rates: Sequence[float]) -> Iterator[Contender]:
    # transformers computes in float32 unless it is told otherwise: that is the documented setting.
    for precision in reversed(precisions):
        for grouped in (False, True):
            for rate in rates:
                name = "trainer" + ("-grouped" if grouped else "")
                name += "" if rate == DOCUMENTED_RATE else f"-lr{short(rate)}"
                name += "-bf16" if precision == "bfloat16" else ""
                yield Contender(name, "trainer", precision, rate, DOCUMENTED_EPOCHS, grouped)


def short(rate: float) -> str:
    """A learning rate in the least characters: 1e-4."""
    return np.format_float_scientific(rate, trim="-", exp_digits=1)


def claims(rows: Sequence[dict[str, Any]], fast_precision: str) -> list[Claim]:
    """What the finished rows say: as installed, and in the same precision on both sides."""
    pairs = [("as installed", fast_precision, "float32")]
    if fast_precision != "float32":
        pairs += [(f"both sides in {name}", name, name) for name in ("float32", fast_precision)]
    return [claim for text, *precisions in pairs for claim in _claims_of_pair(rows, text, *precisions)]


def _claims_of_pair(
    rows: Sequence[dict[str, Any]], text: str, our_precision: str, their_precision: str
) -> Iterator[Claim]:
    """Claims against those peers that have raced."""
    ours = fastest(rows, side="ours", precision=our_precision, soft=True)
    rates = (("documented rate", {"learning_rate": DOCUMENTED_RATE}), ("best rate", {}))
    for grouped, target in ((False, PLAIN_TARGET), (True, GROUPED_TARGET)):
        for which, rate in rates:
            theirs = fastest(rows, side="trainer", precision=their_precision, grouped=grouped, **rate)
            if ours and theirs:
                measured, bound = speed_up(ours[1], theirs[1])
                peer = f"Trainer {'grouped by length' if grouped else 'with default padding'}, {which}"
                names = f"({theirs[0]} / {ours[0]})"
                yield Claim(f"{text}: times faster than {peer} {names}", target, measured, bound=bound)


def fastest(rows: Sequence[dict[str, Any]], **wanted: Any) -> tuple[str, Time] | None:
    """The contender with these settings that reached the target first, and its median time over the seeds."""
    names = {row["contender"]["name"]: None for row in rows if row["contender"].items() >= wanted.items()}
    times = [(name, middle([row for row in rows if row["contender"]["name"] == name])) for name in names]
    return min(times, key=lambda one: (not one[1].reached, one[1].seconds), default=None)
