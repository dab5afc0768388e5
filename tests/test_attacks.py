"""Transformations, constraints, searches, and the attack that runs them."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from course_lib import TextClassifier, commands, machine
from course_lib.attacks import (
    PGD,
    RECIPES,
    AnyWord,
    Attack,
    AttackReport,
    AvoidWords,
    Beam,
    Characters,
    ConfidenceReduction,
    Document,
    EachWordOnce,
    GradientBeam,
    GradientGuided,
    Greedy,
    KeepWords,
    MaskedWords,
    MaxEditDistance,
    MaxWordsChanged,
    Neighbours,
    NoAntonyms,
    Query,
    SamePartOfSpeech,
    Search,
    SentenceSimilarity,
    Sequential,
    Substitutes,
    Synonyms,
    Targeted,
    Transformation,
    Untargeted,
    VictimModel,
    WeightedSaliency,
    recipe,
    similarity,
)
from course_lib.attacks.attack import AttackState
from course_lib.attacks.goals import Goal
from course_lib.defenses import NormalizedClassifier, Spelling, TextNormalizer
from course_lib.errors import BadInput
from course_lib.pretraining import LanguageModel
from course_lib.text.modules import add_to_embeddings, shared_copy
from course_lib.training import TrainingConfig

TEXTS = ["a good film", "truly great, and good", "a bad film", "awful; it was bad"]
PAIRS = [(f"{word} {noun}", int(word in ("good", "great"))) for word in ("good", "great", "bad", "awful") for noun in
         ("film", "plot", "cast", "end")]  # fmt: skip
TALK = ["a good film but a bad plot", "good great end", "bad awful day after day"]
SENTENCE = st.text(alphabet="abgod .,'-é\n[]", max_size=40)


class Words:
    """Stands for a classifier: good words against bad ones, letter by letter as they are written."""

    head = "classification"

    def __init__(self, classes: Sequence[Any] = (0, 1)) -> None:
        self.classes_ = np.array(list(classes))
        self.asked: list[str] = []

    def predict_proba(self, texts: Sequence[str]) -> Any:
        self.asked += texts
        weight = {"good": 1.0, "great": 2.0, "bad": -1.0, "awful": -2.0}
        score = np.array([sum(weight.get(word, 0) for word in Document.of(text).words) for text in texts])
        right = 1 / (1 + np.exp(-score - 0.1))
        rest = [np.full(len(score), 1e-3)] * (len(self.classes_) - 2)
        return np.stack([1 - right, right, *rest], axis=1).reshape(len(texts), len(self.classes_)).astype(np.float32)

    def predict(self, texts: Sequence[str]) -> Any:
        return self.classes_[self.predict_proba(texts).argmax(1)]


def trained(epochs: int) -> TextClassifier:
    texts, labels = zip(*PAIRS, strict=True)
    training = TrainingConfig(epochs=epochs, learning_rate=3e-3)
    return TextClassifier("tiny", dropout=0.0, training=training).fit(texts, labels)


@pytest.fixture(scope="module")
def tiny() -> TextClassifier:
    return trained(30)


@pytest.fixture(scope="module")
def unsure() -> TextClassifier:
    """Its probabilities are not near 0 or 1, so that no two candidates tie and rounding decides nothing."""
    return trained(12)


# ---- transformations -------------------------------------------------------------------------------------------


@given(st.text(alphabet="abcdé'1", min_size=1, max_size=12), st.integers(0, 1000))
def test_a_typo_is_one_typo(word: str, seed: int) -> None:
    made = Characters().candidates(word, random.Random(seed))
    assert word not in made
    assert len(set(made)) == len(made) <= 4
    assert all(1 <= Levenshtein.distance(word, new) <= 2 and new for new in made)  # a swap is two substitutions


@pytest.mark.parametrize(("kind", "length"), [("swap", 4), ("substitute", 4), ("delete", 3), ("insert", 5)])
def test_each_kind_does_what_it_says(kind: str, length: int) -> None:
    made = [Characters((kind,)).candidates("film", random.Random(seed)) for seed in range(50)]
    assert {len(word) for words in made for word in words} == {length}
    assert len({word for words in made for word in words}) > 2


def test_a_word_of_one_letter_is_neither_swapped_nor_deleted() -> None:
    assert Characters(("swap", "delete")).candidates("a", random.Random(0)) == []


# ---- the attack ------------------------------------------------------------------------------------------------


@given(st.lists(SENTENCE, max_size=4), st.integers(0, 50), st.integers(1, 6), st.sampled_from([0.1, 0.5]))
@settings(max_examples=60)
def test_no_returned_text_breaks_a_constraint(texts: list[str], seed: int, distance: int, share: float) -> None:
    rules = (KeepWords(frozenset({"a", "god"})), MaxEditDistance(distance), MaxWordsChanged(share))
    attack = Attack("test", Untargeted(), Characters(), Greedy(), rules)
    for label in (0, 1):
        for result in attack.run(Words(), texts, [label] * len(texts), seed).results:
            assert Levenshtein.distance(result.text, result.adversarial) <= distance
            words = Document.of(result.text).words
            assert len(result.changed) <= max(1, int(share * len(words)))
            assert not {words[i].lower() for i in result.changed} & {"a", "god"}
            assert (result.text != result.adversarial) == (result.status == "succeeded")


NEAR_BORDER = [
    "a good film but a bad plot",
    "an awful cast and a great end",
    "a bad film",
    "the great plot of a good film",
]


@pytest.fixture(scope="module")
def reports(tiny: TextClassifier) -> dict[str, AttackReport]:
    """What every recipe does to the same texts, for all tests that look at it."""
    texts = [text for text, _ in PAIRS] + NEAR_BORDER
    return {name: recipe(name).run(tiny, texts, tiny.predict(texts), seed=1) for name in RECIPES}


def test_most_recipes_find_something(reports: dict[str, AttackReport]) -> None:
    found = {name: report.count("succeeded") for name, report in reports.items()}
    assert found["deepwordbug"] >= 1
    assert sum(count > 0 for count in found.values()) >= len(RECIPES) - 3, found


@pytest.mark.parametrize("name", RECIPES)
def test_a_success_turns_the_answer_and_a_failure_does_not(
    name: str, reports: dict[str, AttackReport], tiny: TextClassifier
) -> None:
    again = tiny.predict([result.adversarial for result in reports[name].results])
    for result, answer in zip(reports[name].results, again, strict=True):
        assert answer == result.after
        assert (answer == result.label) == (result.status == "failed")


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_returns_a_text_that_breaks_its_constraints(name: str, reports: dict[str, AttackReport]) -> None:
    attack = recipe(name)
    for result in reports[name].results:
        original, changed = Document.of(result.text), Document.of(result.text)
        for position, word in enumerate(Document.of(result.adversarial).words):
            if word != changed.words[position]:
                changed = changed.replace(position, word)
        assert tuple(sorted(changed.changed)) == result.changed
        for rule in attack.constraints:
            assert rule.allows(original, changed), (rule, result)
            assert all(rule.allows_position(original, position) for position in result.changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_seed_gives_its_texts_whatever_stands_beside_them(name: str, tiny: TextClassifier) -> None:
    whole = recipe(name).run(tiny, TEXTS, [1, 1, 0, 0], seed=3).results
    alone = tuple(recipe(name).run(tiny, [t], [y], seed=3).results[0] for t, y in zip(TEXTS, [1, 1, 0, 0], strict=True))
    assert whole == alone


def test_another_seed_gives_other_texts(tiny: TextClassifier) -> None:
    runs = [recipe("deepwordbug").run(tiny, TEXTS, [1, 1, 0, 0], seed=seed).results for seed in range(4)]
    assert len(set(runs)) > 1


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "pwws")) for name in RECIPES])
def test_texts_at_the_edge(name: str, tiny: TextClassifier) -> None:
    texts = ["", " ", "...", "a", "the", "🙂 good 🙂", "good " * 200]
    report = replace(recipe(name), query_budget=40).run(tiny, texts, tiny.predict(texts))
    assert [result.text for result in report.results] == texts
    for result in report.results:
        assert result.status in ("succeeded", "failed")
        assert 1 <= result.queries <= 40


def test_threads_find_what_one_thread_finds(unsure: TextClassifier) -> None:
    """Gradients, perturbations and predictions of one model at the same time."""
    labels = unsure.predict(TALK)

    def work(number: int) -> Any:
        if number % 4 == 0:
            return PGD(2.0, steps=3).run(unsure, TALK, labels).loss_after.tolist()
        if number % 4 == 1:
            return unsure.predict_proba(TALK).tolist()
        return recipe(("gradient-beam", "homoglyphs")[number % 2]).run(unsure, TALK, labels).results

    alone = [work(number) for number in range(4)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, range(24)))
    assert together == alone * 6


def test_what_is_wrong_already_is_left_alone() -> None:
    model = Words()
    result = recipe("deepwordbug").run(model, ["a bad film"], [1]).results[0]
    assert (result.status, result.queries, result.adversarial) == ("skipped", 1, "a bad film")


def test_queries_are_counted_as_the_literature_counts() -> None:
    """The text, its masked forms, and each word's candidates until the answer turns."""
    result = recipe("deepwordbug").run(Words(), ["a good dull film"], [1]).results[0]
    assert result.status == "failed"  # "good" broken leaves 0.1 for the class 1
    assert 1 + 3 + 3 * 2 <= result.queries <= 1 + 3 + 3 * 4


