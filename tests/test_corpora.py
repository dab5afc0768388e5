"""The four corpora as they must be, the split rule that may never change, and files of one's own."""

from __future__ import annotations

import json
import lzma
import pickle
import time
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import assets, corpora
from course_lib.cleaning import clean_text, leakage, normalise, report
from course_lib.errors import BadInput, CorruptAsset

# --- the split rule ---------------------------------------------------------------------------------------

# Worked out with sha256sum, not with the code: printf 'a good film' | sha256sum gives 5392fa171ed975d7...,
# and 0x5392fa171ed975d7 / 2^64 is 0.32646. If one of these fails, every figure of the course is void.
PINNED = {
    "": (0.8894160, "train"),
    "A good film.": (0.3264614, "train"),
    "a GOOD   film": (0.3264614, "train"),
    "Terrible!": (0.9882619, "train"),
    ":-)": (0.9194902, "train"),
    "Straße": (0.0892549, "test"),
    "好电影": (0.5448915, "train"),
    "b": (0.2427354, "validation"),
}


@pytest.mark.parametrize("text", PINNED)
def test_the_hash_never_changes(text: str) -> None:
    fraction, split = PINNED[text]
    assert corpora.hash_fraction(text) == pytest.approx(fraction, abs=1e-7)
    assert corpora.split_of(text) == split


@given(st.text())
def test_every_text_has_a_split(text: str) -> None:
    assert 0.0 <= corpora.hash_fraction(text) < 1.0
    assert corpora.split_of(text) in corpora.SPLITS


@given(st.text(st.characters(codec="ascii")))
def test_case_and_spacing_do_not_move_a_text(text: str) -> None:
    assert corpora.split_of(f"  {text.upper()} ") == corpora.split_of(text)


def test_the_shares_are_5_and_20_percent() -> None:
    found = pd.Series([corpora.split_of(f"text {number}") for number in range(20_000)]).value_counts(normalize=True)
    assert found["test"] == pytest.approx(0.20, abs=0.01)
    assert found["validation"] == pytest.approx(0.05, abs=0.005)


# --- the corpora ------------------------------------------------------------------------------------------

# name: rows in the file, kept, (train, validation, test), positives, zero ratings, duplicates, conflicting
EXPECTED = {
    "movie_reviews": (10605, 10566, (7918, 534, 2114), 5241, 37, 2, 0),
    "product_reviews": (3708, 3592, (2708, 187, 697), 2114, 98, 18, 0),
    "news": (5190, 4878, (3634, 232, 1012), 2178, 244, 56, 12),
    "tweets": (4200, 4040, (2983, 218, 839), 2817, 4, 153, 3),
}


@pytest.mark.parametrize("name", corpora.NAMES)
def test_counts(name: str) -> None:
    rows, kept, splits, positives, zero, duplicates, conflicting = EXPECTED[name]
    frame = corpora.load(name)
    counts = frame["split"].value_counts()
    assert len(corpora.raw(name)) == rows
    assert len(frame) == kept
    assert tuple(int(counts[split]) for split in corpora.SPLITS) == splits
    assert int(frame["label"].sum()) == positives
    cleaning = frame.attrs["cleaning"]
    found = [cleaning[kind] for kind in ("zero_ratings", "duplicates", "conflicting")]
    assert found == [zero, duplicates, conflicting]
    assert cleaning == report(corpora.raw(name)).to_dict()


