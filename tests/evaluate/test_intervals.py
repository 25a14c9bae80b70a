"""Shares and intervals against hand-computed cases."""

from __future__ import annotations

import pytest

from openmova.evaluate.intervals import Difference, Share


def test_wilson_interval_of_eight_in_ten() -> None:
    share = Share.of([True] * 8 + [False] * 2)
    assert share.value == 0.8
    assert (share.low, share.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_nothing_measured_says_nothing() -> None:
    assert Share.of([]).to_dict() == {"value": 0.0, "ci95": [0.0, 1.0], "n": 0}


def test_difference_of_matched_shares_by_hand() -> None:
    # Three of ten were right only the first time, one only the second: 3/10 - 1/10. The interval:
    # (3 - 1) / 12 and 1.96 * sqrt((3 + 1 + 1) / 12 - (1/6)^2) / sqrt(12) to both sides.
    first = [True] * 3 + [False] + [True] * 4 + [False] * 2
    second = [False] * 3 + [True] + [True] * 4 + [False] * 2
    found = Difference.of(first, second)
    assert (found.value, found.n) == (pytest.approx(0.2), 10)
    assert (found.low, found.high) == pytest.approx((1 / 6 - 0.35283, 1 / 6 + 0.35283), abs=1e-4)


def test_no_change_in_few_samples_leaves_room_for_one() -> None:
    found = Difference.of([True, False], [True, False])
    assert found.value == 0
    assert found.low == -found.high < -0.4
    assert Difference.of([], []).to_dict() == {"value": 0.0, "ci95": [-1.0, 1.0], "n": 0}