def test_the_most_important_word_goes_first() -> None:
    attack = Attack("test", ConfidenceReduction(0.9), Characters(("delete",)), Greedy())
    result = attack.run(Words(), ["good great day"], [1]).results[0]
    assert result.changed == (1,)
    assert result.queries == 1 + 3 + 1


def test_deletion_asks_for_the_text_without_the_word() -> None:
    model = Words()
    Attack("test", Untargeted(), Characters(), Greedy("deletion")).run(model, ["good old film"], [1])
    assert {"old film", "good film", "good old "} <= set(model.asked)


def test_a_target_is_reached_or_the_attack_fails() -> None:
    attack = Attack("test", Targeted(0), Characters(), Greedy())
    won = attack.run(Words(), ["good but bad"], [1])
    assert won.results[0].status == "succeeded" and won.results[0].after == 0
    lost = Attack("test", Targeted(2), Characters(), Greedy()).run(Words("xyz"), ["a good film"], ["y"])
    assert lost.results[0].status == "failed"


WITH_GRADIENTS = [Greedy("gradient"), GradientGuided(), GradientBeam(4, 2)]


@pytest.mark.parametrize("search", [Greedy(), WeightedSaliency(), Beam(3), *WITH_GRADIENTS], ids=str)
def test_a_budget_is_kept(search: Search, tiny: TextClassifier) -> None:
    for budget in range(1, 12):
        attack = Attack("test", Untargeted(), Characters(), search, query_budget=budget)
        assert all(one.queries <= budget for one in attack.run(tiny, TALK, tiny.predict(TALK)).results)