@pytest.mark.parametrize("name", corpora.NAMES)
def test_a_loaded_corpus_is_what_it_says(name: str) -> None:
    frame = corpora.load(name)
    kinds = {column: str(kind) for column, kind in frame.dtypes.items()}
    assert kinds == {
        **dict.fromkeys(["id", "text", "split", "document"], "str"),
        **dict.fromkeys(["rating", "rating_std", "opposed"], "float64"),
        **dict.fromkeys(["raters", "label", "position"], "int64"),
    }
    assert not frame.isna().any(axis=None)
    assert frame.index.tolist() == list(range(len(frame)))
    assert frame["id"].is_unique
    assert frame["rating"].between(-4, 4).all() and (frame["rating"] != 0).all()
    assert ((frame["rating"] > 0) == (frame["label"] == 1)).all()
    assert (frame["raters"] >= 15).all()
    assert frame["opposed"].between(0, 1).all()
    assert frame["text"].map(clean_text).equals(frame["text"])
    assert frame["text"].map(normalise).is_unique
    assert frame["split"].equals(frame["text"].map(corpora.split_of))
    assert not frame["text"].str.contains(r"&\w+;", regex=True).any()


def test_no_text_stands_in_two_splits_across_corpora() -> None:
    everything = pd.concat([corpora.load(name)[["text", "split"]] for name in corpora.NAMES])
    assert everything.groupby(everything["text"].map(normalise))["split"].nunique().max() == 1


def test_ratings_are_joined_by_id() -> None:
    """Two rows looked up by eye in the files; the second is one of the 199 tweets whose means differ."""
    movies, tweets = corpora.raw("movie_reviews"), corpora.raw("tweets")
    row = movies[movies["id"] == "3"].iloc[0]
    assert (row["text"], row["rating"], row["raters"]) == ("Effective but too tepid biopic", -0.6, 15)
    assert row["rating_std"] == pytest.approx(0.8)
    assert row["opposed"] == pytest.approx(2 / 15)
    assert tweets[tweets["id"] == "2"]["rating"].iloc[0] == 1.443298969  # its raters' mean is 2.263


def test_sentences_know_their_document() -> None:
    frame = corpora.raw("product_reviews")
    assert (frame["id"] == frame["document"] + "_" + frame["position"].astype(str)).all()
    assert frame["document"].nunique() == 300
    assert frame["position"].min() == 1


def test_damage_is_repaired() -> None:
    raw, frame = corpora.raw("movie_reviews"), corpora.load("movie_reviews")
    assert raw["text"].str.contains("&amp;").sum() == 22
    assert raw["text"].str.contains("''").sum() == 274
    assert not frame["text"].str.contains("&amp;|''").any()
    assert frame["text"].iloc[0].startswith('The Rock is destined to be the 21st Century\'s new "Conan" and')


@pytest.mark.parametrize("read", [corpora.load, corpora.raw], ids=["load", "raw"])
def test_the_second_load_is_quick_and_its_own(read: Callable[[str], pd.DataFrame]) -> None:
    first = read("movie_reviews")
    first["text"] = "changed"
    first.attrs["cleaning"] = "changed"
    start = time.perf_counter()
    second = read("movie_reviews")
    assert time.perf_counter() - start < 0.2
    assert second["text"].nunique() > 10_000
    assert second.attrs.get("cleaning") != "changed"


def test_parts_are_nested_and_in_hash_order() -> None:
    small, large = (corpora.part("tweets", "train", limit) for limit in (100, 500))
    pd.testing.assert_frame_equal(small, large.head(100))
    fractions = large["text"].map(corpora.hash_fraction)
    assert fractions.is_monotonic_increasing
    assert (large["split"] == "train").all()
    assert len(corpora.part("tweets", "train", 10**9)) == len(corpora.part("tweets", "train")) == 2983
    assert large.attrs["classes"] == ["negative", "positive"]


@pytest.mark.parametrize("limit", [0, -1, 2.5, "10"])
def test_a_wrong_limit(limit: object) -> None:
    with pytest.raises(BadInput, match=f"limit is {limit!r}"):
        corpora.part("tweets", "train", limit)  # type: ignore[arg-type]


def test_wrong_names() -> None:
    with pytest.raises(BadInput, match=r"'films'[\s\S]*movie_reviews"):
        corpora.load("films")
    with pytest.raises(BadInput, match=r"'dev'[\s\S]*validation"):
        corpora.part("tweets", "dev")


