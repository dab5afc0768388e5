"""Leaks, batches, the learning rate's schedule, calibration; a classifier on BERT, its training loop, and LoRA."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.exercises.exercise import Arguments, Case, Exercise, Refused
from course_lib.exercises.values import (
    array_problem,
    as_whole_numbers,
    brief,
    floats_problem,
    kind,
    pair_problem,
    plain,
    same,
)

if TYPE_CHECKING:
    from transformers import BertModel

# ---------------- texts of the test set that the model has already seen in training


def find_leaks(train_texts: list[str], test_texts: list[str]) -> list[int]:
    """Positions, in ascending order, of the test texts that have the words of a training text."""

    def words_of(text: str) -> str:
        letters = [c if c.isalnum() else " " for c in text.lower()]
        return " ".join("".join(letters).split())

    seen = {words_of(text) for text in train_texts}
    return [position for position, text in enumerate(test_texts) if words_of(text) in seen]


def _find_leaks_cases() -> list[Arguments]:
    return [
        (["A fine film."], ["A dull film.", "A fine film."]),
        (["A fine film."], ["a FINE film.", "nothing else"]),
        (["Fine"], ["  fine\n", "f ine"]),
        (["What a mess"], ["fine", "  What   a\tmess\n"]),
        (["What a mess"], ["What a mess!!!", '"What, a mess"', "what a mess"]),
        (["A well-made film", "wow...what a ride"], ["a well made film", "wow what a ride", "wowwhat a ride"]),
        (["a wellmade film"], ["a well-made film"]),
        (["good", "man bites dog"], ["not good at all", "dog bites man", "a good man", "goo", "man bites"]),
        (["not good at all"], ["good", "all", "at"]),
        (["b", "d", "a", "c"], ["x", "a", "y", "z", "d", "w"]),  # other positions here than there
        (["one", "two"], ["three", "Three!", "two", "four", "two?"]),  # twice in test is no leak
        (["rated 10 of 10"], ["rated 9 of 10", "Rated 10 of 10!", "rated of"]),
        (["bad bad film"], ["bad film", "bad bad film"]),
        (["caf\u00e9 noir"], ["Caf\u00c9 Noir.", "caf noir"]),
        (["fine, really"], ["\u201cFine\u201d \u2014 really\u2026", "fine"]),  # signs outside ASCII
        (["yes"], ["no", "maybe"]),
        ([], ["yes"]),
    ]


def _judge_find_leaks(case: Case, expected: Any, got: Any) -> str | None:
    positions = as_whole_numbers(got)
    if positions is None:
        return f"The result should be a list of positions (whole numbers), but it is {kind(got)}: {brief(got)}."
    if missed := [p for p in expected if p not in positions]:
        return f"Test text {missed[0]}, {case['test_texts'][missed[0]]!r}, is a leak that you miss."
    if wrong := [p for p in positions if p not in expected]:
        return f"You list {wrong[0]}, but there is no leak at that position of the test texts."
    return (
        None
        if positions == expected
        else "The positions are right, but they are not in ascending order, or one occurs twice."
    )


# ---------------- texts of different lengths become one rectangular batch


def pad_batch(token_id_lists: list[list[int]], pad_id: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make input_ids and attention_mask, both (n, longest); the mask is 1 on tokens, 0 on padding."""
    longest = max(len(ids) for ids in token_id_lists)
    input_ids = np.full((len(token_id_lists), longest), pad_id)
    attention_mask = np.zeros((len(token_id_lists), longest), dtype=int)
    for row, ids in enumerate(token_id_lists):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    return input_ids, attention_mask


def _pad_batch_cases() -> list[Arguments]:
    return [
        ([[101, 7, 102], [101, 102]],),
        ([[5], [6, 7, 8, 9], [3, 4]], 1),
        ([[4, 1, 4], [1, 4]], 1),  # a real token with the number of the padding
        ([[0, 9], [9, 0, 0, 9]], 0),
        ([[2, 3], [4, 5]], 0),  # nothing to pad
        ([[8]], 3),
        ([[], [12, 13, 14], [11]], 2),
        ([list(range(1, 12)), [30522], list(range(90, 70, -3))], 99),
    ]


def _judge_pad_batch(case: Case, expected: Any, got: Any) -> str | None:
    names = ("input_ids", "attention_mask")
    whole = "Token ids and masks are whole numbers."
    if problem := pair_problem(names, expected, got) or floats_problem(names, got, whole):
        return problem
    wrong = [name for name, wanted, part in zip(names, expected, got, strict=True) if not same(wanted, part)]
    return f"{wrong[0]} is not right." if wrong else None


