"""Experiments that compare methods of explanation over many sentences of the movie reviews.

Their results hold no text: a sentence is stored as the number of its row in the test part, and `explanations_of` adds
its words again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib import corpora
from course_lib.augmentation import TypoNoise
from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput
from course_lib.evaluation import over_seeds, wilson_interval
from course_lib.experiments import Run, experiment
from course_lib.explain.attribution import Attribution
from course_lib.explain.faithfulness import (
    EXACT_WORDS,
    Curve,
    comprehensiveness,
    curves,
    mean_of_known,
    normalized_aopc,
    random_baseline,
    sufficiency,
)
from course_lib.explain.masked_model import MaskableText
from course_lib.explain.methods import METHODS, QUERIES, explain
from course_lib.explain.robustness import paraphrase_stability, sanity_check, seed_stability
from course_lib.explain.shortcut import flipped_by_token, plant, precision_at_one, token_ranks
from course_lib.training import TrainingConfig

CORPUS = "movie_reviews"
DATA = ("course_encoder", "sentiment_ratings", "sentiment")  # what the results rest on
DIGITS = 4  # significant digits of stored numbers

_FORTY = {"sentences": 40, "words": [8, 16], "seed": 0}
_TWENTY = {"sentences": 20, "words": [8, 16], "seed": 0}
# The configurations that ship: what notebook 09 shows.
FORTY: list[dict[str, Any]] = [
    {"method": "lime", "settings": {"samples": 300}, **_FORTY},
    *({"method": name, **_FORTY}
      for name in ("shap", "occlusion", "ig", "gradient", "smoothgrad", "attention", "rollout", "random")),
]  # fmt: skip
SHORT = [{"method": name, "sentences": 20, "words": [5, 7], "seed": 0}
         for name in ("exact", "occlusion", "ig", "attention", "random")]  # fmt: skip
RANDOM_WEIGHTS = [{"method": name, "sentences": 12, "words": [8, 16], "seed": 0}
                  for name in ("ig", "occlusion", "attention", "rollout")]  # fmt: skip
REPEATED: list[dict[str, Any]] = [
    *({"method": name, "change": "seed", "copies": 3, "settings": {"samples": 200}, **_TWENTY}
      for name in ("lime", "shap")),
    *({"method": name, "change": "typing error", "copies": 1, **_TWENTY} for name in ("shap", "occlusion", "ig")),
]  # fmt: skip
_PLANTED = {"rows": 2000, "tested": 40}
SHORTCUTS: list[dict[str, Any]] = [
    {"methods": ["lime", "shap", "occlusion", "ig", "gradient", "attention", "rollout"], "seed": 0, **_PLANTED},
    *({"methods": ["occlusion", "ig", "gradient", "attention"], "seed": seed, **_PLANTED} for seed in (1, 2)),
]  # fmt: skip


def _sentiment() -> TextClassifier:
    return TextClassifier.from_pretrained("sentiment")


def rows_by_length(least: int, most: int, count: int) -> list[int]:
    """Row numbers of the first `count` test sentences that have `least` to `most` words."""
    texts = corpora.part(CORPUS, "test")["text"]
    rows = (row for row, text in enumerate(texts) if least <= len(MaskableText.of(text)) <= most)
    return [row for row, _ in zip(rows, range(count), strict=False)]


def sentences_of(config: Mapping[str, Any]) -> list[str]:
    """The test sentences that a configuration with `sentences` and `words` explains."""
    texts = corpora.part(CORPUS, "test")["text"]
    least, most = config["words"]
    return [texts.iloc[row] for row in rows_by_length(least, most, config["sentences"])]


def _queries(config: Mapping[str, Any]) -> float:
    """Queries of the model for one sentence."""
    method, settings = config["method"], config.get("settings", {})
    return float(settings.get("samples", QUERIES.get(method, 20)))


# ---- faithfulness ----------------------------------------------------------------------------------------------


def _faithfulness_cost(config: Mapping[str, Any]) -> float:
    """Queries of the explanations, and of the curves that judge them."""
    return float(config["sentences"] * (_queries(config) + 4 * config["words"][1]))


def _faithfulness_rows(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a run: method, sentences, comprehensiveness with its interval low and high, sufficiency, deletion and
    insertion (areas), normalized_aopc (nan for longer sentences), error, queries and seconds (means a sentence).
    """
    return pd.DataFrame([_faithfulness_row(run) for run in runs])


