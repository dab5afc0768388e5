"""Smaller and faster models at nearly the same accuracy, each technique by hand and with its error.

`quantization` and `gptq` round tensors to few bits, `post_training` the weights and activations of classifiers.
`pruning` removes weights, neurons and layers, and `importance` ranks the neurons; `vocabulary` shrinks the embedding
table, and `low_rank` splits matrices. `distillation` trains a small model on a large one's outputs. `onnx_graph`,
`onnx_export` and `onnx_classifier` bring the result to ONNX Runtime; `measure` compares it with its parent, and
`recipes` does all of it in one call; `studies` keeps the results. `linear_layers` finds the matrices of an encoder for
all of them.
"""

from course_lib.compression.distillation import (
    distill,
    distill_layers,
    distillation_loss,
    teacher_outputs,
    unlabelled_texts,
)
from course_lib.compression.gptq import gptq_quantize
from course_lib.compression.importance import neuron_importance
from course_lib.compression.linear_layers import linear_layers
from course_lib.compression.low_rank import factorize_layers, low_rank_factors
from course_lib.compression.measure import (
    Speed,
    accuracy_by_slice,
    compare_with_parent,
    macs_per_token,
    quality,
    resident_memory,
    speed,
)
from course_lib.compression.onnx_classifier import OnnxClassifier
from course_lib.compression.onnx_export import export_onnx
from course_lib.compression.onnx_graph import Bits
from course_lib.compression.post_training import (
    int8_matmul,
    quantization_sensitivity,
    quantize_dynamic,
    quantize_static,
    quantize_weights,
)
from course_lib.compression.pruning import (
    drop_layers,
    magnitude_mask,
    prune_ffn,
    prune_weights,
)
from course_lib.compression.quantization import (
    QuantParams,
    fake_quantize,
    fit_qparams,
    quantization_error,
)
from course_lib.compression.recipes import (
    PLANS,
    CompressionResult,
    Plan,
    compress,
    compress_cost,
    model_bytes,
    plans_within,
    search_plans,
    shrink,
)
from course_lib.compression.vocabulary import cluster_embeddings, token_counts, trim_vocabulary

__all__ = [
    "PLANS",
    "Bits",
    "CompressionResult",
    "OnnxClassifier",
    "Plan",
    "QuantParams",
    "Speed",
    "accuracy_by_slice",
    "cluster_embeddings",
    "compare_with_parent",
    "compress",
    "compress_cost",
    "distill",
    "distill_layers",
    "distillation_loss",
    "drop_layers",
    "export_onnx",
    "factorize_layers",
    "fake_quantize",
    "fit_qparams",
    "gptq_quantize",
    "int8_matmul",
    "linear_layers",
    "low_rank_factors",
    "macs_per_token",
    "magnitude_mask",
    "model_bytes",
    "neuron_importance",
    "plans_within",
    "prune_ffn",
    "prune_weights",
    "quality",
    "quantization_error",
    "quantization_sensitivity",
    "quantize_dynamic",
    "quantize_static",
    "quantize_weights",
    "resident_memory",
    "search_plans",
    "shrink",
    "speed",
    "teacher_outputs",
    "token_counts",
    "trim_vocabulary",
    "unlabelled_texts",
]
