"""The pretraining corpus on the disk: every document's token ids one after another, mapped into memory, never loaded.

Made once per tokenizer, sources and part; 2 bytes per token. The folder gets its name only when all of it is on the
disk, and each file's sha256 is compared when it is opened, so no half or changed corpus is ever trained on.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from jaxtyping import Int64, UInt16
from numpy.typing import NDArray

from course_lib import assets
from course_lib.batching import load_tokenizer
from course_lib.checkpoints import as_json, flush_file, replace_folder, sha256_of
from course_lib.errors import BadInput, CorruptAsset, CourseError, MissingAsset
from course_lib.pretraining.documents import ASSET_OF, PARTS, Document, check_sources, code_files, part_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FORM = 1  # of what this module writes: another number makes every stored corpus anew
_META = "corpus.json"
_ARRAYS = {"tokens": "<u2", "sentence_starts": "<i8", "document_starts": "<i8", "document_characters": "<i8"}
_AT_ONCE = 20_000  # sentences per call of the tokenizer: bounds memory


@dataclass(frozen=True)
class PretrainingCorpus:
    """Tokenised documents, without special tokens. An opened one lies on the disk (np.memmap, read-only).

    Attributes:
        tokens: all ids, document after document.
        sentence_starts: where each sentence begins in `tokens`; the last entry is the number of tokens.
        document_starts: where each document begins in `sentence_starts`; the last entry is the number of sentences.
        document_characters: length of each document's text before lower-casing, its sentences with one blank between.
        names: (source, name) of each document. Two pieces of one document bear the same name.
        vocab_size, cls_id, sep_id, pad_id: of the tokenizer.
    """

    tokens: UInt16[NDArray[np.uint16], "tokens"]
    sentence_starts: Int64[NDArray[np.int64], "sentences+1"]
    document_starts: Int64[NDArray[np.int64], "documents+1"]
    document_characters: Int64[NDArray[np.int64], "documents"]
    names: tuple[tuple[str, str], ...]
    vocab_size: int
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

    def counts(self) -> dict[str, dict[str, int]]:
        """Source -> documents (pieces of one count once), sentences, tokens and characters."""
        sources = np.array([source for source, _ in self.names])
        sentences, tokens = np.diff(self.document_starts), np.diff(self.document_offsets)
        return {
            str(source): {
                "documents": len({name for name in self.names if name[0] == source}),
                "sentences": int(sentences[sources == source].sum()),
                "tokens": int(tokens[sources == source].sum()),
                "characters": int(self.document_characters[sources == source].sum()),
            }
            for source in dict.fromkeys(sources)
        }

    @classmethod
    def build(
        cls, documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase, folder: str | Path
    ) -> PretrainingCorpus:
        """Tokenises the documents into `folder` (which is replaced when all is written) and opens it.

        Sentences without a token are left out. One core does about 1 M tokens per second.

        Raises:
            BadInput: no token at all; a vocabulary over 65,536; a tokenizer without [CLS], [SEP] or [PAD].
            CourseError: the folder cannot be written.
        """
        arrays, meta = _tokenised(documents, tokenizer)
        folder = Path(folder)
        part = folder.with_name(f".part-{folder.name}-{os.getpid()}")
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            _write(part, arrays, meta)
            replace_folder(part, folder)
        except OSError as error:
            raise CourseError(
                f"{folder} cannot be written: {error}", "make room, or set COURSE_CACHE to a folder you may write to"
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
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
            raise MissingAsset(f"there is no corpus in {folder}", "make it with prepared(...)")
        try:
            meta = json.loads((folder / _META).read_text(encoding="utf-8"))
            arrays: Any = {name: _map(folder / f"{name}.npy", meta["sha256"][name]) for name in _ARRAYS}
            names = tuple((source, name) for source, name in meta["names"])
            return cls(**arrays, names=names, **meta["vocabulary"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptAsset(
                f"the corpus in {folder} is damaged: {error}", "delete that folder; prepared(...) makes it again"
            ) from error


def prepared(
    tokenizer_folder: str | Path,
    sources: Sequence[str] = ("speeches", "wikipedia_leads", "news"),
    part: str = "train",
) -> PretrainingCorpus:
    """The corpus of a part ("train" or "held_out") in the cache, made at its first use (about 15 s).

    The held-out part lacks the sentences that some training document has too (see `documents.without_shared`).
    It is stored by content: the sources' hashes, the tokenizer's, and the code that reads and cleans the texts.

    Raises:
        BadInput: an unknown part or source.
        CorruptAsset: the stored one is damaged.
        What assets.path and load_tokenizer raise.
    """
    if part not in PARTS:
        raise BadInput(f"part is {part!r}", f"use one of: {', '.join(PARTS)}")
    check_sources(sources)
    folder = assets.cache_folder() / "corpora" / f"{part}-{_key(Path(tokenizer_folder), sources, part)}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):  # a second process waits for the first one's corpus
            if not folder.exists():
                _sweep(folder)
                tokenizer = load_tokenizer(tokenizer_folder)
                return PretrainingCorpus.build(part_of(part, sources), tokenizer, folder)
    return PretrainingCorpus.open(folder)


def _key(tokenizer_folder: Path, sources: Sequence[str], part: str) -> str:
    """A short hash of all that decides the corpus."""
    files = [tokenizer_folder / name for name in ("tokenizer.json", "vocab.txt")]
    parts = {
        "form": _FORM,
        "part": part,
        "sources": {source: assets.read_manifest()[ASSET_OF[source]].sha256 for source in sources},
        "order": list(sources),
        "tokenizer": [sha256_of(file) for file in files if file.is_file()],
        "code": [sha256_of(file) for file in code_files()],
    }
    return hashlib.sha256(as_json(parts).encode()).hexdigest()[:16]


def _sweep(folder: Path) -> None:
    """Removes what killed builds of this corpus left; the lock says that none is at work."""
    for left in folder.parent.glob(f".part-{folder.name}-*"):
        shutil.rmtree(left, ignore_errors=True)


def _tokenised(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    vocabulary = _vocabulary(tokenizer)
    lengths = np.array([len(document.sentences) for document in documents], dtype=np.int64)
    counts, tokens = [np.zeros(0, np.int64)], [np.zeros(0, np.uint16)]
    for ids in _encoded([sentence for document in documents for sentence in document.sentences], tokenizer):
        counts.append(np.fromiter(map(len, ids), np.int64, len(ids)))
        tokens += [np.array(row, dtype=np.uint16) for row in ids]
    per_sentence = np.concatenate(counts)
    full, owner = per_sentence > 0, np.repeat(np.arange(len(documents)), lengths)
    kept, sentences = np.unique(owner[full], return_counts=True)  # documents that have a token, and their sentences
    if not len(kept):
        raise BadInput(f"{len(documents)} documents give no token", "give documents with words in them")
    arrays: dict[str, NDArray[Any]] = {
        "tokens": np.concatenate(tokens),
        "sentence_starts": _starts(per_sentence[full]),
        "document_starts": _starts(sentences),
        "document_characters": np.array([len(documents[i].text) for i in kept]),
    }
    return arrays, {"vocabulary": vocabulary, "names": [(documents[i].source, documents[i].name) for i in kept]}


def _encoded(sentences: list[str], tokenizer: PreTrainedTokenizerBase) -> Iterator[list[list[int]]]:
    for start in range(0, len(sentences), _AT_ONCE):
        encoded = tokenizer(
            sentences[start : start + _AT_ONCE], add_special_tokens=False, truncation=False, padding=False,
            return_attention_mask=False, return_token_type_ids=False, verbose=False,
        )  # fmt: skip
        yield encoded["input_ids"]


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    ids = {"cls_id": tokenizer.cls_token_id, "sep_id": tokenizer.sep_token_id, "pad_id": tokenizer.pad_token_id}
    missing = [name for name, number in ids.items() if number is None]
    if missing:
        raise BadInput(f"the tokenizer has no {', '.join(missing)}", "use a BERT tokenizer")
    if len(tokenizer) > 2**16:
        raise BadInput(f"the vocabulary holds {len(tokenizer)} tokens", "use one of at most 65,536: ids take 2 bytes")
    return {"vocab_size": len(tokenizer), **{name: int(number) for name, number in ids.items()}}


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _write(folder: Path, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
    for name, kind in _ARRAYS.items():
        np.save(folder / f"{name}.npy", arrays[name].astype(kind), allow_pickle=False)
    hashes = {name: sha256_of(folder / f"{name}.npy") for name in _ARRAYS}
    (folder / _META).write_text(json.dumps({"form": _FORM, "sha256": hashes, **meta}), encoding="utf-8")
    for file in folder.iterdir():
        flush_file(file)


def _map(file: Path, expected: str) -> NDArray[Any]:
    met = sha256_of(file)
    if met != expected:
        raise ValueError(f"{file.name} has the sha256 {met[:12]}..., {_META} says {expected[:12]}...")
    array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    return array
