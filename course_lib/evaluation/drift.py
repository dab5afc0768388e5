"""Has the input changed since the model was measured, by how much, and what does that say about its accuracy?

A p-value answers only whether there is any difference at all. With enough texts there always is one, so an alarm at
p < 0.05 goes off in every service that has many users. An effect size with its interval says how large the difference
is, and more texts make only the interval narrower. Neither says how much accuracy was lost: that takes labels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from course_lib.errors import BadInput
from course_lib.evaluation.inputs import Floats, numbers, probability_rows, same_length
from course_lib.evaluation.intervals import Interval

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_Z = float(stats.norm.ppf(0.975))


def auc_shift(reference: ArrayLike, current: ArrayLike) -> Interval:
    """Probability that a current text has the higher score than one of the reference: 0.5 where nothing has changed.

    The common-language effect size (McGraw & Wong 1992, Psychological Bulletin 111:361): the area under the ROC curve,
    which is Mann and Whitney's U divided by the number of pairs; ties count half. The 95 % interval is that of DeLong,
    DeLong & Clarke-Pearson (1988, Biometrics 44:837); it is too narrow where hardly any score of one sample lies among
    those of the other.

    Args:
        reference: (n,) scores of the texts that the model was measured on, at least two.
        current: (m,) scores of the texts of today, at least two.

    Raises:
        BadInput: fewer than two scores, or one that is not finite.
    """
    old, new = _samples(reference, current)
    of_new, of_old = placements(old, new)
    auc = float(of_new.mean())
    half = _Z * float(np.sqrt(of_new.var(ddof=1) / len(new) + of_old.var(ddof=1) / len(old)))
    return Interval(auc, max(0.0, auc - half), min(1.0, auc + half))


def placements(old: Floats, new: Floats) -> tuple[Floats, Floats]:
    """For each new score the fraction of old ones below it, and for each old one that of new ones above it."""
    ranks = stats.rankdata(np.concatenate([new, old]))
    of_new = (ranks[: len(new)] - stats.rankdata(new)) / len(old)
    of_old = 1 - (ranks[len(new) :] - stats.rankdata(old)) / len(new)
    return of_new, of_old


def mann_whitney_p(reference: ArrayLike, current: ArrayLike) -> float:
    """The p-value of Mann and Whitney's test that `auc_shift` is 0.5. Arguments and errors are those of `auc_shift`."""
    old, new = _samples(reference, current)
    return float(stats.mannwhitneyu(new, old).pvalue)


def mean_difference(reference: ArrayLike, current: ArrayLike) -> Interval:
    """Current mean minus reference mean, in the unit of the scores, with Welch's (1947) 95 % interval.

    For rates, such as unknown words or right predictions, of two samples of different texts. Errors as `auc_shift`.
    """
    old, new = _samples(reference, current)
    if old.std() == new.std() == 0:
        difference = float(new.mean() - old.mean())
        return Interval(difference, difference, difference)
    ends = stats.ttest_ind(new, old, equal_var=False).confidence_interval(0.95)
    return Interval(float(new.mean() - old.mean()), float(ends.low), float(ends.high))


def predicted_accuracy(confidence: ArrayLike, correct: ArrayLike, current_confidence: ArrayLike) -> float:
    """Accuracy on texts without labels, as far as confidence tells: average thresholded confidence.

    The threshold is the one above which the fraction of reference texts is the accuracy there; the result is the
    fraction of current texts above it (Garg et al. 2022, arXiv:2201.04234). It misses what a model is confidently wrong
    about.

    Args:
        confidence: (n,) highest probability of each reference text.
        correct: (n,) 1 where the reference prediction was right, else 0.
        current_confidence: (m,) highest probability of each current text.

    Raises:
        BadInput: different lengths, nothing there, or a value that is not finite.
    """
    sure, right = numbers(confidence, "confidence"), numbers(correct, "correct")
    same_length(len(sure), right, "values in correct")
    threshold = np.quantile(sure, 1 - right.mean())
    return float(np.mean(numbers(current_confidence, "current_confidence") > threshold))


