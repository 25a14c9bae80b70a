"""What has to be measured; chosen is what lowers the loss, at most the three that lower it most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from openmova.annotate.selection import (
    best_sets,
    chosen_experts,
    expert_sets,
    probes_of,
    useful_experts,
)
from openmova.errors import UserError

LOSSES = st.floats(0, 10) | st.sampled_from([0.5, 1.0, 2.0, float("nan"), float("inf")])


def rows_of(columns: int) -> st.SearchStrategy[Any]:
    row = st.lists(LOSSES, min_size=columns, max_size=columns)
    return st.lists(row, min_size=1, max_size=5).map(np.array)


ROWS = st.integers(1, 9).flatmap(rows_of)


@given(ROWS)
def test_the_chosen_lower_the_loss_and_nothing_else_is_better(losses: NDArray[np.float64]) -> None:
    for row, chosen in zip(losses, useful_experts(losses), strict=True):
        useful = {j for j, loss in enumerate(row[1:]) if loss < row[0]}
        taken = set(np.flatnonzero(chosen).tolist())
        assert taken <= useful  # so none where no loss is below the base's, and never a NaN
        assert len(taken) == min(3, len(useful))
        assert all(row[1 + j] <= row[1 + k] for j in taken for k in useful - taken)


def test_of_equal_losses_the_first_experts_are_kept() -> None:
    assert useful_experts(np.array([[2.0, 1.0, 1.0, 1.0, 1.0]])).tolist() == [[1, 1, 1, 0]]
    assert useful_experts(np.array([[2.0, 1.0, 1.0, 1.0, 0.5]])).tolist() == [[1, 1, 0, 1]]


@given(st.integers(1, 5), st.data())
def test_the_set_with_the_lowest_loss_is_chosen_whole(experts: int, data: st.DataObject) -> None:
    sets = expert_sets(experts)
    row = np.array(data.draw(st.lists(LOSSES, min_size=1 + len(sets), max_size=1 + len(sets))))
    (chosen,) = best_sets(row[None], sets, experts)
    taken = tuple(np.flatnonzero(chosen).tolist())
    below = [loss for loss in row[1:] if loss < row[0]]
    assert (row[1 + sets.index(taken)] == min(below)) if below else taken == ()


def test_with_a_margin_what_lowers_the_loss_by_less_is_left_out() -> None:
    losses = np.array([[2.0, 1.5, 1.6, 2.5]])
    assert useful_experts(losses, margin=0.4375).tolist() == [[True, False, False]]
    assert not useful_experts(losses, margin=0.5).any()


def test_with_a_margin_an_added_expert_has_to_pay_for_itself() -> None:
    sets = expert_sets(2)
    equal = np.array([[2.0, 1.5, 1.0, 1.0]])  # the base, A, B, and both: the smaller is chosen
    assert best_sets(equal, sets, 2).tolist() == [[False, True]]
    losses = np.array([[2.0, 1.5, 1.6, 1.25]])
    assert best_sets(losses, sets, 2, margin=0.125).tolist() == [[True, True]]
    assert best_sets(losses, sets, 2, margin=0.25).tolist() == [[True, False]]
    assert best_sets(losses, sets, 2, margin=0.5).tolist() == [[False, False]]


def test_a_pool_without_experts_and_data_without_samples() -> None:
    assert useful_experts(np.ones((0, 4))).shape == (0, 3)
    for samples in (0, 3):
        assert useful_experts(np.ones((samples, 1))).shape == (samples, 0)
        assert best_sets(np.ones((samples, 1)), (), 2).shape == (samples, 2)


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


@pytest.mark.parametrize("name", ["base", "blind"])
def test_an_expert_with_the_name_of_another_probe_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"an expert is called '{name}'"):
        probes_of(("ocr", name))
