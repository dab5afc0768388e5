"""The widgets of notebooks 01 and 02 are moved by values and clicks, and answer in words and pictures."""

import re
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import widgets
from course_lib.errors import BadInput
from course_lib.widgets.attention import MOST_TOKENS, habits, table
from course_lib.widgets.masked_word import MOST_WORDS, words_of

# ---------------------------------------------------------------- attention


class ToyTokenizer:
    """A token for each word; ids count from 2, [CLS] is 0 and [SEP] 1."""

    def __init__(self) -> None:
        self.words: list[str] = ["[CLS]", "[SEP]"]

    def __call__(self, text: str, *, truncation: bool, max_length: int) -> dict[str, list[int]]:
        assert truncation
        for word in text.split():
            if word not in self.words:
                self.words.append(word)
        return {"input_ids": [0, *map(self.words.index, text.split()[: max_length - 2]), 1]}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.words[number] for number in ids]


class ToyEncoder:
    """Two layers, three heads; in layer k, head h every token reads the one h places before it with a weight of 0.9."""

    config = SimpleNamespace(n_layers=2, n_heads=3)

    def __init__(self) -> None:
        self.causal, self.calls = False, list[int]()  # a list, which copies of the encoder share

    def parameters(self):
        return iter([torch.zeros(1)])

    def attention_maps(self, input_ids: torch.Tensor) -> torch.Tensor:
        self.calls.append(input_ids.shape[1])
        n = input_ids.shape[1]
        scores = torch.full((2, 1, 3, n, n), 0.0)
        for head in range(3):
            for row in range(n):
                scores[:, 0, head, row, max(0, row - head)] = 5.0
        if self.causal:
            scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf"))
        return scores.softmax(dim=-1)


def attention_box(text: str = "it was <good>") -> tuple[ToyEncoder, ipywidgets.VBox]:
    encoder = ToyEncoder()
    return encoder, widgets.watch_attention(encoder, ToyTokenizer(), text)


def cells(html: str) -> list[tuple[str, str]]:
    """Title and background of each cell."""
    return re.findall(r'<td title="(.*?)" style="background:(.*?)" aria-label="[^"]+"></td>', html)


def test_the_map_follows_sentence_layer_head_and_switch():
    _, box = attention_box()
    line, layer, head, way, answer = box.children
    assert "watch-attention" in box._dom_classes and (layer.max, head.max) == (2, 3)
    assert len(cells(answer.value)) == 25 and "Layer 1, head 1, bidirectional." in answer.value
    seen = {answer.value}
    for control, value in ((layer, 2), (head, 2), (way, "causal"), (line, "no it was good")):
        control.value = value
        assert answer.value not in seen
        seen.add(answer.value)
    assert "Layer 2, head 2, causal." in answer.value and len(cells(answer.value)) == 36


def test_the_sliders_do_not_compute_again():
    encoder, box = attention_box()
    for value in (2, 3, 1):
        box.children[2].value = value
    assert len(encoder.calls) == 1
    box.children[3].value = "causal"
    assert len(encoder.calls) == 2


def test_the_encoders_own_mask_stays_as_it_was():
    encoder, box = attention_box()
    box.children[3].value = "causal"
    assert encoder.causal is False and ": hidden" in box.children[4].value
    encoder.causal = True
    assert widgets.watch_attention(encoder, ToyTokenizer(), "a b").children[3].value == "causal"
    assert encoder.causal is True


def test_a_causal_map_hides_what_comes_later_and_nothing_else():
    titles = [title for title, _ in cells(table(np.tril(np.ones((4, 4))), list("abcd"), causal=True))]
    hidden = [title.endswith(": hidden") for title in titles]
    assert hidden == [column > row for row in range(4) for column in range(4)]
    assert not any(t.endswith("hidden") for t, _ in cells(table(np.eye(3), list("abc"), causal=False)))