def _in_place(token_id_lists: list[list[int]], pad_id: int = 0) -> tuple[np.ndarray, np.ndarray]:
    pair = pad_batch(token_id_lists, pad_id)
    for one in token_id_lists:
        one.extend([pad_id] * (pair[0].shape[1] - len(one)))
    return pair


# ---------------- a learning rate that rises, then falls, both in a straight line


def warmup_linear(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    """The learning rate of one step, 0 <= step < total_steps: `peak` at step `warmup_steps`, never 0."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (total_steps - step) / (total_steps - warmup_steps)


def _warmup_linear_cases() -> list[Arguments]:
    whole_run = [(step, 10, 4, 1.0) for step in (0, 3, 4, 5, 9)]
    others = [(0, 5, 0, 0.5), (4, 5, 0, 0.5), (1, 100, 10, 2e-2), (10, 100, 10, 2e-2), (55, 100, 10, 2e-2)]
    edges = [(0, 1, 0, 3.0), (0, 2, 1, 1.0), (1, 2, 1, 1.0), (6, 8, 7, 2.0), (7, 8, 7, 2.0), (999, 1000, 1, 1.0)]
    return [*whole_run, *others, *edges]


def _judge_warmup_linear(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    if float(got) == 0:
        return "The rate is 0, so this step would change nothing."
    if not 0 <= float(got) <= case["peak"] * (1 + 1e-6):
        return f"The rate should be between 0 and the peak, {case['peak']:g}; yours is not."
    part = "while it rises" if case["step"] < case["warmup_steps"] else "while it falls"
    if case["step"] == case["warmup_steps"]:
        part = "at its peak"
    return f"The rate is wrong {part}."


# ---------------- how far the confidence of a model is from its accuracy
# Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3 (arXiv:1706.04599).


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Mean gap between confidence and accuracy over equally wide bins (low, high], weighted by bin size."""
    error = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            error += inside.mean() * gap
    return float(error)


def _expected_calibration_error_cases() -> list[Arguments]:
    random = np.random.default_rng(3)
    many = random.uniform(0.5, 1.0, 60)
    return [
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 2),
        ([0.9, 0.9, 0.9, 0.3], [1, 1, 0, 1], 2),  # three in one bin, one in the other
        ([0.5, 0.5, 0.9], [1, 1, 0], 2),  # 0.5 belongs to the lower bin
        ([0.25, 0.3, 0.75, 0.8, 1.0], [0, 1, 0, 1, 0], 4),
        ([0.9, 0.9, 0.1, 0.1], [0, 0, 1, 1], 2),  # too sure in one bin, too modest in the other
        ([0.95], [1], 10),
        ([0.95, 0.55, 0.52], [0, 1, 1], 10),  # most bins are empty
        (many, (random.uniform(size=60) < many - 0.1).astype(int), 15),
        (many[:20], np.ones(20, dtype=int), 1),
    ]


def _judge_expected_calibration_error(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        hint = " Did you take the mean of an empty bin?" if "nan" in problem else ""
        return problem + hint
    if same(expected, got):
        return None
    if not 0 <= float(got) <= 1:
        return "The error should be between 0 and 1; yours is not."
    return "The error has the wrong value."


EXERCISES = (
    Exercise(find_leaks, _find_leaks_cases, _judge_find_leaks),
    Exercise(pad_batch, _pad_batch_cases, _judge_pad_batch),
    Exercise(warmup_linear, _warmup_linear_cases, _judge_warmup_linear),
    Exercise(expected_calibration_error, _expected_calibration_error_cases, _judge_expected_calibration_error),
)


# ================ the build: a classifier on BERT, its training, its evaluation, and LoRA
# The stages' runs use small random models, so that a check takes a fraction of a second.


def _small_bert(seed: int, hidden: int = 8) -> "BertModel":
    """A BERT of one layer with random weights: 40 tokens in its vocabulary, no dropout of its own."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=40, hidden_size=hidden, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        initializer_range=0.5,
    )  # fmt: skip
    bert: BertModel = BertModel(config)
    return bert


def _small_batch(seed: int, rows: int, longest: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask of texts of different lengths, (rows, longest)."""
    draw = np.random.default_rng(seed)
    lengths = [longest, *draw.integers(2, longest, size=rows - 1)]
    ids, mask = pad_batch([draw.integers(1, 40, size=length).tolist() for length in lengths])
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _filled(tensor: torch.Tensor, draw: np.random.Generator) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(draw.normal(size=tuple(tensor.shape))))


