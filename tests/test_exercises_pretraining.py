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
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.exercises import check, reference
from course_lib.exercises.topics import pretraining
from course_lib.exercises.topics.pretraining import MaskedLM, held_out_loss, learning_rate

# ---------------------------------------------------------------- other right answers


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


def perplexity_by_selection(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> list[Any]:
    real = losses[mask.astype(bool)]
    return [math.exp(real.mean()), real.sum() * np.log2(np.e) / sum(characters)]


def masked_place_by_place(ids: Tensor, special: Tensor, mask_id: int, rate: float, generator: torch.Generator) -> Any:
    """By one draw for each token; the random ids are drawn first and all at once."""
    ordinary = [number for number, is_special in enumerate(special.tolist()) if not is_special]
    random_ids = torch.tensor(ordinary)[torch.randint(0, len(ordinary), ids.shape, generator=generator)]
    draw = torch.rand(ids.shape, generator=generator).masked_fill(special[ids], 1.0) / rate
    seen, labels = ids.clone(), torch.full_like(ids, -100)
    labels[draw < 1] = ids[draw < 1]
    seen[draw < 0.9] = random_ids[draw < 0.9]
    seen[draw < 0.8] = mask_id
    return seen, labels


class GatheredLM(nn.Module):
    """With F.linear, and flattened before the selection."""

    def __init__(self, encoder: nn.Module, embeddings: nn.Embedding, frequencies: Tensor) -> None:
        super().__init__()
        self.encoder, self.embeddings = encoder, embeddings
        self.bias = nn.Parameter(frequencies.clone().log())

    def forward(self, masked_ids: Tensor, labels: Tensor) -> Tensor:
        flat = labels.flatten()
        places = torch.nonzero(flat >= 0)[:, 0]
        logits = F.linear(self.encoder(masked_ids).flatten(0, 1)[places], self.embeddings.weight, self.bias)
        return torch.logsumexp(logits, 1).sub(logits[torch.arange(len(places)), flat[places]]).mean()


def measured_at_once(model: nn.Module, batches: list[tuple[Tensor, Tensor]], mask_id: int) -> Any:
    mode, sums, counts = model.training, [], []
    model.train(False)
    with torch.inference_mode():
        for ids, labels in batches:
            only = labels.masked_fill(ids != mask_id, -100)
            counts.append((only >= 0).sum())
            sums.append(model(ids, only) * counts[-1] if counts[-1] else torch.tensor(0.0))
    model.train(mode)
    return torch.stack(sums).sum() / torch.stack(counts).sum()


def rate_by_minimum(step: int, steps: int, peak: float, warmup: int) -> float:
    rising = (step + 1) / warmup if warmup else math.inf
    return peak * min(rising, (steps - step) / (steps - warmup))


def trained_with_scheduler(
    model: Any, batches: Any, held_out: Any, mask_id: int, peak: float, warmup: int, every: int
) -> Any:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate(min(step, len(batches) - 1), len(batches), peak, warmup)
    )
    history = [[0, held_out_loss(model, held_out, mask_id)]]
    for done, batch in enumerate(batches, start=1):
        model(*batch).backward()
        torch.nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=1)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if not done % every:
            history.append([done, held_out_loss(model, held_out, mask_id)])
    return history


RIGHT: dict[str, list[Answer]] = {
    "mask_whole_words": [words_by_number],
    "sentence_pairs": [pairs_by_zip],
    "perplexity_and_bits": [perplexity_by_selection],
    "mask_tokens": [masked_place_by_place],
    "MaskedLM": [GatheredLM],
    "held_out_loss": [measured_at_once],
    "learning_rate": [rate_by_minimum],
    "pretrain": [trained_with_scheduler],
}

N = st.integers(1, 12)
TOKENS = st.lists(st.sampled_from(["[CLS]", "a", "##b", "##c", "#", "[UNK]", "[SEP]"])).map(lambda rest: ["a", *rest])


def drawn_losses(random: np.random.Generator, n: int, seq: int) -> tuple[np.ndarray, ...]:
    mask = np.arange(seq) < random.integers(1, seq + 1, n)[:, None]
    return random.exponential(3, (n, seq)), mask, random.integers(1, 40, n)


