"""Pretraining: other right answers pass, sly ones do not, references agree with torch and transformers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from answers import SEED, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st

from course_lib.exercises import check, reference
from course_lib.exercises.topics import pretraining

# ---------------------------------------------------------------- other right answers


def masked_on_copies(
    input_ids: Any, special: Any, choice: Any, fate: Any, random_ids: Any, mask_id: int, rate: float = 0.15
) -> tuple[Any, Any]:
    chosen = np.logical_and(choice < rate, np.logical_not(special))
    ids, labels = input_ids.astype(np.int32), np.full(len(input_ids), -100)
    labels[chosen] = input_ids[chosen]
    ids[chosen & (fate < 0.9)] = random_ids[chosen & (fate < 0.9)]
    ids[chosen & (fate < 0.8)] = mask_id  # after the random ones: the smaller set is written last
    return ids, labels


def words_by_number(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> np.ndarray:
    first = np.array([not token.startswith("##") for token in tokens])
    ordinary = np.array([token not in ("[CLS]", "[SEP]", "[PAD]") for token in tokens])
    masked = ((draws < rate) & ordinary)[first]
    return masked[np.cumsum(first) - 1].astype(int)


def pairs_by_zip(documents: list[list[str]], coins: list[float], picks: list[float]) -> tuple[Any, ...]:
    draws = zip(coins, picks, strict=True)
    pairs = []
    for document in documents:
        others = [sentence for other in documents if other is not document for sentence in other]
        for one, following in itertools.pairwise(document):
            coin, pick = next(draws)
            pairs.append((one, following, True) if coin < 0.5 else (one, others[int(pick * len(others))], False))
    return tuple(pairs)


def loss_by_torch(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> Any:
    table, words, shift, wanted = map(torch.from_numpy, (hidden, embeddings, bias, labels))
    return torch.nn.functional.cross_entropy(table @ words.T + shift, wanted)  # it skips -100 by itself


def perplexity_by_selection(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> list[Any]:
    real = losses[mask.astype(bool)]
    return [math.exp(real.mean()), real.sum() * np.log2(np.e) / sum(characters)]


RIGHT: dict[str, list[Answer]] = {
    "mask_tokens": [masked_on_copies],
    "mask_whole_words": [words_by_number],
    "sentence_pairs": [pairs_by_zip],
    "masked_lm_loss": [loss_by_torch],
    "perplexity_and_bits": [perplexity_by_selection],
}

N = st.integers(1, 12)
TOKENS = st.lists(st.sampled_from(["[CLS]", "a", "##b", "##c", "#", "[UNK]", "[SEP]"])).map(lambda rest: ["a", *rest])


def drawn_tokens(random: np.random.Generator, n: int, rate: float) -> tuple[Any, ...]:
    ids, random_ids = random.integers(1, 50, n), random.integers(50, 90, n)
    return ids, random.random(n) < 0.2, random.random(n), random.random(n), random_ids, 99, rate


def drawn_labels(random: np.random.Generator, n: int, vocab: int, width: int) -> tuple[np.ndarray, ...]:
    labels = np.where(random.random(n) < 0.5, random.integers(0, vocab, n), -100)
    labels[0] = 0  # at least one place is asked
    return random.normal(size=(n, width)), random.normal(size=(vocab, width)), random.normal(size=vocab), labels


def drawn_losses(random: np.random.Generator, n: int, seq: int) -> tuple[np.ndarray, ...]:
    mask = np.arange(seq) < random.integers(1, seq + 1, n)[:, None]
    return random.exponential(3, (n, seq)), mask, random.integers(1, 40, n)


DRAWN = {
    "mask_tokens": st.builds(drawn_tokens, SEED, N, st.floats(0.1, 0.9)),
    "mask_whole_words": st.builds(lambda random, tokens: (tokens, random.random(len(tokens)), 0.4), SEED, TOKENS),
    "sentence_pairs": st.builds(
        lambda random, sizes: (
            [[f"{n}:{place}" for place in range(size)] for n, size in enumerate(sizes)],
            *random.random((2, sum(sizes))).tolist(),
        ),
        SEED,
        st.lists(st.integers(1, 4), min_size=2),
    ),
    "masked_lm_loss": st.builds(drawn_labels, SEED, N, st.integers(2, 9), st.integers(1, 4)),
    "perplexity_and_bits": st.builds(drawn_losses, SEED, N, N),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "mask_tokens": [
        ("mask_id, input_ids)", "4, input_ids)"),
        ("choice < rate", "choice <= rate"),
        ("fate >= 0.8", "fate > 0.8"),
        ("fate < 0.9", "fate <= 0.9"),
        ("random_ids, masked_ids)", "random_ids[0], masked_ids)"),
        ("~special", "~(special & (input_ids != 0))"),
    ],
    "mask_whole_words": [
        ("draws[place] < rate", "draws[place] <= rate"),
        ('"[SEP]", "[PAD]"', '"[SEP]"'),
        ("draws[place] < rate", "draws[place] < min(rate, 0.3)"),
        ("return masked", "return [t for t, m in zip(tokens, masked) if m]"),
    ],
    "sentence_pairs": [
        ("return pairs", "return [pair[:2] for pair in pairs]"),
        ("int(pick *", "int(0 *"),
        ("int(pick *", "int(0.9 * pick *"),
        lambda documents, coins, picks: pairs_by_zip([d for d in documents if len(d) > 1], coins, picks),
    ],
    "masked_lm_loss": [
        lambda hidden, embeddings, bias, labels: reference.masked_lm_loss(
            np.clip(hidden, -3, 3), embeddings, bias, labels
        ),
        ("embeddings.T + bias", "embeddings.T + bias[::-1]"),
        ("embeddings.T + bias", "embeddings.T + np.abs(bias)"),
        (".mean())", ".mean() + 1e-3)"),
        lambda hidden, embeddings, bias, labels: min(40.0, reference.masked_lm_loss(hidden, embeddings, bias, labels)),
    ],
    "perplexity_and_bits": [
        lambda losses, mask, characters: perplexity_by_selection(losses[:1], mask[:1], characters[:1]),
        lambda losses, mask, characters: perplexity_by_selection(losses[:, :4], mask[:, :4], characters),
        ("(losses * mask)", "(np.minimum(losses, 4) * mask)"),
        ("characters.sum()", "(characters + 1).sum()"),
        ("float(bits)", "float(bits), 0.0"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def each_piece(tokens: list[str], draws: Any, rate: float = 0.15) -> list[bool]:
    return [d < rate and t not in ("[CLS]", "[SEP]", "[PAD]") for t, d in zip(tokens, draws, strict=True)]


def zero_for_ignored(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> Any:
    return loss_by_torch(hidden, embeddings, bias, np.where(labels == -100, 0, labels))


MISTAKES: Mistakes = {
    "mask_whole_words": [(each_piece, "by its own draw")],
    "masked_lm_loss": [(zero_for_ignored, "as if word 0 were their label")],
}

TestExercises = judged(pretraining.EXERCISES, RIGHT, SLY, MISTAKES, DRAWN)


def test_the_places_of_the_mistake_are_named() -> None:
    def mostly_right(*given: Any) -> Any:
        ids, labels = reference.mask_tokens(*given)
        ids[0] = given[5]
        return ids, labels

    verdict = check.mask_tokens(mostly_right)
    assert verdict.message.startswith("Special tokens were masked or have a label: position 0.")


# ---------------------------------------------------------------- references against others' work, and their promises


def test_the_rule_gives_its_shares() -> None:
    """15 % chosen; of these 80, 10 and 10 %: within four standard deviations on 100,000 tokens."""
    n, random = 100_000, np.random.default_rng(0)
    ids = random.integers(1000, 2000, n)
    special = np.arange(n) % 50 == 0
    draws = (random.random(n), random.random(n), random.integers(2000, 3000, n))
    masked, labels = reference.mask_tokens(ids, special, *draws, mask_id=103)
    asked = labels != -100
    kinds = [np.mean(masked[asked] == 103), np.mean(masked[asked] >= 2000), np.mean(masked[asked] == ids[asked])]
    assert not asked[special].any() and (masked[~asked] == ids[~asked]).all() and (labels[asked] == ids[asked]).all()
    assert np.mean(asked[~special]) == pytest.approx(0.15, abs=4 * (0.15 * 0.85 / n) ** 0.5)
    assert kinds == pytest.approx([0.8, 0.1, 0.1], abs=4 * (0.16 / asked.sum()) ** 0.5)


@pytest.mark.parametrize("rate", [0.15, 0.5])
def test_a_long_word_is_masked_as_often_as_a_short_one(rate: float) -> None:
    random = np.random.default_rng(0)
    pieces = random.integers(1, 5, 20_000)  # of each word
    tokens = [piece for n in pieces for piece in ["a", *["##b"] * (n - 1)]]
    masked = reference.mask_whole_words(tokens, random.random(len(tokens)), rate)
    starts = np.concatenate([[0], np.cumsum(pieces)[:-1]])
    assert np.repeat(masked[starts], pieces).tolist() == masked.tolist(), "a word is masked as a whole or not at all"
    for n in range(1, 5):
        words = masked[starts[pieces == n]]
        assert words.mean() == pytest.approx(rate, abs=4 * (rate * (1 - rate) / len(words)) ** 0.5)


def test_the_head_is_that_of_transformers() -> None:
    """The decoder of BertForMaskedLM is tied to the word embeddings, and its loss is the exercise's."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertForMaskedLM(BertConfig(**sizes, intermediate_size=16)).eval()
    torch.nn.init.normal_(model.cls.predictions.bias)
    ids, labels = torch.randint(0, 40, (1, 9)), torch.full((1, 9), -100)
    labels[0, [2, 5]] = torch.tensor([7, 30])
    with torch.no_grad():
        theirs = model(input_ids=ids, labels=labels).loss.item()
        hidden = model.cls.predictions.transform(model.bert(input_ids=ids).last_hidden_state)[0].numpy()
        words, bias = model.bert.embeddings.word_embeddings.weight.numpy(), model.cls.predictions.bias.numpy()
    assert reference.masked_lm_loss(hidden, words, bias, labels[0].numpy()) == pytest.approx(theirs, rel=1e-5)