def _has(module: Any, name: str, attributes: dict[str, type]) -> None:
    """Raises Refused unless `module` is an nn.Module with these attributes."""
    if not isinstance(module, nn.Module):
        raise Refused(f"{name} should be a subclass of nn.Module, but an instance of it is {kind(module)}.")
    for attribute, wanted in attributes.items():
        if not isinstance(getattr(module, attribute, None), wanted):
            got = kind(getattr(module, attribute)) if hasattr(module, attribute) else "missing"
            raise Refused(f"self.{attribute} should be of type {wanted.__name__}, but it is {got}.")


def _close(expected: Any, got: Any) -> bool:
    """Equal but for the rounding of float32 in another order of operations."""
    return bool(np.allclose(expected, got, rtol=1e-4, atol=1e-4))


# ---------------- stage 1: the model


class BERTForSentimentAnalysis(nn.Module):
    """BERT, dropout and a linear head: token ids (batch, seq) in, logits (batch, num_labels) out."""

    def __init__(self, bert: "BertModel", num_labels: int = 2, dropout: float = 0.1) -> None:
        """Keep the encoder as self.bert; make self.dropout and the head self.classifier."""
        super().__init__()
        self.bert = bert
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(bert.config.hidden_size, num_labels)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Logits of a batch of token ids and their mask, both (batch, seq)."""
        output = self.bert(input_ids=input_ids, attention_mask=attention_mask)
        pooled = self.dropout(output.pooler_output)
        logits: torch.Tensor = self.classifier(pooled)
        return logits


def _run_model(answer: Any, seed: int, hidden: int, num_labels: int, dropout: float) -> list[Any]:
    """Logits in evaluation mode and in training mode, and how the head was started."""
    bert = _small_bert(seed, hidden)
    model = answer(bert, num_labels, dropout)
    _has(model, "BERTForSentimentAnalysis", {"bert": nn.Module, "classifier": nn.Linear})
    head = model.classifier
    started = [round(50 * float(head.weight.std())), round(50 * float(head.bias.abs().max()))]
    draw = np.random.default_rng(seed)
    shape = list(head.weight.shape)
    _filled(head.weight, draw)
    _filled(head.bias, draw)
    ids, mask = _small_batch(seed, rows=4)
    model.eval()
    evaluated = model(ids, mask).tolist()
    model.train()
    torch.manual_seed(seed)
    return [shape, evaluated, model(ids, mask).tolist(), started]


def _model_cases() -> list[Arguments]:
    return [(0, 8, 2, 0.0), (1, 16, 3, 0.5), (2, 16, 5, 0.25)]


def _judge_model(case: Case, expected: Any, got: Any) -> str | None:
    shape, evaluated, trained, started = got
    if shape != expected[0]:
        return f"The weight of the head should have the shape {tuple(expected[0])}, but it has {tuple(shape)}."
    if problem := array_problem(expected[1], evaluated):
        return problem
    if not _close(expected[1], evaluated):
        return "The logits are not right in evaluation mode."
    if not _close(expected[2], trained):
        return "The logits are right in evaluation mode, but not in training mode, in which dropout is active."
    if started[0] > 2 or started[1]:
        return "The head does not start as in BERT: weights of standard deviation 0.02, biases of 0."
    return None


# ---------------- stage 2: training


def train_epoch(
    model: nn.Module,
    batches: list[tuple[torch.Tensor, ...]],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    clip_norm: float = 1.0,
) -> list[float]:
    """Train on each batch (input_ids, attention_mask, labels) once; the losses of the batches as floats."""
    model.train()
    losses = []
    for input_ids, attention_mask, labels in batches:
        loss = F.cross_entropy(model(input_ids, attention_mask), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return losses


def _run_training(answer: Any, seed: int, dropout: float, rate: float, clip_norm: float) -> list[Any]:
    """Losses of two epochs, the modes that the model was in, the trained head, and the last learning rate."""
    model = BERTForSentimentAnalysis(_small_bert(seed), 2, dropout).eval()
    modes: list[bool] = []
    model.register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    draw = np.random.default_rng(seed)
    batches = [(*_small_batch(seed + n, 4), torch.from_numpy(draw.integers(0, 2, size=4))) for n in range(3)]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)  # left from an earlier backward pass
    torch.manual_seed(seed)
    losses = [answer(model, batches, optimizer, scheduler, clip_norm) for _ in range(2)]
    kinds = {"a tensor" for epoch in losses if isinstance(epoch, list) for loss in epoch if torch.is_tensor(loss)}
    trained = model.classifier.weight.tolist()
    return [sorted(kinds), plain_losses(losses), modes, trained, optimizer.param_groups[0]["lr"]]


def plain_losses(losses: Any) -> Any:
    """Losses as plain values, whatever they are made of."""
    if isinstance(losses, list):
        return [plain_losses(one) for one in losses]
    return plain(losses.detach()) if torch.is_tensor(losses) else losses


def _training_cases() -> list[Arguments]:
    return [(0, 0.0, 0.1, 100.0), (1, 0.5, 0.1, 100.0), (2, 0.0, 0.5, 0.1)]


def _judge_training(case: Case, expected: Any, got: Any) -> str | None:
    kinds, losses, modes, trained, rate = got
    if not all(isinstance(epoch, list) for epoch in losses):
        return f"The result should be a list with the loss of each batch, but it is {kind(losses[0])}."
    if kinds:
        return "The list holds tensors. It should hold Python floats."
    if problem := array_problem(expected[1], losses):
        return problem
    if len(modes) != len(expected[2]):
        return f"The model was called {len(modes)} times; two epochs of three batches are 6 calls."
    if not all(modes):
        return "The model was in evaluation mode while it was trained, so dropout was off. Call model.train()."
    if not same(expected[4], rate):
        return "The learning rate is not right at the end: the scheduler takes one step after each batch."
    if not _close(expected[1][0][0], losses[0][0]):
        return "The loss of the first batch is not right: it is the cross-entropy of the logits and the labels."
    return (
        None
        if _close(expected[1], losses) and _close(expected[3], trained)
        else "The first loss is right, but not the updates."
    )


# ---------------- stage 3: evaluation
# Wilson 1927, JASA 22:209.


def evaluate(model: nn.Module, batches: list[tuple[torch.Tensor, ...]]) -> tuple[float, float, float]:
    """Accuracy over all rows of all batches, and the low and high end of its 95 % Wilson interval."""
    model.eval()
    right, n = 0, 0
    with torch.inference_mode():
        for input_ids, attention_mask, labels in batches:
            predicted = model(input_ids, attention_mask).argmax(dim=-1)
            right += int((predicted == labels).sum())
            n += len(labels)
    p, z = right / n, 1.96
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return p, middle - half, middle + half


def _run_evaluation(answer: Any, seed: int, sizes: list[int], wrong: list[int]) -> list[Any]:
    """The three numbers; whether dropout was on, and whether gradients were recorded, in any call."""
    model = BERTForSentimentAnalysis(_small_bert(seed), 3, 0.5)
    _filled(model.classifier.weight, np.random.default_rng(seed))
    model.eval()
    batches: list[tuple[torch.Tensor, ...]] = []
    for number, (size, missed) in enumerate(zip(sizes, wrong, strict=True)):
        inputs = _small_batch(seed + number, size)
        with torch.no_grad():
            labels = model(*inputs).argmax(-1)
        labels[:missed] = (labels[:missed] + 1) % 3
        batches.append((*inputs, labels))
    calls: list[list[bool]] = []
    model.register_forward_hook(lambda one, inputs, output: calls.append([one.training, torch.is_grad_enabled()]))
    model.train()
    torch.manual_seed(seed)
    numbers = answer(model, batches)
    return [list(numbers) if isinstance(numbers, tuple) else numbers, [any(flag) for flag in zip(*calls, strict=True)]]


def _evaluation_cases() -> list[Arguments]:
    return [(0, [8, 8], [0, 4]), (1, [8, 2], [0, 2]), (2, [5], [0]), (3, [30, 30, 7], [4, 5, 3])]


def _judge_evaluation(case: Case, expected: Any, got: Any) -> str | None:
    numbers, (training, recording) = got
    if not isinstance(numbers, list) or len(numbers) != 3:
        return f"The result should be three numbers (accuracy, low, high), but it is {kind(numbers)}."
    if problem := array_problem(expected[0], numbers):
        return problem
    if training:
        return "The model was in training mode, so dropout was active. Call model.eval() first."
    if recording:
        return "Gradients were recorded, which costs time and memory. Put the loop under torch.inference_mode()."
    if not np.allclose(numbers[0], expected[0][0], atol=1e-6):
        return "The accuracy is not right: the number of right predictions divided by the number of rows."
    return None if np.allclose(numbers, expected[0], atol=1e-3) else "The accuracy is right, but not the interval."


# ---------------- stage 4: a linear layer with a trained update of low rank
# Hu et al. 2021, LoRA, section 4.1 (arXiv:2106.09685).


class LoRALinear(nn.Module):
    """A frozen linear layer and a trained update of low rank: y = W x + b + (alpha / rank) B A x."""

    def __init__(self, linear: nn.Linear, rank: int = 8, alpha: float = 16.0) -> None:
        """Freeze `linear`; make the parameters self.A (rank, in) and self.B (out, rank).

        A is random with standard deviation 1/sqrt(in), and B is zero.
        """
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(rank, linear.in_features) / math.sqrt(linear.in_features))
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output (..., out) for inputs (..., in)."""
        frozen: torch.Tensor = self.linear(x)
        return frozen + self.scale * (x @ self.A.T) @ self.B.T

    def merge(self) -> nn.Linear:
        """A new linear layer without the two extra products that gives the same output."""
        merged = nn.Linear(self.linear.in_features, self.linear.out_features)
        with torch.no_grad():
            merged.weight.copy_(self.linear.weight + self.scale * self.B @ self.A)
            merged.bias.copy_(self.linear.bias)
        return merged


