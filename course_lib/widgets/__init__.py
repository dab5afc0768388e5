"""Interactive widgets for notebooks, each with a figure or a number that follows its controls.

Every function returns one ipywidgets widget: name it on the last line of a cell and it is shown.
"""

from course_lib.widgets.abstention import abstention_slider
from course_lib.widgets.attacks import watch_attack
from course_lib.widgets.attention import watch_attention
from course_lib.widgets.augmentation import watch_augmentation
from course_lib.widgets.canary import canary_slider
from course_lib.widgets.commands import act_or_ask
from course_lib.widgets.compression import bits_slider, pareto_explorer
from course_lib.widgets.costs import price_sliders
from course_lib.widgets.credit import credit_threshold
from course_lib.widgets.defenses import watch_defense
from course_lib.widgets.deletion import delete_words
from course_lib.widgets.digits import draw_digit
from course_lib.widgets.explanations import explain_text
from course_lib.widgets.films import recommend_films
from course_lib.widgets.generation import watch_next_token
from course_lib.widgets.judgement import vote_on_attacks
from course_lib.widgets.labelling import label_sentences, read_labels
from course_lib.widgets.masked_word import watch_mask
from course_lib.widgets.prediction import calibration_explorer, watch_prediction
from course_lib.widgets.progress import show_progress
from course_lib.widgets.questions import quiz
from course_lib.widgets.queueing import queue_replay
from course_lib.widgets.ring import ring_all_reduce_steps
from course_lib.widgets.runs import compare_runs, diagnose
from course_lib.widgets.samples import sampling
from course_lib.widgets.traffic import live_traffic

__all__ = [
    "abstention_slider",
    "act_or_ask",
    "bits_slider",
    "calibration_explorer",
    "canary_slider",
    "compare_runs",
    "credit_threshold",
    "delete_words",
    "diagnose",
    "draw_digit",
    "explain_text",
    "label_sentences",
    "live_traffic",
    "pareto_explorer",
    "price_sliders",
    "queue_replay",
    "quiz",
    "read_labels",
    "recommend_films",
    "ring_all_reduce_steps",
    "sampling",
    "show_progress",
    "vote_on_attacks",
    "watch_attack",
    "watch_attention",
    "watch_augmentation",
    "watch_defense",
    "watch_mask",
    "watch_next_token",
    "watch_prediction",
]
