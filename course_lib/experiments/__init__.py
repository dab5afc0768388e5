"""Experiments: runs that take long are computed once, stored, and many of them ship with the course.

An `Experiment` is a function of a configuration that is declared with `@experiment(name, version=...)`. Asked for a
run, it answers from the learner's own store, then from the results that ship under data/results, then it computes. A
plain function, of a notebook say, is stored in the same way by `run(function, config)`.
"""

from course_lib.experiments.experiment import Experiment, declared, experiment, run
from course_lib.experiments.shipped import RESULTS_FOLDER, Shipped
from course_lib.experiments.store import Run

__all__ = ["RESULTS_FOLDER", "Experiment", "Run", "Shipped", "declared", "experiment", "run"]
