"""The success rate of an attack, gradient attacks on words and embeddings, and a build: an attack from four parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise, Refused
from course_lib.exercises.values import array_problem, as_numbers, as_whole_numbers, as_words, brief, numbers_of, same

# ---------------- which texts a success rate counts
# Morris et al. 2020, TextAttack (arXiv:2005.05909), and most papers since count as here: texts that the model had
# wrong before are skipped: they neither succeed nor fail.


def attack_success_rate(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Succeeded / attacked, nan if none was attacked; labels and predictions before and after are (n,)."""
    attacked = before == labels
    succeeded = attacked & (after != labels)
    if not attacked.any():
        return float("nan")
    return float(succeeded.sum() / attacked.sum())


def _drawn(seed: int, n: int, classes: int) -> Arguments:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    before = np.where(random.random(n) < 0.6, labels, random.integers(0, classes, n))
    after = np.where(random.random(n) < 0.5, before, random.integers(0, classes, n))
    return labels, before, after


def _attack_success_rate_cases() -> list[Arguments]:
    return [
        ([1, 1, 0, 0, 1], [1, 1, 0, 1, 1], [0, 1, 1, 1, 0]),  # four attacked, three succeed
        ([1, 0, 1], [1, 0, 0], [1, 0, 0]),  # no success
        ([1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1]),  # all succeed
        ([1, 0, 1, 1], [0, 1, 1, 1], [1, 0, 0, 1]),  # a misclassified text is correct afterwards
        (
            [2, 0, 1, 2, 0],
            [2, 1, 1, 2, 2],
            [0, 2, 1, 1, 1],
        ),  # three classes; misclassified before, and as another class after
        ([1, 0], [0, 1], [0, 1]),  # nothing to attack
        ([0, 0, 2], [1, 2, 1], [0, 0, 2]),  # nothing to attack either
        ([0, 0, 0], [0, 0, 0], [0, 0, 1]),
        _drawn(1, 40, 2),
        _drawn(2, 60, 4),
    ]


def _judge_attack_success_rate(case: Case, expected: Any, got: Any) -> str | None:
    numbers = as_numbers(got)
    if numbers is None or numbers.shape != ():
        return array_problem(expected, got)
    rate = float(numbers)
    if same(expected, rate):
        return None
    if np.isnan(expected):
        return (
            f"The model misclassified all texts before, so none was attacked. The rate should be nan, not {rate:.6g}."
        )
    if np.isnan(rate):
        return "The rate is nan, although some texts were classified correctly before."
    if not 0 <= rate <= 1:
        return f"The rate should lie between 0 and 1, but it is {rate:.6g}."
    right = int((case["before"] == case["labels"]).sum())
    n = len(case["labels"])
    return f"Of {n} texts, {right} were correct before. The rate should be {expected:.6g}, not {rate:.6g}."


# ---------------- first-order gains of all substitutions of one token, from a single gradient
# Ebrahimi et al. 2018, HotFlip: White-Box Adversarial Examples for Text Classification, equations 1 and 2
# (arXiv:1712.06751), with rows of the embedding table instead of one-hot vectors.


def hotflip_scores(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """First-order gains in loss (tokens, vocabulary), -inf where a token would replace itself, from
    gradient (tokens, hidden), table (vocabulary, hidden) and ids (tokens,)."""
    positions = np.arange(len(ids))
    toward = gradient @ table.T  # (tokens, vocabulary)
    scores: np.ndarray = toward - toward[positions, ids][:, None]
    scores[positions, ids] = -np.inf
    return scores


def _hotflip_scores_cases() -> list[Arguments]:
    random = np.random.default_rng(6)
    corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]

    def drawn(tokens: int, hidden: int, ids: list[int], vocabulary: int) -> Arguments:
        return random.normal(size=(tokens, hidden)), random.normal(size=(vocabulary, hidden)), ids

    return [
        ([[1.0, 3.0]], corners, [1]),
        ([[1.0, 3.0], [-2.0, 0.5]], corners, [2, 0]),
        ([[1.0, -1.0], [0.0, 0.0]], corners, [0, 1]),  # a position whose gradient is 0
        drawn(3, 3, [2, 0, 1], 3),  # all sizes are equal, so the shape tells nothing
        drawn(3, 2, [4, 4, 1], 5),  # one token twice
        drawn(2, 4, [0, 1], 4),
        drawn(5, 3, [7, 0, 3, 3, 6], 8),
        drawn(1, 2, [1], 2),
    ]