def test_what_the_last_paid_query_reaches_counts() -> None:
    """The text, two probes, and the first candidate."""
    attack = Attack("test", ConfidenceReduction(0.9), Characters(("delete",)), Greedy(), query_budget=4)
    result = attack.run(Words(), ["good great"], [1]).results[0]
    assert (result.status, result.queries) == ("succeeded", 4)


@pytest.mark.parametrize(
    ("texts", "labels", "says"),
    [
        (["x"], [0, 1], r"labels has the shape \(2,\) for 1 texts"),
        (["x"], [7], "labels holds 7"),
        ([], [0], r"labels has the shape \(1,\) for 0 texts"),
        ("x", [0], "single str"),
        ([3], [0], "not a string"),
    ],
)
def test_bad_input(texts: list[str], labels: list[int], says: str, tiny: TextClassifier) -> None:
    with pytest.raises(BadInput, match=says):
        recipe("deepwordbug").run(tiny, texts, labels)


def test_bad_settings(tiny: TextClassifier) -> None:
    with pytest.raises(BadInput, match="query_budget is 0"):
        Attack("test", Untargeted(), Characters(), Greedy(), query_budget=0).run(tiny, ["x"], [0])
    with pytest.raises(BadInput, match="no recipe 'none'"):
        recipe("none")


@pytest.mark.parametrize(
    ("part", "setting", "says"),
    [
        (Synonyms, (0,), "most is 0"),
        (Neighbours, (0,), "most is 0"),
        (Neighbours, (5, 2.0), "least_cosine is 2.0"),
        (MaskedWords, ("course", 0), "most is 0"),
        (AnyWord, (0,), "most is 0"),
        (Beam, (0,), "width is 0"),
        (GradientGuided, (0,), "per_position is 0"),
        (GradientBeam, (0,), "width is 0"),
        (GradientBeam, (2, 0), "per_member is 0"),
        (Sequential, ((),), "there is no search"),
        (SentenceSimilarity, (1.5,), "least_cosine is 1.5"),
        (Greedy, "gradients", "importance is 'gradients'"),
        (Characters, ("swap", "rhyme"), "rhyme"),
        (Characters, (), "kinds is"),
        (MaxEditDistance, -1, "distance is -1"),
        (MaxWordsChanged, 1.5, "fraction is 1.5"),
        (ConfidenceReduction, 0.0, "below is 0.0"),
    ],
)
def test_bad_parts(part: Any, setting: Any, says: str) -> None:
    arguments = setting if isinstance(setting, tuple) and part is not Characters else (setting,)
    with pytest.raises(BadInput, match=says):
        part(*arguments)


@pytest.mark.parametrize("target", [-1, 2])
def test_a_target_that_the_model_has_not(target: int) -> None:
    with pytest.raises(BadInput, match=f"column {target}"):
        Attack("test", Targeted(target), Characters(), Greedy()).run(Words(), ["a good film"], [1])


@pytest.mark.parametrize("goal", [ConfidenceReduction(0.9), Targeted(1)])
def test_a_goal_reached_before_is_no_success(goal: Any) -> None:
    report = Attack("test", goal, Characters(), Greedy()).run(Words(), ["a good film", ""], [1, 1])
    assert [result.status for result in report.results] == ["skipped", "skipped"]
    assert report.accuracy == report.accuracy_under_attack == 1
    assert math.isnan(report.success_rate) and math.isnan(report.words_changed)


def test_less_confidence_is_not_less_accuracy() -> None:
    attack = Attack("test", ConfidenceReduction(0.9), Characters(("delete",)), Greedy())
    report = attack.run(Words(), ["good great day"], [1])
    assert (report.success_rate, report.accuracy_under_attack) == (1, 1)