DRAWN = {
    "mask_whole_words": st.builds(lambda random, tokens: (tokens, random.random(len(tokens)), 0.4), SEED, TOKENS),
    "sentence_pairs": st.builds(
        lambda random, sizes: (
            [[f"{n}:{place}" for place in range(size)] for n, size in enumerate(sizes)],
            *random.random((2, sum(sizes))).tolist(),
        ),
        SEED,
        st.lists(st.integers(1, 4), min_size=2),
    ),
    "perplexity_and_bits": st.builds(drawn_losses, SEED, N, N),
    "learning_rate": st.tuples(st.integers(0, 9), st.integers(10, 20), st.floats(0.1, 1), st.integers(0, 8)),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
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
    "perplexity_and_bits": [
        lambda losses, mask, characters: perplexity_by_selection(losses[:1], mask[:1], characters[:1]),
        lambda losses, mask, characters: perplexity_by_selection(losses[:, :4], mask[:, :4], characters),
        ("(losses * mask)", "(np.minimum(losses, 4) * mask)"),
        ("characters.sum()", "(characters + 1).sum()"),
        ("float(bits)", "float(bits), 0.0"),
    ],
    "mask_tokens": [
        ("draw >= 0.8", "draw >= 0.88"),
        ("mask_id, input_ids)", "4, input_ids)"),
        ("return masked_ids, labels", "return masked_ids.float(), labels"),
        ("return masked_ids, labels", "return masked_ids[0], labels[0]"),
        ("~special[input_ids]", "(input_ids != 2)"),
    ],
    "MaskedLM": [
        ("labels != -100", "labels > 0"),
        ("(logits, labels[chosen])", "(logits.clamp(max=30), labels[chosen])"),
        ("return F.cross_entropy(logits, labels[chosen])", "return F.cross_entropy(logits, labels[chosen]).detach()"),
        ("return F.cross_entropy(logits, labels[chosen])", "return F.cross_entropy(logits, labels[chosen]).item()"),
    ],
    "held_out_loss": [
        ("for masked_ids, labels in batches", "for masked_ids, labels in batches[:2]"),
        ("masked_ids == mask_id", "masked_ids == 4"),
        ("return total / positions", "return round(total / positions, 2)"),
    ],
    "learning_rate": [
        ("step < warmup", "step <= warmup"),
        ("step < warmup", "step < max(1, warmup)"),
        ("return peak * (step + 1)", "return 0.4 * (step + 1)"),
    ],
    "pretrain": [
        ("weight_decay=0.01", "weight_decay=0.5"),
        ("1.0)", "0.1)"),
        ("enumerate(batches)", "enumerate(batches[::-1])"),
        ("(step + 1) % every == 0", "(step + 1) % 2 == 0"),
        ("return history", "return history[-1]"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def each_piece(tokens: list[str], draws: Any, rate: float = 0.15) -> list[bool]:
    return [d < rate and t not in ("[CLS]", "[SEP]", "[PAD]") for t, d in zip(tokens, draws, strict=True)]


def masks_only(ids: Tensor, special: Tensor, mask_id: int, rate: float, generator: torch.Generator) -> Any:
    chosen = (torch.rand(ids.shape, generator=generator) < rate) & ~special[ids]
    return ids.masked_fill(chosen, mask_id), ids.masked_fill(~chosen, -100)


MISTAKES: Mistakes = {
    "mask_whole_words": [(each_piece, "by its own draw")],
    "mask_tokens": [(masks_only, "Every chosen token becomes [MASK]"), (("draw < 0.8", "draw < 0.5"), "80 %")],
    "MaskedLM": [
        (lambda encoder, embeddings, frequencies: encoder, "Give the class itself"),
        (nn.Identity, "no attribute 'encoder'"),
    ],
}

TestExercises = judged((*pretraining.EXERCISES, *pretraining.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- references against others' work, and their promises


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


def test_the_loss_is_that_of_transformers() -> None:
    """The decoder of BertForMaskedLM is tied to the word embeddings, and its loss is that of the build's model."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    theirs = BertForMaskedLM(BertConfig(**sizes, intermediate_size=16)).eval()
    torch.nn.init.normal_(theirs.cls.predictions.bias)
    ids, labels = torch.randint(0, 40, (2, 9)), torch.full((2, 9), -100)
    labels[0, [2, 5]] = torch.tensor([7, 30])

    class Body(nn.Module):
        def forward(self, input_ids: Tensor) -> Any:
            return theirs.cls.predictions.transform(theirs.bert(input_ids=input_ids).last_hidden_state)

    ours = MaskedLM(Body(), theirs.bert.embeddings.word_embeddings, theirs.cls.predictions.bias.detach().exp())
    with torch.no_grad():
        assert ours(ids, labels).item() == pytest.approx(theirs(input_ids=ids, labels=labels).loss.item(), rel=1e-5)


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
    follows = np.mean([is_next for *_, is_next in pairs])
    assert follows == pytest.approx(0.5, abs=4 * (0.25 / len(pairs)) ** 0.5)


def test_the_worked_examples_of_the_tasks() -> None:
    two = np.log(2)
    both = reference.perplexity_and_bits(np.array([[2 * two, 4 * two]]), np.ones((1, 2)), np.array([12]))
    assert both == pytest.approx((8, 0.5))
    tokens = ["[CLS]", "play", "##ing", "chess", "[SEP]"]
    masked = reference.mask_whole_words(tokens, np.array([0.9, 0.1, 0.9, 0.9, 0.9]))
    assert masked.tolist() == [False, True, True, False, False]
    pairs = reference.sentence_pairs([["a1", "a2", "a3"], ["b1", "b2"]], [0.0] * 5, [0.0] * 5)
    assert [first for first, *_ in pairs] == ["a1", "a2", "b1"]
    rates = [reference.learning_rate(step, 8, 0.4, 2) for step in range(8)]
    assert np.round(rates, 3).tolist() == [0.2, 0.4, 0.4, 0.333, 0.267, 0.2, 0.133, 0.067]


def test_a_stub_of_the_build_is_not_attempted() -> None:
    assert check.pretrain(lambda *given: ...).status == "not attempted"


def test_figures_of_the_quiz() -> None:
    assert np.log2(20) / 4 == pytest.approx(1.08, abs=0.005) and np.log2(60) / 6 == pytest.approx(0.98, abs=0.005)
    assert np.exp(6.0) == pytest.approx(400, rel=0.02) and np.log(30_000) == pytest.approx(10.3, abs=0.05)
