"""A tiny model whose adapter listens to the experts, with a router that does what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from openmova.checkpoints.tiny import tiny_mova
from openmova.inference.mova import Mova
from openmova.routing import RoutingResult

Chosen = tuple[str, ...]
SCORES = torch.tensor([0.9, 0.2, 0.7])


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    return Image.effect_noise((96, 48), 60).convert("RGB")


@pytest.fixture(scope="session")
def listening_mova() -> Mova:
    mova = Mova(*tiny_mova())
    torch.manual_seed(0)
    with torch.no_grad():  # untrained, the adapter ignores the experts
        for weight in mova.model.model.adapter.parameters():
            weight.normal_(0, 0.2)
    return mova


@pytest.fixture
def route_to(listening_mova: Mova, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """route_to(*chosen): the router chooses these, one row after the other."""
    mova = listening_mova

    def route_to(*chosen: Chosen) -> None:
        rows: Iterator[Chosen] = iter(chosen)

        def route(ids: Any, mask: Any, base_map: torch.Tensor, **options: Any) -> RoutingResult:
            picked = [next(rows, chosen[-1]) for _ in base_map]
            routing = torch.tensor([[name in one for name in mova.experts] for one in picked])
            none = torch.zeros_like(routing)
            tokens, _ = mova.model.model.fuse(base_map, {}, none)
            scores = SCORES.expand(len(picked), -1)
            return RoutingResult(routing, scores, [""] * len(picked), tokens)

        monkeypatch.setattr(mova.model, "route", route)

    return route_to
