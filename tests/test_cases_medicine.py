"""Medicine: the cards' counts, splits that hold whole branches out, and the surprise on fresh seeds."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_lib import assets
from course_lib.baselines import tfidf_logistic
from course_lib.cases import heart, medicine
from course_lib.classifier import sentence_vectors
from course_lib.corpora import read_table
from course_lib.corpora.ontology import Term, ancestors, depths, parse_obo
from course_lib.errors import BadInput, CorruptAsset
from course_lib.evaluation import bootstrap, cluster_bootstrap

TINY = """[Term]
id: T:1
name: All

[Term]
id: T:2
name: Eye
def: "The \\"eye\\"." []
is_a: T:1 ! All

[Term]
id: T:3
name: Lid
is_a: T:2 ! Eye
is_a: T:4 ! Skin

[Term]
id: T:4
name: Skin
is_a: T:1 {source="x"} ! All

[Term]
id: T:5
name: Old
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""


def card(name: str) -> str:
    return (assets.data_folder() / "cards" / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def terms() -> dict[str, Term]:
    return parse_obo(assets.path("phenotype_ontology").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- the ontology


def test_a_small_ontology() -> None:
    found = parse_obo(TINY)
    assert list(found) == ["T:1", "T:2", "T:3", "T:4"]
    assert found["T:2"] == Term("Eye", 'The "eye".', ("T:1",)) and found["T:3"].parents == ("T:2", "T:4")
    assert ancestors(found, "T:3") == {"T:1", "T:2", "T:3", "T:4"}
    assert depths(found, "T:1") == {"T:1": 0, "T:2": 1, "T:4": 1, "T:3": 2}
    with pytest.raises(BadInput, match="no term 'T:9'"):
        depths(found, "T:9")
    assert parse_obo(TINY.replace("\n", "\r\n")) == found
    with pytest.raises(CorruptAsset, match="no \\[Term\\]"):
        parse_obo("<html>")
    with pytest.raises(CorruptAsset, match="a term has no id"):
        parse_obo("[Term]\nname: Lid")
    with pytest.raises(BadInput, match="a NoneType"):
        parse_obo(None)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no term 'T:9'"):
        ancestors(found, "T:9")


def test_the_card_of_the_ontology(terms: dict[str, Term]) -> None:
    text, frame = card("phenotype_ontology"), medicine.load_definitions()
    raw = assets.path("phenotype_ontology").read_text(encoding="utf-8")
    below = depths(terms, medicine.ROOT)
    counts = [
        raw.count("\n[Term]\n"),
        raw.count("\nis_obsolete: true"),
        sum(bool(t.definition) for t in terms.values()),
    ]
    counts += [len(below), len(frame)]
    for count in counts:
        assert f" {count:,} |" in text, count
    assert "data-version: hp/releases/2025-01-16" in raw[:200]
    for system, count in frame["system"].value_counts().items():
        assert f"| {system} | {count:,} |" in text
    systems = {name for name, depth in below.items() if depth == 1}
    of_term = [len(systems & ancestors(terms, name)) for name in below if terms[name].definition]
    assert f"({sum(n > 1 for n in of_term):,})" in text and len(systems) == 23
    assert f" {of_term.count(1) - sum(bool(terms[s].definition) for s in systems):,} |" in text


def test_whole_branches_are_held_out(terms: dict[str, Term]) -> None:
    frame = medicine.load_definitions()
    assert not frame["text"].duplicated().any() and frame["system"].nunique() == 14
    for by in ("depth 3", "depth 4"):
        for seed in (0, 7):
            parts = medicine.split_definitions(frame, by, seed)
            test = set(parts["group"][parts["part"] == "test"])
            seen = frame["id"][parts["part"].isin(["train", "validation", "new validation"])]
            assert not any(test & ancestors(terms, name) for name in seen), "no seen definition is below a test branch"
            assert set(frame["system"][parts["part"] == "train"]) == set(frame["system"])
    random = medicine.split_definitions(frame, "random")["part"].value_counts(normalize=True)
    assert random["test"] == pytest.approx(0.2, abs=0.01) and random["validation"] == pytest.approx(0.1, abs=0.01)
    pd.testing.assert_frame_equal(
        medicine.split_definitions(frame, "depth 4"), medicine.split_definitions(frame, "depth 4")
    )
    with pytest.raises(BadInput, match="no split 'depth 5'"):
        medicine.split_definitions(frame, "depth 5")
    with pytest.raises(BadInput, match="no column 'depth 3'"):
        medicine.split_definitions(frame.drop(columns="depth 3"), "depth 3")


def test_the_surprise_on_fresh_seeds() -> None:
    """With 400 definitions the encoder wins everywhere, but by more on branches that neither model has seen."""
    frame = medicine.load_definitions().sample(400, random_state=0).reset_index(drop=True)
    vectors, texts, labels = sentence_vectors(frame["text"].str[:50].tolist()), frame["text"], frame["system"]
    gains: dict[str, list[float]] = {"random": [], "depth 3": []}
    for split, found in gains.items():
        for seed in range(11, 17):
            part = medicine.split_definitions(frame, split, seed)["part"].to_numpy()
            train, test = part == "train", part == "test"
            probe = LogisticRegression(max_iter=100, tol=0.01).fit(vectors[train], labels[train])
            words = tfidf_logistic().set_params(tfidf__ngram_range=(1, 1)).fit(texts[train], labels[train])
            right = [probe.predict(vectors[test]) == labels[test], words.predict(texts[test]) == labels[test]]
            found.append(float(right[0].mean() - right[1].mean()))
    assert np.mean(gains["depth 3"]) > np.mean(gains["random"]) + 0.03, gains


# ---------------------------------------------------------------- heart patients


def test_the_card_of_the_heart_patients() -> None:
    text, frame, raw = (
        card("heart_disease"),
        heart.load_heart(),
        read_table("heart_disease", ["dataset", "chol", "oldpeak"]),
    )
    assert frame.shape == (920, 24)
    for hospital, group in frame.groupby("hospital"):
        file = raw[raw["dataset"] == hospital]
        counts = (len(file), len(group), group["ill"].sum(), (file["chol"] == 0).sum(), group["ca"].isna().sum())
        assert f"| {hospital} | {' | '.join(map(str, counts))} |" in text
    assert f"{(raw['oldpeak'] < 0).sum()} values of `oldpeak`" in text
    for name in ("Janosi", "Steinbrunn", "Pfisterer", "Detrano"):
        assert name in text


def test_zeros_become_missing_where_nobody_can_have_them() -> None:
    numbers, cleaned = heart.load_heart(zeros_missing=False), heart.load_heart()
    assert (numbers["chol"] == 0).sum() == 172 and not (cleaned["chol"] == 0).any()
    swiss = cleaned[cleaned["hospital"] == "Switzerland"]
    assert swiss["chol"].isna().all() and (cleaned["oldpeak"] == 0).sum() == (numbers["oldpeak"] == 0).sum() > 0
    small = pd.DataFrame({"a": [0, 2], "b": [0, 1]})
    assert heart.zeros_to_missing(small, ["a"]).isna().to_numpy().tolist() == [[True, False], [False, False]]
    with pytest.raises(BadInput, match="no column 'c'"):
        heart.zeros_to_missing(small, ["c"])
    with pytest.raises(BadInput, match="the text 'a'"):
        heart.zeros_to_missing(small, "a")


def test_protocols_are_what_scikit_learn_gives_by_hand() -> None:
    frame = heart.load_heart()
    found = heart.heart_probabilities(heart.logistic, frame, "Cleveland")
    values, ill, here = frame.drop(columns=["hospital", "ill"]), frame["ill"], frame["hospital"] == "Cleveland"
    by_hand = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=2000))
    expected = by_hand.fit(values[here].to_numpy(), ill[here]).predict_proba(values[~here].to_numpy())[:, 1]
    np.testing.assert_allclose(found[~here], expected)
    others = heart.heart_probabilities(heart.logistic, frame, "other hospitals")
    fold = by_hand.fit(values[~here].to_numpy(), ill[~here]).predict_proba(values[here].to_numpy())[:, 1]
    np.testing.assert_allclose(others[here], fold)
    with pytest.raises(BadInput, match="no protocol 'all'"):
        heart.heart_probabilities(heart.logistic, frame, "all")
    with pytest.raises(BadInput, match="Pipeline"):
        heart.heart_probabilities(heart.logistic(), frame, "Cleveland")
    with pytest.raises(BadInput, match="no columns 'hospital' and 'ill'"):
        heart.heart_probabilities(heart.logistic, frame.drop(columns="ill"), "Cleveland")
    with pytest.raises(BadInput, match="keep Cleveland and another"):
        heart.heart_probabilities(heart.logistic, frame[~here], "Cleveland")


