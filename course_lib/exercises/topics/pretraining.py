"""Whole-word masks, sentence pairs, perplexity; and the build: a pretraining loop for a masked language model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.exercises.exercise import Arguments, Case, Exercise, Refused
from course_lib.exercises.values import array_problem, kind, numbers_of, pair_problem, plain, same

# ---------------- whole-word masking, as in BERT's release of May 2019


SPECIAL = ("[CLS]", "[SEP]", "[PAD]")


def mask_whole_words(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> np.ndarray:
    """True at every piece of a masked word; the draw of its first piece decides (all are (tokens,) long)."""
    masked = np.zeros(len(tokens), dtype=bool)
    for place, token in enumerate(tokens):
        if token.startswith("##"):
            masked[place] = masked[place - 1]  # the word continues
        else:
            masked[place] = draws[place] < rate and token not in ("[CLS]", "[SEP]", "[PAD]")
    return masked


def _mask_whole_words_cases() -> list[Arguments]:
    random = np.random.default_rng(4)
    long = "[CLS] the un ##believ ##abl ##y long film ##s of an un ##known direct ##or ##ess [SEP] he ##r [SEP] [PAD]"
    rows = [
        ("[CLS] play ##ing chess [SEP]", [0.9, 0.1, 0.9, 0.9, 0.9], 0.15),
        ("[CLS] play ##ing chess [SEP]", [0.9, 0.5, 0.01, 0.1, 0.9], 0.15),
        ("[CLS] un ##believ ##abl ##y good [SEP] [PAD]", [0.1, 0.1, 0.5, 0.1, 0.6, 0.2, 0.05, 0.0], 0.15),
        ("[CLS] a ##b c ##d e ##f [SEP]", [0.5, 0.3, 0.01, 0.1, 0.9, 0.05, 0.9, 0.1], 0.4),
        ("a ##b c d ##e", [0.6, 0.0, 0.15, 0.0, 0.6], 0.15),
        ("[UNK] is here ##after", [0.1, 0.2, 0.9, 0.0], 0.15),  # an unknown word is a word
        ("[CLS] #hash # #tag ##s [SEP]", [0.9, 0.9, 0.1, 0.9, 0.1, 0.9], 0.15),  # a single # does not go on
        *((long, random.random(len(long.split())), rate) for rate in (0.3, 0.5)),
    ]
    return [(text.split(), draws, rate) for text, draws, rate in rows]


def _judge_mask_whole_words(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    numbers = numbers_of(got)
    if not np.isin(numbers, (0, 1)).all():
        return "Each number should be True or False (1 or 0)."
    if same(expected, got):
        return None
    place = int(np.argwhere(numbers != expected)[0][0])
    asked = "should be masked and is not" if expected[place] else "is masked and should not be"
    return f"Token {place}, {case['tokens'][place]!r}, {asked}."


def _words(tokens: list[str]) -> list[list[int]]:
    words: list[list[int]] = []
    for place, token in enumerate(tokens):
        if token.startswith("##"):
            words[-1].append(place)
        else:
            words.append([place])
    return words


def _by_word(tokens: list[str], draws: np.ndarray, rate: float, drawn: Any) -> np.ndarray:
    """Masks each word of which `drawn(its number, its places)` gives a number below the rate."""
    masked = np.zeros(len(tokens), dtype=bool)
    for number, places in enumerate(_words(tokens)):
        masked[places] = drawn(number, places) < rate and tokens[places[0]] not in SPECIAL
    return masked


def _any_piece(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return _by_word(tokens, draws, rate, lambda number, places: draws[places].min())


def _mean_of_pieces(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return _by_word(tokens, draws, rate, lambda number, places: draws[places].mean())


def _last_piece_decides(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> Any:
    return _by_word(tokens, draws, rate, lambda number, places: draws[places[-1]])


# ---------------- pairs for next-sentence prediction (Devlin et al. 2019, section 3.1, task 2)


def sentence_pairs(
    documents: list[list[str]],
    coins: list[float],
    picks: list[float],
) -> list[tuple[str, str, bool]]:
    """(first, second, is_next) for each sentence with one after it; pair k uses coins[k], picks[k]."""
    pairs: list[tuple[str, str, bool]] = []
    for number, document in enumerate(documents):
        others = [s for k, other in enumerate(documents) if k != number for s in other]
        for place in range(len(document) - 1):
            coin, pick = coins[len(pairs)], picks[len(pairs)]
            if coin < 0.5:
                pairs.append((document[place], document[place + 1], True))
            else:
                pairs.append((document[place], others[int(pick * len(others))], False))
    return pairs


def _documents(*sizes: int) -> list[list[str]]:
    """Documents of so many sentences: "a1", "a2", ... in the first, "b1", ... in the second."""
    return [[f"{'abcdefgh'[number]}{place}" for place in range(1, size + 1)] for number, size in enumerate(sizes)]


def _sentence_pairs_case(sizes: tuple[int, ...], coins: list[float], picks: list[float]) -> Arguments:
    spare = [0.3] * (sum(sizes) - len(coins))  # one for each sentence: more than there are pairs
    return _documents(*sizes), [*coins, *spare], [*picks, *spare]


def _sentence_pairs_cases() -> list[Arguments]:
    spread = [(37 * k % 100) / 100 for k in range(12)]
    return [
        _sentence_pairs_case((3, 2), [0.2, 0.7, 0.9], [0.1, 0.6, 0.99]),
        _sentence_pairs_case((2, 3, 1), [0.5, 0.49, 0.8], [0.0, 0.3, 0.7]),
        _sentence_pairs_case((4, 1, 3), [0.9, 0.1, 0.95, 0.3, 0.6], [0.3, 0.9, 0.8, 0.2, 0.55]),
        _sentence_pairs_case((1, 2, 2, 2), [0.6, 0.7, 0.8], [0.99, 0.5, 0.2]),
        _sentence_pairs_case((2, 2), [0.1, 0.2], [0.5, 0.5]),  # all are next
        _sentence_pairs_case((5, 4, 1, 6), [1 - value for value in spread], spread[::-1]),
    ]


def _triple_problem(number: int, expected: Any, got: Any) -> str | None:
    if not isinstance(got, list) or len(got) != 3 or not isinstance(got[0], str) or not isinstance(got[1], str):
        return f"Pair {number} should be a triple (first, second, is_next), but it is {got!r}."
    first, second, is_next = got
    if first != expected[0]:
        return f"Pair {number} begins with {first!r}; it should begin with {expected[0]!r}."
    if not expected[2] and first[:1] == second[:1]:
        return f"Pair {number}: {second!r} is of the same document as {first!r}, and its coin says another one."
    if second != expected[1]:
        return f"Pair {number}: after {first!r} comes {second!r}; it should be {expected[1]!r}."
    return None if same(is_next, expected[2]) else f"Pair {number} has the wrong is_next."


def _judge_sentence_pairs(case: Case, expected: Any, got: Any) -> str | None:
    rows = plain(got)
    if not isinstance(rows, list):
        return f"The result should be a list of triples, but it is {kind(got)}."
    if len(rows) != len(expected):
        return f"There are {len(rows)} pairs; there should be {len(expected)}, one for each sentence but the last ones."
    problems = (_triple_problem(k, e, g) for k, (e, g) in enumerate(zip(plain(expected), rows, strict=True)))
    return next((problem for problem in problems if problem), None)


def _flat(documents: list[list[str]]) -> list[str]:
    return [sentence for document in documents for sentence in document]


def _across_documents(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    owner = [number for number, document in enumerate(documents) for _ in document]
    flat, pairs = _flat(documents), []
    for k in range(len(flat) - 1):
        others = [s for s, number in zip(flat, owner, strict=True) if number != owner[k]]
        is_next = coins[k] < 0.5
        pairs.append((flat[k], flat[k + 1] if is_next else others[int(picks[k] * len(others))], is_next))
    return pairs


# ---------------- perplexity of tokens, and bits per character


def perplexity_and_bits(
    losses: np.ndarray,
    mask: np.ndarray,
    characters: np.ndarray,
) -> tuple[float, float]:
    """Perplexity and bits per character; losses, mask: (texts, seq), in nats; characters: (texts,)."""
    nats = (losses * mask).sum()
    perplexity = np.exp(nats / mask.sum())
    bits = nats / np.log(2) / characters.sum()
    return float(perplexity), float(bits)


def _perplexity_and_bits_cases() -> list[Arguments]:
    random = np.random.default_rng(5)
    two, lengths = np.log(2.0), np.array([9, 2, 5])
    return [
        ([[2 * two, 4 * two]], [[1, 1]], [12]),  # 3 bits a token: perplexity 8, 6 bits over 12 characters
        ([[two, 3 * two, 9.0], [two, 8.0, 7.0]], [[1, 1, 0], [1, 0, 0]], [7, 3]),
        ([[0.0, 0.0], [0.0, 5.0]], [[1, 1], [1, 0]], [9, 4]),  # a model that knows everything
        ([[3.0, 1.0, 2.0], [0.5, 6.0, 1.0]], [[1, 1, 1], [1, 1, 1]], [20, 11]),
        (random.exponential(3, size=(3, 9)), np.arange(9) < lengths[:, None], [40, 3, 33]),
        (random.exponential(2, size=(4, 6)), np.arange(6) < np.array([[6], [1], [1], [4]]), [22, 9, 2, 30]),
    ]


def _judge_perplexity_and_bits(case: Case, expected: Any, got: Any) -> str | None:
    pair = got.tolist() if getattr(got, "shape", None) == (2,) else got
    if problem := pair_problem(("perplexity", "bits per character"), expected, pair):
        return problem
    if not same(expected[0], pair[0]):
        return "The perplexity is off."
    return None if same(expected[1], pair[1]) else "The perplexity is right; the bits per character are off."


EXERCISES = (
    Exercise(mask_whole_words, _mask_whole_words_cases, _judge_mask_whole_words),
    Exercise(sentence_pairs, _sentence_pairs_cases, _judge_sentence_pairs),
    Exercise(perplexity_and_bits, _perplexity_and_bits_cases, _judge_perplexity_and_bits),
)


# ---------------- build, stage 1: BERT's masking rule, 80/10/10 (Devlin et al. 2019, section 3.1)


def mask_tokens(
    input_ids: torch.Tensor,
    special: torch.Tensor,
    mask_id: int,
    rate: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Masked ids and labels (-100: not predicted), both (rows, seq) like input_ids; special: (vocab,)."""
    chosen = (torch.rand(input_ids.shape, generator=generator) < rate) & ~special[input_ids]
    draw = torch.rand(input_ids.shape, generator=generator)
    ordinary = torch.nonzero(~special)[:, 0]  # the ids that may replace a token
    random_ids = ordinary[torch.randint(len(ordinary), input_ids.shape, generator=generator)]
    masked_ids = torch.where(chosen & (draw < 0.8), mask_id, input_ids)
    masked_ids = torch.where(chosen & (draw >= 0.8) & (draw < 0.9), random_ids, masked_ids)
    labels = torch.where(chosen, input_ids, -100)
    return masked_ids, labels


