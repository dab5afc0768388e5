"""Recipes: the seven steps of fine-tuning put together, each run stored by `experiments`.

`recipes` says what is trained and how, `studies` asks one question of it at a time.
"""

from course_lib.finetuning.recipes import (
    RECIPES,
    Recipe,
    finetune,
    finetune_cost,
    fit_recipe,
    recipe,
    recipe_cost,
    sentiment_folder,
    sentiment_run,
)
from course_lib.finetuning.studies import (
    forecast,
    head_study,
    label_curve,
    learning_curves,
    linear_probe_study,
    study,
    transfer_study,
)
from course_lib.finetuning.tables import as_curves, as_label_efficiency, as_transfer_matrix

__all__ = [
    "RECIPES",
    "Recipe",
    "as_curves",
    "as_label_efficiency",
    "as_transfer_matrix",
    "finetune",
    "finetune_cost",
    "fit_recipe",
    "forecast",
    "head_study",
    "label_curve",
    "learning_curves",
    "linear_probe_study",
    "recipe",
    "recipe_cost",
    "sentiment_folder",
    "sentiment_run",
    "study",
    "transfer_study",
]
