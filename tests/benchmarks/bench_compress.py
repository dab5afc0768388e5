"""The small and the fast model beside the full one in torch and in ONNX Runtime, and packaged peers: size and speed.

python tests/benchmarks/bench_compress.py [--seeds 3] [--rounds 5] [--plans small fast] [--peers INT8.onnx LAYERS3.onnx]

The peers are sentence encoders from packages (see the README here); a logistic regression on the mean of their states
is trained on the same task. The parents are stored runs of the course; the compressed ones are made here: minutes each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from side_by_side.claims import Claim
from side_by_side.clock import take_turns
from side_by_side.report import Report
from side_by_side.surroundings import load
from sklearn.linear_model import LogisticRegression

from course_lib import corpora, finetuning
from course_lib.assets.files import write_atomically
from course_lib.batching import collate, sorted_batches, tokenize
from course_lib.classifier import TextClassifier
from course_lib.compression import PLANS, Bits, OnnxClassifier, compress, unlabelled_texts
from course_lib.compression.onnx_graph import build_graph
from course_lib.onnx_model import session

SHARPNESS = finetuning.recipe("default").sharpness
BATCH = 64  # of the peers, rows of nearly one length together: their best case
Predict = Callable[[Sequence[str]], NDArray[np.float32]]
Compute = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]
Row = dict[str, Any]
EAGER, DYNAMIC = "transformers, eager float32", "ONNX Runtime, dynamic int8"


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="of the parents (fewer than 3: a trial)")
    parser.add_argument("--rounds", type=int, default=5, help="times that each contender runs; the median counts")
    parser.add_argument("--rows", type=int, default=1000, help="test sentences that are timed (fewer: a trial)")
    parser.add_argument("--singles", type=int, default=100, help="sentences that are asked one by one in a round")
    parser.add_argument("--plans", nargs="+", choices=list(PLANS), default=list(PLANS))
    parser.add_argument("--made", type=Path, help="folder that keeps the made models, for a run that is interrupted")
    parser.add_argument("--only-make", type=int, nargs="+", default=[], metavar="SEED", help="makes, measures nothing")
    parser.add_argument("--peers", nargs="*", type=Path, default=[], help="ONNX files of packaged sentence encoders")
    return parser.parse_args(arguments)


def main(asked: argparse.Namespace) -> None:
    """All models are made; then, seed by seed, all contenders are timed in turns."""
    with tempfile.TemporaryDirectory() as scratch:
        made = asked.made or Path(scratch)
        for seed in asked.only_make or range(asked.seeds):
            for name in asked.plans:
                make(name, seed, made)
        if asked.only_make:
            return
        settings = {**vars(asked), "made": None, "peers": [file.name for file in asked.peers]}
        report = Report("compress", settings, asked.seeds < 3 or asked.rounds < 5 or asked.rows < 1000)
        for seed in range(asked.seeds):
            for row in rows_of(seed, made, Path(scratch), asked):
                report.add(row)
        report.close(HEADING, [line(row) for row in report.rows], claims(report.rows))


def parent_folder(seed: int) -> Path:
    """The full fine-tuned model of a seed; it is trained where this machine has not done so."""
    return finetuning.finetune.run(finetuning.SENTIMENT | {"seed": seed}, files=True).file("model")


def make(name: str, seed: int, made: Path) -> Row:
    """A plan followed from the parent of a seed, into `made`; its seconds and bytes, from there if it has them."""
    folder = made / f"{name}-{seed}"
    note = folder.with_suffix(".json")
    if note.exists():
        return dict(json.loads(note.read_text(encoding="utf-8")))
    ratings = corpora.part("movie_reviews", "train")["rating"].to_numpy()
    parent = TextClassifier.from_pretrained(parent_folder(seed))
    one = compress(parent, PLANS[name], folder, unlabelled_texts(), soft_labels=corpora.soft_labels(ratings, SHARPNESS))
    row = {"bytes": one.exported.model_bytes, "made_in_seconds": one.seconds, "threads": torch.get_num_threads()}
    write_atomically(note, json.dumps(row))
    return row


def rows_of(seed: int, made: Path, scratch: Path, asked: argparse.Namespace) -> list[Row]:
    """The parent's seed: all contenders timed in turns on the same sentences."""
    folder = parent_folder(seed)
    parent = TextClassifier.from_pretrained(folder)
    racing: dict[str, Predict] = {EAGER: eager(folder), DYNAMIC: dynamic(parent, scratch)}
    of = {
        EAGER: {"bytes": (folder / "model.safetensors").stat().st_size},
        DYNAMIC: {"bytes": (scratch / "dynamic.onnx").stat().st_size},
    }
    for name in asked.plans:
        racing[name] = OnnxClassifier(made / f"{name}-{seed}").predict_proba
        of[name] = make(name, seed, made)
    for file in asked.peers:
        racing[file.stem], of[file.stem] = packaged(file, parent), {"bytes": file.stat().st_size}
    test = corpora.part("movie_reviews", "test")
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    before, times = load(), timed(racing, texts[: asked.rows], asked.rounds)
    alone = timed(
        {name: one_by_one(predict, texts[: asked.singles]) for name, predict in racing.items()}, [], asked.rounds
    )
    return [
        {
            "contender": name, "seed": seed, "load": before, "made_in_seconds": 0.0, **of[name],
            "accuracy": float((predict(texts).argmax(1) == labels).mean()),
            "texts_a_second": asked.rows / median(times[name]),
            "milliseconds_alone": 1000 * median(alone[name]) / asked.singles,
            "seconds": times[name], "seconds_alone": alone[name],
        }
        for name, predict in racing.items()
    ]  # fmt: skip


