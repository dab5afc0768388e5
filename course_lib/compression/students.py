"""Two small students that are not transformers, trained on a transformer's outputs: averaged embeddings and a BiLSTM.

They have no attention, so a text costs a few thousand or a few hundred thousand multiply-adds per token, not millions.
They use the teacher's tokenizer. `trim_vocabulary` makes its vocabulary smaller, and with it the embedding table, which
is nearly all of a student's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from course_lib import machine
from course_lib.batching import Batch, LengthBuckets, tokenize
from course_lib.classifier import TextClassifier
from course_lib.classifier.model import forward
from course_lib.compression.distillation import TeacherOutputs, distillation_loss
from course_lib.compression.linear_layers import bert_encoder, check_integer
from course_lib.errors import BadInput
from course_lib.text.classifiers import ProbabilityClassifierMixin
from course_lib.training import History, TrainingConfig, train

KINDS = ("averaged", "bilstm")
# New weights learn faster than a pretrained encoder's.
TRAINING = TrainingConfig(epochs=10, learning_rate=2e-3)
_DROPOUT = 0.2  # of what the hidden layer reads
_SPREAD = 0.1  # root mean square of the embeddings at the start


class AveragedEmbeddings(nn.Module):
    """Mean of the embeddings, a hidden layer, a linear layer; the order of words does not count.

    A deep averaging network with one hidden layer (Iyyer et al. 2015, ACL, doi:10.3115/v1/P15-1162).
    """

    def __init__(self, embeddings: nn.Embedding, classes: int) -> None:
        super().__init__()
        width = embeddings.embedding_dim
        self.embeddings = embeddings
        self.dropout = nn.Dropout(_DROPOUT)
        self.hidden = nn.Linear(width, width)
        self.classifier = nn.Linear(width, classes)

    def forward(
        self, input_ids: Int[Tensor, "batch seq"], attention_mask: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits."""
        vectors = self.embeddings(input_ids)
        weights = attention_mask[..., None].to(vectors.dtype)
        mean = (vectors * weights).sum(1) / weights.sum(1)
        logits: Tensor = self.classifier(torch.relu(self.hidden(self.dropout(mean))))
        return logits


