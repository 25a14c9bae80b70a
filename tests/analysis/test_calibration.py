"""The calibration error against hand-computed cases."""

from __future__ import annotations

import pytest

from openmova.analysis.calibration import Calibration


def test_two_bins_by_hand() -> None:
    # 0.92, 0.98 and 1.0: mean 0.9667, two of three right. 0.1 and 0.1: mean 0.1, none right.
    scores = [0.92, 0.98, 1.0, 0.1, 0.1]
    found = Calibration.of(scores, [True, True, False, False, False])
    assert [(b.low, b.high, b.right.n) for b in found.bins] == [(0.1, 0.2, 2), (0.9, 1.0, 3)]
    assert [b.score for b in found.bins] == pytest.approx([0.1, 0.966667], abs=1e-6)
    assert found.error == pytest.approx((2 * 0.1 + 3 * (0.966667 - 2 / 3)) / 5, abs=1e-6)


def test_scores_that_mean_what_they_say_have_no_error() -> None:
    found = Calibration.of([0.25] * 4 + [1.0] * 2, [True, False, False, False, True, True])
    assert found.error == pytest.approx(0)


def test_a_score_on_the_edge_belongs_to_the_bin_above_and_one_to_the_last() -> None:
    assert [(b.low, b.right.n) for b in Calibration.of([0.5, 0.0, 1.0], [True] * 3).bins] == [
        (0.0, 1),
        (0.5, 1),
        (0.9, 1),
    ]


def test_no_scores_say_nothing() -> None:
    assert Calibration.of([], []).to_dict() == {"n": 0, "error": 0.0, "bins": []}
