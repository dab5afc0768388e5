"""What makes a classifier really smaller: fewer layers, narrower feed-forward blocks, a shorter list of words.

Each result is a dense model of the same design, which needs no special kernels: its configuration says the new shape,
and any transformers reads it. Heads are missing here on purpose. In a plain `BertModel` the heads share the hidden
size out among them (`num_attention_heads * attention_head_size = hidden_size`), so no configuration can tell of a head
that is gone; see `importance.mask_heads`.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from course_lib.batching import load_tokenizer, tokenize
from course_lib.classifier import BERTForSentimentAnalysis, TextClassifier
from course_lib.errors import BadInput

_ROWS_AT_ONCE = 2048  # of the table, compared with all others
# The six matrices of a layer, by the names of `course_lib.encoder`, and where transformers keeps them.
MATRICES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "expand": "intermediate.dense",
    "contract": "output.dense",
}


def bert_of(classifier: TextClassifier) -> Any:
    """The transformers `BertModel` of a fitted classifier.

    Raises:
        BadInput: not a fitted `TextClassifier`, or one that is no BERT.
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


def matrices(classifier: TextClassifier) -> dict[tuple[int, str], nn.Linear]:
    """The encoder's matrices, (outputs, inputs) each, by layer and name (`MATRICES`); not copied.

    They are what a token is multiplied by: no embedding table, no pooler, no head.

    Raises:
        BadInput: as `bert_of`.
    """
    layers = enumerate(bert_of(classifier).encoder.layer)
    return {(number, name): layer.get_submodule(at) for number, layer in layers for name, at in MATRICES.items()}


