"""Grey images side by side, with words and boxes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from course_lib.errors import BadInput
from course_lib.plots.style import course_style

Box = tuple[float, float, float, float, str]  # top, left, bottom, right in pixels, and a word


@course_style
def image_grid(
    images: Any,
    captions: Sequence[str] = (),
    columns: int = 8,
    title: str = "",
    boxes: Sequence[Sequence[Box]] = (),
) -> Axes:
    """Images row by row, each with its caption above; 0 is white and 1 is black, as ink on paper.

    Args:
        images: (n, height, width), an array or a tensor, from 0 to 1.
        captions: n short ones, or none.
        columns: images in a row.
        title: of the figure.
        boxes: for each image those that are drawn on it, or none at all.

    Returns:
        The axes of the first image; its figure holds all.

    Raises:
        BadInput: no image, another shape, or not one caption and one list of boxes for each image.
    """
    pixels = np.asarray(images, dtype=np.float64)
    if pixels.ndim != 3 or not len(pixels) or {len(captions), len(boxes)} - {0, len(pixels)}:
        counts = f"{len(captions)} captions, {len(boxes)} lists of boxes"
        raise BadInput(f"images of the shape {pixels.shape}, {counts}", "give (n, height, width), one of each an image")
    rows = -(-len(pixels) // columns)
    size = 6.4 / columns
    height = rows * (size + (0.25 if captions else 0)) + (0.35 if title else 0)
    figure, grid = plt.subplots(rows, columns, figsize=(6.4, height), squeeze=False)
    for number, ax in enumerate(grid.flat):
        ax.set_axis_off()
        if number >= len(pixels):
            continue
        ax.imshow(pixels[number], cmap="gray_r", vmin=0, vmax=1)
        if captions:
            ax.set_title(captions[number], loc="center", fontsize=9, fontweight="normal", pad=2)
        for top, left, bottom, right, word in boxes[number] if boxes else ():
            ax.add_patch(
                Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="#a3322b", clip_on=False)
            )
            ax.text(left + 1, top + 1, word, color="#a3322b", fontsize=9, fontweight="bold", va="top")
    if title:
        figure.suptitle(textwrap.fill(title, 78), x=0.01, ha="left", fontsize=11, fontweight="bold")
    first: Axes = grid[0, 0]
    return first
