"""The ledger of bad samples: counted, listed once; too many end the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openmova.data.bad_samples import BadSample, BadSamples
from openmova.errors import UserError


def bad(number: int, source: str = "a") -> BadSample:
    return BadSample(f"reason {number}", id=str(number), source=source)


def test_a_reason_is_one_line_and_keeps_what_is_known_already() -> None:
    error = BadSample("two\nlines", id="3")
    assert error.reason == str(error) == "two lines"
    told = error.of(id="other", source="file")
    assert (told.id, told.source, told.reason) == ("3", "file", "two lines")


def test_each_bad_sample_is_listed_once_also_after_a_resume(tmp_path: Path) -> None:
    file = tmp_path / "run" / "bad_samples.jsonl"
    ledger = BadSamples(file)
    for number in (1, 2, 1):
        ledger.add(bad(number))
    with file.open("a") as torn:
        torn.write('{"source": "a"')
    resumed = BadSamples(file)
    resumed.add(bad(1))
    resumed.add(bad(3, "b"))
    lines = file.read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines[:2]] == ["1", "2"]
    assert json.loads(lines[-1]) == {"source": "b", "id": "3", "reason": "reason 3"}
    assert len(lines) == 4
    assert resumed.by_source == {"a": 1, "b": 1}


def test_a_few_bad_samples_do_not_stop_a_run_more_than_the_share_do(tmp_path: Path) -> None:
    ledger = BadSamples(tmp_path / "bad.jsonl", share=0.05)
    for number in range(100):
        if number % 20 == 0:
            ledger.add(bad(number, "docs/train.jsonl" if number else "other"))
        else:
            ledger.add_good()
    assert (ledger.good, ledger.bad) == (95, 5)
    with pytest.raises(UserError) as caught:
        for number in range(200):
            ledger.add_good()
            ledger.add(bad(number, "docs/train.jsonl"))
    for part in ("of 102 samples", "docs/train.jsonl", "bad.jsonl", "data check", "bad_share"):
        assert part in str(caught.value)


def test_a_list_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write into"):
        BadSamples(tmp_path / "file" / "bad.jsonl").add(bad(0))
