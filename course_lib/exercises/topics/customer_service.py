"""Customer service: splits by group, abstention, BM25; the build is a desk that acts, answers or asks a human."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Arguments, Case, Exercise, Refused
from course_lib.exercises.values import array_problem, brief, kind, same


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    return None if same(expected, got) else f"The result should be {brief(expected)}, but you get {brief(got)}."


# ---------------- a split that keeps groups together


def group_split(groups: "list[str]", order: "list[str]", fraction: float) -> np.ndarray:
    """Which rows are test rows: whole groups in this order, until `fraction` of the rows are taken."""
    names = np.array(groups)
    is_test = np.zeros(len(names), dtype=bool)
    for group in order:
        if is_test.mean() >= fraction:
            break
        is_test |= names == group
    return is_test


def _dedupes_and_splits_rows(groups: list[str], order: list[str], fraction: float) -> np.ndarray:
    places = np.array([order.index(group) for group in groups])
    wanted = int(np.ceil(fraction * len(groups) - 1e-9))
    return np.isin(np.arange(len(groups)), np.argsort(places * 0 + np.arange(len(groups)) * 7 % 5)[:wanted])


def _split_cases() -> list[Arguments]:
    drawn = np.random.default_rng(0).integers(0, 6, size=40)
    return [
        (["a", "a", "b", "b", "c"], ["b", "c", "a"], 0.4),
        (["a", "a", "a", "b", "c", "c"], ["c", "a", "b"], 0.5),
        (["a", "b", "b", "b", "b", "c"], ["a", "c", "b"], 0.3),
        ([f"g{n}" for n in drawn], [f"g{n}" for n in (4, 1, 5, 0, 2, 3)], 0.25),
        (["x", "y", "x", "z"], ["x", "y", "z"], 1.0),
    ]


def _judge_split(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    found = np.asarray(got)
    if found.dtype != bool:
        return f"The result should be a boolean array of shape {expected.shape}, but it is {kind(got)}."
    if same(expected, found):
        return None
    rows = list(zip(case["groups"], found.tolist(), strict=True))
    both = sorted({group for group, test in rows if test} & {group for group, test in rows if not test})
    if both:
        return f"Rows of group {both[0]!r} are on both sides of the split."
    return f"The test rows should be {np.flatnonzero(expected).tolist()}, not {np.flatnonzero(found).tolist()}."


# ---------------- a threshold for abstention


def coverage_threshold(validation: np.ndarray, test: np.ndarray, coverage: float) -> "tuple[float, float]":
    """The largest threshold that accepts this fraction of validation, and what it accepts of the test."""
    accepted = int(np.ceil(coverage * len(validation)))
    threshold = np.sort(validation)[::-1][accepted - 1]
    return float(threshold), float((test >= threshold).mean())


def _threshold_cases() -> list[Arguments]:
    draw = np.random.default_rng(1)
    return [
        ([0.9, 0.2, 0.8, 0.5], [0.6, 0.5, 0.1, 0.95], 0.75),
        ([0.7, 0.7, 0.7, 0.1], [0.7, 0.3], 0.5),
        ([0.4, 0.6, 0.8], [0.9, 0.1, 0.45], 1.0),
        (draw.random(16), draw.random(30) * 0.8, 0.8125),
        (draw.random(50), draw.random(20), 0.9),
    ]


# ---------------- BM25
# Robertson and Zaragoza 2009, section 3. The library's version: `course_lib.generation.retrieval.BM25`.


def bm25_scores(
    query: "list[str]",
    passages: "list[list[str]]",
    k1: float = 1.2,
    b: float = 0.75,
) -> np.ndarray:
    """The BM25 score of each passage, a list of words, for a query."""
    lengths = np.array([len(passage) for passage in passages])
    scores = np.zeros(len(passages))
    for word in query:
        tf = np.array([passage.count(word) for passage in passages])
        n_with = (tf > 0).sum()
        idf = np.log(1 + (len(passages) - n_with + 0.5) / (n_with + 0.5))
        scores += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * lengths / lengths.mean()))
    return scores


def _bm25_cases() -> list[Arguments]:
    draw = np.random.default_rng(2)
    shelf = [[f"w{n}" for n in draw.zipf(1.6, size=size) % 30] for size in (4, 9, 30, 12, 6, 17)]
    desk = [text.split() for text in ("the lamp is on the desk", "lamp lamp lamp", "the tv is off")]
    return [
        (["lamp"], desk),
        (["the", "tv"], desk),
        (["the", "nothing"], desk, 2.0, 0.0),
        (["w1", "w2", "w3"], shelf),
        (["w1", "w5", "w1"], shelf, 0.5, 1.0),
    ]


EXERCISES = (
    Exercise(group_split, _split_cases, _judge_split),
    Exercise(coverage_threshold, _threshold_cases, _judge),
    Exercise(bm25_scores, _bm25_cases, _judge),
)


# ================ the build: a desk that acts, answers or asks a human ================


def expand_template(template: str, slots: "dict[str, list[str]]") -> "list[str]":
    """All sentences of a template with (a|b), [a|b] and {slot}, sorted and without repetitions."""
    closing = next((place for place, letter in enumerate(template) if letter in ")]}"), None)
    if closing is None:
        return [" ".join(template.split())]
    opening = max(template.rfind(letter, 0, closing) for letter in "([{")
    inside, kind_of = template[opening + 1 : closing], template[closing]
    options = slots[inside] if kind_of == "}" else inside.split("|") + [""] * (kind_of == "]")
    before, after = template[:opening], template[closing + 1 :]
    return sorted({text for option in options for text in expand_template(before + option + after, slots)})


def _expand_cases() -> list[Arguments]:
    slots = {"area": ["kitchen", "living room"], "n": ["2", "10"]}
    return [
        ("hello", {}),
        ("turn (on|off)", {}),
        ("lights on [please]", {}),
        ("is it [very|too] warm in the {area}", slots),
        ("turn [the] (tv|radio [(up|down)])  off", {}),
        ("[set] timer[s] for {n}( |-)minute[s] [in the {area}]", slots),
        ("(a|[b]) c", {}),
    ]


def answer_with_source(
    question: str, passages: "list[tuple[str, list[str]]]", scores: np.ndarray, minimum: float
) -> "tuple[str | None, str | None]":
    """The sentence of the passage (title, sentences) that shares most words, and the title; or two None."""
    best = int(scores.argmax())
    if scores[best] < minimum:
        return None, None
    title, sentences = passages[best]
    words = set(question.lower().split())
    shared = [len(words & set(sentence.lower().split())) for sentence in sentences]
    return sentences[int(np.argmax(shared))], title


def _answer_cases() -> list[Arguments]:
    kettle = ("Kettle", ["it boils", "Water has salt", "the kettle is made of steel", "Boiling water has 100 degrees"])
    passages = [("Lamp", ["a lamp gives light", "the first electric lamp was made in 1802"]), kettle]
    return [
        ("is a kettle made of steel", passages, [0.0, 2.0], 2.0),
        ("when was the first lamp made", passages, [3.0, 1.0], 2.0),
        ("BOILING WATER in degrees of a kettle", passages, [0.5, 2.5], 2.0),
        ("who invented the fan", passages, [1.0, 1.5], 2.0),
        ("a lamp", passages, [5.0, 1.5], 7.0),
        ("nothing shared here", passages, [4.0, 4.0], 0.0),
        ("water in the kettle", [("Tea", ["the water and the cup", "water in a kettle", "the tea"])], [4.0], 1.0),
    ]


class Desk:
    """Acts on known commands, answers questions that it has a source for, asks a human otherwise.

    `embed` turns n texts into vectors of length 1, (n, width), and `answer` a text into (sentence, title).
    """

    def __init__(self, embed: "Any", answer: "Any", coverage: float = 0.95) -> None:
        """Begin without known commands."""
        self.embed, self.answer, self.coverage = embed, answer, coverage

    def fit(self, texts: "list[str]", intents: "list[str]", validation: "list[str]") -> "Desk":
        """Keep the commands, and choose the threshold that accepts `coverage` of the validation texts."""
        self.known, self.intents = self.embed(texts), list(intents)
        similarity = (self.embed(validation) @ self.known.T).max(axis=1)
        self.threshold = np.sort(similarity)[::-1][math.ceil(self.coverage * len(similarity)) - 1]
        return self

    def handle(self, text: str) -> "tuple[str, Any]":
        """("act", intent), ("answer", (sentence, title)) or ("human", None)."""
        similarity = (self.embed([text]) @ self.known.T)[0]
        if similarity.max() >= self.threshold:
            return "act", self.intents[int(similarity.argmax())]
        sentence, title = self.answer(text)
        return ("human", None) if sentence is None else ("answer", (sentence, title))


def _letters(texts: list[str]) -> np.ndarray:
    counts = np.array([[0.1 + text.lower().count(letter) for letter in "acefghilmnoqrstuvz"] for text in texts])
    return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True))


def _run_desk(answer: Answer, coverage: float, validation: list[str], texts: list[str]) -> list[Any]:
    asked = []

    def find(question: str) -> Any:
        asked.append(question)
        return ("it is in the manual", "Manual") if "manual" in question else (None, None)

    known = ["turn on the lights", "turn off the tv", "set a timer", "what time is it"]
    desk = answer(_letters, find, coverage)
    if desk.fit(known, ["TurnOn", "TurnOff", "StartTimer", "GetTime"], validation) is not desk:
        raise Refused("fit should return the desk itself.")
    return [[desk.handle(text) for text in texts], asked]


def _desk_cases() -> list[Arguments]:
    near = ["turn on the light", "turn the tv off", "set timer", "what is the time", "zzz qqq"]
    texts = ["turn on the lights", "set the timer", "is there a manual for quizzes", "jazz", "what time is it"]
    texts += ["set a timers please", "turn off tv now", "turn the light on", "manual"]
    return [(0.8, near, texts), (0.4, near, texts), (1.0, near, texts), (0.6, near[:4], texts)]


def _judge_desk(case: Case, expected: Any, got: Any) -> str | None:
    for text, right, found in zip(case["texts"], expected[0], got[0], strict=True):
        if not same(right, found):
            return f"For {text!r} the desk should give {brief(right)}, but it gives {brief(found)}."
    return None if same(expected[1], got[1]) else f"answer should be called for {brief(expected[1])} only."


BUILD = (
    Exercise(expand_template, _expand_cases, _judge),
    Exercise(answer_with_source, _answer_cases, _judge),
    Exercise(Desk, _desk_cases, _judge_desk, run=_run_desk),
)
