"""Agreement: exact sets, each expert's precision and recall, and the margin that agrees most."""

from __future__ import annotations

from openmova.annotate.agreement import agreement

GIVEN = [("ocr",), ("ocr", "chart"), (), ("other",)]
CHOSEN = {
    0.0: [("ocr", "chart"), ("chart", "ocr"), ("chart",), ()],
    0.03: [("ocr",), ("ocr", "chart"), (), ()],
    0.1: [("ocr",), ("ocr", "chart"), (), ()],
}


def choose(margin: float) -> list[tuple[str, ...]]:
    return CHOSEN.get(margin, [()] * 4)


def test_sets_count_only_as_a_whole_and_experts_one_by_one() -> None:
    found = agreement(GIVEN, choose, ("ocr", "chart", "shapes"), margin=0.0)
    assert (found["samples"], found["exact"]) == (4, 0.25)
    assert found["experts"] == {
        "ocr": {"precision": 1.0, "recall": 1.0},
        "chart": {"precision": 1 / 3, "recall": 1.0},
        "shapes": {"precision": None, "recall": None},
    }
    # The smallest of the best margins is told.
    found = agreement(GIVEN, choose, ("ocr", "chart"), margin=1.0)
    assert found["exact"] == 0.25
    assert (found["best_margin"], found["best_exact"]) == (0.03, 0.75)
