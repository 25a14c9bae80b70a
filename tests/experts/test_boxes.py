"""Heads of a detector become boxes, and doubles go."""

from __future__ import annotations

import pytest
import torch

from openmova.experts.boxes import decode_boxes, find_things, overlaps


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
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    b = torch.tensor([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0], [0.0, 0.0, 2.0, 2.0]])
    torch.testing.assert_close(overlaps(a, b), torch.tensor([[1 / 3, 0, 1]]))
