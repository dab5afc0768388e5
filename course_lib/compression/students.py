"""Two small students that are no transformers: a bag of words and a BiLSTM, taught by a transformer's answers.

They have no attention, so a text costs a few thousand or a few hundred thousand multiply-adds a token, not millions.
They keep the teacher's tokenizer, and so its pieces of words. `structure.keep_words` makes that list shorter, and with
it the table of embeddings, which is nearly all of a student's size.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.metrics import accuracy_score
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from course_lib import machine
from course_lib.batching import Batch, LengthBuckets, tokenize
from course_lib.checkpoints import flush_file, replace_folder
from course_lib.classifier import TextClassifier
from course_lib.classifier.model import forward
from course_lib.compression.distillation import Lesson, distillation_loss
from course_lib.compression.structure import bert_of, whole
from course_lib.errors import BadInput, CorruptAsset, CourseError, MissingAsset
from course_lib.training import Callback, History, TrainingConfig, train

KINDS = ("bag", "bilstm")
WEIGHTS_FILE, TOKENIZER_FILE, NOTE_FILE = "model.safetensors", "tokenizer.json", "student.json"
# New weights learn faster than a pretrained encoder's.
TAUGHT = TrainingConfig(epochs=10, learning_rate=2e-3)
_DROPOUT = 0.2  # of what the hidden layer reads
_SPREAD = 0.1  # root mean square of the embeddings at the start
_OURS = {WEIGHTS_FILE, TOKENIZER_FILE, NOTE_FILE}


@dataclass(frozen=True)
class StudentShape:
    """What a student's weights look like.

    Attributes:
        kind: `bag` or `bilstm`.
        classes: how many.
        words: rows of the table of embeddings.
        width: of an embedding, and of the hidden layer; of the BiLSTM in each direction.
        pairs: rows of the table of word pairs; 0 for none (`bag` alone).

    Raises:
        BadInput: another kind, a number out of its range, or pairs for a BiLSTM.
    """

    kind: str
    classes: int
    words: int
    width: int = 128
    pairs: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"kind is {self.kind!r}", f"use one of {', '.join(KINDS)}")
        whole(self.classes, "classes", 2, 10**6)
        whole(self.words, "words", 1, 10**8)
        whole(self.width, "width", 1, 10**5)
        whole(self.pairs, "pairs", 0, 10**8)
        if self.pairs and self.kind != "bag":
            raise BadInput(f"pairs is {self.pairs} for a {self.kind}", "use pairs=0: an LSTM reads the order itself")

    def build(self) -> nn.Module:
        """A module with random weights: (input_ids, attention_mask) -> logits."""
        return Bag(self) if self.kind == "bag" else BiLSTM(self)


class Bag(nn.Module):
    """Mean of the embeddings, a hidden layer, a linear layer; the order of words counts only through pairs.

    A deep averaging network of one hidden layer (Iyyer et al. 2015, ACL, doi:10.3115/v1/P15-1162). Pairs of
    neighbours are hashed to rows of a second table (Joulin et al. 2016, arXiv:1607.01759, section 2.2).
    """

    def __init__(self, shape: StudentShape) -> None:
        super().__init__()
        self.words = _table(shape.words, shape.width)
        self.pairs = _table(shape.pairs, shape.width) if shape.pairs else None
        self.dropout = nn.Dropout(_DROPOUT)
        self.hidden = nn.Linear(shape.width, shape.width)
        self.classifier = nn.Linear(shape.width, shape.classes)

    def forward(
        self, input_ids: Int[Tensor, "batch seq"], attention_mask: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits."""
        mean = _mean(self.words(input_ids), attention_mask)
        if self.pairs is not None:
            numbers = pair_numbers(input_ids, self.pairs.num_embeddings)
            mean = mean + _mean(self.pairs(numbers), attention_mask[:, 1:])
        logits: Tensor = self.classifier(torch.relu(self.hidden(self.dropout(mean))))
        return logits


