"""Sentence pairs, the loss of a masked language model, and how it is reported."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise
from course_lib.exercises.values import array_problem, as_numbers, kind, plain, same

# ---------------- pairs for next-sentence prediction (Devlin et al. 2019, section 3.1, task 2)


Triple = tuple[str, str, bool]


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


def _sentence_pairs_case(sizes: tuple[int, ...], coins: list[float], picks: list[float]) -> Case:
    spare = [0.3] * (sum(sizes) - len(coins))  # one for each sentence: more than there are pairs
    return {"documents": _documents(*sizes), "coins": [*coins, *spare], "picks": [*picks, *spare]}


def _sentence_pairs_cases() -> list[Case]:
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
        return f"Pair {number}: {second!r} is of the same document as {first!r}, and its coin asks for another one."
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


def _made(documents: list[list[str]], coins: list[float], picks: list[float], pool: Any) -> list[Triple]:
    """The right pairs, but for where a sentence that is not next comes from: pool(document's number, place)."""
    pairs: list[Triple] = []
    for number, document in enumerate(documents):
        for place in range(len(document) - 1):
            others, k = pool(number, place), len(pairs)
            if coins[k] < 0.5:
                pairs.append((document[place], document[place + 1], True))
            else:
                pairs.append((document[place], others[int(picks[k] * len(others))], False))
    return pairs


def _flat(documents: list[list[str]]) -> list[str]:
    return [sentence for document in documents for sentence in document]


def _same_document(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    return _made(documents, coins, picks, lambda number, place: documents[number])


def _any_document(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    return _made(documents, coins, picks, lambda number, place: _flat(documents))


def _not_the_next(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    def pool(number: int, place: int) -> list[str]:
        return [sentence for sentence in _flat(documents) if sentence != documents[number][place + 1]]

    return _made(documents, coins, picks, pool)


def _document_after(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    return _made(documents, coins, picks, lambda number, place: documents[(number + 1) % len(documents)])


def _first_sentences(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    return _made(documents, coins, picks, lambda n, place: [d[0] for k, d in enumerate(documents) if k != n])


def _across_documents(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    owner = [number for number, document in enumerate(documents) for _ in document]
    flat, pairs = _flat(documents), []
    for k in range(len(flat) - 1):
        others = [s for s, number in zip(flat, owner, strict=True) if number != owner[k]]
        is_next = coins[k] < 0.5
        pairs.append((flat[k], flat[k + 1] if is_next else others[int(picks[k] * len(others))], is_next))
    return pairs


def _labels_turned(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    return [(one, two, not is_next) for one, two, is_next in sentence_pairs(documents, coins, picks)]


def _coins_turned(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    return sentence_pairs(documents, [0.0 if coin >= 0.5 else 1.0 for coin in coins], picks)


def _coin_of_half(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    return sentence_pairs(documents, [0.0 if coin <= 0.5 else 1.0 for coin in coins], picks)


def _all_next(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    return sentence_pairs(documents, [0.0] * len(coins), picks)


def _always_labelled_next(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    return [(one, two, True) for one, two, _ in sentence_pairs(documents, coins, picks)]


def _order_exchanged(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    return [(two, one, is_next) for one, two, is_next in sentence_pairs(documents, coins, picks)]


def _both(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    nexts, others = (sentence_pairs(documents, [coin] * len(coins), picks) for coin in (0.0, 1.0))
    return [pair for two in zip(nexts, others, strict=True) for pair in two]


def _every_second(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    pairs: list[Triple] = []
    for number, document in enumerate(documents):
        others = [s for k, other in enumerate(documents) if k != number for s in other]
        for place in range(0, len(document) - 1, 2):
            k, is_next = len(pairs), coins[len(pairs)] < 0.5
            pairs.append(
                (document[place], document[place + 1] if is_next else others[int(picks[k] * len(others))], is_next)
            )
    return pairs


def _coins_by_place(documents: list[list[str]], coins: list[float], picks: list[float]) -> Any:
    places = [place for document in documents for place in range(len(document) - 1)]
    return sentence_pairs(documents, [coins[place] for place in places], [picks[place] for place in places])


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


def _masked_lm_loss_case(hidden: Any, embeddings: Any, bias: Any, labels: list[int]) -> Case:
    arrays = {"hidden": np.array(hidden), "embeddings": np.array(embeddings), "bias": np.array(bias)}
    return {**arrays, "labels": np.array(labels)}


def _drawn(seed: int, vocab: int, width: int, labels: list[int], size: float = 1.0) -> Case:
    random = np.random.default_rng(seed)
    hidden = random.normal(scale=size, size=(len(labels), width))
    return _masked_lm_loss_case(hidden, random.normal(size=(vocab, width)), random.normal(size=vocab), labels)


def _masked_lm_loss_cases() -> list[Case]:
    third = np.log(3.0)
    return [
        _masked_lm_loss_case([[1.0, 0.0], [0.0, 1.0]], [[third, 0.0], [0.0, 5.0]], [0.0, 0.0], [0, -100]),  # p = 3/4
        _masked_lm_loss_case(
            [[0.0, 0.0], [1.0, 1.0]], [[1.0, 2.0], [0.0, 1.0], [2.0, 0.0]], [third, 0.0, 0.0], [-100, 2]
        ),
        _drawn(1, vocab=3, width=3, labels=[-100, 2, 0, -100]),  # square: a forgotten .T gives no error
        _drawn(2, vocab=7, width=4, labels=[6, -100, -100, 0, 3, -100, 6]),
        _drawn(3, vocab=5, width=2, labels=[4, 1, 2]),  # all places are asked
        _drawn(4, vocab=5, width=2, labels=[-100, -100, 3, 1], size=900.0),
        _drawn(5, vocab=130, width=3, labels=[-100, 120, 7, -100, 30]),  # here -100 is an index that exists
    ]


def _judge_masked_lm_loss(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Did exp() overflow?" if "nan" in problem else "")
    number = as_numbers(got)
    assert number is not None
    if float(number) < -1e-6:
        return "A loss is -ln p, and no p is above 1: it cannot be below 0."
    return None if same(expected, got) else "The loss is off."


def _log_p(logits: Any, axis: int = 1) -> Any:
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _losses(logits: Any, labels: Any) -> Any:
    return -_log_p(logits)[np.arange(len(labels)), labels]


def _asked(hidden: Any, embeddings: Any, bias: Any, labels: Any) -> Any:
    """The losses of the asked places, one by one."""
    asked = labels != -100
    return _losses(hidden[asked] @ embeddings.T + bias, labels[asked])


def _every_place(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(_losses(hidden @ embeddings.T + bias, labels).mean())


def _as_padding(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(_losses(hidden @ embeddings.T + bias, np.maximum(labels, 0)).mean())


def _over_all_places(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(_asked(hidden, embeddings, bias, labels).sum() / len(labels))


def _sum(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(_asked(hidden, embeddings, bias, labels).sum())


def _one_by_one(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> Any:
    return _asked(hidden, embeddings, bias, labels)


def _bits(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(_asked(hidden, embeddings, bias, labels).mean() / np.log(2))


def _power(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(np.exp(_asked(hidden, embeddings, bias, labels).mean()))


def _without_minus(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(-_asked(hidden, embeddings, bias, labels).mean())


def _without_bias(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return masked_lm_loss(hidden, embeddings, 0 * bias, labels)


def _not_transposed(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    asked = labels != -100
    return float(_losses(hidden[asked] @ embeddings + bias, labels[asked]).mean())


def _logit_alone(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    asked = labels != -100
    logits = hidden[asked] @ embeddings.T + bias
    return float(-logits[np.arange(len(logits)), labels[asked]].mean())


def _log_of_mean(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(np.exp(-_asked(hidden, embeddings, bias, labels)).mean()))


def _over_places(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    asked = labels != -100
    log_p = _log_p(hidden[asked] @ embeddings.T + bias, axis=0)
    return float(-log_p[np.arange(len(log_p)), labels[asked]].mean())


def _without_maximum(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    asked = labels != -100
    powers = np.exp(hidden[asked] @ embeddings.T + bias)
    p = powers[np.arange(len(powers)), labels[asked]] / powers.sum(axis=1)
    return float(-np.log(p).mean())


def _log_of_softmax(hidden: np.ndarray, embeddings: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> float:
    asked = labels != -100
    logits = hidden[asked] @ embeddings.T + bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = powers[np.arange(len(powers)), labels[asked]] / powers.sum(axis=1)
    return float(-np.log(p).mean())


# ---------------- perplexity of tokens, and bits per character


Pair = tuple[float, float]


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


def _perplexity_and_bits_case(losses: Any, mask: Any, characters: list[int]) -> Case:
    return {"losses": np.array(losses), "mask": np.array(mask), "characters": np.array(characters)}


def _perplexity_and_bits_cases() -> list[Case]:
    random = np.random.default_rng(5)
    two, lengths = np.log(2.0), np.array([9, 2, 5])
    return [
        _perplexity_and_bits_case(
            [[2 * two, 4 * two]], [[1, 1]], [12]
        ),  # 3 bits a token: perplexity 8, 6 bits over 12 characters
        _perplexity_and_bits_case([[two, 3 * two, 9.0], [two, 8.0, 7.0]], [[1, 1, 0], [1, 0, 0]], [7, 3]),
        _perplexity_and_bits_case([[0.0, 0.0], [0.0, 5.0]], [[1, 1], [1, 0]], [9, 4]),  # a model that knows everything
        _perplexity_and_bits_case([[3.0, 1.0, 2.0], [0.5, 6.0, 1.0]], [[1, 1, 1], [1, 1, 1]], [20, 11]),
        _perplexity_and_bits_case(random.exponential(3, size=(3, 9)), np.arange(9) < lengths[:, None], [40, 3, 33]),
        _perplexity_and_bits_case(
            random.exponential(2, size=(4, 6)), np.arange(6) < np.array([[6], [1], [1], [4]]), [22, 9, 2, 30]
        ),
    ]


def _judge_perplexity_and_bits(case: Case, expected: Any, got: Any) -> str | None:
    pair = got.tolist() if hasattr(got, "tolist") else got
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        return f"The result should be a pair, perplexity and bits per character, but it is {kind(got)}."
    for name, wanted, part in zip(("perplexity", "bits per character"), expected, pair, strict=True):
        if problem := array_problem(wanted, part):
            return f"{name}: {problem}"
    if not same(expected[0], pair[0]):
        return "The perplexity is off."
    return None if same(expected[1], pair[1]) else "The perplexity is right; the bits per character are off."


def _nats(losses: Any, mask: Any) -> float:
    return float((losses * mask).sum())


def _mean_of_perplexities(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    each = np.exp((losses * mask).sum(axis=1) / mask.sum(axis=1))
    return float(each.mean()), perplexity_and_bits(losses, mask, characters)[1]


def _mean_of_texts(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    each = (losses * mask).sum(axis=1) / mask.sum(axis=1)
    return float(np.exp(each.mean())), perplexity_and_bits(losses, mask, characters)[1]


def _mean_of_ratios(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    each = (losses * mask).sum(axis=1) / np.log(2) / characters
    return perplexity_and_bits(losses, mask, characters)[0], float(each.mean())


def _token_perplexities(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    each = np.exp(losses)[mask == 1]
    return float(each.mean()), perplexity_and_bits(losses, mask, characters)[1]


def _padding_counted(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    return perplexity_and_bits(losses, np.ones_like(mask), characters)


def _padding_in_the_count(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    return float(np.exp((losses * mask).mean())), perplexity_and_bits(losses, mask, characters)[1]


def _power_of_two(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    return float(2 ** (_nats(losses, mask) / mask.sum())), perplexity_and_bits(losses, mask, characters)[1]


def _no_power(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    return _nats(losses, mask) / float(mask.sum()), perplexity_and_bits(losses, mask, characters)[1]


def _of_the_sum(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    return float(np.exp(_nats(losses, mask))), perplexity_and_bits(losses, mask, characters)[1]


def _nats_a_character(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    return perplexity_and_bits(losses, mask, characters)[0], _nats(losses, mask) / float(characters.sum())


def _times_log_2(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    perplexity, bits = perplexity_and_bits(losses, mask, characters)
    return perplexity, bits * float(np.log(2)) ** 2


def _bits_a_token(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    return perplexity_and_bits(losses, mask, characters)[0], _nats(losses, mask) / float(np.log(2) * mask.sum())


def _log_2_of_perplexity(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    perplexity = perplexity_and_bits(losses, mask, characters)[0]
    return perplexity, float(np.log2(perplexity) / characters.sum())


def _exchanged(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> Pair:
    perplexity, bits = perplexity_and_bits(losses, mask, characters)
    return bits, perplexity


def _perplexity_alone(losses: np.ndarray, mask: np.ndarray, characters: np.ndarray) -> float:
    return perplexity_and_bits(losses, mask, characters)[0]


EXERCISES = (
    Exercise(sentence_pairs, _sentence_pairs_cases, _judge_sentence_pairs),
    Exercise(masked_lm_loss, _masked_lm_loss_cases, _judge_masked_lm_loss),
    Exercise(perplexity_and_bits, _perplexity_and_bits_cases, _judge_perplexity_and_bits),
)