def test_an_attack_prints_its_parts() -> None:
    shown = str(recipe("deepwordbug"))
    for part in ("goal", "Untargeted", "transformation", "swap", "search", "Greedy", "constraints", "distance=30"):
        assert part in shown


# ---- gradients and searches ------------------------------------------------------------------------------------


def run_one(attack: Attack, classifier: Any, text: str, label: Any = 1, seed: int = 0) -> Any:
    return attack.run(classifier, [text], [label], seed).results[0]


def test_a_first_order_gain_is_the_gradient_times_the_move(tiny: TextClassifier) -> None:
    """Moving the embedding a little towards the new word changes the goal's log-odds by the gain, in proportion."""
    victim, document = VictimModel(tiny, Untargeted()), Document.of("a good film")
    (gradient,) = victim.gradients([document], [1])
    ids = torch.tensor([tiny.tokenizer_.encode(document.text)])
    good, awful = tiny.tokenizer_.convert_tokens_to_ids(["good", "awful"])
    delta = torch.zeros(1, ids.shape[1], gradient.vectors.shape[1])
    delta[ids == good] = torch.from_numpy(victim.embeddings.table[awful] - victim.embeddings.table[good])

    def log_odds(size: float) -> float:
        with torch.no_grad(), add_to_embeddings(module, size * delta):
            logits = module(ids, torch.ones_like(ids))[0].double()
        return float(logits[0] - logits[1])

    module, small = shared_copy(tiny.module_), 1e-3
    by_hand = (log_odds(small) - log_odds(-small)) / (2 * small)
    assert gradient.gains(1, "good", ["awful"])[0] == pytest.approx(by_hand, rel=2e-2)
    assert gradient.log_odds == pytest.approx(log_odds(0), rel=1e-4)


def test_gradients_leave_nothing_behind(tiny: TextClassifier) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.module_.state_dict().items()}
    tiny.module_.train()
    VictimModel(tiny, Untargeted()).gradients([Document.of("a good film"), Document.of("")], [1, 0])
    assert all(module.training and not module._forward_hooks for module in tiny.module_.modules())
    tiny.module_.eval()
    assert all(parameter.grad is None for parameter in tiny.module_.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny.module_.state_dict().items())


def test_a_model_that_is_very_sure_still_has_a_gradient(tiny: TextClassifier) -> None:
    """In float32 a softmax is exactly 1 from 17 nats on, and its gradient 0: words were tried in an arbitrary order."""
    sure, document = copy.copy(tiny), Document.of("a good film")
    sure.module_ = copy.deepcopy(tiny.module_)
    with torch.no_grad():
        sure.module_.classifier.weight *= 40 / abs(np.diff(tiny.decision_logits([document.text])).item())
    assert sure.predict_proba([document.text]).max() == 1
    plain, steep = (VictimModel(model, Untargeted()).gradients([document], [1])[0] for model in (tiny, sure))
    assert steep.lengths.min() > plain.lengths.min()
    assert steep.lengths.argsort().tolist() == plain.lengths.argsort().tolist()


@pytest.mark.parametrize("name", ["hotflip", "homoglyphs", "gradient-beam", "textfooler"])
def test_a_model_without_gradients_is_refused_before_any_query(name: str) -> None:
    model = Words()
    with pytest.raises(BadInput, match="has no gradients"):
        recipe(name).run(model, ["a good film"], [1])
    assert not model.asked


def test_any_word_needs_a_search_with_gradients(tiny: TextClassifier) -> None:
    with pytest.raises(BadInput, match="GradientGuided"):
        Attack("test", Untargeted(), AnyWord(), Greedy()).run(tiny, ["a good film"], tiny.predict(["a good film"]))


def test_any_word_ranks_the_whole_vocabulary(tiny: TextClassifier) -> None:
    victim, document = VictimModel(tiny, Untargeted()), Document.of("a good film")
    (gradient,) = victim.gradients([document], [1])
    (substitutes,) = AnyWord(5).prepare(victim, [document])
    words, gains = substitutes.ranked(gradient, document, 1, random.Random(0))
    vocabulary = list(victim.embeddings.whole_words.values())
    every = gradient.gains(1, "good", vocabulary)
    assert gains.tolist() == pytest.approx(sorted(every)[::-1][:5], abs=1e-4)
    assert set(words) <= set(vocabulary) and "good" not in words


def test_gradient_importance_asks_once(tiny: TextClassifier) -> None:
    attack = Attack("test", ConfidenceReduction(0.01), Characters(("delete",)), Greedy("gradient"), query_budget=3)
    text = "a good great film"
    assert run_one(attack, tiny, text, tiny.predict([text])[0]).queries == 3


def test_a_beam_of_one_is_greedy_over_all_positions() -> None:
    """It finds the change of the one word that matters, wherever it stands."""
    attack = Attack("test", ConfidenceReduction(0.9), Characters(("delete",)), Beam(1))
    result = run_one(attack, Words(), "day after day of good great film")
    assert result.changed == (5,)
    assert result.queries == 1 + 7


