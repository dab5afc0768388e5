"""Exercise: pairs for next-sentence prediction (Devlin et al. 2019, section 3.1, task 2)."""

from __future__ import annotations

from typing import Any

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import kind, plain, same

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


def _case(sizes: tuple[int, ...], coins: list[float], picks: list[float]) -> Case:
    spare = [0.3] * (sum(sizes) - len(coins))  # one for each sentence: more than there are pairs
    return {"documents": _documents(*sizes), "coins": [*coins, *spare], "picks": [*picks, *spare]}


def _cases() -> list[Case]:
    spread = [(37 * k % 100) / 100 for k in range(12)]
    return [
        _case((3, 2), [0.2, 0.7, 0.9], [0.1, 0.6, 0.99]),
        _case((2, 3, 1), [0.5, 0.49, 0.8], [0.0, 0.3, 0.7]),
        _case((4, 1, 3), [0.9, 0.1, 0.95, 0.3, 0.6], [0.3, 0.9, 0.8, 0.2, 0.55]),
        _case((1, 2, 2, 2), [0.6, 0.7, 0.8], [0.99, 0.5, 0.2]),
        _case((2, 2), [0.1, 0.2], [0.5, 0.5]),  # all are next
        _case((5, 4, 1, 6), [1 - value for value in spread], spread[::-1]),
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


def _judge(case: Case, expected: Any, got: Any) -> str | None:
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


EXERCISE = Exercise(
    reference=sentence_pairs,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _same_document,
            "The wrong second sentences come from the same document. Take them from the others: the same one may even "
            "give the true next sentence.",
        ),
        WrongFunction(
            _any_document,
            "The wrong second sentences come from all documents, their own included. Leave that one out.",
        ),
        WrongFunction(
            _not_the_next,
            "Only the true next sentence is left out. Leave out the whole document.",
        ),
        WrongFunction(_document_after, "You take from the document after this one only. All others are in the list."),
        WrongFunction(
            _first_sentences, "You take the first sentences of other documents only. All their sentences count."
        ),
        WrongFunction(
            _across_documents,
            "You pair the last sentence of a document with the first of the next one. They do not belong together.",
        ),
        WrongFunction(_labels_turned, "is_next is turned round: True where the second sentence really followed."),
        WrongFunction(_coins_turned, "The coin is turned round: below 0.5 the pair gets the true next sentence."),
        WrongFunction(_coin_of_half, "A coin of exactly 0.5 is not below 0.5: then the pair gets another sentence."),
        WrongFunction(_all_next, "All pairs are true ones. A model would learn to say yes."),
        WrongFunction(
            _always_labelled_next, "is_next is always True. It is False where the sentence is of another document."
        ),
        WrongFunction(_order_exchanged, "First and second have changed places."),
        WrongFunction(_both, "You make two pairs for each sentence. The coin chooses one of them."),
        WrongFunction(
            _every_second,
            "You skip every second sentence. A sentence may be second in one pair and first in the next.",
        ),
        WrongFunction(
            _coins_by_place,
            "The coins begin anew with each document. `k` counts the pairs of all documents.",
        ),
    ),
)
