"""All methods under one face: texts in, one `Attribution` a text out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from course_lib.batching import check_texts
from course_lib.defenses.answers import check_classifier
from course_lib.errors import BadInput
from course_lib.explain.attention import attention, rollout
from course_lib.explain.attribution import Attribution
from course_lib.explain.game import Game, check_seed, columns_of, several, whole_number
from course_lib.explain.gradients import gradient_x_input, integrated_gradients, smoothgrad
from course_lib.explain.kernel_shap import kernel_shap
from course_lib.explain.lime import lime
from course_lib.explain.occlusion import occlusion
from course_lib.explain.packages import lime_package, shap_package
from course_lib.explain.shapley import exact, permutation


@dataclass(frozen=True)
class Method:
    """One way to explain.

    Attributes:
        run: explains all texts of a game; its keyword arguments are the method's settings.
        needs: `answers` (anything with `predict_proba`), `gradients` or `attention` (a `TextClassifier`).
        what: it in a line.
    """

    run: Callable[..., list[Attribution]]
    needs: str
    what: str

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of its settings."""
        return tuple(inspect.signature(self.run).parameters)[1:]


METHODS = {
    "lime": Method(lime, "answers", "a linear model near the text, the lime package's numbers from batches"),
    "shap": Method(kernel_shap, "answers", "Shapley values by regression on pairs of coalitions"),
    "permutation": Method(permutation, "answers", "Shapley values from random orders, there and back"),
    "exact": Method(exact, "answers", "Shapley values from all coalitions, for 12 words at most"),
    "occlusion": Method(occlusion, "answers", "how far the output falls without each word"),
    "ig": Method(integrated_gradients, "gradients", "integrated gradients from a baseline of [PAD] or [MASK]"),
    "gradient": Method(gradient_x_input, "gradients", "gradient times input"),
    "smoothgrad": Method(smoothgrad, "gradients", "gradient times input, the gradient averaged over noise"),
    "attention": Method(attention, "attention", "where the last layer's first token looks"),
    "rollout": Method(rollout, "attention", "attention multiplied through the layers"),
    "lime-package": Method(lime_package, "answers", "the lime package's own explainer"),
    "shap-package": Method(shap_package, "answers", "the shap package's Partition or Permutation explainer"),
}

# About how many texts the model is asked for one sentence of a movie review (19 words); others ask 20 or fewer.
QUERIES = {"lime": 1000, "lime-package": 1000, "shap": 300, "shap-package": 300, "permutation": 360, "ig": 150}

WHOLE = {"samples", "steps", "most_steps"}  # settings that are numbers of something


def explain(
    classifier: Any,
    texts: Sequence[str],
    method: str = "shap",
    *,
    target: Any = None,
    output: str = "probability",
    removal: str = "delete",
    together: bool = False,
    samples: int | None = None,
    seed: int = 0,
    repeats: int = 1,
    **settings: Any,
) -> list[Attribution]:
    """Says for each text how much each of its words did for a class, and how far that is to be trusted.

    An explanation depends on its text, target and seed alone, not on the texts beside it. Equal texts are explained
    once.

    Methods that look into the classifier (gradients, attention) give a score of 0 to words beyond the tokens that it
    reads, its `max_length`, and warn of them.

    Args:
        classifier: anything with `predict_proba` and `classes_`; gradients and attention need a `TextClassifier`.
        texts: n strings.
        method: one of `METHODS`.
        target: the class that is explained, a list of n of them, or None for each text's likeliest.
        output: `probability` of the target, or its `log-odds`.
        removal: what happens to a word that is taken out: `delete`, or `mask` for the tokenizer's mask token.
        together: equal words of a text stay or go together, with one score.
        samples: of methods that sample; the method's own number when left out.
        seed: of methods that sample.
        repeats: runs with the seeds seed, seed + 1, ...; from 2 on `spread` is the standard deviation of a score over
            them. Scores are those of the first.
        settings: of the method: `METHODS[method].settings` names them.

    Raises:
        BadInput: an unknown method, class or setting, a setting out of range, a model that the method cannot use or
            whose answers have a wrong shape. What the model itself raises comes as it is.
    """
    if samples is not None:
        settings["samples"] = samples
    settings |= {name: whole_number(name, settings[name]) for name in WHOLE & settings.keys()}
    chosen, texts = _checked(method, settings, seed, repeats), check_texts(texts)
    check_classifier(classifier, "classifier")
    target = list(target) if several(target) else target
    place = _places(classifier, texts, target)
    rows = list(place.values())
    wanted = [texts[i] for i in rows]
    targets = [target[i] for i in rows] if several(target) else target

    def once(seed: int) -> list[Attribution]:
        game = Game(classifier, wanted, target=targets, output=output, removal=removal, together=together)
        return chosen.run(game, **settings, **({"seed": seed} if "seed" in chosen.settings else {}))

    found = once(seed)
    if repeats > 1:
        found = _with_spread(found, [once(seed + i) for i in range(1, repeats)])
    by_key = dict(zip(place, found, strict=True))
    return [by_key[key] for key in _keys(texts, target)]


def _checked(method: str, settings: dict[str, Any], seed: int, repeats: int) -> Method:
    """The method of that name, if it takes these settings."""
    if method not in METHODS:
        raise BadInput(f"method is {method!r}", f"use one of {', '.join(METHODS)}")
    chosen = METHODS[method]
    for name in settings:
        if name not in chosen.settings:
            raise BadInput(
                f"method {method!r} has no setting {name!r}", f"it has {', '.join(chosen.settings) or 'none'}"
            )
    check_seed(seed)
    if repeats < 1:
        raise BadInput(f"repeats is {repeats}", "use 1 or more")
    if repeats > 1 and "seed" not in chosen.settings:
        raise BadInput(f"repeats is {repeats}, but method {method!r} draws nothing", "use repeats=1")
    return chosen


def _keys(texts: list[str], target: Any) -> list[tuple[str, Any]]:
    return list(zip(texts, target, strict=True)) if several(target) else [(text, None) for text in texts]


def _places(classifier: Any, texts: list[str], target: Any) -> dict[tuple[str, Any], int]:
    """The first row of each different pair of text and target."""
    if several(target):
        columns_of(classifier, target, len(texts))  # says what is wrong before anything is zipped
    places: dict[tuple[str, Any], int] = {}
    for i, key in enumerate(_keys(texts, target)):
        places.setdefault(key, i)
    return places


def _with_spread(first: list[Attribution], others: list[list[Attribution]]) -> list[Attribution]:
    found = []
    for one, *again in zip(first, *others, strict=True):
        runs = [one, *again]
        spread = np.std([run.scores for run in runs], axis=0, ddof=1)
        found.append(replace(one, spread=spread, queries=sum(run.queries for run in runs)))
    return found
