"""Why a classifier said what it said: scores of words from many methods, each with its own error.

`explain` is the one face; `methods` lists what it knows. `words` cuts a text into players, `game` asks the model what
some of them are worth. `lime`, `kernel_shap`, `shapley` and `occlusion` only ask; `gradients` and `attention` look
inside; `packages` run the `lime` and `shap` packages on the same batches. `faithfulness`, `bounds` and `sanity` say
which of them to believe.
"""

from course_lib.explain.attention import rolled_out
from course_lib.explain.attribution import Attribution, Word
from course_lib.explain.bounds import aopc_bounds
from course_lib.explain.faithfulness import (
    Curve,
    agreement,
    comprehensiveness,
    curves,
    normalized_aopc,
    randomly,
    rank_correlation,
    sufficiency,
)
from course_lib.explain.game import Game
from course_lib.explain.lime import LocalModel, kernel
from course_lib.explain.methods import METHODS, Method, explain
from course_lib.explain.sanity import randomised, sanity_check
from course_lib.explain.shapley import Interactions, interaction_values, interactions, shapley_values
from course_lib.explain.words import Players

__all__ = [
    "METHODS",
    "Attribution",
    "Curve",
    "Game",
    "Interactions",
    "LocalModel",
    "Method",
    "Players",
    "Word",
    "agreement",
    "aopc_bounds",
    "comprehensiveness",
    "curves",
    "explain",
    "interaction_values",
    "interactions",
    "kernel",
    "normalized_aopc",
    "randomised",
    "randomly",
    "rank_correlation",
    "rolled_out",
    "sanity_check",
    "shapley_values",
    "sufficiency",
]
