"""Shares, intervals and baselines against hand-computed cases."""

from __future__ import annotations

import pytest

from openmova.evaluate.statistics import Share, majority


def test_wilson_interval_of_eight_in_ten() -> None:
    share = Share.of([True] * 8 + [False] * 2)
    assert share.value == 0.8
    assert (share.low, share.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_nothing_measured_says_nothing() -> None:
    assert Share.of([]).to_dict() == {"value": 0.0, "ci95": [0.0, 1.0], "n": 0}


def test_majority_is_the_commonest_answer_of_each_kind() -> None:
    kinds = ["count", "count", "count", "where"]
    answers = ["2", "2", "3", "top left"]
    assert majority(kinds, answers) == [True, True, False, True]
