"""LIME: the lime package's numbers on the same samples, and both packages behind our batches."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
import sklearn.metrics
from lime.lime_base import LimeBase
from lime.lime_text import LimeTextExplainer
from sklearn.linear_model import Ridge
from toy_classifiers import fitted
from toy_games import Toy, additive, tangled

from course_lib.errors import BadInput
from course_lib.explain import MaskedModel, explain, fit_local_model, kernel
from course_lib.explain.perturbation import Design, neighbours
from course_lib.explain.shapley import all_coalitions

TEXT = "one little film that nobody has seen before, or ever will again"


class Recorded(LimeBase):
    """The package's regression, which keeps what it was given."""

    def explain_instance_with_data(self, data, labels, distances, label, *rest, **named):  # type: ignore[no-untyped-def]
        self.seen = data, labels[:, label], self.kernel_fn(distances)
        return super().explain_instance_with_data(data, labels, distances, label, *rest, **named)


def package(model: Toy, text: str, samples: int, bow: bool) -> tuple[dict[int, float], float, float, Recorded]:
    explainer = LimeTextExplainer(bow=bow, random_state=0, mask_string="")
    explainer.base = Recorded(explainer.base.kernel_fn, random_state=explainer.random_state)
    said = explainer.explain_instance(text, model.predict_proba, labels=(1,), num_features=99, num_samples=samples)
    return dict(said.local_exp[1]), float(said.intercept[1]), float(said.score), explainer.base