_ROWS = 3000  # copies of the row that is masked: rates are then right to one point


def _rounded(rate: float | torch.Tensor) -> float:
    """To the nearest multiple of 0.05: far more than chance moves a rate here, less than a mistake does."""
    return round(round(float(rate) / 0.05) * 0.05, 2)


def _run_mask_tokens(answer: Any, row: list[int], special_ids: list[int], vocab: int, rate: float) -> dict[str, Any]:
    """Masks many copies of a row and counts. The last id of the vocabulary is that of [MASK]."""
    ids, mask_id = torch.tensor(row).repeat(_ROWS, 1), vocab - 1
    special = torch.zeros(vocab, dtype=torch.bool)
    special[[*special_ids, mask_id]] = True
    before = ids.clone()
    torch.manual_seed(0)
    got = answer(ids, special, mask_id, rate, torch.Generator().manual_seed(1))
    seen, labels = _mask_pair(got, ids)
    torch.manual_seed(99)  # the global generator must not matter
    again, _ = _mask_pair(answer(before.clone(), special, mask_id, rate, torch.Generator().manual_seed(1)), ids)
    chosen, ordinary = labels != -100, ~special[before]
    is_mask, kept = seen == mask_id, seen == before
    random_ids = seen[chosen & ~is_mask & ~kept]
    return {
        "input changed": not torch.equal(ids, before),
        "special tokens chosen": bool((chosen & ~ordinary).any()),
        "chosen": _rounded((chosen & ordinary).sum() / ordinary.sum()),
        "label is the original id": torch.equal(labels[chosen], before[chosen]),
        "other tokens changed": bool((~chosen & ~kept).any()),
        "[MASK]": _rounded((chosen & is_mask).sum() / chosen.sum().clamp(1)),
        "random": _rounded(len(random_ids) / max(1, int(chosen.sum()))),
        "random ids": "special ones too" if special[random_ids].any() else _spread(random_ids, vocab),
        "same generator, same masks": torch.equal(seen, again),
    }


