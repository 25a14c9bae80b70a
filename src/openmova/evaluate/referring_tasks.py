"""Functions of the lmms-eval tasks in `tasks/`: RefCOCO, RefCOCO+, RefCOCOg, boxes and polygons.

lmms-eval's own box tasks take coordinates as fractions of the picture; MoVA's are of the square
that it sees (`referring.py`, frame "pad"). For polygons lmms-eval has no task. The data is that of
lmms-eval's tasks: `bbox` [x, y, width, height] and `segmentation` [x, y, x, y, ...] in pixels, and
`answer`, several expressions for the one region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from openmova.evaluate.grounding import Overlap, box_iou
from openmova.images.boxes import Box, Polygon, boxes_in, polygons_in

if TYPE_CHECKING:
    from datasets import Dataset

Document = Mapping[str, Any]
RIGHT = 0.5
"""A box is right from this IoU on (Acc@0.5)."""


def expressions(dataset: Dataset) -> Dataset:
    """One document for each expression, in the column `expression`, in place of several."""
    told = list(enumerate(dataset["answer"]))
    rows = [row for row, answers in told for _ in answers]
    texts = [answer for _, answers in told for answer in answers]
    return dataset.select(rows).add_column("expression", texts)


def picture(document: Document) -> list[Image.Image]:
    return [document["image"].convert("RGB")]


def box_question(document: Document) -> str:
    """LLaVA-1.5's sentence; the release states none."""
    return (
        "Please provide the bounding box coordinate of the region this sentence describes: "
        f"{document['expression']}"
    )


def polygon_question(document: Document) -> str:
    """The same for polygons; the release states none."""
    return (
        "Please provide the polygon coordinates of the region this sentence describes: "
        f"{document['expression']}"
    )


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