def _start_of_a(a: torch.Tensor) -> str:
    """How the numbers of A spread; a few numbers say nothing on their standard deviation."""
    if bool((a == a.flatten()[0]).all()):
        return "equal" if bool(a.any()) else "zero"
    ratio = float(a.std()) * math.sqrt(a.shape[1])
    return "narrow" if ratio < 1 / 4 and a.numel() > 100 else "wide" if ratio > 4 and a.numel() > 100 else "right"


def _run_lora(answer: Any, seed: int, sizes: list[int], rank: int, alpha: float) -> list[Any]:
    """What is trained, how A and the output start, the output with other A and B, merged, and the layer after it."""
    torch.manual_seed(seed)
    linear = nn.Linear(sizes[0], sizes[1])
    weight = linear.weight.detach().clone()
    layer = answer(linear, rank, alpha)
    _has(layer, "LoRALinear", {"A": torch.Tensor, "B": torch.Tensor})
    for name, shape in (("A", (rank, sizes[0])), ("B", (sizes[1], rank))):
        if tuple(getattr(layer, name).shape) != shape:
            raise Refused(f"self.{name} should have the shape {shape}, not {tuple(getattr(layer, name).shape)}.")
    trained = sorted(name for name, parameter in layer.named_parameters() if parameter.requires_grad)
    draw = np.random.default_rng(seed)
    x = torch.from_numpy(draw.normal(size=(2, 3, sizes[0]))).float()
    start, spread = layer(x).tolist(), _start_of_a(layer.A)
    _filled(layer.A, draw)
    _filled(layer.B, draw)
    output, merged = layer(x).tolist(), layer.merge()
    if not isinstance(merged, nn.Linear):
        raise Refused(f"merge should return an nn.Linear, but it returns {kind(merged)}.")
    again = [bool(torch.equal(linear.weight, weight)), layer(x).tolist()]
    return [trained, spread, start, output, merged(x).tolist(), again]


