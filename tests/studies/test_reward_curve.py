"""Routers that learned by reward are compared question by question."""

from __future__ import annotations

from pathlib import Path

from studies.nano.reward_curve import compare, draw


def test_the_difference_to_the_first_router_is_paired(tmp_path: Path) -> None:
    first = {"model": "nano", "experts": [2, 2, 1, 1], "right": [True, False, True, False]}
    other = {
        "model": "runs/saver/final",
        "experts": [1, 1, 1, 0],
        "right": [True, True, True, True],
    }
    rows = compare([first, other], ["a", "a", "b", "c"])
    assert rows[0]["difference"] == [0.0, 0.0, 0.0]
    assert (rows[0]["experts"], rows[1]["experts"]) == (1.5, 0.75)
    gain, low, high = rows[1]["difference"]
    assert gain == 50.0 and low < gain < high
    assert (rows[1]["won"], rows[1]["lost"]) == (2, 0)
    draw(rows, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
