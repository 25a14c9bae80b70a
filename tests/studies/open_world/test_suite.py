"""The open-world suite: who reads the descriptions passes it, whatever the order of the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from openmova.checkpoints.tiny import tiny_mova
from openmova.inference.mova import Mova
from openmova.routing import RoutingResult
from studies.open_world.instructions import open_world
from studies.open_world.suite import items, run

EXPERTS = open_world().held_out


@pytest.fixture(scope="module")
def mova() -> Mova:
    return Mova(*tiny_mova())


def router(mova: Mova, choose: Callable[[list[str], str], list[bool]]) -> Callable[..., Any]:
    """A `route` that sees what is in the prompts: descriptions in order, and the question."""

    def route(ids: Tensor, mask: Tensor, base_map: Tensor, *, pool_size: int) -> Any:
        rows = []
        for row, seen in zip(ids, mask.bool(), strict=True):
            prompt = mova.processor.tokenizer.decode(row[seen])
            pool, question = prompt.split("Model pool:\n")[1].split("\n\nQuestion:\n")
            descriptions = [line.split(". ", 1)[1] for line in pool.split("\n")]
            assert len(descriptions) == pool_size
            rows.append(choose(descriptions, question))
        routing = torch.tensor(rows)
        return RoutingResult(routing, routing.float(), [""] * len(rows), torch.empty(0))

    return route


def reading(descriptions: list[str], question: str) -> list[bool]:
    (right,) = [e for e in EXPERTS.values() if any(asked in question for asked in e.questions)]
    return [text in right.descriptions for text in descriptions]


def test_who_reads_is_right_every_time(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mova.model, "route", router(mova, reading))
    report = run(mova, seed=3)
    assert report["n"] == report["exact"]["n"] == 105
    assert report["exact"]["value"] == report["included"]["value"] == 1.0
    assert {name: share["n"] for name, share in report["experts"].items()} == dict.fromkeys(
        EXPERTS, 15
    )


def test_who_names_one_more_includes_the_right_one_and_is_not_exact(
    mova: Mova, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_more(descriptions: list[str], question: str) -> list[bool]:
        chosen = reading(descriptions, question)
        chosen[chosen.index(False)] = True
        return chosen

    monkeypatch.setattr(mova.model, "route", router(mova, one_more))
    report = run(mova, seed=0)
    assert (report["included"]["value"], report["exact"]["value"]) == (1.0, 0.0)


def test_a_fixed_letter_is_chance(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    first = router(mova, lambda descriptions, question: [True] + [False] * 6)
    monkeypatch.setattr(mova.model, "route", first)
    report = run(mova, seed=0)
    assert report["chance"] == pytest.approx(1 / 7, abs=1e-4)
    low, high = report["exact"]["ci95"]
    assert low < report["chance"] < high


def test_the_seed_decides_the_pools_and_nothing_else_does() -> None:
    once, again, other = items(0), items(0), items(1)
    assert [i.pool for i in once] == [i.pool for i in again] != [i.pool for i in other]
    assert all(a.image.tobytes() == b.image.tobytes() for a, b in zip(once, again, strict=True))
    assert [i.question for i in once] == [i.question for i in other]
    places = Counter(item.pool.index(item.expert) for item in once)
    assert set(places) == set(range(7))


def test_an_untrained_model_with_three_experts_routes_over_seven(mova: Mova) -> None:
    report = run(mova, seed=0, batch=16)
    assert report["n"] == 105
    assert 0 <= report["exact"]["value"] < 0.4
