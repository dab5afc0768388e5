"""Fewer layers, narrower blocks, fewer words: smaller models that any transformers reads."""

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
from toy_classifiers import MIXED, TEXTS, fitted, same_bits, transformers_folder, transformers_logits
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from course_lib import TextClassifier
from course_lib.compression.structure import (
    MATRICES,
    keep_layers,
    keep_words,
    matrices,
    narrow,
    piece_counts,
    share_words,
)
from course_lib.errors import BadInput

SHAPE = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
ODD = ["\U0001f600 film", "好 film", "λόγος", "हिन्दी", "", " ", "\u0301", "x" * 150, "don't-stop...", "ﬁlm naïve"]


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> TextClassifier:
    """Four random layers, each of which does much to what it reads."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**SHAPE, initializer_range=0.3))
    for parameter in model.parameters():  # biases too, which start as zeros
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return TextClassifier.from_pretrained(transformers_folder(model, tmp_path_factory.mktemp("deep")))


@pytest.fixture(scope="module")
def few_words() -> TextClassifier:
    """The learned classifier with the pieces of its own texts."""
    return keep_words(fitted(), TEXTS)


def own_words(folder: Path, words: list[str]) -> TextClassifier:
    """A classifier with a vocabulary of its own."""
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    torch.manual_seed(0)
    config = BertConfig(**SHAPE, vocab_size=len(words), initializer_range=0.3, pad_token_id=words.index("[PAD]"))
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **special}))
    return TextClassifier.from_pretrained(folder)


SMALLER = {
    "layers": (lambda: keep_layers(fitted(), [1]), {"num_hidden_layers": 1}),
    "neurons": (lambda: narrow(fitted(), 48, np.random.default_rng(0).random((2, 128))), {"intermediate_size": 48}),
    "words": (lambda: keep_words(fitted(), TEXTS, size=1670), {"vocab_size": 1670}),
}


@pytest.mark.parametrize(("make", "changed"), SMALLER.values(), ids=SMALLER)
def test_the_folder_of_a_smaller_model_is_read_by_anybody(make: Any, changed: dict[str, int], tmp_path: Path) -> None:
    before = copy.deepcopy(fitted())
    smaller = make()
    config = before.module_.bert.config.to_dict()
    assert same_bits(fitted(), before) and fitted().module_.bert.config.to_dict() == config
    folder = smaller.save(tmp_path / "smaller")
    logits = smaller.decision_logits(MIXED + ODD)
    np.testing.assert_allclose(transformers_logits(folder, MIXED + ODD), logits, atol=1e-5)
    back = TextClassifier.from_pretrained(folder)
    np.testing.assert_allclose(back.decision_logits(MIXED + ODD), logits, atol=1e-6)
    assert smaller.module_.bert.config.to_dict() == config | changed
    assert json.loads((folder / "config.json").read_text()).items() >= changed.items()
    assert smaller.tokenizer_.name_or_path == fitted().tokenizer_.name_or_path
    sizes = [sum(tensor.numel() for tensor in one.module_.parameters()) for one in (smaller, fitted())]
    assert sizes[0] < sizes[1]


# ---- layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [[0, 2, 3], [1], [3], [0, 1, 2, 3]], ids=str)
def test_kept_layers_are_a_model_of_them(kept: list[int], deep: TextClassifier) -> None:
    """transformers' own model of so many layers, filled by hand."""
    model = BertForSequenceClassification(BertConfig(**SHAPE | {"num_hidden_layers": len(kept)})).eval()
    old = deep.module_.state_dict()
    for name, tensor in model.state_dict().items():
        first, mark, rest = name.partition("encoder.layer.")
        number, _, rest = rest.partition(".")
        tensor.copy_(old[f"{first}{mark}{kept[int(number)]}.{rest}" if mark else name])
    smaller = keep_layers(deep, kept)
    rows = deep.tokenizer_(MIXED[:3], padding=True, return_tensors="pt")
    with torch.no_grad():
        np.testing.assert_allclose(smaller.decision_logits(MIXED[:3]), model(**rows).logits.numpy(), atol=1e-5)
    assert len(matrices(smaller)) == 6 * len(kept)
    changed = np.abs(smaller.decision_logits(MIXED) - deep.decision_logits(MIXED)).max() > 0.01
    assert changed == (len(kept) < 4)


@pytest.mark.parametrize("layers", [[], [0, 0], [2, 1], [4], [-1], [True], [0.0], "0"], ids=str)
def test_bad_layers(layers: Any, deep: TextClassifier) -> None:
    with pytest.raises(BadInput, match="layer"):
        keep_layers(deep, layers)


# ---- neurons ---------------------------------------------------------------------------------------------------


def without_neurons(classifier: TextClassifier, gone: np.ndarray) -> TextClassifier:
    """Some neurons, (layers, neurons), give nothing: their columns of the second matrix are zero."""
    silent = copy.deepcopy(classifier)
    for layer, row in zip(silent.module_.bert.encoder.layer, gone, strict=True):
        layer.output.dense.weight.data[:, torch.from_numpy(row)] = 0
    return silent


