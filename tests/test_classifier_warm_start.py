"""`warm_start`: fit goes on from the weights at hand, as scikit-learn's estimators of that parameter do."""

from __future__ import annotations

import numpy as np
import pytest

from course_lib import TextClassifier, TrainingConfig
from course_lib.errors import BadInput

TEXTS = ["a good film", "a bad film", "great fun", "no fun at all"] * 4
LABELS = [1, 0, 1, 0] * 4
STILL = TrainingConfig(epochs=1, batch_size=16, learning_rate=1e-12, weight_decay=0.0, precision="float32")


def _fitted(**parameters: object) -> TextClassifier:
    training = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-3, precision="float32")
    return TextClassifier("tiny", training=training, dropout=0.0, **parameters).fit(TEXTS, LABELS)


def test_goes_on_from_the_weights_at_hand() -> None:
    classifier = _fitted(warm_start=True)
    before = classifier.decision_logits(TEXTS)
    after = classifier.set_params(training=STILL).fit(TEXTS, LABELS).decision_logits(TEXTS)
    np.testing.assert_allclose(after, before, atol=1e-6)  # steps of size zero change nothing


def test_without_it_the_head_is_new() -> None:
    classifier = _fitted()
    before = classifier.decision_logits(TEXTS)
    after = classifier.set_params(training=STILL).fit(TEXTS, LABELS).decision_logits(TEXTS)
    assert abs(after - before).max() > 1e-3


def test_first_fit_builds() -> None:
    np.testing.assert_array_equal(_fitted(warm_start=True).decision_logits(TEXTS), _fitted().decision_logits(TEXTS))


def test_other_classes_are_refused() -> None:
    classifier = _fitted(warm_start=True)
    with pytest.raises(BadInput, match="warm_start goes on with the classes") as caught:
        classifier.fit(TEXTS, ["yes" if label else "no" for label in LABELS])
    assert "warm_start=False" in caught.value.fix
    assert classifier.predict(TEXTS[:1]).tolist() in ([0], [1])  # the fitted one is still whole
