"""Roles of encoders: every figure as worked by hand, and the page with everything in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from commands import fault
from openmova.analysis.ranks import TokenSums, effective_rank
from openmova.analysis.report import roles_page
from openmova.analysis.roles import Outcomes, kendall_tau, residuals, roles, table
from openmova.evaluate.intervals import Difference, Share
from pages import Page

RIGHT = {
    ("a",): "1000",
    ("b",): "1100",
    ("c",): "0010",
    ("a", "b"): "1100",
    ("a", "c"): "1011",
    ("b", "c"): "1110",
    ("a", "b", "c"): "1110",
}
RANK = {"tokens": 100, "channels": 4, "rank": 3.5}
FEW = {"tokens": 39, "channels": 4, "rank": None}


def outcomes(seeds: int = 1, **changes: Any) -> Outcomes:
    right = {n: np.array([[mark == "1" for mark in marks]] * seeds) for n, marks in RIGHT.items()}
    domains = ["x", "x", "<y>", "<y>"]
    given = {"source": "table", "how": "By hand.", "pool": ("a", "b", "c"), "domains": domains}
    return Outcomes(**{**given, "right": right, **changes})


def test_a_table_worked_by_hand() -> None:
    found = roles(outcomes())
    overall, x = found["overall"], found["domains"]["x"]

    def values(group: Any, figure: str) -> list[float]:
        return [of[figure]["value"] for of in group["encoders"].values()]

    exactly = {"abs": 1e-9, "rel": 0}
    assert values(overall, "capacity") == pytest.approx([0.25, 0.5, 0.25], **exactly)
    assert values(overall, "necessity") == pytest.approx([0, 0, 0.25], **exactly)
    assert values(overall, "cur") == pytest.approx([0, 0, 1 / 3], **exactly)
    assert overall["information_gap"]["value"] == pytest.approx(1 / 3, **exactly)
    assert overall["tau"]["value"] == pytest.approx(-1 / 2, **exactly)
    assert values(x, "capacity") == pytest.approx([0.5, 1, 0], **exactly)
    assert values(x, "necessity") == pytest.approx([0, 0.5, 0], **exactly)
    assert x["tau"]["value"] == pytest.approx(2 / 6**0.5, **exactly)

    one, two, three = overall["sizes"]
    assert (one["best"], one["worst"]) == (["b"], 0.25)
    assert two["best"] == ["a", "c"]
    assert two["mean"] == pytest.approx(2 / 3, **exactly)
    assert (three["size"], three["sets"], three["score"]["value"]) == (3, 1, 0.75)
    pairs = overall["pairs"]
    assert (pairs["top_two"]["encoders"], pairs["best"]["encoders"]) == (["a", "b"], ["a", "c"])
    assert pairs["best_over_top_two"]["value"] == pytest.approx(0.25, **exactly)
    assert pairs["all_over_best"]["value"] == pytest.approx(0, **exactly)


def test_intervals_of_one_seed_are_those_of_shares_and_their_differences() -> None:
    overall = roles(outcomes())["overall"]
    share = Share.of([True, True, False, False])
    assert overall["encoders"]["b"]["capacity"]["ci95"] == [share.low, share.high]
    lost = Difference.of([True, True, True, False], [True, True, False, False])
    assert overall["encoders"]["c"]["necessity"]["ci95"] == [lost.low, lost.high]
    low, high = overall["encoders"]["c"]["cur"]["ci95"]
    assert 0 <= low < 1 / 3 < high <= 1


def test_several_seeds_are_drawn_with_the_questions() -> None:
    right = dict(outcomes().right)
    right["a",] = np.array([[True] * 4, [False] * 4])
    of = roles(outcomes(right=right))["overall"]["encoders"]["a"]["capacity"]
    assert (of["value"], of["ci95"], of["n"]) == (0.5, [0, 1], 4)


def test_a_score_of_nothing_has_no_cur() -> None:
    right = {names: np.zeros((1, 4), dtype=bool) for names in RIGHT}
    found = roles(outcomes(right=right))
    nothing = {"value": None, "ci95": [None, None], "n": 4}
    assert found["overall"]["encoders"]["a"]["cur"] == nothing
    assert found["overall"]["information_gap"] == found["overall"]["tau"] == nothing
    assert "not known" in Page(roles_page(found, model="")).text


def test_a_set_that_the_figures_need_is_named() -> None:
    right = {names: of for names, of in outcomes().right.items() if names != ("a", "c")}
    assert "table has no answers of a+c" in fault(outcomes, right=right)
    # Any other may lack; then nobody knows the best pair.
    some = {n: of for n, of in outcomes().right.items() if len(n) != 2}
    four = {("a", "b", "c", "d")[:size]: some["a",] for size in (3, 4)}
    alone = {(name,): some["a",] for name in "abcd"}
    rest = {tuple(n for n in "abcd" if n != name): some["a",] for name in "abcd"}
    pool = ("a", "b", "c", "d")
    found = roles(outcomes(pool=pool, right={**alone, **rest, **four}))
    assert found["overall"]["pairs"] is None


def test_rankings() -> None:
    a = np.array([[1.0, 2, 3, 4], [1, 1, 1, 1]])
    assert kendall_tau(a, np.array([1.0, 3, 2, 4])) == pytest.approx([4 / 6, np.nan], nan_ok=True)
    assert kendall_tau(a[0], -a[0]) == -1


def test_what_a_line_over_parameters_leaves() -> None:
    left = residuals([0.1, 0.2, 0.6], [1, 10, 100])
    assert left == pytest.approx([0.05, -0.1, 0.05], abs=1e-9)


def test_effective_rank() -> None:
    assert effective_rank(torch.linalg.svdvals(torch.eye(7))) == pytest.approx(7, abs=1e-9)
    one = torch.outer(torch.arange(1.0, 9), torch.tensor([3.0, -1, 2])).double()
    assert effective_rank(torch.linalg.svdvals(one)) == pytest.approx(1, abs=1e-9)
    assert effective_rank(torch.tensor([0.5, 0.25, 0.25])) == pytest.approx(2**1.5, abs=1e-9)
    assert effective_rank(torch.zeros(3)) == 0


def test_tokens_are_centred_and_few_of_them_have_no_rank() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(60, 4).double() + 100
    sums = TokenSums()
    assert sums.measure() == {"tokens": 0, "channels": 0, "rank": None}
    sums.add(tokens[:39])
    assert sums.measure() == FEW
    sums.add(tokens[39:])
    centred = torch.linalg.svdvals(tokens - tokens.mean(dim=0))
    assert sums.measure()["rank"] == pytest.approx(effective_rank(centred), abs=1e-6)
    flat = TokenSums()
    flat.add(torch.outer(torch.arange(50.0), torch.tensor([1.0, 2])) + 5)
    assert flat.measure()["rank"] == pytest.approx(1, abs=1e-9)


def test_the_page_needs_nothing_else() -> None:
    ranks = {n: {w: {"before": RANK, "after": FEW} for w in ("alone", "joint")} for n in "abc"}
    given = outcomes(parameters={"a": 10, "b": 100, "c": 1000}, ranks=ranks)
    found = roles(given)
    assert found["ranks"]["encoders"]["b"]["residual"] == pytest.approx(1 / 6)
    assert len(found["notes"]) == 6
    assert "a, alone, after the projector: 39 tokens of 4 channels are too few" in found["notes"][0]
    html = roles_page(found, model="")
    page = Page(html)
    assert page.links == []
    assert (page.tags["script"], page.tags["y"], page.tags["h1"]) == (0, 0, 1)
    assert page.tags["svg"] == 6  # three of them a panel of each domain and of all
    assert page.tags["caption"] == page.tags["table"]
    assert "Made by openmova roles" in page.text and "with the model" not in page.text
    assert all(note in page.text for note in found["notes"])


def test_the_table_has_every_figure_with_an_interval() -> None:
    lines = list(table(roles(outcomes())))
    assert len(lines) == 3 * (len(RIGHT) + 3 * 3 + 2)
    assert lines[0]["encoders"] == "a"
    assert {line["domain"] for line in lines} == {"", "x", "<y>"}