@given(st.integers(1, 9), st.integers(0, 10**6))
@settings(deadline=None, max_examples=20)
def test_the_darker_the_cell_the_larger_its_weight_and_every_number_is_there(n, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(n), size=n)
    found = cells(table(weights, [f"w{k}" for k in range(n)], causal=False))
    shades = np.array([float(re.search(r",([\d.]+)\)$", shade)[1]) for _, shade in found])
    np.testing.assert_allclose(shades**2, weights.ravel(), atol=0.011)
    assert (np.diff(shades[weights.ravel().argsort()]) >= 0).all()
    assert [title.rsplit(": ")[1] for title, _ in found] == [f"{weight:.1%}" for weight in weights.ravel()]


def test_the_habits_of_a_head_are_told():
    shift = np.eye(4, k=-1) + np.diag([1.0, 0, 0, 0])
    told = habits(shift, ["[CLS]", "a", "b", "[SEP]"])
    assert "“b” attends to “a” (100%)" in told
    assert "25% to itself" in told and "50% to special tokens" in told and "100% to the token before" in told
    assert "100% to special tokens" in habits(np.ones((1, 1)), ["[CLS]"])


def test_tokens_are_text_not_html():
    answer = attention_box("a <b>")[1].children[4].value
    assert "<b>" not in answer and "&lt;b&gt;" in answer


def test_a_long_sentence_is_cut_and_says_so():
    _, box = attention_box("word " * 31)
    line, *_, answer = box.children
    assert "Only the first 32 tokens are shown" in answer.value and len(cells(answer.value)) == MOST_TOKENS**2
    line.value = "word " * 30
    assert "Only the first" not in answer.value


@pytest.mark.parametrize("blank", ["", "   "])
def test_attention_asks_for_a_sentence(blank):
    _, box = attention_box()
    box.children[0].value = blank
    assert "Type a sentence" in box.children[4].value


@pytest.mark.parametrize(
    "error", [BadInput("rows are too <long>", "cut them"), KeyError("x"), RuntimeError("no memory")]
)
def test_what_goes_wrong_with_a_map_is_shown_and_can_be_mended(error, monkeypatch):
    encoder, box = attention_box()

    def fail(ids):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(encoder, "attention_maps", fail)
        box.children[0].value = "another sentence"
        assert "The attention map cannot be shown" in box.children[4].value and "<long>" not in box.children[4].value
        assert not encoder.causal
    box.children[0].value = "and one more"
    assert len(cells(box.children[4].value)) == 25


def test_the_courses_encoder_fits():
    from course_lib.encoder import BertEncoder, EncoderConfig

    torch.manual_seed(0)
    sizes = {"hidden_size": 12, "n_layers": 2, "n_heads": 3, "intermediate_size": 16, "max_positions": 40}
    encoder = BertEncoder(EncoderConfig(vocab_size=60, **sizes))
    box = widgets.watch_attention(encoder, ToyTokenizer(), "one two three")
    box.children[3].value = "causal"
    first_row = [title for title, _ in cells(box.children[4].value)][:5]
    assert first_row[0].endswith(": 100.0%") and all(title.endswith("hidden") for title in first_row[1:])
    with torch.no_grad():
        expected = encoder.attention_maps(torch.tensor([[0, 2, 3, 4, 1]]))[1, 0, 2, 3, 1].item()
    box.children[1].value, box.children[2].value, box.children[3].value = 2, 3, "bidirectional"
    assert f"“three” attends to “one”: {expected:.1%}" in box.children[4].value


# ---------------------------------------------------------------- masked words


def toy_fill(text: str) -> list[list[tuple[str, float]]]:
    """For each mask: the word before it in capitals, then `film`."""
    parts = text.split("[MASK]")
    return [[(part.split()[-1].upper() if part.split() else "START", 0.5), ("film", 0.25)] for part in parts[:-1]]


def mask_box(text: str = "I like this film, don't you?", fill=toy_fill) -> tuple[list, ipywidgets.VBox]:
    asked: list[str] = []

    def watched(masked: str):
        asked.append(masked)
        return fill(masked)

    return asked, widgets.watch_mask(watched, text)


def words(box: ipywidgets.VBox) -> list[str]:
    return [button.description for button in box.children[1].children]


