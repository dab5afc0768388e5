"""From texts as found to texts that can be trusted: repair, duplicates, conflicts, leaks, disagreement.

Every rule is narrow, and what it did is counted: a learner sees which rows were dropped and why.
"""

from course_lib.cleaning.leaks import LeakageReport, leakage
from course_lib.cleaning.tables import CleaningReport, clean, disagreement, label_distribution, report
from course_lib.cleaning.texts import clean_text, normalise

__all__ = [
    "CleaningReport",
    "LeakageReport",
    "clean",
    "clean_text",
    "disagreement",
    "label_distribution",
    "leakage",
    "normalise",
    "report",
]
