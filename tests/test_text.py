"""The text core: words in any script, their tokens, gradients that leave no state behind, queries of models."""

import threading

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from course_lib.batching import collate
from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput
from course_lib.text.classifiers import check_scores, columns_of, predict_unique
from course_lib.text.document import Document, match_case, word_spans
from course_lib.text.gradients import TokenAlignment, embedding_gradients, log_odds, probability
from course_lib.text.masked_lm import masked_lm_logits, whole_words
from course_lib.text.modules import add_to_embeddings, capture_embeddings, inference_copy, input_embeddings

SENTENCES = [
    "A dull, well-made film!", "  Good  ", "", "…!", "naïve café — 2 stars", "我喜欢这部电影。It is good", "ผมชอบ",
    "映画が好きだ",
]  # fmt: skip


@pytest.fixture(scope="module")
def classifier():
    return TextClassifier.from_pretrained("sentiment")


# ---- Document ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", SENTENCES)
def test_a_document_holds_its_text_and_the_places_of_its_words(text):
    document = Document.of(text)
    assert document.text == text
    starts, ends = document.spans
    assert [text[start:end] for start, end in zip(starts, ends, strict=True)] == list(document.words)
    word_of = document.word_of_characters()
    assert len(word_of) == len(text) + 1 and word_of[-1] == -1
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        assert (word_of[start:end] == number).all()
    assert (word_of >= 0).sum() == sum(map(len, document.words))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("well-made don't", ["well-made", "don't"]),
        ("我喜欢 film", ["我", "喜", "欢", "film"]),
        ("iPhone手机2台", ["iPhone", "手", "机", "2", "台"]),
        ("コーヒー", ["コ", "ー", "ヒ", "ー"]),
        ("cafe\u0301 bar", ["cafe\u0301", "bar"]),
        ("한국어 영화", ["한국어", "영화"]),
        ("Привет мир", ["Привет", "мир"]),
        ("फ़िल्म अच्छी", ["फ़िल्म", "अच्छी"]),
    ],
)
def test_scripts_without_blanks_are_split_into_characters(text, words):
    assert [text[start:end] for start, end in word_spans(text)] == words


def test_thai_marks_stay_with_their_character():
    assert [text for text in Document.of("กิ่ง").words] == ["กิ่", "ง"]


def test_words_are_replaced_and_left_out():
    document = Document.of("a good film").replace(1, "bad")
    assert document.text == "a bad film" and document.changed == {1}
    assert document.without(0).text == "bad film" and document.without(0).changed == {0}


@pytest.mark.parametrize(
    ("word", "like", "cased"),
    [("great", "Good", "Great"), ("great", "GOOD", "GREAT"), ("great", "good", "great"), ("iPod", "Good", "IPod"),
     ("great", "A", "Great"), ("", "Good", "")],
)  # fmt: skip
def test_match_case(word, like, cased):
    assert match_case(word, like) == cased


# ---- tokens ------------------------------------------------------------------------------------------------------


