"""Plans: what they cut, how large their files are, which one a target gets, and what is measured."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from toy_classifiers import LABELS, QUICK, TEXTS, fitted, same_bits

from course_lib import commands, corpora
from course_lib.compression import (
    PLANS,
    Bits,
    OnnxClassifier,
    Plan,
    accuracy_by_slice,
    compare_with_parent,
    compress,
    compress_cost,
    export_onnx,
    macs_per_token,
    model_bytes,
    plans_within,
    quality,
    resident_memory,
    search_plans,
    shrink,
    speed,
)
from course_lib.compression.recipes import CANDIDATES
from course_lib.errors import BadInput, CourseError

CUT = Plan("cut", layers=1, ffn_size=64, embedding_clusters=2000, bits=Bits(8, 8), training=QUICK)


def test_a_plan_of_nothing_is_the_parent() -> None:
    assert shrink(fitted(), Plan("nothing"), TEXTS) is fitted()


def test_a_plan_cuts_what_it_says() -> None:
    config = shrink(fitted(), CUT, TEXTS).module_.bert.config
    assert (config.num_hidden_layers, config.intermediate_size) == (1, 64)
    table = shrink(fitted(), CUT, TEXTS).module_.bert.embeddings.word_embeddings.weight
    assert len(torch.unique(table, dim=0)) == 2000
    with pytest.raises(BadInput, match="keep 1 to 2"):
        shrink(fitted(), Plan("more", layers=3), TEXTS)


def test_one_call_makes_a_model_that_another_process_reads(tmp_path: Path) -> None:
    made = compress(fitted(), CUT, tmp_path / "small", TEXTS)
    read = OnnxClassifier(made.exported.folder)
    assert made.exported.model_bytes == (tmp_path / "small" / "model.onnx").stat().st_size
    assert np.abs(read.decision_logits(TEXTS) - made.student.decision_logits(TEXTS)).max() <= made.exported.max_error
    assert json.loads(json.dumps(made.figures()))["plan"]["layers"] == 1
    assert 0 < made.seconds < 600


def test_a_place_that_is_taken_is_found_out_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    monkeypatch.setattr("course_lib.compression.recipes.distill", lambda *_, **__: pytest.fail("trained in vain"))
    with pytest.raises(BadInput, match=r"letters\.txt"):
        compress(fitted(), CUT, tmp_path, TEXTS)
    with pytest.raises(BadInput, match="there is no text"):
        compress(fitted(), CUT, tmp_path / "new", [])


@pytest.mark.parametrize(
    "plan",
    [Plan("as it is"), Plan("8", bits=Bits(8, 8)), Plan("4", bits=Bits(4, 4)), Plan("mixed", 1, 64, 5000, Bits(8, 4))],
    ids=lambda plan: plan.name,
)
def test_the_size_is_known_before(plan: Plan, tmp_path: Path) -> None:
    made = export_onnx(shrink(fitted(), plan, TEXTS), tmp_path / "model", plan.bits, TEXTS).model_bytes
    assert abs(model_bytes(fitted(), plan) - made) < 0.02 * made + 40_000


def test_a_target_gets_the_gentlest_plan_that_fits() -> None:
    sizes = [model_bytes(fitted(), plan) for plan in CANDIDATES]
    assert [plan.name for plan in plans_within(fitted(), sizes[0] / 1e6)] == [plan.name for plan in CANDIDATES]
    smallest = min(sizes) / 1e6
    assert [model_bytes(fitted(), plan) / 1e6 for plan in plans_within(fitted(), smallest)] == [smallest]
    with pytest.raises(BadInput, match="no plan reaches") as refused:
        plans_within(fitted(), smallest / 2)
    assert f"{smallest:.1f} MB" in refused.value.message
    for bad in (0, -1, float("nan"), float("inf"), "7"):
        with pytest.raises(BadInput, match="the target is"):
            plans_within(fitted(), bad)  # type: ignore[arg-type]


def test_the_search_stops_at_the_first_plan_that_is_good_enough() -> None:
    lost = {"a": 3.0, "b": 0.9, "c": 0.1}
    asked: list[str] = []

    def attempt(plan: Plan) -> Any:
        asked.append(plan.name)
        return plan, lost[plan.name]

    plans = [Plan(name) for name in lost]
    assert search_plans(plans, attempt, 1.0)[0].name == "b"  # type: ignore[attr-defined]
    assert asked == ["a", "b"]
    assert search_plans(plans[:1], attempt, 1.0)[0].name == "a"  # type: ignore[attr-defined]
    assert search_plans(plans, attempt, 0.0)[0].name == "c"  # type: ignore[attr-defined]


def test_costs_grow_with_what_is_learned() -> None:
    free, taught = (compress_cost(fitted(), plan, TEXTS) for plan in (CANDIDATES[0], PLANS["fast"]))
    assert 0 < free.seconds < taught.seconds
    assert taught.flops > 3 * free.flops


@pytest.mark.slow
def test_a_plan_that_learns_layer_by_layer_costs_more_and_learns_something_else(tmp_path: Path) -> None:
    plans = [replace(CUT, layerwise=layerwise) for layerwise in (False, True)]
    made = [compress(fitted(), plan, tmp_path / str(plan.layerwise), TEXTS) for plan in plans]
    again = compress(fitted(), plans[1], tmp_path / "again", TEXTS)
    assert same_bits(again.student, made[1].student) and not same_bits(made[0].student, made[1].student)
    cheap, expensive = (compress_cost(fitted(), plan, TEXTS).seconds for plan in plans)
    assert expensive > cheap


def test_quality_by_hand() -> None:
    parent = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    mine = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.2, 0.8]])
    found = quality(mine, parent, np.array([0, 0, 1, 0]), np.array([0, 1]))
    assert (found.accuracy, found.lost, found.agreement) == (0.5, 25.0, 0.75)
    assert found.largest_change == pytest.approx(0.4)
    assert found.mean_change == pytest.approx(1.0 / 8)
    assert found.low <= 0.5 <= found.high
    with pytest.raises(BadInput, match="shapes"):
        quality(mine[:2], parent, np.array([0, 0, 1, 0]), np.array([0, 1]))


def test_models_beside_their_parent_by_hand() -> None:
    parent = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    worse = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.2, 0.8]])
    labels, classes = np.array(["b", "b", "a", "b"]), np.array(["b", "a"])  # columns are not sorted
    table = compare_with_parent({"same": parent, "worse": worse}, parent, labels, classes).set_index("model")
    assert table.loc["same"].tolist() == [0.75, 0.0, 0.0, 0.0, 0.0]
    assert table.loc["worse", ["accuracy", "change"]].tolist() == [0.5, -25.0]
    assert table.loc["worse", "low"] <= -25 <= table.loc["worse", "high"] <= 0
    assert table.loc["worse", "moved"] == pytest.approx(1.0 / 8)


def test_damage_names_who_loses() -> None:
    frame = pd.DataFrame(
        {"text": ["not good at all", "good film", "it is not bad", "a fine film"], "label": [0, 1, 1, 1]}
    )
    parent = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9]])
    worse = np.array([[0.1, 0.9], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    table = accuracy_by_slice(frame, worse, parent)
    assert list(table.columns) == ["slice", "n", "before", "after", "lost", "low", "high"]
    assert table["lost"].is_monotonic_decreasing
    assert table["lost"].iloc[0] == 100.0
    assert ((table["low"] <= table["lost"]) & (table["lost"] <= table["high"])).all()
    assert (accuracy_by_slice(frame, parent, parent)["lost"] == 0).all()


def test_speed_asks_each_text() -> None:
    class Slow:
        classes_ = np.array([0, 1])

        def __init__(self) -> None:
            self.asked: list[int] = []

        def predict_proba(self, texts: Any) -> Any:
            self.asked.append(len(texts))
            return np.full((len(texts), 2), 0.5, np.float32)

    model = Slow()
    found = speed(model, TEXTS, singles=5, repetitions=2)
    assert model.asked == [1, len(TEXTS), len(TEXTS), 1, 1, 1, 1, 1]
    assert found.texts_a_second > 0
    assert 0 < found.median_ms <= found.p99_ms
    with pytest.raises(BadInput, match="0 texts"):
        speed(model, [])


def test_products_are_those_of_the_weights(tmp_path: Path) -> None:
    """Two layers of 64 with 128 neurons: one whole, of the other the keys and values alone."""
    for bits in (Bits(), Bits(8, 8), Bits(4, 4)):
        file = export_onnx(fitted(), tmp_path / str(bits.matrices), bits, TEXTS).folder / "model.onnx"
        assert macs_per_token(file) == (4 * 64 * 64 + 2 * 64 * 128) + 2 * 64 * 64
    empty = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    onnx.save(empty, tmp_path / "empty.onnx")
    with pytest.raises(BadInput, match="was not written by export_onnx"):
        macs_per_token(tmp_path / "empty.onnx")


def test_labels_of_the_tests_are_learned() -> None:
    assert fitted().score(TEXTS, LABELS) == 1.0


# ---- the commands ------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return fitted().save(tmp_path / "parent")


def test_export_says_how_far_it_answers_as_torch(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.main(["export", "--model", str(saved), "--out", str(tmp_path / "onnx"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["max_error"] < 1e-4
    assert (said["opset"], said["agreement"], said["bits"]) == (17, 1.0, 32)
    assert OnnxClassifier(tmp_path / "onnx").score(TEXTS, LABELS) == 1.0
    assert commands.main(["export", "--model", str(saved), "--out", str(tmp_path / "x"), "--bits", "5"]) == 1
    assert "32, 8, 4" in capsys.readouterr().err


@pytest.mark.slow
def test_compress_follows_a_plan_and_says_every_figure(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = corpora.load("movie_reviews").groupby("split").head(40)
    few.attrs = corpora.load("movie_reviews").attrs
    monkeypatch.setattr(corpora, "load", lambda *_: few)
    monkeypatch.setattr("course_lib.compression.unlabelled_texts", lambda *_: few["text"].tolist()[:60])
    monkeypatch.setitem(PLANS, "fast", CUT)
    out = str(tmp_path / "small")
    assert commands.main(["compress", "--model", str(saved), "--out", out, "--recipe", "fast", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    for name in ("accuracy", "lost", "agreement", "calibration_error", "model_bytes", "max_error", "seconds"):
        assert isinstance(said[name], (int, float)), name
    assert said["speed"]["compressed"]["median_ms"] > 0
    assert 2e7 < said["memory_bytes"]["compressed"] < said["memory_bytes"]["parent"]  # no torch in the first
    assert 0 <= said["attack"]["accuracy_under_attack"]["compressed"] <= 1
    assert {"slice", "n", "before", "after", "lost"} <= set(said["slices"][0])
    assert said["model_bytes"] == (tmp_path / "small" / "model.onnx").stat().st_size
    monkeypatch.setattr("course_lib.compression.resident_memory", lambda *_: 1)  # measured above, by two processes
    target = str(model_bytes(fitted(), CANDIDATES[0]) / 1e6 + 0.01)
    assert commands.main(["compress", "--model", str(saved), "--out", out, "--target-mb", target]) == 0
    assert "8 bits" in capsys.readouterr().out
    unwilling = ["compress", "--model", str(saved), "--out", out, "--target-mb", target, "--max-lost", "-100"]
    monkeypatch.setattr("course_lib.compression.plans_within", lambda *_: CANDIDATES[:1])
    assert commands.main(unwilling) == 0
    assert "no plan of that size loses -100 points or less; '8 bits' loses least" in capsys.readouterr().err


def test_a_process_that_cannot_answer_says_why(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(CourseError, match="No such file"):
        resident_memory(tmp_path, ["a film"])
    with pytest.raises(BadInput, match="no text"):
        resident_memory(tmp_path, [])
    with pytest.raises(BadInput, match="no folder"):
        resident_memory(tmp_path / "nowhere", ["a film"])


NAMES = np.array(["good", "bad"])  # not sorted: column 0, which is the label 0, is called "good"


@pytest.fixture
def named(tmp_path: Path) -> tuple[Path, Path]:
    """A model of somebody's own labels, and a CSV file with them."""
    own = copy.copy(fitted())
    own.classes_ = NAMES
    rows = [f"{text} {number},{NAMES[label]}" for number in range(3) for text, label in zip(TEXTS, LABELS, strict=True)]
    (tmp_path / "mine.csv").write_text("\n".join(["text,label", *rows]))
    return own.save(tmp_path / "own"), tmp_path / "mine.csv"


