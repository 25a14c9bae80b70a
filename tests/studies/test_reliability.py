"""The calibration error against cases by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studies.nano.reliability import BINS, draw_reliability, reliability


def test_the_error_is_the_mean_distance_of_confidence_and_share() -> None:
    # Ten bins of two: nine of 0.9 with one right each, the least of 0.1 with none.
    found = reliability([0.9] * 18 + [0.1] * 2, [True, False] * 9 + [False] * 2)
    assert [b["confidence"] for b in found["bins"]] == [0.1] + [0.9] * 9
    assert {b["right"]["n"] for b in found["bins"]} == {2}
    assert found["error"] == pytest.approx((9 * 0.4 + 0.1) / 10)


def test_few_answers_make_few_bins_and_none_say_nothing() -> None:
    right = ([True] * 3 + [False]) * BINS  # a confidence that means what it says has no error
    assert reliability([0.75] * 4 * BINS, right)["error"] == 0
    assert len(reliability([0.2, 0.4, 0.9], [True] * 3)["bins"]) == 3
    assert reliability([], []) == {"n": 0, "error": 0.0, "bins": []}


def test_the_diagram_has_a_mark_where_the_answers_are(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    places = {}
    for name, sure in (("low", 0.2), ("high", 0.8)):
        found = reliability([sure] * 40, [True, False] * 20)
        draw_reliability(found, tmp_path / f"{name}.png", "Test")
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        across = np.nonzero((pixels == (31, 119, 180)).all(axis=-1))[1]
        places[name] = float(np.median(across)) / pixels.shape[1]
    assert places["low"] < 0.5 < places["high"]
