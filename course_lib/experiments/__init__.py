"""Experiments: runs that take long are computed once, stored, and many of them ship with the course.

An `Experiment` is a function of a configuration that is declared with `@experiment(name, version=...)`, in the course
or in a notebook. A run of it is read from the learner's own store, else from the results that ship under data/results;
else it is computed.
"""

from course_lib.experiments.experiment import Experiment, declared, entries_of, experiment
from course_lib.experiments.shipped import RESULTS_FOLDER, Shipped
from course_lib.experiments.store import Run

__all__ = ["RESULTS_FOLDER", "Experiment", "Run", "Shipped", "declared", "entries_of", "experiment"]
