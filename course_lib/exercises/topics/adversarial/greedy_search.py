"""Exercise: the search that most attacks on words share.

Rank the words by what their loss does, then exchange one after another: Jin et al. 2020, Is BERT Really Robust?,
algorithm 1 (TextFooler, arXiv:1907.11932), without its rules on meaning and grammar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.topics.adversarial.opinions import searches
from course_lib.exercises.word_lists import as_words, first_difference, words_problem

Score = Callable[[list[str]], float]


def greedy_search(
    words: list[str],
    candidates: list[list[str]],
    score: "Callable[[list[str]], float]",
    threshold: float = 0.5,
) -> list[str]:
    """Words after the attack: candidates[i] may stand in for words[i]; score(words) is 1 - p(true class)."""
    best, best_score = list(words), score(words)
    importance = [score(words[:i] + words[i + 1 :]) for i in range(len(words))]
    for i in sorted(range(len(words)), key=lambda i: -importance[i]):
        if best_score > threshold:
            break
        tries = [[*best[:i], word, *best[i + 1 :]] for word in candidates[i]]
        scores = [score(one) for one in tries]
        if scores and max(scores) > best_score:
            best_score = max(scores)
            best = tries[scores.index(best_score)]
    return best


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    words = as_words(got)
    if words is None:
        return words_problem(got)
    before, score = case["words"], case["score"]
    if len(words) != len(before):
        return f"The result has {len(words)} words; it should have {len(before)}. A word is exchanged, never left out."
    for i, (old, new) in enumerate(zip(before, words, strict=True)):
        if new != old and new not in case["candidates"][i]:
            return f"At place {i} stands {new!r}, which is not among the candidates {case['candidates'][i]}."
    if words == expected:
        return None
    reached, wanted = score(words), score(expected)
    if reached < score(before):
        return f"The score has fallen from {score(before):.4f} to {reached:.4f}. An attack keeps only what raises it."
    if wanted > case["threshold"] >= reached:
        return f"The score ends at {reached:.4f}; the search can reach {wanted:.4f}."
    changed, needed = (sum(a != b for a, b in zip(before, one, strict=True)) for one in (words, expected))
    if changed > needed:
        return f"The number of exchanged words is {changed}; {needed} would do."
    return first_difference(expected, words)


def _put(words: list[str], i: int, word: str) -> list[str]:
    return [*words[:i], word, *words[i + 1 :]]


def _deletion(words: list[str], score: Score) -> list[float]:
    return [score(words[:i] + words[i + 1 :]) for i in range(len(words))]


def _ranked(weights: list[float]) -> list[int]:
    return sorted(range(len(weights)), key=lambda i: -weights[i])


def _search(words: list[str], candidates: Any, score: Score, order: list[int], enough: Callable[[float], bool]) -> Any:
    """The right exchanges in any order, until a score is enough."""
    best = list(words)
    for i in order:
        if enough(score(best)):
            break
        best = max([best, *(_put(best, i, word) for word in candidates[i])], key=score)
    return best


def _in_order(order: Callable[[list[str], Score], list[int]]) -> Answer:
    """An answer that goes through the words in another order."""

    def answer(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
        return _search(words, candidates, score, order(words, score), lambda reached: reached > threshold)

    return answer


def _until(enough: Callable[[float, float], bool]) -> Answer:
    """An answer that stops by another rule: enough(score, threshold)."""

    def answer(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
        order = _ranked(_deletion(words, score))
        return _search(words, candidates, score, order, lambda reached: enough(reached, threshold))

    return answer


def _each_by(choose: Callable[[list[str], list[list[str]], Score], list[str]]) -> Answer:
    """An answer that picks the new text in another way: choose(best so far, tries for one place, score)."""

    def answer(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
        best = list(words)
        for i in _ranked(_deletion(words, score)):
            if score(best) > threshold:
                break
            if candidates[i]:
                best = choose(best, [_put(best, i, word) for word in candidates[i]], score)
        return best

    return answer


def _last_of_the_best(best: list[str], tries: list[list[str]], score: Score) -> list[str]:
    return max([best, *tries[::-1]], key=score)


def _first_that_helps(best: list[str], tries: list[list[str]], score: Score) -> list[str]:
    return next((one for one in tries if score(one) > score(best)), best)


def _as_good_is_enough(best: list[str], tries: list[list[str]], score: Score) -> list[str]:
    return max([*tries, best], key=score)


def _alone(words: list[str], score: Score) -> list[int]:
    return _ranked([score([word]) for word in words])


def _unknown(words: list[str], score: Score) -> list[int]:
    return _ranked([score(_put(words, i, "[UNK]")) for i in range(len(words))])


def _later_first(words: list[str], score: Score) -> list[int]:
    return [int(i) for i in np.argsort(_deletion(words, score), kind="stable")[::-1]]


_left_to_right = _in_order(lambda words, score: list(range(len(words))))
_least_first = _in_order(lambda words, score: _ranked([-weight for weight in _deletion(words, score)]))
_words_alone = _in_order(_alone)
_with_unknown = _in_order(_unknown)
_second_round = _in_order(lambda words, score: _ranked(_deletion(words, score)) * 2)
_ties_turned = _in_order(_later_first)
_never_enough = _until(lambda reached, threshold: False)
_enough_at_once = _until(lambda reached, threshold: reached >= threshold)
_always_half = _until(lambda reached, threshold: reached > 0.5)
_first_helpful = _each_by(_first_that_helps)
_in_any_case = _each_by(lambda best, tries, score: max(tries, key=score))
_first_candidate = _each_by(lambda best, tries, score: tries[0])
_lowest = _each_by(lambda best, tries, score: min([best, *tries], key=score))
_equal_exchanged = _each_by(_as_good_is_enough)
_last_of_equals = _each_by(_last_of_the_best)


def _already_wrong(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    best = list(words)
    for i in _ranked(_deletion(words, score)):
        best = max([best, *(_put(best, i, word) for word in candidates[i])], key=score)
        if score(best) > threshold:
            break
    return best


def _one_exchange(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    return greedy_search(words, candidates, score, min(threshold, score(words)))


def _each_from_the_original(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    best = list(words)
    for i in _ranked(_deletion(words, score)):
        if score(best) > threshold:
            break
        best = max([best, *(_put(words, i, word) for word in candidates[i])], key=score)
    return best


def _chosen_on_the_original(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    best = list(words)
    for i in _ranked(_deletion(words, score)):
        if score(best) > threshold:
            break
        best[i] = max([words, *(_put(words, i, word) for word in candidates[i])], key=score)[i]
    return best


def _any_place_each_time(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    best = list(words)
    while score(best) <= threshold:
        tries = [_put(best, i, word) for i, choices in enumerate(candidates) for word in choices]
        leader = max([best, *tries], key=score)
        if leader == best:
            break
        best = leader
    return best


def _ranked_anew(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    best, open_places = list(words), set(range(len(words)))
    while open_places and score(best) <= threshold:
        i = next(i for i in _ranked(_deletion(best, score)) if i in open_places)
        open_places.remove(i)
        best = max([best, *(_put(best, i, word) for word in candidates[i])], key=score)
    return best


def _words_left_out(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    left = list(words)
    for i in _ranked(_deletion(words, score)):
        if score(left) > threshold or not left:
            break
        if words[i] in left:
            left.remove(words[i])
    return left


def _joined(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    return " ".join(greedy_search(words, candidates, score, threshold))


def _score_only(words: list[str], candidates: list[list[str]], score: Score, threshold: float = 0.5) -> Any:
    return score(greedy_search(words, candidates, score, threshold))


EXERCISE = Exercise(
    reference=greedy_search,
    cases=searches,
    judge=_judge,
    wrong=(
        WrongFunction(
            _left_to_right, "You go through the words from left to right. Begin with the most important one."
        ),
        WrongFunction(_least_first, "You begin with the least important word. Turn the order round."),
        WrongFunction(
            _words_alone, "You score each word alone. Its importance shows in what the rest scores without it."
        ),
        WrongFunction(_with_unknown, "You put [UNK] in the place of the word to rank it. Leave the word out here."),
        WrongFunction(
            _ties_turned,
            "Among equally important words you begin with the last. A stable sort with a minus keeps them in order.",
        ),
        WrongFunction(
            _ranked_anew, "You rank anew after each exchange. That costs a question for each word: rank once."
        ),
        WrongFunction(
            _never_enough,
            "You do not stop once the score has passed the threshold. Each exchange makes the text stranger.",
        ),
        WrongFunction(_enough_at_once, "You stop at a score equal to the threshold. It has to be above."),
        WrongFunction(_always_half, "You always stop at one half. Use the argument threshold."),
        WrongFunction(
            _already_wrong,
            "You exchange a word before you look at the score. A text that the model has wrong needs no attack.",
        ),
        WrongFunction(
            _one_exchange, "You stop after the first exchange that helps. Go on until the threshold is passed."
        ),
        WrongFunction(_first_helpful, "You take the first candidate that helps. Try all of them, and take the best."),
        WrongFunction(_first_candidate, "You take the first candidate of each word. Ask the model about all of them."),
        WrongFunction(
            _in_any_case, "You take the best candidate even if it lowers the score. Then the old word is better."
        ),
        WrongFunction(
            _equal_exchanged, "You exchange a word though the score stays the same. Only what raises it counts."
        ),
        WrongFunction(_last_of_equals, "Of candidates with equal scores you take the last. Take the first one."),
        WrongFunction(_lowest, "You look for the lowest score. It is 1 - p(true class), so the attack wants it high."),
        WrongFunction(
            _each_from_the_original,
            "Each try begins with the original, so earlier exchanges are lost. Begin with the best text so far.",
        ),
        WrongFunction(
            _chosen_on_the_original,
            "You choose each candidate in the original text. Words work together: try it in the text as it is by then.",
        ),
        WrongFunction(
            _any_place_each_time,
            "You try all candidates of all words each time. That finds good texts, and asks far more than needed.",
        ),
        WrongFunction(_second_round, "You go through the words a second time. Each word has one turn."),
        WrongFunction(_words_left_out, "You leave words out. That is done to rank them only, then they are exchanged."),
        WrongFunction(_joined, "This is one string. Give a list of words."),
        WrongFunction(_score_only, "This is the score that was reached. Give the words."),
    ),
)
