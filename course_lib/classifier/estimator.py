"""`TextClassifier`: the one face of every model of the course.

A `TextClassifier` keeps scikit-learn's conventions, so that metrics, cross-validation, LIME and SHAP take it as it
is. Saved, it is an ordinary transformers folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
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
from course_lib.batching import LengthBuckets, check_texts, load_tokenizer, tokenize
from course_lib.checkpoints import CheckpointFolder, atomic_folder, resume_identity
from course_lib.classifier.adaptation import add_lora, freeze, trained_weights
from course_lib.classifier.cost import fit_cost, predict_cost
from course_lib.classifier.differences import load_difference, shipped_models
from course_lib.classifier.objective import LossWrapper, measure, objective
from course_lib.classifier.parameters import check_parameters
from course_lib.classifier.prediction import forward
from course_lib.classifier.sources import (
    encoder_folder,
    folder_or_hub,
    load_classifier,
    load_encoder,
    read_course_file,
)
from course_lib.classifier.storage import place, write
from course_lib.classifier.targets import held_out, targets
from course_lib.errors import BadInput, CourseError
from course_lib.training import Callback, History, LogEntry, TrainingConfig, train


class NotFitted(CourseError, NotFittedError):
    """The classifier was asked before `fit` or `from_pretrained`."""


def _nothing() -> None:
    """What remains to be done after training all weights."""


def _has_classes(estimator: TextClassifier) -> bool:
    return estimator.head != "regression"


def _has_ratings(estimator: TextClassifier) -> bool:
    return estimator.head == "multitask"


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
        warm_start: lets `fit` go on from the weights at hand, head included, instead of building anew.
        precision: of predictions: `float32` gives what transformers gives, `auto` what the hardware multiplies fastest.

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

        Args:
            texts: n strings.
            labels: n labels of any sortable kind, or n real numbers for regression.
            soft_labels: (n, classes) probabilities to learn instead of the labels; rows sum to 1.
            ratings: n real numbers for the second head of `multitask`.
            validation: texts and labels that are looked at after each epoch.
            callbacks: called with each row of the history.
            checkpoints: saves there, and resumes from there what a killed `fit` with the same arguments left.
            loss_wrapper: replaces the loss of a batch by another one made of it, such as `defenses.FreeLB()`.

        Raises:
            BadInput: a parameter out of its range, an item that is not a string, mismatched lengths, a missing or
                not finite label, labels of mixed types, fewer than two classes.
            MissingAsset, Offline, CorruptAsset: the encoder cannot be had.
            CheckpointError: the checkpoints are damaged, or of another run.
        """
        check_parameters(self)
        config = self.training or TrainingConfig()
        texts = check_texts(texts)
        classes, wanted = targets(self.head, len(texts), labels, soft_labels, ratings)
        validation_set = held_out(validation, classes)
        with machine.seeded(config.seed):  # the caller's random numbers continue as if nothing had happened
            self._build_or_keep(classes)
            settings = {k: v for k, v in self.get_params(deep=False).items() if k not in ("encoder", "training")}
            identity = {} if checkpoints is None else resume_identity(
                **settings, encoder_weights=self.module_, tokenizer=self.tokenizer_, texts=texts, labels=wanted,
                classes=classes, validation=validation_set, loss_wrapper=loss_wrapper,
            )  # fmt: skip
            order_seed = config.seed if config.order_seed is None else config.order_seed
            machine.seed_everything(order_seed)
            ids = tokenize(texts, self.tokenizer_, self.max_length)
            batches = LengthBuckets(ids, config.batch_size, order_seed, self._pad_id())
            finish = self._choose_weights()
            self.module_.to(machine.device())
            wanted = {name: tensor.to(machine.device()) for name, tensor in wanted.items()}
            outputs = 0 if classes is None else len(classes)
            validate = self._validation(*validation_set, outputs) if validation_set else None
            usual = objective(wanted, outputs)
            try:
                self.history_: History = train(
                    self.module_, batches, loss_wrapper(usual) if loss_wrapper else usual, config,
                    validate=validate, callbacks=callbacks, checkpoints=checkpoints, identity=identity,
                )  # fmt: skip
            finally:  # a run that is interrupted leaves an ordinary module, too
                finish()
                self.module_.requires_grad_(True)
        return self

    def _build_or_keep(self, classes: NDArray[Any] | None) -> None:
        """A new module, or with `warm_start` the one at hand, if it knows the same classes."""
        if not (self.warm_start and hasattr(self, "module_")):
            self._build(classes)
        elif classes is not None and classes.tolist() != self.classes_.tolist():
            raise BadInput(
                f"warm_start goes on with the classes {self.classes_.tolist()}, the labels hold {classes.tolist()}",
                "give labels of the same classes, or set warm_start=False for a new head",
            )

    def _build(self, classes: NDArray[Any] | None) -> None:
        """Makes `module_` and `tokenizer_` for the current parameters, with a new head."""
        folder = encoder_folder(self.encoder)
        outputs = 1 if classes is None else len(classes)
        module = load_encoder(self.encoder, folder, outputs, self.dropout, self.head == "multitask", self.max_length)
        self.tokenizer_ = load_tokenizer(folder)
        self.module_ = module
        self.__dict__.pop("classes_", None)  # of an earlier fit with another head
        if classes is not None:
            self.classes_ = classes

    def _choose_weights(self) -> Callable[[], None]:
        """Says which weights are trained; gives what is to be done afterwards."""
        finish = add_lora(self.module_, self.lora_rank) if self.lora_rank else _nothing
        if not self.lora_rank:
            freeze(self.module_, self.frozen_encoder, self.frozen_embeddings)
        self.trained_weights_ = trained_weights(self.module_)
        return finish

    def _validation(self, texts: list[str], labels: Tensor, classes: int) -> Callable[[nn.Module], LogEntry]:
        ids = tokenize(texts, self.tokenizer_, self.max_length)
        return lambda _: measure(torch.from_numpy(self._forward(ids)), labels, classes)

    # ---- predicting ------------------------------------------------------------------------------------------

    def decision_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the head gives before softmax, (n, classes); for regression (n, 1).

        Each different text is computed once, texts of equal length together; the order is that of `texts`.

        Raises:
            NotFitted: before `fit` or `from_pretrained`.
            BadInput: an item that is not a string.
        """
        output = self._outputs(texts)
        return output if self.head == "regression" else output[:, : len(self.classes_)]

    @available_if(_has_classes)  # type: ignore[untyped-decorator]
    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1. Raises as `decision_logits`."""
        logits = torch.from_numpy(self.decision_logits(texts))
        return logits.softmax(-1).numpy()

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The likeliest class of each text, (n,), or the predicted number. Raises as `decision_logits`."""
        logits = self.decision_logits(texts)
        return logits[:, 0] if self.head == "regression" else self.classes_[logits.argmax(-1)]

    @available_if(_has_ratings)  # type: ignore[untyped-decorator]
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
        rows = check_texts(texts)
        different = {text: i for i, text in enumerate(dict.fromkeys(rows))}
        ids = tokenize(list(different), self.tokenizer_, self.max_length)
        return self._forward(ids)[[different[text] for text in rows]]

    @property
    def class_names_(self) -> list[str]:
        """The classes in words: the labels, or `negative` and `positive` for the labels 0 and 1."""
        names = [str(label) for label in self.classes_.tolist()]
        return ["negative", "positive"] if names == ["0", "1"] else names

    def _forward(self, ids: list[list[int]]) -> NDArray[np.float32]:
        if ids:
            return forward(self.module_, ids, self._pad_id(), precision=self.precision)
        width = 1 if self.head == "regression" else len(self.classes_) + (self.head == "multitask")
        return np.empty((0, width), dtype=np.float32)

    def fit_cost(self, texts: Sequence[str]) -> machine.Cost:
        """What `fit` on these texts will take here if all weights are trained; trains nothing."""
        return fit_cost(self.encoder, self.training or TrainingConfig(), texts, self.max_length)

    def predict_cost(self, texts: Sequence[str]) -> machine.Cost:
        """What predictions for these texts will take here."""
        return predict_cost(self.encoder, texts, self.max_length)

    def _pad_id(self) -> int:
        return int(self.tokenizer_.pad_token_id or 0)

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
        """Writes an ordinary transformers folder, complete or not at all; a classifier that stands there is replaced.

        Raises:
            NotFitted: before `fit`.
            BadInput: the folder holds something that is not a saved model.
        """
        self._check_fitted()
        target = place(folder)
        with atomic_folder(target) as part:
            write(self, part)
        return target

    @classmethod
    def from_pretrained(cls, name: str | Path) -> TextClassifier:
        """Loads a saved classifier: a folder, a hub name while online, or a model of the course by its name.

        `sentiment` is the course's fine-tuned model; it ships with the course.

        Raises:
            MissingAsset, Offline, CorruptAsset: there is no such model, no network to fetch it, or it is damaged.
        """
        if name in shipped_models():
            classifier = cls()
            load_difference(str(name), classifier)
            return classifier
        folder = folder_or_hub(name)
        saved = read_course_file(folder, cls._get_param_names())
        classifier = cls(**{**saved["parameters"], "encoder": str(name)})
        check_parameters(classifier)
        if classifier.head != "regression":
            classifier.classes_ = np.asarray(saved["classes"])
        classifier.module_ = load_classifier(folder, classifier)
        classifier.tokenizer_ = load_tokenizer(folder)
        return classifier


def with_training(classifier: TextClassifier, **changes: Any) -> TextClassifier:
    """The same estimator, unfitted, with some hyper-parameters changed."""
    parameters = classifier.get_params(deep=False)
    parameters["training"] = replace(classifier.training or TrainingConfig(), **changes)
    return TextClassifier(**parameters)
