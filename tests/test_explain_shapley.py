"""Shapley values: exact, and from pairs of coalitions; occlusion."""

from __future__ import annotations

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from toy_classifiers import fitted
from toy_games import Three, Toy, additive, tangled

from course_lib.errors import BadInput
from course_lib.explain import MaskedModel, explain, shapley_values
from course_lib.explain.shapley import all_coalitions, draw_pairs, kernel_values, usual_samples
from course_lib.explain.surrogates import CoalitionProcess

EXACT = ("exact", "shap")
LONG = "one little film that nobody has seen before or ever will again maybe"  # 13 words


def by_orders(model: MaskedModel) -> np.ndarray:
    """Shapley values as they are defined: over all orders."""
    n = len(model.texts[0])
    sums, orders = np.zeros(n), list(permutations(range(n)))
    value = dict(zip((tuple(row) for row in all_coalitions(n).tolist()),
                     model.evaluate([all_coalitions(n)])[0], strict=True))  # fmt: skip
    for order in orders:
        kept = [False] * n
        for word in order:
            before = value[tuple(kept)]
            kept[word] = True
            sums[word] += value[tuple(kept)] - before
    return sums / len(orders)


def test_by_the_definition() -> None:
    wanted = by_orders(MaskedModel(tangled(), ["a long and winding road"], target="yes"))
    found = explain(tangled(), ["a long and winding road"], "exact", target="yes")[0]
    assert np.allclose(found.scores, wanted, atol=1e-12) and found.error == 0.0 and found.queries == 2**5


def test_three_words_by_hand() -> None:
    """v is 1 for both gloves together: each glove gets one half, the hat none."""
    table = np.array([0, 0, 0, 1, 0, 0, 0, 1], float)
    assert shapley_values(table).tolist() == [0.5, 0.5, 0.0]
    with pytest.raises(BadInput, match="table of shape"):
        shapley_values(np.zeros(6))


@pytest.mark.parametrize("method", [*EXACT, "occlusion", "shap-package"])
def test_an_additive_model_gives_its_weights(method: str) -> None:
    text = "very very good film, bad thing"
    found = explain(additive(), [text], method, target="yes")[0]
    assert np.allclose(found.scores, [0.1, 0.1, 0.3, 0.05, -0.2, 0.0], atol=1e-9)
    assert found.base_value == pytest.approx(0.4) and found.value == pytest.approx(0.75)
    assert found.error < 1e-9
    against = explain(additive(), [text], method, target="no")[0]
    assert np.allclose(against.scores, -found.scores, atol=1e-9)


@pytest.mark.parametrize("method", EXACT)
def test_efficiency_symmetry_dummy(method: str) -> None:
    """Two words that do the same get the same, one that does nothing gets nothing; all sum to what was done."""
    pair = Toy(lambda words: 0.2 + 0.5 * ("left" in words) * ("right" in words) + 0.1 * ("good" in words))
    samples = {} if method == "exact" else {"samples": 400}
    found = explain(pair, ["left the right good one"], method, target="yes", **samples)[0]
    left, the, right, good, one = found.scores
    assert left == pytest.approx(right) == pytest.approx(0.25) and good == pytest.approx(0.1)
    assert the == pytest.approx(0, abs=1e-12) and one == pytest.approx(0, abs=1e-12)
    for text in (LONG, "so so so"):
        if method != "exact" or text != LONG:
            assert abs(explain(tangled(), [text], method)[0].gap) < 1e-12


def test_sampling_converges_and_knows_its_error() -> None:
    text = " ".join(LONG.split()[:11])
    exact = explain(tangled(), [text], "exact", target="yes")[0].scores
    apart, said = {}, {}
    for samples in (100, 800):
        runs = [explain(tangled(), [text], "shap", target="yes", samples=samples, seed=seed)[0] for seed in range(8)]
        apart[samples] = float(np.sqrt(np.mean([(run.scores - exact) ** 2 for run in runs])))
        said[samples] = float(np.mean([run.error for run in runs]))
        assert all(run.queries <= samples for run in runs)
    assert apart[800] < apart[100] / 2
    assert 0.5 * apart[800] < said[800] < 6 * apart[800]  # the largest of 11 standard errors, itself an estimate


def test_pairs_are_exact_when_all_are_asked() -> None:
    text = " ".join(LONG.split()[:7])
    exact = explain(tangled(), [text], "exact")[0]
    found = explain(tangled(), [text], "shap", samples=2**7)[0]
    assert np.allclose(found.scores, exact.scores, atol=1e-10) and found.error == 0.0
    assert found.queries == 2**7