def test_neurons_that_give_nothing_are_not_missed(deep: TextClassifier) -> None:
    gone = np.stack([np.random.default_rng(layer).permutation(64) < 24 for layer in range(4)])
    silent = without_neurons(deep, gone)
    worth = [layer.output.dense.weight.norm(dim=0).tolist() for layer in silent.module_.bert.encoder.layer]
    smaller = narrow(silent, 40, worth)
    np.testing.assert_allclose(smaller.decision_logits(MIXED), silent.decision_logits(MIXED), atol=1e-5)
    assert np.abs(silent.decision_logits(MIXED) - deep.decision_logits(MIXED)).max() > 0.01
    other = narrow(silent, 39, worth)
    assert np.abs(other.decision_logits(MIXED) - silent.decision_logits(MIXED)).max() > 1e-4


def test_the_most_important_neurons_stay_in_order(deep: TextClassifier) -> None:
    worth = np.random.default_rng(1).integers(0, 9, (4, 64))  # with many ties: the first ones stay
    smaller = narrow(deep, 10, worth)
    for number, row in enumerate(worth):
        kept = sorted(sorted(range(64), key=lambda neuron: (-row[neuron], neuron))[:10])
        for name, pick in (("expand", np.s_[kept]), ("contract", np.s_[:, kept])):
            new, old = (matrices(one)[number, name] for one in (smaller, deep))
            assert torch.equal(new.weight, old.weight[pick])
            assert (new.in_features, new.out_features) == tuple(reversed(new.weight.shape))
        assert torch.equal(matrices(smaller)[number, "expand"].bias, matrices(deep)[number, "expand"].bias[kept])
        assert torch.equal(matrices(smaller)[number, "contract"].bias, matrices(deep)[number, "contract"].bias)
    assert same_bits(narrow(deep, 64, worth), deep)


def test_a_narrow_model_can_be_trained_on() -> None:
    smaller = narrow(keep_words(fitted(), TEXTS), 16, np.ones((2, 128)))
    smaller.warm_start = True
    smaller.fit(TEXTS[:8], [1, 1, 1, 1, 0, 0, 0, 0])
    assert matrices(smaller)[0, "expand"].weight.shape == (16, 64)


@pytest.mark.parametrize(
    ("width", "worth", "says"),
    [
        (0, np.ones((4, 64)), "width is 0"),
        (65, np.ones((4, 64)), "width is 65"),
        (8, np.ones((4, 63)), r"shape \(4, 63\)"),
        (8, np.full((4, 64), np.nan), "not finite"),
        (8, [["a"]], "no table of numbers"),
    ],
)
def test_bad_widths(width: int, worth: Any, says: str, deep: TextClassifier) -> None:
    with pytest.raises(BadInput, match=says):
        narrow(deep, width, worth)


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
    counts = piece_counts(fitted(), texts)
    assert counts == Counter({"[CLS]": 4, "[SEP]": 4, "film": 2, "movie": 2, "a": 2, "plot": 1, "cat": 1, "dog": 1})
    without = len(keep_words(fitted(), []).tokenizer_)

    def kept(**limits: Any) -> set[str]:
        smaller = keep_words(fitted(), counts, **limits)
        return set(smaller.tokenizer_.get_vocab()) & {"film", "movie", "plot", "cat", "dog"}

    assert kept() == {"film", "movie", "plot", "cat", "dog"}
    assert kept(least=2) == {"film", "movie"} and kept(least=3) == set()
    first = fitted().tokenizer_.get_vocab()
    assert kept(size=without) == set()
    assert kept(size=without + 1) == {min("film", "movie", key=first.__getitem__)}
    third = min("plot", "cat", "dog", key=first.__getitem__)
    assert kept(size=without + 3) == {"film", "movie", third} and kept(size=without + 3, least=2) == {"film", "movie"}
    assert len(keep_words(fitted(), texts, size=without + 3).tokenizer_) == without + 3


def test_counts_see_what_the_model_reads() -> None:
    long = copy.copy(fitted())
    long.max_length = 5
    assert piece_counts(long, ["film plot cast dog cat"]) == Counter(["[CLS]", "film", "plot", "cast", "[SEP]"])
    assert piece_counts(long, []) == Counter()


