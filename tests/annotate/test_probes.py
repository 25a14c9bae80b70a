"""Probes: what has to be measured, and from the measures to names."""

from __future__ import annotations

import numpy as np
import pytest

from openmova.annotate.probes import chosen_experts, probes_of
from openmova.errors import UserError

POOL = ("ocr", "chart", "shapes")


def test_the_base_and_every_expert_or_every_set() -> None:
    assert [probe.name for probe in probes_of(POOL)] == ["base", "ocr", "chart", "shapes"]
    names = [probe.name for probe in probes_of(POOL, combinations=True)]
    assert names[4:] == ["ocr+chart", "ocr+shapes", "chart+shapes", "ocr+chart+shapes"]
    assert len(probes_of(("a", "b", "c", "d"), combinations=True)) == 1 + 14


def test_names_of_the_chosen_are_in_the_order_of_the_pool() -> None:
    losses = np.array([[1.0, 0.9, 2.0, 0.1], [1.0, 1.0, 1.0, 1.0]])
    assert chosen_experts(losses, POOL) == [("ocr", "shapes"), ()]
    of_sets = np.array([[1.0, 0.9, 0.8, 0.7, 0.9, 0.6, 0.9, 0.9]])
    assert chosen_experts(of_sets, POOL, combinations=True) == [("ocr", "shapes")]


def test_an_expert_with_the_name_of_the_base_is_refused() -> None:
    with pytest.raises(UserError, match="rename it"):
        probes_of(("ocr", "base"))