@pytest.mark.parametrize(("words", "samples"), [(2, 4), (3, 6), (5, 12), (8, 60), (13, 300), (40, 80), (40, 3000)])
def test_drawn_pairs(words: int, samples: int) -> None:
    """None twice, none the complement of another, sizes as even as there are coalitions, about as many as asked."""
    pairs = draw_pairs(words, samples, np.random.default_rng(0))
    size = pairs.coalitions.sum(1)
    both = np.concatenate([pairs.coalitions, ~pairs.coalitions])
    assert len(np.unique(both, axis=0)) == len(both) and size.min() >= 1 and size.max() <= words // 2
    assert len(both) == min(samples - 2, 2**words - 2)
    assert (pairs.weights > 0).all()
    if samples == 3000:
        counts = np.bincount(size, minlength=21)[1:]
        assert counts[0] == 40 and counts[1:19].min() >= counts[1:19].max() - 1 and counts[19] < counts[18]


def test_weights_make_the_kernel() -> None:
    """Drawn coalitions stand for all of their size: their weights sum to the Shapley kernel's."""
    pairs = draw_pairs(9, 60, np.random.default_rng(1))
    for size in range(1, 5):
        whole = math.comb(9, size) * 8 / (math.comb(9, size) * size * (9 - size))
        of = pairs.coalitions.sum(1) == size
        assert pairs.weights[of].sum() == pytest.approx(whole, rel=1 / of.sum())


def test_sums_in_parts_are_the_whole_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    pairs = draw_pairs(9, 200, random)
    values, complements = random.random((2, len(pairs.coalitions)))
    whole = kernel_values(pairs, values, complements, 0.1, 0.9)
    monkeypatch.setattr("course_lib.explain.shapley._PAIRS_AT_ONCE", 3)
    parts = kernel_values(pairs, values, complements, 0.1, 0.9)
    assert np.allclose(whole, parts, atol=1e-12) and whole[1].min() > 0


@pytest.mark.parametrize("samples", [24, 27])
def test_pairs_that_are_too_few_for_an_error_say_so(samples: int) -> None:
    """Eleven values are to be found; without one of ten groups there are fewer pairs than that."""
    found = explain(tangled(), [" ".join(LONG.split()[:12])], "shap", samples=samples)[0]
    assert np.isnan(found.error) and np.isfinite(found.scores).all() and abs(found.gap) < 1e-9


@pytest.mark.parametrize("samples", [40, 72, 192])
def test_all_groups_hold_as_many_pairs(samples: int) -> None:
    groups = draw_pairs(12, samples, np.random.default_rng(0)).groups
    counts = np.bincount(groups[groups >= 0], minlength=10)
    assert counts.max() - counts.min() <= 1 and len(counts) == 10


@pytest.mark.parametrize("samples", [24, 36, 72])
def test_the_stated_error_covers_the_true_one_or_is_not_known(samples: int) -> None:
    """Products of three words each, whose Shapley values are a third of each product."""
    inside = 0
    for game in range(10):
        random = np.random.default_rng(game)
        terms = [(random.choice(12, 3, replace=False), random.normal()) for _ in range(12)]
        wanted = np.zeros(12)
        for words, weight in terms:
            wanted[words] += weight / 3

        def value(rows: np.ndarray, terms: list[tuple[np.ndarray, float]] = terms) -> np.ndarray:
            return np.sum([weight * rows[:, words].all(1) for words, weight in terms], axis=0)

        for seed in range(10):
            pairs = draw_pairs(12, samples, np.random.default_rng([game, seed]))
            full = float(value(np.ones((1, 12), bool))[0])
            found, errors = kernel_values(pairs, value(pairs.coalitions), value(~pairs.coalitions), 0.0, full)
            inside += np.isnan(errors).any() or np.abs(found - wanted).max() <= 2 * errors.max()
            assert np.isfinite(errors).all() or samples < 72
    assert inside >= 90


def test_a_thousand_words() -> None:
    """The number of coalitions is beyond a float from 1,024 words on."""
    text = " ".join(f"w{i}" for i in range(1100))
    found = explain(additive({"w3": 0.1, "w700": -0.2}), [text], "shap", target="yes", samples=2200)[0]
    assert found.scores[3] == pytest.approx(0.1) and found.scores[700] == pytest.approx(-0.2)
    assert np.abs(np.delete(found.scores, [3, 700])).max() < 1e-6 and np.isnan(found.error)
    with pytest.raises(BadInput, match=r"1100 words, so 2\^1100 coalitions"):
        explain(additive(), [text], "exact")
    with pytest.raises(BadInput, match=r"samples is 2199 for a text of 1100 words\n.*use 2200 or more"):
        explain(additive(), [text], "shap", samples=2199)


def test_texts_do_not_depend_on_their_neighbours() -> None:
    alone = explain(fitted(), ["a good film and so on"], "shap")[0]
    beside = explain(fitted(), ["an awful film", "a good film and so on", "an awful film"], "shap")
    assert np.allclose(alone.scores, beside[1].scores, atol=1e-6)
    assert np.array_equal(beside[0].scores, beside[2].scores)
    again = explain(fitted(), [LONG], "shap", samples=60, seed=1)[0]
    other = explain(fitted(), [LONG], "shap", samples=60, seed=2)[0]
    assert np.array_equal(again.scores, explain(fitted(), [LONG], "shap", samples=60, seed=1)[0].scores)
    assert not np.array_equal(again.scores, other.scores)