def timed(racing: dict[str, Predict], texts: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round, after one answer to warm up."""
    for predict in racing.values():
        predict(texts[:BATCH])
    return take_turns({name: lambda predict=predict: predict(texts) for name, predict in racing.items()}, rounds)


def one_by_one(predict: Predict, singles: Sequence[str]) -> Predict:
    """Asks each of the singles alone, whatever it is given."""

    def ask(_: Sequence[str]) -> NDArray[np.float32]:
        return np.concatenate([predict([text]) for text in singles])

    return ask


def eager(folder: Path) -> Predict:
    """The full model as transformers runs it, in batches of rows of nearly one length."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def predict(texts: Sequence[str]) -> NDArray[np.float32]:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        answers = np.empty((len(texts), 2), np.float32)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=128, return_tensors="pt"
            )
            with torch.inference_mode():
                answers[rows] = model(**batch).logits.softmax(-1).numpy()
        return answers

    return predict


def dynamic(parent: TextClassifier, scratch: Path) -> Predict:
    """The full model with the last layer of all tokens, quantised by ONNX Runtime with its own defaults."""
    plain, small = scratch / "plain.onnx", scratch / "dynamic.onnx"
    onnx.save(build_graph(parent.module_, Bits(), all_tokens=True), str(plain))
    quantize_dynamic(plain, small, weight_type=QuantType.QInt8)
    running = session(small, torch.get_num_threads())

    def predict(texts: Sequence[str]) -> NDArray[np.float32]:
        logits = in_batches(texts, parent, lambda ids, mask: _run(running, ids, mask)[0])
        return torch.from_numpy(logits).softmax(-1).numpy()

    return predict


def in_batches(texts: Sequence[str], parent: TextClassifier, compute: Compute) -> NDArray[np.float32]:
    """What `compute` says of token ids and masks, rows of nearly one length together."""
    ids, answers = tokenize(texts, parent.tokenizer_, parent.max_length), {}
    for rows in sorted_batches([len(row) for row in ids], BATCH * 32):
        batch = collate(ids, rows, int(parent.tokenizer_.pad_token_id or 0))
        found = compute(batch.input_ids.numpy(), batch.attention_mask.numpy())
        answers |= dict(zip(batch.index.tolist(), found, strict=True))
    return np.stack([answers[i] for i in range(len(ids))])


def packaged(file: Path, parent: TextClassifier) -> Predict:
    """A packaged encoder with the parent's tokenizer; the mean of its states, and a logistic regression on that."""
    running = session(file, torch.get_num_threads())

    def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
        def mean_state(ids: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
            states = next(one for one in _run(running, ids, mask) if one.ndim == 3)
            return (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)

        return in_batches(texts, parent, mean_state)

    train = corpora.part("movie_reviews", "train")
    probe = LogisticRegression(max_iter=2000).fit(vectors(train["text"].tolist()), train["label"].to_numpy())
    return lambda texts: probe.predict_proba(vectors(texts)).astype(np.float32)


def _run(running: Any, ids: NDArray[Any], mask: NDArray[Any]) -> list[NDArray[Any]]:
    """All outputs; token types are 0 where the file asks for them."""
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    found: list[NDArray[Any]] = running.run(None, {one.name: given[one.name] for one in running.get_inputs()})
    return found


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Means over the seeds."""
    found: list[Claim] = []
    full = _mean(rows, EAGER, "accuracy")
    for name in PLANS:
        if full is None or (accuracy := _mean(rows, name, "accuracy")) is None:
            continue
        found.append(Claim(f"{name}: points of accuracy lost", 1.0, 100 * (full - accuracy), at_most=True))
        longest = max(row["made_in_seconds"] for row in rows if row["contender"] == name) / 60
        found.append(Claim(f"{name}: minutes that it takes to make", 30, longest, at_most=True))
        if name == "small":
            size = max(row["bytes"] for row in rows if row["contender"] == name) / 1e6
            found.append(Claim("small: megabytes", 7.5, size, at_most=True))
        else:
            found += _speeds(rows, name)
    return found


def _speeds(rows: Sequence[Row], name: str) -> list[Claim]:
    mine, eager_, int8 = (_mean(rows, one, "texts_a_second") for one in (name, EAGER, DYNAMIC))
    alone, before = (_mean(rows, one, "milliseconds_alone") for one in (name, EAGER))
    if None in (mine, eager_, int8, alone, before):
        return []
    return [
        Claim(f"{name}: throughput over eager float32", 6, mine / eager_),
        Claim(f"{name}: throughput over ONNX Runtime's dynamic int8", 3, mine / int8),
        Claim(f"{name}: time of one text, as a share of eager float32's", 1 / 8, alone / before, at_most=True),
    ]


def _mean(rows: Sequence[Row], name: str, figure: str) -> Any:
    values = [row[figure] for row in rows if row["contender"] == name]
    return mean(values) if values else None


HEADING = ("contender", "seed", "MB", "accuracy", "texts/s", "ms alone", "made in")


def line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    return (
        row["contender"], str(row["seed"]), f"{row['bytes'] / 1e6:.1f}", f"{row['accuracy']:.2%}",
        f"{row['texts_a_second']:.0f}", f"{row['milliseconds_alone']:.1f}", f"{row['made_in_seconds']:.0f} s",
    )  # fmt: skip


if __name__ == "__main__":
    main(options())
