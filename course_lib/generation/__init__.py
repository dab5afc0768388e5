"""Models that write: a decoder by hand, generation with a cache, and what one does with it.

`decoder` is the model, `pretrained` loads it, `sampling` and `decoding` write with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from course_lib.generation.decoder import Decoder, DecoderConfig, KVCache, kv_cache_bytes, rotate
from course_lib.generation.decoding import Generation, generate, stream
from course_lib.generation.pretrained import CausalLM
from course_lib.generation.sampling import Sampling

if TYPE_CHECKING:
    from course_lib.generation.finetuning import DecoderClassifier, decoder_embeddings
    from course_lib.generation.injection import INJECTIONS, Injection, InjectionFilter, inject, sandwich
    from course_lib.generation.retrieval import BM25, Passage, Retriever, grounded_messages

_LAZY = {
    "finetuning": ("DecoderClassifier", "decoder_embeddings"),
    "injection": ("INJECTIONS", "Injection", "InjectionFilter", "inject", "sandwich"),
    "retrieval": ("BM25", "Passage", "Retriever", "grounded_messages"),
}
_HOMES = {name: module for module, names in _LAZY.items() for name in names}  # imported when they are first used

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"course_lib.generation has no attribute {name!r}")
    return getattr(import_module(f"course_lib.generation.{_HOMES[name]}"), name)
