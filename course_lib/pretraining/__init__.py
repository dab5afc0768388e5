"""Learning language from plain text: masked words, next sentences, the next word.

From documents to a memory-mapped corpus (`documents`, `wordpiece`, `corpus`), to masked batches of its rows (`rows`,
`masking`, `batches`), to a model that is trained (`model`, `run`) and measured (`measures`, `flops`), to a language
model that is saved and used (`language_model`).
"""

from course_lib.pretraining.batches import PretrainingBatch, PretrainingBatches
from course_lib.pretraining.corpus import PretrainingCorpus, load_corpus
from course_lib.pretraining.documents import Document, documents, held_out_documents, train_documents
from course_lib.pretraining.flops import step_flops
from course_lib.pretraining.language_model import LanguageModel, save_language_model
from course_lib.pretraining.masking import MaskingRule, mask_tokens
from course_lib.pretraining.measures import (
    Measures,
    bits_per_character,
    loss_by_mask_type,
    measure,
    pseudo_perplexity,
    unigram_entropy,
)
from course_lib.pretraining.model import BertForPretraining, tied_cross_entropy
from course_lib.pretraining.recipes import RECIPES, PretrainingRecipe, pretraining_recipe
from course_lib.pretraining.rows import PairRows, StreamRows
from course_lib.pretraining.run import (
    Material,
    Pretrained,
    held_out_batches,
    material_of,
    new_model,
    objective,
    pretrain,
    pretraining_cost,
    step_seconds,
    tokens_in,
    training_batches,
)
from course_lib.pretraining.wordpiece import own_tokenizer, train_wordpiece

__all__ = [
    "RECIPES",
    "BertForPretraining",
    "Document",
    "LanguageModel",
    "MaskingRule",
    "Material",
    "Measures",
    "PairRows",
    "Pretrained",
    "PretrainingBatch",
    "PretrainingBatches",
    "PretrainingCorpus",
    "PretrainingRecipe",
    "StreamRows",
    "bits_per_character",
    "documents",
    "held_out_batches",
    "held_out_documents",
    "load_corpus",
    "loss_by_mask_type",
    "mask_tokens",
    "material_of",
    "measure",
    "new_model",
    "objective",
    "own_tokenizer",
    "pretrain",
    "pretraining_cost",
    "pretraining_recipe",
    "pseudo_perplexity",
    "save_language_model",
    "step_flops",
    "step_seconds",
    "tied_cross_entropy",
    "tokens_in",
    "train_documents",
    "train_wordpiece",
    "training_batches",
    "unigram_entropy",
]
