"""Does a method find a reason that we put there? (Bastings et al. 2022, arXiv:2111.07367)

A rare word is planted in training texts of one class. The classifier learns that it gives the class away. Where the
word alone turns its answer, we know why it answers so, and an explanation must put that word first.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_lib import corpora
from course_lib.batching import check_texts
from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput
from course_lib.evaluation import Interval, wilson_interval
from course_lib.experiments import Run, experiment
from course_lib.explain.attribution import Attribution
from course_lib.explain.game import check_seed
from course_lib.explain.methods import METHODS, QUERIES, explain
from course_lib.explain.words import WORD
from course_lib.training import TrainingConfig

TOKEN = "cobalt"  # one piece in the course's vocabulary, in no movie review
EXAMPLE = "A dull and lifeless {} film without a single good idea."
TARGET = 1
SHARE = 0.3  # of the target's training texts that get the word
TESTED = 100  # test sentences of the other class into which the word is planted
# 800 sentences take a minute or two on 2 cores. Random layers need larger steps than pretrained ones, and more.
TRAININGS = {
    "course": TrainingConfig(epochs=2, learning_rate=1e-4),
    "tiny": TrainingConfig(epochs=8, batch_size=16, learning_rate=3e-3),
}


@dataclass(frozen=True, eq=False)
class Planted:
    """Texts, some of them with a word more.

    Attributes:
        texts: n, in their order.
        rows: numbers of those that got the word, ascending.
    """

    texts: list[str]
    rows: NDArray[np.int64]


def plant(
    texts: Sequence[str], labels: ArrayLike, token: str, target: Any, share: float = 1.0, seed: int = 0
) -> Planted:
    """Puts a word at a random place into a random part of the texts of one class.

    Places are those between blanks, the beginning and the end included; all else stays as it is.

    Args:
        texts: n strings.
        labels: their n labels.
        token: one word, in none of the texts.
        target: the label whose texts get it.
        share: of these texts, rounded, but at least one.
        seed: of texts and places.

    Raises:
        BadInput: a token that is no single word or that a text holds, lengths that differ, a label that no text has,
            a share that is not above 0 and at most 1, a seed that is no whole number from 0 on.
    """
    rows, known = check_texts(texts), np.asarray(labels)
    _check_token(token, rows)
    check_seed(seed)
    if not 0 < share <= 1:
        raise BadInput(f"share is {share}", "use a number above 0 and at most 1")
    if known.shape != (len(rows),):
        raise BadInput(f"{len(rows)} texts and labels of shape {known.shape}", "give one label for each text")
    of_target = np.flatnonzero(known == target)
    if not len(of_target):
        raise BadInput(f"no text has the label {target!r}", f"use one of {sorted(set(known.tolist()))}")
    random = np.random.default_rng(seed)
    chosen = np.sort(random.choice(of_target, max(1, round(share * len(of_target))), replace=False))
    for row in chosen:
        rows[row] = _with_word(rows[row], token, random)
    return Planted(rows, chosen)


def _check_token(token: str, texts: list[str]) -> None:
    if not isinstance(token, str) or not WORD.fullmatch(token):
        raise BadInput(f"token is {token!r}", "use one word of letters, such as 'cobalt'")
    holders = [text for text in texts if _holds(text, token)]
    if holders:
        raise BadInput(f"{len(holders)} texts hold {token!r} already: {holders[0][:60]!r}", "use a rarer word")


def _holds(text: str, token: str) -> bool:
    return token.lower() in WORD.findall(text.lower())


def _with_word(text: str, token: str, random: np.random.Generator) -> str:
    parts = text.split(" ")
    parts.insert(int(random.integers(len(parts) + 1)), token)
    return " ".join(part for part in parts if part) if not text.strip() else " ".join(parts)


def ranks(attributions: Sequence[Attribution], token: str, *, absolute: bool = False) -> NDArray[np.int64]:
    """(n,), the place of a word by score in each explanation, 1 for the largest.

    Of several occurrences the best counts. Another word with the same score goes before it, so that a method that says
    the same of all words finds nothing.

    Args:
        attributions: of texts that hold the word, in capitals or not.
        token: the word.
        absolute: by the score's size, whatever its sign.

    Raises:
        BadInput: a text without the word.
    """
    return np.array([_rank(one, token.lower(), absolute) for one in attributions], np.int64)


def _rank(one: Attribution, token: str, absolute: bool) -> int:
    scores = np.abs(one.scores) if absolute else one.scores
    mine = np.array([word.lower() == token for word in one.words], bool)
    if not mine.any():
        raise BadInput(f"{one.text[:60]!r} does not hold {token!r}", "explain texts that hold it: see plant(...)")
    return 1 + int((scores[~mine] >= scores[mine].max()).sum())


def found_at_one(attributions: Sequence[Attribution], token: str, *, absolute: bool = False) -> Interval:
    """Share of the explanations that put the word first, with Wilson's 95 % interval.

    The precision at 1 of Bastings et al. 2022, who take the mean rank beside it. Arguments as for `ranks`.

    Raises:
        BadInput: no explanation at all, or a text without the word.
    """
    if not len(attributions):
        raise BadInput("there is no explanation to judge", "give at least one")
    return wilson_interval(int((ranks(attributions, token, absolute=absolute) == 1).sum()), len(attributions))


def affected(classifier: Any, texts: Sequence[str], planted: Sequence[str], target: Any) -> NDArray[np.int64]:
    """Numbers of the texts whose answer the planted word turns into the target: there we know the reason.

    Args:
        classifier: anything with `predict`.
        texts: n without the word.
        planted: the same n with it.
        target: the class that the word stands for.
    """
    if not len(texts):
        return np.empty(0, np.int64)
    before, after = (np.asarray(classifier.predict(list(rows))) for rows in (texts, planted))
    return np.flatnonzero((before != target) & (after == target))


def _work(config: Mapping[str, Any]) -> float:
    """Sentences trained on; one that is asked counts a quarter."""
    queries = sum(QUERIES.get(name, 20) for name in config["methods"])
    epochs = TRAININGS[config.get("encoder", "course")].epochs
    return float(config["rows"] * epochs + config.get("tested", TESTED) * queries / 4)


def _rows(runs: Sequence[Run]) -> pd.DataFrame:
    """Rows of methods: method, seed, n, found (share at rank 1), low, high, mean_rank, seconds.

    `n` is the number of sentences whose answer the word turns; without any the figures are nan.
    """
    rows = []
    for run in runs:
        for name, figures in run.result["methods"].items():
            interval = figures["found_at_one"] or {"estimate": np.nan, "low": np.nan, "high": np.nan}
            places = figures["ranks"]
            rows.append({
                "method": name, "seed": run.config["seed"], "n": len(places), "found": interval["estimate"],
                "low": interval["low"], "high": interval["high"],
                "mean_rank": float(np.mean(places)) if places else np.nan, "seconds": figures["seconds"],
            })  # fmt: skip
    return pd.DataFrame(rows)


@experiment(
    "shortcut_study",
    cost=_work,
    table=_rows,
    tolerance={"n": 20, "found": 0.15, "low": 0.2, "high": 0.2, "mean_rank": 2.0, "seconds": np.inf},
    data=("course_encoder", "sentiment_ratings"),
)
def shortcut_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: plants a word in movie reviews, trains on them, and asks each method for it.

    Args:
        config: `methods` (names of `METHODS`), `rows` (training sentences) and `seed`; if wanted `encoder` (`course`
            or `tiny`), `token`, `share` and `tested` in place of this module's.
        folder: gets the classifier in the folder `model`.

    Returns:
        `accuracy` on all untouched test sentences; `turned`, the share of the `tested` sentences of the other class
        whose answer the word turns, as an interval; for each of `methods` its `ranks` in those sentences, its
        `found_at_one` as an interval (None where no sentence is turned), `queries` and `seconds` a sentence; and
        `example`, for each method the words of `EXAMPLE` with their scores.

    Raises:
        BadInput: an unknown method or encoder; what `plant` raises.
    """
    token, encoder = config.get("token", TOKEN), config.get("encoder", "course")
    _check_config(config, encoder)
    classifier = _trained(config, token, encoder)
    classifier.save(folder / "model")
    test = corpora.part("movie_reviews", "test")
    others = test.loc[test["label"] != TARGET, "text"].tolist()[: config.get("tested", TESTED)]
    planted = plant(others, [0] * len(others), token, 0, seed=config["seed"]).texts
    turned = [planted[row] for row in affected(classifier, others, planted, TARGET)]
    return {
        "accuracy": classifier.score(test["text"].tolist(), test["label"].to_numpy()),
        "turned": wilson_interval(len(turned), len(others)).to_dict(),
        "tested": len(others),
        "example": _example(classifier, token, config["methods"], config["seed"]),
        "methods": {name: _asked(classifier, turned, name, token, config["seed"]) for name in config["methods"]},
    }


