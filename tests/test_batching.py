"""Batches that hold every row once and hardly any padding, in an order that a resumed run meets again."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import assets
from course_lib.batching import (
    LengthBuckets,
    check_texts,
    collate,
    load_tokenizer,
    padding_fraction,
    sorted_batches,
    tokenize,
)
from course_lib.errors import BadInput, CorruptAsset, MissingAsset, Offline

RNG = np.random.default_rng(0)
LENGTHS = np.clip(RNG.lognormal(3, 0.6, size=3000), 3, 128).astype(int).tolist()


def rows(lengths: list[int]) -> list[list[int]]:
    """Token ids that tell which row they are of: row i holds i + 1 everywhere."""
    return [[i + 1] * length for i, length in enumerate(lengths)]


def orders(buckets: LengthBuckets, epoch: int) -> list[list[int]]:
    return [index.tolist() for index in buckets.order(epoch)]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(assets.path("course_encoder"))


# Length buckets


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 700), batch_size=st.integers(1, 40), seed=st.integers(0, 10), epoch=st.integers(0, 5))
def test_an_epoch_holds_each_row_once_in_so_many_steps(n, batch_size, seed, epoch):
    buckets = LengthBuckets(rows(LENGTHS[:n]), batch_size, seed)
    order = orders(buckets, epoch)
    assert sorted(i for index in order for i in index) == list(range(n))
    assert len(order) == buckets.steps
    assert max(map(len, order)) <= batch_size


def test_the_order_follows_from_seed_and_epoch_alone():
    buckets = LengthBuckets(rows(LENGTHS[:400]), 8, seed=3)
    first = orders(buckets, 0)
    assert orders(LengthBuckets(rows(LENGTHS[:400]), 8, seed=3), 0) == first
    np.random.seed(0)  # the global generator has no say
    assert orders(buckets, 0) == first
    assert orders(buckets, 1) != first
    assert orders(LengthBuckets(rows(LENGTHS[:400]), 8, seed=4), 0) != first


def test_batches_do_not_come_in_order_of_length():
    """Sorted inside, shuffled outside: else the learning rate's warm-up would only meet short sentences."""
    buckets = LengthBuckets(rows(LENGTHS), 32)
    longest = [max(LENGTHS[i] for i in index) for index in orders(buckets, 0)]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3


@pytest.mark.parametrize("start", [0, 1, 5, 24, 25])
def test_an_epoch_entered_late_is_the_tail_of_the_whole(start):
    buckets = LengthBuckets(rows(LENGTHS[:200]), 8, seed=1)
    whole, tail = list(buckets.epoch(2)), list(buckets.epoch(2, start))
    assert len(whole) == 25 and len(tail) == 25 - start
    for mine, theirs in zip(tail, whole[start:], strict=True):
        assert torch.equal(mine.index, theirs.index) and torch.equal(mine.input_ids, theirs.input_ids)


def test_batches_carry_the_tokens_of_their_rows():
    data = rows(LENGTHS[:100])
    for batch in LengthBuckets(data, 16, pad_id=0).epoch(0):
        for ids, mask, row in zip(batch.input_ids, batch.attention_mask, batch.index, strict=True):
            assert ids[mask.bool()].tolist() == data[row] and (ids[~mask.bool()] == 0).all()


def test_hardly_any_padding():
    buckets = LengthBuckets(rows(LENGTHS), 32)
    random = np.array_split(RNG.permutation(len(LENGTHS)), len(LENGTHS) // 32)
    bucketed, plain = padding_fraction(buckets.order(0), LENGTHS), padding_fraction(random, LENGTHS)
    assert plain > 0.4 and bucketed < 0.08


def test_tokens_counts_the_padding():
    buckets = LengthBuckets(rows(LENGTHS[:500]), 16)
    assert buckets.tokens() == sum(batch.input_ids.numel() for batch in buckets.epoch(0))


@pytest.mark.parametrize(("ids", "size", "said"), [([], 8, "no row"), ([[1]], 0, "batch_size is 0")])
def test_buckets_of_nothing_are_refused(ids, size, said):
    with pytest.raises(BadInput, match=said):
        LengthBuckets(ids, size)


def test_padding_fraction_worked_by_hand():
    assert padding_fraction([[0, 1], [2]], [4, 2, 3]) == pytest.approx(2 / 11)
    assert padding_fraction([], []) == 0


# Batches for prediction


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 130), max_size=120), budget=st.integers(1, 600))
def test_sorted_batches_keep_the_budget_and_lose_no_row(lengths, budget):
    batches = sorted_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    sizes = [len(batch) * max(lengths[i] for i in batch) for batch in batches]
    assert all(size <= budget or len(batch) == 1 for size, batch in zip(sizes, batches, strict=True))
    in_order = [lengths[i] for batch in batches for i in batch]
    assert in_order == sorted(in_order)


