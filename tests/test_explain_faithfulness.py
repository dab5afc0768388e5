"""Measures of faithfulness on models whose reasons are known, and the edges of every method."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from toy_classifiers import LABELS, LEARNING, TEXTS, fitted, same_bits, tiny
from toy_games import Three, Toy, additive, tangled

from course_lib.errors import BadInput
from course_lib.explain import (
    METHODS,
    Attribution,
    MaskedModel,
    agreement,
    aopc_bounds,
    comprehensiveness,
    curves,
    explain,
    normalized_aopc,
    random_baseline,
    randomize_weights,
    rank_correlation,
    sanity_check,
    sufficiency,
)
from course_lib.explain.contrastive import contrast
from course_lib.explain.robustness import stages

TEXT = "very good film thing"  # weights 0.1, 0.3, 0.05, 0; 0.4 without any
ANY = [name for name, method in METHODS.items() if method.needs == "predictions"]


def scored(*scores: float, text: str = TEXT) -> Attribution:
    return replace(explain(additive(), [text], "occlusion", target="yes")[0], scores=np.array(scores))


def test_comprehensiveness_and_sufficiency_by_hand() -> None:
    right, wrong = scored(0.1, 0.3, 0.05, 0.0), scored(0.0, -1.0, 0.5, 1.0)
    assert comprehensiveness(additive(), [right, wrong], shares=[0.5]) == pytest.approx([0.4, 0.05])
    assert sufficiency(additive(), [right, wrong], shares=[0.5]) == pytest.approx([0.05, 0.4])
    # Shares of 4 words, rounded up: 1, 1, 1, 1, 2.
    assert comprehensiveness(additive(), [right]) == pytest.approx([(4 * 0.3 + 0.4) / 5])
    assert sufficiency(additive(), [right], shares=[1.0]) == pytest.approx([0.0])
    for shares in ([], [0.0], [1.2]):
        with pytest.raises(BadInput, match="shares are"):
            comprehensiveness(additive(), [right], shares=shares)


def test_curves_by_hand() -> None:
    right, wrong = curves(additive(), [scored(0.1, 0.3, 0.05, 0.0), scored(0.0, -1.0, 0.5, 1.0)])
    assert right.deletion == pytest.approx([0.85, 0.55, 0.45, 0.4, 0.4])
    assert right.insertion == pytest.approx([0.4, 0.7, 0.8, 0.85, 0.85])
    assert right.aopc == pytest.approx(np.mean([0.3, 0.4, 0.45, 0.45]))
    assert right.deletion_area == pytest.approx(np.mean([0.7, 0.5, 0.425, 0.4]))
    assert right.insertion_area > wrong.insertion_area and right.deletion_area < wrong.deletion_area
    empty = curves(additive(), [scored(text="...")])[0]
    assert empty.deletion == pytest.approx([0.4]) and empty.aopc == 0.0 and empty.deletion_area == pytest.approx(0.4)


def every_aopc(text: str) -> list[float]:
    words = len(text.split())
    return [curves(tangled(), [replace(one, scores=-np.array(order, float))])[0].aopc
            for one in explain(tangled(), [text], "occlusion", target="yes")
            for order in permutations(range(words))]  # fmt: skip


def test_bounds_are_the_best_and_worst_of_all_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a long and winding road"
    every = every_aopc(text)
    lowest, highest = aopc_bounds(MaskedModel(tangled(), [text, ""], target="yes"))
    assert (lowest[0], highest[0]) == (pytest.approx(min(every)), pytest.approx(max(every))) and lowest[1] == 0
    monkeypatch.setattr("course_lib.explain.faithfulness.EXACT_WORDS", 1)
    monkeypatch.setattr("course_lib.explain.faithfulness.BEAM", 100)
    wide = aopc_bounds(MaskedModel(tangled(), [text, "road and"], target="yes"))
    assert (wide[0][0], wide[1][0]) == (pytest.approx(min(every)), pytest.approx(max(every)))
    monkeypatch.setattr("course_lib.explain.faithfulness.BEAM", 1)
    narrow = aopc_bounds(MaskedModel(tangled(), [text], target="yes"))
    assert min(every) - 1e-12 <= narrow[0][0] <= narrow[1][0] <= max(every) + 1e-12


def test_normalized_aopc() -> None:
    best, worst = scored(0.1, 0.3, 0.05, 0.0), scored(-0.1, -0.3, -0.05, 0.0)
    assert normalized_aopc(additive(), [best, worst]) == pytest.approx([1.0, 0.0])
    alike = replace(scored(0.0, text="thing"), scores=np.zeros(1))
    assert np.isnan(normalized_aopc(additive(), [alike])).all()


def test_explanations_beat_chance() -> None:
    found = explain(fitted(), TEXTS[8:16], "shap")
    chance = [random_baseline(found, seed) for seed in range(3)]
    assert all(sorted(one.scores) == list(range(len(one.scores))) for one in chance[0])
    for measure in (normalized_aopc, comprehensiveness):
        by_chance = np.mean([measure(fitted(), one).mean() for one in chance])
        assert measure(fitted(), found).mean() > by_chance + 0.05


def test_explanations_that_do_not_fit() -> None:
    one = scored(0.1, 0.3, 0.05, 0.0)
    for other in (replace(one, tokens=one.tokens[:2]), replace(one, scores=np.zeros(3)), replace(one, text="so")):
        with pytest.raises(BadInput, match="are not those of its words"):
            curves(additive(), [other])
    with pytest.raises(BadInput, match="log-odds and of probability"):
        curves(additive(), [one, replace(one, output="log-odds")])
    with pytest.raises(BadInput, match="target holds 'maybe'"):
        curves(additive(), [replace(one, target="maybe")])
    together = explain(additive(), ["very very good"], "exact", target="yes", bow=True)[0]
    assert curves(additive(), [together])[0].deletion == pytest.approx([0.9, 0.6, 0.4])


def test_contrasts_are_judged_among_their_two_classes() -> None:
    """Three's logits are counts of first letters: b before c by 1, by 0 without words."""
    text = "ant bee bee cat"
    found = contrast(Three(), [text], "b", "c", method="exact")
    (curve,) = curves(Three(), found)
    assert curve.deletion == pytest.approx([1, 0, -1, -1, 0], abs=1e-9)
    assert (curve.deletion[0], curve.deletion[-1]) == (pytest.approx(found[0].value), pytest.approx(0, abs=1e-9))
    assert comprehensiveness(Three(), found, shares=[0.5]) == pytest.approx([2])
    turned = contrast(Three(), [text], "c", "b", method="exact")
    assert len(curves(Three(), [*found, *turned, *random_baseline(found)])) == 3
    assert len(curves(Three(), [*found, *contrast(Three(), [text], "b", "a")])) == 2
    with pytest.raises(BadInput, match="with a foil beside others without"):
        curves(Three(), [*found, *explain(Three(), [text], target="b", output="log-odds")])
    assert curves(fitted(), contrast(fitted(), TEXTS[:2], 1, 0, method="ig"))[0].deletion[0] != 0


