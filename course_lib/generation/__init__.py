"""Models that write: a decoder by hand, generation with a cache, and what one does with it.

`decoder` is the model, `pretrained` loads it, `sampling` and `decoding` write with it.
"""

from course_lib.generation.decoder import Decoder, DecoderConfig, KVCache, kv_cache_bytes, rotate
from course_lib.generation.decoding import Generation, generate, stream
from course_lib.generation.finetuning import DecoderClassifier, decoder_embeddings
from course_lib.generation.injection import INJECTIONS, Injection, InjectionFilter, inject, sandwich
from course_lib.generation.pretrained import CausalLM
from course_lib.generation.retrieval import BM25, Passage, Retriever, grounded_messages
from course_lib.generation.sampling import Sampling

__all__ = [
    "BM25",
    "INJECTIONS",
    "CausalLM",
    "Decoder",
    "DecoderClassifier",
    "DecoderConfig",
    "Generation",
    "Injection",
    "InjectionFilter",
    "KVCache",
    "Passage",
    "Retriever",
    "Sampling",
    "decoder_embeddings",
    "generate",
    "grounded_messages",
    "inject",
    "kv_cache_bytes",
    "rotate",
    "sandwich",
    "stream",
]
