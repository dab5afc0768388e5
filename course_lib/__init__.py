"""Large Models, Hands On: the library under the notebooks.

The names that a notebook needs first are here; each is imported when it is first used, so that importing the
package costs nothing.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.classifier import BERTForSentimentAnalysis, TextClassifier
    from course_lib.errors import CourseError
    from course_lib.exercises import check, claim
    from course_lib.training import TrainingConfig

__version__ = "0.1.0"
__all__ = ["BERTForSentimentAnalysis", "CourseError", "TextClassifier", "TrainingConfig", "check", "claim"]

_HOMES = {
    "BERTForSentimentAnalysis": "course_lib.classifier",
    "CourseError": "course_lib.errors",
    "TextClassifier": "course_lib.classifier",
    "TrainingConfig": "course_lib.training",
    "check": "course_lib.exercises",
    "claim": "course_lib.exercises",
}

# By default OpenMP's threads spin for long while they wait for each other. Beside other programs on the same cores that
# triples the processor time of training (tests/benchmarks/bench_beside.py). The variable is read when torch is loaded.
if "torch" not in sys.modules and not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "1000"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"course_lib has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
