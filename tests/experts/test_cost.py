"""What an expert costs is measured once on a machine, and remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from commands import fault
from experts.onnx_files import tiny_graph
from openmova.experts.pool import ExpertPool
from tiny import TinyExpert, spec


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path / "cache"))


def test_operations_are_counted_and_seconds_measured_once() -> None:
    pool = ExpertPool([spec("one"), spec("two", channels=5)])
    cost = pool.cost(0)
    assert cost.operations == 2 * 6 * (4 * 4) * (3 * 2 * 2)  # of a convolution
    assert cost.amount("seconds", "one") == cost.seconds > 0
    ran = pool.get(0)
    assert isinstance(ran, TinyExpert) and ran.batches == [1, 1]
    again = ExpertPool(pool.specs)
    assert again.cost(0) == cost
    assert again.built == []  # it was not even read
    assert again.cost(1).operations == cost.operations * 5 / 6
    assert again.to(torch.float64).cost(0).seconds > 0
    assert set(again.built) == {"one", "two"}  # other numbers are measured anew


def test_the_operations_of_a_graph_are_not_known(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "graph.onnx").write_bytes(tiny_graph())
    graph = {"kind": "onnx", "name": "graph", "descriptions": ["sees"], "path": "graph.onnx"}
    cost = ExpertPool([graph], tmp_path).cost(0)
    assert cost.seconds > 0
    assert "give the budget in seconds" in fault(cost.amount, "operations", "graph")