def test_occlusion_says_what_it_misses() -> None:
    """Either of two words is enough: neither alone is missed."""
    either = Toy(lambda words: 0.1 + 0.8 * ("fine" in words or "great" in words))
    found = explain(either, ["fine great film"], "occlusion")[0]
    assert np.allclose(found.scores, 0, atol=1e-12) and found.error == pytest.approx(1.0)
    assert found.queries == 5 and found.error_kind == "efficiency gap"


def test_three_classes_sum_to_nothing() -> None:
    text = "ant bee cat bat"
    scores = [explain(Three(), [text], "exact", target=name)[0].scores for name in "abc"]
    assert np.allclose(np.sum(scores, axis=0), 0, atol=1e-12) and scores[0][0] > 0 > scores[1][0]


def test_too_few_samples_and_too_many_words() -> None:
    with pytest.raises(BadInput, match=r"13 words, so 2\^13 coalitions"):
        explain(tangled(), [LONG], "exact")
    with pytest.raises(BadInput, match="samples is 20 for a text of 13 words"):
        explain(tangled(), [LONG], "shap", samples=20)
    assert np.isfinite(explain(tangled(), [LONG], "shap", samples=26)[0].scores).all()
    assert usual_samples(2) == 128 and usual_samples(100) == 1600


# ---- surrogates ----------------------------------------------------------------------------------------------------


def gaps(model: Toy, text: str, seeds: int, **settings: object) -> tuple[np.ndarray, np.ndarray]:
    """(seeds, n), the errors of the values; (seeds,), the largest standard error that is stated."""
    wanted = explain(model, [text], "exact", target="yes")[0].scores
    runs = [explain(model, [text], "shap", target="yes", seed=seed, **settings)[0] for seed in range(seeds)]
    return np.array([run.scores - wanted for run in runs]), np.array([run.error for run in runs])


def saturated() -> Toy:
    """A sum of words and of neighbours that saturates, as the probability of most classifiers does."""

    def value(words: list[str]) -> float:
        total = sum((len(word) * 37 % 11 - 5) for word in words) / 8
        return 1 / (1 + float(np.exp(-total - sum(a < b for a, b in pairwise(words)) / 4)))

    return Toy(value)


@pytest.mark.parametrize("model", [tangled(), saturated()])
@pytest.mark.parametrize("samples", [64, 200])
def test_a_surrogate_leaves_the_values_right(model: Toy, samples: int) -> None:
    """The mean over seeds is the exact value, and two stated errors cover the gap as often as they should."""
    text = " ".join(LONG.split()[:11])
    apart, stated = gaps(model, text, 60, samples=samples, surrogate=True)
    spread = apart.std(0, ddof=1) / np.sqrt(len(apart))
    assert (np.abs(apart.mean(0)) < 3.5 * spread).all()
    assert (np.abs(apart) <= 2 * stated[:, None]).mean() >= 0.95


def test_a_surrogate_spares_samples() -> None:
    text = " ".join(LONG.split()[:12])
    size = {name: float((gaps(saturated(), text, 12, samples=300, surrogate=name)[0] ** 2).mean())
            for name in (False, True)}  # fmt: skip
    assert size[True] < size[False] / 1.2


def test_a_surrogate_changes_nothing_where_all_coalitions_are_asked() -> None:
    text = " ".join(LONG.split()[:6])
    plain, adjusted = (explain(tangled(), [text, "one", ""], "shap", surrogate=one) for one in (False, True))
    assert all(np.allclose(a.scores, b.scores, atol=1e-12) for a, b in zip(plain, adjusted, strict=True))
    assert [one.error for one in adjusted] == [0.0, 0.0, 0.0]


def test_shapley_values_of_a_process_are_exact() -> None:
    random = np.random.default_rng(0)
    rows = random.random((40, 9)) < 0.5
    process = CoalitionProcess.fit(rows, random.normal(size=40))
    wanted = shapley_values(process.predict(all_coalitions(9)))
    assert np.allclose(process.shapley_values(), wanted, atol=1e-5) and np.abs(wanted).max() > 0.1  # float32


def test_a_process_learns_a_smooth_game_and_bounds_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = all_coalitions(9)[np.random.default_rng(0).permutation(512)]
    values = MaskedModel(saturated(), ["one little film that nobody has seen before or"], target="yes").evaluate(
        [rows]
    )[0]
    missed = {most: 0.0 for most in (2048, 100)}
    for most in missed:
        monkeypatch.setattr("course_lib.explain.surrogates._MOST_OBSERVED", most)
        monkeypatch.setattr("course_lib.explain.surrogates._AT_ONCE", 7)
        process = CoalitionProcess.fit(rows[:400], values[:400])
        assert len(process.weights) == min(most, 400)
        missed[most] = float(np.mean((process.predict(rows[400:]) - values[400:]) ** 2))
    assert missed[2048] < missed[100] < values.var() / 4
