"""A budget: the best set of the experts that the router named, never above it."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
import torch

from commands import fault
from openmova.routing.budget import Budget, best_set
from openmova.routing.selection import ExpertSelection


def fitting(costs: list[float], budget: float, most: int | None) -> list[tuple[int, ...]]:
    """Every set within the limits."""
    return [
        chosen
        for count in range(len(costs) + 1 if most is None else most + 1)
        for chosen in combinations(range(len(costs)), count)
        if sum(costs[j] for j in chosen) <= budget
    ]


@pytest.mark.parametrize("seed", range(200))
def test_it_is_the_set_that_an_exhaustive_search_finds(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randint(0, 8)
    # Eighths are summed without rounding; few values, so that many sets are equal.
    scores = [chance.randint(0, 8) / 8 for _ in range(count)]
    costs = [chance.randint(0, 16) / 8 for _ in range(count)]
    budget, most = chance.randint(0, 40) / 8, chance.choice([None, 0, 1, 2, 3])
    found = best_set(scores, costs, budget, most)
    sets = fitting(costs, budget, most)
    best = max((sum(scores[j] for j in one), -sum(costs[j] for j in one)) for one in sets)
    assert found in sets
    assert (sum(scores[j] for j in found), -sum(costs[j] for j in found)) == best


def test_a_large_pool_takes_no_exhaustive_search() -> None:
    chance = random.Random(0)
    scores, costs = [[chance.random() for _ in range(26)] for _ in range(2)]
    found = best_set(scores, costs, 5.0)
    assert 0 < sum(costs[j] for j in found) <= 5.0


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("0.5s", 0.5, "seconds"),
        (".25s", 0.25, "seconds"),
        ("20G", 2e10, "operations"),
        ("1.5T", 1.5e12, "operations"),
        ("2e10", 2e10, "operations"),
        ("0", 0, "operations"),
    ],
)
def test_seconds_and_operations(text: str, amount: float, unit: str) -> None:
    assert Budget.of(text) == Budget(amount=amount, unit=unit)


@pytest.mark.parametrize("text", ["", "-1s", "fast", "1h", "nan", "inf", "2 G s"])
def test_what_is_no_budget(text: str) -> None:
    assert "seconds (0.5s) or operations (20G)" in fault(Budget.of, text)


def select(selection: ExpertSelection, named: list[bool]) -> list[bool]:
    costs = [4.0, 1.0, 2.0, 3.0]
    scores = torch.tensor([0.9, 0.5, 0.3, 0.8])
    return selection.apply(torch.tensor(named), scores, "abcd", lambda j, unit: costs[j]).tolist()


def test_the_router_s_choice_within_a_budget() -> None:
    def within(budget: str, most: int | None = None) -> list[bool]:
        selection = ExpertSelection.of(None, most, "abcd", budget)
        return select(selection, [True, True, True, False])

    assert within("7") == [True, True, True, False]
    assert within("6") == [True, True, False, False]
    assert within("3") == [False, True, True, False]
    assert within("3", 1) == [False, True, False, False]
    assert within("0.5") == [False] * 4  # below the cheapest: the base encoder alone


def test_what_is_forced_runs_beside_the_budget() -> None:
    selection = ExpertSelection(budget=Budget.of("1"), forced=frozenset("a"))
    assert select(selection, [False, True, True, False]) == [True, True, False, False]


def test_a_budget_is_of_the_router_s_choice() -> None:
    told = fault(ExpertSelection.of, "a", None, "abcd", "1s")
    assert "budget limits the router's choice" in told
