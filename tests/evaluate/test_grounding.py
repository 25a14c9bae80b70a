"""REC and RES against cases computed by hand."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from openmova.evaluate.grounding import (
    Overlap,
    box_question,
    box_results,
    c_iou,
    expressions,
    picture,
    polygon_mask,
    polygon_results,
)
from openmova.images.boxes import Box, Polygon, box_iou


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        (Box(0, 0, 2, 2), Box(0, 0, 2, 2), 1.0),
        (Box(0, 0, 2, 2), Box(1, 1, 3, 3), 1 / 7),  # 1 of 4 + 4 - 1
        (Box(0, 0, 4, 2), Box(0, 0, 2, 2), 0.5),
        (Box(0, 0, 2, 2), Box(2, 0, 4, 2), 0.0),  # they touch
        (Box(0, 0, 1, 1), Box(5, 5, 6, 6), 0.0),
        (Box(1, 1, 1, 1), Box(1, 1, 1, 1), 0.0),  # no area
    ],
)
def test_box_iou(a: Box, b: Box, iou: float) -> None:
    assert box_iou(a, b) == box_iou(b, a) == pytest.approx(iou)


def drawn(*rows: str) -> Any:
    return np.array([[letter == "#" for letter in row] for row in rows])


SQUARE = Polygon(((1, 1), (3, 1), (3, 3), (1, 3)))
CORNER = Polygon(((2, 2), (4, 2), (4, 4), (2, 4)))


@pytest.mark.parametrize(
    ("polygons", "mask"),
    [
        ([], drawn(*["...."] * 4)),
        ([SQUARE], drawn("....", ".##.", ".##.", "....")),
        # The diagonal of the corner at the top left passes below the centres of its own pixels.
        ([Polygon(((0, 0), (4.1, 0), (0, 4.1)))], drawn("####", "###.", "##..", "#...")),
        ([Polygon(((0, 0), (0.4, 0), (0.4, 0.4), (0, 0.4)))], drawn(*["...."] * 4)),
        # Two in one: their union.
        ([SQUARE, CORNER], drawn("....", ".##.", ".###", "..##")),
        # A bow tie, whose edges cross in (2, 2): nothing above the knot and below it.
        (
            [Polygon(((0, -0.2), (0, 4.2), (4, -0.2), (4, 4.2)))],
            drawn("#..#", "####", "####", "#..#"),
        ),
        # Beyond the picture.
        ([Polygon(((-3, -3), (9, -3), (9, 1), (-3, 1)))], drawn("####", "....", "....", "....")),
    ],
)
def test_a_pixel_is_in_a_polygon_with_its_centre(polygons: list[Polygon], mask: Any) -> None:
    assert polygon_mask(polygons, (4, 4)).tolist() == mask.tolist()


def test_overlaps_and_c_iou_by_hand() -> None:
    first = Overlap.of([CORNER], [SQUARE], (4, 4))
    assert first == Overlap(intersection=1, union=7)
    everything = Polygon(((0, 0), (4, 0), (4, 4), (0, 4)))
    second = Overlap.of([everything], [SQUARE], (4, 4))
    assert second == Overlap(intersection=4, union=16)
    assert (first.iou, second.iou) == (1 / 7, 1 / 4)
    assert c_iou([first, second]) == pytest.approx(5 / 23)
    assert Overlap.of([], [SQUARE], (4, 4)).iou == 0.0
    assert Overlap.of([], [], (4, 4)).iou == 1.0


def document(**changes: Any) -> dict[str, Any]:
    # 200 x 100: MoVA's square adds 50 rows above and below.
    fields = {"bbox": [20, 10, 80, 40], "segmentation": [20, 10, 100, 10, 100, 50, 20, 50]}
    return {"image": Image.new("RGB", (200, 100)), **fields, **changes}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("[0.10, 0.30, 0.50, 0.50]", 1.0),  # x 20 to 100; y 60 - 50 to 100 - 50
        ("[0.10, 0.30, 0.30, 0.50]", 1.0),  # its left half: IoU 0.5
        ("[0.10, 0.30, 0.29, 0.50]", 0.0),
        ("[0.10, 0.10, 0.50, 0.50]", 1.0),  # above the picture: what lies in it is twice 40 rows
        ("[0.60, 0.30, 0.90, 0.50] [0.10, 0.30, 0.50, 0.50]", 0.0),  # the first counts
        ("the dog", 0.0),
    ],
)
def test_a_box_is_right_from_an_iou_of_one_half(answer: str, right: float) -> None:
    assert box_results(document(), [answer]) == {"Acc@0.5": right}


def test_the_polygons_of_an_answer_together() -> None:
    halves = "[0.1, 0.3, 0.3, 0.3, 0.3, 0.5, 0.1, 0.5] [0.3, 0.3, 0.5, 0.3, 0.5, 0.5, 0.3, 0.5]"
    assert polygon_results(document(), [halves]) == {"gIoU": 1.0, "cIoU": Overlap(3200, 3200)}
    half = halves.partition("]")[0] + "]"
    assert polygon_results(document(), [half]) == {"gIoU": 0.5, "cIoU": Overlap(1600, 3200)}


def test_every_expression_is_a_document() -> None:
    pictures = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    rows = {"image": pictures, "answer": [["a dog", "dog"], ["a cat"]]}
    data = expressions(datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image()))
    assert [box_question(row).rpartition(": ")[2] for row in data] == ["a dog", "dog", "a cat"]
    assert [picture(row)[0].getpixel((0, 0))[0] for row in data] == [255, 255, 0]