# --- soft labels and the lexicon --------------------------------------------------------------------------


def test_soft_labels_by_hand() -> None:
    soft = corpora.soft_labels([0.0, 0.1, 3.0, -3.0])
    assert soft.dtype == np.float32 and soft.shape == (4, 2)
    assert soft[:, 1].tolist() == pytest.approx([0.5, 0.549834, 0.997527, 0.002473], abs=1e-6)


@given(st.lists(st.floats(-1e6, 1e6)), st.floats(0.01, 100))
def test_soft_labels_are_probabilities(ratings: list[float], sharpness: float) -> None:
    soft = corpora.soft_labels(ratings, sharpness)
    assert np.allclose(soft.sum(axis=1), 1) and (soft >= 0).all()
    mirrored = corpora.soft_labels([-rating for rating in ratings], sharpness)[:, ::-1]
    np.testing.assert_allclose(soft, mirrored, atol=1e-7)


@pytest.mark.parametrize("ratings", [[float("nan")], [float("inf")], [[1.0]], 3.0], ids=str)
def test_soft_labels_refuse(ratings: object) -> None:
    with pytest.raises(BadInput, match="ratings have the shape"):
        corpora.soft_labels(ratings)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="sharpness is 0"):
        corpora.soft_labels([1.0], sharpness=0)


def test_lexicon() -> None:
    words = corpora.lexicon()
    assert len(words) == 7506
    assert (words["good"], words["horrible"], words[":)"]) == (1.9, -2.5, 2.0)
    assert words["lol"] == 1.8  # stands there twice, 2.9 first
    assert all(-4 <= valence <= 4 for valence in words.values())
    words.clear()
    assert len(corpora.lexicon()) == 7506


# --- a file of one's own ----------------------------------------------------------------------------------


def rows_of(count: int, labels: tuple[str, ...] = ("good", "bad")) -> list[str]:
    return [f"sentence number {number},{labels[number % len(labels)]}" for number in range(count)]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def _write(*lines: str, header: str = "text,label", encoding: str = "utf-8") -> Path:
        file = tmp_path / "mine.csv"
        file.write_bytes(("\n".join([header, *lines]) + "\n").encode(encoding))
        return file

    return _write


Write = Callable[..., Path]


def test_own_file(write: Write) -> None:
    frame = corpora.from_csv(write(*rows_of(200)))
    assert list(frame.columns) == list(corpora.load("tweets").columns)
    assert {c: str(k) for c, k in frame.dtypes.items()} == {c: str(k) for c, k in corpora.load("news").dtypes.items()}
    assert frame.attrs["classes"] == ["bad", "good"]
    assert frame["label"].tolist() == [1, 0] * 100
    assert frame["rating"].isna().all()
    assert set(frame["split"]) == set(corpora.SPLITS)
    assert frame["split"].equals(frame["text"].map(corpora.split_of))
    json.dumps(frame.attrs)


def test_own_file_named_columns_rating_and_numbers(write: Write) -> None:
    lines = [f'{number % 3 - 1},"sentence, number {number}",{number / 100}' for number in range(300)]
    frame = corpora.from_csv(write(*lines, header="stars,review,score"), text="review", label="stars", rating="score")
    assert frame.attrs["classes"] == [-1, 0, 1]
    assert frame["label"].tolist()[:3] == [0, 1, 2]
    assert frame["rating"].iloc[250] == 2.5
    assert frame["text"].iloc[0] == "sentence, number 0"


def test_own_file_is_cleaned_and_says_so(write: Write) -> None:
    dirty = ["sentence number 0,good", "Sentence number 1!,good", " ,bad", "\0,bad", "fish &amp; chips,good"]
    with pytest.warns(UserWarning, match="5 of 205 rows dropped: 2 empty, 1 duplicates, 2 conflicting"):
        frame = corpora.from_csv(write(*rows_of(200), *dirty))
    assert "fish & chips" in set(frame["text"])
    assert frame.attrs["cleaning"]["duplicates"] == 1


