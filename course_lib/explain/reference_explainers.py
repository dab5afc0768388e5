"""The `lime` and `shap` packages' own explainers on our batches: the reference for ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats, relative_gap
from course_lib.explain.masked_model import Coalitions, MaskableText, MaskedModel, check_seed

MOST_SEED = 2**32 - 1  # of NumPy's old generators, which the lime and shap packages draw with
_GLOBAL_GENERATOR = threading.Lock()


@contextmanager
def numpy_seeded(seed: int) -> Iterator[None]:
    """While inside, NumPy's global generator, which `shap` draws from, has this seed; afterwards its earlier state.

    One thread at a time: others wait.
    """
    with _GLOBAL_GENERATOR:
        state = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


def lime_package(model: MaskedModel, *, samples: int = 1000, seed: int = 0) -> list[Attribution]:
    """`lime.lime_text.LimeTextExplainer` on every text, with all words as features; its error is 1 - R2.

    Its words are ours (emoji included), its numbers its own. The package holds all perturbed texts at once, so its
    memory grows with samples.

    Args:
        model: classifier and texts; `bow` is the package's `bow`, and decides what a removed word leaves.
        samples: perturbations of a text.
        seed: the package's `random_state`.

    Raises:
        BadInput: fewer than 2 samples, a seed of 2^32 or more; `bow` with masked words, which the package cannot do.
    """
    from lime.lime_text import LimeTextExplainer

    if samples < 2:
        raise BadInput(f"samples is {samples}", "use 2 or more; 1000 is usual")
    check_seed(seed, MOST_SEED)
    found = []
    for text, one in enumerate(model.texts):
        bow = len(one) < len(one.word_of)
        if bow and one.replacement:
            raise BadInput("the lime package masks no equal words together", "use removal='delete', or bow=False")
        scores, base, error = np.zeros(len(one)), 0.0, 0.0
        if len(one):
            explainer = LimeTextExplainer(
                bow=bow, mask_string=one.replacement, split_expression=_occurrences, random_state=seed
            )
            explanation = explainer.explain_instance(
                one.text, _two_columns(model, text), labels=(1,), num_features=len(one), num_samples=samples
            )
            for word, score in explanation.local_exp[1]:
                scores[word] = score
            base, error = float(explanation.intercept[1]), 1 - float(explanation.score)
        found.append(model.attribution(text, scores, base, "lime-package", error, "1 - R2"))
    return found


def _occurrences(text: str) -> list[str]:
    return list(MaskableText.of(text).document.words)


def _two_columns(model: MaskedModel, text: int) -> Callable[[list[str]], Floats]:
    """What the package queries: (m, 2), the output is column 1."""

    def predict(texts: list[str]) -> Floats:
        values = model.evaluate_texts(text, texts)
        return np.column_stack([1 - values, values])

    return predict


class WordMasker:
    """A text's words for the `shap` package: what is masked, and which words belong together."""

    immutable_outputs = True

    def __init__(self, text: MaskableText) -> None:
        self.text = text
        self.clustering = self.word_tree

    def __call__(self, mask: Coalitions, _: str) -> tuple[Any]:
        """The text with the words of a mask (n,)."""
        return (np.array(self.text.mask(np.asarray(mask, bool)[None]), dtype=object),)

    def shape(self, _: str) -> tuple[int, int]:
        """One masked text for each mask, n words."""
        return 1, len(self.text)

    def mask_shapes(self, _: str) -> list[tuple[int]]:
        """(n,)."""
        return [(len(self.text),)]

    def feature_names(self, _: str) -> list[list[str]]:
        """The words."""
        return [[word.text for word in self.text.words]]

    def word_tree(self, _: str) -> Floats:
        """(n - 1, 4), the package's own tree of neighbouring words, as its masker of texts makes it."""
        from shap.maskers._text import partition_tree

        tree: Floats = partition_tree([word.text for word in self.text.words], [])
        tree[:, 2] = tree[:, 3] / tree[:, 3].max()
        return tree


def shap_package(model: MaskedModel, *, samples: int | None = None, seed: int = 0) -> list[Attribution]:
    """The `shap` package's Partition explainer on every text; the error is the efficiency gap, near 0.

    Its scores are Owen values: words share credit with their neighbours in a tree of the text.

    Args:
        model: classifier and texts.
        samples: coalitions of a text (`max_evals`); when left out, n^2 but at most 500, as in the package.
        seed: of the package's random numbers; the caller's own are not changed.

    Raises:
        BadInput: a seed of 2^32 or more.
    """
    import shap

    check_seed(seed, MOST_SEED)
    found = []
    for text, (one, full, empty) in enumerate(zip(model.texts, model.full_outputs, model.empty_outputs, strict=True)):
        scores, most = np.full(len(one), full - empty), min(500, len(one) ** 2) if samples is None else samples
        if len(one) > 1:
            with numpy_seeded(seed):
                explainer = shap.explainers.Partition(_query(model, text), WordMasker(one))
                explanation = explainer([one.text], max_evals=most, batch_size=max(most, 2), silent=True)
            scores = np.asarray(explanation.values[0], np.float64)
        error = relative_gap(full - empty - float(scores.sum()), full - empty)
        found.append(model.attribution(text, scores, empty, "shap-package", error, "efficiency gap"))
    return found


def _query(model: MaskedModel, text: int) -> Callable[[Any], Floats]:
    return lambda texts: model.evaluate_texts(text, [str(one) for one in texts])
