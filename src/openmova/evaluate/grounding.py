"""How well boxes and polygons meet the region that was meant (paper, table 1: REC and RES).

Boxes are compared exactly, in pixels. Polygons are compared as sets of pixels: a pixel belongs to a
polygon if its centre lies inside by the even-odd rule. The mean of the pictures' IoU is called
gIoU, the IoU of all pictures' pixels together cIoU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from openmova.images.boxes import Box, Point, Polygon, Size


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0 where neither has an area."""
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    shared = max(width, 0.0) * max(height, 0.0)
    union = _area(a) + _area(b) - shared
    return shared / union if union > 0 else 0.0


def polygon_mask(polygons: Iterable[Polygon], size: Size) -> NDArray[np.bool_]:
    """The pixels [height, width] inside any of the polygons, of a picture of this size."""
    width, height = size
    mask = np.zeros((height, width), dtype=bool)
    for polygon in polygons:
        points = np.array(polygon.points)
        top, bottom = np.clip(np.floor([points[:, 1].min(), points[:, 1].max()]), 0, height)
        for row in range(int(top), min(int(bottom) + 1, height)):
            crossings = np.ceil(np.array(_crossings(polygon.points, row + 0.5)) - 0.5)
            columns = np.clip(crossings, 0, width).astype(int)
            for left, right in zip(columns[::2], columns[1::2], strict=True):
                mask[row, left:right] = True
    return mask


@dataclass(frozen=True)
class Overlap:
    """Of what was answered with what was meant, in pixels."""

    intersection: int
    union: int

    @classmethod
    def of(cls, answered: Iterable[Polygon], meant: Iterable[Polygon], size: Size) -> Self:
        ours, truth = polygon_mask(answered, size), polygon_mask(meant, size)
        return cls(int((ours & truth).sum()), int((ours | truth).sum()))

    @property
    def iou(self) -> float:
        """Intersection over union; 1 where nothing was meant and nothing answered."""
        return self.intersection / self.union if self.union else 1.0


def c_iou(overlaps: Sequence[Overlap]) -> float:
    """All intersections over all unions: large regions count more."""
    return Overlap(sum(o.intersection for o in overlaps), sum(o.union for o in overlaps)).iou


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def _crossings(points: Sequence[Point], y: float) -> list[float]:
    """Where a polygon's edges cross a horizontal line, from the left; an even number."""
    found = []
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
        if (y1 <= y) != (y2 <= y):
            found.append(x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    return sorted(found)