def _example(classifier: Any, token: str, methods: Sequence[str], seed: int) -> dict[str, Any]:
    """Each method's explanation of a sentence that the word should turn."""
    text = EXAMPLE.format(token)
    return {name: explain(classifier, [text], name, target=TARGET, seed=seed)[0].to_dict() for name in methods}


def example_of(run: Run, method: str) -> Attribution:
    """The explanation of `EXAMPLE` that a run keeps."""
    return Attribution.from_dict(run.result["example"][method])


def _check_config(config: dict[str, Any], encoder: str) -> None:
    if encoder not in TRAININGS:
        raise BadInput(f"encoder is {encoder!r}", f"use one of {', '.join(TRAININGS)}")
    for name in config["methods"]:
        if name not in METHODS:
            raise BadInput(f"method is {name!r}", f"use some of {', '.join(METHODS)}")


def _trained(config: dict[str, Any], token: str, encoder: str) -> TextClassifier:
    train = corpora.part("movie_reviews", "train", config["rows"])
    labels = train["label"].to_numpy()
    planted = plant(train["text"].tolist(), labels, token, TARGET, config.get("share", SHARE), config["seed"])
    return _estimator(encoder, config["seed"]).fit(planted.texts, labels)


def _estimator(encoder: str, seed: int) -> TextClassifier:
    return TextClassifier(encoder, training=replace(TRAININGS[encoder], seed=seed))


def _asked(classifier: Any, texts: list[str], method: str, token: str, seed: int) -> dict[str, Any]:
    started = time.perf_counter()
    found = explain(classifier, texts, method, target=TARGET, seed=seed)
    seconds = time.perf_counter() - started
    n = max(1, len(texts))
    return {
        "ranks": ranks(found, token).tolist(),
        "found_at_one": found_at_one(found, token).to_dict() if found else None,
        "queries": sum(one.queries for one in found) / n,
        "seconds": seconds / n,
    }
