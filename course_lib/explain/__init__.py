"""Why a classifier said what it said: scores of words from many methods, each with its own error.

`explain` is the one face; `methods` lists what it knows. `words` cuts a text into players, `game` asks the model what
some of them are worth. `lime`, `kernel_shap`, `shapley` and `occlusion` only ask; `gradients` and `attention` look
inside; `packages` run the `lime` and `shap` packages on the same batches; `amortised` trains a student that guesses.
`faithfulness`, `bounds`, `sanity`, `stability` and `shortcut` say which of them to believe; `studies` measures this
over many sentences, as experiments. `summary`, `contrast` and `counterfactuals` ask other questions: of a whole data
set, why not that class, what would turn the answer. `tabular` does tables.
"""

from course_lib.explain.amortised import Amortised, amortise
from course_lib.explain.attention import rolled_out
from course_lib.explain.attribution import Attribution, Word
from course_lib.explain.bounds import aopc_bounds
from course_lib.explain.contrast import Contrast, TwoClasses, contrast
from course_lib.explain.counterfactuals import Removal, counterfactual, removals
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
from course_lib.explain.shortcut import (
    EXAMPLE,
    Planted,
    affected,
    example_of,
    found_at_one,
    plant,
    ranks,
    shortcut_study,
)
from course_lib.explain.stability import Stability, paraphrase_stability, seed_stability
from course_lib.explain.studies import (
    curves_of,
    explanations_of,
    faithfulness_study,
    important_words_study,
    sanity_study,
    stability_study,
)
from course_lib.explain.summary import important_words
from course_lib.explain.tabular import explain_rows
from course_lib.explain.words import Players

__all__ = [
    "EXAMPLE",
    "METHODS",
    "Amortised",
    "Attribution",
    "Contrast",
    "Curve",
    "Game",
    "Interactions",
    "LocalModel",
    "Method",
    "Planted",
    "Players",
    "Removal",
    "Stability",
    "TwoClasses",
    "Word",
    "affected",
    "agreement",
    "amortise",
    "aopc_bounds",
    "comprehensiveness",
    "contrast",
    "counterfactual",
    "curves",
    "curves_of",
    "example_of",
    "explain",
    "explain_rows",
    "explanations_of",
    "faithfulness_study",
    "found_at_one",
    "important_words",
    "important_words_study",
    "interaction_values",
    "interactions",
    "kernel",
    "normalized_aopc",
    "paraphrase_stability",
    "plant",
    "randomised",
    "randomly",
    "rank_correlation",
    "ranks",
    "removals",
    "rolled_out",
    "sanity_check",
    "sanity_study",
    "seed_stability",
    "shapley_values",
    "shortcut_study",
    "stability_study",
    "sufficiency",
]
