"""Boxes that a detector draws: how much two overlap, which of several on one object to keep, how many are right.

Everingham et al. (2010), The PASCAL Visual Object Classes challenge (IJCV 88:303), sections 4.2 and 4.4. A box is
(top, left, bottom, right) in pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.evaluation.inputs import Floats, same_length


def box_iou(boxes: ArrayLike, others: ArrayLike) -> Floats:
    """Intersection over union of each box with each other box: (n, m), from 0 (apart) to 1 (equal).

    Raises:
        BadInput: not four numbers a box, or a box that ends before it begins.
    """
    ours, theirs = _boxes(boxes)[:, None], _boxes(others)[None]
    ends = np.minimum(ours[..., 2:], theirs[..., 2:])
    sides = np.clip(ends - np.maximum(ours[..., :2], theirs[..., :2]), 0, None)
    shared = sides.prod(-1)
    return np.asarray(shared / (_areas(ours) + _areas(theirs) - shared), dtype=np.float64)


def non_max_suppression(boxes: ArrayLike, scores: ArrayLike, iou: float = 0.3) -> list[int]:
    """Positions of the boxes that stay, the best first: a box goes if a better one that stays overlaps it by more.

    Raises:
        BadInput: as in `box_iou`, or not one score for each box.
    """
    overlap, kept = box_iou(boxes, boxes), list[int]()
    same_length(len(overlap), scores, "scores")
    for box in np.argsort(-np.asarray(scores), kind="stable"):
        if not (overlap[box, kept] > iou).any():
            kept.append(int(box))
    return kept


def count_detections(
    boxes: ArrayLike, labels: ArrayLike, true_boxes: ArrayLike, true_labels: ArrayLike, iou: float = 0.5
) -> int:
    """How many boxes of one image are right: the first, best first, on a true box of its label that nobody has yet.

    Precision is the sum of these counts over images, divided by the number of boxes; recall divides by that of true
    boxes. A second box on the same object counts as wrong.

    Raises:
        BadInput: as in `box_iou`, or not one label for each box.
    """
    overlap = box_iou(boxes, true_boxes)
    same_length(overlap.shape[0], labels)
    same_length(overlap.shape[1], true_labels, "true labels")
    fits = (overlap >= iou) & (np.asarray(labels)[:, None] == np.asarray(true_labels)[None])
    free, right = np.ones(fits.shape[1], dtype=bool), 0
    for box in range(len(fits)):
        candidates = np.where(fits[box] & free, overlap[box], 0.0)
        if candidates.any():
            free[candidates.argmax()] = False
            right += 1
    return right


def _boxes(boxes: ArrayLike) -> Floats:
    array = np.asarray(boxes, dtype=np.float64)
    array = array.reshape(0, 4) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] != 4 or not (array[:, :2] < array[:, 2:]).all():
        raise BadInput(f"boxes of the shape {array.shape}", "give (top, left, bottom, right), with top < bottom")
    return array


def _areas(boxes: Floats) -> Floats:
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).prod(-1), dtype=np.float64)
