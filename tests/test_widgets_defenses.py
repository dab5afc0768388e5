"""The widget of notebook 06 follows the typed text, and shows what the defense reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from toy_games import Spotter

from course_lib.errors import BadInput
from course_lib.widgets import watch_defense


class Corrected(Spotter):
    """Reads `godo` as `good`."""

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        return super().predict_proba(correct(texts))


def correct(texts: Sequence[str]) -> list[str]:
    return [text.replace("godo", "good") for text in texts]


def test_it_shows_the_read_text_and_every_prediction() -> None:
    box = watch_defense({"undefended": Spotter(), "<defended>": Corrected()}, correct, "a godo film")
    line, answer = box.children
    assert "watch-defense" in box._dom_classes
    assert "The defense reads: <b>a good film</b>" in answer.value
    plain, defended = (model.predict_proba(["a godo film"])[0, 1] for model in (Spotter(), Corrected()))
    assert plain < defended
    assert f">{plain:.0%}</span>" in answer.value and f">{defended:.0%}</span>" in answer.value
    assert "&lt;defended&gt;" in answer.value
    line.value = "a <b>film"
    assert "a &lt;b&gt;film" in answer.value and "good" not in answer.value


def test_an_error_is_shown() -> None:
    def broken(texts: Sequence[str]) -> list[str]:
        raise ValueError("no dictionary")

    assert "ValueError: no dictionary" in watch_defense({"undefended": Spotter()}, broken).children[1].value


class Three(Spotter):
    classes_ = np.arange(3)


@pytest.mark.parametrize("models", [{}, {"three classes": Three()}])
def test_models_that_it_does_not_take(models: dict[str, Spotter]) -> None:
    with pytest.raises(BadInput, match="the models are"):
        watch_defense(models, correct)