def test_sorted_batches_are_as_large_as_the_budget_allows():
    assert [batch.tolist() for batch in sorted_batches([3, 9, 2, 4, 3], 9)] == [[2, 0, 4], [3], [1]]
    assert sorted_batches([], 9) == []


# Collating


def test_collate_worked_by_hand():
    batch = collate([[5, 6, 7], [8], [9, 9]], [2, 0], pad_id=4)
    assert batch.input_ids.tolist() == [[9, 9, 4], [5, 6, 7]]
    assert batch.attention_mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch.index.tolist() == [2, 0]
    assert batch.input_ids.dtype == batch.attention_mask.dtype == batch.index.dtype == torch.int64


def test_collate_of_no_row():
    batch = collate([[1]], [])
    assert batch.input_ids.shape == (0, 0) and batch.index.shape == (0,)


def test_a_batch_moves_as_a_whole():
    moved = collate([[1, 2]], [0]).to(torch.device("meta"))
    assert {moved.input_ids.device.type, moved.attention_mask.device.type, moved.index.device.type} == {"meta"}


# Tokens


def test_tokenize_is_what_the_tokenizer_gives(tokenizer):
    texts = ["I like it.", "Unbelievably good", ""]
    assert tokenize(texts, tokenizer) == [tokenizer(text)["input_ids"] for text in texts]
    assert tokenize([], tokenizer) == []


def test_tokenize_cuts_to_max_length_and_keeps_the_last_sign(tokenizer):
    (ids,) = tokenize(["word " * 1000], tokenizer, max_length=10)
    assert len(ids) == 10 and ids[-1] == tokenizer.sep_token_id


def test_tokenize_calls_the_tokenizer_for_thousands_of_texts_at_once(tokenizer, monkeypatch):
    calls = []

    def counted(texts, **settings):
        calls.append(len(texts))
        return tokenizer(texts, **settings)

    texts = [f"number {i % 7}" for i in range(5000)]
    assert tokenize(texts, counted) == tokenize(texts, tokenizer)
    assert calls == [4096, 904]


@pytest.mark.parametrize("length", [2, 0, -1])
def test_tokenize_needs_room(tokenizer, length):
    with pytest.raises(BadInput, match=f"max_length is {length}"):
        tokenize(["a"], tokenizer, length)


# Texts


def test_check_texts_keeps_what_can_be_encoded_and_replaces_the_rest():
    odd = ["", " \t", "\0", "😀", "film 好", "a\ud83db", "\udc80"]
    assert check_texts(odd) == [*odd[:5], "a\ufffdb", "\ufffd"]
    for text in check_texts(odd):
        text.encode("utf-8")


def test_check_texts_shows_a_part_of_what_is_no_text():
    """What else is no text, and which containers are taken, is in test_bad_input.py."""
    with pytest.raises(BadInput, match=r"texts\[0\] is \[0, 1, 2, 3, 4, 5, \.\.\.\] of type list") as caught:
        check_texts([list(range(10_000))])
    assert len(str(caught.value)) < 300


def test_check_texts_does_not_blow_up_short_texts_to_the_longest():
    """numpy would make a table of 2,000 x 100,000 characters of this list: 0.8 GB."""
    texts = ["short"] * 2000 + ["x" * 100_000]
    tracemalloc.start()
    check_texts(texts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6


# Tokenizers


def test_a_folder_without_a_vocabulary_has_no_tokenizer(tmp_path):
    """transformers itself would make one that knows no word."""
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(MissingAsset, match=r"(?s)no vocabulary.*tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": "1.0"', "\xff"], ids=repr)
def test_a_damaged_tokenizer_is_named(tmp_path, tokenizer, content):
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(content, encoding="latin-1")
    with pytest.raises(CorruptAsset, match=r"tokenizer in .* cannot be loaded"):
        load_tokenizer(tmp_path)


def test_a_hub_name_needs_the_network():
    with pytest.raises(Offline, match=r"(?s)nobody/nothing.*go online") as caught:
        load_tokenizer("nobody/nothing")
    assert caught.value.__cause__ is not None
