"""The smallest MoVA whose number of image tokens follows the routing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from inference.asking import tiny_mova
from openmova import Mova
from openmova.experts import KINDS
from tiny import TinyExpert, spec, tiny_config

KINDS["sparse"] = "serve.sparse:SparseExpert"


class SparseExpert(TinyExpert):
    """Says something of some cells only."""

    def forward(self, view: Tensor) -> Tensor:
        features = super().forward(view)
        return features * (features.mean(dim=1, keepdim=True) > 0)


def sparse_mova(**changes: Any) -> Mova:
    adapter = tiny_config().adapter
    experts = [spec("one"), spec("two", channels=5), spec("three", side=16)]
    return tiny_mova(
        experts=[{**expert, "kind": "sparse"} for expert in experts],
        adapter=replace(adapter, token_grid=adapter.grid, summary_grid=(1, 2)),
        **changes,
    )