class BiLSTM(nn.Module):
    """An LSTM in each direction, the last state of both, a hidden layer, a linear layer.

    Tang et al. 2019, arXiv:1903.12136, section 3.2. They teach with the squared error of the logits and with made-up
    texts; here the loss is `distillation_loss`, as for every student of the course.
    """

    def __init__(self, shape: StudentShape) -> None:
        super().__init__()
        self.words = _table(shape.words, shape.width)
        self.lstm = nn.LSTM(shape.width, shape.width, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(_DROPOUT)
        self.hidden = nn.Linear(2 * shape.width, shape.width)
        self.classifier = nn.Linear(shape.width, shape.classes)

    def forward(
        self, input_ids: Int[Tensor, "batch seq"], attention_mask: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits. Padding is not read, so a text's logits do not depend on the texts beside it."""
        lengths = attention_mask.sum(1).cpu()
        packed = pack_padded_sequence(self.words(input_ids), lengths, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.lstm(packed)  # (2, batch, width)
        both = torch.cat([last[0], last[1]], dim=-1)
        logits: Tensor = self.classifier(torch.relu(self.hidden(self.dropout(both))))
        return logits


def pair_numbers(input_ids: Int[Tensor, "batch seq"], rows: int) -> Int[Tensor, "batch pairs"]:
    """The row of each pair of neighbours in a table of so many rows. Different pairs may share a row."""
    first, second = input_ids[:, :-1], input_ids[:, 1:]
    return (first * 1_000_003 + second * 8_191) % 2_147_483_647 % rows


def _mean(vectors: Float[Tensor, "batch seq width"], mask: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch width"]:
    weights = mask[..., None].to(vectors.dtype)
    return (vectors * weights).sum(1) / weights.sum(1)


def _table(rows: int, width: int) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    nn.init.normal_(table.weight, std=_SPREAD)
    return table


class SmallStudent:
    """A student under the face of every classifier of the course. `teach` makes one, `load` reads one.

    Args:
        shape: of the weights.
        module: `shape.build()`, taught.
        tokenizer: a tokenizer of transformers.
        classes: the labels, sorted.
        class_names: the same in words.
        max_length: tokens of a text that are read; the rest is cut.

    Attributes:
        classes_: the labels, sorted.
        class_names_: the same in words.
        history_: what happened in `teach`; not there after `load`.
        module_: the torch module.
    """

    head = "classification"
    history_: History

    def __init__(
        self,
        shape: StudentShape,
        module: nn.Module,
        tokenizer: Any,
        classes: ArrayLike,
        class_names: Sequence[str],
        max_length: int,
    ) -> None:
        self.shape, self.module_, self.tokenizer_, self.max_length = shape, module, tokenizer, max_length
        self.classes_: NDArray[Any] = np.asarray(classes)
        self.class_names_ = list(class_names)

    def decision_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the student gives before softmax, (n, classes).

        Each different text is computed once, texts of equal length together; the order is that of `texts`.

        Raises:
            BadInput: an item that is not a string.
        """
        ids = tokenize(texts, self.tokenizer_, self.max_length)
        if not ids:
            return np.empty((0, len(self.classes_)), np.float32)
        return forward(self.module_, ids, self._pad_id())

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1. Raises as `decision_logits`."""
        return torch.from_numpy(self.decision_logits(texts)).softmax(-1).numpy()

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The likeliest class of each text, (n,). Raises as `decision_logits`."""
        answers: NDArray[Any] = self.classes_[self.decision_logits(texts).argmax(1)]
        return answers

    def score(self, texts: Sequence[str], labels: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy."""
        return float(accuracy_score(labels, self.predict(texts), sample_weight=sample_weight))

    @property
    def model_bytes(self) -> int:
        """Bytes of all weights. The file of weights is about a kilobyte larger."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.module_.state_dict().values())

    def _pad_id(self) -> int:
        return int(self.tokenizer_.pad_token_id or 0)

    # ---- saving and loading ----------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes `model.safetensors`, `tokenizer.json` and `student.json`, complete or not at all.

        A student that stands in the folder is replaced.

        Raises:
            BadInput: the folder holds something that is no student.
            CourseError: it cannot be written.
        """
        target = _place(folder)
        part = target.with_name(f".part-{target.name}-{os.getpid()}")
        try:
            part.mkdir(parents=True)
            self._write(part)
            replace_folder(part, target)
        except (OSError, SafetensorError) as error:
            raise CourseError(f"{target} could not be written: {error}", "make room, or give another folder") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return target

    def _write(self, folder: Path) -> None:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.module_.state_dict().items()}
        save_file(tensors, folder / WEIGHTS_FILE)
        self.tokenizer_.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
        note = {
            "shape": asdict(self.shape),
            "classes": self.classes_.tolist(),
            "names": self.class_names_,
            "max_length": self.max_length,
            "pad_token": self.tokenizer_.pad_token,
        }
        (folder / NOTE_FILE).write_text(json.dumps(note, indent=1), encoding="utf-8")
        for file in folder.iterdir():
            flush_file(file)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SmallStudent:
        """Reads what `save` wrote.

        Raises:
            MissingAsset: a file is missing.
            CorruptAsset: a file is damaged.
        """
        from transformers import PreTrainedTokenizerFast

        place = Path(folder)
        for name in sorted(_OURS):
            if not (place / name).is_file():
                raise MissingAsset(f"there is no {name} in {place}", "give the folder of a saved student")
        try:
            note = json.loads((place / NOTE_FILE).read_text(encoding="utf-8"))
            shape = StudentShape(**note["shape"])
            module = shape.build()
            module.load_state_dict(load_file(place / WEIGHTS_FILE))
            tokenizer = PreTrainedTokenizerFast(
                tokenizer_file=str(place / TOKENIZER_FILE), pad_token=note["pad_token"]
            )  # fmt: skip
            return cls(shape, module.eval(), tokenizer, note["classes"], note["names"], int(note["max_length"]))
        except Exception as error:  # tokenizers raises bare Exceptions
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise CorruptAsset(f"{place} is damaged ({reason})", "teach and save the student again") from error


def _place(folder: str | os.PathLike[str]) -> Path:
    """The folder as an absolute path, if a student may be written there."""
    target = Path(folder).resolve()
    foreign = sorted({entry.name for entry in target.iterdir()} - _OURS) if target.is_dir() else []
    if foreign or (target.exists() and not target.is_dir()):
        held = f": it holds {foreign[0]}" if foreign else ": it is a file"
        raise BadInput(f"{target} exists and is no saved student{held}", "give a new or empty folder")
    return target


# ---- teaching --------------------------------------------------------------------------------------------------


def teach(
    taught: Lesson,
    tokenizer_of: TextClassifier,
    kind: str = "bag",
    training: TrainingConfig | None = None,
    *,
    width: int = 128,
    pairs: int = 0,
    initial: ArrayLike | Tensor | None = None,
    temperature: float = 1.0,
    callbacks: Sequence[Callback] = (),
) -> SmallStudent:
    """A small student that has learned to answer as the teacher.

    The same seed gives, on a CPU, the same student to the bit.

    Args:
        taught: `lesson(teacher, texts)`; the texts need no labels, and more of them help.
        tokenizer_of: the teacher, or what `keep_words` made of it; its tokenizer and `max_length` are taken over.
        kind: `bag` (the fastest) or `bilstm` (Tang et al. 2019, arXiv:1903.12136).
        training: the hyper-parameters; `students.TAUGHT` when left out.
        width: of an embedding, and of the hidden layer; of the BiLSTM in each direction.
        pairs: rows of the table of word pairs; 0 for none (`bag` alone).
        initial: (pieces, at least `width`), the embeddings to start from, such as the teacher's. Where they are wider,
            their first principal components are taken. Random ones when left out.
        temperature: of both softmaxes.
        callbacks: called with each row of the history.

    Raises:
        BadInput: a `tokenizer_of` that is no fitted BERT of the lesson's classes, another kind, numbers out of their
            range, or a table of another shape.
    """
    config = training or TAUGHT
    bert = bert_of(tokenizer_of)
    if tokenizer_of.head == "regression" or tokenizer_of.classes_.tolist() != taught.classes.tolist():
        raise BadInput(f"tokenizer_of has not the lesson's classes {taught.classes.tolist()}", "give the teacher")
    distillation_loss(torch.zeros(1, 2), torch.zeros(1, 2), temperature)  # says early what is wrong with it
    shape = StudentShape(kind, len(taught.classes), bert.config.vocab_size, width, pairs)
    table = None if initial is None else _components(initial, shape.words, shape.width)
    machine.seed_everything(config.seed)
    module: Any = shape.build()
    if table is not None:
        module.words.weight.data.copy_(table)
    student = SmallStudent(
        shape, module, tokenizer_of.tokenizer_, taught.classes, tokenizer_of.class_names_, tokenizer_of.max_length
    )  # fmt: skip
    student.history_ = _train(student, taught, config, temperature, callbacks)
    return student


def _train(
    student: SmallStudent, taught: Lesson, config: TrainingConfig, temperature: float, callbacks: Sequence[Callback]
) -> History:
    seed = config.seed if config.order_seed is None else config.order_seed
    machine.seed_everything(seed)
    ids = tokenize(taught.texts, student.tokenizer_, student.max_length)
    batches = LengthBuckets(ids, config.batch_size, seed, student._pad_id())
    module = student.module_.to(machine.device())
    wanted = torch.from_numpy(taught.logits).to(machine.device())

    def loss_of(module: Any, batch: Batch) -> Tensor:
        logits = module(batch.input_ids, batch.attention_mask).float()
        return distillation_loss(logits, wanted[batch.index], temperature)

    return train(module, batches, loss_of, config, callbacks=callbacks)


def _components(initial: ArrayLike | Tensor, words: int, width: int) -> Tensor:
    """The first principal components of a table, (words, width), scaled to the spread that a student starts with."""
    values = initial.detach().cpu() if isinstance(initial, Tensor) else torch.as_tensor(np.asarray(initial, np.float64))
    table = values.double()
    if table.ndim != 2 or len(table) != words or table.shape[1] < width or not bool(table.isfinite().all()):
        raise BadInput(f"initial has shape {tuple(table.shape)}, or numbers that are not finite",
                       f"give ({words}, {width} or more): a row for each piece")  # fmt: skip
    table = table - table.mean(0)
    if table.shape[1] > width:
        directions = torch.linalg.eigh(table.T @ table).eigenvectors  # the smallest first
        table = table @ directions.flip(1)[:, :width]
    size = table.square().mean().sqrt().clamp_min(1e-12)
    return (table * (_SPREAD / size)).float()
