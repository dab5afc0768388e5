"""The attack engine against TextAttack, what a surrogate saves, gradients against a beam, and the cost by sentences.

python tests/benchmarks/bench_attack.py [--textattack PYTHON] [--parts deepwordbug surrogate gradient linear] [--n 100]

PYTHON is an interpreter with TextAttack 0.3.11 (see the README here); without it the peer's rows are not measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from side_by_side.claims import Claim
from side_by_side.report import Report
from side_by_side.saved_models import course_model_folder
from side_by_side.surroundings import load

from course_lib import baselines, corpora
from course_lib.attacks import AttackReport, recipe
from course_lib.classifier import TextClassifier

PEER = Path(__file__).parent / "side_by_side" / "textattack_run.py"
MENDED_LENGTH = 64  # tokens; every movie sentence fits, and TextAttack then pads to it instead of to 512
SEARCHES = ("gradient-synonyms", "gradient-beam", "beam-synonyms", "pwws")
BEAM_PEER = 10  # sentences: TextAttack's own beam takes about a minute for each
GUIDED = "ours, with a surrogate"
GUIDED_RECIPES = ("pwws", "beam-synonyms")  # beside DeepWordBug
PARTS = ("deepwordbug", "surrogate", "gradient", "linear")
Row = dict[str, Any]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--textattack", type=Path, help="an interpreter with TextAttack 0.3.11")
    parser.add_argument("--n", type=int, default=100, help="test sentences (fewer than 100: a trial)")
    parser.add_argument("--seeds", type=int, default=3, help="of our draws; success and queries are their means")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    return parser.parse_args(arguments)


def main(asked: argparse.Namespace) -> None:
    """The parts that were asked, one after another; each row is written when it is there."""
    settings = {"n": asked.n, "seeds": asked.seeds, "parts": asked.parts, "peer": asked.textattack is not None}
    whole = set(asked.parts) == set(PARTS)  # a run of some parts has a file of its own
    name = "attack" if whole else "-".join(["attack", *asked.parts])
    report = Report(name, settings, asked.n < 100 or asked.seeds < 3)
    folder = course_model_folder()
    classifier = TextClassifier.from_pretrained(folder)
    for part in asked.parts:
        for row in _part(part, classifier, folder, asked):
            report.add(row)
    report.close(HEADING, [line(row) for row in report.rows], claims(report.rows))


def _part(part: str, classifier: TextClassifier, folder: Path, asked: argparse.Namespace) -> Iterator[Row]:
    if part == "linear":
        yield from (_ours(classifier, "deepwordbug", size, 0) for size in (asked.n, 2 * asked.n, 4 * asked.n))
        return
    if part == "gradient":
        yield from (_ours(classifier, name, asked.n, 0) for name in SEARCHES)
        if asked.textattack:
            yield _peer(asked.textattack, folder, min(BEAM_PEER, asked.n), None, "beam")
        return
    if part == "surrogate":
        yield from (_ours(classifier, name, asked.n, 0, with_surrogate=True) for name in GUIDED_RECIPES)
        return
    seeds = range(asked.seeds)
    yield from (_ours(classifier, "deepwordbug", asked.n, seed) for seed in seeds)
    yield from (_ours(classifier, "deepwordbug", asked.n, seed, with_surrogate=True) for seed in seeds)
    if asked.textattack:
        yield _peer(asked.textattack, folder, asked.n, MENDED_LENGTH)
        yield _peer(asked.textattack, folder, asked.n, None)
        # before and after the peer
        yield from (_ours(classifier, "deepwordbug", asked.n, seed) for seed in seeds)
        yield from (_ours(classifier, "deepwordbug", asked.n, seed, with_surrogate=True) for seed in seeds)


def _ours(classifier: TextClassifier, name: str, n: int, seed: int, with_surrogate: bool = False) -> Row:
    """One run of ours; the seconds with a surrogate include its training."""
    rows, before = corpora.part("movie_reviews", "test", n), load()
    started, surrogate = time.perf_counter(), _surrogate() if with_surrogate else None
    training = time.perf_counter() - started
    report = recipe(name).run(classifier, rows["text"].tolist(), rows["label"].to_numpy(), seed, surrogate)
    row = {"contender": "ours", "recipe": name, "n": n, "seed": seed, "load": before, **_figures(report)}
    if with_surrogate:
        row |= {"contender": GUIDED, "seconds": training + report.seconds, "training_seconds": training}
    return row


def _surrogate() -> Any:
    """A linear model that knows only the training labels, nothing of the model under attack."""
    train = corpora.part("movie_reviews", "train")
    return baselines.tfidf_logistic().fit(train["text"].tolist(), train["label"])


def _figures(report: AttackReport) -> Row:
    return {
        "seconds": report.seconds,
        "model_share": report.model_seconds / report.seconds,
        "succeeded": report.count("succeeded"),
        "failed": report.count("failed"),
        "skipped": report.count("skipped"),
        "queries_per_text": report.queries_per_text,
        "surrogate_queries_per_text": report.surrogate_queries_per_text,
        "words_changed": report.words_changed,
    }


def _peer(python: Path, folder: Path, n: int, max_length: int | None, attack: str = "deepwordbug") -> Row:
    rows, before = corpora.part("movie_reviews", "test", n), load()
    with tempfile.TemporaryDirectory() as scratch:
        sentences = Path(scratch) / "sentences.json"
        sentences.write_text(json.dumps(list(zip(rows["text"], rows["label"].tolist(), strict=True))), encoding="utf-8")
        command = [str(python), str(PEER), attack, str(folder), str(sentences)]
        command += [str(max_length)] if max_length else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the peer failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    name = "TextAttack" if max_length is None else f"TextAttack, padded to {max_length}"
    return {"contender": name, "recipe": attack, "n": n, "seed": None, "load": before, **found}


def success(rows: Sequence[Row]) -> float:
    """Share of the attacked texts, over all rows."""
    return sum(row["succeeded"] for row in rows) / max(1, sum(row["succeeded"] + row["failed"] for row in rows))


def mean(rows: Sequence[Row], name: str) -> float:
    """Of a figure over the rows."""
    return sum(row[name] for row in rows) / len(rows)


def claims(rows: Sequence[Row]) -> list[Claim]:
    """What the finished parts say."""
    first = min((row["n"] for row in rows if row["contender"] == "ours"), default=0)
    at_n = [row for row in rows if row["n"] == first]
    ours = [row for row in at_n if row["contender"] == "ours" and row["recipe"] == "deepwordbug"]
    stock = [row for row in rows if row["contender"] == "TextAttack" and row["recipe"] == "deepwordbug"]
    beams = [row for row in rows if row["contender"] == "TextAttack" and row["recipe"] == "beam"]
    fixed = [row for row in rows if row["contender"].startswith("TextAttack,")]
    found: list[Claim] = []
    if ours and stock and fixed:
        found += _against_peer(ours, stock, fixed)
    guided = [row for row in at_n if row["contender"] == GUIDED and row["recipe"] == "deepwordbug"]
    if guided and stock and fixed:
        found += _with_surrogate(guided, stock, fixed)
    by_recipe = {row["recipe"]: row for row in at_n if row["contender"] == "ours"}
    if {"gradient-beam", "beam-synonyms"} <= by_recipe.keys():
        found += _gradient(by_recipe["gradient-beam"], by_recipe["beam-synonyms"], beams)
    growing = [row for row in rows if row["recipe"] == "deepwordbug" and row["contender"] == "ours"]
    largest = max(growing, key=lambda row: row["n"], default=None)
    if largest and ours and largest["n"] > first:
        grows = largest["seconds"] / largest["n"] / (mean(ours, "seconds") / first)
        found.append(Claim(f"seconds a sentence at {largest['n']} over those at {first}", 1.15, grows, at_most=True))
    if growing:
        found.append(Claim("share of the time inside the model", 0.8, min(row["model_share"] for row in growing)))
    return found


def _against_peer(ours: Sequence[Row], stock: Sequence[Row], fixed: Sequence[Row]) -> list[Claim]:
    seconds = mean(ours, "seconds")
    queries = mean(ours, "queries_per_text") / mean(fixed, "queries_per_text")
    return [
        Claim("DeepWordBug: times TextAttack's rate as installed", 20, mean(stock, "seconds") / seconds),
        Claim("DeepWordBug: times its rate with the padding fixed", 4, mean(fixed, "seconds") / seconds),
        Claim("success rates apart, in points", 2, 100 * abs(success(ours) - success(fixed)), at_most=True),
        Claim("queries apart, as a share", 0.05, abs(queries - 1), at_most=True),
    ]


def _with_surrogate(guided: Sequence[Row], stock: Sequence[Row], fixed: Sequence[Row]) -> list[Claim]:
    seconds = mean(guided, "seconds")
    return [
        Claim("with a surrogate: times TextAttack's rate as installed", 20, mean(stock, "seconds") / seconds),
        Claim("with a surrogate: times its rate with the padding fixed", 6, mean(fixed, "seconds") / seconds),
        Claim("points of success behind it", 2, 100 * (success(fixed) - success(guided)), at_most=True),
    ]


def _gradient(gradient: Row, beam: Row, peers: Sequence[Row]) -> list[Claim]:
    behind = 100 * (success([beam]) - success([gradient]))
    share = gradient["queries_per_text"] / beam["queries_per_text"]
    found = [
        Claim("gradient-guided search: points of success behind beam-8", 2, behind, at_most=True),
        Claim("its queries as a share of beam-8's", 0.2, share, at_most=True),
    ]
    for peer in peers:
        times = peer["seconds"] / peer["n"] / (gradient["seconds"] / gradient["n"])
        found.append(Claim("times the rate of TextAttack's own beam-8 as installed", 60, times))
    return found


HEADING = ("contender", "recipe", "texts", "seconds", "a text", "in the model", "success", "queries", "words changed")


def line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    share = f"{row['model_share']:.0%}" if "model_share" in row else ""
    words = f"{row['words_changed']:.1%}" if "words_changed" in row else ""
    return (
        row["contender"], row["recipe"], str(row["n"]), f"{row['seconds']:.1f}", f"{row['seconds'] / row['n']:.3f}",
        share, f"{success([row]):.1%}", f"{row['queries_per_text']:.1f}", words,
    )  # fmt: skip


if __name__ == "__main__":
    main(options())
