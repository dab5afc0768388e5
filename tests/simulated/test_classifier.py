"""Fitting, predicting and evaluating on an accelerator: the numbers of the CPU, and no waiting in hot loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
import simulated_accelerator as accelerator
from interruption import Interrupted, interrupt_at
from toy_classifiers import LABELS, MIXED, QUICK, RATINGS, TEXTS, tiny

from course_lib import evaluation, machine
from course_lib.checkpoints import CheckpointFolder
from course_lib.classifier import TextClassifier, sentence_vectors
from course_lib.errors import CourseError

OnCpu = Callable[[Callable[[], Any]], Any]
HEADS = {
    "classification": ({}, {}),
    "regression": ({"head": "regression"}, {}),
    "multitask": ({"head": "multitask"}, {"ratings": RATINGS}),
    "lora": ({"lora_rank": 2}, {}),
    "probe": ({"frozen_encoder": True}, {}),
    "soft labels": ({}, {"soft_labels": [[0.2, 0.8] if label else [0.7, 0.3] for label in LABELS]}),
}


def fit(parameters: dict[str, Any], more: dict[str, Any], **training: Any) -> TextClassifier:
    labels = RATINGS if parameters.get("head") == "regression" else LABELS
    classifier = tiny(replace(QUICK, epochs=2, **training), **parameters)
    return classifier.fit(TEXTS, labels, validation=(TEXTS[:9], labels[:9]), **more)


@pytest.mark.parametrize("case", HEADS)
def test_fit_and_predict_as_on_a_cpu(case: str, on_cpu: OnCpu, tmp_path: Path) -> None:
    fitted = fit(*HEADS[case])
    assert next(fitted.module_.parameters()).device.type == accelerator.NAME
    found = fitted.decision_logits(MIXED)
    wanted = on_cpu(lambda: fit(*HEADS[case]).decision_logits(MIXED))
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    back = TextClassifier.from_pretrained(fitted.save(tmp_path / "m"))
    np.testing.assert_allclose(back.decision_logits(MIXED), found, atol=1e-5)


def test_a_training_step_does_not_wait() -> None:
    """What is read is the loss, once for each row of the history, and the validation's outputs."""
    waits = []
    for epochs in (1, 5):
        with accelerator.counted() as counts:
            fitted = tiny(replace(QUICK, epochs=epochs, batch_size=4)).fit(TEXTS, LABELS)
        steps, rows = 10 * epochs, len(fitted.history_.rows)
        waits.append(counts["synchronize"] + counts["to_host"])
        assert waits[-1] <= 3 * rows + 2 < steps, accelerator.places.most_common(8)
    assert waits[1] - waits[0] <= 4 * 3


def test_a_forward_batch_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = fit({}, {})
    fitted.predict(MIXED)
    for budget in (10_000, 8):
        monkeypatch.setitem(machine.PRESETS, "gpu", replace(machine.PRESETS["gpu"], predict_tokens=budget))
        with accelerator.counted() as counts:
            fitted.predict_proba(TEXTS)
        assert (counts["synchronize"], counts["to_host"]) == (0, 1), accelerator.places
    assert counts["to_device"] >= 3 * 20


def test_launches_of_a_training_step_do_not_grow_with_its_rows() -> None:
    per_step = []
    for size in (4, 20):
        totals = []
        for epochs in (1, 3):
            with accelerator.counted():
                tiny(replace(QUICK, epochs=epochs, batch_size=size)).fit(TEXTS, LABELS)
            totals.append(accelerator.launches.total())
        per_step.append((totals[1] - totals[0]) / (2 * len(TEXTS) / size))
    assert per_step[0] == pytest.approx(per_step[1], abs=0.5), accelerator.launches.most_common(8)  # rows of the log


def test_launches_of_a_batch_do_not_grow_with_its_rows() -> None:
    fitted, launches = fit({}, {}), []
    for texts in (TEXTS[:4], TEXTS):
        with accelerator.counted():
            fitted.predict_proba(texts)
        launches.append(accelerator.launches.total())
    assert launches[0] == launches[1] > 0, accelerator.launches


def test_an_interrupted_fit_ends_in_the_same_weights(tmp_path: Path) -> None:
    training = replace(QUICK, epochs=3, batch_size=8)
    folder = CheckpointFolder(tmp_path, every=4)
    with pytest.raises(Interrupted):
        tiny(training).fit(TEXTS, LABELS, callbacks=[interrupt_at(10)], checkpoints=folder)
    resumed = tiny(training).fit(TEXTS, LABELS, checkpoints=folder)
    whole = tiny(training).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(resumed.decision_logits(MIXED), whole.decision_logits(MIXED))


def test_evaluation_of_its_predictions(on_cpu: OnCpu) -> None:
    fitted = fit({}, {})
    found, wanted = (run(lambda: evaluation.evaluate(fitted.predict_proba(TEXTS), LABELS)) for run in (_run, on_cpu))
    assert found.accuracy == wanted.accuracy and found.log_loss == pytest.approx(wanted.log_loss, abs=1e-5)


def _run(function: Callable[[], Any]) -> Any:
    return function()


def test_sentence_vectors(on_cpu: OnCpu) -> None:
    np.testing.assert_allclose(sentence_vectors(MIXED[:4]), on_cpu(lambda: sentence_vectors(MIXED[:4])), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*longer than max_length")
@pytest.mark.parametrize("name", families.FAMILIES)
def test_families(name: str, tmp_path: Path, on_cpu: OnCpu) -> None:
    folder = families.folder_of(families.FAMILIES[name], tmp_path)
    found = TextClassifier.from_pretrained(folder).decision_logits(families.TEXTS)
    wanted = on_cpu(lambda: TextClassifier.from_pretrained(folder).decision_logits(families.TEXTS))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_an_operation_that_the_device_lacks_is_named() -> None:
    fitted = fit({}, {})
    for call in (lambda: fitted.predict(TEXTS), lambda: fit({}, {})):
        with accelerator.without("aten::gelu"), pytest.raises(CourseError, match=r"lacks an operation.*aten::gelu"):
            call()