def text_measures(texts: Sequence[str], probabilities: ArrayLike, known_words: Collection[str]) -> dict[str, Floats]:
    """Four scores of each text that need no label: confidence, positive, words, unseen words.

    Args:
        texts: (n,) texts.
        probabilities: (n, classes) of the model; "confidence" is the highest, "positive" that of the last class.
        known_words: those of the training texts, in lower case (`words` gives them); "unseen words" is the fraction of
            a text's words that are not among them. A WordPiece tokenizer knows nearly every word in pieces, so its rate
            of unknown tokens says nothing.

    Raises:
        BadInput: not one row for each text, or rows that are no probabilities.
    """
    rows, known = probability_rows(probabilities), frozenset(known_words)
    same_length(len(rows), texts, "texts")
    found = [words(text) for text in texts]
    unseen = [float(np.mean([word not in known for word in some])) if some else 0.0 for some in found]
    lengths = np.array([len(some) for some in found], dtype=np.float64)
    return {
        "confidence": rows.max(axis=1),
        "positive": rows[:, -1],
        "words": lengths,
        "unseen words": np.array(unseen),
    }


def words(text: str) -> list[str]:
    """The words of a text in lower case, without numbers and punctuation."""
    return _WORD.findall(text.lower())


def drift_table(reference: Mapping[str, ArrayLike], samples: Mapping[str, Mapping[str, ArrayLike]]) -> pd.DataFrame:
    """Each measure of each sample against the reference.

    Args:
        reference: measure -> (n,) scores, as `text_measures` gives them.
        samples: name -> the same measures of other texts.

    Returns:
        One row for each sample and measure: sample, measure, auc, low, high (`auc_shift`) and p (`mann_whitney_p`).

    Raises:
        BadInput: a sample without one of the measures, or what `auc_shift` raises.
    """
    rows = []
    for name, measures in samples.items():
        if missing := reference.keys() - measures.keys():
            raise BadInput(f"the sample {name!r} lacks {sorted(missing)}", "pass the measures of the reference")
        for measure, scores in reference.items():
            auc = auc_shift(scores, measures[measure])
            p = mann_whitney_p(scores, measures[measure])
            rows.append([name, measure, auc.estimate, auc.low, auc.high, p])
    return pd.DataFrame(rows, columns=["sample", "measure", "auc", "low", "high", "p"])


def by_sample_size(reference: ArrayLike, current: ArrayLike, sizes: Sequence[int], seed: int = 0) -> pd.DataFrame:
    """The effect and the p-value for samples of several sizes: the effect settles, the p-value goes to 0.

    Args:
        reference: (n,) scores.
        current: (m,) scores.
        sizes: texts drawn of each sample, at least two, with replacement: as if the two samples were all texts of then
            and of now, so that a size may be larger than they are.
        seed: of the draws.

    Returns:
        One row for each size: n, auc, low, high, p.
    """
    old, new = _samples(reference, current)
    draw, rows = np.random.default_rng(seed), []
    for size in sizes:
        if size < 2:
            raise BadInput(f"a size is {size}", "draw at least two texts of each sample")
        a, b = draw.choice(old, size), draw.choice(new, size)
        auc = auc_shift(a, b)
        rows.append([size, auc.estimate, auc.low, auc.high, mann_whitney_p(a, b)])
    return pd.DataFrame(rows, columns=["n", "auc", "low", "high", "p"])


def _samples(reference: ArrayLike, current: ArrayLike) -> tuple[Floats, Floats]:
    samples = numbers(reference, "reference"), numbers(current, "current")
    if min(map(len, samples)) < 2:
        raise BadInput("a sample has 1 score", "pass at least two scores of each sample; a hundred say more")
    return samples
