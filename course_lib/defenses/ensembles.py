"""Several models as one: their predictions combined, or their weights averaged."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib import machine
from course_lib.batching import check_texts
from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput
from course_lib.finetuning.recipes import soup
from course_lib.text.classifiers import Classifier, ProbabilityClassifierMixin, check_classifier

_RULES = ("mean", "vote")


@dataclass(frozen=True, eq=False)
class Ensemble(ProbabilityClassifierMixin):
    """Classifiers that predict together; a query costs as much as one of each of them.

    Args:
        members: of the same classes, in the same order.
        how: `mean` takes the mean of their probabilities; `vote` gives each one vote for its most probable class.

    Raises:
        BadInput: no member, one that is not fitted, members of different classes, or an unknown rule.
    """

    members: Sequence[Classifier]
    how: str = "mean"

    def __post_init__(self) -> None:
        if self.how not in _RULES:
            raise BadInput(f"how is {self.how!r}", f"use one of {', '.join(_RULES)}")
        _check_members(self.members)

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels: those of every member, in the order of their columns."""
        return self.members[0].classes_

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, classes), rows sum to 1.

        For `vote` the mean probabilities are added to the votes: they sum to one vote and so decide ties only.
        """
        texts = check_texts(texts)
        each = np.stack([np.asarray(member.predict_proba(texts)) for member in self.members])  # (members, n, classes)
        together = each.mean(0, dtype=np.float64)
        if self.how == "vote":
            votes = (each.argmax(2)[..., None] == np.arange(each.shape[2])).sum(0)
            together = (votes + together) / (len(each) + 1)
        probabilities: NDArray[np.float32] = together.astype(np.float32)
        return probabilities


def fused(members: Sequence[TextClassifier]) -> TextClassifier:
    """One classifier whose weights are the mean of the members' (a soup: Wortsman et al. 2022, arXiv:2203.05482).

    A query costs as much as one of a single member. They must have been fine-tuned from the same weights, head included
    (`TrainingConfig(seed=s)` alike, `order_seed` different): the mean of unrelated weights is noise, which no check can
    detect.

    Args:
        members: fitted; they are not changed.

    Raises:
        BadInput: no member, one that is not fitted, or members of different classes, heads, words or shapes.
    """
    if not len(members):
        raise BadInput("there is no member", "give at least one")
    kinds = [_kind(number, member) for number, member in enumerate(members)]
    for number, kind in enumerate(kinds):
        if differ := [name for name, value in kind.items() if value != kinds[0][name]]:
            raise BadInput(f"member {number} differs from member 0 in {', '.join(differ)}", "fuse models of one kind")
        members[number].module_.to(machine.device())
    return soup([copy.deepcopy(members[0]), *members[1:]])


def _kind(number: int, member: TextClassifier) -> dict[str, Any]:
    """What members must have in common to be fused."""
    if not isinstance(member, TextClassifier) or not hasattr(member, "module_"):
        raise BadInput(f"member {number} is no fitted TextClassifier", "fit it first; Ensemble takes any classifier")
    return {
        "classes": None if member.head == "regression" else member.classes_.tolist(),
        "head": member.head,
        "max_length": member.max_length,
        "words": member.tokenizer_.get_vocab(),
        "shapes of weights": {name: tuple(tensor.shape) for name, tensor in member.module_.state_dict().items()},
    }


def _check_members(members: Sequence[Classifier]) -> None:
    if not len(members):
        raise BadInput("there is no member", "give at least one")
    for number, member in enumerate(members):
        check_classifier(member, f"member {number}")
        mine, first = member.classes_.tolist(), members[0].classes_.tolist()
        if mine != first:
            raise BadInput(f"member {number} has the classes {mine}, member 0 {first}", "give members of one kind")