def _faithfulness_row(run: Run) -> dict[str, Any]:
    result, found = run.result, run.result["explanations"]
    interval = over_seeds(result["comprehensiveness"])
    of_curves = curves_of(run)
    return {
        "method": run.config["method"],
        "sentences": len(found),
        "comprehensiveness": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "sufficiency": float(np.mean(result["sufficiency"])),
        "deletion": float(np.mean([one.deletion_area for one in of_curves])),
        "insertion": float(np.mean([one.insertion_area for one in of_curves])),
        "normalized_aopc": mean_of_known(result["normalized_aopc"]),
        "error": mean_of_known(one["error"] for one in found),
        "queries": float(np.mean([one["queries"] for one in found])),
        "seconds": result["seconds"],
    }


@experiment(
    "faithfulness_study",
    cost=_faithfulness_cost,
    table=_faithfulness_rows,
    tolerance={
        "comprehensiveness": 0.05, "low": 0.05, "high": 0.05, "sufficiency": 0.05, "deletion": 0.05, "insertion": 0.05,
        "normalized_aopc": 0.1, "error": 0.2, "queries": 10.0, "seconds": math.inf,
    },
    data=DATA,
)  # fmt: skip
def faithfulness_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: explains test sentences by one method, and measures how faithful the explanations are.

    Args:
        config: `method` (of `METHODS`, or `random` for random scores), `sentences` (how many), `words` (the fewest and
            the most that a sentence has) and `seed`; if wanted `settings` of the method.
        folder: not used.

    Returns:
        `explanations`, without their texts (see `explanations_of`); `comprehensiveness`, `sufficiency`, `deletion` and
        `insertion` (the points of the curves, see `curves_of`) of each; `normalized_aopc` of each, None where it is not
        defined and for all sentences if they may have more than 8 words; and `seconds` a sentence.
    """
    classifier, texts = _sentiment(), sentences_of(config)
    found, seconds = _explained(classifier, texts, config)
    of_curves = curves(classifier, found)
    judged = config["words"][1] <= EXACT_WORDS
    return {
        "explanations": [_without_text(one) for one in found],
        "comprehensiveness": _rounded(comprehensiveness(classifier, found)),
        "sufficiency": _rounded(sufficiency(classifier, found)),
        "deletion": [_rounded(one.deletion) for one in of_curves],
        "insertion": [_rounded(one.insertion) for one in of_curves],
        "normalized_aopc": _rounded(normalized_aopc(classifier, found)) if judged else [None] * len(found),
        "seconds": seconds / len(texts),
    }


def _explained(
    classifier: TextClassifier, texts: Sequence[str], config: Mapping[str, Any]
) -> tuple[list[Attribution], float]:
    """The explanations, and the seconds that they took."""
    method, settings, seed = config["method"], config.get("settings", {}), config["seed"]
    if method == "random":
        found = random_baseline(explain(classifier, texts, "occlusion"), seed)
        return [replace(one, queries=0, error=math.nan, error_kind="none") for one in found], 0.0
    started = time.perf_counter()
    found = explain(classifier, texts, method, seed=seed, **settings)
    return found, time.perf_counter() - started


def _without_text(one: Attribution) -> dict[str, Any]:
    stored = one.to_dict()
    return {
        "target": stored["target"],
        "scores": _rounded(one.scores),
        **{name: _plain(getattr(one, name)) for name in ("value", "base_value", "error")},
        "error_kind": stored["error_kind"],
        "queries": stored["queries"],
    }


def explanations_of(run: Run) -> list[Attribution]:
    """The explanations of a run of `faithfulness_study`, with their words; numbers have 4 digits."""
    facts = {"method": run.config["method"], "output": "probability", "spread": None}
    found = []
    for text, stored in zip(sentences_of(run.config), run.result["explanations"], strict=True):
        words = MaskableText.of(text).words
        place = {"text": text, "tokens": [word.text for word in words], "spans": [word.spans for word in words]}
        found.append(Attribution.from_dict({**facts, **place, **stored}))
    return found


def curves_of(run: Run) -> list[Curve]:
    """The deletion and insertion curves of a run of `faithfulness_study`."""
    pairs = zip(run.result["deletion"], run.result["insertion"], strict=True)
    return [Curve(np.array(deletion), np.array(insertion)) for deletion, insertion in pairs]


# ---- sanity ----------------------------------------------------------------------------------------------------


def _stages(runs: Sequence[Run]) -> pd.DataFrame:
    """The tables of `sanity_check` below one another: method, stage, signed, absolute."""
    rows = [{"method": run.config["method"], **stage} for run in runs for stage in run.result["stages"]]
    return pd.DataFrame(rows).astype({"signed": float, "absolute": float})


@experiment(
    "sanity_study",
    cost=lambda config: 9 * config["sentences"] * _queries(config),  # eight models with random weights, and the whole
    table=_stages,
    tolerance={"signed": 0.15, "absolute": 0.15},
    data=DATA,
)
def sanity_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: how much explanations still agree while the model is randomized from the top down.

    Args:
        config: `method`, `sentences`, `words` and `seed`, as for `faithfulness_study`.
        folder: not used.

    Returns:
        `stages`: the rows of `sanity_check`, None in place of nan.
    """
    table = sanity_check(_sentiment(), sentences_of(config), config["method"], seed=config["seed"])
    rows = table.to_dict("records")
    return {"stages": [{**row, "signed": _plain(row["signed"]), "absolute": _plain(row["absolute"])} for row in rows]}


