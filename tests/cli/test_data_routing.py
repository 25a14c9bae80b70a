"""openmova data routing: what it writes, and every mistake as one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from commands import mistake, output
from openmova.data.formats import read_samples

POOL = "ocr: [It reads., A reader.]\nchart: [It plots., Bars.]\nshapes: [It counts.]\n"
ROUTING = ("data", "routing")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "pool.yaml").write_text(POOL)
    lines = [json.dumps(record(number)) for number in range(30)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    return tmp_path


def record(number: int) -> dict[str, Any]:
    turns = [{"role": "user", "content": f"Question {number}?"}]
    turns += [{"role": "assistant", "content": "3"}]
    chosen = [["ocr"], ["chart", "shapes"], []][number % 3]
    return {"messages": turns, "images": ["pictures/a.png"], "experts": chosen}


def test_annotated_data_becomes_llava_json(folder: Path) -> None:
    out = folder / "new" / "routing.json"
    options = ("--pool", folder / "pool.yaml")
    told = json.loads(output(*ROUTING, folder / "data.jsonl", out, *options, "--json"))
    assert (told["instructions"], told["bad"]) == (30, 0)
    read = read_samples(out)
    answers = [read[index].turns[1].text for index in range(30)]
    assert told["none"] == answers.count("none")
    assert all(read[index].routing and read[index].open().image for index in range(30))
    assert all(answers[index] == "none" for index in range(2, 30, 3))
    again = folder / "new" / "again.json"
    output(*ROUTING, folder / "data.jsonl", again, *options)
    few = folder / "new" / "few.json"
    options += ("--no-augmentation", "--count", 9)
    fixed = output(*ROUTING, folder / "data.jsonl", few, *options)
    assert "9 routing instructions" in fixed
    prompts = [record["conversations"][0]["value"] for record in json.loads(few.read_text())]
    assert all("A. It reads.\nB. It plots.\nC. It counts.\n" in prompt for prompt in prompts)
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "whose pool?"),
        (("--pool", "no.yaml"), "No such file"),
        (("--model", "nono"), "there is no model 'nono'"),
    ],
)
def test_a_mistake_is_one_line(folder: Path, options: tuple[str, ...], told: str) -> None:
    assert told in mistake(*ROUTING, folder / "data.jsonl", folder / "routing.json", *options)
    assert not (folder / "routing.json").exists()


def test_what_is_there_is_not_overwritten(folder: Path) -> None:
    pool = folder / "pool.yaml"
    assert "exists already" in mistake(*ROUTING, folder / "data.jsonl", pool, "--pool", pool)
    assert pool.read_text() == POOL