def byte_level() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def sentence_piece() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        SENTENCES, trainers.UnigramTrainer(vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"])
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@pytest.mark.parametrize("family", ["wordpiece", "byte-level", "sentencepiece"])
def test_every_word_has_tokens_and_every_token_is_counted_once(family, classifier):
    made = {"wordpiece": lambda: classifier.tokenizer_, "byte-level": byte_level, "sentencepiece": sentence_piece}
    tokenizer = made[family]()
    documents = [Document.of(text) for text in SENTENCES]
    aligned = TokenAlignment.of(tokenizer, SENTENCES, [one.word_of_characters() for one in documents], 64)
    for text, document in enumerate(documents):
        tokens = len(aligned.ids[text])
        sums = aligned.sum_by_word(text, np.ones((tokens + 2, 3)), len(document.words))  # padded by two
        assert sums.shape == (len(document.words), 3) and (sums > 0).all(), (family, document.words)
        assert sums[:, 0].sum() == pytest.approx(aligned.in_words(text).sum())


def test_a_slow_tokenizer_is_refused(classifier):
    class Slow:
        is_fast = False

    with pytest.raises(BadInput, match="does not tell where its tokens are"):
        TokenAlignment.of(Slow(), ["a"], [Document.of("a").word_of_characters()], 8)


# ---- gradients ---------------------------------------------------------------------------------------------------


def test_gradients_are_those_of_finite_differences(classifier):
    ids = [classifier.tokenizer_("a good film")["input_ids"]]
    (found,) = embedding_gradients(classifier, ids, lambda logits, _: log_odds(logits, np.array([1])))
    direction = torch.from_numpy(np.random.default_rng(0).normal(size=found.gradient.shape)).float()
    direction = direction / direction.norm()

    def output(size):
        shift = lambda rows, input_ids, embeddings: size * direction  # noqa: E731
        (at,) = embedding_gradients(classifier, ids, lambda logits, _: log_odds(logits, np.array([1])), shift=shift)
        return at.outputs[0]

    slope = (output(1e-2) - output(-1e-2)) / 2e-2
    assert slope == pytest.approx(float((found.gradient * direction).sum()), rel=0.02)


def test_the_gradient_of_log_odds_does_not_vanish_where_a_float32_softmax_is_1():
    logits = torch.tensor([[0.0, 40.0]], dtype=torch.float32, requires_grad=True)
    (naive,) = torch.autograd.grad(-(1 - logits.softmax(-1)[0, 1]).log(), logits)
    assert not (torch.isfinite(naive).all() and naive.any())
    double = logits.double()
    (gradient,) = torch.autograd.grad(log_odds(double, np.array([1])).sum(), logits)
    assert gradient.tolist() == [[-1.0, 1.0]]
    assert probability(double, np.array([0])).item() == pytest.approx(4.2e-18, rel=0.02)


def test_gradients_of_one_thread_are_not_seen_by_another(classifier):
    texts = [f"a good film number {i}" for i in range(40)]
    alone = classifier.predict_proba(texts)
    ids = [classifier.tokenizer_(text)["input_ids"] for text in texts]
    stop, wrong = threading.Event(), []

    def shifted():
        while not stop.is_set():
            list(embedding_gradients(classifier, ids, lambda logits, _: logits[:, 0], shift=lambda r, i, e: e * 5))

    thread = threading.Thread(target=shifted)
    thread.start()
    for _ in range(10):
        wrong.append(np.abs(classifier.predict_proba(texts) - alone).max())
    stop.set()
    thread.join()
    assert max(wrong) < 1e-5
    assert not input_embeddings(classifier.module_)._forward_hooks


def test_a_copy_shares_weights_and_nothing_else(classifier):
    module = classifier.module_.train()
    try:
        copy = inference_copy(module)
        assert module.training and not copy.training and type(copy) is type(module)
        assert [id(p) for p in module.parameters()] == [id(p) for p in copy.parameters()]
        with capture_embeddings(copy), add_to_embeddings(copy, torch.zeros(1)):
            assert not input_embeddings(module)._forward_hooks
        assert not input_embeddings(copy)._forward_hooks
    finally:
        module.eval()


# ---- classifiers -------------------------------------------------------------------------------------------------


def test_columns_follow_the_classes_order_whatever_it_is():
    assert columns_of(np.array(["pos", "neg", "mid"]), ["neg", "pos"], 2).tolist() == [1, 0]
    assert columns_of([2, 0, 1], 1, 3).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["x", "pos"], "'x'"), (["pos"], "shape"), ([None, "pos"], "None"), ([1.5, "pos"], "1.5")],
)
def test_unknown_labels_are_refused(labels, message):
    with pytest.raises(BadInput, match=message):
        columns_of(["pos", "neg"], labels, 2)


def test_each_different_text_is_predicted_once_in_bounded_chunks():
    calls = []

    def predict(texts):
        calls.append(texts)
        return np.array([[len(text)] for text in texts])

    found = predict_unique(predict, ["a", "bbb", "a", "cc", "bbb"], at_once=2)
    assert found[:, 0].tolist() == [1, 3, 1, 2, 3] and calls == [["a", "bbb"], ["cc"]]


@pytest.mark.parametrize(("scores", "message"), [(np.zeros((2, 3)), "shape"), ([[np.nan, 1], [0, 1]], "not finite")])
def test_wrong_scores_are_refused(scores, message):
    class Two:
        classes_ = np.array([0, 1])

    with pytest.raises(BadInput, match=message):
        check_scores(Two(), scores, 2)


# ---- masked language models --------------------------------------------------------------------------------------


def test_masked_queries_give_what_one_row_at_a_time_gives():
    from course_lib.pretraining import LanguageModel

    model = LanguageModel.from_pretrained("course")
    mask = model.tokenizer.mask_token
    texts = [f"a {mask} film", f"the {mask} was far too long for me", f"a {mask} film"]
    rows = [model.tokenizer(text)["input_ids"] for text in texts]
    places = [row.index(model.tokenizer.mask_token_id) for row in rows]
    found = {
        int(q): logits
        for numbers, part in masked_lm_logits(model, rows, places)
        for q, logits in zip(numbers, part, strict=True)
    }
    assert sorted(found) == [0, 1, 2] and torch.equal(found[0], found[2])
    for query, (row, place) in enumerate(zip(rows, places, strict=True)):
        with torch.inference_mode():
            batch = collate([row], [0])
            state = model.model.encoder(batch.input_ids, batch.attention_mask)[0, place]
            alone = model.model.words(state[None], model.model.encoder.word_embeddings)[0]
        assert torch.allclose(found[query], alone, atol=1e-4)


def test_whole_words_are_words_of_letters(classifier):
    words = whole_words(classifier.tokenizer_)
    assert "good" in words.values() and not {"[MASK]", "##ing", "a", "!"} & set(words.values())
    assert list(words) == sorted(words)