def test_words_like_na_are_texts(write: Write) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = corpora.from_csv(write(*GOOD, "null,good", "N/A,bad"))
    assert {"null", "N/A"} <= set(frame["text"])


GOOD = rows_of(200)
TWO = "text,label\na,x\nb,y\n"
TWO_ROWS = [["a", "x"], ["b", "y"]]
CAFE = "text,label\ncafé,x\n“b”,y\n"
CAFE_ROWS = [["café", "x"], ["“b”", "y"]]


def table(*labels: str) -> str:
    """A file of 100 rows with each of these labels."""
    return "text,label\n" + "".join(
        f"sentence {n} of kind {kind},{label}\n" for n in range(100) for kind, label in enumerate(labels)
    )


def swallowed(opening: str, closing: str) -> str:
    """A file of 200 rows; in its fourth line a quotation mark opens, which one three lines below closes."""
    return "\n".join(["text,label", *GOOD[:2], opening, *GOOD[2:4], closing, *GOOD[4:]]) + "\n"


# Name -> content of a file, options, and what comes of it: its rows; its classes, as a tuple; or the refusal.
HOSTILE: dict[str, tuple[str | bytes, dict[str, object], list[list[str]] | tuple[object, ...] | str]] = {
    # line ends
    "line feeds": (TWO, {}, TWO_ROWS),
    "carriage returns and line feeds": (TWO.replace("\n", "\r\n"), {}, TWO_ROWS),
    "carriage returns alone": (TWO.replace("\n", "\r"), {}, TWO_ROWS),
    "mixed line ends": ("text,label\ra,x\r\nb,y\n", {}, TWO_ROWS),
    "no line end at the end": (TWO[:-1], {}, TWO_ROWS),
    "empty lines": ("\n\ntext,label\n\na,x\r\n\r\nb,y\n\n\n", {}, TWO_ROWS),
    "a line of blanks": (TWO + "  \n", {}, "line 4: 1 cells, but the header has 2"),
    "other separators of lines": ("text,label\na\x0bb\x0cc\x1cd\x85e\u2028f,x\n", {},
                                  [["a\x0bb\x0cc\x1cd\x85e\u2028f", "x"]]),
    "nothing": ("", {}, "is empty"),
    "empty lines alone": ("\n\r\n", {}, "is empty"),
    "a header alone": ("text,label\n", {}, "no rows below the header"),
    # encodings and byte-order marks
    "UTF-8": (CAFE, {}, CAFE_ROWS),
    "UTF-8 with its mark": (CAFE.encode("utf-8-sig"), {}, CAFE_ROWS),
    "UTF-8 with its mark, other spelling": (CAFE.encode("utf-8-sig"), {"encoding": "U8"}, CAFE_ROWS),
    "UTF-8 with two marks": ("\ufeff\ufeff" + CAFE, {}, CAFE_ROWS),
    "UTF-8 with its mark, read as cp1252": (CAFE.encode("utf-8-sig"), {"encoding": "cp1252"},
                                            "byte-order mark of utf-8, not of cp1252[^$]*encoding='utf-8'"),
    "UTF-8 read as cp1252": (CAFE, {"encoding": "latin-1"}, "is in utf-8, not in latin-1"),
    "cp1252": (CAFE.encode("cp1252"), {"encoding": "windows-1252"}, CAFE_ROWS),
    "cp1252 read as UTF-8": (CAFE.encode("cp1252"), {}, r"byte b'\\xe9' at position 14 \(line 2\)[^$]*g cp1252"),
    "cp1252 with a byte that it lacks": (b"text,label\ncaf\x81\xe9,x\n", {"encoding": "cp1252"},
                                         r"not in cp1252: byte b'\\x81'.*line 2[^$]*in which it was saved"),
    "UTF-16": (CAFE.encode("utf-16"), {"encoding": "utf-16"}, CAFE_ROWS),
    "UTF-16 read as UTF-8": (CAFE.encode("utf-16"), {}, "mark of utf-16[^$]*encoding='utf-16'"),
    "UTF-16 with its mark, order named": (CAFE.encode("utf-16"), {"encoding": "UTF-16LE"}, CAFE_ROWS),
    "UTF-16 with its mark, wrong order named": (CAFE.encode("utf-16"), {"encoding": "utf-16-be"}, CAFE_ROWS),
    "UTF-16 without a mark": (CAFE.encode("utf-16-be"), {"encoding": "utf_16_be"}, CAFE_ROWS),
    "UTF-16 without a mark read as UTF-8": (TWO.encode("utf-16-le"), {}, "every other byte is 0[^$]*utf-16-le"),
    "UTF-16 big-endian without a mark read as UTF-8": (TWO.encode("utf-16-be"), {}, "every other byte[^$]*utf-16-be"),
    "UTF-16 cut in the middle": (CAFE.encode("utf-16")[:-1], {"encoding": "utf-16"}, "is not in utf-16: byte"),
    "UTF-32": (CAFE.encode("utf-32"), {"encoding": "utf-32"}, CAFE_ROWS),
    "UTF-32 read as UTF-16": (CAFE.encode("utf-32"), {"encoding": "utf-16"}, "mark of utf-32, not of utf-16"),
    "Shift JIS": ("text,label\n良い,x\n".encode("shift-jis"), {"encoding": "shift-jis"}, [["良い", "x"]]),
    "an unknown encoding": (TWO, {"encoding": "klingon"}, "no encoding 'klingon'"),
    "an encoding that is none of text": (TWO, {"encoding": "hex"}, "'hex' is not an encoding of text"),
    "no name of an encoding": (TWO, {"encoding": None}, "no encoding None"),
    # separators and columns
    "semicolons": (TWO.replace(",", ";"), {"separator": ";"}, TWO_ROWS),
    "semicolons read as commas": ("text;label\nwell, a;x\n", {}, "--separator ';'"),
    "tabs": (TWO.replace(",", "\t"), {"separator": "\t"}, TWO_ROWS),
    "tabs read as commas": (TWO.replace(",", "\t"), {}, r"separator='\\t'"),
    "commas read as tabs": (TWO, {"separator": "\t"}, "separator=','"),
    "bars": (TWO.replace(",", "|"), {"separator": "|"}, TWO_ROWS),
    "a separator of two characters": (TWO, {"separator": "||"}, r"separator is '\|\|'"),
    "no separator": (TWO, {"separator": ""}, "separator is ''"),
    "a quotation mark as separator": (TWO, {"separator": '"'}, "separator is"),
    "a cell too many": ("text,label\na,x\nwell, it works,y\n", {}, "line 3: 3 cells, but the header has 2"),
    "a cell too few": ("text,label\na,x\nb\n", {}, "line 3: 1 cells"),
    "a separator at the end of a row": ("text,label\na,x,\n", {}, "line 2: 3 cells"),
    "a separator at the end of every row": ("text,label,\na,x,\n", {}, [["a", "x", ""]]),
    "blanks around names": (" text , label \na,x\n", {}, [["a", "x"]]),
    "quoted names": ('"text","label"\na,x\n', {}, [["a", "x"]]),
    "two columns of one name": ("text,label,text\na,x,b\n", {}, "2 columns of the name 'text'"),
    "two columns of a name that is not asked for": ("text,n,n,label\na,1,2,x\n", {}, [["a", "1", "2", "x"]]),
    "a name in other letters": ("Text,label\na,x\n", {}, "no column 'text'.*there are: 'Text', 'label'"),
    "no header": ("a,x\nb,y\n", {}, "no column 'text', 'label'"),
    # quotation marks
    "quoted cells": ('text,label\n"a, ""b"" c","x"\n', {}, [['a, "b" c', "x"]]),
    "line ends in a cell stay": ('text,label\n"a\r\nb\rc\nd",x\n', {}, [["a\r\nb\rc\nd", "x"]]),
    "quotation marks in a plain cell": ('text,label\na 5" disk "here",x\n', {}, [['a 5" disk "here"', "x"]]),
    "an empty quoted cell": ('text,label\n"",x\n', {}, [["", "x"]]),
    "a cell of quotation marks": ('text,label\n"""""",x\n', {}, [['""', "x"]]),
    "a blank before a quotation mark": ('text,label\na, "x, y"\n', {}, "line 2: 3 cells"),
    "a mark that nothing closes": (swallowed('"never closed,good', "as it is,bad"), {}, "line 4: .* is never closed"),
    "a mark that a quoted cell closes": (swallowed('"never closed,good', '"quoted, text",bad'), {},
                                         "line 4: .* closed in line 7, and 'quoted, text\",bad' follows"),
    "a mark that the end of a cell closes": (swallowed('"never closed,good', 'it said "no",bad'), {}, "line 4: .*'no"),
    "a mark that swallows whole rows": (swallowed('"never closed,good', 'it said "",bad\nand "'), {},
                                        "line 4: 1 cells"),
    "a mark that another row's last one closes": (swallowed('"never closed,good', 'and then ",bad'), {},
                                                  "line 4: .* for 4 lines and holds the row 'never closed,good'"),
    "a mark in a second cell": ('text,label\n"a\nb","x\nc,y\n', {}, "line 3: .* is never closed"),
    "a text that opens with a quoted word": ('text\tlabel\n"Good" film\tx\n', {"separator": "\t"},
                                             "line 2: .*closed in line 2, and ' film[^$]*--no-quoting"),
    "the same without quoting": ('text\tlabel\n"Good" film\tx\n"b\ty\n', {"separator": "\t", "quoting": False},
                                 [['"Good" film', "x"], ['"b', "y"]]),
    "marks after a backslash": ('text,label\n"he said \\"hi\\"",x\n', {}, "line 2: .*closed in line 2, and 'hi"),
    "a text of 200,000 characters": (f"text,label\n{'x' * 200_000},x\n", {}, [["x" * 200_000, "x"]]),
    "a quoted text of 200,000 characters": (f'text,label\n"{"y," * 100_000}",x\n', {}, [["y," * 100_000, "x"]]),
    "NUL in a text": ("text,label\na\0b,x\n", {}, [["a\0b", "x"]]),
    # labels
    "words": (table("good", "bad"), {}, ("bad", "good")),
    "whole numbers": (table("10", "9", "-2", "0"), {}, (-2, 0, 9, 10)),
    "leading zeros": (table("7", "07", "007"), {}, ("007", "07", "7")),
    "numbers beyond 2**53": (table("9007199254740992", "9007199254740993"), {}, (2**53, 2**53 + 1)),
    "the ends of int64": (table(str(2**63 - 1), str(-(2**63))), {}, (-(2**63), 2**63 - 1)),
    "numbers beyond int64": (table(str(2**63), str(2**63 + 1)), {}, (str(2**63), str(2**63 + 1))),
    "underscores": (table("1_0", "10"), {}, ("10", "1_0")),
    "exponents": (table("1e3", "1000"), {}, ("1000", "1e3")),
    "whole numbers with a point": (table("0.0", "1.0"), {}, ("0.0", "1.0")),
    "signs": (table("+1", "1", "-0", "0"), {}, ("+1", "-0", "0", "1")),
    "digits of other scripts": (table("１", "1"), {}, ("1", "１")),
    "infinity": (table("inf", "Infinity"), {}, ("Infinity", "inf")),
    "numbers and words": (table("1", "one"), {}, ("1", "one")),
    "hexadecimal numbers": (table("0x10", "16"), {}, ("0x10", "16")),
    "words for nothing": (table("none", "NA", "null"), {}, ("NA", "none", "null")),
    "blanks around labels": (table("good", " good ", "bad"), {}, ("bad", "good")),
    "letters of two cases": (table("Good", "good"), {}, ("Good", "good")),
    "a NUL in a label": (table("a\0", "a"), {}, r"'label' holds a NUL character in 100 rows, in the lines 2, 4,"),
    "measurements": (table(*(f"{n / 7}" for n in range(9))), {}, "measurements such as 0.14[^$]*rating='label'"),
    "identifiers": ("text,label\n" + "".join(f"text {n},{n}\n" for n in range(200)), {}, "200 different labels in 200"),
    "missing labels": (table("x", "y") + "a text,\nmore, nan \n", {}, "no label in 2 rows, in the lines 202, 203"),
    "a rating that is no number": (
        "text,label,score\n" + "".join(f"{row},{'1_0' if n == 7 else n}\n" for n, row in enumerate(GOOD)),
        {"rating": "score"}, "'score' holds no number in 1 rows, in the lines 9"),
    "no column of ratings": (table("x", "y"), {"rating": "stars"}, "no column 'stars'"),
    # too little
    "one class": (table("good"), {}, "the only class among them is: 'good'"),
    "one class once cleaned": (table("good") + ",bad\n", {}, "100 of 101 rows are left"),
    "too few rows": ("\n".join(["text,label", *rows_of(6)]), {}, "6 of 6 rows are left after cleaning, too few for"),
    "only empty texts": ("text,label\n ,good\n,bad\n", {}, r"0 of 2 rows are left.*: none"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_read_exactly_or_refused(name: str, tmp_path: Path) -> None:
    content, options, wanted = HOSTILE[name]
    file = tmp_path / "mine.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    if isinstance(wanted, list):
        assert corpora.read_csv(file, ["text", "label"], **options).rows == wanted  # type: ignore[arg-type]
    elif isinstance(wanted, tuple):
        frame = corpora.from_csv(file, **options)  # type: ignore[arg-type]
        assert list(map(repr, frame.attrs["classes"])) == list(map(repr, wanted))
    else:
        with pytest.raises(BadInput, match=wanted):
            corpora.from_csv(file, **options)  # type: ignore[arg-type]


def test_a_table_tells_the_line_of_each_row(write: Write) -> None:
    found = corpora.read_csv(write('"a\nb",x', "", "c,y"), ["text"])
    assert found.lines == [2, 5] and found.column("label") == ["x", "y"]


def test_a_class_that_never_falls_into_train(write: Write) -> None:
    rare = next(f"rare {n},ugly" for n in range(100) if corpora.split_of(f"rare {n}") == "test")
    with pytest.raises(BadInput, match="'ugly' falls into train"):
        corpora.from_csv(write(*GOOD, rare))


def test_no_such_file_names_its_neighbours(write: Write) -> None:
    file = write(*GOOD)
    with pytest.raises(BadInput, match=r"theirs\.csv[\s\S]*mine\.csv"):
        corpora.from_csv(file.with_name("theirs.csv"))


@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(b"text,label\n" + b"".join(line.encode() + b"\n" for line in GOOD) + content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frame = corpora.from_csv(file)
        except BadInput as error:
            assert error.fix
        else:
            assert set(frame["split"]) == set(corpora.SPLITS)


# --- the cards --------------------------------------------------------------------------------------------


def card_table(name: str) -> dict[str, list[int]]:
    """The rows of a card's tables: first cell -> the numbers after it."""
    card = (assets.data_folder() / "cards" / f"{name}.md").read_text(encoding="utf-8").replace(",", "")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line[:2] == "| "]
    return {row[0]: [int(cell) for cell in row[1:]] for row in rows if row[1].isdigit()}


@pytest.mark.parametrize("name", corpora.NAMES)
def test_cards_tell_the_real_counts(name: str) -> None:
    frame, table = corpora.load(name), card_table(name)
    for split in corpora.SPLITS:
        labels = frame.loc[frame["split"] == split, "label"]
        assert table[split] == [len(labels), int((labels == 0).sum()), int((labels == 1).sum())]


@pytest.mark.parametrize("name", corpora.NAMES)
def test_cards_tell_the_real_leaks(name: str) -> None:
    found, table = leakage(corpora.load(name)), card_table(name)
    assert table["near-duplicate pairs across splits"] == [len(found.near)]
    assert table["test rows near a train row"] == [found.test_near_train]
    assert table["documents with sentences in two splits"] == [found.shared_documents]


def test_every_asset_has_its_card() -> None:
    tables = tomllib.loads((assets.data_folder() / "manifest.toml").read_text(encoding="utf-8"))
    for name, table in tables.items():
        text = (assets.data_folder() / table["card"]).read_text(encoding="utf-8")
        assert f"{table['package']} {table['version']}" in text, name
        assert "licence" in text.lower(), name


# --- tables of packages -----------------------------------------------------------------------------------

PLAIN = pd.DataFrame({"n": [1, 2], "x": [0.5, float("nan")], "word": pd.Series(["a", "b"], dtype=object)})
PLAIN.columns = PLAIN.columns.astype(object)  # as in pickles of today's packages


def pickled(value: object, file: Path) -> Path:
    file.write_bytes(lzma.compress(pickle.dumps(value)))
    return file


class Poison:
    """A pickle that writes a file when it is loaded, as an attacker's would run a command."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.place,)


def test_a_pickled_frame_of_plain_columns_is_read(tmp_path: Path) -> None:
    read = corpora.read_table_file(pickled(PLAIN, tmp_path / "a.pkl.compress"), ["word", "n", "x"])
    pd.testing.assert_frame_equal(read, PLAIN[["word", "n", "x"]])


def test_the_real_pickle_is_read() -> None:
    frame = corpora.read_table("mortgage_applications", ["deny", "afam"])
    assert frame.shape == (2380, 2) and frame["deny"].value_counts().to_dict() == {"no": 2095, "yes": 285}


def test_a_poisoned_pickle_runs_nothing(tmp_path: Path) -> None:
    for poisoned in (Poison(tmp_path / "ran"), PLAIN.assign(word=[Poison(tmp_path / "ran"), "b"])):
        file = pickled(poisoned, tmp_path / "a.pkl.compress")
        with pytest.raises(CorruptAsset, match=r"asks for .*, which no table of plain columns needs"):
            corpora.read_table_file(file, ["n"])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("a.csv", b"n,y\n1,2\n", "no column 'x'; its columns are n, y", id="other columns"),
        pytest.param("a.csv", b"", "cannot be read", id="empty file"),
        pytest.param("a.csv.gz", b"n,x\n", "cannot be read", id="not compressed"),
        pytest.param("a.pkl.compress", b"n,x\n", "cannot be read", id="not xz"),
        pytest.param("a.pkl.compress", lzma.compress(pickle.dumps([1])), "holds a list", id="a list"),
        pytest.param("a.pkl.compress", lzma.compress(pickle.dumps(PLAIN)[:200]), "cannot be read", id="cut off"),
        pytest.param("a.parquet.brotli", b"PAR1", "cannot be read", id="no Parquet"),
    ],
)
def test_tables_that_are_not_what_they_should_be(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorruptAsset, match=says):
        corpora.read_table_file(tmp_path / name, ["n", "x"])


def test_missing_values_are_named() -> None:
    corpora.reject_missing(PLAIN, ["n", "word"])
    with pytest.raises(BadInput, match="column 'x' lacks 1 values, the first in row 1"):
        corpora.reject_missing(PLAIN, ["n", "x"])
