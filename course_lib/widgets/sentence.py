"""The line that a widget's sentence is typed into."""

from __future__ import annotations

import ipywidgets


def sentence_line(text: str) -> ipywidgets.Text:
    """A line named "Your sentence"; its value is new after every letter, as fast as a small model answers."""
    return ipywidgets.Text(
        value=text,
        description="Your sentence",
        placeholder="type a sentence",
        continuous_update=True,
        style={"description_width": "initial"},
        layout={"width": "min(100%, 640px)"},
    )
