"""The one family of errors that this library raises on purpose.

Each says what was wrong (with the value that was met) and how to fix it, so that a learner never has to
read a traceback of somebody else's code to go on.
"""

from __future__ import annotations


class CourseError(Exception):
    """What went wrong, and the command or argument that fixes it.

    Args:
        message: what was wrong, with the offending value.
        fix: one sentence that tells how to go on.
    """

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message, fix)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  To fix it: {self.fix}"


class BadInput(CourseError, ValueError):
    """A value given by the caller cannot be used."""


class MissingAsset(CourseError, FileNotFoundError):
    """A file that the course needs is not on this machine."""


class CorruptAsset(CourseError):
    """A file is there, but it is not the expected one: its hash or its form is wrong."""


class CheckpointError(CourseError):
    """A checkpoint cannot be written or read. The last good one is intact."""


class Offline(CourseError):
    """The network was needed and could not be reached."""
