"""docs/data.md: its records are read, its Python runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from data.files import picture, write_lines
from openmova.data.formats import read_samples

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_records_and_the_python_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures" / "receipts").mkdir(parents=True)
    (tmp_path / "pictures" / "receipts" / "17.jpg").write_bytes(picture())
    records = [json.loads(block) for block in blocks("json")]
    write_lines(tmp_path / "train.jsonl", records)
    samples = read_samples("train.jsonl", images="pictures")
    llava, messages = samples[0].open(), samples[1].open()
    assert llava.turns == messages.turns[:2]
    assert (llava.experts, messages.experts) == (("pix2struct",), ())
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["index"] in (0, 1)
