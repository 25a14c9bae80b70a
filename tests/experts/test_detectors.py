"""Heads of a detector become boxes; it says how many there are and where, and its map holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from openmova.experts.detector import (
    Found,
    NanoDet,
    decode_boxes,
    find_things,
    overlaps,
    where,
)

from .words import DETECTORS, word_expert


@pytest.mark.parametrize(("kind", "keywords"), DETECTORS)
@pytest.mark.parametrize("size", [(60, 90), (90, 60), (50, 50)])
def test_a_view_knows_where_the_picture_lies_in_it(
    tmp_path: Path, kind: str, keywords: dict[str, Any], size: tuple[int, int]
) -> None:
    expert = word_expert(kind, tmp_path, **keywords)
    image = torch.zeros(1, 3, *size, dtype=torch.uint8)
    image[:, :, 20:40, 10:45] = 255
    (view,) = expert.view(image, torch.tensor([size]))
    left, top, right, bottom = expert.inside(view)
    bright = view[:3, top:bottom, left:right].amax(0) > 1
    rows, columns = (bright.any(axis).nonzero()[:, 0] for axis in (1, 0))
    found = [columns[0] / bright.shape[1], (columns[-1] + 1) / bright.shape[1]]
    found += [rows[0] / bright.shape[0], (rows[-1] + 1) / bright.shape[0]]
    true = [10 / size[1], 45 / size[1], 20 / size[0], 40 / size[0]]
    assert torch.stack(found).tolist() == pytest.approx(true, abs=0.02)


def test_the_text_counts_and_places_the_largest_first() -> None:
    cat, dog = (NanoDet.classes.index(name) for name in ("cat", "dog"))
    things = [
        Found(dog, 0.9, (0, 0, 20, 20)),
        Found(cat, 0.8, (70, 40, 90, 80)),
        Found(dog, 0.7, (40, 40, 50, 50)),
    ]
    text = NanoDet.text(things, (100, 100))
    assert text == "2 dog, 1 cat\ncat right\ndog top left\ndog middle"
    assert NanoDet.text([], (100, 100)) == "nothing"


@pytest.mark.parametrize(
    ("box", "place"),
    [
        ((0, 0, 10, 10), "top left"),
        ((140, 0, 160, 10), "top"),
        ((290, 40, 300, 60), "right"),
        ((100, 90, 200, 100), "bottom"),
        ((-50, 95, 10, 140), "bottom left"),
        ((0, 0, 300, 100), "middle"),
    ],
)
def test_a_place_is_a_ninth_of_the_picture(
    box: tuple[float, float, float, float], place: str
) -> None:
    assert where(box, (100, 300)) == place


def sure_of(*distances: int, bins: int = 8) -> torch.Tensor:
    """What a head says that is sure of these distances, in strides."""
    return torch.cat([50.0 * torch.eye(bins)[d] for d in distances])


def test_a_box_reaches_so_many_strides_from_the_middle_of_its_place() -> None:
    heads = torch.stack([sure_of(0, 0, 0, 0), sure_of(1, 2, 3, 4)])
    heads = torch.cat([heads[:1].expand(4, -1), heads[1:]])  # the place in row 1, column 1 of 3
    (box,) = decode_boxes(heads, 3, 8)[4:].tolist()
    assert box == pytest.approx([12 - 8, 12 - 16, 12 + 24, 12 + 32])


def test_half_sure_is_in_between() -> None:
    heads = torch.zeros(1, 4, 8)
    heads[..., 2:4] = 50
    assert decode_boxes(heads.flatten(1), 1, 2).tolist() == [[1 - 5, 1 - 5, 1 + 5, 1 + 5]]


def test_of_doubles_the_surest_is_kept_and_other_classes_stay() -> None:
    scores = torch.tensor([[0.6, 0.1], [0.9, 0.2], [0.3, 0.8], [0.2, 0.4]])
    one = sure_of(3, 3, 3, 3)
    level = (scores, torch.stack([one] * 4), 4, 8)
    found = find_things([level], 0.45)
    assert [(thing.label, round(thing.score, 1)) for thing in found] == [(0, 0.9), (1, 0.8)]
    assert found[0].box == pytest.approx((12 - 24, 4 - 24, 12 + 24, 4 + 24))
    assert find_things([level], 0.95) == []


def test_overlap_is_intersection_over_union() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [0, 0, 2, 2]])
    torch.testing.assert_close(overlaps(boxes)[0], torch.tensor([1, 1 / 3, 0, 1]))
