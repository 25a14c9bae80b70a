"""How well boxes and polygons meet the region that was meant (paper, table 1: REC and RES), and the
functions of the lmms-eval tasks in `tasks/`: RefCOCO, RefCOCO+, RefCOCOg.

Boxes are compared exactly, in pixels. Polygons are compared as sets of pixels: a pixel belongs to a
polygon if its centre lies inside by the even-odd rule. The mean of the pictures' IoU is called
gIoU, the IoU of all pictures' pixels together cIoU.

lmms-eval's own box tasks take coordinates as fractions of the picture; MoVA's are of the square
that it sees (frame "pad"). For polygons lmms-eval has no task. The data is that of lmms-eval's
tasks: `bbox` [x, y, width, height] and `segmentation` [x, y, x, y, ...] in pixels, and `answer`,
several expressions for the one region.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openmova.images.boxes import Box, Point, Polygon, Size, box_iou, boxes_in, polygons_in

if TYPE_CHECKING:
    from datasets import Dataset

Document = Mapping[str, Any]
RIGHT = 0.5
"""A box is right from this IoU on (Acc@0.5)."""
QUESTION = "Please provide the {} of the region this sentence describes: {}"
"""LLaVA-1.5's for boxes; the release states none."""


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


def _crossings(points: Sequence[Point], y: float) -> list[float]:
    """Where a polygon's edges cross a horizontal line, from the left; an even number."""
    found = []
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
        if (y1 <= y) != (y2 <= y):
            found.append(x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    return sorted(found)


def expressions(dataset: Dataset) -> Dataset:
    """One document for each expression, in the column `expression`, in place of several."""
    told = list(enumerate(dataset["answer"]))
    rows = [row for row, answers in told for _ in answers]
    texts = [answer for _, answers in told for answer in answers]
    return dataset.select(rows).add_column("expression", texts)


def picture(document: Document) -> list[Image.Image]:
    return [document["image"].convert("RGB")]


def box_question(document: Document) -> str:
    return QUESTION.format("bounding box coordinate", document["expression"])


def polygon_question(document: Document) -> str:
    return QUESTION.format("polygon coordinates", document["expression"])


def box_results(document: Document, answers: Sequence[str]) -> dict[str, float]:
    """Whether the first box of the answer is right; an answer without a box is wrong."""
    x, y, width, height = document["bbox"]
    boxes = boxes_in(answers[0], document["image"].size)
    iou = box_iou(boxes[0], Box(x, y, x + width, y + height)) if boxes else 0.0
    return {"Acc@0.5": float(iou >= RIGHT)}


def polygon_results(document: Document, answers: Sequence[str]) -> dict[str, float | Overlap]:
    """What the answer's polygons share with the region that was meant; for mean and `c_iou`."""
    size, outline = document["image"].size, document["segmentation"]
    meant = Polygon(tuple(zip(outline[::2], outline[1::2], strict=True)))
    overlap = Overlap.of(polygons_in(answers[0], size), [meant], size)
    return {"gIoU": overlap.iou, "cIoU": overlap}
