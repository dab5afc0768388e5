"""What runs on a GPU, run on a simulated one: nothing is left on the wrong device, and the hot loops do not wait.

Each case runs twice in one process of its own, on the CPU and on the device, and gives the same numbers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TEXTS = [f"a good film, the number {i} of many" for i in range(12)] + ["bad", "what a waste of time this was"] * 6
LABELS = [1] * 12 + [0] * 12
CASES: dict[str, Callable[[], Any]] = {}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Registers a function that returns numbers, which must be the same on both devices."""
    CASES[function.__name__] = function
    return function


def cases_of(name: str, settings: list[str], function: Callable[[str], Any]) -> None:
    for setting in settings:
        CASES[f"{name} {setting}"] = lambda setting=setting: function(setting)


# ---- predicting and fitting --------------------------------------------------------------------------------------


def sentiment() -> Any:
    from course_lib.classifier import TextClassifier

    return TextClassifier.from_pretrained("sentiment")


def fitted(texts: list[str] = TEXTS, labels: Any = LABELS, loss_wrapper: Any = None, **parameters: Any) -> Any:
    from course_lib.classifier import TextClassifier
    from course_lib.training import TrainingConfig

    settings = {"encoder": "tiny", "dropout": 0.0, "training": TrainingConfig(epochs=2, batch_size=8)} | parameters
    more = {"ratings": np.linspace(0, 1, len(texts))} if settings.get("head") == "multitask" else {}
    validation = None if "head" in settings else (texts, labels)
    return TextClassifier(**settings).fit(texts, labels, validation=validation, loss_wrapper=loss_wrapper, **more)


@case
def predict() -> Any:
    return sentiment().predict_proba(TEXTS)


def fit_with(setting: str) -> Any:
    parameters: dict[str, Any] = {
        "default": {}, "lora": {"lora_rank": 2}, "frozen": {"frozen_encoder": True},
        "regression": {"head": "regression"}, "multitask": {"head": "multitask"},
    }[setting]  # fmt: skip
    model = fitted(**parameters)
    return [row["loss"] for row in model.history_.rows if "loss" in row], model.decision_logits(TEXTS)


cases_of("fit", ["default", "lora", "frozen", "regression", "multitask"], fit_with)


# ---- explaining and attacking ------------------------------------------------------------------------------------

METHODS = ["lime", "shap", "permutation", "exact", "occlusion", "ig", "gradient", "smoothgrad", "attention", "rollout"]
RECIPES = ["deepwordbug", "pwws", "textfooler", "bae", "bert-attack", "hotflip", "genetic", "beam-synonyms"]


def explanation(method: str) -> Any:
    from course_lib.explain import explain

    sampled = {"samples": 60} if method in ("lime", "shap", "permutation") else {}
    return tuple(one.scores for one in explain(sentiment(), ["a good but long film", "not bad"], method, **sampled))


def attack(recipe: str) -> Any:
    from course_lib import attacks

    report = attacks.recipe(recipe).run(sentiment(), ["a good but long film", "a dull story"], [1, 0])
    return tuple([one.queries, len(one.changed), *map(ord, one.adversarial)] for one in report.results)


cases_of("explain", METHODS, explanation)
cases_of("attack", RECIPES, attack)


@case
def pgd() -> Any:
    from course_lib.attacks import PGD

    report = PGD(steps=3).run(sentiment(), TEXTS[:6], LABELS[:6])
    return report.loss_before, report.loss_after, report.sizes


# ---- pretraining -------------------------------------------------------------------------------------------------


def pretraining(objective: str) -> Any:
    import tempfile

    from toy_pretraining import toy_material, toy_recipe

    from course_lib.pretraining import pretrain

    with tempfile.TemporaryDirectory() as folder:
        material = toy_material(Path(folder))
        done = pretrain(toy_recipe(material, objective=objective), material=material)
    return [row["loss"] for row in done.history.rows if "loss" in row], done.held_out.loss


cases_of("pretrain", ["mlm", "mlm+nsp", "causal"], pretraining)


# ---- the runner: `python tests/test_simulated_accelerator.py` writes a JSON object for each case -----------------


def run() -> None:
    import simulated_accelerator

    simulated_accelerator.install()
    for name, function in CASES.items():
        told: dict[str, Any] = {"case": name}
        try:
            os.environ["COURSE_PRESET"] = "cpu"
            expected = numbers(function())
            os.environ["COURSE_PRESET"] = "gpu"
            with simulated_accelerator.counted() as waits:
                found = numbers(function())
            told |= {"waits": dict(waits), "difference": difference(expected, found)}
        except Exception as error:
            told["error"] = f"{type(error).__name__}: {error}\n{''.join(traceback.format_tb(error.__traceback__)[-6:])}"
        print(json.dumps(told), flush=True)


def numbers(result: Any) -> np.ndarray:
    parts = result if isinstance(result, tuple) else (result,)
    return np.concatenate([np.asarray(part, np.float64).ravel() for part in parts])


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    return float(np.abs(expected - found).max()) if expected.shape == found.shape else float("inf")


@pytest.fixture(scope="session")
def told() -> dict[str, Any]:
    """What became of each case."""
    here = Path(__file__)
    path = os.pathsep.join(map(str, (here.parents[1], here.parent, here.parent / "tools")))
    done = subprocess.run(
        [sys.executable, str(here)], capture_output=True, text=True, cwd=here.parents[1],
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["case"] for row in rows] == list(CASES), done.stderr[-3000:]
    return {row["case"]: row for row in rows}


@pytest.mark.parametrize("name", CASES)
def test_a_simulated_accelerator_gives_the_same_numbers_as_the_cpu(name: str, told: dict[str, Any]) -> None:
    assert "error" not in told[name], told[name]["error"]
    assert told[name]["difference"] < 1e-3


@pytest.mark.parametrize("name", ["fit default"])
def test_a_training_step_does_not_wait_for_the_device(name: str, told: dict[str, Any]) -> None:
    """Losses are read when they are logged, validation once an epoch: far less often than there are steps."""
    assert sum(told[name]["waits"].values()) <= 6, told[name]["waits"]


@pytest.mark.parametrize("name", ["predict", "explain lime", "explain shap", "attack deepwordbug"])
def test_predictions_come_back_in_one_piece(name: str, told: dict[str, Any]) -> None:
    """Each call of the classifier waits once, however many batches it has."""
    assert all(place.startswith("aten::_to_copy in classifier/model.py") for place in told[name]["waits"])


if __name__ == "__main__":
    run()