def test_a_vocabulary_of_its_own(tmp_path: Path) -> None:
    """[PAD] is not the first, and the letters of `xyz` are not all there: it has to stay."""
    words = ["ab", "b", "[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "a", "xyz", "x", "##b", "##z", "##bb", "c", "abb"]
    larger = own_words(tmp_path, words)
    smaller = keep_words(larger, ["c abb", "c"])
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


def test_other_wordpiece_tokenizers_are_renumbered_whole(tmp_path: Path) -> None:
    backend = copy.deepcopy(fitted().tokenizer_.backend_tokenizer)
    smaller = keep_words(with_tokenizer(backend), TEXTS)
    assert type(smaller.tokenizer_) is type(with_tokenizer(backend).tokenizer_)
    np.testing.assert_allclose(smaller.decision_logits(TEXTS), fitted().decision_logits(TEXTS), atol=1e-5)
    folder = smaller.save(tmp_path / "smaller")
    np.testing.assert_allclose(transformers_logits(folder, TEXTS), fitted().decision_logits(TEXTS), atol=1e-5)


def test_tokenizers_that_cannot_be_renumbered() -> None:
    backend = copy.deepcopy(fitted().tokenizer_.backend_tokenizer)
    backend.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))  # its numbers lie elsewhere
    with pytest.raises(BadInput, match="cannot be renumbered"):
        keep_words(with_tokenizer(backend), TEXTS)
    with pytest.raises(BadInput, match="without WordPiece"):
        keep_words(with_tokenizer(Tokenizer(models.BPE())), TEXTS)


@pytest.mark.parametrize(
    ("texts", "limits", "says"),
    [
        ("one text", {}, "single str"),
        ([1], {}, r"texts\[0\]"),
        ({"no-such-piece": 1}, {}, "no piece"),
        (TEXTS, {"least": 0}, "least is 0"),
        (TEXTS, {"size": 10}, "size is 10"),
        (TEXTS, {"size": 40_000}, "size is 40000"),
        (TEXTS, {"size": 3000.0}, "size is 3000.0"),
    ],
)
def test_bad_words(texts: Any, limits: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        keep_words(fitted(), texts, **limits)


# ---- what cannot be made smaller -------------------------------------------------------------------------------


def test_only_fitted_berts(tmp_path: Path) -> None:
    small = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64}
    folder = transformers_folder(DistilBertForSequenceClassification(DistilBertConfig(**small)), tmp_path)
    other = TextClassifier.from_pretrained(folder)
    for function in (
        lambda one: keep_layers(one, [0]),
        lambda one: narrow(one, 1, []),
        lambda one: keep_words(one, []),
    ):
        with pytest.raises(BadInput, match="DistilBertForSequenceClassification, not a BERT"):
            function(other)
        with pytest.raises(BadInput, match="not a fitted"):
            function(TextClassifier("tiny"))
        with pytest.raises(BadInput, match="is str"):
            function("sentiment")


def test_matrices_are_named_once() -> None:
    found = matrices(fitted())
    assert list(found) == [(layer, name) for layer in (0, 1) for name in MATRICES]
    assert len({id(matrix) for matrix in found.values()}) == 12
    assert {name: tuple(matrix.weight.shape) for (layer, name), matrix in found.items() if layer == 0} == {
        **dict.fromkeys(["query", "key", "value", "output"], (64, 64)), "expand": (128, 64), "contract": (64, 128),
    }  # fmt: skip


# ---- shared vectors ----------------------------------------------------------------------------------------------


def rows_of(classifier: TextClassifier) -> torch.Tensor:
    return classifier.module_.bert.embeddings.word_embeddings.weight.detach()


def test_rare_pieces_take_the_vector_of_the_most_similar_common_one() -> None:
    shared, before = share_words(fitted(), TEXTS, 500), rows_of(fitted())
    after, vocabulary = rows_of(shared), fitted().tokenizer_.get_vocab()
    assert after.shape == before.shape
    kept = (after == before).all(1)
    assert int(kept.sum()) == 500
    used = {vocabulary[piece] for piece in piece_counts(fitted(), TEXTS)} | set(fitted().tokenizer_.all_special_ids)
    assert bool(kept[list(used)].all())
    cosine = torch.nn.functional.cosine_similarity
    special = set(fitted().tokenizer_.all_special_ids)
    common = [row for row in kept.nonzero().flatten().tolist() if row not in special]
    for row in (~kept).nonzero().flatten().tolist()[::3000]:
        best = max(float(cosine(before[row], before[other], dim=0)) for other in common)
        assert float(cosine(before[row], after[row], dim=0)) == pytest.approx(best, abs=1e-5)


def test_texts_of_common_pieces_are_answered_as_before() -> None:
    shared = share_words(fitted(), TEXTS, 500)
    assert np.array_equal(shared.decision_logits(TEXTS), fitted().decision_logits(TEXTS))
    assert shared.tokenizer_.get_vocab() == fitted().tokenizer_.get_vocab()


def test_sharing_keeps_all_or_refuses() -> None:
    small = keep_words(fitted(), TEXTS)
    assert same_bits(share_words(small, TEXTS, len(small.tokenizer_)), small)
    for size in (0, 5, 30523):
        with pytest.raises(BadInput, match="size is"):
            share_words(fitted(), TEXTS, size)
    with pytest.raises(BadInput, match="'unheard of'"):
        share_words(fitted(), {"unheard of": 3}, 500)
