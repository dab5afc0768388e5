"""Learning language from plain text: masked words, next sentences, the next word.

From documents to a memory-mapped corpus (`documents`, `wordpiece`, `corpus`), to questions about it (`masking`,
`pairs`, `stream`, `batches`), to a model that answers them (`model`, `loss`, `run`), to figures (`measures`,
`expense`), to a model that is saved and asked (`language_model`).
"""

from course_lib.pretraining.batches import PretrainingBatch, PretrainingBatches
from course_lib.pretraining.corpus import PretrainingCorpus, prepared
from course_lib.pretraining.documents import Document, documents, held_out_documents, sentences_of, train_documents
from course_lib.pretraining.expense import pretraining_cost, step_flops
from course_lib.pretraining.language_model import LanguageModel, save_language_model
from course_lib.pretraining.loss import tied_cross_entropy
from course_lib.pretraining.masking import MaskingRule, mask_tokens
from course_lib.pretraining.measures import Measures, bits_per_character, loss_by_fate, measure, unigram_entropy
from course_lib.pretraining.model import BertForPretraining
from course_lib.pretraining.pairs import PairRows
from course_lib.pretraining.pseudo_perplexity import pseudo_perplexity
from course_lib.pretraining.recipes import RECIPES, PretrainingRecipe, pretraining_recipe
from course_lib.pretraining.run import (
    Material,
    Pretrained,
    held_out_batches,
    material_of,
    new_model,
    objective,
    pretrain,
    step_seconds,
    tokens_in,
    training_batches,
)
from course_lib.pretraining.stream import SentenceRows, StreamRows
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
    "SentenceRows",
    "StreamRows",
    "bits_per_character",
    "documents",
    "held_out_batches",
    "held_out_documents",
    "loss_by_fate",
    "mask_tokens",
    "material_of",
    "measure",
    "new_model",
    "objective",
    "own_tokenizer",
    "prepared",
    "pretrain",
    "pretraining_cost",
    "pretraining_recipe",
    "pseudo_perplexity",
    "save_language_model",
    "sentences_of",
    "step_flops",
    "step_seconds",
    "tied_cross_entropy",
    "tokens_in",
    "train_documents",
    "train_wordpiece",
    "training_batches",
    "unigram_entropy",
]
