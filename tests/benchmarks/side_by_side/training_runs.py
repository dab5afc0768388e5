"""The races themselves, one a process: our recipe and transformers' Trainer on the same rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from course_lib import assets, corpora, machine
from course_lib.batching import tokenize
from course_lib.classifier.model import forward
from course_lib.finetuning.recipes import estimator, material

from .clock import Clock
from .contenders import DOCUMENTED_BATCH, MAX_LENGTH, Contender
from .race import Race, outcome
from .surroundings import load

if TYPE_CHECKING:
    from transformers import Trainer


class TargetReached(Exception):
    """Ends a run of ours from inside its callback."""


def measure(argument: dict[str, Any]) -> dict[str, Any]:
    """One contender's race, to be called in a fresh process.

    `argument`: `contender` (the fields of a `Contender`), `seed`, `rows`, `test_rows` (None: all), `target`,
    `fraction` (of an epoch between two looks), `to_the_end`.
    """
    contender, load_before = Contender(**argument["contender"]), load()
    frame = corpora.part("movie_reviews", "train", limit=argument["rows"])
    test = corpora.part("movie_reviews", "test", limit=argument["test_rows"])
    load_libraries()
    run = run_ours if contender.side == "ours" else run_trainer
    race = run(contender, frame, test, argument)
    last = race.steps_an_epoch * race.epochs
    return {
        **outcome(race.points, argument["target"], last, len(frame)),
        "training_rows": len(frame),
        "test_rows": len(test),
        "points": [asdict(point) for point in race.points],
        "threads": torch.get_num_threads(),
        "load_before": load_before,
        "load_after": load(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def load_libraries() -> None:
    """Imports what either side needs: transformers loads its parts at their first use, and that is no training."""
    for module in ("trainer", "models.auto", "models.bert.modeling_bert", "models.bert.tokenization_bert"):
        import_module(f"transformers.{module}")


def _race(contender: Contender, clock: Clock, rows: int, evaluate: Callable[[], float], how: dict[str, Any]) -> Race:
    batch = contender.course_recipe().training.batch_size if contender.side == "ours" else DOCUMENTED_BATCH
    return Race(clock, -(-rows // batch), contender.epochs, how["target"], how["fraction"], evaluate, how["to_the_end"])


def run_ours(contender: Contender, frame: pd.DataFrame, test: pd.DataFrame, how: dict[str, Any]) -> Race:
    """The course's recipe. The clock starts before tokenising, with the libraries loaded."""
    chosen = contender.course_recipe()
    rows = material(chosen, frame)
    if len(rows.texts) != len(frame):
        raise ValueError(f"the recipe trains on {len(rows.texts)} rows, the others on {len(frame)}: not the same data")
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    clock = Clock()
    classifier = estimator(chosen, how["seed"])
    race = _race(contender, clock, len(frame), lambda: classifier.score(texts, labels), how)

    def watch(row: dict[str, float]) -> None:
        if race.may_stop(int(row["step"])):
            raise TargetReached

    try:
        classifier.fit(rows.texts, rows.labels, soft_labels=rows.soft_labels, callbacks=[watch])
    except TargetReached:
        return race
    race.finish()
    return race


def run_trainer(contender: Contender, frame: pd.DataFrame, test: pd.DataFrame, how: dict[str, Any]) -> Race:
    """transformers' Trainer. The clock starts before tokenising, with the libraries loaded."""
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        trainer = make_trainer(contender, frame, how["seed"], Path(folder))
        race = _race(contender, clock, len(frame), accuracy_of(trainer, test), how)
        trainer.add_callback(_watch(race))
        trainer.train()
        if not race.points or race.points[-1].accuracy < how["target"] or how["to_the_end"]:
            race.finish()
    return race


def make_trainer(contender: Contender, frame: pd.DataFrame, seed: int, folder: Path, max_steps: int = -1) -> Trainer:
    """A Trainer as the text-classification guide makes it: dynamic padding, AutoModel, all else at its defaults.

    Two defaults are changed in its favour: it writes no checkpoints and draws no progress bar.
    """
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(seed)  # before the new head is drawn
    encoder = str(assets.path("course_encoder"))
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    encoded = tokenizer(frame["text"].tolist(), truncation=True, max_length=MAX_LENGTH)
    labels = frame["label"].tolist()
    rows = [{**{key: encoded[key][i] for key in encoded}, "labels": label} for i, label in enumerate(labels)]
    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=contender.epochs, learning_rate=contender.learning_rate,
        per_device_train_batch_size=DOCUMENTED_BATCH, bf16=contender.precision == "bfloat16", seed=seed,
        use_cpu=machine.device().type == "cpu", max_steps=max_steps, save_strategy="no", disable_tqdm=True,
        report_to="none", **grouping(contender.grouped, {field.name for field in fields(TrainingArguments)}),
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=2)
    collator = DataCollatorWithPadding(tokenizer)
    return Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collator, processing_class=tokenizer)


def grouping(wanted: bool, known: set[str]) -> dict[str, Any]:
    """Length grouping as this release of transformers calls it.

    Raises:
        ValueError: by a name that is not known here.
    """
    if not wanted:
        return {}
    if "train_sampling_strategy" in known:
        return {"train_sampling_strategy": "group_by_length"}
    if "group_by_length" in known:
        return {"group_by_length": True}
    raise ValueError("this release of transformers calls grouping by length by a new name: look into TrainingArguments")


def accuracy_of(trainer: Trainer, test: pd.DataFrame) -> Callable[[], float]:
    """Accuracy of the Trainer's model now; computed as fast as ours, and not on the clock."""
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    tokenizer: Any = trainer.processing_class
    ids = tokenize(texts, tokenizer, MAX_LENGTH)

    def logits(model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
        return answer

    def accuracy() -> float:
        answers = forward(trainer.model, ids, tokenizer.pad_token_id, compute=logits)
        return float(np.mean(answers.argmax(1) == labels))

    return accuracy


def _watch(race: Race) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            if race.may_stop(state.global_step):
                control.should_training_stop = True
            return control

    return Watch()
