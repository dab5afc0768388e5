"""The pretraining corpus on the disk: every document's token ids one after another, 2 bytes per token.

Made once per tokenizer, sources and part. The tokens are mapped into memory, never loaded as a whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from jaxtyping import Int64, UInt16
from numpy.typing import NDArray

from course_lib import assets
from course_lib.assets.manifest import sha256_of
from course_lib.batching import load_tokenizer
from course_lib.checkpoints import as_json, atomic_folder
from course_lib.errors import BadInput, CorruptAsset, MissingAsset
from course_lib.pretraining.documents import Document, code_files, documents_of_part, source_hashes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FORM = 2  # of what this module writes: another number makes every stored corpus again
_META = "corpus.json"
_ARRAYS = ("tokens", "sentence_starts", "document_starts", "document_characters")
_SENTENCES_AT_ONCE = 20_000  # per call of the tokenizer: bounds memory


@dataclass(frozen=True)
class PretrainingCorpus:
    """Tokenised documents, without special tokens. A stored one is mapped from the disk (np.memmap, read-only).

    Attributes:
        tokens: all ids, document after document.
        sentence_starts: where each sentence begins in `tokens`; the last entry is the number of tokens.
        document_starts: where each document begins in `sentence_starts`; the last entry is the number of sentences.
        document_characters: length of each document's text before lower-casing, its sentences with one blank between.
        names: (source, name) of each document. Two pieces of one document bear the same name.
        cls_id, sep_id, pad_id: of the tokenizer.
    """

    tokens: UInt16[NDArray[np.uint16], "tokens"]
    sentence_starts: Int64[NDArray[np.int64], "sentences+1"]
    document_starts: Int64[NDArray[np.int64], "documents+1"]
    document_characters: Int64[NDArray[np.int64], "documents"]
    names: tuple[tuple[str, str], ...]
    cls_id: int
    sep_id: int
    pad_id: int

    @property
    def n_tokens(self) -> int:
        """Without special tokens."""
        return len(self.tokens)

    @property
    def characters(self) -> int:
        """Of all texts. Negative log-likelihood in bits over this is bits per character, whatever the tokenizer."""
        return int(self.document_characters.sum())

    @property
    def document_offsets(self) -> Int64[NDArray[np.int64], "documents+1"]:
        """Where each document begins in `tokens`; the last entry is the number of tokens."""
        return np.asarray(self.sentence_starts[self.document_starts])

    @classmethod
    def build(
        cls, documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase, folder: str | Path
    ) -> PretrainingCorpus:
        """Tokenises the documents into `folder`, which is replaced at the end, and opens it.

        Sentences without a token are left out. One core does about 1 M tokens per second.

        Raises:
            BadInput: no token at all; a vocabulary over 65,536; a tokenizer without [CLS], [SEP] or [PAD].
            CourseError: the folder cannot be written.
        """
        arrays, meta = _tokenised(documents, tokenizer)
        with atomic_folder(Path(folder)) as part:
            for name in _ARRAYS:
                np.save(part / f"{name}.npy", arrays[name], allow_pickle=False)
            hashes = {name: sha256_of(part / f"{name}.npy") for name in _ARRAYS}
            (part / _META).write_text(json.dumps({"sha256": hashes, **meta}), encoding="utf-8")
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> PretrainingCorpus:
        """Maps a stored corpus into memory, read-only, after comparing every hash (10 ms).

        Raises:
            MissingAsset: there is none.
            CorruptAsset: a file is missing, or is not what was written.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise MissingAsset(f"there is no corpus in {folder}", "make it with load_corpus(...)")
        try:
            meta = json.loads((folder / _META).read_text(encoding="utf-8"))
            arrays: Any = {name: _map(folder / f"{name}.npy", meta["sha256"][name]) for name in _ARRAYS}
            names = tuple((source, name) for source, name in meta["names"])
            return cls(**arrays, names=names, **meta["special_ids"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptAsset(
                f"the corpus in {folder} is damaged: {error}", "delete that folder; load_corpus(...) makes it again"
            ) from error


def load_corpus(
    tokenizer_folder: str | Path,
    sources: Sequence[str] = ("speeches", "wikipedia_leads", "news"),
    part: str = "train",
) -> PretrainingCorpus:
    """The corpus of a part ("train" or "held_out") in the cache, made on first use (about 15 s).

    The held-out part lacks the sentences that some training document has too (see `documents.without_shared`). It is
    stored by content: the sources' hashes, the tokenizer's, and the code that reads and cleans the texts.

    Raises:
        BadInput: an unknown part or source.
        CorruptAsset: the stored one is damaged.
        What assets.path and load_tokenizer raise.
    """
    files = [Path(tokenizer_folder) / name for name in ("tokenizer.json", "vocab.txt")]
    content = {
        "form": _FORM,
        "part": part,
        "sources": source_hashes(sources),
        "order": list(sources),
        "tokenizer": [sha256_of(file) for file in files if file.is_file()],
        "code": [sha256_of(file) for file in code_files()],
    }
    key = hashlib.sha256(as_json(content).encode()).hexdigest()[:16]
    folder = assets.cache_folder() / "corpora" / f"{part}-{key}"
    if not folder.exists():
        documents = documents_of_part(part, sources)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):  # a second process waits for the first one's corpus
            if not folder.exists():
                return PretrainingCorpus.build(documents, load_tokenizer(tokenizer_folder), folder)
    return PretrainingCorpus.open(folder)


def _tokenised(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of a corpus, and its other fields."""
    ids = {"cls_id": tokenizer.cls_token_id, "sep_id": tokenizer.sep_token_id, "pad_id": tokenizer.pad_token_id}
    if missing := [name for name, number in ids.items() if number is None]:
        raise BadInput(f"the tokenizer has no {', '.join(missing)}", "use a BERT tokenizer")
    if len(tokenizer) > 2**16:
        raise BadInput(f"the vocabulary holds {len(tokenizer)} tokens", "use one of at most 65,536: ids take 2 bytes")
    tokens = [np.zeros(0, np.uint16)]
    for encoded in _encoded([sentence for document in documents for sentence in document.sentences], tokenizer):
        tokens += [np.array(row, dtype=np.uint16) for row in encoded]
    per_sentence = np.array([len(row) for row in tokens[1:]], dtype=np.int64)
    full = per_sentence > 0
    owner = np.repeat(np.arange(len(documents)), [len(document.sentences) for document in documents])
    kept, sentences = np.unique(owner[full], return_counts=True)  # documents that have a token, and their sentences
    if not len(kept):
        raise BadInput(f"{len(documents)} documents give no token", "give documents with words in them")
    arrays: dict[str, NDArray[Any]] = {
        "tokens": np.concatenate(tokens),
        "sentence_starts": np.concatenate([[0], np.cumsum(per_sentence[full])]),
        "document_starts": np.concatenate([[0], np.cumsum(sentences)]),
        "document_characters": np.array([len(documents[i].text) for i in kept]),
    }
    names = [(documents[i].source, documents[i].name) for i in kept]
    return arrays, {"special_ids": {name: int(number) for name, number in ids.items()}, "names": names}


def _encoded(sentences: list[str], tokenizer: PreTrainedTokenizerBase) -> Iterator[list[list[int]]]:
    for start in range(0, len(sentences), _SENTENCES_AT_ONCE):
        encoded = tokenizer(
            sentences[start : start + _SENTENCES_AT_ONCE], add_special_tokens=False, truncation=False, padding=False,
            return_attention_mask=False, return_token_type_ids=False, verbose=False,
        )  # fmt: skip
        yield encoded["input_ids"]


def _map(file: Path, expected: str) -> NDArray[Any]:
    met = sha256_of(file)
    if met != expected:
        raise ValueError(f"{file.name} has the sha256 {met[:12]}..., {_META} says {expected[:12]}...")
    array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    return array
