"""What goes wrong inside a widget, as words in its place: a traceback would vanish into the browser's console."""

from __future__ import annotations

from html import escape

from course_lib.errors import CourseError


def in_words(error: Exception) -> str:
    """The error as HTML: what was wrong and how to mend it, or whose complaint it is."""
    if isinstance(error, CourseError):
        return f"<p>{escape(error.message)}<br>To mend it: {escape(error.fix)}</p>"
    return f"<p>{type(error).__name__}: {escape(str(error))}</p>"
