"""Weights lie where the expert saw them, whatever the picture's frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from openmova.images.heatmap import describe_heatmap, draw_heatmap

WIDE = (200, 100)


@pytest.mark.parametrize(
    ("frame", "cell", "said", "brightest"),
    [
        ("pad", (1, 3), "at the upper right", (0.94, 0.25)),
        ("pad", (2, 0), "at the lower left", (0.06, 0.75)),
        ("pad", (0, 0), "beside the picture", None),
        ("crop", (0, 0), "at the upper left", (0.28, 0.06)),
        ("corner", (1, 0), "at the lower left", (0.06, 0.75)),
        ("corner", (3, 0), "beside the picture", None),
        ("stretch", (3, 3), "at the lower right", (0.94, 0.94)),
    ],
)
def test_a_single_cell_is_drawn_and_named_where_it_is(
    frame: str, cell: tuple[int, int], said: str, brightest: tuple[float, float] | None
) -> None:
    weights = torch.full((4, 4), 0.01)
    weights[cell] = 1.0
    words = describe_heatmap(weights, frame, WIDE)
    assert words.startswith(f"strongest {said}, 13.9 times the mean; half of the attention is on 6")
    bright = np.asarray(draw_heatmap(Image.new("RGB", WIDE), weights, frame).convert("L"))
    assert bright.shape == (100, 200)
    if brightest is None:
        assert "beside the picture" in words
        assert bright.max() < 100
    else:
        assert bright.max() > 180
        y, x = np.argwhere(bright == bright.max()).mean(axis=0)
        assert (x / 200, y / 100) == pytest.approx(brightest, abs=0.06)


def test_what_lies_on_the_filling_is_told() -> None:
    even = torch.full((4, 4), 1 / 16)
    assert describe_heatmap(even, "pad", WIDE) == (
        "strongest beside the picture, 1.0 times the mean; half of the attention is on 50% of the "
        "map, 50% beside the picture"
    )
    assert describe_heatmap(even, "pad", (100, 100)).endswith("of the map")


def test_a_map_that_is_not_laid_out_as_the_picture_is_drawn_alone() -> None:
    weights = torch.eye(4)
    alone = draw_heatmap(Image.new("RGB", WIDE, "red"), weights, "none")
    assert alone.size == (480, 480)
    assert describe_heatmap(weights, "none", WIDE).startswith(
        "strongest in row 1, column 1 of the map"
    )


@pytest.mark.parametrize("size", [(1, 1), (2000, 3), (3, 2000)])
@pytest.mark.parametrize("frame", ["pad", "crop", "corner", "stretch", "none"])
def test_a_picture_that_is_nearly_a_line_is_drawn_too(size: tuple[int, int], frame: str) -> None:
    weights = torch.eye(14)
    assert draw_heatmap(Image.new("RGB", size), weights, frame).mode == "RGB"
    assert describe_heatmap(weights, frame, size).startswith("strongest ")
