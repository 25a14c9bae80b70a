"""What kind of image it is: a head on frozen features, told in words."""

from __future__ import annotations

import torch

from openmova.experts.image_type import ImageTypeHead, type_text
from studies.nano.image_type import fit_head, image_type

TYPES = ("photo", "map", "bar chart")


def test_the_likeliest_types_are_told_and_an_unlikely_one_only_if_it_is_first() -> None:
    assert type_text(TYPES, torch.tensor([0.71, 0.25, 0.04])) == "photo 71%, map 25%"
    assert type_text(TYPES, torch.tensor([0.05, 0.05, 0.9])) == "bar chart 90%"
    assert type_text(TYPES[:1], torch.tensor([0.02])) == "photo 2%"


def test_the_head_learns_types_that_differ_in_a_channel() -> None:
    maps = torch.randn(960, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(960) % 3
    maps[torch.arange(960), targets] += 4.0
    head = fit_head(ImageTypeHead.pool(maps), targets)
    assert (head(maps).argmax(1) == targets).float().mean() > 0.95


def test_a_picture_has_the_type_of_its_chart_or_domain() -> None:
    assert image_type({"domain": "chart", "chart": {"type": "barh"}}) == "bar chart"
    assert image_type({"domain": "chart", "chart_kind": "histogram"}) == "histogram"
    assert image_type({"domain": "web page"}) == "screenshot"
    assert image_type({"domain": "invoice"}) == "invoice"
