"""Why a classifier predicts what it predicts: scores of words from many methods, each with its own error.

`explain` is the one function; `METHODS` lists its methods. `masked_model` splits a text into words and queries the
model for some of them. `perturbation` and `shapley` only query; `gradients` and `attention` need the module;
`reference_explainers` are the `lime` and `shap` packages on the same batches. `faithfulness`, `robustness` and
`shortcut` measure which of them to believe; `studies` does so over many sentences, as experiments; `planted` makes a
model with a hidden shortcut. `summary`, `contrastive` and `counterfactuals` answer other questions: over a whole
data set, why not that class, which words would have to go. `tabular` explains models of tables.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from course_lib.explain.attention import rolled_out
from course_lib.explain.attribution import Attribution, Word
from course_lib.explain.contrastive import contrast
from course_lib.explain.counterfactuals import MinimalDeletion, minimal_deletions
from course_lib.explain.faithfulness import (
    Curve,
    agreement,
    aopc_bounds,
    comprehensiveness,
    curves,
    normalized_aopc,
    random_baseline,
    rank_correlation,
    sufficiency,
    word_ranks,
)
from course_lib.explain.masked_model import MaskableText, MaskedModel
from course_lib.explain.methods import METHODS, Method, explain
from course_lib.explain.perturbation import LocalModel, fit_local_model, kernel
from course_lib.explain.shapley import shapley_values
from course_lib.explain.summary import important_words
from course_lib.explain.tabular import explain_rows

if TYPE_CHECKING:
    from course_lib.explain.planted import PlantedModel, planted_model
    from course_lib.explain.robustness import (
        Stability,
        paraphrase_stability,
        randomize_weights,
        sanity_check,
        seed_stability,
    )
    from course_lib.explain.studies import (
        curves_of,
        example_of,
        explanations_of,
        faithfulness_study,
        sanity_study,
        shortcut_study,
        stability_study,
    )

_LAZY = {
    "planted": ("PlantedModel", "planted_model"),
    "robustness": ("Stability", "paraphrase_stability", "randomize_weights", "sanity_check", "seed_stability"),
    "studies": ("curves_of", "example_of", "explanations_of", "faithfulness_study", 
                "sanity_study", "shortcut_study", "stability_study"),
}  # fmt: skip
_HOMES = {name: module for module, names in _LAZY.items() for name in names}  # imported when they are first used

__all__ = [
    "METHODS",
    "Attribution",
    "Curve",
    "LocalModel",
    "MaskableText",
    "MaskedModel",
    "Method",
    "MinimalDeletion",
    "PlantedModel",
    "Stability",
    "Word",
    "agreement",
    "aopc_bounds",
    "comprehensiveness",
    "contrast",
    "curves",
    "curves_of",
    "example_of",
    "explain",
    "explain_rows",
    "explanations_of",
    "faithfulness_study",
    "fit_local_model",
    "important_words",
    "kernel",
    "minimal_deletions",
    "normalized_aopc",
    "paraphrase_stability",
    "planted_model",
    "random_baseline",
    "randomize_weights",
    "rank_correlation",
    "rolled_out",
    "sanity_check",
    "sanity_study",
    "seed_stability",
    "shapley_values",
    "shortcut_study",
    "stability_study",
    "sufficiency",
    "word_ranks",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"course_lib.explain has no attribute {name!r}")
    return getattr(import_module(f"course_lib.explain.{_HOMES[name]}"), name)
