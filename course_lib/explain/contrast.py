"""Why this class and not that one. People ask so (Miller 2019, arXiv:1706.07269, section 2), and the answer leaves out
what speaks for both (Jacovi et al. 2021, arXiv:2103.01378).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib.batching import check_texts
from course_lib.defenses.answers import check_classifier
from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.game import columns_of
from course_lib.explain.methods import METHODS, explain
from course_lib.text.modules import input_embeddings


@dataclass(frozen=True, eq=False)
class Contrast(Attribution):
    """How much each word did for the target rather than for the foil; all else as in `Attribution`.

    The output is log p(target) - log p(foil), which stands as `log-odds` of the target among the two; above 0 the
    target is likelier.

    Attributes:
        foil: the class that it was not.
    """

    foil: Any = None

    def to_dict(self) -> dict[str, Any]:
        """As `Attribution.to_dict`, with the foil."""
        return {**super().to_dict(), "foil": self.foil.item() if isinstance(self.foil, np.generic) else self.foil}


class TwoClasses:
    """A classifier that knows two of another's classes: what is left when all others are ruled out.

    Its log-odds are the difference of the two classes' logits. `predict_proba` shares 1 among the two in the proportion
    of their probabilities.

    Args:
        classifier: anything with `predict_proba` and `classes_`.
        why: a class.
        why_not: another.

    Raises:
        BadInput: no classifier, a class that it does not know, or the same twice.
    """

    def __init__(self, classifier: Any, why: Any, why_not: Any) -> None:
        check_classifier(classifier, "classifier")
        self.columns = columns_of(classifier, [why, why_not], 2)
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
        self.training = module.training  # whoever puts it back puts the module back

    def get_input_embeddings(self) -> nn.Embedding:
        """For gradients."""
        return input_embeddings(self.module)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.module(input_ids, attention_mask)
        return logits[:, torch.tensor(self.columns, device=logits.device)]


def contrast(
    classifier: Any,
    texts: Sequence[str],
    why: Any = None,
    why_not: Any = None,
    *,
    method: str = "shap",
    **settings: Any,
) -> list[Contrast]:
    """Says for each text how much each word did for one class rather than for another.

    Args:
        classifier: as for `explain`; with probabilities alone, log p is cut off near 0 and 1 as in `explain`.
        texts: n strings.
        why: the class, a list of n of them, or None for each text's likeliest.
        why_not: the foil in the same ways; None is the likeliest of the others.
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
    check_classifier(classifier, "classifier")
    rows = check_texts(texts)
    pairs = _pairs(classifier, rows, why, why_not)
    done: dict[int, Contrast] = {}
    for pair in dict.fromkeys(pairs):
        mine = [row for row, one in enumerate(pairs) if one == pair]
        target, foil = (classifier.classes_[column] for column in pair)
        view = TwoClasses(classifier, *classifier.classes_[list(pair)].tolist())
        asked = [rows[row] for row in mine]
        found = explain(view, asked, method, target=target, output="log-odds", **settings)
        done |= {row: _with_foil(one, foil) for row, one in zip(mine, found, strict=True)}
    return [done[row] for row in range(len(rows))]


def _with_foil(one: Attribution, foil: Any) -> Contrast:
    return Contrast(**{field.name: getattr(one, field.name) for field in fields(Attribution)}, foil=foil)


def _pairs(classifier: Any, texts: list[str], why: Any, why_not: Any) -> list[tuple[int, int]]:
    """The columns of each text's class and foil."""
    if len(classifier.classes_) < 2:
        raise BadInput("the classifier knows one class", "contrast needs two")
    if not texts:
        return []
    first, second = (None if one is None else columns_of(classifier, one, len(texts)) for one in (why, why_not))
    if first is None or second is None:
        chances = np.array(classifier.predict_proba(texts), np.float64)
        first = _likeliest(chances, second) if first is None else first
        second = _likeliest(chances, first) if second is None else second
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    for left, right in pairs:
        if left == right:
            raise BadInput(f"why and why_not are both {classifier.classes_.tolist()[left]!r}", "name two classes")
    return pairs


def _likeliest(chances: Floats, but: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """(n,), the likeliest class of each text; with `but` the likeliest but one given."""
    if but is None:
        return np.asarray(chances.argmax(1), np.int64)
    others = chances.copy()
    others[np.arange(len(others)), but] = -1
    return np.asarray(others.argmax(1), np.int64)
