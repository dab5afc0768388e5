"""Repairing texts, counting what cleaning costs, leaks between splits, raters who disagree."""

from __future__ import annotations

import time

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import corpora
from course_lib.cleaning import clean, clean_text, disagreement, label_distribution, leakage, normalise, report
from course_lib.errors import BadInput

REPAIRS = {
    "entity": ("Simon &amp; Garfunkel", "Simon & Garfunkel"),
    "escaped twice": ("Simon &amp;amp; Garfunkel &amp;lt;3", "Simon & Garfunkel <3"),
    "escaped by number": ("it&#39;s &#x2014; &#38;amp; fine", "it's — & fine"),
    "no semicolon": ("R&D, AT&T and ?a=1&copy=2", "R&D, AT&T and ?a=1&copy=2"),
    "no such entity": ("&foo; &amp;foo;", "&foo; &foo;"),
    "ends like an entity": ("&xamp;", "&xamp;"),
    "entity across a control character": ("&am\x00p;", "&"),
    "mojibake apostrophe": ("donâ€™t", "don’t"),
    "mojibake accents": ("CafÃ© chÃ¢teau", "Café château"),
    "mojibake with control bytes": ("donâ\x80\x99t", "don’t"),
    "mojibake twice": ("donÃ¢â‚¬â„¢t", "don’t"),
    "mojibake emoji": ("good ðŸ˜€", "good 😀"),
    "French is not mojibake": ("Le Château, là-bas, ÂGE", "Le Château, là-bas, ÂGE"),
    "a trade mark is not mojibake": ("CAFÉ™ and AÇÃO", "CAFÉ™ and AÇÃO"),
    "doubled quotes": ("''Conan'' and 'art'", "\"Conan\" and 'art'"),
    "control characters": ("a\x00b\x07c\ufeffd\x7f", "abcd"),
    "half a surrogate pair": ("a\ud83db", "ab"),
    "white space": ("  a\t b\r\n\u00a0c\u2003d ", "a b c d"),
    "decomposed accent": ("cafe\u0301", "café"),
    "emoji with joiner": ("👩\u200d🚀!", "👩\u200d🚀!"),
    "nothing": (" \n ", ""),
}

# Pieces that meet in awkward ways, so that hypothesis finds the meetings.
PIECES = st.sampled_from(
    [*"&;'ÃÂâ€™ðŸA© ", "amp;", "lt;", "#38;", "#771;", "\u0303", "\x00", "\x99"],
)
AWKWARD = st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join))


@pytest.mark.parametrize(("found", "meant"), REPAIRS.values(), ids=REPAIRS)
def test_repairs(found: str, meant: str) -> None:
    assert clean_text(found) == meant


@given(AWKWARD)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once


@given(AWKWARD)
def test_a_clean_text_can_be_stored_and_has_single_blanks(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert "\0" not in cleaned and "  " not in cleaned and cleaned == cleaned.strip()


@given(st.text(st.characters(codec="ascii", exclude_characters="&'", exclude_categories=["Cc"])))
def test_plain_ascii_keeps_its_words(text: str) -> None:
    assert clean_text(text).split() == text.split()


@given(st.text(st.sampled_from("éüñçà’“”–…€😀")))
def test_mojibake_is_undone_where_it_is_the_whole_text(text: str) -> None:
    """Encodes as UTF-8, reads as Latin-1: the damage itself, not its table in the code."""
    damaged = " ".join(character.encode("utf-8").decode("latin-1") for character in text)
    assert clean_text(damaged) == " ".join(text)


@pytest.mark.parametrize(
    "piece", ["&amp;", "&", "amp;", "&#38;", "Ã", "Ãƒ", "Â©", "'", "a ", "\x00", "&am", "p;", "\u0303", "😀"]
)
def test_100_000_characters_take_no_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.perf_counter()
    clean_text("&" + text)
    assert time.perf_counter() - start < 2.0


@pytest.mark.parametrize("value", [None, 3, float("nan"), b"bytes", ["a"]])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(BadInput, match=type(value).__name__):
        clean_text(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("It's GREAT!!!", "it s great"),
        ("  it   s great", "it s great"),
        ("ＦＵＬＬ width", "full width"),
        ("Straße", "strasse"),
        (" :-) ", ":-)"),
        ("", ""),
        ("好电影", "好电影"),
    ],
)
def test_normalise(text: str, key: str) -> None:
    assert normalise(text) == key


def dirty() -> pd.DataFrame:
    rows = [
        ("Good film.", 2.0),
        ("good film", 3.0),  # the same text again
        ("Bad &amp; long", -1.0),
        ("It is what it is", 0.0),
        ("\x00 ", 1.0),
        ("So so", 0.5),
        ("so so!", -0.5),  # the same text, the other label
        ("SO SO", 0.7),
        ("donâ€™t", -2.0),
    ]
    return pd.DataFrame(rows, columns=["text", "rating"])


def test_cleaning_a_table_by_hand() -> None:
    frame, counts = clean(dirty())
    assert frame["text"].tolist() == ["Good film.", "Bad & long", "don’t"]
    assert frame["label"].tolist() == [1, 0, 0]
    assert frame.index.tolist() == [0, 1, 2]
    assert counts.to_dict() == {
        "rows": 9,
        "empty": 1,
        "zero_ratings": 1,
        "duplicates": 1,
        "conflicting": 3,
        "kept": 3,
        "entities_unescaped": 1,
        "broken_characters": 2,
    }


