"""Models that write: a decoder by hand, generation with a cache, and what one does with it.

`decoder` is the model, `pretrained` loads it, `sampling` and `generate` write with it.
"""

from course_lib.generation.decoder import Decoder, DecoderConfig, KVCache, kv_cache_bytes
from course_lib.generation.finetuning import DecoderClassifier, decoder_embeddings
from course_lib.generation.generate import Generation, generate, stream
from course_lib.generation.pretrained import CausalLM
from course_lib.generation.retrieval import BM25, Passage, Retriever, grounded_messages
from course_lib.generation.sampling import Sampling
from course_lib.generation.studies import DECODER_RUNS, PROMPT_RUNS, decoder_study, decoder_table, prompt_study

__all__ = [
    "BM25",
    "DECODER_RUNS",
    "PROMPT_RUNS",
    "CausalLM",
    "Decoder",
    "DecoderClassifier",
    "DecoderConfig",
    "Generation",
    "KVCache",
    "Passage",
    "Retriever",
    "Sampling",
    "decoder_embeddings",
    "decoder_study",
    "decoder_table",
    "generate",
    "grounded_messages",
    "kv_cache_bytes",
    "prompt_study",
    "stream",
]