def _lora_cases() -> list[Arguments]:
    return [(0, [4, 4], 1, 1.0), (1, [5, 3], 2, 8.0), (2, [6, 8], 4, 2.0), (3, [100, 2], 4, 4.0)]


def _judge_lora(case: Case, expected: Any, got: Any) -> str | None:
    trained, spread, start, output, merged, again = got
    if trained != ["A", "B"]:
        return f"Exactly A and B should be trained, but these parameters are: {', '.join(trained) or 'none'}."
    if spread == "zero":
        return "A is zero, and so is B: then both gradients are zero, and nothing is ever learned. Make A random."
    if spread == "equal":
        return "All numbers of A are equal, so its rows learn the same. Make A random."
    if spread != "right":
        return f"The numbers of A spread too {'little' if spread == 'narrow' else 'much'}: see its standard deviation."
    for name, part, wanted in (("", start, expected[2]), ("", output, expected[3]), ("merge: ", merged, expected[4])):
        if problem := array_problem(wanted, part):
            return name + problem
    if not _close(expected[2], start):
        return "At the start the output should be that of the linear layer alone."
    if not _close(expected[3], output):
        return "The output is right at the start, but not once B has learned something."
    if not _close(expected[4], merged):
        return "The merged layer does not give the output of the layer."
    return (
        None
        if again[0] and _close(expected[5][1], again[1])
        else "merge changes the layer. It should leave it as it is."
    )


BUILD = (
    Exercise(BERTForSentimentAnalysis, _model_cases, _judge_model, run=_run_model),
    Exercise(train_epoch, _training_cases, _judge_training, run=_run_training),
    Exercise(evaluate, _evaluation_cases, _judge_evaluation, run=_run_evaluation),
    Exercise(LoRALinear, _lora_cases, _judge_lora, run=_run_lora),
)
