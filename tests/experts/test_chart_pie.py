"""A pie's slices are told in per cent, with what stands beside them, in them or in a legend."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor, ImageDraw
from torch import Tensor

from openmova.experts.chart_pie import Pie, find_pie, read_pie
from openmova.experts.text_lines import Box, Line

from .test_chart import fill, nothing

SHARES = (50, 30, 20)
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c")


def pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image).copy()).movedim(-1, 0)


def pie(hole: int = 0) -> Tensor:
    """Slices clockwise from the right around (160, 120), radius 80."""
    image = Image.new("RGB", (320, 240), "white")
    draw, start = ImageDraw.Draw(image), 0.0
    for share, colour in zip(SHARES, COLOURS, strict=True):
        draw.pieslice((80, 40, 240, 200), start, start + 3.6 * share, colour, "white")
        start += 3.6 * share
    draw.ellipse((160 - hole, 120 - hole, 160 + hole, 120 + hole), "white")
    return pixels(image)


def line(text: str, turn: float, radius: float) -> Line:
    """A text whose centre lies in a direction from the pie's centre, in turns."""
    x, y = (160 + radius * math.cos(math.tau * turn), 120 + radius * math.sin(math.tau * turn))
    return Line(text, 1.0, Box(x, y, 20, 10, 0.0))


def found(hole: int = 0) -> Pie:
    one = find_pie(pie(hole))
    assert one is not None
    return one


@pytest.mark.parametrize("hole", [0, 40], ids=["pie", "ring"])
def test_slices_are_measured(hole: int) -> None:
    assert [100 * one.share for one in found(hole).slices] == pytest.approx(SHARES, abs=1)


@pytest.mark.parametrize("shape", ["rectangle", "nothing", "photo"])
def test_what_is_no_disc_is_no_pie(shape: str) -> None:
    picture = pixels(Image.new("RGB", (320, 240), "white"))
    if shape == "rectangle":
        picture[:, 40:200, 80:240] = 90
    if shape == "photo":
        noise = torch.Generator().manual_seed(0)
        picture = torch.randint(0, 255, (3, 240, 320), dtype=torch.uint8, generator=noise)
    assert find_pie(picture) is None


def test_names_stand_beside_the_slices() -> None:
    lines = [line("Oil", 0.25, 95), line("Gas", 0.65, 100), line("Sun", 0.9, 100)]
    told = read_pie(pie(), found(), lines, nothing)
    assert told is not None
    assert told.labels == ("Oil", "Gas", "Sun")
    assert told.values[0] == pytest.approx(SHARES, abs=1)
    assert told.span == 100


def test_what_is_written_in_per_cent_goes_before_what_was_measured() -> None:
    lines = [line("Oil 50.4%", 0.25, 50), line("Gas (29,8 %)", 0.65, 50), line("Sun", 0.9, 100)]
    told = read_pie(pie(), found(), lines, nothing)
    assert told is not None
    assert told.labels == ("Oil", "Gas", "Sun")
    assert told.values[0] == pytest.approx([50.4, 29.8, 20], abs=1)
    assert told.values[0][:2] == (50.4, 29.8) and told.span == 10


def test_numbers_in_the_slices_are_their_values_and_the_legend_has_the_names() -> None:
    picture = pie()
    lines = [line("580", 0.25, 50), line("345.25", 0.65, 50), line("236", 0.9, 50)]
    for y, name, colour in zip((15, 32, 225), ("Oil", "Gas", "Sun"), COLOURS, strict=True):
        fill(picture, (264, y - 4, 276, y + 4), ImageColor.getrgb(colour))
        lines.append(Line(name, 1.0, Box(290, y, 20, 10, 0.0)))
    told = read_pie(picture, found(), lines, nothing)
    assert told is not None and told.labels == ("Oil", "Gas", "Sun")
    assert told.values == ((580, 345.25, 236),) and told.span == 1


def test_a_pie_without_names_is_not_told() -> None:
    assert read_pie(pie(), found(), [], nothing) is None