class BiLSTM(nn.Module):
    """An LSTM in each direction, the last state of both, a hidden layer, a linear layer.

    Tang et al. 2019, arXiv:1903.12136, section 3.2. They train on the squared error of the logits and on made-up
    texts; here the loss is `distillation_loss`, as for every student of the course.
    """

    def __init__(self, embeddings: nn.Embedding, classes: int) -> None:
        super().__init__()
        width = embeddings.embedding_dim
        self.embeddings = embeddings
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(_DROPOUT)
        self.hidden = nn.Linear(2 * width, width)
        self.classifier = nn.Linear(width, classes)

    def forward(
        self, input_ids: Int[Tensor, "batch seq"], attention_mask: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits. Padding is not read, so a text's logits do not depend on the other texts of the batch."""
        lengths = attention_mask.sum(1).cpu()
        packed = pack_padded_sequence(self.embeddings(input_ids), lengths, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.lstm(packed)  # (2, batch, width)
        both = torch.cat([last[0], last[1]], dim=-1)
        logits: Tensor = self.classifier(torch.relu(self.hidden(self.dropout(both))))
        return logits


class StudentClassifier(ProbabilityClassifierMixin):
    """A student with the methods of every classifier of the course. `train_student` makes one."""

    history_: History

    def __init__(self, module: nn.Module, teacher: TextClassifier) -> None:
        self.module_, self.tokenizer_, self.max_length = module, teacher.tokenizer_, teacher.max_length
        self.class_names_ = list(teacher.class_names_)
        self._classes = teacher.classes_

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels of the columns of `predict_proba`."""
        return self._classes

    def decision_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The output before softmax, (n, classes), in the order of `texts`.

        Each different text is computed once, texts of similar length together.

        Raises:
            BadInput: an item that is not a string.
        """
        ids = tokenize(texts, self.tokenizer_, self.max_length)
        if not ids:
            return np.empty((0, len(self.classes_)), np.float32)
        return forward(self.module_, ids, int(self.tokenizer_.pad_token_id or 0))

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1. Raises as `decision_logits`."""
        return torch.from_numpy(self.decision_logits(texts)).softmax(-1).numpy()

    @property
    def model_bytes(self) -> int:
        """Bytes of all weights."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.module_.state_dict().values())


def train_student(
    targets: TeacherOutputs,
    teacher: TextClassifier,
    kind: str = "averaged",
    training: TrainingConfig = TRAINING,
    *,
    width: int = 128,
    initial: ArrayLike | Tensor | None = None,
) -> StudentClassifier:
    """A small student, trained to predict as the teacher does.

    The same seed gives, on a CPU, the same student to the bit.

    Args:
        targets: `teacher_outputs(teacher, texts)`; the texts need no labels, and more of them help.
        teacher: the teacher, or the result of `trim_vocabulary`; its tokenizer and `max_length` are used.
        kind: `averaged` (the fastest) or `bilstm` (Tang et al. 2019, arXiv:1903.12136).
        width: of an embedding, and of the hidden layer; of the BiLSTM in each direction.
        initial: (tokens, at least `width`), the embeddings to start from, such as the teacher's. If they are wider,
            their first principal components are used. Random ones when left out.

    Raises:
        BadInput: a teacher that is not a fitted BERT of the targets' classes, another kind, a number out of its range,
            or a table of another shape.
    """
    if kind not in KINDS:
        raise BadInput(f"kind is {kind!r}", f"use one of {', '.join(KINDS)}")
    tokens, width = bert_encoder(teacher).config.vocab_size, check_integer(width, "width", 1, 10**5)
    if teacher.head == "regression" or teacher.classes_.tolist() != targets.classes.tolist():
        raise BadInput(f"the teacher does not have the classes {targets.classes.tolist()}", "give the targets' teacher")
    table = None if initial is None else _components(initial, tokens, width)
    seed = training.seed if training.order_seed is None else training.order_seed
    with machine.seeded(training.seed):
        embeddings = nn.Embedding(tokens, width)
        nn.init.normal_(embeddings.weight, std=_SPREAD)
        if table is not None:
            embeddings.weight.data.copy_(table)
        make = AveragedEmbeddings if kind == "averaged" else BiLSTM
        student = StudentClassifier(make(embeddings, len(targets.classes)), teacher)
    with machine.seeded(seed):
        student.history_ = _train(student, targets, training, seed)
    return student


def _train(student: StudentClassifier, targets: TeacherOutputs, config: TrainingConfig, seed: int) -> History:
    ids = tokenize(targets.texts, student.tokenizer_, student.max_length)
    batches = LengthBuckets(ids, config.batch_size, seed, int(student.tokenizer_.pad_token_id or 0))
    wanted = torch.from_numpy(targets.logits).to(machine.device())

    def loss_of(module: Any, batch: Batch) -> Tensor:
        return distillation_loss(module(batch.input_ids, batch.attention_mask).float(), wanted[batch.index])

    return train(student.module_.to(machine.device()), batches, loss_of, config)


def _components(initial: ArrayLike | Tensor, tokens: int, width: int) -> Tensor:
    """The first principal components of a table, (tokens, width), scaled to the spread that a student starts with."""
    values = initial.detach().cpu() if isinstance(initial, Tensor) else torch.as_tensor(np.asarray(initial, np.float64))
    table = values.double()
    if table.ndim != 2 or len(table) != tokens or table.shape[1] < width or not bool(table.isfinite().all()):
        found = f"initial has shape {tuple(table.shape)}, or numbers that are not finite"
        raise BadInput(found, f"give ({tokens}, {width} or more): a row for each token")
    table = table - table.mean(0)
    if table.shape[1] > width:
        directions = torch.linalg.eigh(table.T @ table).eigenvectors  # the smallest first
        table = table @ directions.flip(1)[:, :width]
    size = table.square().mean().sqrt().clamp_min(1e-12)
    return (table * (_SPREAD / size)).float()
