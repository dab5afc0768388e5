"""One door for every run that takes long: computed once, stored by content, shared by all notebooks.

A run is named by what decides its outcome: the function and its code, its configuration, the code of the course
that it stands on, the data, the preset, and the versions of the libraries. If any of them changes, it is another
run. Delete a run's folder and it is made again; an empty cache is only slower, never different.
"""

from course_lib.experiments.identity import FOUNDATION, Experiment, folder_of
from course_lib.experiments.store import Run, forecast, is_stored, run

__all__ = ["FOUNDATION", "Experiment", "Run", "folder_of", "forecast", "is_stored", "run"]