def test_a_wider_beam_never_ends_worse() -> None:
    texts = ["good great bad film", "awful good great great end", "good bad good"]
    reached = []
    for width in (1, 3, 8):
        attack = Attack("test", Untargeted(), Characters(("delete", "swap")), Beam(width))
        reached.append(attack.run(Words(), texts, [1, 1, 1]).count("succeeded"))
    assert reached == sorted(reached)


def test_a_gradient_beam_that_asks_everything_is_a_beam(unsure: TextClassifier) -> None:
    labels, goal = unsure.predict(TALK), ConfidenceReduction(0.02)
    beam, guided = (
        Attack("test", goal, Synonyms(), search).run(unsure, TALK, labels).results
        for search in (Beam(3), GradientBeam(3, 999))
    )
    assert [one.adversarial for one in guided] == [one.adversarial for one in beam]
    assert any(one.queries > 1 for one in beam)


def test_a_gradient_beam_asks_no_more_than_it_may(tiny: TextClassifier) -> None:
    attack = Attack("test", ConfidenceReduction(0.01), Characters(("delete",)), GradientBeam(2, 1))
    (step, gradient, candidates, *_) = attack.steps(tiny, TALK[0], tiny.predict(TALK[:1])[0])
    assert (step.queries, gradient.queries, candidates.queries) == (1, 1, 2)


def test_a_second_search_begins_where_the_first_fails(tiny: TextClassifier) -> None:
    first, second = GradientGuided(rounds=1), GradientBeam(2, 2)
    goal, labels = ConfidenceReduction(0.02), tiny.predict(TALK)
    alone, other, both = (
        Attack("test", goal, Synonyms(), search).run(tiny, TALK, labels).results
        for search in (first, second, Sequential((first, second)))
    )
    assert {one.status for one in alone} == {"succeeded", "failed"}
    for one, two, result in zip(alone, other, both, strict=True):
        if one.status == "succeeded":
            assert (result.adversarial, result.queries) == (one.adversarial, one.queries)
        else:
            assert (result.status, result.adversarial) == (two.status, two.adversarial)
            assert result.queries == one.queries + two.queries - 1  # the text itself is asked about once


def test_weighted_saliency_takes_the_weighty_word_first() -> None:
    attack = Attack("test", ConfidenceReduction(0.9), Characters(("delete",)), WeightedSaliency())
    result = run_one(attack, Words(), "good great day")
    assert result.changed == (1,)
    assert result.queries == 1 + 3 + 3 + 1  # the text, saliency, all candidates, the first that is put in


def test_steps_lead_to_what_run_finds(tiny: TextClassifier) -> None:
    text = "a good film but a bad plot"
    label = tiny.predict([text])[0]
    for name in ("deepwordbug", "pwws", "gradient-synonyms", "gradient-beam"):
        steps = recipe(name).steps(tiny, text, label, seed=2)
        result = recipe(name).run(tiny, [text], [label], seed=2).results[0]
        assert steps[0].text == text
        assert sum(step.queries for step in steps) == result.queries
        assert (result.status == "succeeded") == steps[-1].reached
        assert [step.score for step in steps] == sorted(step.score for step in steps)
        if result.status == "succeeded":
            assert steps[-1].text == result.adversarial
    assert "importance of the words" in [step.note for step in recipe("deepwordbug").steps(tiny, text, label)]


def test_steps_of_what_is_wrong_already() -> None:
    (step,) = recipe("deepwordbug").steps(Words(), "a bad film", 1)
    assert step.reached and step.text == "a bad film"


# ---- words that may stand in a place -----------------------------------------------------------------------------


def words_at(transformation: Any, model: TextClassifier, text: str, position: int) -> list[str]:
    (substitutes,) = transformation.prepare(VictimModel(model, Untargeted()), [Document.of(text)])
    found: list[str] = substitutes.words(Document.of(text), position, random.Random(0))
    return found


def test_homoglyphs_are_other_letters() -> None:
    made = Characters(("homoglyph",)).candidates("good", random.Random(0))
    assert len(made) == 1 and made[0] != "good" and len(made[0]) == 4
    assert Characters(("homoglyph",)).candidates("zzz", random.Random(0)) == []


def test_synonyms_keep_the_form_of_the_word(tiny: TextClassifier) -> None:
    assert "movies" in words_at(Synonyms(), tiny, "two films", 1)
    assert words_at(Synonyms(), tiny, "of the film", 1) == []


def test_neighbours_are_near_in_the_models_table(tiny: TextClassifier) -> None:
    near = words_at(Neighbours(5, -1.0), tiny, "a Good film", 1)
    assert 4 <= len(near) <= 5 and all(word[0].isupper() for word in near)
    vectors = VictimModel(tiny, Untargeted()).embeddings.of(["good", *near])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors[1:] @ vectors[0]
    assert list(cosines) == sorted(cosines, reverse=True)
    assert words_at(Neighbours(5, 0.999), tiny, "a good film", 1) == []


