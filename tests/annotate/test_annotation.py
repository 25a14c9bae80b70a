"""An annotation's folder: every loss and the choice, for the same settings only."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from openmova.annotate import shards
from openmova.annotate.annotation import AnnotationFolder, agreement
from openmova.annotate.losses import Chunk
from openmova.annotate.selection import AnnotationSettings
from openmova.annotate.shards import Shard
from openmova.data.formats import read_samples
from openmova.data.sources import RecordList
from openmova.errors import UserError

LOSSES = {
    "base": [1.0, 1.0, 1.0, float("nan")],
    "ocr": [0.5, 1.5, 0.9, float("nan")],
    "chart": [0.7, 1.1, 1.2, float("nan")],
}
SETTINGS = AnnotationSettings(
    data="data", samples=4, pool=("ocr", "chart"), models=dict.fromkeys(LOSSES, "tiny")
)


def record(id: str, **changes: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That"}]
    return {"id": id, "messages": turns, **changes}


SAMPLES = RecordList("data", [record("a"), record("a"), record("c"), {"id": "d"}], Path())
IDS = ["a", "a", "c", "d"]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "CHUNK", 3)


def known(chunks: Sequence[Chunk]) -> Generator[list[float]]:
    for probe, rows in chunks:
        yield LOSSES[probe.name][rows.start : rows.stop]


def computed(path: Path, compute: Any = known, shard: str = "1/1") -> AnnotationFolder:
    folder = AnnotationFolder(path)
    folder.annotate(SAMPLES, SETTINGS, Shard.parse(shard), compute=compute, tell=str)
    return folder


def test_a_stopped_shard_goes_on_after_its_last_chunk_to_the_same_bytes(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def killed(chunks: Sequence[Chunk]) -> Generator[list[float]]:
        for number, ((probe, rows), losses) in enumerate(zip(chunks, known(chunks), strict=True)):
            if number == 3:
                raise KeyboardInterrupt
            asked.append((probe.name, rows.start))
            yield losses

    with pytest.raises(KeyboardInterrupt):
        computed(tmp_path / "killed", killed)
    (lines,) = (tmp_path / "killed").glob("losses/*/losses.jsonl")
    with lines.open("a") as file:
        file.write('{"probe": "ocr", "sta')  # where it was killed
    computed(tmp_path / "killed", killed)
    assert lines.read_text().count("\n") == 6
    assert asked == [(name, start) for name in ("base", "ocr", "chart") for start in (0, 3)]
    computed(tmp_path / "killed", killed)  # nothing is left to compute
    computed(tmp_path / "whole")
    (whole,) = (tmp_path / "whole").glob("losses/*/losses.jsonl")
    assert lines.read_bytes() == whole.read_bytes()


def test_two_processes_on_one_shard_are_refused(tmp_path: Path) -> None:
    def compute(chunks: Sequence[Chunk]) -> Generator[list[float]]:
        with pytest.raises(UserError, match=r"another run is writing into .*00001-of-00001"):
            computed(tmp_path)
        yield from known(chunks)

    computed(tmp_path, compute)


def test_it_holds_all_losses_the_chosen_and_the_data_with_them(tmp_path: Path) -> None:
    folder = computed(tmp_path)
    found = folder.merge(SAMPLES)
    assert found == {
        "samples": 4,
        "experts": {"ocr": 2, "chart": 1},
        "experts_each": {"0": 2, "1": 1, "2": 1},
        "without_loss": 1,
        "agreement": None,
        "dependency": None,
    }
    table = pq.read_table(folder.table).to_pydict()
    assert table["row"] == [0, 1, 2, 3]
    assert table["id"] == IDS
    assert table["experts"] == [["ocr", "chart"], [], ["ocr"], []]
    for name, losses in LOSSES.items():
        assert table[f"loss_{name}"][:3] == pytest.approx(losses[:3])
    read = read_samples(folder.data)
    assert [read[i].experts for i in range(len(read))] == [("ocr", "chart"), (), ("ocr",)]
    folder.merge(SAMPLES, margin=0.4)  # chooses less, and is noted
    table = pq.read_table(folder.table)
    assert table["experts"].to_pylist() == [["ocr"], [], [], []]
    assert json.loads(table.schema.metadata[b"openmova"]) == {"margin": 0.4}


def test_experts_that_the_data_had_are_compared_with_the_choice(tmp_path: Path) -> None:
    had = [record("a", experts=["ocr"]), record("a"), record("c", experts=["ocr"]), {"id": "d"}]
    found = computed(tmp_path).merge(RecordList("data", had, Path()))["agreement"]
    assert (found["samples"], found["exact"]) == (2, 0.5)
    assert found["experts"]["chart"] == {"precision": 0.0, "recall": None}
    assert (found["best_margin"], found["best_exact"]) == (0.0, 0.5)


def test_other_settings_are_refused_and_shown(tmp_path: Path) -> None:
    folder = computed(tmp_path)
    assert folder.settings() == SETTINGS
    other = replace(SETTINGS, batch=4)
    with pytest.raises(UserError, match=r"an annotation with other settings \(batch: 8 -> 4\)"):
        folder.annotate(SAMPLES, other, Shard(), compute=known, tell=str)


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
