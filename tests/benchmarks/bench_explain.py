"""Explanations against the `lime` and `shap` packages: seconds, ranks, errors, memory; and the methods judged.

python tests/benchmarks/bench_explain.py [--parts lime shap exact many memory faithfulness shortcut]

Each part has a result file of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from side_by_side.explain_exact import EXACT
from side_by_side.explain_judged import FAITHFULNESS, SHORTCUT
from side_by_side.explain_lime import LIME
from side_by_side.explain_memory import MEMORY
from side_by_side.explain_setting import Part, Subject
from side_by_side.explain_shap import MANY, SHAP
from side_by_side.report import Report

PARTS: dict[str, Part] = {
    "lime": LIME,
    "shap": SHAP,
    "exact": EXACT,
    "many": MANY,
    "memory": MEMORY,
    "faithfulness": FAITHFULNESS,
    "shortcut": SHORTCUT,
}
SIZES = [500, 5000, 50_000]
# What each part depends on, with the figure of a whole run; less is a trial.
WHOLE: dict[str, dict[str, int]] = {
    "lime": {"sentences": 20, "seeds": 3, "samples": 1000, "reference": 20_000},
    "shap": {"sentences": 20, "seeds": 3, "converged": 8000},
    "exact": {"exact": 8, "draws": 20},
    "many": {"many": 1000},
    "memory": {},
    "faithfulness": {"judged": 200, "bounded": 50},
    "shortcut": {"rows": 2000, "tested": 60, "seeds": 3},
}


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--sentences", type=int, default=20, help="lime, shap: sentences (fewer: a trial)")
    parser.add_argument("--seeds", type=int, default=3, help="lime, shap: of our draws; shortcut: of trainings")
    parser.add_argument("--samples", type=int, default=1000, help="lime: perturbations a sentence, on both sides")
    parser.add_argument("--reference", type=int, default=20_000, help="lime: perturbations of what ranks are held to")
    parser.add_argument("--converged", type=int, default=8000, help="shap: samples of the converged Shapley values")
    parser.add_argument("--exact", type=int, default=8, help="exact: sentences of 12 words")
    parser.add_argument("--draws", type=int, default=20, help="exact: draws of each contender")
    parser.add_argument("--many", type=int, default=1000, help="many: sentences in one call")
    parser.add_argument("--many-samples", type=int, nargs="+", default=[128], help="many: coalitions, 0: the default")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="memory: samples")
    parser.add_argument("--judged", type=int, default=200, help="faithfulness: sentences")
    parser.add_argument("--bounded", type=int, default=50, help="faithfulness: of these, with bounds of AOPC")
    parser.add_argument("--rows", type=int, default=2000, help="shortcut: training sentences")
    parser.add_argument("--tested", type=int, default=60, help="shortcut: test sentences that get the word")
    return parser.parse_args(arguments)


def settings(name: str, asked: argparse.Namespace) -> dict[str, int | list[int]]:
    """What a part depends on."""
    if name == "memory":
        return {"sizes": asked.sizes}
    more = {"many_samples": asked.many_samples} if name == "many" else {}
    return {option: getattr(asked, option) for option in WHOLE[name]} | more


def is_trial(name: str, asked: argparse.Namespace) -> bool:
    """Whether a part runs on less than the real one."""
    if name == "memory":
        return not set(SIZES) <= set(asked.sizes)
    return any(getattr(asked, option) < whole for option, whole in WHOLE[name].items())


def main(asked: argparse.Namespace) -> None:
    """The parts that were asked, one after another; each row is written when it is there."""
    subject = Subject()
    for name in asked.parts:
        part = PARTS[name]
        report = Report(f"explain-{name}", settings(name, asked), is_trial(name, asked))
        for row in part.rows(subject, asked):
            report.add(row)
        report.content["notes"] = notes = part.notes(report.rows)
        report.close(part.heading, [part.line(row) for row in report.rows], part.claims(report.rows))
        for note in notes:
            print(note)


if __name__ == "__main__":
    main(options())
