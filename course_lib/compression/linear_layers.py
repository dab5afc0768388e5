"""The linear layers of a classifier's BERT encoder, and what they read for given texts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from numbers import Integral
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import Batch, collate, sorted_batches, tokenize
from course_lib.classifier import BERTForSentimentAnalysis, TextClassifier
from course_lib.errors import BadInput
from course_lib.text.modules import inference_copy

# The six linear layers of an encoder layer, by the names of `course_lib.encoder`, and where transformers keeps them.
LINEAR_LAYERS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "expand": "intermediate.dense",
    "contract": "output.dense",
}
Place = tuple[int, str]  # number of the encoder layer, from 0, and a name of LINEAR_LAYERS


def bert_encoder(classifier: TextClassifier) -> Any:
    """The transformers `BertModel` of a fitted classifier.

    Raises:
        BadInput: not a fitted `TextClassifier`, or one whose encoder is not a BERT.
    """
    if not isinstance(classifier, TextClassifier) or not hasattr(classifier, "module_"):
        raise BadInput(
            f"the classifier is {type(classifier).__name__}, not a fitted TextClassifier",
            "fit it first, or load one with TextClassifier.from_pretrained(folder)",
        )
    if not isinstance(classifier.module_, BERTForSentimentAnalysis):
        kind = type(getattr(classifier.module_, "model", classifier.module_)).__name__
        raise BadInput(f"the classifier is a {kind}, not a BERT", "compress one with a BERT encoder")
    return classifier.module_.bert


def linear_layers(classifier: TextClassifier, names: Collection[str] = tuple(LINEAR_LAYERS)) -> dict[Place, nn.Linear]:
    """The encoder's linear layers by number of the layer and name (`LINEAR_LAYERS`); not copied.

    A weight has the shape (outputs, inputs). The embedding table, the pooler and the head are not among them.

    Raises:
        BadInput: as `bert_encoder`, or an unknown name.
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names or not set(names) <= set(LINEAR_LAYERS):
        raise BadInput(f"{names} are no linear layers", f"use some of {', '.join(LINEAR_LAYERS)}")
    return _linear_layers(bert_encoder(classifier), names)


def _linear_layers(bert: Any, names: Collection[str]) -> dict[Place, nn.Linear]:
    layers = enumerate(bert.encoder.layer)
    return {
        (number, name): layer.get_submodule(path)
        for number, layer in layers
        for name, path in LINEAR_LAYERS.items()
        if name in names
    }


def check_integer(value: Any, name: str, low: int, high: int) -> int:
    """The value as an int. Raises BadInput unless it is a whole number from `low` to `high`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        raise BadInput(f"{name} is {value!r}", f"use a whole number from {low} to {high}")
    return int(value)


def batches(classifier: TextClassifier, texts: Sequence[str]) -> Iterator[Batch]:
    """The texts in batches of similar lengths, on the device."""
    ids = tokenize(texts, classifier.tokenizer_, classifier.max_length)
    pad = int(classifier.tokenizer_.pad_token_id or 0)
    for rows in sorted_batches([len(row) for row in ids], machine.preset().predict_tokens):
        yield collate(ids, rows, pad).to(machine.device())


def observe_inputs(
    classifier: TextClassifier,
    texts: Sequence[str],
    observe: Callable[[Place, Float[Tensor, "tokens inputs"]], None],
    names: Collection[str] = tuple(LINEAR_LAYERS),
) -> None:
    """Calls `observe(place, inputs)` with what each linear layer reads in each batch of the texts, without padding.

    Raises:
        BadInput: as `linear_layers`, no text, or an item that is not a string.
    """
    if not len(texts):
        raise BadInput("there is no text", "give some of the kind that the model will read; they need no labels")
    linear_layers(classifier, names)
    module: Any = inference_copy(classifier.module_)
    mask: list[Tensor] = []

    def hook_of(place: Place) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor]) -> None:
            states = inputs[0]  # (batch, seq, inputs); in the last layer partly (batch, 1, inputs): the first token
            observe(place, states[mask[0][:, : states.shape[1]]])

        return hook

    for place, linear in _linear_layers(module.bert, names).items():
        linear.register_forward_pre_hook(hook_of(place))
    with torch.no_grad():
        for batch in batches(classifier, texts):
            mask[:] = [batch.attention_mask.bool()]
            module(batch.input_ids, batch.attention_mask)