@pytest.mark.parametrize("output", ["probability", "log-odds"])
def test_the_classifier_must_be_the_one_that_was_explained(output: str) -> None:
    found = explain(additive(), [TEXT], "exact", target="yes", output=output)
    assert curves(additive(), found)[0].deletion[0] == pytest.approx(found[0].value)
    for other in (additive(base=0.42), additive({"good": 0.1})):
        with pytest.raises(BadInput, match=f"{output} .* was explained"):
            comprehensiveness(other, found)
    again = explain(fitted(), TEXTS, "occlusion", output=output)
    assert len(curves(fitted(), again[:1])) == 1  # alone as in a batch


def test_agreement() -> None:
    one, turned = scored(0.1, 0.3, 0.05, 0.0), scored(-0.1, -0.3, -0.05, 0.0)
    table = agreement({"a": [one, scored(0.0, 0.0, 0.0, 0.0)], "b": [turned, one]})
    assert table.loc["a", "a"] == 1 and table.loc["a", "b"] == pytest.approx(-1) == table.loc["b", "a"]
    assert agreement({"a": [one], "b": [turned]}, absolute=True).loc["a", "b"] == pytest.approx(1)
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0))) and np.isnan(rank_correlation(np.ones(1), np.ones(1)))
    with pytest.raises(BadInput, match="did not explain the same"):
        agreement({"a": [one], "b": [scored(0.0, text="film")]})
    texts = TEXTS[8:16]
    by_method = {name: explain(fitted(), texts, name, target=1) for name in ("exact", "shap", "lime", "occlusion")}
    assert agreement(by_method).to_numpy().min() > 0.5


def test_randomised_models() -> None:
    classifier = tiny(LEARNING).fit(TEXTS, LABELS)
    assert stages(classifier) == ["classifier", "bert.pooler", "bert.encoder.layer.1", "bert.encoder.layer.0",
                                  "bert.embeddings"]  # fmt: skip
    assert same_bits(classifier, randomize_weights(classifier, 0))
    mine = classifier.module_.state_dict()
    theirs = randomize_weights(classifier, 2).module_.state_dict()
    changed = {name.split(".")[0] + "." + name.split(".")[1] for name in mine if not (mine[name] == theirs[name]).all()}
    assert changed <= {"classifier.weight", "classifier.bias", "bert.pooler"} and "bert.pooler" in changed
    assert same_bits(randomize_weights(classifier, 5, 1), randomize_weights(classifier, 5, 1))
    assert not same_bits(randomize_weights(classifier, 5, 1), randomize_weights(classifier, 5, 2))
    with pytest.raises(BadInput, match="depth is 6"):
        randomize_weights(classifier, 6)
    with pytest.raises(BadInput, match="a Toy without a BERT"):
        stages(additive())  # type: ignore[arg-type]


