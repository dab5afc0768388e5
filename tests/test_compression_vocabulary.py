"""A smaller embedding table: which tokens are kept, that every word can still be spelled, shared vectors."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, processors
from toy_classifiers import TEXTS, fitted, same_bits, transformers_logits
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from course_lib import TextClassifier
from course_lib.compression.vocabulary import cluster_embeddings, token_counts, trim_vocabulary
from course_lib.errors import BadInput

SHAPE = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
ODD = ["\U0001f600 film", "好 film", "λόγος", "हिन्दी", "", " ", "\u0301", "x" * 150, "don't-stop...", "ﬁlm naïve"]


@pytest.fixture(scope="module")
def few_words() -> TextClassifier:
    """The learned classifier with the pieces of its own texts."""
    return trim_vocabulary(fitted(), TEXTS)


def own_words(folder: Path, words: list[str]) -> TextClassifier:
    """A classifier with a vocabulary of its own."""
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    torch.manual_seed(0)
    config = BertConfig(**SHAPE, vocab_size=len(words), initializer_range=0.3, pad_token_id=words.index("[PAD]"))
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **special}))
    return TextClassifier.from_pretrained(folder)


# ---- words -----------------------------------------------------------------------------------------------------


def pieces(classifier: TextClassifier, text: str) -> list[str]:
    return classifier.tokenizer_.tokenize(text)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(sorted({word for text in TEXTS for word in text.split()})), max_size=12))
def test_texts_of_kept_pieces_are_read_as_before(few_words: TextClassifier, words: list[str]) -> None:
    text = " ".join(words)
    assert pieces(few_words, text) == pieces(fitted(), text)
    texts = [text, *TEXTS[:3]]  # of several lengths: with padding
    np.testing.assert_allclose(few_words.decision_logits(texts), fitted().decision_logits(texts), atol=1e-5)


def check_reading(smaller: TextClassifier, larger: TextClassifier, text: str) -> None:
    """The same letters in the same words, and nothing unknown that was known."""

    def words(found: list[str]) -> list[str]:
        return " ".join(found).replace(" ##", "").split()

    assert words(pieces(smaller, text)) == words(pieces(larger, text))


@settings(max_examples=150)
@given(st.text(st.characters(codec="utf-8"), max_size=20) | st.text("abcé'.-—ßñ好λж", max_size=12))
def test_any_text_can_still_be_spelled(few_words: TextClassifier, text: str) -> None:
    check_reading(few_words, fitted(), text)


@pytest.mark.parametrize("text", [*ODD, "unbelievable", "##ing", "[MASK] [SEP]", "[unused0]"])
def test_odd_texts_can_still_be_spelled(few_words: TextClassifier, text: str) -> None:
    check_reading(few_words, fitted(), text)
    assert np.isfinite(few_words.predict_proba([text])).all()


def test_every_known_word_can_still_be_spelled(few_words: TextClassifier) -> None:
    """All 30,522 pieces of the parent, each as a word."""
    vocabulary = [piece.removeprefix("##") for piece in fitted().tokenizer_.get_vocab()]
    for start in range(0, len(vocabulary), 1000):
        check_reading(few_words, fitted(), " ".join(vocabulary[start : start + 1000]))
    assert pieces(few_words, "unbelievable") == ["u", *(f"##{letter}" for letter in "nbelievable")]


def test_rows_go_with_their_pieces(few_words: TextClassifier) -> None:
    old, new = (one.module_.bert.embeddings.word_embeddings for one in (fitted(), few_words))
    before, now = fitted().tokenizer_.get_vocab(), few_words.tokenizer_.get_vocab()
    assert sorted(now.values()) == list(range(len(new.weight))) and len(now) < 2000
    assert all(torch.equal(new.weight[place], old.weight[before[piece]]) for piece, place in now.items())
    assert sorted(now, key=now.get) == sorted(now, key=before.get)  # type: ignore[arg-type]
    assert now["[PAD]"] == few_words.tokenizer_.pad_token_id == new.padding_idx == 0
    tokenizer = few_words.tokenizer_
    ends = [tokenizer.cls_token_id, tokenizer.sep_token_id]
    assert tokenizer("")["input_ids"] == ends and tokenizer.convert_ids_to_tokens(ends) == ["[CLS]", "[SEP]"]
    letter = now["a"]
    assert tokenizer("a", "a")["input_ids"] == [ends[0], letter, ends[1], letter, ends[1]]
    assert {"film", ".", "##s", "λ", "[MASK]"} <= set(now)
    assert not {"[unused0]", "##ing", "movie", "##.", "##国"} & set(now)


def test_pieces_are_counted_and_the_most_used_stay(few_words: TextClassifier) -> None:
    texts = ["film film movie", "movie plot", "a cat", "a dog"]
    counts = token_counts(fitted(), texts)
    assert counts == Counter({"[CLS]": 4, "[SEP]": 4, "film": 2, "movie": 2, "a": 2, "plot": 1, "cat": 1, "dog": 1})
    without = len(trim_vocabulary(fitted(), []).tokenizer_)

    def kept(**limits: Any) -> set[str]:
        smaller = trim_vocabulary(fitted(), counts, **limits)
        return set(smaller.tokenizer_.get_vocab()) & {"film", "movie", "plot", "cat", "dog"}

    assert kept() == {"film", "movie", "plot", "cat", "dog"}
    first = fitted().tokenizer_.get_vocab()
    assert kept(size=without) == set()
    assert kept(size=without + 1) == {min("film", "movie", key=first.__getitem__)}
    third = min("plot", "cat", "dog", key=first.__getitem__)
    assert kept(size=without + 3) == {"film", "movie", third}
    assert len(trim_vocabulary(fitted(), texts, size=without + 3).tokenizer_) == without + 3


def test_counts_see_what_the_model_reads() -> None:
    long = copy.copy(fitted())
    long.max_length = 5
    assert token_counts(long, ["film plot cast dog cat"]) == Counter(["[CLS]", "film", "plot", "cast", "[SEP]"])
    assert token_counts(long, []) == Counter()


def test_a_vocabulary_of_its_own(tmp_path: Path) -> None:
    """[PAD] is not the first, and the letters of `xyz` are not all there: it has to stay."""
    words = ["ab", "b", "[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "a", "xyz", "x", "##b", "##z", "##bb", "c", "abb"]
    larger = own_words(tmp_path, words)
    smaller = trim_vocabulary(larger, ["c abb", "c"])
    assert sorted(smaller.tokenizer_.get_vocab(), key=smaller.tokenizer_.get_vocab().get) == [
        "b", "[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "a", "xyz", "x", "##b", "##z", "c", "abb",
    ]  # fmt: skip
    bert = smaller.module_.bert
    assert (
        bert.config.pad_token_id == bert.embeddings.word_embeddings.padding_idx == smaller.tokenizer_.pad_token_id == 2
    )
    texts = ["c abb", "c", "xyz c c a", "abbb q"]
    np.testing.assert_allclose(smaller.decision_logits(texts), larger.decision_logits(texts), atol=1e-5)
    for text in ("ab abb abbbb", "xyz", "xy", "cab"):
        check_reading(smaller, larger, text)
    folder = smaller.save(tmp_path / "smaller")
    np.testing.assert_allclose(transformers_logits(folder, texts), larger.decision_logits(texts), atol=1e-5)


def with_tokenizer(backend: Any) -> TextClassifier:
    """The learned classifier with a tokenizer that is no `BertTokenizer`, and is saved with all its parts."""
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    classifier = copy.copy(fitted())
    classifier.tokenizer_ = PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    return classifier


def test_tokenizers_that_cannot_be_renumbered() -> None:
    backend = copy.deepcopy(fitted().tokenizer_.backend_tokenizer)
    backend.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))  # its numbers lie elsewhere
    with pytest.raises(BadInput, match="cannot be renumbered"):
        trim_vocabulary(with_tokenizer(backend), TEXTS)
    with pytest.raises(BadInput, match="without WordPiece"):
        trim_vocabulary(with_tokenizer(Tokenizer(models.BPE())), TEXTS)


@pytest.mark.parametrize(
    ("texts", "limits", "says"),
    [
        ("one text", {}, "single str"),
        ([1], {}, r"texts\[0\]"),
        ({"no-such-piece": 1}, {}, "unknown token"),
        (TEXTS, {"size": 10}, "size is 10"),
        (TEXTS, {"size": 40_000}, "size is 40000"),
        (TEXTS, {"size": 3000.0}, "size is 3000.0"),
    ],
)
def test_bad_words(texts: Any, limits: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        trim_vocabulary(fitted(), texts, **limits)


# ---- shared vectors ----------------------------------------------------------------------------------------------


def rows_of(classifier: TextClassifier) -> torch.Tensor:
    return classifier.module_.bert.embeddings.word_embeddings.weight.detach()


def test_rare_pieces_take_the_vector_of_the_most_similar_common_one() -> None:
    shared, before = cluster_embeddings(fitted(), TEXTS, 500), rows_of(fitted())
    after, vocabulary = rows_of(shared), fitted().tokenizer_.get_vocab()
    assert after.shape == before.shape
    kept = (after == before).all(1)
    assert int(kept.sum()) == 500
    used = {vocabulary[piece] for piece in token_counts(fitted(), TEXTS)} | set(fitted().tokenizer_.all_special_ids)
    assert bool(kept[list(used)].all())
    cosine = torch.nn.functional.cosine_similarity
    special = set(fitted().tokenizer_.all_special_ids)
    common = [row for row in kept.nonzero().flatten().tolist() if row not in special]
    for row in (~kept).nonzero().flatten().tolist()[::3000]:
        best = max(float(cosine(before[row], before[other], dim=0)) for other in common)
        assert float(cosine(before[row], after[row], dim=0)) == pytest.approx(best, abs=1e-5)


def test_texts_of_common_pieces_are_answered_as_before() -> None:
    shared = cluster_embeddings(fitted(), TEXTS, 500)
    assert np.array_equal(shared.decision_logits(TEXTS), fitted().decision_logits(TEXTS))
    assert shared.tokenizer_.get_vocab() == fitted().tokenizer_.get_vocab()


def test_sharing_keeps_all_or_refuses() -> None:
    small = trim_vocabulary(fitted(), TEXTS)
    assert same_bits(cluster_embeddings(small, TEXTS, len(small.tokenizer_)), small)
    for size in (0, 5, 30523):
        with pytest.raises(BadInput, match="size is"):
            cluster_embeddings(fitted(), TEXTS, size)
    with pytest.raises(BadInput, match="'unheard of'"):
        cluster_embeddings(fitted(), {"unheard of": 3}, 500)
