"""What BERT masks, sentence pairs, the loss of a masked language model, and how it is reported."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import array_problem, floats_problem, kind, numbers_of, pair_problem, plain, same

# ---------------- BERT's masking rule, 80/10/10 (Devlin et al. 2019, section 3.1)


def mask_tokens(
    input_ids: np.ndarray,
    special: np.ndarray,
    choice: np.ndarray,
    fate: np.ndarray,
    random_ids: np.ndarray,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[np.ndarray, np.ndarray]:
    """What the model reads, and what it must predict (-100: nothing); all arrays are (tokens,)."""
    chosen = (choice < rate) & ~special
    labels = np.where(chosen, input_ids, -100)
    masked_ids = np.where(chosen & (fate < 0.8), mask_id, input_ids)
    masked_ids = np.where(chosen & (fate >= 0.8) & (fate < 0.9), random_ids, masked_ids)
    return masked_ids, labels


def _row(ids: list[int], choice: list[float], fate: list[float], rate: float, mask_id: int = 4) -> Arguments:
    """A case from literal lists: ids below 4 are special, random ids are 50 and up."""
    row = np.array(ids)
    return row, row < 4, choice, fate, np.arange(50, 50 + len(row)), mask_id, rate


def _drawn(seed: int, n: int, rate: float) -> Arguments:
    random = np.random.default_rng(seed)
    ids = np.concatenate([[2], random.integers(5, 40, n - 3), [3, 0]])
    return _row(ids.tolist(), random.random(n).tolist(), random.random(n).tolist(), rate, mask_id=40 + seed)


def _mask_tokens_cases() -> list[Arguments]:
    return [
        _row([2, 11, 12, 3], [0.01, 0.01, 0.9, 0.01], [0.1, 0.1, 0.1, 0.1], 0.15),
        _row([2, 11, 12, 13, 3, 0], [0.9, 0.1, 0.2, 0.12, 0.0, 0.05], [0.5, 0.85, 0.85, 0.95, 0.85, 0.1], 0.15),
        _row([2, 9, 9, 9, 9, 3], [0.5, 0.1, 0.1, 0.1, 0.3, 0.1], [0.0, 0.8, 0.9, 0.79, 0.05, 0.99], 0.25),  # edges
        _row([2, 7, 8, 3], [0.5, 0.5, 0.6, 0.7], [0.1, 0.1, 0.1, 0.1], 0.15),  # nothing is chosen
        _row([7, 8, 9, 6], [0.15, 0.1, 0.3, 0.0], [0.2, 0.93, 0.2, 0.05], 0.15),
        _drawn(5, 30, 0.15),
        _drawn(6, 40, 0.4),
    ]


def _places(where: Any) -> str:
    found = np.flatnonzero(where).tolist()
    return f"position{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"


def _judge_mask_tokens(case: Case, expected: Any, got: Any) -> str | None:
    names = ("masked_ids", "labels")
    if problem := pair_problem(names, expected, got) or floats_problem(names, got, "Token ids are whole numbers."):
        return problem
    ids, labels = map(numbers_of, got)
    touched = case["special"] & ((ids != case["input_ids"]) | (labels != -100))
    if touched.any():
        return f"Special tokens were masked or have a label: {_places(touched)}."
    if not same(expected[1], labels):
        return f"labels is not right at {_places(labels != expected[1])}."
    return None if same(expected[0], ids) else f"masked_ids is not right at {_places(ids != expected[0])}."


# ---------------- whole-word masking, as in BERT's release of May 2019


SPECIAL = ("[CLS]", "[SEP]", "[PAD]")


def mask_whole_words(tokens: list[str], draws: np.ndarray, rate: float = 0.15) -> np.ndarray:
    """True at every piece of a masked word; the draw of its first piece decides (all are (tokens,) long)."""
    masked = np.zeros(len(tokens), dtype=bool)
    for place, token in enumerate(tokens):
        if token.startswith("##"):
            masked[place] = masked[place - 1]  # the word goes on
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


# ---------------- the output head that is tied to the embeddings, and the loss on the masked places alone


def masked_lm_loss(
    hidden: np.ndarray,
    embeddings: np.ndarray,
    bias: np.ndarray,
    labels: np.ndarray,
) -> float:
    """Mean of -ln p(label), in nats, over the places whose label is not -100."""
    asked = labels != -100
    logits = hidden[asked] @ embeddings.T + bias  # (asked, vocab): no logits for places that nobody asks for
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_p[np.arange(len(log_p)), labels[asked]].mean())


def _drawn_labels(seed: int, vocab: int, width: int, labels: list[int], size: float = 1.0) -> Arguments:
    random = np.random.default_rng(seed)
    hidden = random.normal(scale=size, size=(len(labels), width))
    return hidden, random.normal(size=(vocab, width)), random.normal(size=vocab), labels


def _masked_lm_loss_cases() -> list[Arguments]:
    third = np.log(3.0)
    return [
        ([[1.0, 0.0], [0.0, 1.0]], [[third, 0.0], [0.0, 5.0]], [0.0, 0.0], [0, -100]),  # p = 3/4
        ([[0.0, 0.0], [1.0, 1.0]], [[1.0, 2.0], [0.0, 1.0], [2.0, 0.0]], [third, 0.0, 0.0], [-100, 2]),
        _drawn_labels(1, vocab=3, width=3, labels=[-100, 2, 0, -100]),  # square: a forgotten .T gives no error
        _drawn_labels(2, vocab=7, width=4, labels=[6, -100, -100, 0, 3, -100, 6]),
        _drawn_labels(3, vocab=5, width=2, labels=[4, 1, 2]),  # all places are asked
        _drawn_labels(4, vocab=5, width=2, labels=[-100, -100, 3, 1], size=900.0),
        _drawn_labels(5, vocab=130, width=3, labels=[-100, 120, 7, -100, 30]),  # here -100 is an index that exists
    ]


def _judge_masked_lm_loss(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Did exp() overflow?" if "nan" in problem else "")
    number = numbers_of(got)
    if float(number) < -1e-6:
        return "A loss is -ln p, and no p is above 1: it cannot be below 0."
    return None if same(expected, got) else "The loss is off."


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
    Exercise(mask_tokens, _mask_tokens_cases, _judge_mask_tokens),
    Exercise(mask_whole_words, _mask_whole_words_cases, _judge_mask_whole_words),
    Exercise(sentence_pairs, _sentence_pairs_cases, _judge_sentence_pairs),
    Exercise(masked_lm_loss, _masked_lm_loss_cases, _judge_masked_lm_loss),
    Exercise(perplexity_and_bits, _perplexity_and_bits_cases, _judge_perplexity_and_bits),
)