def _judge_hotflip_scores(case: Case, expected: Any, got: Any) -> str | None:
    numbers = as_numbers(got)
    if numbers is None or numbers.shape != np.shape(expected):
        return array_problem(expected, got)
    places, ids = np.arange(len(case["ids"])), case["ids"]
    if (stays := np.flatnonzero(numbers[places, ids] != -np.inf)).size:
        place = int(stays[0])
        return f"Position {place} has the score {numbers[place, ids[place]]:.6g} for its own token; it should be -inf."
    if not np.isfinite(numbers[expected > -np.inf]).all():
        place, token = np.argwhere(~np.isfinite(numbers) & (expected > -np.inf))[0]
        return f"The substitution at position {place} by token {token} is allowed, so its score should be finite."
    wrong = [place for place in np.ndindex(numbers.shape) if not same(expected[place], numbers[place])]
    if not wrong:
        return None
    place, token = wrong[0]
    return f"The shape is right, but the score at position {place} for token {token} is wrong."


# ---------------- one step uphill in the space of token embeddings
# Goodfellow et al. 2015, Explaining and Harnessing Adversarial Examples, section 4 (arXiv:1412.6572), for the sign;
# Miyato et al. 2017, Adversarial Training Methods for Semi-Supervised Text Classification, section 3
# (arXiv:1605.07725), for its L2 sibling on word embeddings.


