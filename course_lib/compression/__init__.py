"""Smaller and faster models at nearly the same accuracy, each technique by hand and with its error.

`uniform`, `activations`, `error_correction` round numbers to few bits, `rounding` whole classifiers. `pruning` sets
weights to zero; `structure` takes layers, neurons and words away; `importance` says which. `lowrank` splits matrices.
`distillation` lets a small model learn from a large one, `layerwise` also how its layers work; `students` are no
transformers, and in `early_exit` easy texts leave early. `graph`, `export` and `onnx_classifier` bring the result to
ONNX Runtime; `measure` says what it is worth, and `recipes` does all of it in one call; `studies` keeps what that made.
"""

from course_lib.compression.distillation import Lesson, distil, distillation_loss, lesson, unlabelled_texts
from course_lib.compression.early_exit import EarlyExit, early_exit, exit_table
from course_lib.compression.error_correction import gptq
from course_lib.compression.export import Export, export
from course_lib.compression.footprint import footprint
from course_lib.compression.graph import Bits
from course_lib.compression.importance import importance, layer_damage, mask_heads
from course_lib.compression.layerwise import distil_layers
from course_lib.compression.lowrank import factorized_embeddings, low_rank, low_rank_classifier, rank_for
from course_lib.compression.measure import Quality, Speed, damage, products_a_token, quality, speed
from course_lib.compression.onnx_classifier import OnnxClassifier
from course_lib.compression.pruning import magnitude_mask, movement_scores, n_of_m_mask, sparse, sparsity_of
from course_lib.compression.recipes import (
    LADDER,
    PLANS,
    Compressed,
    Plan,
    compress,
    compress_cost,
    fitting,
    model_bytes,
    search,
    shrunk,
)
from course_lib.compression.rounding import (
    integer_products,
    matrix_errors,
    quantization_aware,
    rounded,
    rounding_errors,
)
from course_lib.compression.structure import keep_layers, keep_words, matrices, narrow, piece_counts, share_words
from course_lib.compression.students import SmallStudent, teach
from course_lib.compression.uniform import Grid, error, fake_quantize, grid_of, pack_int4, unpack_int4

__all__ = [
    "LADDER",
    "PLANS",
    "Bits",
    "Compressed",
    "EarlyExit",
    "Export",
    "Grid",
    "Lesson",
    "OnnxClassifier",
    "Plan",
    "Quality",
    "SmallStudent",
    "Speed",
    "compress",
    "compress_cost",
    "damage",
    "distil",
    "distil_layers",
    "distillation_loss",
    "early_exit",
    "error",
    "exit_table",
    "export",
    "factorized_embeddings",
    "fake_quantize",
    "fitting",
    "footprint",
    "gptq",
    "grid_of",
    "importance",
    "integer_products",
    "keep_layers",
    "keep_words",
    "layer_damage",
    "lesson",
    "low_rank",
    "low_rank_classifier",
    "magnitude_mask",
    "mask_heads",
    "matrices",
    "matrix_errors",
    "model_bytes",
    "movement_scores",
    "n_of_m_mask",
    "narrow",
    "pack_int4",
    "piece_counts",
    "products_a_token",
    "quality",
    "quantization_aware",
    "rank_for",
    "rounded",
    "rounding_errors",
    "search",
    "share_words",
    "shrunk",
    "sparse",
    "sparsity_of",
    "speed",
    "teach",
    "unlabelled_texts",
    "unpack_int4",
]
