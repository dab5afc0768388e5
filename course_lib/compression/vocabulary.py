"""A smaller embedding table: fewer tokens in the vocabulary, or fewer different vectors.

The table is about half of a small BERT's parameters, and costs memory but no time.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.batching import load_tokenizer, tokenize
from course_lib.classifier import TextClassifier
from course_lib.compression.linear_layers import bert_encoder, check_integer
from course_lib.errors import BadInput

_ROWS_AT_ONCE = 2048  # of the table, compared with all others
TextsOrCounts = Sequence[str] | Mapping[str, int]


def token_counts(classifier: TextClassifier, texts: Sequence[str]) -> Counter[str]:
    """How often each token of the vocabulary occurs in the texts, cut to `max_length` tokens.

    Raises:
        BadInput: as `bert_encoder`; an item that is not a string.
    """
    bert_encoder(classifier)
    tokenizer = classifier.tokenizer_
    counts = Counter(token for row in tokenize(texts, tokenizer, classifier.max_length) for token in row)
    names = tokenizer.convert_ids_to_tokens(list(counts))
    return Counter(dict(zip(names, counts.values(), strict=True)))


def trim_vocabulary(classifier: TextClassifier, texts: TextsOrCounts, size: int | None = None) -> TextClassifier:
    """A classifier that keeps the tokens that the texts use: fewer rows of the embedding table, the same time.

    Special tokens are kept, and every character, alone and as `##` inside a word. So a word whose token is removed is
    split into smaller tokens, down to its characters, and is `[UNK]` only if it was `[UNK]` before. Texts of kept
    tokens are tokenised as before: WordPiece takes the longest token that fits, and those removed did not.

    Args:
        classifier: fitted, with a WordPiece tokenizer.
        texts: what it will read, or how often each token occurred (`token_counts`).
        size: of the vocabulary at most; the most frequent tokens are kept, of equally frequent ones the first.

    Raises:
        BadInput: as `bert_encoder`; another kind of tokenizer, a count of an unknown token, or a size that has no room
            for the special tokens and the characters.
    """
    bert, tokenizer = bert_encoder(classifier), classifier.tokenizer_
    if type(getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)).__name__ != "WordPiece":
        raise BadInput(f"the tokenizer is a {type(tokenizer).__name__} without WordPiece", "use BERT's")
    vocabulary, counts = _checked_counts(classifier, texts)
    kept = _required_tokens(tokenizer, bert.config.pad_token_id)
    limit = check_integer(len(vocabulary) if size is None else size, "size", len(kept), len(vocabulary))
    used = [token for token in counts if token not in kept]
    used.sort(key=lambda token: (-counts[token], vocabulary[token]))
    kept |= set(used[: limit - len(kept)])
    tokens = sorted(kept, key=vocabulary.__getitem__)  # the order is kept: [PAD] is still the first
    smaller = copy.deepcopy(classifier)
    smaller.tokenizer_ = _trimmed_tokenizer(tokenizer, tokens)
    _keep_rows(bert_encoder(smaller), [vocabulary[token] for token in tokens])
    return smaller


def cluster_embeddings(classifier: TextClassifier, texts: TextsOrCounts, size: int) -> TextClassifier:
    """A classifier in which rare tokens have the vector of the most similar frequent one.

    Texts are tokenised as before, and the table keeps its shape; but it holds only `size` different rows, so that a
    file that stores each once, and a number per token, is smaller (weight sharing: Han et al. 2016, arXiv:1510.00149).
    A rare word is read as a word of similar meaning, where `trim_vocabulary` would split it into characters.

    Args:
        texts: what it will read, or how often each token occurred (`token_counts`).
        size: number of different vectors; those of special tokens are always among them.

    Raises:
        BadInput: as `bert_encoder`; a count of an unknown token, or a size that has no room for the special tokens.
    """
    config = bert_encoder(classifier).config
    vocabulary, counts = _checked_counts(classifier, texts)
    special = {vocabulary[token] for token in classifier.tokenizer_.all_special_tokens}
    used = np.zeros(config.vocab_size)
    used[[vocabulary[token] for token in counts]] = list(counts.values())
    used[list(special)] = np.inf
    size = check_integer(size, "size", len(special) + 1, config.vocab_size)
    kept = torch.from_numpy(np.argsort(-used, kind="stable")[:size])
    smaller = copy.deepcopy(classifier)
    table = bert_encoder(smaller).embeddings.word_embeddings.weight
    with torch.no_grad():
        table.copy_(table[_nearest(table, kept.to(table.device), len(special))])
    return smaller


def _checked_counts(classifier: TextClassifier, texts: TextsOrCounts) -> tuple[dict[str, int], Mapping[str, int]]:
    """Each token's id, added tokens included, and how often it occurs."""
    counts = texts if isinstance(texts, Mapping) else token_counts(classifier, texts)
    vocabulary: dict[str, int] = classifier.tokenizer_.get_vocab()
    if unknown := [token for token in counts if token not in vocabulary]:
        raise BadInput(f"counts hold the unknown token {unknown[0]!r}", "count with token_counts(classifier, texts)")
    return vocabulary, counts


def _nearest(table: Tensor, kept: Tensor, special: int) -> Tensor:
    """For each row the kept row of the largest cosine, never one of the first `special` ones; itself where kept."""
    directions = F.normalize(table.detach().float(), dim=1)
    common = kept[special:]
    nearest = torch.cat([(rows @ directions[common].T).argmax(1) for rows in directions.split(_ROWS_AT_ONCE)])
    found = common[nearest]
    found[kept] = kept
    return found


def _required_tokens(tokenizer: Any, pad_id: int | None) -> set[str]:
    """The special tokens, and those without which a word that could be split might become unknown."""
    vocabulary, prefix = tokenizer.get_vocab(), tokenizer.backend_tokenizer.model.continuing_subword_prefix
    kept = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    kept |= {token for token, number in vocabulary.items() if number == pad_id}
    alone = {token for token in vocabulary if len(token) == 1}
    inside = {token for token in vocabulary if token.startswith(prefix) and len(token) == len(prefix) + 1}
    characters = alone | inside
    unspellable = {token for token in vocabulary if not characters.issuperset(_characters(token, prefix))}
    never_inside = {token for token in inside if _is_separated(token[-1], tokenizer.backend_tokenizer)}
    return kept | alone | (inside - never_inside) | unspellable


def _characters(token: str, prefix: str) -> list[str]:
    """The tokens of one character each that a token could be split into."""
    inside = token.startswith(prefix) and len(token) > len(prefix)
    letters = token[len(prefix) :] if inside else token
    return [prefix + letter if inside or place else letter for place, letter in enumerate(letters)]


def _is_separated(letter: str, backend: Any) -> bool:
    """Whether words are split before and after it, as at punctuation, so that it never occurs inside one."""
    text = f"a{letter}a"
    text = backend.normalizer.normalize_str(text) if backend.normalizer else text
    return letter in [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]


def _trimmed_tokenizer(tokenizer: Any, tokens: Sequence[str]) -> Any:
    """The same tokenizer with these tokens, numbered from 0: written, edited, and read as a saved one would be."""
    ids = {token: number for number, token in enumerate(tokens)}
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
    """The content of `tokenizer.json`, with the new ids wherever it holds ids."""
    model = written["model"]
    model["vocab"] = {token: ids[token] for token in model["vocab"] if token in ids}
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