def fgsm(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> np.ndarray:
    """A step of size epsilon up the gradient, from embedding (tokens, hidden); norm is "linf" or "l2"."""
    if norm == "linf":
        direction = np.sign(gradient)
    else:
        length = np.sqrt(np.sum(gradient**2))  # of the whole sentence, all tokens together
        direction = gradient / length if length > 0 else np.zeros_like(gradient)
    moved: np.ndarray = embedding + epsilon * direction
    return moved


def _fgsm_cases() -> list[Arguments]:
    random = np.random.default_rng(5)
    table, gradient = random.normal(size=(2, 4, 3))
    return [
        ([[1.0, 2.0]], [[3.0, -4.0]], 0.1, "linf"),
        ([[1.0, 2.0]], [[3.0, -4.0]], 0.1, "l2"),
        ([[1.0, 1.0], [1.0, 1.0]], [[3.0, 0.0], [0.0, 4.0]], 0.5, "l2"),  # one length for both tokens
        ([[1.0, 1.0], [1.0, 1.0]], [[3.0, 0.0], [0.0, -4.0]], 0.5, "linf"),  # the sign of 0 is 0
        ([[-2.0, 0.5], [0.3, 4.0]], [[0.0, 0.0], [0.6, 0.8]], 2.0, "l2"),  # a token whose gradient is 0
        ([[0.2, -0.2]], [[0.0, 0.0]], 0.3, "l2"),  # the whole gradient is 0
        ([[0.2, -0.2]], [[0.0, 0.0]], 0.3, "linf"),
        (table, gradient, 0.25, "linf"),
        (table, gradient, 0.25, "l2"),
        (table[:2], 5e-7 * gradient[:2], 1.0, "l2"),  # a confident model has tiny gradients
        (table[:2], 5e-7 * gradient[:2], 1.0, "linf"),
    ]


def _judge_fgsm(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Is a length zero?" if "nan" in problem else "")
    numbers = numbers_of(got)
    if same(expected, got):
        return None
    if not case["gradient"].any():
        return "If the gradient is zero, no direction raises the loss, and nothing should change."
    step = numbers - case["embedding"]
    l2 = case["norm"] == "l2"
    size = np.sqrt(np.sum(step**2)) if l2 else np.max(np.abs(step))
    measured = "step has the L2 length" if l2 else "largest change of a number is"
    if not np.isclose(size, case["epsilon"], rtol=1e-4):
        return f"The {measured} {size:.6g}; epsilon is {case['epsilon']:g}."
    return "The size of the step is right, but its direction is wrong."


# ---------------- a build: an attack from a goal function, a transformation, constraints and a search method
# The four parts and their names are those of Morris et al. 2020, TextAttack (arXiv:2005.05909). The search is that of
# Jin et al. 2020, Is BERT Really Robust?, algorithm 1 (arXiv:1907.11932), the typing errors those of Pruthi et al. 2019
# (arXiv:1905.11268), which keep the first and the last character.


class UntargetedClassification:
    """Goal function: the model predicts any class but the true one. It counts its queries."""

    def __init__(self, model: "Any", label: "Any", query_budget: int = 200) -> None:
        """model has classes_ and predict_proba(texts); label, one of classes_, is the true class."""
        self.model, self.column = model, list(model.classes_).index(label)
        self.query_budget, self.num_queries = query_budget, 0

    def get_results(self, texts: list[str]) -> list[tuple[float, bool]]:
        """(1 - p(true class), succeeded) for each text; texts beyond the query budget have no result."""
        texts = texts[: self.query_budget - self.num_queries]
        if not texts:
            return []
        self.num_queries += len(texts)
        probabilities = self.model.predict_proba(texts)  # (texts, classes)
        scores = 1 - probabilities[:, self.column]
        succeeded = probabilities.argmax(axis=1) != self.column
        return list(zip(scores.tolist(), succeeded.tolist(), strict=True))


class ToyModel:
    """A model of a few words: class k has the logit signs[k] x (sum of the words' weights), or 0.2 where the sign is 0.

    The word "not" negates the weight of the next word. The weights are multiples of 1/8, so sums and ties are exact.
    """

    def __init__(self, classes: list[Any], signs: list[float]) -> None:
        self.classes_, self.signs, self.texts = np.array(classes), np.array(signs), list[str]()

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        """(texts, classes); all texts are kept in `texts`."""
        self.texts += texts
        weights = np.array([_weight(text.split()) for text in texts])[:, None]
        powers = np.exp(np.where(self.signs == 0, 0.2, self.signs * weights))
        probabilities: np.ndarray = powers / powers.sum(1, keepdims=True)
        return probabilities


_WORD_WEIGHTS = {
    **{"superb": 3.0, "great": 2.0, "good": 1.25, "fine": 1.0, "nice": 0.75, "film": 0.125, "movie": 0.25, "cast": 0.5},
    **{"plain": -0.125, "odd": -0.5, "slow": -0.75, "weak": -1.0, "bad": -1.25, "dull": -2.0, "awful": -3.0},
}


def _weight(words: list[str]) -> float:
    return sum(
        _WORD_WEIGHTS.get(word, 0.0) * (-1 if before == "not" else 1)
        for before, word in zip(["", *words], words, strict=False)
    )


def _run_goal(
    answer: Any, classes: list[Any], signs: list[float], label: Any, query_budget: int, batches: list[list[str]]
) -> list[Any]:
    """[results of each batch, num_queries after each batch, texts that the model was given]."""
    model = ToyModel(classes, signs)
    goal = answer(model, label, query_budget)
    results, queries = [], []
    for texts in batches:
        results.append(_result_pairs(_method(goal, "get_results")(list(texts))))
        queries.append(_method(goal, "num_queries"))
    return [results, queries, len(model.texts)]


def _method(thing: Any, name: str) -> Any:
    if not hasattr(thing, name):
        raise Refused(f"Your {type(thing).__name__} has no attribute {name!r}.")
    return getattr(thing, name)


def _result_pairs(results: Any) -> list[list[Any]]:
    if not isinstance(results, list) or not all(isinstance(one, tuple | list) and len(one) == 2 for one in results):
        raise Refused("get_results should return a list with one pair (score, succeeded) for each text.")
    return [[float(score), bool(succeeded)] for score, succeeded in results]


def _goal_cases() -> list[Arguments]:
    two, three = [["negative", "positive"], [-1.0, 1.0]], [["positive", "neutral", "negative"], [1.0, 0.0, -1.0]]
    return [
        (*two, "positive", 10, [["good film", "bad film"]]),
        (["positive", "negative"], [1.0, -1.0], "negative", 10, [["awful", "good", "odd cast"]]),  # not sorted
        ([1, 0], [1.0, -1.0], 0, 10, [["awful", "good"], ["odd cast"], []]),
        (*three, "positive", 10, [["film", "nice", "plain", "not nice"]]),  # p below 0.5 and still the largest
        (*three, "neutral", 10, [["film", "bad", "great"]]),
        (*two, "positive", 5, [["good film"], ["nice", "odd", "fine"], ["bad", "weak"], ["dull"]]),  # budget used up
        (*two, "negative", 2, [["weak", "bad", "good"], ["good"]]),
    ]


def _judge_goal(case: Case, expected: Any, got: Any) -> str | None:
    if same(expected, got):
        return None
    for number, (wanted, found) in enumerate(zip(expected[0], got[0], strict=True)):
        if len(wanted) != len(found):
            return f"Call {number} of get_results returns {len(found)} results; it should return {len(wanted)}."
        for text, (score, won), (other, other_won) in zip(case["batches"][number], wanted, found, strict=False):
            if not same(score, other):
                return f"The score of {text!r} should be {score:.4f}, not {other:.4f}."
            if won != other_won:
                return f"For {text!r} succeeded should be {won}, not {other_won}."
    if expected[1] != got[1]:
        return f"num_queries should be {expected[1]} after the calls, not {got[1]}."
    return f"The model was queried with {got[2]} texts; it should be queried with {expected[2]}."


class WordSwapTypos:
    """Transformation: one typing error in one word, whose first and last characters do not change."""

    def get_replacement_words(self, word: str) -> list[str]:
        """All swaps of two neighbouring inner characters and deletions of one, each different word once."""
        swaps = [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(1, len(word) - 2)]
        deletions = [word[:i] + word[i + 1 :] for i in range(1, len(word) - 1)]
        return [new for new in dict.fromkeys(swaps + deletions) if new != word]

    def __call__(self, words: list[str], index: int) -> list[list[str]]:
        """The text, a list of words, with each replacement of the word at `index`."""
        return [[*words[:index], new, *words[index + 1 :]] for new in self.get_replacement_words(words[index])]


def _run_typos(answer: Any, words: list[str], index: int) -> list[Any]:
    """[replacement words, texts], both sorted: their order does not matter."""
    transformation = answer()
    replacements, texts = transformation.get_replacement_words(words[index]), transformation(words, index)
    if as_words(replacements) is None:
        raise Refused("get_replacement_words should return a list of words.")
    if not isinstance(texts, list) or any(as_words(text) is None for text in texts):
        raise Refused("Calling the transformation should return a list of texts, each a list of words.")
    return [sorted(replacements), sorted(list(text) for text in texts)]


def _typos_cases() -> list[Arguments]:
    return [
        (["a", "good", "film"], 2),
        (["a", "good", "film"], 1),  # a swap of o and o changes nothing, and both deletions are equal
        (["great", "acting"], 0),
        (["bad", "bad", "film"], 1),  # one inner character; the same word elsewhere stays
        (["an", "odd", "a"], 0),
        (["an", "odd", "a"], 2),
        (["The", "balloon,"], 1),
        (["fine"], 0),
    ]


def _judge_typos(case: Case, expected: Any, got: Any) -> str | None:
    for name, wanted, found in zip(("get_replacement_words", "The call"), expected, got, strict=True):
        if wanted == found:
            continue
        if extra := [one for one in found if one not in wanted]:
            return f"{name} returns {brief(extra[0])}, which is none of the results that it should return."
        if missing := [one for one in wanted if one not in found]:
            return f"{name} does not return {brief(missing[0])}."
        return f"{name} returns {brief(max(found, key=found.count))} more than once."
    return None


class Constraints:
    """Which words may be modified, and how many of them may differ in the end."""

    def __init__(self, stopwords: set[str], min_length: int = 4, max_percent: float = 0.25) -> None:
        """stopwords in lower case; min_length in letters; max_percent as a fraction from 0 to 1."""
        self.stopwords, self.min_length, self.max_percent = stopwords, min_length, max_percent

    def modifiable_indices(self, original: list[str], current: list[str]) -> list[int]:
        """Indices of the words that are not modified yet, are long enough, and are no stop words."""
        letters = ["".join(c for c in word if c.isalpha()).lower() for word in original]
        long = [len(word) >= self.min_length for word in letters]
        unchanged = [old == new for old, new in zip(original, current, strict=True)]
        return [i for i, word in enumerate(letters) if long[i] and unchanged[i] and word not in self.stopwords]

    def allows(self, original: list[str], current: list[str]) -> bool:
        """Whether at most max_percent of the words differ, rounded down; one word may always differ."""
        changed = sum(old != new for old, new in zip(original, current, strict=True))
        return changed <= max(1, int(self.max_percent * len(original)))


def _run_constraints(
    answer: Any, stopwords: list[str], min_length: int, max_percent: float, original: str, texts: list[str]
) -> list[Any]:
    """[modifiable indices, allowed] for each current text."""
    constraints, words = answer(set(stopwords), min_length, max_percent), original.split()
    results = []
    for text in texts:
        indices = _method(constraints, "modifiable_indices")(list(words), text.split())
        if as_whole_numbers(indices) is None:
            raise Refused("modifiable_indices should return a list of whole numbers.")
        results.append([as_whole_numbers(indices), bool(_method(constraints, "allows")(list(words), text.split()))])
    return results


def _constraints_cases() -> list[Arguments]:
    text, eight = "The film is a truly great one, but long", "this film was never really very great fun"
    return [
        (["the", "but"], 4, 0.25, text, [text, "The film is a turly great one, but long"]),
        (["film", "great"], 1, 0.5, "A FILM, (great) fun!", ["A FILM, (great) fun!", "A FILM, (graet) fn!"]),
        (
            [],
            3,
            0.25,
            eight,
            ["this flim was never really very great fun", "this flim wsa never really very great fun"],
        ),
        ([], 3, 0.25, eight, ["tihs flim wsa never really very great fun"]),  # 3 of 8 words
        (["very"], 5, 0.1, eight, [eight, "this film was never really very graet fun"]),  # one word is always allowed
        (["really"], 2, 0.4, "Really, I don't know.", ["Really, I don't know.", "Really, I dno't konw."]),
        ([], 1, 0.3, "- 7 so it goes -", ["- 7 so it goes -", "- 7 os it geos -"]),
    ]


def _judge_constraints(case: Case, expected: Any, got: Any) -> str | None:
    for text, (indices, allowed), (found, found_allowed) in zip(case["texts"], expected, got, strict=True):
        if indices != found:
            return f"For the current text {text!r} the modifiable indices should be {indices}, not {found}."
        if allowed != found_allowed:
            return f"For the current text {text!r} allows should return {allowed}, not {found_allowed}."
    return None


def greedy_word_swap_wir(
    original: list[str],
    goal: "UntargetedClassification",
    transformation: "WordSwapTypos",
    constraints: "Constraints",
) -> tuple[list[str], bool]:
    """(words, succeeded): what a greedy search finds, the most important words first."""
    best, found = original, False
    [(best_score, succeeded)] = goal.get_results([" ".join(original)])
    if succeeded:
        return best, True
    indices = constraints.modifiable_indices(original, original)
    without = [" ".join(original[:i] + original[i + 1 :]) for i in indices]
    importance = [score for score, _ in goal.get_results(without)]
    for _, i in sorted(zip(importance, indices, strict=False), key=lambda pair: -pair[0]):
        candidates = [words for words in transformation(best, i) if constraints.allows(original, words)]
        results = goal.get_results([" ".join(words) for words in candidates])
        for (score, succeeded), words in zip(results, candidates, strict=False):
            if (succeeded, score) > (found, best_score):
                best, best_score, found = words, score, succeeded
        if found:
            break
    return best, found


def _keeps_the_last_word(
    original: list[str], goal: Any, transformation: Any, constraints: Any
) -> tuple[list[str], bool]:
    best, [(_, succeeded)] = original, goal.get_results([" ".join(original)])
    if succeeded:
        return best, True
    indices = constraints.modifiable_indices(original, original)
    importance = goal.get_results([" ".join(original[:i] + original[i + 1 :]) for i in indices])
    for _, i in sorted(zip(importance, indices, strict=False), key=lambda pair: -pair[0][0]):
        candidates = [words for words in transformation(best, i) if constraints.allows(original, words)]
        results = goal.get_results([" ".join(words) for words in candidates])
        if results:
            top = max(range(len(results)), key=lambda k: results[k][::-1])
            best, succeeded = candidates[top], results[top][1]
        if succeeded:
            break
    return best, succeeded


class _ListedSwaps:
    """A transformation whose replacements are given for each index."""

    def __init__(self, candidates: dict[int, str]) -> None:
        self.candidates = candidates

    def __call__(self, words: list[str], index: int) -> list[list[str]]:
        return [[*words[:index], new, *words[index + 1 :]] for new in self.candidates.get(index, "").split()]


def _run_search(
    answer: Any, text: str, candidates: dict[int, str], label: str, classes: list[str], query_budget: int,
    max_percent: float, stopwords: list[str],
) -> list[Any]:  # fmt: skip
    """[words, succeeded, num_queries], with the course's other parts; no candidates stand for typing errors."""
    signs = [{"positive": 1.0, "neutral": 0.0, "negative": 1.0 - len(classes)}[name] for name in classes]
    goal = UntargetedClassification(ToyModel(classes, signs), label, query_budget)
    transformation = _ListedSwaps(candidates) if candidates else WordSwapTypos()
    words = text.split()
    result = answer(words, goal, transformation, Constraints(set(stopwords), 1, max_percent))
    if not isinstance(result, tuple) or len(result) != 2:
        raise Refused("The search should return a pair: the list of words, and whether it succeeded.")
    if as_words(result[0]) is None:
        raise Refused("The first part of the result should be a list of words.")
    if words != text.split():
        raise Refused("The search changes the list of the original words. Make a new list for each text.")
    return [list(result[0]), bool(result[1]), goal.num_queries]


def _search_case(
    text: str, candidates: dict[int, str], label: str = "positive", neutral: bool = False, query_budget: int = 99,
    max_percent: float = 1.0, stopwords: tuple[str, ...] = (),
) -> Arguments:  # fmt: skip
    classes = ["positive", "neutral", "negative"] if neutral else ["negative", "positive"]
    return text, candidates, label, classes, query_budget, max_percent, list(stopwords)


def _greedy_cases() -> list[Arguments]:
    """Each separates right searches from some that are nearly right."""
    case = _search_case
    return [
        case("the film is good", {1: "movie story", 3: "fine odd plain"}),
        case("superb fine a", {2: "the or"}),  # no candidate is better: the word stays
        case("a nice film with a great cast", {1: "fine plain", 2: "story", 5: "good nice", 6: "crew"}),
        case("not bad", {0: "hardly", 1: "dull good"}),  # what a word does depends on the word before it
        case("a dull film", {1: "plain slow", 2: "movie cast"}, "negative"),
        case("the bad cast is weak", {1: "odd plain", 2: "film superb", 4: "slow odd nice"}, "negative"),
        case("an awful film", {1: "superb", 2: "story movie"}),  # misclassified before: nothing to do
        case("good film", {0: "great superb"}),  # nothing helps
        case("fine and fine and fine", {0: "plain", 2: "but", 4: "weak odd"}),
        case("great good cast", {0: "fine film plain", 1: "plain", 2: "nice odd odder"}),
        case("good bad", {0: "bad", 1: "dull awful"}, "negative"),
        case("not dull not weak but nice", {1: "plain bad", 2: "hardly", 3: "odd", 5: "plain odd"}),
        case("not plain dull", {1: "not", 2: "film"}, "negative"),
        case("superb fine great", {0: "not odd", 1: "a not", 2: "plain a"}),
        case("fine superb", {0: "not", 1: "a film"}),  # a second pass would find more
        case("fine or fine", {0: "slow", 2: "slow"}),  # equally important: the first one first
        case("nice cast", {0: "film movie", 1: "plain odd slow"}, neutral=True),
        case("great", {0: "bad film not"}, "positive", neutral=True),
        case("a film", {1: "story movie"}, "neutral", neutral=True),  # the success has the lower score
        case("good and great and good fun", {0: "odd", 2: "slow", 4: "weak"}, max_percent=0.4),  # two of six words
        case(
            "great fine good nice", {0: "nice", 1: "plain", 2: "plain", 3: "odd"}, max_percent=0.5, stopwords=("fine",)
        ),
        case("superb great good fine", {0: "good fine plain", 1: "odd", 2: "odd", 3: "odd"}, query_budget=8),
        case("superb great good fine", {0: "good fine plain", 1: "odd", 2: "odd", 3: "odd"}, query_budget=3),
        case("great acting and a good plot", {}, stopwords=("and", "a"), max_percent=0.3),  # typing errors
    ]


def _judge_greedy(case: Case, expected: Any, got: Any) -> str | None:
    if same(expected, got):
        return None
    (words, succeeded, queries), (found, found_succeeded, found_queries) = expected, got
    if words != found:
        return f"The search should end with {' '.join(words)!r}, not with {' '.join(found)!r}."
    if succeeded != found_succeeded:
        return f"The search should report succeeded = {succeeded}, not {found_succeeded}."
    return f"The search should make {queries} queries, not {found_queries}."


EXERCISES = (
    Exercise(attack_success_rate, _attack_success_rate_cases, _judge_attack_success_rate),
    Exercise(hotflip_scores, _hotflip_scores_cases, _judge_hotflip_scores),
    Exercise(fgsm, _fgsm_cases, _judge_fgsm),
)
BUILD = (
    Exercise(UntargetedClassification, _goal_cases, _judge_goal, run=_run_goal),
    Exercise(WordSwapTypos, _typos_cases, _judge_typos, run=_run_typos),
    Exercise(Constraints, _constraints_cases, _judge_constraints, run=_run_constraints),
    Exercise(greedy_word_swap_wir, _greedy_cases, _judge_greedy, run=_run_search),
)
