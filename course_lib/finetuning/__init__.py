"""Recipes: the seven steps of fine-tuning put together.

`recipes` holds what is trained and how, `studies` compares recipes. Both are experiments, which keep their runs.
"""

from course_lib.finetuning.recipes import (
    RECIPES,
    SENTIMENT,
    Recipe,
    finetune,
    fit_recipe,
    recipe,
    recipe_cost,
)
from course_lib.finetuning.studies import (
    HEAD_RUNS,
    LABEL_NOISE_RUNS,
    LEARNING_RATE_RUNS,
    LORA_RUN,
    as_label_efficiency,
    head_study,
    label_curve,
    label_efficiency,
    label_noise_study,
    learning_curves,
    linear_probe_study,
    lora_study,
)

__all__ = [
    "HEAD_RUNS",
    "LABEL_NOISE_RUNS",
    "LEARNING_RATE_RUNS",
    "LORA_RUN",
    "RECIPES",
    "SENTIMENT",
    "Recipe",
    "as_label_efficiency",
    "finetune",
    "fit_recipe",
    "head_study",
    "label_curve",
    "label_efficiency",
    "label_noise_study",
    "learning_curves",
    "linear_probe_study",
    "lora_study",
    "recipe",
    "recipe_cost",
]
