"""Tiny random sequence classifiers of many families, each with a tokenizer of its family's kind, built without network.

`folder_of(family, place)` writes a transformers folder; `FAMILIES` are those that the course runs, `REFUSED` are not.
Their outputs are large and differ between texts, so that a wrong token, mask or position shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

CORPUS = [
    "a good film and a great story", "an awful film, dull and poor", "the film is not as good as it could have been",
    "I like this movie very much", "one of the worst things that I saw", "lovely, fine and funny all along",
]  # fmt: skip
TEXTS = ["a good film", "", "an awful story , not funny at all and much too long", "I like it", "é 好", "good " * 40]
NAMES = {0: "sad", 1: "glad", 2: "neither"}
_WIDE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
_TOKENS = 24  # positions of the table


@dataclass(frozen=True)
class Family:
    """A model and its tokenizer.

    Attributes:
        model_type: of transformers.
        tokenizer: makes one.
        config: sizes, by the names of the family.
    """

    model_type: str
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    config: dict[str, Any]


def _wrapped(inner: Tokenizer, template: str | None, **special: str) -> PreTrainedTokenizerFast:
    if template:
        named = sorted(set(special.values()))
        inner.post_processor = processors.TemplateProcessing(
            single=template, pair=f"{template} $B:0", special_tokens=[(one, inner.token_to_id(one)) for one in named]
        )
    inputs = ["input_ids", "token_type_ids", "attention_mask"] if ":2" in (template or "") else None
    more = {"model_input_names": inputs} if inputs else {"model_input_names": ["input_ids", "attention_mask"]}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special, **more)


@cache
def word_piece() -> PreTrainedTokenizerFast:
    """BERT's kind."""
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
               "mask_token": "[MASK]"}  # fmt: skip
    inner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=list(special.values())))
    inner.decoder = decoders.WordPiece()
    return _wrapped(inner, "[CLS] $A [SEP]", **special)


@cache
def byte_level(template: str | None = "<s> $A </s>") -> PreTrainedTokenizerFast:
    """RoBERTa's kind; without a template GPT-2's, which adds no special token and has no padding."""
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    if template:
        special |= {"pad_token": "<pad>", "mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>"}
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    inner.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=340, special_tokens=names, initial_alphabet=alphabet)
    )
    inner.decoder = decoders.ByteLevel()
    return _wrapped(inner, template, **special)


@cache
def sentence_piece(template: str = "<s> $A </s>") -> PreTrainedTokenizerFast:
    """XLM-RoBERTa's, CamemBERT's, ALBERT's, DeBERTa's and T5's kind: unigram pieces with a mark for a blank."""
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
               "mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>"}  # fmt: skip
    inner = Tokenizer(models.Unigram())
    inner.normalizer = normalizers.NFKC()
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    inner.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=110, special_tokens=names, unk_token="<unk>"))
    inner.decoder = decoders.Metaspace()
    return _wrapped(inner, template, **special)


def _xlnet() -> PreTrainedTokenizerFast:
    """Special tokens at the end, of a segment of their own, and padding on the left."""
    tokenizer = sentence_piece("$A:0 </s>:0 <s>:2")
    tokenizer.padding_side = "left"
    return tokenizer


_ROBERTA = {**_WIDE, "max_position_embeddings": _TOKENS + 2, "type_vocab_size": 1}
_BERT = {**_WIDE, "max_position_embeddings": _TOKENS}
FAMILIES: dict[str, Family] = {
    "bert": Family("bert", word_piece, _BERT),
    "roberta": Family("roberta", byte_level, _ROBERTA),
    "camembert": Family("camembert", sentence_piece, _ROBERTA),
    "xlm-roberta": Family("xlm-roberta", sentence_piece, _ROBERTA),
    "distilbert": Family(
        "distilbert", word_piece,
        {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": _TOKENS},
    ),
    "electra": Family("electra", word_piece, {**_BERT, "embedding_size": 16}),
    "albert": Family("albert", sentence_piece, {**_BERT, "embedding_size": 16}),
    "deberta-v2": Family(
        "deberta-v2", sentence_piece,
        {**_BERT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
    ),
    "mpnet": Family("mpnet", byte_level, {**_WIDE, "max_position_embeddings": _TOKENS + 2}),
    "modernbert": Family(
        "modernbert", byte_level,
        {**_BERT, "global_attn_every_n_layers": 2, "local_attention": 8, "cls_token_id": 0, "sep_token_id": 2},
    ),
    "longformer": Family("longformer", byte_level, {**_ROBERTA, "attention_window": [4, 4]}),
    "xlnet": Family("xlnet", _xlnet, {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48}),
    "gpt2": Family("gpt2", lambda: byte_level(None), {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": _TOKENS}),
    "llama": Family("llama", byte_level, {**_BERT, "num_key_value_heads": 1}),
    "squeezebert": Family("squeezebert", word_piece, {**_BERT, "embedding_size": 32}),
}  # fmt: skip
REFUSED: dict[str, tuple[Family, str]] = {
    "funnel": (
        Family(
            "funnel",
            lambda: sentence_piece("<s>:2 $A:0 </s>:0"),
            {"d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 48, "block_sizes": [1, 1]},
        ),
        "a funnel fails on texts such as",  # transformers' own: two tokens are too few for its pooling
    ),
    "t5": (
        Family("t5", lambda: sentence_piece("$A </s>"), {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_ff": 48}),
        "encoder-decoder",
    ),
    "multi-label": (
        Family("bert", word_piece, {**_BERT, "problem_type": "multi_label_classification"}),
        "problem_type is 'multi_label_classification'",
    ),
}  # fmt: skip


def folder_of(family: Family, place: Path) -> Path:
    """Writes the model with random weights and its tokenizer as transformers does."""
    tokenizer = family.tokenizer()
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = AutoConfig.for_model(
        family.model_type, vocab_size=len(tokenizer), id2label=NAMES, label2id={v: k for k, v in NAMES.items()},
        **ids, **family.config,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        for parameter in model.parameters():  # large, so that every part of the input moves the outputs
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@torch.inference_mode()
def one_at_a_time(folder: Path, texts: list[str], max_length: int) -> torch.Tensor:
    """Logits (n, classes) as transformers computes them, one text after another."""
    from transformers import AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt") for text in texts]
    return torch.cat([model(**row).logits for row in rows])