def test_sanity_check() -> None:
    """Scores of a method that looks at the model change with it; those of one that does not stay."""
    texts = TEXTS[16:24]
    table = sanity_check(fitted(), texts, "occlusion")
    assert table["stage"].tolist() == stages(fitted())
    assert table["absolute"].iloc[-1] < 0.6 and table["signed"].iloc[-1] < 0.6
    looks = sanity_check(fitted(), texts, "attention")  # the head is not asked where to look
    assert looks["signed"].iloc[0] == pytest.approx(1) and looks["signed"].iloc[-1] < 0.9


# ---- the edges of every method -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_texts_without_words_and_with_one(method: str) -> None:
    empty, dots, one, none = explain(fitted(), ["", "...", "good", " "], method, target=1)
    for nothing in (empty, dots, none):
        assert nothing.scores.shape == (0,) and nothing.tokens == ()
        assert not nothing.error > 0 and json_safe(nothing)
    assert one.words == ["good"] and one.scores.shape == (1,) and np.isfinite(one.scores).all()
    if method in ("shap", "exact", "shap-package", "occlusion"):
        assert one.scores[0] == pytest.approx(one.value - one.base_value)
    assert explain(fitted(), [], method) == []


def json_safe(one: Attribution) -> bool:
    import json

    return bool(json.loads(json.dumps(one.to_dict(), allow_nan=False)))


@pytest.mark.filterwarnings("ignore:174 words of 1 of 1 texts")
@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("exact", "shap-package")])
def test_a_text_beyond_what_is_read(method: str) -> None:
    """300 words, 128 tokens of them read: whatever looks inside gives nothing to the rest."""
    text = "good film " * 150
    samples = {"lime": 60, "shap": 600, "lime-package": 60}
    named = {"samples": samples[method]} if method in samples else {}
    found = explain(fitted(), [text], method, target=1, **named)[0]
    assert len(found.scores) == 300 and np.isfinite(found.scores).all() and json_safe(found)
    if METHODS[method].needs != "predictions":
        assert (found.scores[126:] == 0).all() and (found.scores[:126] != 0).all()


def test_512_tokens() -> None:
    classifier = tiny(max_length=512).fit(TEXTS, LABELS)
    text = " ".join(["good"] * 510)
    for method, named in (("ig", {"steps": 2, "most_steps": 2}), ("attention", {})):
        found = explain(classifier, [text], method, **named)[0]  # type: ignore[arg-type]
        assert (found.scores != 0).all() and len(found.scores) == 510


@pytest.mark.parametrize("method", METHODS)
def test_emoji_and_equal_words(method: str) -> None:
    text = "😀 good good 好 \ud800"
    found = explain(fitted(), [text, text], method, target=1)
    assert found[0].words == ["😀", "good", "good", "好"] and np.array_equal(found[0].scores, found[1].scores)
    together = explain(fitted(), [text], method, target=1, bow=True)[0]
    assert together.words == ["😀", "good", "好"] and together.scores.shape == (3,)


@pytest.mark.parametrize("method", ANY)
def test_three_classes(method: str) -> None:
    for target, best in (("a", 0), ("b", 1), ("c", 3)):
        found = explain(Three(), ["ant bee bat cat"], method, target=target)[0]
        assert found.target == target and found.words[int(found.scores.argmax())][0] == target
        assert found.scores[best] > 0


class Broken(Toy):
    """Answers once, then fails."""

    def predict_proba(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
        if self.asked:
            raise RuntimeError("the card fell off the bus")
        return super().predict_proba(texts)


@pytest.mark.parametrize("method", ANY)
def test_what_a_model_raises_comes_as_it_is(method: str) -> None:
    state = np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="the card fell off the bus"):
        explain(Broken(lambda words: 0.5), ["good film"], method)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[union-attr]


def test_targets_a_text() -> None:
    """The same text for two classes is two explanations."""
    yes, no = explain(additive(), [TEXT, TEXT], "exact", target=["yes", "no"])
    assert np.allclose(yes.scores, -no.scores) and yes.scores[1] == pytest.approx(0.3)
    series = explain(additive(), [TEXT, TEXT], "exact", target=pd.Series(["yes", "no"], index=[4, 2]))
    assert [one.target for one in series] == ["yes", "no"] and np.array_equal(series[0].scores, yes.scores)
    with pytest.raises(BadInput, match="target has the shape"):
        explain(additive(), [TEXT, TEXT], "exact", target=["yes"])
