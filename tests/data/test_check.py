"""The check: what a source holds, counted; what is wrong with it, told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.files import llava, messages, write_lines
from openmova.data.bad_samples import BadSample
from openmova.data.check import check
from openmova.data.contact_sheet import contact_sheet, evenly
from openmova.data.formats import read_samples
from openmova.data.sample import Sample
from openmova.data.sources import Samples

ROWS = [
    llava(id="a", experts=["sam", "dinov2"], domain="things"),
    llava(id="b", experts=["dinov2"], domain="things"),
    llava(id="b", experts=[]),
    messages(id="c", routing=True),
    llava(id="d", image=None, conversations=[{"from": "human", "value": "?"}]),
    llava(id="e", image="nowhere.png"),
    llava(id="f", experts=["dinov3"]),
]


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    return read_samples(write_lines(tmp_path / "a.jsonl", ROWS))


def test_counts_what_the_samples_hold_and_names_the_bad_ones(samples: Samples) -> None:
    report = check(samples, experts=["sam", "dinov2"])
    assert (report.samples, report.looked_at, report.with_image) == (7, 7, 4)
    assert (report.repeated_ids, report.routing) == (1, 1)
    assert report.experts == {"dinov2": 2, "sam": 1}
    assert report.experts_each == {"0": 1, "1": 1, "2": 1, "not annotated": 1}
    assert report.domains == {"things": 2, "none given": 2}
    sides = report.numbers["longest side of the picture"]
    assert sides == dict.fromkeys(("least", "median", "p95", "most"), 6)
    assert report.over is None
    assert json.loads(json.dumps(report.to_dict()))["samples"] == 7
    bad = {row["id"]: row["reason"] for row in report.bad}
    assert list(bad) == ["d", "e", "f"]
    assert "no answer to learn" in bad["d"]
    assert "no file" in bad["e"]
    assert bad["f"] == "unknown expert 'dinov3': did you mean dinov2?"


def test_without_a_model_any_name_of_an_expert_will_do_and_some_samples(samples: Samples) -> None:
    assert check(samples).experts["dinov3"] == 1
    report = check(samples, indices=[0, 5])
    assert (report.samples, report.looked_at, report.bad_share) == (7, 2, 0.5)


def test_tokens_are_counted_and_the_long_ones_told(samples: Samples) -> None:
    def measure(sample: Sample) -> tuple[int, int]:
        if sample.id == "c":
            raise BadSample("no template for it", id=sample.id)
        return {"a": 10}.get(sample.id, 30), 4

    report = check(samples, measure=measure, max_tokens=20)
    assert report.numbers["tokens"] == {"least": 10, "median": 30, "p95": 30, "most": 30}
    assert report.over == 3
    assert {"id": "c", "reason": "no template for it"} in report.bad


def test_indices_are_spread_evenly() -> None:
    assert evenly(3, 10) == [0, 1, 2]
    assert evenly(100, 4) == [0, 25, 50, 75]
    assert evenly(0, 4) == []


def test_the_contact_sheet_shows_the_good_samples(samples: Samples, tmp_path: Path) -> None:
    text = "a" * 5000 + "\n\t\u202e"
    turns = [{"from": "human", "value": text}, {"from": "gpt", "value": "\u4e16\u754c"}]
    sheets = [contact_sheet(samples.get(i) for i in [*range(len(samples))] * 2)]
    for rows in (ROWS[:1], [llava(image=None, conversations=turns)], [{}]):
        sheets.append(contact_sheet([read_samples(write_lines(tmp_path / "b.jsonl", rows)).get(0)]))
    assert sheets[0].width > sheets[1].width and sheets[0].height > sheets[1].height
    red = [(255, 0, 0) in {colour for _, colour in s.getcolors(1_000_000)} for s in sheets]
    assert red == [True, True, False, False]
