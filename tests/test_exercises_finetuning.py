"""Fine-tuning: other right answers pass, sly ones do not, mistakes are recognised, references agree with libraries."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from answers import Answer, Edit, Mistakes, judged
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_lib.classifier import BERTForSentimentAnalysis
from course_lib.cleaning import normalise
from course_lib.evaluation import calibration, wilson_interval
from course_lib.exercises import reference
from course_lib.exercises.topics import finetuning
from course_lib.training import TrainingConfig, learning_rate_at

# ---------------------------------------------------------------- other right answers


def leaks_by_regular_expression(train_texts: list[str], test_texts: list[str]) -> list[int]:
    seen = [re.findall(r"\w+", text.casefold()) for text in train_texts]
    return [p for p, text in enumerate(test_texts) if re.findall(r"\w+", text.casefold()) in seen]


def leaks_as_array(train_texts: list[str], test_texts: list[str]) -> Any:
    return np.flatnonzero(np.isin([normalise(t) for t in test_texts], [normalise(t) for t in train_texts]))


def pad_with_lists(token_id_lists: list[list[int]], pad_id: int = 0) -> list[list[list[int]]]:
    width = max(map(len, token_id_lists))
    ids = [one + [pad_id] * (width - len(one)) for one in token_id_lists]
    return [ids, [[1] * len(one) + [0] * (width - len(one)) for one in token_id_lists]]


def rate_by_minimum(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    return peak * min((step + 1) / (warmup_steps + 1), (total_steps - step) / (total_steps - warmup_steps))


def rate_of_the_course(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    config = TrainingConfig(learning_rate=peak, warmup=warmup_steps / total_steps, schedule="linear")
    return learning_rate_at(step, total_steps, config)


def ece_by_edges(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    number = np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True)
    return float(sum((number == k).mean() * abs((correct - confidence)[number == k].mean()) for k in set(number)))


class OtherClassifier(nn.Module):
    """Dropout as a function, the head by hand."""

    def __init__(self, bert: Any, num_labels: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.bert, self.dropout = bert, dropout
        self.classifier = nn.Linear(bert.config.hidden_size, num_labels)
        self.classifier.weight.data.normal_(0, 0.02)
        self.classifier.bias.data.fill_(0)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        _, pooled = self.bert(ids, attention_mask=mask, return_dict=False)
        return F.dropout(pooled, self.dropout, self.training) @ self.classifier.weight.T + self.classifier.bias


class TheCourseClassifier(BERTForSentimentAnalysis):
    def __init__(self, bert: Any, num_labels: int = 2, dropout: float = 0.1) -> None:
        super().__init__(num_labels, bert, dropout)


def other_epoch(model: Any, batches: Any, optimizer: Any, scheduler: Any, clip_norm: float = 1.0) -> list[float]:
    losses, measure = [], nn.CrossEntropyLoss()
    for *inputs, labels in batches:
        model.train()
        loss = measure(model(*inputs), labels)
        losses.append(float(loss.detach()))
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        scheduler.step()
    return losses


@torch.no_grad()
def other_evaluation(model: Any, batches: Any) -> Any:
    model.train(False)
    right = torch.cat([model(ids, mask).max(dim=1).indices == labels for ids, mask, labels in batches])
    found = wilson_interval(int(right.sum()), len(right))
    return found.estimate, found.low, found.high


class OtherLoRA(nn.Module):
    """Another random start of A, and a merged layer made of a copy."""

    def __init__(self, linear: nn.Linear, rank: int = 8, alpha: float = 16.0) -> None:
        super().__init__()
        for parameter in linear.parameters():
            parameter.requires_grad = False
        self.frozen, self.factor = linear, alpha / rank
        self.A = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(rank, linear.in_features), a=5**0.5))
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.frozen(x) + F.linear(F.linear(x, self.A), self.B) * self.factor

    def merge(self) -> nn.Linear:
        merged = copy.deepcopy(self.frozen)
        merged.weight.data += self.factor * (self.B @ self.A)
        return merged


RIGHT: dict[str, list[Answer]] = {
    "find_leaks": [leaks_by_regular_expression, leaks_as_array],
    "pad_batch": [pad_with_lists],
    "warmup_linear": [rate_by_minimum, rate_of_the_course],
    "expected_calibration_error": [ece_by_edges],
    "BERTForSentimentAnalysis": [OtherClassifier, TheCourseClassifier],
    "train_epoch": [other_epoch],
    "evaluate": [other_evaluation],
    "LoRALinear": [OtherLoRA],
}
TEXTS = st.lists(st.sampled_from(["Good film!", "good  film", "bad-film", "bad film", "film", "FILM..."]))


def predictions(least: float) -> st.SearchStrategy[tuple[Any, ...]]:
    """Confidence from `least` on, never on the edge of a bin, whether it was right, and the number of bins."""
    rows = st.lists(st.tuples(st.integers(int(1000 * least), 998), st.booleans()), min_size=1).map(np.array)
    return st.tuples(rows, st.sampled_from([2, 4, 8, 15])).map(
        lambda drawn: ((drawn[0][:, 0] + 0.5) / 1000, drawn[0][:, 1], drawn[1])
    )


DRAWN = {
    "find_leaks": st.tuples(TEXTS, TEXTS),
    "pad_batch": st.tuples(st.lists(st.lists(st.integers(0, 9)), min_size=1).filter(any), st.integers(0, 9)),
    "warmup_linear": st.integers(0, 30).flatmap(
        lambda warmup: st.tuples(st.integers(0, 40), st.just(41), st.just(warmup), st.floats(1e-5, 1))
    ),
    "expected_calibration_error": predictions(0),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "find_leaks": [
        ("c.isalnum()", "c.isalnum() and c.isascii()"),
        ("c.isalnum()", "c.isalpha()"),
        ("for text in train_texts", "for text in train_texts[:1]"),
        lambda train, test: leaks_by_regular_expression(train, [re.sub(r"\d", "", t) for t in test]),
        ("[position for", "[position + 1 for"),
    ],
    "pad_batch": [
        ("enumerate(token_id_lists)", "enumerate(sorted(token_id_lists, key=len))"),
        ("return input_ids", "return input_ids.astype(np.int8)"),
        lambda lists, pad_id=0: reference.pad_batch([one[:10] for one in lists], pad_id),
        ("= ids\n", "= ids[::-1]\n"),
        lambda lists, pad_id=0: reference.pad_batch([one for one in lists if one], pad_id),
        ("return input_ids, attention_mask", "return input_ids, input_ids"),
    ],
    "warmup_linear": [
        lambda step, total, warmup, peak: rate_by_minimum(step + 1, total, warmup, peak),
        lambda step, total, warmup, peak: rate_by_minimum(max(0, step - 1), total, warmup, peak),
        lambda step, total, warmup, peak: rate_by_minimum(step, total + 1, warmup, peak),
        lambda step, total, warmup, peak: rate_by_minimum(step, total, max(1, warmup), peak),
        lambda step, total, warmup, peak: peak * (1 - abs(step - warmup) / total),
        lambda step, total, warmup, peak: rate_by_minimum(step, total, warmup, peak) ** 2 / peak,
    ],
    "expected_calibration_error": [
        lambda confidence, correct, bins: reference.expected_calibration_error(confidence, correct, 10),
        lambda confidence, correct, bins: reference.expected_calibration_error(confidence, correct, bins + 1),
        lambda confidence, correct, bins: reference.expected_calibration_error(confidence, correct, bins) ** 0.5,
        lambda confidence, correct, bins: reference.expected_calibration_error(confidence / 2 + 0.5, correct, bins),
        lambda confidence, correct, bins: reference.expected_calibration_error(confidence, 1 - correct, bins),
    ],
    "BERTForSentimentAnalysis": [("std=0.02", "std=0.2"), ("nn.init.zeros_(", "nn.init.ones_(")],
    "train_epoch": [("loss.item()", "2 * loss.item()"), ("in batches:", "in batches[:2]:")],
    "evaluate": [("n += len(labels)", "n += input_ids.numel()"), ("(4 * n**2)", "(2 * n**2)")],
    "LoRALinear": [
        ("@ self.B.T", "@ self.B.T + self.B.sum()"),
        ("linear.requires_grad_(False)", "linear.requires_grad_(False); linear.bias.requires_grad_(True)"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def mask_by_comparison(token_id_lists: list[list[int]], pad_id: int = 0) -> Any:
    ids, _ = pad_with_lists(token_id_lists, pad_id)
    return ids, [[int(token != pad_id) for token in row] for row in ids]


def like_transformers(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    """The schedule of transformers.get_linear_schedule_with_warmup: step 0 has rate 0."""
    if step < warmup_steps:
        return peak * step / max(1, warmup_steps)
    return peak * max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))


def upper_bin(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(np.mean(number == k) * abs((correct - confidence)[number == k].mean()) for k in set(number))


class WithoutHead(nn.Module):
    def __init__(self, bert: Any, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.bert, self.head = bert, nn.Linear(bert.config.hidden_size, num_labels)


class NoModule:
    def __init__(self, bert: Any, num_labels: int, dropout: float) -> None:
        self.bert = bert


MISTAKES: Mistakes = {
    "pad_batch": [(mask_by_comparison, "guessed from the ids")],
    "warmup_linear": [(like_transformers, "Step 0 has rate 0")],
    "BERTForSentimentAnalysis": [
        (WithoutHead, "self.classifier should be of type Linear, but it is missing"),
        (NoModule, "should be a subclass of nn.Module"),
    ],
    "train_epoch": [
        (lambda *given: sum(reference.train_epoch(*given)), "should be a list with the loss of each batch")
    ],
    "evaluate": [(lambda *given: list(reference.evaluate(*given))[:2], "should be three numbers")],
    "LoRALinear": [(("linear.out_features, rank)", "rank, linear.out_features)"), "self.B should have the shape")],
    "expected_calibration_error": [(upper_bin, "It belongs to the lower one")],
}

TestExercises = judged((*finetuning.EXERCISES, *finetuning.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- what references promise


def test_references_by_hand() -> None:
    rates = [reference.warmup_linear(step, 10, 4, 1.0) for step in range(10)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    ids, mask = reference.pad_batch([[101, 7, 102], [101, 102]])
    assert ids.tolist() == [[101, 7, 102], [101, 102, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert ids.dtype.kind == mask.dtype.kind == "i"
    ece = reference.expected_calibration_error
    assert ece(np.array([0.9, 0.9, 0.9, 0.3]), np.array([1, 1, 0, 1]), 2) == pytest.approx(0.35)
    assert ece(np.array([0.5, 0.5, 0.9]), np.array([1, 1, 0]), 2) == pytest.approx((2 * 0.5 + 0.9) / 3)
    assert ece(np.array([1.0, 1.0]), np.array([1, 1]), 10) == 0


@given(predictions(0.5))
def test_expected_calibration_error_is_that_of_the_course(drawn: tuple[np.ndarray, np.ndarray, int]) -> None:
    confidence, correct, bins = drawn
    theirs = calibration(np.stack([1 - confidence, confidence], axis=1), correct, bins=bins)
    assert reference.expected_calibration_error(confidence, correct, bins) == pytest.approx(theirs.ece, abs=1e-9)