def test_masked_words_are_those_of_the_language_model(tiny: TextClassifier) -> None:
    text = "the president of the united States said so ."
    found = words_at(MaskedWords("tiny-bert", 4), tiny, text, 1)
    assert len(found) == 4 and "president" not in found and len(set(found)) == 4
    likely = LanguageModel.from_pretrained("tiny-bert").fill(text.replace("president", "[MASK]"), top=30)[0]
    whole = [word for word, _ in likely if word.isalpha() and len(word) > 1 and word != "president"]
    assert found == whole[:4]


# ---- rules about meaning -------------------------------------------------------------------------------------------


def changed(text: str, position: int, word: str) -> tuple[Document, Document]:
    return Document.of(text), Document.of(text).replace(position, word)


def test_opposites_are_no_synonyms() -> None:
    assert not NoAntonyms().allows(*changed("a good film", 1, "bad"))
    assert NoAntonyms().allows(*changed("a good film", 1, "fine"))


def test_a_word_keeps_its_part_of_speech() -> None:
    assert SamePartOfSpeech().allows(*changed("the film ends", 1, "movie"))
    assert not SamePartOfSpeech().allows(*changed("the film ends", 1, "quickly"))


def test_labels_are_not_put_in() -> None:
    assert not AvoidWords().allows(*changed("a good film", 1, "Positive"))
    assert AvoidWords().allows(*changed("a good film", 1, "fine"))


def test_a_word_changes_once() -> None:
    _, once = changed("a good film", 1, "fine")
    assert not EachWordOnce().allows_position(once, 1)
    assert EachWordOnce().allows_position(once, 2)


def test_sentences_are_similar_to_themselves() -> None:
    cosines = similarity(["a good film", "a good film"], ["a good film", "tax law"])
    assert cosines[0] == pytest.approx(1, abs=1e-5) and cosines[1] < 0.5
    assert list(SentenceSimilarity(0.8).allows_all(["a good film"] * 2, ["a good film", "tax law"])) == [True, False]


def test_what_is_not_similar_is_not_asked() -> None:
    model = Words()
    attack = Attack("test", Untargeted(), Characters(("delete",)), Greedy(), (SentenceSimilarity(1.0),))
    result = attack.run(model, ["a good film"], [1]).results[0]
    assert (result.status, result.queries) == ("failed", 1 + 3)


# ---- surrogates ----------------------------------------------------------------------------------------------------


class Constant:
    """Predicts one class, whatever the text is."""

    def __init__(self, column: int, classes: Sequence[Any] = (0, 1)) -> None:
        self.classes_, self.column, self.asked = np.array(list(classes)), column, 0

    def predict_proba(self, texts: Sequence[str]) -> Any:
        self.asked += len(texts)
        return np.eye(len(self.classes_), dtype=np.float32)[[self.column] * len(texts)]


class Guide(Words):
    """A surrogate with the model's predictions or their opposite, which counts what it is asked."""

    def __init__(self, right: bool = True, classes: Sequence[Any] = (0, 1)) -> None:
        super().__init__(classes)
        self.right = right

    def predict_proba(self, texts: Sequence[str]) -> Any:
        return super().predict_proba(texts)[:, :: 1 if self.right else -1]


PLAIN = ["the plot of this bad film is as thin as its cast", "an awful day in the town by the sea"]


@pytest.mark.parametrize("name", ["deepwordbug", "pwws", "beam-synonyms"])
def test_a_surrogate_saves_queries_of_the_model(name: str) -> None:
    alone, guided = Words(), Words()
    without = recipe(name).run(alone, PLAIN, [0, 0])
    guide = Guide()
    report = recipe(name).run(guided, PLAIN, [0, 0], surrogate=guide)
    assert report.count("succeeded") >= without.count("succeeded") > 0
    assert report.queries_per_text < without.queries_per_text / 2
    assert without.surrogate_queries_per_text == 0 < report.surrogate_queries_per_text
    won = [result.adversarial for result in report.results if result.status == "succeeded"]
    assert len(guided.asked) <= sum(result.queries for result in report.results) + len(won)
    assert len(set(guide.asked)) <= sum(result.surrogate_queries for result in report.results)
    assert set(won) <= set(guided.asked)
    again = recipe(name).run(Words(), PLAIN, [0, 0], surrogate=Guide())
    assert again.results == report.results


@pytest.mark.parametrize("name", ["deepwordbug", "pwws", "beam-synonyms"])
def test_verdicts_are_the_models_whatever_a_surrogate_predicts(name: str) -> None:
    without = recipe(name).run(Words(), PLAIN, [0, 0])
    for liar in (Guide(right=False), Constant(0), Constant(1)):
        report = recipe(name).run(Words(), PLAIN, [0, 0], surrogate=liar)
        assert report.count("succeeded") >= without.count("succeeded")  # what fails is searched again without it
        for result in report.results:
            (verdict,) = Words().predict([result.adversarial])
            assert result.after == verdict
            assert (result.status == "succeeded") == (verdict != result.label)