@pytest.mark.parametrize(("text", "bow"), [(TEXT, False), (TEXT, True), ("so so good, so", True), ("one", False)])
@pytest.mark.parametrize("samples", [50, 1000])
def test_the_packages_numbers_on_the_same_samples(
    text: str, bow: bool, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, intercept, score, base = package(tangled(), text, samples, bow)
    data, values, weights = base.seen
    monkeypatch.setattr("course_lib.explain.perturbation._NUMBERS_AT_ONCE", 33 * data.shape[1])  # in parts
    found = fit_local_model(data > 0, values)
    assert np.allclose(kernel(data > 0), weights, atol=1e-12)
    assert np.allclose(found.coefficients, [wanted[i] for i in range(len(wanted))], atol=1e-9)
    assert found.intercept == pytest.approx(intercept, abs=1e-9) and found.r2 == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize("method", ["lime", "lime-package", "shap"])
def test_a_whole_number_may_be_written_as_a_float(method: str) -> None:
    whole, written = (explain(tangled(), [TEXT], method, samples=samples)[0] for samples in (100, 1e2))
    assert np.array_equal(whole.scores, written.scores)


def test_the_kernel_is_of_cosine_distance() -> None:
    rows = np.random.default_rng(0).random((30, 7)) < 0.5
    distance = sklearn.metrics.pairwise.pairwise_distances(rows.astype(float), np.ones((1, 7)), metric="cosine")
    assert np.allclose(kernel(rows, 10.0), np.sqrt(np.exp(-((100 * distance[:, 0]) ** 2) / 100)), atol=1e-12)


def test_neighbours_are_drawn_as_in_the_package() -> None:
    rows = neighbours(6, 60_001, np.random.default_rng(0))[1:]
    counts = np.bincount(rows.sum(1), minlength=7) / len(rows)
    assert counts[6] == 0 and np.allclose(counts[:6], 1 / 6, atol=0.01)
    assert np.allclose(rows.mean(0), 2.5 / 6, atol=0.01)


def test_both_agree_when_samples_are_many() -> None:
    ours = explain(tangled(), [TEXT], "lime", target="yes", samples=40_000)[0]
    theirs = explain(tangled(), [TEXT], "lime-package", target="yes", samples=40_000)[0]
    assert np.corrcoef(ours.scores, theirs.scores)[0, 1] > 0.99
    assert ours.words == theirs.words and ours.error == pytest.approx(theirs.error, abs=0.01)
    assert ours.base_value == pytest.approx(theirs.base_value, abs=0.02)


def test_an_additive_model_fits() -> None:
    found = explain(additive(), ["very good film"], "lime", target="yes", samples=4000)[0]
    assert np.allclose(found.scores, [0.1, 0.3, 0.05], atol=3e-3) and found.error < 1e-3
    assert found.base_value == pytest.approx(0.4, abs=5e-3) and found.error_kind == "1 - R2"
    assert found.queries <= 2**3  # each different text counts once in a chunk
    constant = explain(Toy(lambda words: 0.7), ["very good film"], "lime")[0]
    assert constant.error == 0.0 and np.allclose(constant.scores, 0, atol=1e-12)


def test_a_model_that_no_line_fits_says_so() -> None:
    odd = Toy(lambda words: float(len(words) % 2))
    assert explain(odd, [TEXT], "lime", samples=2000)[0].error > 0.9


def test_seeds_and_spread() -> None:
    first = explain(tangled(), [TEXT], "lime", samples=200, seed=3)[0]
    assert np.array_equal(first.scores, explain(tangled(), [TEXT], "lime", samples=200, seed=3)[0].scores)
    few, many = (explain(tangled(), [TEXT], "lime", samples=n, seed=3, repeats=4)[0] for n in (200, 3200))
    assert np.array_equal(few.scores, first.scores) and few.queries > 3 * first.queries
    assert few.spread is not None and many.spread is not None and few.spread.shape == first.scores.shape
    assert 2 < few.spread.mean() / many.spread.mean() < 8  # 4 in the long run
    wanted = [explain(tangled(), [TEXT], "lime", samples=200, seed=3 + i)[0].scores for i in range(4)]
    assert np.allclose(few.spread, np.std(wanted, axis=0, ddof=1))


@pytest.mark.parametrize("bow", [False, True])
def test_the_package_behind_our_batches_gives_its_own_numbers(bow: bool) -> None:
    text = "so so good, so very good film"
    wanted, intercept, score, _ = package(tangled(), text, 300, bow)
    found = explain(tangled(), [text], "lime-package", target="yes", samples=300, bow=bow)[0]
    assert np.allclose(found.scores, [wanted[i] for i in range(len(wanted))], atol=1e-12)
    assert found.base_value == pytest.approx(intercept) and found.error == pytest.approx(1 - score)


def test_shap_package() -> None:
    text, state = " ".join(TEXT.split()[:8]), np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    found = explain(tangled(), [text], "shap-package", target="yes", samples=2000)[0]
    exact = explain(tangled(), [text], "exact", target="yes")[0]
    assert abs(found.gap) < 1e-9 and found.error < 1e-9 and found.base_value == pytest.approx(exact.base_value)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[union-attr]
    again = explain(tangled(), [text], "shap-package", target="yes", samples=2000)[0]
    assert np.array_equal(found.scores, again.scores) and found.queries <= 2002


def test_partition_gives_owen_values() -> None:
    """The tree joins the first two of three words; Owen 1977: orders that keep them together."""
    text = "long winding road"
    found = explain(tangled(), [text], "shap-package", target="yes", samples=100)[0]
    rows = all_coalitions(3)
    none, a, b, ab, c, ac, bc, abc = MaskedModel(tangled(), [text], target="yes").evaluate([rows])[0]
    wanted = [(a - none + ab - b + ac - c + abc - bc) / 4, (b - none + ab - a + bc - c + abc - ac) / 4,
              (c - none + abc - ab) / 2]  # fmt: skip
    assert np.allclose(found.scores, wanted, atol=1e-12)
    assert np.abs(found.scores - explain(tangled(), [text], "exact", target="yes")[0].scores).max() > 5e-4


def test_owen_values_of_two_words_are_shapley_values() -> None:
    found = explain(tangled(), ["winding road"], "shap-package")[0]
    assert np.allclose(found.scores, explain(tangled(), ["winding road"], "exact")[0].scores, atol=1e-9)


def test_bad_settings() -> None:
    for method, named, says in [
        ("lime", {"samples": 1}, "samples is 1"),
        ("lime-package", {"samples": 1}, "samples is 1"),
        ("lime", {"steps": 3}, "'lime' has no setting 'steps'"), ("exact", {"samples": 3}, "no setting 'samples'"),
        ("lime", {"repeats": 0}, "repeats is 0"), ("exact", {"repeats": 2}, "draws nothing"),
        ("lime", {"seed": -1}, "seed is -1"), ("lime-package", {"seed": 2**32}, "seed is 4294967296"),
        ("shap-package", {"seed": 2**32}, "seed is 4294967296"), ("lime", {"samples": 10.5}, "samples is 10.5"),
        ("shap", {"samples": "many"}, "samples is 'many'"), ("lime", {"samples": float("inf")}, "samples is inf"),
        ("grad-cam", {}, "method is 'grad-cam'"),
    ]:  # fmt: skip
        with pytest.raises(BadInput, match=says):
            explain(additive(), [TEXT], method, **named)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="masks no equal words together"):
        explain(fitted(), ["so so"], "lime-package", removal="mask", bow=True)
    assert MaskedModel(fitted(), ["so so"], removal="mask", bow=True).texts[0].replacement == "[MASK]"