def test_a_click_masks_the_word_and_shows_the_candidates():
    asked, box = mask_box()
    assert "watch-mask" in box._dom_classes and asked == [] and "Click on a word" in box.children[2].value
    assert words(box) == ["I", "like", "this", "film", "don't", "you"]
    box.children[1].children[3].click()
    assert asked == ["I like this [MASK], don't you?"]
    answer = box.children[2].value
    assert (
        "“THIS” is the most likely word (50.0%)." in answer and "The original word “film” is number 2 (25.0%)" in answer
    )
    assert re.findall(r"width:([\d.]+)%", answer) == ["50.0", "25.0"] and "<b>film</b>" in answer
    assert words(box)[3] == "[MASK]" and box.children[1].children[3].button_style == "primary"


def test_only_one_word_is_masked_and_a_second_click_shows_it_again():
    asked, box = mask_box()
    buttons = box.children[1].children
    buttons[0].click()
    buttons[1].click()
    assert words(box).count("[MASK]") == 1 and asked[-1] == "I [MASK] this film, don't you?"
    assert "not among the first 2" in box.children[2].value
    buttons[1].click()
    assert words(box) == ["I", "like", "this", "film", "don't", "you"] and "Click on a word" in box.children[2].value


def test_of_two_equal_words_the_clicked_one_is_masked():
    asked, box = mask_box("so so good")
    box.children[1].children[1].click()
    assert asked == ["so [MASK] good"] and words(box) == ["so", "[MASK]", "good"]


def test_new_text_makes_new_words_and_no_mask():
    _, box = mask_box()
    box.children[1].children[0].click()
    box.children[0].value = "A well-made film"
    assert words(box) == ["A", "well-made", "film"] and "Click on a word" in box.children[2].value


def test_masks_can_be_typed_and_the_clicked_one_is_told_apart():
    asked, box = mask_box("a [MASK] film")
    assert asked == ["a [MASK] film"] and "“A” is the most likely word" in box.children[2].value
    assert box.children[1].children[1].disabled
    box.children[1].children[2].click()
    assert asked[-1] == "a [MASK] [MASK]"
    first, second = re.findall(r'<p class="mask-candidates".*?>(.*?)</p>', box.children[2].value)
    assert first.startswith("Mask 1: ") and "The original word" not in first
    assert second.startswith("Mask 2: ") and "The original word “film” is number 2" in second


@pytest.mark.parametrize("blank", ["", "  ", "?!"])
def test_without_a_word_it_asks_for_a_sentence(blank):
    _, box = mask_box()
    box.children[0].value = blank
    assert "Type a sentence" in box.children[2].value and words(box) == []


def test_text_and_candidates_are_no_html():
    _, box = mask_box("<i>x</i> y", lambda text: [[("<u>", 0.9)]])
    box.children[1].children[-1].click()
    assert "<u>" not in box.children[2].value and "<i>" not in box.children[2].value


def fail_with(error: Exception):
    def fill(text: str):
        raise error

    return fill


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (fail_with(BadInput("a <long> text", "cut it")), "a &lt;long&gt; text<br>To fix it: cut it"),
        (fail_with(KeyError("film")), "KeyError"),
        (lambda text: None, "fill gave None"),
        (lambda text: [], "for a text with 1 [MASK]"),
        (lambda text: [[]], "fill gave [[]]"),
        (lambda text: ["film"], "fill gave"),
        (lambda text: [[("film", 1.5)]], "fill gave"),
        (lambda text: [[("film", float("nan"))]], "fill gave"),
        (lambda text: [[("a", 0.5)], [("b", 0.5)]], "for a text with 1 [MASK]"),
    ],
)
def test_bad_candidates_are_shown_as_words(fill, said):
    _, box = mask_box(fill=fill)
    box.children[1].children[0].click()
    assert "There are no candidates" in box.children[2].value and said in box.children[2].value


def test_of_many_words_the_first_can_be_clicked():
    _, box = mask_box("word " * 50)
    assert len(words(box)) == MOST_WORDS and f"first {MOST_WORDS} can be clicked" in box.children[2].value


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=60)
def test_any_text_can_be_typed_and_any_word_clicked(text):
    asked, box = mask_box("a")
    box.children[0].value = text
    for word, button in zip(words_of(text), box.children[1].children, strict=False):
        asked.clear()
        button.click()
        assert asked == [text[: word.start] + "[MASK]" + text[word.end :]]