def whole(value: Any, name: str, low: int, high: int) -> int:
    """The value as an int. Raises BadInput unless it is a whole number from `low` to `high`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        raise BadInput(f"{name} is {value!r}", f"use a whole number from {low} to {high}")
    return int(value)


# ---- layers ----------------------------------------------------------------------------------------------------


def spread(layers: int, kept: int) -> list[int]:
    """Which layers stay: the first, the last, and others evenly between; of one alone, the first.

    Raises:
        BadInput: more layers than there are, or none.
    """
    if not 1 <= kept <= layers:
        raise BadInput(f"{kept} of {layers} layers", f"keep 1 to {layers}")
    return sorted({round(i * (layers - 1) / max(1, kept - 1)) for i in range(kept)})


def keep_layers(classifier: TextClassifier, layers: Sequence[int]) -> TextClassifier:
    """A classifier of some layers, in their old order; the others are left out.

    A layer adds to what it read, so that the next one understands what came before it as well (Sajjad et al. 2020,
    arXiv:2004.03844). Time and the layers' memory shrink in proportion.

    Args:
        classifier: fitted; it stays as it is.
        layers: numbers from 0, ascending.

    Raises:
        BadInput: as `bert_of`; no layer, one that is not there, or numbers that do not ascend.
    """
    old = list(bert_of(classifier).encoder.layer)
    numbers = [whole(number, "a layer", 0, len(old) - 1) for number in layers]
    if not numbers or sorted(set(numbers)) != numbers:
        raise BadInput(f"layers is {list(layers)}", "give one layer or more, each once, in ascending order")
    smaller = copy.deepcopy(classifier)
    bert = bert_of(smaller)
    bert.encoder.layer = nn.ModuleList([bert.encoder.layer[number] for number in numbers])
    for number, layer in enumerate(bert.encoder.layer):
        layer.attention.self.layer_idx = number
    bert.config.num_hidden_layers = len(numbers)
    return smaller


# ---- feed-forward neurons --------------------------------------------------------------------------------------


def narrow(classifier: TextClassifier, width: int, importance: ArrayLike) -> TextClassifier:
    """A classifier whose feed-forward blocks keep their `width` most important neurons.

    A neuron is a row of the first matrix, its bias, and a column of the second. Each layer keeps equally many, since
    the configuration has one `intermediate_size` for all. Of equally important neurons the first ones stay.

    Args:
        classifier: fitted; it stays as it is.
        width: neurons of a layer afterwards.
        importance: (layers, neurons), such as `importance.importance(...).neurons`.

    Raises:
        BadInput: as `bert_of`; a width over the present one, or importances of another shape or not finite.
    """
    config = bert_of(classifier).config
    width = whole(width, "width", 1, config.intermediate_size)
    scores = _scores(importance, (config.num_hidden_layers, config.intermediate_size))
    smaller = copy.deepcopy(classifier)
    bert = bert_of(smaller)
    for layer, row in zip(bert.encoder.layer, scores, strict=True):
        best = np.sort(np.argsort(-row, kind="stable")[:width])
        _keep_neurons(layer, torch.from_numpy(best))
    bert.config.intermediate_size = width
    return smaller


def _scores(importance: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    try:
        scores = np.asarray(importance, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"importance is no table of numbers ({error})", f"give numbers of shape {shape}") from error
    if scores.shape != shape or not np.isfinite(scores).all():
        raise BadInput(f"importance has shape {scores.shape}, or is not finite", f"give finite numbers, {shape}")
    return scores


def _keep_neurons(layer: Any, kept: Tensor) -> None:
    expand, contract = layer.intermediate.dense, layer.output.dense
    kept = kept.to(expand.weight.device)
    expand.weight = _parameter(expand.weight, expand.weight[kept])
    expand.bias = _parameter(expand.bias, expand.bias[kept])
    contract.weight = _parameter(contract.weight, contract.weight[:, kept])
    expand.out_features = contract.in_features = len(kept)


def _parameter(old: Tensor, values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone(), requires_grad=old.requires_grad)


# ---- words -----------------------------------------------------------------------------------------------------


def piece_counts(classifier: TextClassifier, texts: Sequence[str]) -> Counter[str]:
    """How often the texts, cut to `max_length` tokens, use each piece of the vocabulary.

    Raises:
        BadInput: as `bert_of`; an item that is not a string.
    """
    bert_of(classifier)
    tokenizer = classifier.tokenizer_
    counts = Counter(token for row in tokenize(texts, tokenizer, classifier.max_length) for token in row)
    names = tokenizer.convert_ids_to_tokens(list(counts))
    return Counter(dict(zip(names, counts.values(), strict=True)))


def keep_words(
    classifier: TextClassifier, texts: Sequence[str] | Mapping[str, int], least: int = 1, size: int | None = None
) -> TextClassifier:
    """A classifier with the pieces of words that the texts use: fewer rows of the embedding table, no less time.

    Special tokens stay, and every character, alone and as `##` inside a word. So a word whose piece is gone is read as
    smaller pieces, down to its letters, and is `[UNK]` only if it was `[UNK]` before. Texts of kept pieces are read as
    before: WordPiece takes the longest piece that fits, and those that were left out did not.

    Args:
        classifier: fitted, with a WordPiece tokenizer; it stays as it is.
        texts: what it will read, or how often each piece was used (`piece_counts`).
        least: a piece used less often goes.
        size: pieces in all at most; those used most stay, of equally used ones those that come first.

    Raises:
        BadInput: as `bert_of`; another kind of tokenizer, a count of what is no piece, or a size that has no room for
            the special tokens and the characters.
    """
    bert = bert_of(classifier)
    counts = texts if isinstance(texts, Mapping) else piece_counts(classifier, texts)
    vocabulary = _vocabulary(classifier)
    if unknown := [piece for piece in counts if piece not in vocabulary]:
        raise BadInput(f"counts hold {unknown[0]!r}, which is no piece", "count with piece_counts(classifier, texts)")
    kept = _essential(classifier.tokenizer_, bert.config.pad_token_id)
    least = whole(least, "least", 1, 10**12)
    limit = whole(len(vocabulary) if size is None else size, "size", len(kept), len(vocabulary))
    used = [piece for piece, count in counts.items() if count >= least and piece not in kept]
    used.sort(key=lambda piece: (-counts[piece], vocabulary[piece]))
    kept |= set(used[: limit - len(kept)])
    pieces = sorted(kept, key=vocabulary.__getitem__)  # the old order: [PAD] stays the first
    smaller = copy.deepcopy(classifier)
    smaller.tokenizer_ = _with_pieces(classifier.tokenizer_, pieces)
    _keep_rows(bert_of(smaller), [vocabulary[piece] for piece in pieces])
    return smaller


def share_words(classifier: TextClassifier, texts: Sequence[str] | Mapping[str, int], size: int) -> TextClassifier:
    """A classifier in which rare pieces of words have the vector of the most similar common one.

    Texts are split as before, and the table keeps its shape; but it holds only `size` different rows, so that a file
    that stores each once and a number a piece is smaller (sharing of weights: Han et al. 2016, arXiv:1510.00149).
    A rare word is read as a word of like meaning, where `keep_words` would read it as letters and syllables.

    Args:
        classifier: fitted; it stays as it is.
        texts: what it will read, or how often each piece was used (`piece_counts`); equally used ones in their order.
        size: different vectors; those of special tokens are always among them.

    Raises:
        BadInput: as `bert_of`; a count of what is no piece, or a size that has no room for the special tokens.
    """
    config = bert_of(classifier).config
    counts = texts if isinstance(texts, Mapping) else piece_counts(classifier, texts)
    tokenizer = classifier.tokenizer_
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if unknown := [piece for piece in counts if piece not in vocabulary]:
        raise BadInput(f"counts hold {unknown[0]!r}, which is no piece", "count with piece_counts(classifier, texts)")
    special = {vocabulary[token] for token in tokenizer.all_special_tokens}
    used = np.zeros(config.vocab_size)
    used[[vocabulary[piece] for piece in counts]] = list(counts.values())
    used[list(special)] = np.inf
    size = whole(size, "size", len(special) + 1, config.vocab_size)
    kept = torch.from_numpy(np.argsort(-used, kind="stable")[:size])
    smaller = copy.deepcopy(classifier)
    table = bert_of(smaller).embeddings.word_embeddings.weight
    with torch.no_grad():
        table.copy_(table[_nearest(table, kept.to(table.device), len(special))])
    return smaller


def _nearest(table: Tensor, kept: Tensor, first: int) -> Tensor:
    """For each row the kept row of the largest cosine, never one of the `first` (special) ones; itself where kept."""
    directions = F.normalize(table.detach().float(), dim=1)
    common = kept[first:]
    nearest = torch.cat([(rows @ directions[common].T).argmax(1) for rows in directions.split(_ROWS_AT_ONCE)])
    found = common[nearest]
    found[kept] = kept
    return found


def _vocabulary(classifier: TextClassifier) -> dict[str, int]:
    """Each piece's id, added tokens included."""
    backend = getattr(classifier.tokenizer_, "backend_tokenizer", None)
    if type(getattr(backend, "model", None)).__name__ != "WordPiece":
        raise BadInput(f"the tokenizer is a {type(classifier.tokenizer_).__name__} without WordPiece", "use BERT's")
    vocabulary: dict[str, int] = classifier.tokenizer_.get_vocab()
    return vocabulary


