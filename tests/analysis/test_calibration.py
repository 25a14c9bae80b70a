"""The calibration error against hand-computed cases."""

from __future__ import annotations

import pytest

from openmova.analysis.calibration import calibration


def test_two_bins_by_hand() -> None:
    # 0.92, 0.98 and 1.0: mean 0.9667, two of three right. 0.1 and 0.1: mean 0.1, none right.
    found = calibration([0.92, 0.98, 1.0, 0.1, 0.1], [True, True, False, False, False])
    edges = [(b["from"], b["to"], b["annotated"]["n"]) for b in found["bins"]]
    assert edges == [(0.1, 0.2, 2), (0.9, 1.0, 3)]
    assert [b["score"] for b in found["bins"]] == [0.1, 0.9667]
    assert found["error"] == pytest.approx((2 * 0.1 + 3 * (0.966667 - 2 / 3)) / 5, abs=1e-4)


def test_scores_on_edges_and_scores_that_mean_what_they_say() -> None:
    bins = calibration([0.5, 0.0, 1.0], [True] * 3)["bins"]  # the bin above; the last
    assert [(b["from"], b["annotated"]["n"]) for b in bins] == [(0.0, 1), (0.5, 1), (0.9, 1)]
    right = [True, False, False, False, True, True]
    assert calibration([0.25] * 4 + [1.0] * 2, right)["error"] == 0
    assert calibration([], []) == {"n": 0, "error": 0.0, "bins": []}
