"""All methods behind one function: texts in, one `Attribution` for each text out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.batching import check_texts, unique_rows
from course_lib.errors import BadInput
from course_lib.explain.attention import attention_rollout, attention_weights, bert_of
from course_lib.explain.attribution import Attribution
from course_lib.explain.gradients import gradient_x_input, integrated_gradients, smoothgrad
from course_lib.explain.masked_model import (
    MaskableText,
    MaskedModel,
    check_seed,
    warn_of_unread_words,
    whole_number,
)
from course_lib.explain.perturbation import lime, occlusion
from course_lib.explain.reference_explainers import lime_package, shap_package
from course_lib.explain.shapley import exact, kernel_shap
from course_lib.text.classifiers import check_classifier, columns_of
from course_lib.text.gradients import check_differentiable


@dataclass(frozen=True)
class Method:
    """One way to explain.

    Attributes:
        run: explains all texts of a `MaskedModel`; its keyword arguments are the method's settings.
        needs: `predictions` (anything with `predict_proba`), `gradients` or `attention` (a `TextClassifier`).
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
    "lime": Method(lime, "predictions", "a linear model near the text, as in the lime package"),
    "shap": Method(kernel_shap, "predictions", "Shapley values by regression on pairs of coalitions"),
    "exact": Method(exact, "predictions", "Shapley values from all coalitions, for 12 words at most"),
    "occlusion": Method(occlusion, "predictions", "how far the output falls without each word"),
    "ig": Method(integrated_gradients, "gradients", "integrated gradients along a line from a baseline"),
    "gradient": Method(gradient_x_input, "gradients", "gradient times input"),
    "smoothgrad": Method(smoothgrad, "gradients", "gradient times input, the gradient averaged over noise"),
    "attention": Method(attention_weights, "attention", "where the last layer's first token attends"),
    "rollout": Method(attention_rollout, "attention", "attention multiplied through the layers"),
    "lime-package": Method(lime_package, "predictions", "the lime package's own explainer"),
    "shap-package": Method(shap_package, "predictions", "the shap package's Partition explainer: Owen values"),
}

# About how many queries one sentence of a movie review (19 words) takes; other methods take 20 or fewer.
QUERIES = {"lime": 1000, "lime-package": 1000, "shap": 300, "shap-package": 300, "ig": 150}

_WHOLE = {"samples", "steps", "most_steps"}  # settings that are numbers of something
_NUMBERS_AT_ONCE = 2**26  # of the coalitions of texts that share batches: bounds memory


def explain(
    classifier: Any,
    texts: Sequence[str],
    method: str = "shap",
    *,
    target: Any = None,
    output: str = "probability",
    foil: Any = None,
    removal: str = "delete",
    bow: bool = False,
    samples: int | None = None,
    seed: int = 0,
    repeats: int = 1,
    **settings: Any,
) -> list[Attribution]:
    """Scores for each text how much each of its words contributes to a class, with the method's own error.

    An explanation depends on its text, target and seed alone, not on the texts beside it. Equal texts are explained
    once. Where a classifier reads no more than `max_length` tokens, a warning says how many words it does not read;
    methods by gradients and attention give these a score of 0.

    Args:
        classifier: anything with `predict_proba` and `classes_`; gradients and attention need a `TextClassifier`.
        texts: n strings.
        method: one of `METHODS`.
        target: the class that is explained, a list of n of them, or None for the most probable class of each text.
        output: `probability` of the target, or its `log-odds`.
        foil: another class, or a list of n of them: `log-odds` are those of the target among the two; see `contrast`.
        removal: what happens to a word that is taken out: `delete`, or `mask` for the tokenizer's mask token.
        bow: equal words of a text are removed together, with one score (bag of words, as in the `lime` package).
        samples: of methods that sample; the method's own number when left out.
        seed: of methods that sample.
        repeats: runs with the seeds seed, seed + 1, ...; from 2 on `spread` is the standard deviation of a score over
            them. Scores are those of the first.
        settings: of the method: `METHODS[method].settings` names them.

    Raises:
        BadInput: an unknown method, class or setting, a setting out of range, a model that the method cannot use or
            whose scores have a wrong shape. The model's own errors pass through.
    """
    if samples is not None:
        settings["samples"] = samples
    settings |= {name: whole_number(name, settings[name]) for name in _WHOLE & settings.keys()}
    chosen, rows = _checked(method, settings, seed, repeats), check_texts(texts)
    check_classifier(classifier)
    if chosen.needs == "attention" and foil is not None:
        raise BadInput(f"method is {method!r}, which speaks for no class", "use 'shap', 'lime', 'ig' or 'occlusion'")
    if chosen.needs == "gradients":
        check_differentiable(classifier)
    if chosen.needs == "attention":
        bert_of(classifier)
    labels = [_each(classifier, one, len(rows), name) for name, one in (("target", target), ("foil", foil))]
    different, number = unique_rows(list(zip(rows, *labels, strict=True)))
    words = [MaskableText.of(text) for text, *_ in different]
    warn_of_unread_words(classifier, words)

    def once(seed: int) -> list[Attribution]:
        found: dict[int, Attribution] = {}
        for part in _parts([len(one) for one in words], settings.get("samples") or 0):
            texts, targets, foils = zip(*[different[i] for i in part], strict=True)
            model = MaskedModel(
                classifier, texts, target=None if target is None else targets, output=output,
                foil=None if foil is None else foils, removal=removal, bow=bow,
            )  # fmt: skip
            explained = chosen.run(model, **settings, **({"seed": seed} if "seed" in chosen.settings else {}))
            found |= zip(part, explained, strict=True)
        return [found[i] for i in range(len(different))]

    found = once(seed)
    if repeats > 1:
        found = _with_spread(found, [once(seed + i) for i in range(1, repeats)])
    return [found[i] for i in number]


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


def _each(classifier: Any, labels: Any, n: int, name: str) -> list[Any]:
    """The class of each of n texts; None where none is given."""
    if labels is None:
        return [None] * n
    known: list[Any] = np.asarray(classifier.classes_)[columns_of(classifier.classes_, labels, n, name)].tolist()
    return known


def _parts(words: list[int], samples: int) -> Iterator[NDArray[np.int64]]:
    """Numbers of texts that are explained together. Those of most words come first: settings that do not fit a text
    are then refused before any query.
    """
    order = np.argsort([-n for n in words], kind="stable")
    numbers = np.cumsum([words[i] * max(samples, 1000, 16 * words[i]) for i in order])
    ends = np.flatnonzero(np.diff(numbers // _NUMBERS_AT_ONCE)) + 1
    return (part for part in np.split(order, ends) if len(part))


def _with_spread(first: list[Attribution], others: list[list[Attribution]]) -> list[Attribution]:
    found = []
    for one, *more in zip(first, *others, strict=True):
        runs = [one, *more]
        spread = np.std([run.scores for run in runs], axis=0, ddof=1)
        found.append(replace(one, spread=spread, queries=sum(run.queries for run in runs)))
    return found