def test_a_surrogate_never_makes_a_success() -> None:
    """The model's prediction does not change, and the surrogate takes every text for a success."""
    report = recipe("deepwordbug").run(Constant(1), PLAIN, [1, 1], surrogate=Constant(0))
    assert report.count("failed") == 2
    assert all(result.adversarial == result.text and result.after == 1 for result in report.results)


def test_a_budget_is_of_the_models_queries() -> None:
    attack = replace(recipe("deepwordbug"), query_budget=3)
    report = attack.run(Constant(1), PLAIN, [1, 1], surrogate=Constant(0))
    assert [result.queries for result in report.results] == [3, 3]
    assert all(result.surrogate_queries > 3 for result in report.results)


def test_a_surrogate_may_name_its_classes_in_another_order() -> None:
    class Turned(Guide):
        def predict_proba(self, texts: Sequence[str]) -> Any:
            return super().predict_proba(texts)[:, ::-1]

    same = recipe("deepwordbug").run(Words(), PLAIN, [0, 0], surrogate=Turned(classes=(1, 0)))
    assert same.results == recipe("deepwordbug").run(Words(), PLAIN, [0, 0], surrogate=Guide()).results
    with pytest.raises(BadInput, match="surrogate has other classes"):
        recipe("deepwordbug").run(Words(), PLAIN, [0, 0], surrogate=Constant(0, ("no", "yes")))
    with pytest.raises(BadInput, match="surrogate is a str without predict_proba"):
        recipe("deepwordbug").run(Words(), PLAIN, [0, 0], surrogate="sentiment")


def test_searches_by_gradient_take_a_surrogate(unsure: TextClassifier) -> None:
    """Gradients stay the model's own."""
    labels = unsure.predict(TALK)
    for name in ("gradient-synonyms", "gradient-beam", "homoglyphs"):
        report = recipe(name).run(unsure, TALK, labels, surrogate=Guide())
        for result in report.results:
            assert (unsure.predict([result.adversarial])[0] != result.label) == (result.status == "succeeded")


