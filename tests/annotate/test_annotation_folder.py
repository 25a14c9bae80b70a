"""An annotation's folder: every loss and the choice, for the same settings only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from openmova.annotate.annotation_folder import AnnotationFolder, Settings
from openmova.annotate.shards import Shard, write_shard
from openmova.data.formats import read_samples
from openmova.data.sources import RecordList
from openmova.errors import UserError

LOSSES = {
    "base": [1.0, 1.0, 1.0, float("nan")],
    "ocr": [0.5, 1.5, 0.9, float("nan")],
    "chart": [0.7, 1.1, 1.2, float("nan")],
}
SETTINGS = Settings(
    data="data", samples=4, pool=("ocr", "chart"), models=dict.fromkeys(LOSSES, "tiny")
)


def record(id: str, **changes: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That"}]
    return {"id": id, "messages": turns, **changes}


SAMPLES = RecordList("data", [record("a"), record("a"), record("c"), {"id": "d"}], Path())
IDS = ["a", "a", "c", "d"]


def computed(path: Path, *probes: str) -> AnnotationFolder:
    folder = AnnotationFolder(path)
    folder.begin(SETTINGS)
    for probe in SETTINGS.probes:
        if probe.name in probes:
            losses = LOSSES[probe.name]
            write_shard(
                folder.losses(probe),
                Shard(),
                IDS,
                lambda rows, x=losses: x,
                about={"model": "tiny"},
            )
    return folder


def test_it_holds_all_losses_the_chosen_and_the_data_with_them(tmp_path: Path) -> None:
    folder = computed(tmp_path, *LOSSES)
    found = folder.merge(SAMPLES)
    assert found == {
        "samples": 4,
        "experts": {"ocr": 2, "chart": 1},
        "experts_each": {"0": 2, "1": 1, "2": 1},
        "without_loss": 1,
        "agreement": None,
    }
    table = pq.read_table(folder.table).to_pydict()
    assert table["row"] == [0, 1, 2, 3]
    assert table["id"] == IDS
    assert table["experts"] == [["ocr", "chart"], [], ["ocr"], []]
    for name, losses in LOSSES.items():
        assert table[f"loss_{name}"][:3] == pytest.approx(losses[:3])
    read = read_samples(folder.data)
    assert [read[i].experts for i in range(len(read))] == [("ocr", "chart"), (), ("ocr",)]


def test_experts_that_the_data_had_are_compared_with_the_choice(tmp_path: Path) -> None:
    had = [record("a", experts=["ocr"]), record("a"), record("c", experts=["ocr"]), {"id": "d"}]
    found = computed(tmp_path, *LOSSES).merge(RecordList("data", had, Path()))["agreement"]
    assert (found["samples"], found["exact"]) == (2, 0.5)
    assert found["experts"]["chart"] == {"precision": 0.0, "recall": None}
    assert (found["best_margin"], found["best_exact"]) == (0.0, 0.5)


def test_a_margin_chooses_less_and_is_noted(tmp_path: Path) -> None:
    folder = computed(tmp_path, *LOSSES)
    folder.merge(SAMPLES, margin=0.4)
    table = pq.read_table(folder.table)
    assert table["experts"].to_pylist() == [["ocr"], [], [], []]
    assert json.loads(table.schema.metadata[b"openmova"]) == {"margin": 0.4}


def test_merging_again_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = computed(tmp_path, *LOSSES)
    folder.merge(SAMPLES)
    before = folder.table.read_bytes(), folder.data.read_bytes()
    folder.merge(SAMPLES)
    assert (folder.table.read_bytes(), folder.data.read_bytes()) == before


def test_a_probe_without_losses_is_named(tmp_path: Path) -> None:
    folder = computed(tmp_path, "base", "ocr")
    with pytest.raises(UserError, match=r"chart lacks 4 of 4 rows, among them 0 \('a'\)"):
        folder.merge(SAMPLES)
    assert not folder.table.exists()


def test_other_settings_are_refused_and_shown(tmp_path: Path) -> None:
    folder = AnnotationFolder(tmp_path)
    folder.begin(SETTINGS)
    folder.begin(SETTINGS)
    assert folder.settings() == SETTINGS
    with pytest.raises(UserError, match=r"\(batch: 8 -> 4\)"):
        folder.begin(replace(SETTINGS, batch=4))


@pytest.mark.parametrize("text", [None, "{", json.dumps({"pool": ["a"], "more": 1})])
def test_a_folder_without_annotation_is_refused(tmp_path: Path, text: str | None) -> None:
    folder = AnnotationFolder(tmp_path)
    if text is not None:
        folder.noted.write_text(text)
    with pytest.raises(UserError, match="no annotation that was begun"):
        folder.merge(SAMPLES)
