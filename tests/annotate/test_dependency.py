"""How far an answer depends on picture and experts: as worked by hand, and in an annotation."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.files import llava
from openmova.annotate.annotation import AnnotationFolder
from openmova.annotate.dependency import Dependency
from openmova.annotate.losses import Chunk
from openmova.annotate.selection import AnnotationSettings, probes_of
from openmova.annotate.shards import Shard
from openmova.data.check import check
from openmova.data.formats import read_samples
from openmova.data.sample import dependency_rating
from openmova.data.sources import RecordList

POOL = ("ocr", "chart")
# p of the answer: with the base alone, ocr, chart, both; with the text alone.
TABLE = {
    "both help": (0.2, 0.6, 0.3, 0.8, 0.1),
    "guessed": (0.5, 0.4, 0.4, 0.3, 0.45),
    "not sure": (0.1, 0.25, 0.1, 0.1, 0.1),
    "hurt": (0.4, 0.3, 0.3, 0.3, 0.9),
    "bad": (np.nan,) * 5,
}
CHOSEN = [("ocr", "chart"), (), ("ocr",), (), ()]
LOSSES = -np.log(np.array(list(TABLE.values())))


def test_a_table_worked_by_hand() -> None:
    found = Dependency.of(LOSSES[:, :-1], LOSSES[:, -1], CHOSEN, POOL)
    nan = np.nan
    assert found.picture == pytest.approx([0.7, 0.05, nan, -0.5, nan], abs=1e-9, nan_ok=True)
    assert found.experts[0] == pytest.approx([0.5, 0.2], abs=1e-9)
    assert np.isnan(found.experts[1:]).all()
    values = [found.value(row) for row in range(5)]
    assert values == [0.7, 0.05, None, -0.5, None]
    assert found.extremes(range(5), 24) == [3, 0]
    assert found.extremes([0, 1, 2], 2) == [1, 0]


def test_ratings_begin_at_their_bounds() -> None:
    rated = {0.0999: "1", 0.1: "2", 0.3: "3", 0.5: "4", 0.6999: "4", 0.7: "5", 1.0: "5"}
    assert {value: dependency_rating(value) for value in rated} == rated


def test_an_annotation_has_it_and_the_check_shows_it(tmp_path: Path) -> None:
    for name in TABLE:
        Image.effect_noise((20, 20), 60).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_text("no picture")
    records = [llava(id=name, image=f"{name}.png", domain=name[:4]) for name in TABLE]
    records[4]["conversations"] = []
    samples = RecordList("data", records, tmp_path)
    probes = probes_of(POOL, combinations=True, dependency=True)
    assert [probe.name for probe in probes] == ["base", "ocr", "chart", "ocr+chart", "blind"]
    columns = {probe.name: LOSSES[:, at] for at, probe in enumerate(probes)}

    def known(chunks: Sequence[Chunk]) -> Generator[list[float]]:
        for probe, rows in chunks:
            yield columns[probe.name][rows.start : rows.stop].tolist()

    settings = AnnotationSettings(
        data="data",
        samples=5,
        pool=POOL,
        models=dict.fromkeys(columns, "tiny"),
        combinations=True,
        dependency=True,
    )
    folder = AnnotationFolder(tmp_path / "annotation")
    folder.annotate(samples, settings, Shard(), compute=known, tell=str)
    found = folder.merge(samples)
    assert found["dependency"]["ratings"] == {"1": 2, "5": 1, "unknown": 1}
    assert sum(bin["n"] for bin in found["dependency"]["histogram"]) == 3
    both = found["dependency"]["domains"]["both"]
    assert both["experts"]["ocr"] == {"n": 1, "mean": pytest.approx(0.5, abs=1e-6)}
    assert both["text_only"] == pytest.approx(0.1, abs=1e-6)
    assert both["commonest_answer"] == 1

    table = pq.read_table(folder.table).to_pydict()
    assert table["dependency"] == [*map(np.float32, (0.7, 0.05)), None, -0.5, None]
    assert table["dependency_chart"][1:] == [None] * 4
    assert table["dependency_rating"][:2] == ["5", "1"]
    annotated = read_samples(folder.data)
    assert [annotated[i].dependency for i in range(4)] == [0.7, 0.05, None, -0.5]
    assert Image.open(folder.sheet).width > 400  # two extremes
    report = check(annotated)
    assert report.dependency == {"1": 2, "5": 1, "unknown": 1}
    assert check(samples).dependency == {}
