"""What was changed is found and marked; votes are kept and counted."""

import json
import os
import re
from dataclasses import asdict
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.attacks.difference import Piece, description, inline, marked, pieces, side_by_side
from course_lib.attacks.human_evaluation import Vote, add_vote, read_votes, validity
from course_lib.errors import BadInput, CorruptAsset, CourseError
from course_lib.evaluation import wilson_interval

TEXTS = st.text(st.sampled_from("ab. <&\u200bо\n"), max_size=24)


class Read(HTMLParser):
    """The words of a piece of HTML, cell by cell, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag  # well-formed

    def handle_data(self, data):
        if "td" in self.open:
            self.cells[-1] += data


# ---------------------------------------------------------------- what was changed


@pytest.mark.parametrize(
    ("original", "adversarial", "said"),
    [
        ("a good film", "a goood film", "a [good->goood] film"),
        ("a good film", "a fine film", "a [good->fine] film"),
        ("so so good", "so go good", "so [so->go] good"),
        ("a good film", "a good film", "a good film"),
        ("a very good film", "a good film", "a[ very->] good film"),
        ("a good film", "a very good film", "a[-> very] good film"),
        ("a good film", "a go od film", "a [good->go od] film"),
        ("good film!", "good film?", "good film[!->?]"),
        ("good", "gооd", "[good->gооd U+043E]"),
        ("good", "go\u200bod", "[good->goU+200Bod]"),
        ("", "good", "[->good]"),
        ("good", "", "[good->]"),
        ("", "", ""),
    ],
)
def test_changes_are_found_and_marked(original, adversarial, said):
    assert marked(original, adversarial) == said


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=200)
def test_the_pieces_are_both_texts(original, adversarial):
    cut = pieces(original, adversarial)
    assert "".join(piece.original for piece in cut) == original
    assert "".join(piece.adversarial for piece in cut) == adversarial
    assert all(any(piece) for piece in cut)
    assert all(piece.original == piece.adversarial for piece in pieces(original, original))


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=100)
def test_the_table_shows_both_texts_whole_and_closes_its_tags(original, adversarial):
    html = side_by_side([(original, adversarial)])
    cells = [cell.replace("U+200B", "\u200b") for cell in Read(html).cells]
    assert cells == [original, adversarial if adversarial != original else "nothing was changed"]


def test_changed_words_are_struck_out_left_and_underlined_right():
    html = side_by_side([("a good film", "a goood film")])
    left, right = re.findall(r"<td>(.*?)</td>", html)
    assert left == 'a <del title="“good” became “goood”">good</del> film'
    assert right == 'a <ins title="“good” became “goood”">goo<b>o</b>d</ins> film'
    assert "text-decoration:line-through" in html and "text-decoration:underline" in html
    assert html.count('<th scope="col">') == 2


def test_of_another_word_no_single_character_stands_out():
    html = side_by_side([("a good film", "a splendid film")])
    assert "<b>" not in html and ">good</del>" in html and ">splendid</ins>" in html


def test_texts_are_no_html():
    html = side_by_side([("<i>so</i>", "<i>\"sо'&</i>")])
    assert "i" not in Read(html).tags
    assert Read(inline("<i>so</i>", "<i>s&o</i>")).tags.count("i") == 0


def test_inline_shows_the_old_word_and_the_new_one():
    html = inline("a good film", "a bad film")
    assert unescape(re.sub(r"<style>.*</style>|<[^>]*>", "", html)) == "a goodbad film"
    assert Read(html).tags == ["style", "span", "del", "ins"]
    assert "<del" not in inline("same", "same")


def test_a_title_names_what_eyes_do_not_see():
    assert description(Piece("good", "gоod")) == "“good” became “gоod” (U+043E CYRILLIC SMALL LETTER O)"
    assert description(Piece("", "\u200b")) == "“U+200B” was put in (U+200B ZERO WIDTH SPACE)"
    assert description(Piece("very", "")) == "“very” was left out"
    assert description(Piece("café", "cafés")) == "“café” became “cafés”"


def test_no_pair_is_said_in_words():
    assert "no pair" in side_by_side([])


# ---------------------------------------------------------------- votes


def vote(number: int = 0, **parts) -> Vote:
    return Vote(
        **{"original": f"a {number}", "adversarial": f"b {number}", "label": 1, "given": 1, "same": True} | parts
    )


def test_votes_are_appended_and_the_last_of_a_pair_counts(tmp_path):
    file = tmp_path / "made" / "votes.json"
    assert read_votes(file).empty and list(read_votes(file).columns) == list(asdict(vote()))
    for one in (vote(0, same=None), vote(1, given=0, same=False), vote(0)):
        add_vote(file, one)
    votes = read_votes(file)
    assert votes["original"].tolist() == ["a 0", "a 1"] and votes["same"].tolist() == [True, False]
    assert len(json.loads(file.read_text())["votes"]) == 3


def test_values_come_back_as_they_were(tmp_path):
    file = tmp_path / "votes.json"
    add_vote(file, vote(label=np.int64(1), given=None, adversarial="gооd\u200b <b>\n"))
    add_vote(file, vote(1, label="spam", given=np.str_("ham"), same=None))
    one, two = read_votes(file).to_dict("records")
    assert one["adversarial"] == "gооd\u200b <b>\n" and one["label"] == 1 and one["given"] is None
    assert two["label"] == "spam" and two["given"] == "ham" and two["same"] is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"votes": 3}', '{"votes": [{}]}', '{"votes": ["x"]}', b"\xff\xfe", "null"]
    + [json.dumps({"votes": [asdict(vote()) | part]}) for part in ({"same": 1}, {"original": 2}, {"more": 1})],
)
def test_a_damaged_file_is_named_and_kept(tmp_path, content):
    file = tmp_path / "votes.json"
    data = content if isinstance(content, bytes) else content.encode()
    file.write_bytes(data)
    for act in (lambda: read_votes(file), lambda: add_vote(file, vote())):
        with pytest.raises(CorruptAsset, match=r"votes\.json does not hold votes") as caught:
            act()
        assert "rename" in caught.value.fix and file.read_bytes() == data


def test_a_vote_that_cannot_be_written_loses_nothing(tmp_path, monkeypatch):
    file = tmp_path / "votes.json"
    add_vote(file, vote())
    before = file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CourseError, match="No space left"):
        add_vote(file, vote(1))
    assert file.read_bytes() == before and not list(tmp_path.glob(".part*"))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(CourseError, match="cannot be read"):
        read_votes(tmp_path)


@pytest.mark.parametrize("parts", [{"label": None}, {"label": [1]}, {"given": {1: 2}}])
def test_votes_that_json_cannot_hold_are_named(parts):
    with pytest.raises(BadInput, match=f"{next(iter(parts))} is"):
        vote(**parts)


def test_validity_counts_labels_and_meanings_apart(tmp_path):
    file = tmp_path / "votes.json"
    for one in (
        vote(0),
        vote(1, given=0, same=True),
        vote(2, given=None, same=False),
        vote(3, same=None),
        vote(4, adversarial="a 4"),
        vote(5, adversarial="a 5", given=0),
    ):
        add_vote(file, one)
    found = validity(read_votes(file))
    assert found.n == 4 and found.label_kept == wilson_interval(2, 4)
    assert found.meaning_kept == wilson_interval(2, 3) and found.control == wilson_interval(1, 2)
    assert "4 changed texts: 50% [15%, 85%] keep the label, 67% [21%, 94%] keep the meaning" in str(found)
    assert "Of the unchanged texts, 50%" in str(found)


def test_without_second_answers_and_controls_there_are_no_such_shares(tmp_path):
    add_vote(tmp_path / "v.json", vote(same=None))
    found = validity(read_votes(tmp_path / "v.json"))
    assert found.meaning_kept is None and found.control is None
    assert str(found) == "1 changed text: 100% [21%, 100%] keep the label."


def test_validity_needs_votes(tmp_path):
    with pytest.raises(BadInput, match="0 votes"):
        validity(read_votes(tmp_path / "none.json"))
    with pytest.raises(BadInput, match="no column"):
        validity(pd.DataFrame({"original": ["a"]}))