def test_a_goal_that_only_another_precision_reaches_is_not_reached(
    tiny: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the hardware multiplies another precision faster, the search uses it and confirms."""
    assert VictimModel(tiny, Untargeted(), "auto").exact or machine.precision() != torch.float32
    monkeypatch.setattr(machine, "precision", lambda *_: torch.bfloat16)
    victim = VictimModel(tiny, Untargeted(), "auto")
    assert not victim.exact and victim.searched.precision == "auto" and tiny.precision == "float32"
    before = tiny.predict_proba(["a good film"])[0]
    column = int(before.argmax())
    victim.searched = Constant(1 - column)
    state = AttackState(Document.of("a good film"), column, before, 0.0, False)
    state.start(query for query in [Query([Document.of("a good film")])])
    (result,) = recipe("deepwordbug")._round(victim, [state])
    assert not result.reached[0] and not state.found


# ---- several classes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listed(Transformation, Substitutes):
    """Two words may replace `good`."""

    def prepare(self, victim: Any, documents: Sequence[Document]) -> list[Substitutes]:
        return [self] * len(documents)

    def words(self, document: Document, position: int, rng: random.Random) -> list[str]:
        return ["fine", "nice"] if document.words[position] == "good" else []


AWAY = {"good": [0.8, 0.1, 0.1], "fine": [0.40, 0.30, 0.30], "nice": [0.45, 0.46, 0.09]}
TO_Y = {"good": [0.8, 0.1, 0.1], "fine": [0.1, 0.47, 0.43], "nice": [0.33, 0.25, 0.42]}


class Three:
    """Of the candidates, `fine` has the higher score and `nice` reaches the goal."""

    classes_ = np.array(["z", "x", "y"])  # true, other, target: not in sorted order

    def __init__(self, rows: dict[str, list[float]]) -> None:
        self.rows = rows

    def predict_proba(self, texts: Sequence[str]) -> Any:
        words = [next((word for word in self.rows if word in text), "good") for text in texts]
        return np.array([self.rows[word] for word in words], np.float32)


@pytest.mark.parametrize("goal", [Untargeted(), Targeted(2)], ids=str)
@pytest.mark.parametrize("search", [Greedy(), WeightedSaliency(), Beam(1)], ids=str)
def test_a_goal_that_was_reached_is_not_missed_for_a_higher_score(search: Any, goal: Goal) -> None:
    model = Three(TO_Y if isinstance(goal, Targeted) else AWAY)
    result = Attack("test", goal, Listed(), search).run(model, ["a good film"], ["z"]).results[0]
    assert (result.status, result.adversarial) == ("succeeded", "a nice film")
    assert (result.label, result.before, result.after) == ("z", "z", "y" if isinstance(goal, Targeted) else "x")


@dataclass(frozen=True)
class TwoSteps(Transformation, Substitutes):
    """`gold` may replace `good`, and `bold` may replace `gold`."""

    def prepare(self, victim: Any, documents: Sequence[Document]) -> list[Substitutes]:
        return [self] * len(documents)

    def words(self, document: Document, position: int, rng: random.Random) -> list[str]:
        return {"good": ["gold"], "gold": ["bold"]}.get(document.words[position], [])


def test_a_search_with_a_surrogate_goes_on_from_its_best_text() -> None:
    """One pass changes a word once."""
    model = Three({"good": [0.8, 0.1, 0.1], "gold": [0.5, 0.3, 0.2], "bold": [0.3, 0.5, 0.2]})
    attack, guide = Attack("test", Untargeted(), TwoSteps(), Greedy()), Constant(0, ("z", "x", "y"))
    (alone,) = attack.run(model, ["a good film"], ["z"]).results
    assert alone.status == "failed"
    (guided,) = attack.run(model, ["a good film"], ["z"], surrogate=guide).results
    assert (guided.status, guided.adversarial, guided.queries) == ("succeeded", "a bold film", 3)
    distant = replace(attack, constraints=(MaxEditDistance(1),))  # to the original, wherever the search starts
    assert distant.run(model, ["a good film"], ["z"], surrogate=guide).count("failed") == 1


# ---- other scripts -------------------------------------------------------------------------------------------------


def test_a_text_without_blanks_is_attacked_character_by_character() -> None:
    """The whole clause was one word: its first typing error was all that an attack could try."""

    class Character:
        classes_ = np.array([0, 1])

        def predict_proba(self, texts: Sequence[str]) -> Any:
            good = np.array([0.9 if "好" in text else 0.2 for text in texts], np.float32)
            return np.stack([1 - good, good], 1)

    attack = Attack("test", Untargeted(), Characters(("substitute",)), Greedy("deletion"))
    (result,) = attack.run(Character(), ["这部电影很好看。"], [1]).results
    assert (result.status, result.words, result.changed) == ("succeeded", 7, (5,))
    assert result.adversarial[:5] == "这部电影很" and result.adversarial[6:] == "看。"


# ---- the command -----------------------------------------------------------------------------------------------


def test_the_command_names_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["attack", "--recipe", "none"]) == 1
    told = capsys.readouterr().err
    assert all(name in told for name in RECIPES)


@pytest.mark.slow
def test_the_command_gives_its_figures(tiny: TextClassifier, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.save(tmp_path / "model")
    assert commands.main(["attack", "--model", str(tmp_path / "model"), "--n", "6", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["n"] == len(answer["texts"]) == 6
    attacked = [text for text in answer["texts"] if text["status"] != "skipped"]
    failed = sum(text["status"] == "failed" for text in attacked)
    assert answer["accuracy_under_attack"] == pytest.approx(failed / 6, abs=1e-4)
    assert answer["queries_per_text"] == pytest.approx(np.mean([text["queries"] for text in attacked]), abs=1e-4)
    assert answer["seconds"] >= answer["model_seconds"] > 0
    assert commands.main(["attack", "--model", str(tmp_path / "model"), "--n", "6", "--json", "--surrogate"]) == 0
    quick = json.loads(capsys.readouterr().out)
    assert quick["accuracy"] == answer["accuracy"] and len(quick["texts"]) == 6
    assert quick["surrogate_queries_per_text"] > 0 and "surrogate_queries_per_text" not in answer
    assert commands.main(["attack", "--model", str(tmp_path / "model"), "--n", "6", "--surrogate", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert commands.main(["attack", "--model", str(tmp_path / "model"), "--n", "0"]) == 1


def test_the_command_lists_its_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["attack", "--recipe", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["recipes"]
    assert set(found) == set(RECIPES) and all(found.values())


def test_the_command_aims_and_shows(tiny: TextClassifier, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.save(tmp_path / "model")
    page, model = tmp_path / "page.html", ["attack", "--model", str(tmp_path / "model")]
    assert commands.main([*model, "--n", "6", "--budget", "30", "--target", "1", "--html", str(page), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    won = [text for text in answer["texts"] if text["status"] == "succeeded"]
    assert all(text["after"] == 1 for text in won) and all(text["queries"] <= 30 for text in answer["texts"])
    assert (answer["similarity"] is None) == (not won)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert commands.main([*model, "--target", "maybe"]) == 1
    assert "use one of 0, 1" in capsys.readouterr().err


def test_the_command_attacks_a_model_with_its_reading(
    tiny: TextClassifier, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    NormalizedClassifier(tiny, TextNormalizer(Spelling({"film": 5}))).save(tmp_path / "defended")
    assert commands.main(["attack", "--model", str(tmp_path / "defended"), "--n", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 3
