"""`TextClassifier`: the one face of every model of the course.

A `TextClassifier` keeps scikit-learn's conventions, so that metrics, cross-validation, LIME and SHAP take it as it
is. Saved, it is an ordinary transformers folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.utils import RegressorTags
from sklearn.utils.metaestimators import available_if
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import (
    LengthBuckets,
    check_texts,
    load_tokenizer,
    tokenize,
    unique_rows,
    warn_about_cut_texts,
)
from course_lib.checkpoints import CheckpointFolder, atomic_folder, resume_identity
from course_lib.classifier.data import (
    LossWrapper,
    check_parameters,
    held_out,
    targets,
    task_loss,
    validation_metrics,
)
from course_lib.classifier.model import add_lora, forward, freeze, trained_weights
from course_lib.classifier.pretrained import (
    Pretrained,
    check_length,
    check_save_dir,
    class_names,
    encoder_config,
    encoder_folder,
    load_classifier,
    load_encoder,
    pad_token_id,
    save_classifier,
)
from course_lib.classifier.shipped import load_shipped, shipped_models
from course_lib.errors import BadInput, CourseError
from course_lib.training import Callback, History, LogEntry, TrainingConfig, train
from course_lib.training.parallel import rank, world_size

_WIDTHS = ("intermediate_size", "hidden_dim", "d_inner", "n_inner")  # of the feed-forward block, by family
_ACTIVATIONS_PER_LAYER = 18  # values kept for the backward pass per token and layer, in units of the hidden size


class NotFitted(CourseError, NotFittedError):
    """The classifier was called before `fit` or `from_pretrained`."""


class TextClassifier(ClassifierMixin, BaseEstimator):
    """A transformer encoder with a head on labelled texts.

    Args:
        encoder: `course` (the course's MiniLM), `scratch` (the same shape, random weights), `tiny` (two random
            layers, for trying things out), a transformers folder, or a hub name while online.
        head: `classification`, `regression` (real-valued targets), or `multitask` (labels and ratings at once).
        training: hyper-parameters; `TrainingConfig()` when left out.
        frozen_encoder: trains the head alone (linear probe).
        lora_rank: rank of low-rank updates of query and value (Hu et al. 2021, arXiv:2106.09685); 0 trains all weights.
        frozen_embeddings: keeps the embedding table (half of the course encoder's weights) as it is.
        max_length: tokens of a text that are read; the rest is cut.
        dropout: of encoder and head while training.
        warm_start: lets `fit` go on from the weights at hand, head included, instead of building a new model.
        precision: of predictions: `float32` as in transformers, or `auto` for what the hardware multiplies fastest.
        class_names: a word for each class, in sorted order of the labels, such as `("negative", "positive")`.

    Attributes:
        classes_: the labels, sorted (not for regression).
        history_: what happened in `fit`.
        trained_weights_: how many weights `fit` trained.
        module_: the torch module.
    """

    def __init__(
        self,
        encoder: str = "course",
        head: str = "classification",
        training: TrainingConfig | None = None,
        frozen_encoder: bool = False,
        lora_rank: int = 0,
        frozen_embeddings: bool = False,
        max_length: int = 128,
        dropout: float = 0.1,
        precision: str = "float32",
        warm_start: bool = False,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.encoder = encoder
        self.head = head
        self.training = training
        self.frozen_encoder = frozen_encoder
        self.lora_rank = lora_rank
        self.frozen_embeddings = frozen_embeddings
        self.max_length = max_length
        self.dropout = dropout
        self.precision = precision
        self.warm_start = warm_start
        self.class_names = class_names

    # ---- fitting ---------------------------------------------------------------------------------------------

    def fit(
        self,
        texts: Sequence[str],
        labels: ArrayLike,
        *,
        soft_labels: ArrayLike | None = None,
        ratings: ArrayLike | None = None,
        validation: tuple[Sequence[str], ArrayLike] | None = None,
        callbacks: Sequence[Callback] = (),
        checkpoints: CheckpointFolder | None = None,
        loss_wrapper: LossWrapper | None = None,
    ) -> Self:
        """Fine-tunes on labelled texts.

        In a process group (`torchrun ... -m course_lib finetune`, see `training.parallel`) each process computes its
        rows of every batch.

        Args:
            texts: n strings.
            labels: n labels of any sortable kind, or n real numbers for regression.
            soft_labels: (n, classes) probabilities to learn instead of the labels; rows sum to 1.
            ratings: n real numbers for the second head of `multitask`.
            validation: texts and labels that are measured after each epoch.
            callbacks: called with each row of the history.
            checkpoints: saves there, and resumes from there what a killed `fit` with the same arguments left.
            loss_wrapper: replaces the loss of a batch by another one made of it, such as `defenses.FreeLB()`.

        Raises:
            BadInput: a parameter out of its range, an item that is not a string, mismatched lengths, a missing or
                not finite label, labels of mixed types, fewer than two classes.
            MissingAsset, Offline, CorruptAsset: the encoder cannot be had.
            CheckpointError: the checkpoints are damaged, or of another run.
        """
        check_parameters(self.get_params(deep=False))
        config = self.training or TrainingConfig()
        texts = check_texts(texts)
        known = self.classes_ if self.warm_start and hasattr(self, "classes_") else None
        classes, wanted = targets(self.head, len(texts), labels, soft_labels, ratings, known)
        self._check_names(classes)
        if loss_wrapper and world_size() > 1:
            raise BadInput(f"a loss_wrapper with {world_size()} processes", "train with it in one process")
        validation_set = held_out(validation, classes)
        with machine.seeded(config.seed):
            self._build_or_keep(classes)
            settings = {
                k: v for k, v in self.get_params(deep=False).items() if k not in ("encoder", "training", "class_names")
            }
            identity = {} if checkpoints is None else resume_identity(
                **settings, encoder_weights=self.module_, tokenizer=self.tokenizer_, texts=texts, labels=wanted,
                classes=classes, validation=validation_set, loss_wrapper=loss_wrapper,
            )  # fmt: skip
            order_seed = config.seed if config.order_seed is None else config.order_seed
            machine.seed_everything(order_seed)
            if rank():  # each process has its own dropout
                torch.manual_seed(order_seed + rank())
            batches = LengthBuckets(
                self._tokenize(texts), config.batch_size, order_seed, self._pad_id(), rank(), world_size()
            )
            finish = self._choose_weights()
            self.module_.to(machine.device())
            wanted = {name: tensor.to(machine.device()) for name, tensor in wanted.items()}
            outputs = 0 if classes is None else len(classes)
            validate = self._validation(*validation_set, outputs) if validation_set else None
            usual = task_loss(wanted, outputs)
            try:
                with machine.named_operations():
                    self.history_: History = train(
                        self.module_, batches, loss_wrapper(usual) if loss_wrapper else usual, config,
                        validate=validate, callbacks=callbacks, checkpoints=checkpoints, identity=identity,
                    )  # fmt: skip
            finally:  # an interrupted run leaves an ordinary module, too
                finish()
                self.module_.requires_grad_(True)
        return self

    def _check_names(self, classes: NDArray[Any] | None) -> None:
        if self.class_names is not None and classes is not None and len(self.class_names) != len(classes):
            raise BadInput(
                f"class_names are {list(self.class_names)}, the labels hold the classes {classes.tolist()[:10]}",
                "give one name for each class",
            )

    def _build_or_keep(self, classes: NDArray[Any] | None) -> None:
        """Makes `module_` and `tokenizer_` with a new head, unless `warm_start` keeps those at hand."""
        if self.warm_start and hasattr(self, "module_"):
            return
        self.module_, self.tokenizer_ = load_encoder(
            self.encoder, 1 if classes is None else len(classes), self.dropout,
            self.head == "multitask", self.max_length,
        )  # fmt: skip
        self.__dict__.pop("classes_", None)  # of an earlier fit with another head
        if classes is not None:
            self.classes_ = classes

    def _choose_weights(self) -> Callable[[], None]:
        """Says which weights are trained; returns what is to be done afterwards."""
        if self.lora_rank:
            finish = add_lora(self.module_, self.lora_rank)
        else:
            freeze(self.module_, self.frozen_encoder, self.frozen_embeddings)
            finish = lambda: None  # noqa: E731
        self.trained_weights_ = trained_weights(self.module_)
        return finish

    def _validation(self, texts: list[str], labels: Tensor, classes: int) -> Callable[[nn.Module], LogEntry]:
        ids = self._tokenize(texts)
        return lambda _: validation_metrics(torch.from_numpy(self._forward(ids)), labels, classes)

    # ---- predicting ------------------------------------------------------------------------------------------

    def decision_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The head's outputs before softmax, (n, classes); for regression (n, 1).

        Each different text is computed once, texts of equal length together; the order is that of `texts`.

        Raises:
            NotFitted: before `fit` or `from_pretrained`.
            BadInput: an item that is not a string.
        """
        output = self._outputs(texts)
        return output if self.head == "regression" else output[:, : len(self.classes_)]

    @available_if(lambda self: self.head != "regression")  # type: ignore[untyped-decorator]
    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1. Raises as `decision_logits`."""
        logits = torch.from_numpy(self.decision_logits(texts))
        return logits.softmax(-1).numpy()

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The likeliest class of each text, (n,), or the predicted number. Raises as `decision_logits`."""
        logits = self.decision_logits(texts)
        return logits[:, 0] if self.head == "regression" else self.classes_[logits.argmax(-1)]

    @available_if(lambda self: self.head == "multitask")  # type: ignore[untyped-decorator]
    def predict_rating(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The second head's number for each text, (n,)."""
        return self._outputs(texts)[:, -1]

    def score(self, texts: Sequence[str], labels: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy; for regression the coefficient of determination R2."""
        if self.head == "regression":
            return float(r2_score(labels, self.predict(texts), sample_weight=sample_weight))
        return float(super().score(texts, labels, sample_weight=sample_weight))

    def _outputs(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._check_fitted()
        different, rows = unique_rows(check_texts(texts))
        outputs: NDArray[np.float32] = self._forward(self._tokenize(different))[rows]
        return outputs

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        """Token ids; warns once of texts that are longer than `max_length`."""
        check_length(self.module_, self.max_length)
        ids = tokenize(texts, self.tokenizer_, self.max_length)
        known = getattr(self, "_warned_of", None) == self.max_length
        if not known and warn_about_cut_texts(texts, ids, self.tokenizer_, self.max_length):
            self._warned_of = self.max_length
        return ids

    @property
    def class_names_(self) -> list[str]:
        """The classes in words: `class_names`, or the labels as text."""
        return class_names(self.get_params(deep=False), self.classes_)

    def _forward(self, ids: list[list[int]]) -> NDArray[np.float32]:
        if ids:
            return forward(self.module_, ids, self._pad_id(), precision=self.precision)
        width = 1 if self.head == "regression" else len(self.classes_) + (self.head == "multitask")
        return np.empty((0, width), dtype=np.float32)

    def fit_cost(self, texts: Sequence[str]) -> machine.Cost:
        """What `fit` on these texts will take here if all weights are trained; trains nothing."""
        training = self.training or TrainingConfig()
        batches = LengthBuckets(self._ids_of_encoder(texts), training.batch_size, training.seed)
        longest = max(len(batch) * max(len(batches.token_ids[i]) for i in batch) for batch in batches.order(0))
        parameters, multiplied, width = self._sizes()
        tokens = batches.tokens() * training.epochs
        return machine.training_cost(parameters, multiplied, tokens, longest, width, training.dtype)

    def predict_cost(self, texts: Sequence[str]) -> machine.Cost:
        """What predictions for these texts will take here, each different one counted once."""
        tokens = sum(map(len, self._ids_of_encoder(list(dict.fromkeys(texts)))))
        parameters, multiplied, width = self._sizes()
        budget = min(tokens, machine.preset().predict_tokens)
        return machine.forward_cost(parameters, multiplied, tokens, budget, width)

    def _ids_of_encoder(self, texts: Sequence[str]) -> list[list[int]]:
        return tokenize(texts, load_tokenizer(encoder_folder(self.encoder)), self.max_length)

    def _sizes(self) -> tuple[int, int, int]:
        """All weights, those that a token is multiplied by, and the activations of a token.

        Most of the last layer serves the first token only.
        """
        config = encoder_config(self.encoder)
        hidden, layers = config.hidden_size, config.num_hidden_layers
        wide = next((getattr(config, name) for name in _WIDTHS if getattr(config, name, None)), 4 * hidden)
        matrices = layers * (4 * hidden * hidden + 2 * hidden * wide)
        tables = (config.vocab_size + max(0, getattr(config, "max_position_embeddings", 0))) * hidden
        for_first_token_only = 2 * hidden * hidden + 2 * hidden * wide
        parameters = tables + matrices + hidden * hidden
        return parameters, matrices - for_first_token_only, hidden * _ACTIVATIONS_PER_LAYER * layers

    def _pad_id(self) -> int:
        return pad_token_id(self.tokenizer_)

    def _check_fitted(self) -> None:
        if not hasattr(self, "module_"):
            raise NotFitted(
                "this TextClassifier is not fitted yet",
                "call fit(texts, labels) first, or load one with TextClassifier.from_pretrained(folder)",
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array, tags.no_validation = True, False, True
        if self.head == "regression":  # cross-validation then makes its folds as for numbers
            tags.estimator_type, tags.classifier_tags, tags.regressor_tags = "regressor", None, RegressorTags()
        return tags

    # ---- saving and loading ----------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Writes an ordinary transformers folder, complete or not at all; a classifier that is there is replaced.

        Raises:
            NotFitted: before `fit`.
            BadInput: the folder holds something that is not a saved model.
        """
        self._check_fitted()
        target = check_save_dir(folder)
        saved = Pretrained(self.get_params(deep=False), getattr(self, "classes_", None), self.module_, self.tokenizer_)
        with atomic_folder(target) as part:
            save_classifier(saved, part)
        return target

    @classmethod
    def from_pretrained(cls, name: str | Path) -> TextClassifier:
        """Loads a saved classifier: a folder, a hub name while online, or a model of the course by its name.

        `sentiment` is the course's fine-tuned model; it ships with the course.

        Raises:
            BadInput: a kind of model that the course does not run.
            MissingAsset, Offline, CorruptAsset: there is no such model, no network to fetch it, or it is damaged.
        """
        saved = load_shipped(str(name)) if name in shipped_models() else load_classifier(name)
        classifier = cls(**saved.parameters)
        if saved.classes is not None:
            classifier.classes_ = saved.classes
        classifier.module_, classifier.tokenizer_ = saved.module, saved.tokenizer
        return classifier
