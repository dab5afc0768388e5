"""The widget of the next token: bars follow text and sliders, buttons write, and nothing raises."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ipywidgets
import pytest
import torch

from course_lib import widgets
from course_lib.errors import BadInput
from course_lib.generation import CausalLM, Sampling
from course_lib.widgets.generation import AT_ONCE, KEPT, MOST_BARS, MOST_TOKENS, REMOVED

VOCABULARY = ["<end>", " good", " bad", " <b>", "\n", *(f" w{k}" for k in range(7))]
CHANCES = torch.tensor([0.01, 0.4, 0.3, 0.1, 0.05, *[0.02] * 7])


class ToyTokenizer:
    eos_token_id = 0

    def convert_ids_to_tokens(self, token: int) -> str:
        return VOCABULARY[token]


class ToyModel:
    """Gives every next token the same chances, whatever the text."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.chances = CHANCES
        self.config = type("Config", (), {"max_positions": 2000, "vocab_size": len(VOCABULARY)})
        self.embeddings = torch.nn.Embedding(1, 1)

    def new_cache(self, batch: int, capacity: int) -> Any:
        return type("Cache", (), {"crop": lambda self, length: None})()

    def __call__(self, ids: torch.Tensor, mask: Any = None, cache: Any = None) -> torch.Tensor:
        if cache is None:
            self.lengths.append(ids.shape[1])
        return torch.zeros(*ids.shape, 1)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.chances.log().expand(*hidden.shape[:-1], -1)


class ToyLM(CausalLM):
    """A token for each character of the text."""

    def encode(self, text: str) -> list[int]:
        return [1] * len(text)

    def decode(self, ids: Any) -> str:
        return "".join(VOCABULARY[token] for token in ids if token)


def toy_box(text: str = "It was", **settings: Any) -> tuple[ToyModel, ipywidgets.VBox]:
    model: Any = ToyModel()
    tokenizer: Any = ToyTokenizer()
    return model, widgets.watch_next_token(ToyLM(model, tokenizer), text, **settings)


def bars(box: ipywidgets.VBox) -> list[tuple[str, str]]:
    """Colour and number of each bar: those of the model first, then as many that are drawn from."""
    return re.findall(r"background:(#\w+)\"></span></span><span>(.*?)</span>", box.children[5].value)


def test_the_bars_are_the_models_probabilities_until_a_slider_moves() -> None:
    model, box = toy_box()
    assert "watch-next-token" in box._dom_classes and model.lengths == [6]
    assert "“ good” is the likeliest next token (40.0%). All 12 tokens" in box.children[5].value
    found = bars(box)
    assert len(found) == 2 * MOST_BARS and found[:MOST_BARS] == found[MOST_BARS:]
    assert found[0] == (KEPT, "40.0%") and "“↵”" in box.children[5].value and "<b> " not in box.children[5].value


@pytest.mark.parametrize(
    ("child", "value", "sampling"),
    [(1, 0.5, Sampling(0.5)), (2, 0.75, Sampling(1.0, top_p=0.75)), (3, 2, Sampling(1.0, 2)), (1, 0.0, Sampling(0.0))],
)
def test_each_slider_changes_what_is_drawn_from_without_a_new_forward_pass(
    child: int, value: float, sampling: Sampling
) -> None:
    model, box = toy_box()
    box.children[child].value = value
    wanted = sampling.probabilities(CHANCES.log())
    order = CHANCES.topk(MOST_BARS).indices
    after = bars(box)[MOST_BARS:]
    assert after == [(KEPT, f"{p:.1%}") if p > 0 else (REMOVED, "removed") for p in wanted[order].tolist()]
    assert [colour for colour, _ in bars(box)[:MOST_BARS]] == [colour for colour, _ in after]
    assert model.lengths == [6]


def test_buttons_write_the_same_tokens_after_the_same_clicks() -> None:
    _, box = toy_box(seed=4)
    one, many, again = box.children[4].children
    texts = []
    for _ in range(2):
        one.click()
        first = box.children[0].value
        assert first.removeprefix("It was") in VOCABULARY
        many.click()
        texts.append(box.children[0].value)
        assert texts[-1].startswith(first) and len(texts[-1]) > len(first)
        again.click()
        assert box.children[0].value == "It was"
    assert texts[0] == texts[1]
    assert many.description == f"Write {AT_ONCE} tokens"


def test_the_end_token_is_told() -> None:
    model, box = toy_box()
    model.chances = torch.eye(len(VOCABULARY))[0]
    box.children[4].children[1].click()
    assert box.children[0].value == "It was" and "The model ended its text" in box.children[5].value


def test_of_a_long_text_the_end_is_read() -> None:
    model, box = toy_box()
    box.children[0].value = "a" * 1000
    assert model.lengths == [6, MOST_TOKENS]
    box.children[4].children[0].click()
    assert len(box.children[0].value) > 1000


@pytest.mark.parametrize("blank", ["", " \n"])
def test_without_a_text_it_asks_for_one(blank: str) -> None:
    _, box = toy_box()
    box.children[0].value = blank
    assert "Type the beginning of a text" in box.children[5].value


@pytest.mark.parametrize("act", [lambda box: setattr(box.children[0], "value", "x"),
                                 lambda box: box.children[4].children[1].click()])  # fmt: skip
def test_what_goes_wrong_is_shown(act: Callable[[ipywidgets.VBox], None], monkeypatch: pytest.MonkeyPatch) -> None:
    model, box = toy_box()

    def fail(self: ToyModel, *_: Any, **__: Any) -> torch.Tensor:
        raise BadInput("a <long> text", "cut it")

    with monkeypatch.context() as patched:
        patched.setattr(ToyModel, "__call__", fail)
        act(box)
        assert "a &lt;long&gt; text" in box.children[5].value
    box.children[0].value = "more"
    assert len(bars(box)) == 2 * MOST_BARS and model.lengths[-1] == 4