def test_random_folds_flatter_and_missing_values_name_the_hospital() -> None:
    frame = heart.load_heart()
    missing = frame.drop(columns=["hospital", "ill"]).isna().to_numpy().astype(float)
    named = cross_val_predict(LogisticRegression(), missing, frame["hospital"], cv=5)
    assert (named == frame["hospital"]).mean() > 0.8
    auc = {
        protocol: roc_auc_score(frame["ill"], heart.heart_probabilities(heart.logistic, frame, protocol))
        for protocol in ("random folds", "other hospitals")
    }
    assert auc["random folds"] > auc["other hospitals"] + 0.01
    swiss = (frame["hospital"] == "Switzerland").to_numpy()
    predicted = heart.heart_probabilities(heart.logistic, frame, "Cleveland")[swiss].mean()
    assert frame["ill"][swiss].mean() - predicted > 0.15


def test_shipped_heart_figures_are_there() -> None:
    table = heart.heart_study.table(heart.HEART_RUNS, show=False)
    assert (
        len(table) == 2 * 3 * 4 * 5 and (table["low"] <= table["auc"]).all() and (table["auc"] <= table["high"]).all()
    )
    assert set(table["model"]) == set(heart.HEART_MODELS)
    assert re.fullmatch(r"[\w ]+", table["protocol"][0])


# ---------------------------------------------------------------- the interval over groups


def test_a_cluster_bootstrap_knows_that_rows_of_a_group_are_alike() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 20)
    values = np.repeat(random.normal(size=60), 20)
    wide, narrow = cluster_bootstrap(values, groups), bootstrap(values)
    assert wide.estimate == pytest.approx(values.mean())
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(20**0.5, rel=0.15)
    alone = cluster_bootstrap(values, np.arange(len(values)))
    assert alone.low == pytest.approx(narrow.low, abs=0.02) and alone.high == pytest.approx(narrow.high, abs=0.02)
    with pytest.raises(BadInput, match="one group"):
        cluster_bootstrap([1.0, 2.0], ["a", "a"])
    with pytest.raises(BadInput, match="groups"):
        cluster_bootstrap([1.0, 2.0], ["a"])
