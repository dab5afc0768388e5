"""Labelling by hand: buttons are pressed, and the file holds what was given."""

from pathlib import Path

import pytest

from course_lib import corpora, widgets
from course_lib.errors import BadInput

TEXTS = ["A fine film.", 'He said, "no"\nand left.', "<b>So-so</b>, really"]


def press(box, name: str) -> None:
    next(button for button in box.children[2].children if button.description == name).click()


def test_labels_are_kept_in_a_file_and_the_next_sentence_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "new" / "labels.csv"
    box = widgets.label_sentences(TEXTS, file)
    progress, sentence, buttons = box.children
    assert "label-sentences" in box._dom_classes and "Sentence 1 of 3" in progress.value
    assert [button.description for button in buttons.children] == ["negative", "positive", "unclear", "undo"]
    assert [button.disabled for button in buttons.children] == [False, False, False, True]
    assert not file.exists()
    press(box, "positive")
    press(box, "negative")
    assert "Sentence 3 of 3" in progress.value and "&lt;b&gt;So-so&lt;/b&gt;" in sentence.value
    press(box, "unclear")
    assert "All 3 sentences have a label: 1 negative, 1 positive, 1 unclear" in progress.value
    assert [button.disabled for button in buttons.children] == [True, True, True, False]
    assert widgets.read_labels(file) == dict(zip(TEXTS, ("positive", "negative", "unclear"), strict=True))


def test_undo_takes_the_last_label_back_and_only_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    for texts, label in ((["Another text."], "positive"), (TEXTS[:1], "negative")):
        press(widgets.label_sentences(texts, file), label)
    box = widgets.label_sentences(TEXTS, file)
    assert "Sentence 2 of 3" in box.children[0].value, "what the file has is not shown again"
    press(box, "undo")
    assert "Sentence 1 of 3" in box.children[0].value and widgets.read_labels(file) == {"Another text.": "positive"}


def test_the_course_reads_the_file(tmp_path: Path) -> None:
    texts = [f"sentence number {number}" for number in range(120)]
    box = widgets.label_sentences(texts, tmp_path / "mine.csv")
    for number in range(120):
        press(box, ("negative", "positive")[number % 2])
    frame = corpora.from_csv(tmp_path / "mine.csv")
    assert sorted(frame["text"]) == sorted(texts) and frame.attrs["classes"] == ["negative", "positive"]


def test_what_goes_wrong_is_shown(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    box = widgets.label_sentences(TEXTS, tmp_path / "other.csv")
    press(box, "positive")
    assert "give a CSV file with text and label" in box.children[0].value
    assert (tmp_path / "other.csv").read_text(encoding="utf-8") == "a,b\n1,2\n"
    with pytest.raises(BadInput, match="columns"):
        widgets.read_labels(tmp_path / "other.csv")


@pytest.mark.parametrize(("texts", "labels"), [([], ("a", "b")), (["x", "x"], ("a", "b")), (["x"], ("a",))])
def test_bad_input(texts: list[str], labels: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="sentences"):
        widgets.label_sentences(texts, tmp_path / "x.csv", labels)
