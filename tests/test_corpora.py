"""The four corpora as they must be, the split rule that may never change, and files of one's own."""

from __future__ import annotations

import json
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
from course_lib.errors import BadInput

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
    assert (cleaning["zero_ratings"], cleaning["duplicates"], cleaning["conflicting"]) == (
        zero,
        duplicates,
        conflicting,
    )
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
    assert frame["split"].equals(frame["text"].map(corpora.split_of))
    assert not frame["text"].str.contains(r"&\w+;", regex=True).any()


@pytest.mark.parametrize("name", corpora.NAMES)
def test_no_text_stands_in_two_splits(name: str) -> None:
    frame = corpora.load(name)
    assert frame["text"].map(normalise).is_unique
    assert leakage(frame).same_texts == 0


def test_no_text_stands_in_two_splits_across_corpora() -> None:
    everything = pd.concat([corpora.load(name)[["text", "split"]] for name in corpora.NAMES])
    assert everything.groupby(everything["text"].map(normalise))["split"].nunique().max() == 1


def test_the_movie_test_split_is_large_enough() -> None:
    assert len(corpora.part("movie_reviews", "test")) >= 2000


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


def test_soft_labels_refuse_sharpness() -> None:
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
    lines = [f'{number % 3 - 1}.0,"sentence, number {number}",{number / 100}' for number in range(300)]
    frame = corpora.from_csv(write(*lines, header="stars,review,score"), text="review", label="stars", rating="score")
    assert frame.attrs["classes"] == [-1, 0, 1]
    assert frame["label"].tolist()[:3] == [0, 1, 2]
    assert frame["rating"].iloc[250] == 2.5
    assert frame["text"].iloc[0] == "sentence, number 0"


def test_own_file_as_excel_writes_it(write: Write) -> None:
    lines = [line.replace(",", ";") + "\r" for line in rows_of(200)]
    file = write(*lines, header="text;label\r", encoding="utf-8-sig")
    with pytest.raises(BadInput, match="separator=';'"):
        corpora.from_csv(file)
    assert len(corpora.from_csv(file, separator=";")) == 200


def test_own_file_is_cleaned_and_says_so(write: Write) -> None:
    dirty = ["sentence number 0,good", "Sentence number 1!,good", " ,bad", "\0,bad", "fish &amp; chips,good"]
    with pytest.warns(UserWarning, match="5 of 205 rows dropped: 2 empty, 1 duplicates, 2 conflicting"):
        frame = corpora.from_csv(write(*rows_of(200), *dirty))
    assert "fish & chips" in set(frame["text"])
    assert frame.attrs["cleaning"]["duplicates"] == 1


def test_words_like_na_and_none_are_texts_and_classes(write: Write) -> None:
    lines = [*rows_of(200, ("none", "NA")), "null,none", "N/A,NA"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = corpora.from_csv(write(*lines))
    assert frame.attrs["classes"] == ["NA", "none"]
    assert {"null", "N/A"} <= set(frame["text"])


def test_a_text_over_several_lines(write: Write) -> None:
    frame = corpora.from_csv(write('"two\nlines, with ""quotes""",good', *rows_of(200)))
    assert frame["text"].iloc[0] == 'two lines, with "quotes"'


GOOD = rows_of(200)
REFUSED = {
    "no such column": ({"header": "review,label"}, GOOD, {}, r"'text'; there are: 'review', 'label'"),
    "no such rating": ({}, GOOD, {"rating": "stars"}, r"no column 'stars'"),
    "missing label": ({}, [*GOOD, "a text,", "more, nan "], {}, r"no label in 2 rows: 201, 202 \(counted from 1"),
    "missing rating": (
        {"header": "text,label,score"},
        [f"{line},{'' if n == 7 else n}" for n, line in enumerate(GOOD)],
        {"rating": "score"},
        r"'score' holds no number in 1 rows: 8 ",
    ),
    "one class": ({}, rows_of(200, ("good",)), {}, r"the only class among them is: 'good'"),
    "one class once cleaned": ({}, [*rows_of(200, ("good",)), ",bad"], {}, r"200 of 201 rows are left"),
    "measurements as labels": ({}, [f"text {n},{n / 7}" for n in range(200)], {}, r"rating='label'"),
    "ids as labels": ({}, [f"text {n},{n}" for n in range(200)], {}, r"200 different labels in 200 rows"),
    "too few rows": ({}, rows_of(6), {}, r"6 of 6 rows are left after cleaning, too few for three splits"),
    "a comma too many": ({}, [*GOOD, "well, it works,good"], {}, r"line 202: 3 cells, but the header has 2"),
    "an open quote": ({}, ['"never closed,good', *("x" * 1000 for _ in range(200))], {}, r"field larger than"),
    "no rows": ({}, [], {}, r"no rows below a header"),
    "only empty texts": ({}, [" ,good", ",bad"], {}, r"0 of 2 rows are left.*: none"),
    "not UTF-8": ({"encoding": "cp1252"}, ["café,good"], {}, r"byte b'\\xe9' at position 14 \(line 2\)[\s\S]*cp1252"),
    "UTF-16": ({"encoding": "utf-16"}, GOOD, {}, r"encoding='utf-16'"),
    "no such encoding": ({}, GOOD, {"encoding": "klingon"}, r"no encoding 'klingon'"),
}  # fmt: skip


@pytest.mark.parametrize(("how", "lines", "arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_own_files_that_are_refused(
    write: Write, how: dict[str, str], lines: list[str], arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        corpora.from_csv(write(*lines, **how), **arguments)  # type: ignore[arg-type]


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