def _essential(tokenizer: Any, pad_id: int | None) -> set[str]:
    """Pieces without which a word that could be split might become unknown, and the special tokens."""
    vocabulary, mark = tokenizer.get_vocab(), tokenizer.backend_tokenizer.model.continuing_subword_prefix
    kept = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    kept |= {piece for piece, number in vocabulary.items() if number == pad_id}
    alone = {piece for piece in vocabulary if len(piece) == 1}
    inside = {piece for piece in vocabulary if piece.startswith(mark) and len(piece) == len(mark) + 1}
    characters = alone | inside
    unspellable = {piece for piece in vocabulary if not characters.issuperset(_characters(piece, mark))}
    never_inside = {piece for piece in inside if _stands_alone(piece[-1], tokenizer.backend_tokenizer)}
    return kept | alone | (inside - never_inside) | unspellable


def _characters(piece: str, mark: str) -> list[str]:
    """The pieces of one character each that a piece could be read as."""
    inside = piece.startswith(mark) and len(piece) > len(mark)
    letters = piece[len(mark) :] if inside else piece
    return [mark + letter if inside or place else letter for place, letter in enumerate(letters)]


def _stands_alone(letter: str, backend: Any) -> bool:
    """Whether words are parted before and after it, as at punctuation, so that it never stands inside of one."""
    text = f"a{letter}a"
    text = backend.normalizer.normalize_str(text) if backend.normalizer else text
    return letter in [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]


def _with_pieces(tokenizer: Any, pieces: Sequence[str]) -> Any:
    """The same tokenizer with these pieces, numbered from 0: written, edited, and read as a saved one would be."""
    ids = {piece: number for number, piece in enumerate(pieces)}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        file = Path(folder) / "tokenizer.json"
        file.write_text(json.dumps(_renumbered(json.loads(file.read_text("utf-8")), ids)), "utf-8")
        (Path(folder) / "vocab.txt").unlink(missing_ok=True)
        smaller = load_tokenizer(folder)
    smaller.name_or_path = tokenizer.name_or_path
    before = tokenizer.convert_ids_to_tokens(tokenizer("")["input_ids"])
    if smaller.get_vocab() != ids or smaller.convert_ids_to_tokens(smaller("")["input_ids"]) != before:
        raise BadInput(f"a {type(tokenizer).__name__} cannot be renumbered", "use BERT's own tokenizer")
    return smaller


def _renumbered(written: dict[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    """What stands in `tokenizer.json`, with the new ids wherever there are ids."""
    model = written["model"]
    model["vocab"] = {piece: ids[piece] for piece in model["vocab"] if piece in ids}
    for token in written["added_tokens"]:
        token["id"] = ids[token["content"]]
    for token in (written["post_processor"] or {}).get("special_tokens", {}).values():
        token["ids"] = [ids[content] for content in token["tokens"]]
    if written["padding"]:
        written["padding"]["pad_id"] = ids[written["padding"]["pad_token"]]
    return written


def _keep_rows(bert: Any, rows: Sequence[int]) -> None:
    embeddings, config = bert.embeddings, bert.config
    pad = None if config.pad_token_id is None else rows.index(config.pad_token_id)
    table = embeddings.word_embeddings.weight
    values = table.detach()[torch.tensor(rows, device=table.device)]
    embeddings.word_embeddings = nn.Embedding.from_pretrained(values, freeze=not table.requires_grad, padding_idx=pad)
    config.vocab_size, config.pad_token_id = len(rows), pad