# ---- with a surrogate ----------------------------------------------------------------------------------------------


def averaged(model: Toy, text: str, output: str) -> np.ndarray:
    """LIME's coefficients with 1,000 samples where each coalition counts as often as it is drawn on average."""
    rows = all_coalitions(len(text.split()))
    n, kept = rows.shape[1], rows.sum(1)
    often = 999 / n / np.array([comb(n, k) for k in kept])
    often[-1] = 1.0  # the whole text is the first sample, and never drawn
    values = MaskedModel(model, [text], target="yes", output=output).evaluate([rows])[0]
    return Ridge(alpha=1.0).fit(rows, values, sample_weight=often * kernel(rows)).coef_


@pytest.mark.parametrize("output", ["probability", "log-odds"])
@pytest.mark.parametrize("model", [tangled(), Toy(lambda words: 0.2 + 0.6 * ("little" in words and "seen" in words))])
def test_scores_with_a_surrogate_estimate_the_average_lime(model: Toy, output: str) -> None:
    """The mean over seeds is LIME's average, and two stated errors cover the gap as often as they should."""
    text = " ".join(TEXT.replace(",", "").split()[:9])
    wanted = averaged(model, text, output)
    ask = {"target": "yes", "output": output}
    plain = np.array([explain(model, [text], "lime", seed=seed, **ask)[0].scores for seed in range(40)])
    assert (
        np.abs(plain.mean(0) - wanted) < 4 * plain.std(0) / np.sqrt(40)
    ).all()  # what the package's samples estimate
    runs = [explain(model, [text], "lime", samples=200, surrogate=True, seed=seed, **ask)[0] for seed in range(60)]
    apart = np.array([run.scores for run in runs]) - wanted
    assert (np.abs(apart.mean(0)) < 3.5 * apart.std(0, ddof=1) / np.sqrt(len(runs)) + 1e-12).all()
    assert (np.abs(apart) <= 2 * np.array([[run.error] for run in runs])).mean() >= 0.95
    assert all(run.error_kind == "standard error" and run.queries <= 201 for run in runs)


def test_a_surrogate_spares_samples_where_the_output_is_smooth() -> None:
    smooth = Toy(lambda words: 1 / (1 + float(np.exp(1 - sum(len(word) % 5 - 1.5 for word in words) / 2))))
    plain, adjusted = (
        np.std(
            [explain(smooth, [TEXT], "lime", samples=samples, seed=seed, **named)[0].scores for seed in range(20)], 0
        )
        for samples, named in ((800, {}), (200, {"surrogate": True}))
    )
    assert adjusted.mean() < plain.mean()


def test_a_design_draws_what_it_says_and_counts_as_lime_weighs() -> None:
    design = Design.of(6)
    rows = design.draw(40_000, np.random.default_rng(0))
    assert np.allclose(np.bincount(rows.sum(1), minlength=7) / len(rows), design.drawn, atol=2e-4)
    weights = (
        np.array([999 / 6, 999 / 6, 999 / 6, 999 / 6, 999 / 6, 999 / 6, 1]) / 1000 * kernel(np.tri(7, 6, -1, bool))
    )
    assert np.allclose(design.drawn * design.counts, weights) and design.drawn.sum() == pytest.approx(1)
    assert np.allclose(rows[rows.sum(1) == 4].mean(0), 4 / 6, atol=0.02)


def test_surrogates_of_texts_without_words_and_too_few_samples() -> None:
    empty, one = explain(tangled(), ["...", "film"], "lime", surrogate=True)
    assert not len(empty.scores) and empty.error == 0.0 and len(one.scores) == 1 and np.isfinite(one.error)
    with pytest.raises(BadInput, match="samples is 19"):
        explain(tangled(), [TEXT], "lime", samples=19, surrogate=True)
    with pytest.raises(BadInput, match="method 'occlusion' has no setting 'surrogate'"):
        explain(tangled(), [TEXT], "occlusion", surrogate=True)
