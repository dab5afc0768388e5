"""A vocabulary of our own: WordPiece, learned from text (Schuster & Nakajima 2012; as Devlin et al. 2019 use it).

It begins with single characters and again and again joins the two neighbouring pieces that occur together most often,
until the vocabulary is full. Frequent words end up whole, rare ones in pieces: "pre ##train ##ing".
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from course_lib import assets
from course_lib.assets.manifest import sha256_of
from course_lib.batching import check_texts
from course_lib.checkpoints import as_json, atomic_folder
from course_lib.errors import BadInput
from course_lib.pretraining.documents import code_files, documents_of_part, source_hashes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4
PREFIX = "##"
# A rarer character becomes [UNK]: else hundreds of letters of other scripts would each take two places.
RARE_CHARACTER = 1e-6


def train_wordpiece(
    texts: Sequence[str], vocab_size: int = 8192, lowercase: bool = True, min_frequency: int = 2
) -> PreTrainedTokenizerBase:
    """A BERT tokenizer whose vocabulary is learned from these texts; `save_pretrained` writes it.

    The same texts, in whatever order, give the same vocabulary to the byte. 18 MB of text take about 15 s.

    Args:
        texts: to learn from.
        vocab_size: tokens at most, the five special ones among them; fewer where the texts are too short for so many.
        lowercase: also takes accents away, as BERT's uncased tokenizer does.
        min_frequency: a pair that occurs less often is not joined.

    Raises:
        BadInput: not a list of texts, no word in them, or a vocabulary smaller than their alphabet or over 65,536.
    """
    if min_frequency < 1:
        raise BadInput(f"min_frequency is {min_frequency}", "use 1 or more")
    words = count_words(texts, lowercase)
    alphabet = _alphabet(words, min_frequency)
    needed = len(SPECIAL_TOKENS) + len(alphabet)
    if not alphabet or not needed <= vocab_size <= 2**16:
        raise BadInput(
            f"vocab_size is {vocab_size}; the texts have {len(words)} words of {len(alphabet)} first and later letters",
            f"use {needed} to 65,536, and texts with words" if alphabet else "give texts with words",
        )
    from transformers import BertTokenizer

    vocabulary = {word: number for number, word in enumerate(_learn(words, alphabet, vocab_size, min_frequency))}
    tokenizer: PreTrainedTokenizerBase = BertTokenizer(vocab=vocabulary, do_lower_case=lowercase)
    return tokenizer


def count_words(texts: Sequence[str], lowercase: bool = True) -> Counter[str]:
    """How often each word or punctuation mark occurs, as BERT's tokenizer sees them before it cuts them into pieces."""
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normalizer, splitter = BertNormalizer(lowercase=lowercase), BertPreTokenizer()
    chunks = Counter(chunk for text in check_texts(texts) for chunk in text.split())  # each is cut up once
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(chunk)):
            words[word] += count
    return words


def compression(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> dict[str, float]:
    """How well a tokenizer fits texts, without special tokens.

    Returns:
        `tokens_per_word` (words as split at white space; 1 would be every word whole), `characters_per_token` (blanks
        included), `unknown` (fraction of the tokens that are [UNK]), `whole_words` (fraction of the words and
        punctuation marks that are a single known token).

    Raises:
        BadInput: there is no word.
    """
    texts = check_texts(texts)
    encoded = tokenizer(texts, add_special_tokens=False, truncation=False, padding=False, verbose=False)
    known = [i != tokenizer.unk_token_id for row in encoded["input_ids"] for i in row]
    words = sum(len(text.split()) for text in texts)
    if not known or not words:
        raise BadInput("the texts have no word", "give texts with words")
    numbers = [(row, word) for row in range(len(texts)) for word in encoded.word_ids(row)]  # of each token
    pieces = Counter(numbers)
    whole = sum(fits and pieces[number] == 1 for fits, number in zip(known, numbers, strict=True))
    return {
        "tokens_per_word": len(known) / words,
        "characters_per_token": sum(map(len, texts)) / len(known),
        "unknown": known.count(False) / len(known),
        "whole_words": whole / len(pieces),
    }


def own_tokenizer(vocab_size: int = 8192, sources: Sequence[str] = ("speeches", "wikipedia_leads", "news")) -> Path:
    """The folder of the course's own tokenizer, learned from the training documents of these sources (not from the
    held-out ones). Made on first use, then kept in the cache by content.

    Raises:
        BadInput: an unknown source, or a vocabulary that is too small.
        CourseError: the cache cannot be written.
    """
    content = {
        "sources": dict(sorted(source_hashes(sources).items())),
        "code": [sha256_of(file) for file in (Path(__file__), *code_files())],
    }
    key = hashlib.sha256(as_json(content).encode()).hexdigest()[:16]
    folder = assets.cache_folder() / "tokenizers" / f"wordpiece-{vocab_size}-{key}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):  # a second process waits for the first one's tokenizer
            if not folder.exists():
                documents = documents_of_part("train", sources)
                sentences = [sentence for document in documents for sentence in document.sentences]
                save_tokenizer(train_wordpiece(sentences, vocab_size), folder)
    return folder


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and vocab.txt, all of them or none.

    Raises:
        CourseError: the folder cannot be written.
    """
    with atomic_folder(Path(folder)) as part:
        tokenizer.save_pretrained(str(part))
        words = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        (part / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8", newline="\n")


def _alphabet(words: Counter[str], min_frequency: int) -> list[str]:
    """All one-character pieces, in a fixed order: those that begin words, then those that continue one ("##e")."""
    first: Counter[str] = Counter()
    later: Counter[str] = Counter()
    for word, count in words.items():
        first[word[0]] += count
        for character in word[1:]:
            later[character] += count
    every = first + later
    least = max(min_frequency, RARE_CHARACTER * every.total())
    kept = {character for character, count in every.items() if count >= least}
    return sorted(kept) + sorted(PREFIX + character for character in kept & later.keys())


def _learn(words: Counter[str], alphabet: list[str], vocab_size: int, min_frequency: int) -> list[str]:
    """The vocabulary, in the order of its ids.

    The trainer numbers pieces in the order of a hash table, which differs from run to run, and breaks ties between
    pairs by these numbers. Naming the alphabet beforehand, as if it were special tokens, fixes them. Words with another
    character must not reach the trainer: it would leave the character out and join its neighbours.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.trainers import WordPieceTrainer

    known = set(alphabet)
    trainer = WordPieceTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=[*SPECIAL_TOKENS, *alphabet],
        continuing_subword_prefix=PREFIX, show_progress=False,
    )  # fmt: skip
    learner = Tokenizer(WordPiece(unk_token="[UNK]"))
    learner.pre_tokenizer = WhitespaceSplit()
    learner.train_from_iterator(_repeated((w, n) for w, n in sorted(words.items()) if known.issuperset(w)), trainer)
    ids = learner.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def _repeated(words: Iterable[tuple[str, int]], at_once: int = 10_000) -> Iterator[str]:
    """Texts that hold each word as often as it was counted."""
    for word, count in words:
        for start in range(0, count, at_once):
            yield f"{word} " * min(at_once, count - start)
