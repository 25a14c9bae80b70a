"""A cluster's losses are what its workers found, in order, and a worker's mistake is the user's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from openmova.annotate import cluster
from openmova.annotate.cluster import ClusterLosses, _Worker
from openmova.annotate.selection import AnnotationSettings
from openmova.data.bad_samples import BadSamples
from openmova.data.formats import read_samples
from openmova.errors import UserError
from openmova.runtime import ray_cluster

SETTINGS = AnnotationSettings(
    data="data", samples=4, pool=("ocr",), models={"base": "a", "ocr": "b"}
)
BASE, OCR = SETTINGS.probes
CHUNKS = [(BASE, range(2)), (BASE, range(2, 4)), (OCR, range(2))]
OPENED = partial(read_samples, "data.json")


def result(probe: str, start: int, losses: Sequence[float], **changes: Any) -> dict[str, Any]:
    return {"probe": probe, "start": start, "losses": losses, "bad": [], "error": "", **changes}


def computed(
    bad: BadSamples, results: Sequence[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> list[Sequence[float]]:
    monkeypatch.setattr(cluster, "cluster", nullcontext)
    monkeypatch.setattr(ClusterLosses, "_results", lambda self, chunks: (r for r in results))
    return list(ClusterLosses(OPENED, SETTINGS, bad).compute(CHUNKS[: len(results)]))


def test_results_in_any_order_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [result("ocr", 0, [5, 6]), result("base", 2, [3, 4]), result("base", 0, [1, 2])]
    assert computed(BadSamples(), results, monkeypatch) == [[1, 2], [3, 4], [5, 6]]


def test_bad_samples_of_workers_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"reason": "damaged", "id": "7", "source": "data"}
    bad = BadSamples(tmp_path / "bad.jsonl")
    computed(bad, [result("base", 0, [1, float("nan")], bad=[entry])], monkeypatch)
    assert (bad.good, bad.bad) == (1, 1)
    assert "damaged" in (tmp_path / "bad.jsonl").read_text()


def test_a_worker_s_mistake_is_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = {"probe": ["base"], "start": [0], "stop": [2]}
    (mistake,) = _Worker(OPENED, SETTINGS, str(tmp_path / "none"))(batch)["error"]
    with pytest.raises(UserError, match="a node of the cluster has no folder"):
        computed(BadSamples(), [result("base", 0, [], error=mistake)], monkeypatch)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_without_a_cluster(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with (
        pytest.raises(UserError, match=rf"no Ray cluster answers at {address}"),
        ray_cluster.cluster(),
    ):
        pass