def test_cleaning_leaves_its_input_alone() -> None:
    raw = dirty()
    clean(raw)
    pd.testing.assert_frame_equal(raw, dirty())


@given(st.lists(st.tuples(st.sampled_from(["a", "A!", "b", "", " "]), st.sampled_from([-1.0, 0.0, 1.0]))))
def test_every_row_is_accounted_for(rows: list[tuple[str, float]]) -> None:
    counts = report(pd.DataFrame(rows, columns=["text", "rating"]).astype({"text": object, "rating": float}))
    gone = counts.empty + counts.zero_ratings + counts.duplicates + counts.conflicting
    assert counts.rows == len(rows) == counts.kept + gone


def test_labels_that_are_there_are_kept() -> None:
    frame, counts = clean(pd.DataFrame({"text": ["a", "b", "c"], "label": [2, 0, 1], "rating": [0.0, 0.0, 1.0]}))
    assert frame["label"].tolist() == [2, 0, 1]
    assert counts.zero_ratings == 0


def test_a_missing_column_is_named() -> None:
    with pytest.raises(BadInput, match=r"'text'.*\n.*'review'"):
        clean(pd.DataFrame({"review": ["a"]}))


def test_a_missing_rating_is_not_a_negative_label() -> None:
    with pytest.raises(BadInput, match="Row 1 has no rating"):
        clean(pd.DataFrame({"text": ["good", "fine"], "rating": [1.0, float("nan")]}))


LONG = "the quick brown fox jumps over the lazy dog near the river"


def splits(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["text", "split"])


def test_leakage_by_hand() -> None:
    found = leakage(
        splits(
            (LONG, "train"),
            ("Yes, " + LONG.upper() + "!", "test"),  # holds all 8 runs of the first
            ("A short one", "train"),
            ("a SHORT one.", "test"),  # the same normalised text, too short for runs
            (LONG + " bank", "train"),  # near the first, but in its own split
        )
    )
    assert found.same_texts == 1
    assert [(pair.id_a, pair.id_b) for pair in found.near.itertuples()] == [(0, 1), (1, 4)]
    first = found.near.iloc[0]
    assert (first["shared"], first["containment"]) == (8, 1.0)
    assert first["jaccard"] == pytest.approx(8 / 9)
    assert found.test_near_train == 1


def test_leakage_needs_enough_overlap() -> None:
    other = "the quick brown fox jumps over the wall and then it runs away from all of us here"
    frame = splits((LONG, "train"), (other, "test"))  # 3 of the shorter one's 8 runs
    assert leakage(frame).near.empty and leakage(frame).same_texts == leakage(frame).test_near_train == 0
    assert len(leakage(frame, overlap=3 / 8).near) == 1


def test_shared_documents() -> None:
    frame = splits(("a", "train"), ("b", "test"), ("c", "test")).assign(document=["1", "1", "2"])
    assert leakage(frame).shared_documents == 1


def test_common_phrases_are_not_followed_and_counted() -> None:
    rows = [(f"{LONG} {number}", "train" if number % 2 else "test") for number in range(60)]
    found = leakage(splits(*rows))
    assert found.common_shingles == 8
    assert found.near.empty


def test_leakage_of_10_000_texts_is_quick() -> None:
    frame = corpora.load("movie_reviews")
    start = time.perf_counter()
    leakage(frame)
    assert time.perf_counter() - start < 6.0  # 0.5 s on two quiet cores


def test_a_careless_split_leaks_and_is_caught() -> None:
    raw = corpora.raw("tweets")
    raw["split"] = ["test" if number % 5 == 0 else "train" for number in range(len(raw))]
    assert leakage(raw).same_texts > 0


def test_label_distribution_counts_every_split() -> None:
    frame = corpora.load("tweets")
    table = label_distribution(frame)
    assert table["n"].sum() == len(frame)
    assert table["label"].tolist() == ["negative", "positive"] * 3
    assert table.groupby("split")["fraction"].sum().tolist() == pytest.approx([1, 1, 1])


def test_label_distribution_of_any_table() -> None:
    frame = pd.DataFrame({"split": ["train", "train", "test"], "label": [5, 7, 7]})
    table = label_distribution(frame)
    assert table["n"].tolist() == [1, 1, 0, 0, 0, 1]
    assert table["fraction"].isna().sum() == 2  # validation is empty


def test_disagreement_by_hand() -> None:
    frame = pd.DataFrame({"rating": [0.2, -0.4, 3.5], "rating_std": [1.0, 2.0, 0.5], "opposed": [0.4, 0.2, 0.0]})
    table = disagreement(frame)
    assert table.iloc[0][["low", "high", "n", "opposed", "rating_std"]].tolist() == pytest.approx([0, 0.5, 2, 0.3, 1.5])
    assert table["n"].tolist() == [2, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("name", corpora.NAMES)
def test_raters_disagree_most_near_zero(name: str) -> None:
    opposed = disagreement(corpora.load(name))["opposed"].dropna()
    assert opposed.is_monotonic_decreasing
    assert opposed.iloc[0] > 5 * opposed.iloc[-1]