def test_pairs_are_balanced_and_never_of_the_same_document() -> None:
    random = np.random.default_rng(0)
    documents = [
        [f"{number}:{place}" for place in range(size)] for number, size in enumerate(random.integers(1, 9, 300))
    ]
    n = sum(map(len, documents))
    pairs = reference.sentence_pairs(documents, random.random(n).tolist(), random.random(n).tolist())
    assert len(pairs) == n - len(documents)
    for first, second, is_next in pairs:
        (one, place), (other, after) = (tuple(map(int, text.split(":"))) for text in (first, second))
        assert (one == other and after == place + 1) if is_next else one != other
    share = np.mean([is_next for *_, is_next in pairs])
    assert share == pytest.approx(0.5, abs=4 * (0.25 / len(pairs)) ** 0.5)


def test_the_worked_examples_of_the_tasks() -> None:
    two = np.log(2)
    both = reference.perplexity_and_bits(np.array([[2 * two, 4 * two]]), np.ones((1, 2)), np.array([12]))
    assert both == pytest.approx((8, 0.5))
    tokens = ["[CLS]", "play", "##ing", "chess", "[SEP]"]
    masked = reference.mask_whole_words(tokens, np.array([0.9, 0.1, 0.9, 0.9, 0.9]))
    assert masked.tolist() == [False, True, True, False, False]
    pairs = reference.sentence_pairs([["a1", "a2", "a3"], ["b1", "b2"]], [0.0] * 5, [0.0] * 5)
    assert [first for first, *_ in pairs] == ["a1", "a2", "b1"]


def test_figures_of_the_quiz() -> None:
    assert np.log2(20) / 4 == pytest.approx(1.08, abs=0.005) and np.log2(60) / 6 == pytest.approx(0.98, abs=0.005)
    assert np.exp(6.0) == pytest.approx(400, rel=0.02) and np.log(30_000) == pytest.approx(10.3, abs=0.05)
