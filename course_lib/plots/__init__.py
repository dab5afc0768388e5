"""Figures of the course. Each function takes tables, arrays or dictionaries and returns the axes that it drew on.

In a notebook, end the line with a semicolon: the figure is shown, the name of its axes is not.
"""

from course_lib.plots.compression import accuracy_by_slice, pareto, sensitivity, weight_histogram
from course_lib.plots.credit import credit_costs
from course_lib.plots.data import disagreement, gains_by_seed, label_agreement, rating_histogram, text_movement
from course_lib.plots.description import describe, describe_in_notebooks, to_html
from course_lib.plots.explanations import (
    agreement_map,
    deletion_curves,
    faithfulness_against_time,
    sanity,
    seed_spread,
)
from course_lib.plots.forest import forest
from course_lib.plots.generation import plot_accuracy_cost, plot_cache
from course_lib.plots.images import image_grid
from course_lib.plots.pretraining import (
    attention_map,
    loss_curves,
    loss_differences,
    mask_picture,
)
from course_lib.plots.quality import (
    errors_by,
    intervals,
    label_efficiency,
    label_noise,
    reliability,
)
from course_lib.plots.robustness import (
    cost_of_success,
    defenses,
    first_order,
    robustness_curve,
    roc,
)
from course_lib.plots.scored_text import HeatMap, heat_map
from course_lib.plots.serving import (
    autoscaling_day,
    latency_ecdf,
    latency_over_load,
    percentiles_over_rate,
    run_timeline,
)
from course_lib.plots.style import small_png, to_png
from course_lib.plots.training import LiveCurve, learning_curve, schedule, stored_curves

describe_in_notebooks()

__all__ = [
    "HeatMap",
    "LiveCurve",
    "accuracy_by_slice",
    "agreement_map",
    "attention_map",
    "autoscaling_day",
    "cost_of_success",
    "credit_costs",
    "defenses",
    "deletion_curves",
    "describe",
    "disagreement",
    "errors_by",
    "faithfulness_against_time",
    "first_order",
    "forest",
    "gains_by_seed",
    "heat_map",
    "image_grid",
    "intervals",
    "label_agreement",
    "label_efficiency",
    "label_noise",
    "latency_ecdf",
    "latency_over_load",
    "learning_curve",
    "loss_curves",
    "loss_differences",
    "mask_picture",
    "pareto",
    "percentiles_over_rate",
    "plot_accuracy_cost",
    "plot_cache",
    "rating_histogram",
    "reliability",
    "robustness_curve",
    "roc",
    "run_timeline",
    "sanity",
    "schedule",
    "seed_spread",
    "sensitivity",
    "small_png",
    "stored_curves",
    "text_movement",
    "to_html",
    "to_png",
    "weight_histogram",
]
