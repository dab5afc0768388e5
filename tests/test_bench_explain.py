"""What the benchmark of explanations makes of its measurements; the measuring itself is run by hand."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from benchmarks.side_by_side import explain_exact as exact
from benchmarks.side_by_side import explain_judged as judged
from benchmarks.side_by_side import explain_lime as lime
from benchmarks.side_by_side import explain_memory as memory
from benchmarks.side_by_side import explain_setting as setting
from benchmarks.side_by_side import explain_shap as shap

from course_lib.explain import MaskableText, explain
from course_lib.explain.shapley import all_coalitions


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, imported as its interpreter finds its modules."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    return import_module("bench_explain")


def measured(claims: list[Any]) -> list[tuple[Any, bool]]:
    """Rounded figures, and whether each is met."""
    return [(round(claim.measured, 4), claim.met) for claim in claims]


class Additive:
    """A model to which each word adds a number: its Shapley values are these numbers."""

    classes_ = np.array([0, 1])
    worth = {"good": 0.3, "bad": -0.2, "film": 0.05}  # noqa: RUF012

    def predict_proba(self, texts: list[str]) -> Any:
        shares = np.array([0.5 + sum(self.worth.get(word, 0.0) for word in text.split()) for text in texts])
        return np.column_stack([1 - shares, shares])


# ---- setting -------------------------------------------------------------------------------------------------------


def test_sentences_are_different_ones_of_a_fitting_length_and_always_the_same() -> None:
    texts = setting.sentences(30, most_words=20)
    assert len(set(texts)) == 30 and texts == setting.sentences(40, most_words=20)[:30]
    assert all(setting.FEWEST_WORDS <= len(MaskableText.of(text)) <= 20 for text in texts)


def test_contenders_take_turns_on_each_text_after_one_to_warm_up() -> None:
    order: list[str] = []

    def contender(name: str) -> Callable[[str], str]:
        return lambda text: order.append(name + text) or text.upper()  # type: ignore[func-returns-value]

    seconds, said = setting.in_turns({"a": contender("a"), "b": contender("b")}, ["1", "2", "x"])
    assert order == ["a1", "b1", "a1", "b1", "b2", "a2", "ax", "bx"]
    assert said == {"a": ["1", "2", "X"], "b": ["1", "2", "X"]}
    assert [len(times) for times in seconds.values()] == [3, 3]


def test_the_stock_explainer_and_the_courses_wrapper_of_it_say_the_same() -> None:
    text, model = "a good film, a very bad good night", Additive()
    stock = setting.stock_lime(model.predict_proba, text, 200, seed=3)
    ours = explain(model, [text], "lime-package", target=1, samples=200, bow=True, seed=3)[0]
    np.testing.assert_allclose(stock, ours.scores, atol=1e-12)
    assert len(stock) == 6 and ours.words[stock.argmax()] == "good"


def test_a_pipelines_answers_become_a_table_in_the_order_of_the_classes() -> None:
    class Pipe:
        class model:
            class config:
                id2label = {0: "negative", 1: "positive"}  # noqa: RUF012
                num_labels = 2

        def __call__(self, texts: list[str]) -> list[list[dict[str, Any]]]:
            return [[{"label": "positive", "score": 0.7}, {"label": "negative", "score": 0.3}] for _ in texts]

    assert setting.predictor(Pipe())(["a", "b"]).tolist() == [[0.3, 0.7]] * 2


# ---- lime ----------------------------------------------------------------------------------------------------------


def lime_rows(ours: list[float], package: list[float]) -> list[dict[str, Any]]:
    def time(name: str, seconds: list[float], **more: float) -> dict[str, Any]:
        return {"what": "time", "contender": name, "samples": 1000, "seconds": seconds, **more}

    def rank(name: str, correlations: list[float]) -> dict[str, Any]:
        return {"what": "rank", "contender": name, "samples": 1000, "reference": 20_000, "seeds": 3,
                "correlations": correlations}  # fmt: skip

    return [
        time(lime.OURS, [1.0, 2.0, 3.0]), time(lime.STOCK, [50.0, 44.0, 30.0], apart=0.0),
        time(lime.OUR_BATCHES, [1.0, 1.0, 1.0], apart=2e-4),
        rank(lime.OURS, ours), rank(lime.OUR_BATCHES, package),
    ]  # fmt: skip


def test_claims_about_lime() -> None:
    rows = lime_rows([0.9, 0.8, 0.95], [0.9, 0.82, 0.92])
    speed, ranks, apart = lime.claims(rows)
    assert measured([speed, apart]) == [(22, True), (2e-4, False)]
    assert ranks.met and ranks.measured is not None and ranks.measured > 0.01
    assert "+" not in lime.notes(rows)[0] and "0.003 [" in lime.notes(rows)[0]


def test_ranks_that_are_worse_in_every_sentence_do_not_pass() -> None:
    worse = lime.claims(lime_rows([0.7, 0.71, 0.69], [0.9, 0.9, 0.9]))[1]
    assert not worse.met and worse.measured is not None and worse.measured < -0.1
    assert lime.claims([]) == [] and lime.notes([]) == []
    assert lime.difference(lime_rows([float("nan"), 0.8], [0.9, 0.8])) is None  # one sentence has no interval


# ---- shap ----------------------------------------------------------------------------------------------------------


def test_an_error_is_a_share_of_the_size_of_the_true_values() -> None:
    true = np.array([3.0, -4.0])
    assert shap.relative_error(true, true) == 0
    assert shap.relative_error(np.zeros(2), true) == pytest.approx(1)
    assert shap.relative_error(1.1 * true, true) == pytest.approx(0.1)


def test_converged_values_are_exact_for_few_words_and_near_for_many() -> None:
    long = "good film of a kind that is bad here and there but good on the whole"
    model: Any = Additive()
    few, many = shap.converged_shapley(model, ["a good film", long], samples=400)
    assert few.method == "exact" and few.scores == pytest.approx([0, 0.3, 0.05])
    worth = [Additive.worth.get(word, 0.0) for word in long.split()]
    assert many.method == "shap" and many.scores == pytest.approx(worth, abs=1e-6)


def test_claims_about_shapley_values() -> None:
    rows = [
        {"contender": shap.OURS, "seconds": [1.0, 1.0, 4.0], "errors": [0.1, 0.2, 0.9], "reference_error": 0.02},
        {"contender": shap.STOCK, "seconds": [10.0, 21.0, 30.0], "errors": [0.0, 0.15, 0.3], "unfinished": 0},
    ]
    assert measured(shap.claims(rows)) == [(21, True), (0.05, False)]
    nearer = {"contender": "ours, 512 samples", "seconds": [1.5, 1.4, 4.0], "errors": [0.1, 0.15, 0.2]}
    slower = {"contender": "ours, 900 samples", "seconds": [2.5, 2.4, 4.0], "errors": [0.1, 0.1, 0.2]}
    assert measured(shap.claims([*rows, slower, nearer])) == [(21, True), (0.05, False), (14, False), (0, True)]
    assert any("in 1 of 3 sentences" in note for note in shap.notes(rows))
    assert shap.claims(rows[:1]) == []


def test_fewer_sentences_are_claimed_at_the_rate_of_a_thousand() -> None:
    rows = [{"samples": "default", "texts": 500, "seconds": 140.0}, {"samples": 128, "texts": 1000, "seconds": 301.0}]
    assert measured(shap.many_claims(rows)) == [(280, True), (301, False)]
    assert shap.quantiles([1.0, 2.0, 3.0, float("nan")]) == pytest.approx([2, 2.8])


# ---- memory --------------------------------------------------------------------------------------------------------


def spent(contender: str, method: str, samples: int, peak: int, **more: Any) -> dict[str, Any]:
    row = {"contender": contender, "method": method, "samples": samples, "answers": "stub", "peak_bytes": peak}
    return row | {"before_bytes": 300, "seconds": 1.0, "failed": None} | more


def test_claims_about_memory_hold_most_samples_against_fewest() -> None:
    rows = [
        spent("ours", "lime", 500, 400), spent("ours", "lime", 5000, 430), spent("ours", "lime", 50_000, 420),
        spent("ours", "shap", 1000, 400), spent("ours", "shap", 50_000, 600),
        spent("lime package", "lime", 500, 400), spent("lime package", "lime", 5000, 900),
        spent("ours", "lime", 5000, 700, answers="model"),
        spent("lime package", "lime", 5000, 4000, answers="model, all texts at once", failed="RuntimeError: no"),
    ]  # fmt: skip
    assert measured(memory.claims(rows)) == [(1.05, True), (1.5, False)]
    assert len(memory.notes(rows)) == 1 and "RuntimeError: no" in memory.notes(rows)[0]
    assert memory.line(rows[-1])[-1] == "no"


def test_a_run_on_the_stub_says_what_it_took_and_how_many_samples_it_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # the run sets it in its own process; here it is put back
    given = {"contender": "ours", "answers": "stub", "folder": "", "words": 60}
    found = memory.measure({**given, "method": "shap", "samples": 10})
    assert found["failed"] is None and found["words"] >= 60 and found["samples"] == 2 * found["words"]
    assert found["peak_bytes"] > 0 and found["before_bytes"] > 0
    package = memory.measure({**given, "contender": "lime package", "method": "lime", "samples": 10})
    assert package["failed"] is None and package["samples"] == 10


# ---- the methods judged --------------------------------------------------------------------------------------------


def judged_row(method: str, low: float, high: float) -> dict[str, Any]:
    interval = {"estimate": (low + high) / 2, "low": low, "high": high}
    return {"method": method, "seconds": 0.1, "queries": 3, **dict.fromkeys(judged.FIGURES, interval)}


def test_faithfulness_of_an_additive_model_is_best_for_its_own_numbers() -> None:
    model = Additive()
    found = explain(model, ["a good film", "the bad film was good"], "occlusion", target=1)
    low, high = judged.aopc_bounds(judged.MaskedModel(model, [one.text for one in found], target=1))
    row = judged.faithful(model, found, low, high)
    assert row["normalised"]["estimate"] == pytest.approx(1) and row["normalised"]["n"] == 2
    assert row["aopc"]["low"] <= row["aopc"]["estimate"] <= row["aopc"]["high"]


def test_a_planted_word_is_counted_over_all_seeds() -> None:
    of_seed = {"accuracy": 0.8, "turned": 0.5, "tested": 100, "seconds": 0.1}
    rows = [
        {**of_seed, "seed": 0, "method": "shap", "ranks": [1] * 30},
        {**of_seed, "seed": 1, "method": "shap", "ranks": [1] * 9 + [2]},
        {**of_seed, "seed": 0, "method": "lime", "ranks": [1, 2]},
        {**of_seed, "seed": 0, "method": "gradient", "ranks": []},
    ]
    assert measured(judged.planted_claims(rows)) == [(0.975, True), (0.5, False)]
    notes = judged.planted_notes(rows)
    assert notes[0].startswith("shap: finds it") and notes[1].startswith("lime: fails") and len(notes) == 2
    assert judged.planted_line(rows[3])[4:7] == ("0", "-", "-")
    assert not judged.planted_claims([{**rows[3], "method": "shap"}])[0].met  # no sentence was turned


# ---- the script ----------------------------------------------------------------------------------------------------


def test_contenders_read_the_exact_table_and_are_held_against_it() -> None:
    worth = np.linspace(-0.3, 0.3, exact.WORDS)
    table = 0.5 + all_coalitions(exact.WORDS) @ worth + 0.2 * all_coalitions(exact.WORDS)[:, :3].all(1)
    rows = [exact._row(name, 192, draw, [table, table[::-1]], 5) for name, draw in exact.contenders().items()]
    assert all(0 < max(row["errors"]) < 0.2 for row in rows) and 0.8 < rows[0]["covered"] <= 1
    rows[1]["errors"] = [error / 2 for error in rows[0]["errors"]]
    peer = {"contender": "shapiq, ProxySHAP", "samples": 192, "errors": rows[0]["errors"], "covered": None}
    found = measured(exact.claims([rows[0], rows[1] | {"covered": 0.9}, peer]))
    assert found == [(0.5, True), (0.5, True), (0.9, False)]
    assert exact.notes([peer]) == [] and "not installed" in exact.notes(rows[:1])[0]


def test_a_whole_run_is_the_default_and_less_is_a_trial(script: ModuleType) -> None:
    whole = script.options([])
    assert whole.parts == list(script.PARTS) == list(dict.fromkeys([*script.WHOLE]))
    assert not any(script.is_trial(name, whole) for name in script.PARTS)
    fewer = script.options(["--sentences", "3", "--sizes", "500", "5000"])
    assert [name for name in script.PARTS if script.is_trial(name, fewer)] == ["lime", "shap", "memory"]
    assert script.settings("many", whole) == {"many": 1000, "many_samples": [128]}
    with pytest.raises(SystemExit):
        script.options(["--parts", "weather"])


def test_headings_have_a_cell_for_each_of_a_row(script: ModuleType) -> None:
    rows = {
        "lime": lime_rows([0.9, 0.8], [0.9, 0.7]),
        "shap": [{"contender": "ours", "seconds": [1.0], "errors": [0.1]}, {"contender": "ours", "seconds": [1.0]}],
        "exact": [{"contender": "ours", "samples": 96, "errors": [0.1, 0.3], "covered": one} for one in (0.9, None)],
        "many": [{"samples": 128, "texts": 5, "seconds": 1.0, "queries": 9.0, "errors": [1, 2], "shares": [1, 2]}],
        "memory": [spent("ours", "lime", 500, 400)],
        "faithfulness": [judged_row("a", 0.3, 0.4)],
        "shortcut": [{"method": "shap", "seed": 0, "accuracy": 0.8, "turned": 0.5, "ranks": [1, 3], "seconds": 0.1}],
    }  # fmt: skip
    for name, part in script.PARTS.items():
        assert {len(part.line(row)) for row in rows[name]} == {len(part.heading)}, name


def test_each_part_has_a_file_of_its_own(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(_: Any, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
        yield {"many": asked.many}

    part = script.Part(rows, lambda rows: [], ("many",), lambda row: (str(row["many"]),), lambda rows: ["well done"])
    real = script.Report
    monkeypatch.setattr(script, "Report", lambda *given: real(*given, folder=tmp_path))
    monkeypatch.setitem(script.PARTS, "many", part)
    monkeypatch.setitem(script.PARTS, "lime", part)
    script.main(script.options(["--parts", "lime", "many", "--many", "5"]))
    whole, trial = sorted(tmp_path.iterdir(), key=lambda file: len(file.name))
    assert whole.name.startswith("explain-lime-") and trial.name.startswith("explain-many-")
    assert trial.name.endswith("-trial.json") and not whole.name.endswith("-trial.json")
    content = json.loads(trial.read_text(encoding="utf-8"))
    assert content["rows"] == [{"many": 5}] and content["notes"] == ["well done"]
    assert "well done" in capsys.readouterr().out
