"""BERT written by hand, in the order in which a learner builds it: attention, layers, model.

`config` is its shape, `weights` brings it to transformers and back, `packed` runs rows without padding, and `counts`
says what it costs. `vision` reads images, `tabular` the columns of a table. `cls_only` runs transformers' own
modules for a classifier.
"""

from course_lib.encoder.attention import attention_by_hand, attention_fast, causal_mask, padding_mask
from course_lib.encoder.cls_only import cls_state, supports_cls_only
from course_lib.encoder.config import EncoderConfig
from course_lib.encoder.counts import activation_bytes, forward_flops, parameter_count
from course_lib.encoder.layers import EncoderLayer
from course_lib.encoder.model import BertEncoder, start_as_bert
from course_lib.encoder.packed import Packing, block_mask, packing
from course_lib.encoder.tabular import FeatureTokenizer, FTTransformer
from course_lib.encoder.vision import VisionTransformer, patchify, unpatchify

__all__ = [
    "BertEncoder",
    "EncoderConfig",
    "EncoderLayer",
    "FTTransformer",
    "FeatureTokenizer",
    "Packing",
    "VisionTransformer",
    "activation_bytes",
    "attention_by_hand",
    "attention_fast",
    "block_mask",
    "causal_mask",
    "cls_state",
    "forward_flops",
    "packing",
    "padding_mask",
    "parameter_count",
    "patchify",
    "start_as_bert",
    "supports_cls_only",
    "unpatchify",
]
