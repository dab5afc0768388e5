"""Several models as one: their answers put together, or their weights."""

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
from course_lib.defenses.answers import Answers, Classifier, check_classifier
from course_lib.errors import BadInput
from course_lib.finetuning.recipes import soup

_WAYS = ("mean", "vote")


@dataclass(frozen=True, eq=False)
class Ensemble(Answers):
    """Classifiers that answer together; asking costs as much as asking each of them.

    Args:
        members: of the same classes.
        how: `mean` takes the mean of their probabilities; `vote` gives each one vote for its likeliest class.

    Raises:
        BadInput: no member, one that is not fitted, members of different classes, or an unknown way.
    """

    members: Sequence[Classifier]
    how: str = "mean"

    def __post_init__(self) -> None:
        if self.how not in _WAYS:
            raise BadInput(f"how is {self.how!r}", f"use one of {', '.join(_WAYS)}")
        _check_members(self.members)

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted: those of every member."""
        return self.members[0].classes_

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, classes), rows sum to 1.

        For `vote` the mean probability counts as one vote more, shared out among the classes: it decides where the
        votes are even, and nowhere else, since it is worth less than one vote.
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

    It costs as much to ask as one of them. They must have been fine-tuned from the same weights, head included
    (`TrainingConfig(seed=s)` alike, `order_seed` different): the mean of unrelated weights is noise, and no check can
    see that.

    Args:
        members: fitted; they stay as they are.

    Raises:
        BadInput: no member, one that is not fitted, or members of different classes, heads, words or shapes.
    """
    if not len(members):
        raise BadInput("there is no member", "give at least one")
    likenesses = [_likeness(number, member) for number, member in enumerate(members)]
    for number, likeness in enumerate(likenesses):
        if differ := [name for name, value in likeness.items() if value != likenesses[0][name]]:
            raise BadInput(f"member {number} differs from member 0 in {', '.join(differ)}", "fuse models of one kind")
        members[number].module_.to(machine.device())
    return soup([copy.deepcopy(members[0]), *members[1:]])


def _likeness(number: int, member: TextClassifier) -> dict[str, Any]:
    """What members must share to be fused."""
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
            raise BadInput(f"member {number} knows the classes {mine}, member 0 {first}", "give members of one kind")
