"""Smaller and faster models at nearly the same accuracy, each technique by hand and with its error.

`quantization` and `gptq` round tensors to few bits, `post_training` the weights and activations of classifiers.
`pruning` removes weights, neurons, heads and layers, and `importance` ranks them; `vocabulary` shrinks the embedding
table, and `low_rank` splits matrices. `distillation` trains a small model on a large one's outputs; `students` are not
transformers, and in `early_exit` easy texts leave early. `onnx_graph`, `onnx_export` and `onnx_classifier` bring the
result to ONNX Runtime; `measure` compares it with its parent, and `recipes` does all of it in one call; `studies` keeps
the results. `linear_layers` finds the matrices of an encoder for all of them.
"""

from course_lib.compression.distillation import (
    distill,
    distill_layers,
    distillation_loss,
    teacher_outputs,
    unlabelled_texts,
)
from course_lib.compression.early_exit import exit_table, fit_early_exit
from course_lib.compression.gptq import gptq_quantize
from course_lib.compression.importance import compute_importance, layer_importance
from course_lib.compression.linear_layers import linear_layers
from course_lib.compression.low_rank import factorize_layers, low_rank_factors, rank_within
from course_lib.compression.measure import Speed, accuracy_by_slice, macs_per_token, quality, resident_memory, speed
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
    mask_heads,
    movement_scores,
    n_of_m_mask,
    prune_ffn,
    prune_weights,
    sparsity_of,
)
from course_lib.compression.quantization import (
    QuantParams,
    fake_quantize,
    fit_qparams,
    pack_int4,
    quantization_error,
    unpack_int4,
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
from course_lib.compression.students import train_student
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
    "compress",
    "compress_cost",
    "compute_importance",
    "distill",
    "distill_layers",
    "distillation_loss",
    "drop_layers",
    "exit_table",
    "export_onnx",
    "factorize_layers",
    "fake_quantize",
    "fit_early_exit",
    "fit_qparams",
    "gptq_quantize",
    "int8_matmul",
    "layer_importance",
    "linear_layers",
    "low_rank_factors",
    "macs_per_token",
    "magnitude_mask",
    "mask_heads",
    "model_bytes",
    "movement_scores",
    "n_of_m_mask",
    "pack_int4",
    "plans_within",
    "prune_ffn",
    "prune_weights",
    "quality",
    "quantization_error",
    "quantization_sensitivity",
    "quantize_dynamic",
    "quantize_static",
    "quantize_weights",
    "rank_within",
    "resident_memory",
    "search_plans",
    "shrink",
    "sparsity_of",
    "speed",
    "teacher_outputs",
    "token_counts",
    "train_student",
    "trim_vocabulary",
    "unlabelled_texts",
    "unpack_int4",
]