def _spread(random_ids: torch.Tensor, vocab: int) -> str:
    """How many of the ordinary ids occur among the random ones."""
    return "all ordinary ones" if len(random_ids.unique()) > vocab // 2 else "only a few ids"


def _mask_pair(got: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if not isinstance(got, tuple | list) or len(got) != 2 or not all(isinstance(one, torch.Tensor) for one in got):
        raise Refused("The result should be two tensors: masked_ids, labels.")
    for name, one in zip(("masked_ids", "labels"), got, strict=True):
        if one.shape != ids.shape:
            raise Refused(f"{name} has the shape {tuple(one.shape)}; it should have that of input_ids.")
        if one.is_floating_point():
            raise Refused(f"{name} holds floats. Token ids are whole numbers.")
    return got[0], got[1]


def _mask_tokens_cases() -> list[Arguments]:
    return [
        ([2, 11, 12, 13, 14, 3], [0, 1, 2, 3], 40, 0.15),
        ([2, 7, 8, 9, 1, 10, 3, 0, 0], [0, 1, 2, 3], 30, 0.4),
    ]


_MASK_FINDINGS = {
    "input changed": "Your function changes input_ids. Make a new tensor: the labels need the original ids.",
    "special tokens chosen": "Special tokens are chosen. Leave out the positions where special[input_ids] is True.",
    "chosen": "The fraction of the ordinary tokens that is chosen should be the rate.",
    "label is the original id": "The label of a chosen token is not its original id.",
    "other tokens changed": "Tokens that are not chosen are changed.",
    "[MASK]": "80 % of the chosen tokens should become [MASK].",
    "random": "10 % of the chosen tokens should become a random token.",
    "random ids": "The random ids should be drawn from all ordinary ids, one for each position.",
    "same generator, same masks": "The masks do not depend on `generator` alone. Pass it to every draw.",
}


def _judge_mask_tokens(case: Case, expected: Any, got: Any) -> str | None:
    return next((message for name, message in _MASK_FINDINGS.items() if got[name] != expected[name]), None)


def _masked_in_place(
    input_ids: torch.Tensor, special: torch.Tensor, mask_id: int, rate: float, generator: torch.Generator
) -> Any:
    chosen = (torch.rand(input_ids.shape, generator=generator) < rate) & ~special[input_ids]
    draw, ordinary = torch.rand(input_ids.shape, generator=generator), torch.nonzero(~special)[:, 0]
    random_ids = ordinary[torch.randint(len(ordinary), input_ids.shape, generator=generator)]
    input_ids[chosen & (draw < 0.8)] = mask_id
    replaced = chosen & (draw >= 0.8) & (draw < 0.9)
    input_ids[replaced] = random_ids[replaced]
    return input_ids, torch.where(chosen, input_ids, -100)


# ---------------- build, stage 2: the model and its loss


class MaskedLM(nn.Module):
    """A masked language model: an encoder whose output matrix is its table of word embeddings."""

    def __init__(self, encoder: nn.Module, embeddings: nn.Embedding, frequencies: torch.Tensor) -> None:
        """Keeps the encoder and its embeddings; adds a bias for each word, ln(frequency) at first."""
        super().__init__()
        self.encoder = encoder
        self.embeddings = embeddings
        self.bias = nn.Parameter(torch.log(frequencies))

    def forward(self, masked_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean of -ln p(label), in nats, over the positions whose label is not -100."""
        hidden = self.encoder(masked_ids)  # (rows, seq, width)
        chosen = labels != -100
        logits = hidden[chosen] @ self.embeddings.weight.T + self.bias  # (chosen, vocab)
        return F.cross_entropy(logits, labels[chosen])


class _TinyEncoder(nn.Module):
    """Mixes each token with the one before it: a small stand-in for an encoder in the checks."""

    def __init__(self, vocab: int, width: int, dropout: float = 0.0, size: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(vocab + width)
        self.embeddings = nn.Embedding(vocab, width)
        nn.init.normal_(self.embeddings.weight, std=size)
        self.mix = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)
        self.calls: list[tuple[bool, bool]] = []  # (in training mode, with gradients) at each call

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(rows, seq, width)."""
        self.calls.append((self.training, torch.is_grad_enabled()))
        states: torch.Tensor = self.embeddings(ids)
        mixed: torch.Tensor = self.dropout(self.mix(torch.cat([states, states.roll(1, 1)], -1)))
        return mixed


def _positions_with_logits(saved: list[torch.Tensor], table: torch.Tensor) -> int:
    """Rows of the largest tensor, other than the table itself, that has a number for each word."""
    own = table.untyped_storage().data_ptr()
    like_logits = [t for t in saved if t.ndim and t.shape[-1] == len(table) and t.untyped_storage().data_ptr() != own]
    return max((t.numel() // len(table) for t in like_logits), default=0)


def _number(value: float, digits: int = 5) -> float | str:
    """Rounded; "nan" and "inf" in words, so that two results with the same fault are equal."""
    return round(float(value), digits) if math.isfinite(value) else str(float(value))


def _close(got: float | str, expected: float | str, relative: float) -> bool:
    if isinstance(got, str) or isinstance(expected, str):
        return False
    return math.isclose(got, expected, rel_tol=relative, abs_tol=1e-4)


def _uniform(vocab: int) -> torch.Tensor:
    return torch.full((vocab,), 1 / vocab)


def _run_masked_lm(
    answer: Any, ids: list[list[int]], labels: list[list[int]], frequencies: list[float], width: int, size: float
) -> dict[str, Any]:
    encoder = _TinyEncoder(len(frequencies), width, size=size)
    rows, wanted, shares = torch.tensor(ids), torch.tensor(labels), torch.tensor(frequencies)
    if not isinstance(answer, type) or not issubclass(answer, nn.Module):
        raise Refused("MaskedLM should be a class that inherits from nn.Module.")
    model = answer(encoder, encoder.embeddings, shares)
    if missing := [name for name in ("encoder", "embeddings", "bias") if not hasattr(model, name)]:
        raise Refused(f"The model has no attribute {missing[0]!r}. Set self.{missing[0]} in __init__.")
    saved: list[torch.Tensor] = []  # for the backward pass: the logits after the softmax are among them

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(rows, wanted)
    _check_loss(loss)
    loss.backward()
    bias = [p for p in model.parameters() if p.shape == shares.shape]
    gradients = (encoder.mix.weight.grad, encoder.embeddings.weight.grad, bias[0].grad if bias else None)
    return {
        "trainable numbers": sum(p.numel() for p in model.parameters()),
        "positions with logits": _positions_with_logits(saved, encoder.embeddings.weight),
        "loss": _number(loss.item()),
        "gradients": [0.0 if g is None else _number(g.norm().item(), 4) for g in gradients],
    }


def _check_loss(loss: Any) -> None:
    if not isinstance(loss, torch.Tensor):
        raise Refused(f"forward should return a tensor with one number, but it is {kind(loss)}.")
    if loss.numel() != 1:
        raise Refused(f"forward should return one number, but it returns {tuple(loss.shape)}. Take the mean.")
    if not loss.requires_grad:
        raise Refused("The loss has no gradient. Do not use .item(), .detach() or torch.no_grad() in forward.")


def _masked_lm_cases() -> list[Arguments]:
    flat, skewed = [0.125] * 8 + [1e-3], [0.25, 0.1, 0.1, 0.05, 0.05, 0.15, 0.2, 0.05, 0.05]
    return [
        ([[1, 7, 3]], [[-100, 2, -100]], flat, 3, 1.0),
        ([[1, 7, 3, 7], [2, 2, 7, 4]], [[-100, 2, -100, 0], [-100, -100, 6, 4]], skewed, 4, 1.0),
        ([[7, 7], [5, 7]], [[3, -100], [-100, 1]], skewed, 2, 60.0),  # large logits
    ]


def _judge_masked_lm(case: Case, expected: Any, got: Any) -> str | None:
    if got["trainable numbers"] != expected["trainable numbers"]:
        return "The model should have the weights of the encoder plus one bias for each word, and no others."
    if got["positions with logits"] > expected["positions with logits"]:
        return "Logits are computed at more positions than those that have a label. Select the positions first."
    if not _close(got["loss"], expected["loss"], 1e-4):
        return "The loss is not right."
    names = ("the encoder's layers", "the embeddings", "the bias")
    pairs = zip(names, got["gradients"], expected["gradients"], strict=True)
    return next((f"The gradient of {n} is not right." for n, g, e in pairs if not _close(g, e, 1e-3)), None)


class _UntiedMaskedLM(nn.Module):
    def __init__(self, encoder: nn.Module, embeddings: nn.Embedding, frequencies: torch.Tensor) -> None:
        super().__init__()
        self.encoder, self.embeddings = encoder, embeddings
        self.output = nn.Linear(embeddings.embedding_dim, len(frequencies), bias=False)
        self.bias = nn.Parameter(torch.log(frequencies))
        with torch.no_grad():
            self.output.weight.copy_(embeddings.weight)

    def forward(self, masked_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        chosen = labels != -100
        return F.cross_entropy(self.output(self.encoder(masked_ids)[chosen]) + self.bias, labels[chosen])


# ---------------- build, stage 3: the held-out loss at [MASK]


def held_out_loss(
    model: MaskedLM,
    batches: list[tuple[torch.Tensor, torch.Tensor]],
    mask_id: int,
) -> float:
    """Mean loss, in nats, over all [MASK] positions of the batches (masked_ids, labels)."""
    was_training = model.training
    model.eval()
    total, positions = 0.0, 0
    with torch.no_grad():
        for masked_ids, labels in batches:
            at_masks = torch.where(masked_ids == mask_id, labels, -100)
            count = int((at_masks != -100).sum())
            if count > 0:
                total += model(masked_ids, at_masks).item() * count
                positions += count
    model.train(was_training)
    return total / positions


Batches = list[tuple[list[list[int]], list[list[int]]]]  # (masked ids, labels) of each batch


def _tensors(batches: Batches) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.tensor(ids), torch.tensor(labels)) for ids, labels in batches]


def _run_held_out_loss(answer: Any, batches: Batches, mask_id: int, training: bool) -> dict[str, Any]:
    encoder = _TinyEncoder(10, 4, dropout=0.5)
    model = MaskedLM(encoder, encoder.embeddings, _uniform(10)).train(training)
    got = answer(model, _tensors(batches), mask_id)
    if isinstance(got, torch.Tensor) and got.numel() == 1:
        got = got.item()
    if not isinstance(got, float | int):
        raise Refused(f"The result should be one number, but it is {kind(got)}.")
    return {
        "training mode while measuring": any(mode for mode, _ in encoder.calls),
        "gradients computed": any(gradients for _, gradients in encoder.calls),
        "loss": _number(got),
        "training mode afterwards": model.training,
    }


def _held_out_loss_cases() -> list[Arguments]:
    one = ([[2, 9, 5, 9]], [[-100, 4, -100, 6]])
    mixed = ([[2, 9, 5, 3], [2, 6, 7, 3]], [[-100, 4, 5, -100], [-100, 8, -100, -100]])  # a kept and a random one
    copied = ([[2, 5, 7, 3]], [[-100, 5, -100, -100]])  # nothing is at [MASK]
    return [([one], 9, False), ([mixed, one], 9, True), ([copied, mixed, one, one], 9, True)]


def _judge_held_out_loss(case: Case, expected: Any, got: Any) -> str | None:
    if got["training mode while measuring"]:
        return "Dropout is on while you measure. Call model.eval() first."
    if got["gradients computed"]:
        return "The model computes gradients while you measure. Use torch.no_grad()."
    if not _close(got["loss"], expected["loss"], 1e-4):
        return "The loss is not right."
    if got["training mode afterwards"] != expected["training mode afterwards"]:
        return "The model should be in the same mode afterwards as before: training or evaluation."
    return None


# ---------------- build, stage 4: the learning rate of each step


def learning_rate(
    step: int,
    steps: int,
    peak: float,
    warmup: int,
) -> float:
    """The rate of a step: a linear rise over `warmup` steps, then a linear fall to 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (steps - step) / (steps - warmup)


def _learning_rate_cases() -> list[Arguments]:
    small = [(step, 8, 0.4, 2) for step in range(8)]
    return [*small, (0, 5, 1e-3, 0), (4, 5, 1e-3, 0), (30, 1000, 2e-3, 100), (100, 1000, 2e-3, 100)]


def _judge_learning_rate(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    part = "the warm-up" if case["step"] < case["warmup"] else "the fall after the warm-up"
    return None if same(expected, got) else f"The rate of step {case['step']} is not right. It is in {part}."


# ---------------- build, stage 5: the training loop


def pretrain(
    model: MaskedLM,
    batches: list[tuple[torch.Tensor, torch.Tensor]],
    held_out: list[tuple[torch.Tensor, torch.Tensor]],
    mask_id: int,
    peak: float,
    warmup: int,
    every: int,
) -> list[tuple[int, float]]:
    """Trains on each batch once; returns the pairs (steps done, held-out loss)."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    history = [(0, held_out_loss(model, held_out, mask_id))]
    for step, (masked_ids, labels) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, len(batches), peak, warmup)
        optimizer.zero_grad()
        loss = model(masked_ids, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % every == 0:
            history.append((step + 1, held_out_loss(model, held_out, mask_id)))
    return history


def _run_pretrain(
    answer: Any, batches: int, peak: float, warmup: int, every: int, seed: int, size: float
) -> dict[str, Any]:
    """Trains a tiny model on drawn batches; the larger the embeddings at first (`size`), the larger the gradients."""
    random = torch.Generator().manual_seed(seed)
    encoder = _TinyEncoder(10, 4, size=size)
    model = MaskedLM(encoder, encoder.embeddings, _uniform(10)).train()
    rows = [torch.randint(3, 9, (3, 6), generator=random) for _ in range(batches + 1)]
    masked = [mask_tokens(ids, torch.arange(10) < 3, 9, 0.5, random) for ids in rows]
    history = answer(model, masked[:-1], masked[-1:], 9, peak, warmup, every)
    if not isinstance(history, list | tuple) or not all(isinstance(r, list | tuple) and len(r) == 2 for r in history):
        raise Refused("The result should be a list of pairs: (steps done, held-out loss).")
    if any(isinstance(loss, torch.Tensor) and loss.requires_grad for _, loss in history):
        raise Refused("The losses in the history hold on to the whole computation. Store plain numbers.")
    return {
        "history": [[int(step), _number(float(loss))] for step, loss in history],
        "weights": [_number(p.norm().item()) for p in model.parameters()],
        "forward passes of training": sum(gradients for _, gradients in encoder.calls),
    }


def _pretrain_cases() -> list[Arguments]:
    return [(4, 0.05, 2, 2, 0, 1.5), (6, 0.1, 3, 3, 1, 1.5), (7, 0.2, 1, 2, 2, 1.5), (5, 0.1, 2, 5, 3, 0.2)]


def _judge_pretrain(case: Case, expected: Any, got: Any) -> str | None:
    steps, wanted = ([step for step, _ in one["history"]] for one in (got, expected))
    if steps != wanted:
        return f"The history has the steps {steps}; they should be {wanted}."
    if got["forward passes of training"] != expected["forward passes of training"]:
        return "The model should compute the loss of each batch once."
    for (step, loss), (_, right) in zip(got["history"], expected["history"], strict=True):
        if not _close(loss, right, 1e-3):
            return f"After {step} steps the held-out loss is {loss}; it should be {right}."
    close = [_close(g, e, 2e-3) for g, e in zip(got["weights"], expected["weights"], strict=True)]
    return None if all(close) else "The weights after the last step are not right."


BUILD = (
    Exercise(mask_tokens, _mask_tokens_cases, _judge_mask_tokens, _run_mask_tokens),
    Exercise(MaskedLM, _masked_lm_cases, _judge_masked_lm, _run_masked_lm),
    Exercise(held_out_loss, _held_out_loss_cases, _judge_held_out_loss, _run_held_out_loss),
    Exercise(learning_rate, _learning_rate_cases, _judge_learning_rate),
    Exercise(pretrain, _pretrain_cases, _judge_pretrain, _run_pretrain),
)
