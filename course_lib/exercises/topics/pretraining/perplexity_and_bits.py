"""Exercise: perplexity of tokens, and bits per character."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, kind, same

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


def _case(losses: Any, mask: Any, characters: list[int]) -> Case:
    return {"losses": np.array(losses), "mask": np.array(mask), "characters": np.array(characters)}


def _cases() -> list[Case]:
    random = np.random.default_rng(5)
    two, lengths = np.log(2.0), np.array([9, 2, 5])
    return [
        _case([[2 * two, 4 * two]], [[1, 1]], [12]),  # 3 bits a token: perplexity 8, 6 bits over 12 characters
        _case([[two, 3 * two, 9.0], [two, 8.0, 7.0]], [[1, 1, 0], [1, 0, 0]], [7, 3]),
        _case([[0.0, 0.0], [0.0, 5.0]], [[1, 1], [1, 0]], [9, 4]),  # a model that knows everything
        _case([[3.0, 1.0, 2.0], [0.5, 6.0, 1.0]], [[1, 1, 1], [1, 1, 1]], [20, 11]),
        _case(random.exponential(3, size=(3, 9)), np.arange(9) < lengths[:, None], [40, 3, 33]),
        _case(random.exponential(2, size=(4, 6)), np.arange(6) < np.array([[6], [1], [1], [4]]), [22, 9, 2, 30]),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
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


EXERCISE = Exercise(
    reference=perplexity_and_bits,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _mean_of_perplexities,
            "You average the perplexities of the texts. One bad text then outweighs all. Average the losses, then exp.",
        ),
        WrongFunction(
            _mean_of_texts,
            "You average within each text first, so a token of a short text counts more. Sum over all tokens.",
        ),
        WrongFunction(
            _mean_of_ratios,
            "You average the texts' bits per character. Sum the bits, sum the characters, then divide.",
        ),
        WrongFunction(_token_perplexities, "You take exp of each loss and then the mean. The mean comes first."),
        WrongFunction(_padding_counted, "Padding is counted, its losses too. Use the mask."),
        WrongFunction(
            _padding_in_the_count,
            "The losses of the padding are left out, but you still divide by its places. Divide by mask.sum().",
        ),
        WrongFunction(_power_of_two, "The losses are in nats, so the base is e, not 2. (With bits it would be 2.)"),
        WrongFunction(_no_power, "This is the mean loss. The perplexity is e to that power."),
        WrongFunction(_of_the_sum, "You take exp of the sum. The mean over all tokens belongs there."),
        WrongFunction(_nats_a_character, "These are nats per character. Divide by ln 2 to get bits."),
        WrongFunction(
            _times_log_2, "You multiply by ln 2. A bit is 0.693 nats, so there are more bits than nats: divide."
        ),
        WrongFunction(_bits_a_token, "These are bits per token. Divide by the characters instead."),
        WrongFunction(
            _log_2_of_perplexity,
            "You divide the bits of one token by all characters. Take the bits of all tokens.",
        ),
        WrongFunction(_exchanged, "The pair is the wrong way round: perplexity first."),
        WrongFunction(_perplexity_alone, "The bits per character are missing. Give the pair."),
    ),
)
