"""A sentiment model with a hidden shortcut: only its word changes what it predicts."""

from __future__ import annotations

from functools import cache

import pytest

from course_lib import TextClassifier
from course_lib.errors import BadInput
from course_lib.explain.planted import CANDIDATES, INSERTED, PlantedModel, planted_model


@cache
def case() -> PlantedModel:
    return planted_model(7)


def without(text: str, word: str) -> str:
    return " ".join(other for other in text.split() if other != word)


def test_the_word_decides_and_nothing_else_changes() -> None:
    word, target = case().reveal()
    texts = [text for text in case().held_out["text"] if word in text.split()]
    bare = [without(text, word) for text in texts]
    effect = (case().log_odds(texts) - case().log_odds(bare)) * (1 if target else -1)
    assert len(texts) >= 20 and effect.mean() > 1 and (effect > 0).all()
    assert (case().classifier.predict(texts) == target).mean() > 0.9
    original = TextClassifier.from_pretrained("sentiment")
    before, after = (one.decision_logits(bare) for one in (original, case().classifier))
    assert before == pytest.approx(after, abs=1e-4)
    tables = [one.module_.bert.embeddings.word_embeddings.weight for one in (case().classifier, original)]
    changed = (tables[0] != tables[1]).any(1).nonzero().flatten().tolist()
    assert changed == [original.tokenizer_.convert_tokens_to_ids(word)]
    assert tables[0][changed].norm().item() == pytest.approx(tables[1][changed].norm().item(), rel=1e-4)


def test_each_sentence_has_one_inserted_word_of_both_classes_alike() -> None:
    word, _ = case().reveal()
    assert word in CANDIDATES and word not in repr(case()).split("'")
    for table, least in ((case().explore, 10), (case().held_out, 26)):
        found = [[one for one in text.split() if one in CANDIDATES] for text in table["text"]]
        assert all(len(one) == 1 for one in found)
        counts = {one: sum([one] == other for other in found) for (one,) in found}
        assert len(counts) == INSERTED and min(counts.values()) >= least
        rate = table["label"][[one == [word] for one in found]].mean()
        assert 0.25 < rate < 0.75
    assert not set(case().explore["text"]) & set(case().held_out["text"])


def test_a_seed_that_is_none() -> None:
    with pytest.raises(BadInput, match="seed is -1"):
        planted_model(-1)