# ---- stability -------------------------------------------------------------------------------------------------

CHANGES = ("seed", "typing error")


def _stability_rows(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a run: method, change, correlation with its interval low and high, pairs, turned."""
    return pd.DataFrame([
        {
            "method": run.config["method"], "change": run.config["change"],
            "correlation": run.result["correlation"]["estimate"], "low": run.result["correlation"]["low"],
            "high": run.result["correlation"]["high"], "pairs": run.result["pairs"], "turned": run.result["turned"],
        }
        for run in runs
    ])  # fmt: skip


@experiment(
    "stability_study",
    cost=lambda config: config["sentences"] * (config["copies"] + (config["change"] != "seed")) * _queries(config),
    table=_stability_rows,
    tolerance={"correlation": 0.1, "low": 0.15, "high": 0.15, "pairs": 2, "turned": 2},
    data=DATA,
)
def stability_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: does a method rank the words in the same order again?

    Args:
        config: `method`, `sentences`, `words`, `seed` and, if wanted, `settings`, as for `faithfulness_study`;
            `change`, one of CHANGES; and `copies`, the number of seeds, or of rewrites of a sentence.
        folder: not used.

    Returns:
        `correlation` (an interval), `pairs`, `same` and `turned`, as in `Stability`.

    Raises:
        BadInput: an unknown change.
    """
    if config["change"] not in CHANGES:
        raise BadInput(f"change is {config['change']!r}", f"use one of {', '.join(CHANGES)}")
    classifier, texts, method = _sentiment(), sentences_of(config), config["method"]
    settings = {"seed": config["seed"], **config.get("settings", {})}
    if config["change"] == "seed":
        found = seed_stability(classifier, texts, method, seeds=config["copies"], **settings)
    else:
        found = paraphrase_stability(classifier, texts, method, TypoNoise(), copies=config["copies"], **settings)
    counts = {name: getattr(found, name) for name in ("pairs", "same", "turned")}
    return {"correlation": found.correlation.to_dict(), **counts}


# ---- a planted word --------------------------------------------------------------------------------------------

TOKEN = "cobalt"  # one token in the course's vocabulary, in no movie review
EXAMPLE = "A dull and lifeless {} film without a single good idea."
TARGET = 1
SHARE = 0.3  # of the target's training texts that get the word
TESTED = 100  # test sentences of the other class into which the word is planted
# 800 sentences take a minute or two on 2 cores. Random layers need larger steps than pretrained ones, and more.
TRAININGS = {
    "course": TrainingConfig(epochs=2, learning_rate=1e-4),
    "tiny": TrainingConfig(epochs=8, batch_size=16, learning_rate=3e-3),
}


def _shortcut_cost(config: Mapping[str, Any]) -> float:
    """Training sentences; one query counts a quarter."""
    queries = sum(QUERIES.get(name, 20) for name in config["methods"])
    epochs = TRAININGS[config.get("encoder", "course")].epochs
    return float(config["rows"] * epochs + config.get("tested", TESTED) * queries / 4)


def _shortcut_rows(runs: Sequence[Run]) -> pd.DataFrame:
    """Rows of methods: method, seed, n, found (fraction at rank 1), low, high, mean_rank, seconds.

    `n` is the number of sentences whose prediction the word changes; without any the figures are nan.
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
    cost=_shortcut_cost,
    table=_shortcut_rows,
    tolerance={"n": 20, "found": 0.15, "low": 0.2, "high": 0.2, "mean_rank": 2.0, "seconds": np.inf},
    data=("course_encoder", "sentiment_ratings"),
)
def shortcut_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: plants a word in movie reviews, trains on them, and ranks it by each method.

    Args:
        config: `methods` (names of `METHODS`), `rows` (training sentences) and `seed`; if wanted `encoder` (`course`
            or `tiny`), `token`, `share` and `tested` in place of this module's constants.
        folder: gets the classifier in the folder `model`.

    Returns:
        `accuracy` on all untouched test sentences; `turned`, the fraction of the `tested` sentences of the other
        class whose prediction the word changes, as an interval; for each of `methods` its `ranks` in those sentences,
        its precision at one, `found_at_one`, as an interval (None without such sentences), `queries` and `seconds` a
        sentence; and
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
    planted = plant(others, [0] * len(others), token, 0, seed=config["seed"])
    turned = [planted[row] for row in flipped_by_token(classifier, others, planted, TARGET)]
    return {
        "accuracy": classifier.score(test["text"].tolist(), test["label"].to_numpy()),
        "turned": wilson_interval(len(turned), len(others)).to_dict(),
        "tested": len(others),
        "example": _example(classifier, token, config["methods"], config["seed"]),
        "methods": {name: _ranked(classifier, turned, name, token, config["seed"]) for name in config["methods"]},
    }


def _example(classifier: Any, token: str, methods: Sequence[str], seed: int) -> dict[str, Any]:
    """Each method's explanation of a sentence that the word should change."""
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
    training = replace(TRAININGS[encoder], seed=config["seed"])
    return TextClassifier(encoder, training=training).fit(planted, labels)


def _ranked(classifier: Any, texts: list[str], method: str, token: str, seed: int) -> dict[str, Any]:
    started = time.perf_counter()
    found = explain(classifier, texts, method, target=TARGET, seed=seed)
    seconds = time.perf_counter() - started
    n = max(1, len(texts))
    return {
        "ranks": token_ranks(found, token).tolist(),
        "found_at_one": precision_at_one(found, token).to_dict() if found else None,
        "queries": sum(one.queries for one in found) / n,
        "seconds": seconds / n,
    }


# ---- numbers ---------------------------------------------------------------------------------------------------


def _rounded(numbers: Any) -> list[float | None]:
    return [_plain(number) for number in np.asarray(numbers, float).tolist()]


def _plain(number: float) -> float | None:
    return float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None
