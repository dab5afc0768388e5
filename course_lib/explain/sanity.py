"""Does an explanation notice when the model forgets? (Adebayo et al. 2018, arXiv:1810.03292)"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from course_lib import machine
from course_lib.classifier import TextClassifier
from course_lib.encoder.model import start_as_bert
from course_lib.errors import BadInput
from course_lib.explain.faithfulness import rank_correlation
from course_lib.explain.methods import explain


def stages(classifier: TextClassifier) -> list[str]:
    """The parts of a BERT classifier from the top down: head, pooler, layers, embeddings.

    Raises:
        BadInput: it is no BERT classifier.
    """
    bert: Any = getattr(getattr(classifier, "module_", None), "bert", None)
    if bert is None:
        raise BadInput(
            f"a {type(classifier).__name__} without a BERT", "give a fitted TextClassifier on a BERT encoder"
        )
    layers = len(bert.encoder.layer)
    return ["classifier", "bert.pooler", *(f"bert.encoder.layer.{i}" for i in reversed(range(layers))),
            "bert.embeddings"]  # fmt: skip


def randomised(classifier: TextClassifier, depth: int, seed: int = 0) -> TextClassifier:
    """A copy whose first `depth` stages from the top have random weights, as before any training.

    Raises:
        BadInput: a depth that is not from 0 to the number of stages, or no BERT classifier.
    """
    names = stages(classifier)
    if not 0 <= depth <= len(names):
        raise BadInput(f"depth is {depth}", f"use 0 to {len(names)}")
    forgetful = copy.copy(classifier)
    forgetful.module_ = copy.deepcopy(classifier.module_)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        cpu = forgetful.module_.cpu()
        for name in names[:depth]:
            cpu.get_submodule(name).apply(_forget)
    forgetful.module_.to(machine.device())
    return forgetful


def _forget(module: nn.Module) -> None:
    start_as_bert(module)
    if isinstance(module, nn.LayerNorm):
        module.reset_parameters()


def sanity_check(
    classifier: TextClassifier, texts: Sequence[str], method: str, *, seed: int = 0, **settings: Any
) -> pd.DataFrame:
    """How much the scores still agree while the model is randomised from the top down, stage by stage.

    A method whose scores stay alike says something of the text, not of the model (Adebayo et al. 2018, section 3.1).

    Args:
        classifier: on a BERT encoder; it stays as it is.
        texts: some of at least two words.
        method: of `explain`, with its settings; every model is explained for the class that the whole one gives.
        seed: of the random weights and of the method.
        settings: as for `explain`.

    Returns:
        A row a stage: `stage`, and the mean over texts of the rank correlation with the whole model's scores, of the
        scores as they are (`signed`) and of their sizes (`absolute`). nan where no scores can be ranked.
    """
    before = explain(classifier, texts, method, seed=seed, **settings)
    targets = [one.target for one in before]
    settings.pop("target", None)
    rows = []
    for depth, stage in enumerate(stages(classifier), 1):
        after = explain(randomised(classifier, depth, seed), texts, method, target=targets, seed=seed, **settings)
        pairs = [(one.scores, other.scores) for one, other in zip(before, after, strict=True)]
        signed = [rank_correlation(one, other) for one, other in pairs]
        absolute = [rank_correlation(np.abs(one), np.abs(other)) for one, other in pairs]
        rows.append({"stage": stage, "signed": _mean(signed), "absolute": _mean(absolute)})
    return pd.DataFrame(rows)


def _mean(numbers: list[float]) -> float:
    known = [one for one in numbers if one == one]
    return float(np.mean(known)) if known else float("nan")
