"""BERT written by hand, in the order in which a learner builds it: attention, layers, model.

`config` is its shape, `weights` brings it to transformers and back, `packed` runs rows without padding, and `counts`
says what it costs. `walk` runs transformers' own modules for a classifier.
"""

from course_lib.encoder.attention import attention_by_hand, attention_fast, causal_mask, padding_mask
from course_lib.encoder.config import EncoderConfig
from course_lib.encoder.layers import EncoderLayer, sinusoidal_positions
from course_lib.encoder.model import BertEncoder, start_as_bert
from course_lib.encoder.walk import first_token, walks

__all__ = [
    "BertEncoder",
    "EncoderConfig",
    "EncoderLayer",
    "attention_by_hand",
    "attention_fast",
    "causal_mask",
    "first_token",
    "padding_mask",
    "sinusoidal_positions",
    "start_as_bert",
    "walks",
]