@pytest.mark.slow
def test_a_model_with_labels_of_its_own_is_compressed_on_its_own_file(
    named: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --target-mb it was a traceback of scikit-learn after minutes; no file of one's own could be given."""
    model, data = map(str, named)
    monkeypatch.setattr("course_lib.compression.resident_memory", lambda *_: 1)
    target = str(model_bytes(fitted(), CANDIDATES[0]) / 1e6 + 0.01)
    command = ["compress", "--model", model, "--data", data, "--out", str(tmp_path / "small"), "--target-mb", target]
    assert commands.main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == found["agreement"] == 1.0 and found["lost"] == 0
    assert OnnxClassifier(tmp_path / "small").predict(TEXTS).tolist() == NAMES[LABELS].tolist()


@pytest.mark.parametrize("option", [["--recipe", "fast"], ["--target-mb", "3"]])
def test_labels_are_compared_before_work_begins(
    option: list[str], named: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("course_lib.compression.compress", lambda *_, **__: pytest.fail("compressed in vain"))
    command = ["compress", "--model", str(named[0]), "--out", str(tmp_path / "small"), *option]
    assert commands.main(command) == 1
    assert "which the model does not have" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compress", "export"])
def test_an_export_is_named_as_what_it_is(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(export_onnx(fitted(), tmp_path / "onnx", texts=TEXTS).folder)
    more = ["--recipe", "fast"] if command == "compress" else []
    assert commands.main([command, "--model", folder, "--out", str(tmp_path / "again"), *more]) == 1
    assert "is an ONNX export" in capsys.readouterr().err


def test_compress_refuses_before_it_works(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compress", "--model", str(saved), "--out", str(tmp_path / "small")]
    assert commands.main([*command, "--target-mb", "0.01"]) == 1
    assert "the smallest is" in capsys.readouterr().err
    assert commands.main(command) == 1
    assert commands.main([*command, "--recipe", "small", "--target-mb", "7"]) == 1
    assert commands.main([*command, "--recipe", "fast", "--data", "novels"]) == 1
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert commands.main([*command, "--recipe", "fast"]) == 1
    assert "notes.txt" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["notes.txt"]
