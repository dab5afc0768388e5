"""Why this class and not that one. People ask so (Miller 2019, arXiv:1706.07269, section 2), and such an explanation
leaves out what speaks for both classes (Jacovi et al. 2021, arXiv:2103.01378).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.methods import METHODS, explain
from course_lib.text.classifiers import check_classifier, check_scores, columns_of, predict_unique
from course_lib.text.modules import input_embeddings


@dataclass(frozen=True, eq=False)
class Contrast(Attribution):
    """How much each word contributes to the target rather than to the foil; all else as in `Attribution`.

    The output is log p(target) - log p(foil), the `log-odds` of the target among the two; above 0 the
    target is more probable.

    Attributes:
        foil: the class that it was not.
    """

    foil: Any = None

    def to_dict(self) -> dict[str, Any]:
        """As `Attribution.to_dict`, with the foil."""
        return {**super().to_dict(), "foil": self.foil.item() if isinstance(self.foil, np.generic) else self.foil}


class TwoClasses:
    """A classifier of two of another's classes: what is left when all others are ruled out.

    Its log-odds are the difference of the two classes' logits. `predict_proba` normalises their two probabilities.

    Args:
        classifier: anything with `predict_proba` and `classes_`.
        why: a class.
        why_not: another.

    Raises:
        BadInput: no classifier, a class that is not one of its own, or the same twice.
    """

    head = "classification"

    def __init__(self, classifier: Any, why: Any, why_not: Any) -> None:
        check_classifier(classifier)
        self.columns = columns_of(classifier.classes_, [why, why_not], 2, "why")
        if self.columns[0] == self.columns[1]:
            raise BadInput(f"why and why_not are both {why!r}", "name two classes")
        self.classifier, self.classes_ = classifier, classifier.classes_[self.columns]
        if hasattr(classifier, "decision_logits"):
            self.decision_logits = self._logits
        if hasattr(classifier, "module_"):
            self.module_ = _TwoOutputs(classifier.module_, self.columns.tolist())
            self.tokenizer_, self.max_length = classifier.tokenizer_, classifier.max_length
        elif hasattr(classifier, "tokenizer_"):
            self.tokenizer_ = classifier.tokenizer_

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """(n, 2), columns why and why_not; rows sum to 1, also where both classes are next to impossible."""
        both = np.asarray(self.classifier.predict_proba(texts), np.float64)[:, self.columns]
        both = np.maximum(both, np.finfo(np.float32).tiny)
        return np.asarray(both / both.sum(1, keepdims=True), np.float64)

    def _logits(self, texts: Sequence[str]) -> NDArray[Any]:
        """(n, 2), the two classes' logits."""
        found: NDArray[Any] = np.asarray(self.classifier.decision_logits(texts))[:, self.columns]
        return found


class _TwoOutputs(nn.Module):
    """Two of a module's outputs; it shares the module's weights."""

    def __init__(self, module: nn.Module, columns: list[int]) -> None:
        super().__init__()
        self.module, self.columns = module, columns

    def get_input_embeddings(self) -> nn.Embedding:
        """For gradients."""
        return input_embeddings(self.module)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.module(input_ids, attention_mask)
        return logits[:, self.columns]


def contrast(
    classifier: Any,
    texts: Sequence[str],
    why: Any = None,
    why_not: Any = None,
    *,
    method: str = "shap",
    **settings: Any,
) -> list[Contrast]:
    """Scores for each text how much each word contributes to one class rather than to another.

    Args:
        classifier: as for `explain`; with probabilities alone, log p is cut off near 0 and 1 as in `explain`.
        texts: n strings.
        why: the class, a list of n of them, or None for the most probable class of each text.
        why_not: the foil in the same ways; None is the most probable of the others.
        method: of `METHODS`; attention speaks for no class.
        settings: as for `explain`, but for target and output.

    Raises:
        BadInput: the same class twice, a method that speaks for no class, and what `explain` raises.
    """
    if method in METHODS and METHODS[method].needs == "attention":
        raise BadInput(f"method is {method!r}, which speaks for no class", "use 'shap', 'lime', 'ig' or 'occlusion'")
    for name in ("target", "output"):
        if name in settings:
            raise BadInput(f"{name} is {settings[name]!r}", f"leave {name} out: why and why_not say what is explained")
    check_classifier(classifier)
    rows = check_texts(texts)
    pairs = _pairs(classifier, rows, why, why_not)
    done: dict[int, Contrast] = {}
    for first, second in dict.fromkeys(pairs):
        mine = [row for row, pair in enumerate(pairs) if pair == (first, second)]
        target, foil = classifier.classes_[first], classifier.classes_[second]
        view = TwoClasses(classifier, *classifier.classes_[[first, second]].tolist())
        found = explain(view, [rows[row] for row in mine], method, target=target, output="log-odds", **settings)
        done |= {row: Contrast(**vars(one), foil=foil) for row, one in zip(mine, found, strict=True)}
    return [done[row] for row in range(len(rows))]


def _pairs(classifier: Any, texts: list[str], why: Any, why_not: Any) -> list[tuple[int, int]]:
    """The columns of each text's class and foil."""
    if len(classifier.classes_) < 2:
        raise BadInput("the classifier has one class", "contrast needs two")
    if not texts:
        return []
    named = {name: columns_of(classifier.classes_, one, len(texts), name)
             for name, one in (("why", why), ("why_not", why_not)) if one is not None}  # fmt: skip
    if len(named) < 2:
        scores = predict_unique(lambda part: check_scores(classifier, classifier.predict_proba(part), len(part)), texts)
        for other in named.values():
            scores[np.arange(len(texts)), other] = -1
        most_probable = iter(np.argsort(-scores, axis=1, kind="stable").T)
        for name in ("why", "why_not"):
            if name not in named:
                named[name] = next(most_probable)
    pairs = list(zip(named["why"].tolist(), named["why_not"].tolist(), strict=True))
    for left, right in pairs:
        if left == right:
            raise BadInput(f"why and why_not are both {classifier.classes_.tolist()[left]!r}", "name two classes")
    return pairs
