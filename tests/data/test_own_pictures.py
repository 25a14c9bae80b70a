"""`openmova data from`: folders of pictures and tables become samples that training reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import mistake, output
from data.files import picture
from openmova.data.formats import read_samples
from openmova.data.own_pictures import QUESTIONS


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for name, files in {"hand_sign": ("a.png", "b.PNG"), "coin": ("a.png", "notes.txt")}.items():
        (tmp_path / "classes" / name).mkdir(parents=True)
        for file in files:
            (tmp_path / "classes" / name / file).write_bytes(picture())
    return tmp_path / "classes"


def table(folder: Path, *rows: str, header: str = "image,question,answer") -> Path:
    (folder / "red.png").write_bytes(picture())
    file = folder / "table.csv"
    file.write_text("\n".join([header, *rows]), encoding="utf-8-sig")
    return file


def test_the_name_of_a_folder_is_the_answer(classes: Path, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "mine.json"
    assert "3 samples with 2 answers" in output("data", "from", classes, "--output", file)
    samples = read_samples(file)
    read = [samples[index].open() for index in range(len(samples))]
    assert [sample.solution for sample in read] == ["coin", "hand sign", "hand sign"]
    assert [sample.question for sample in read] == list(QUESTIONS[:3])


def test_a_row_of_a_table_is_a_sample(tmp_path: Path) -> None:
    file = table(tmp_path, 'red.png,"Which one, please?",A 12', header="image,question,answer,who")
    told = output("data", "from", file, "--output", tmp_path / "mine.json", "--json")
    assert json.loads(told)["answers"] == 1
    sample = read_samples(tmp_path / "mine.json")[0].open()
    assert (sample.question, sample.solution) == ("Which one, please?", "A 12")


def test_what_can_not_be_meant(classes: Path, tmp_path: Path) -> None:
    new = ("--output", tmp_path / "new.json")
    assert "No such file" in mistake("data", "from", tmp_path / "nowhere", *new)
    assert "no pictures" in mistake("data", "from", classes / "coin", *new)
    assert "cannot read" in mistake("data", "from", classes / "coin/a.png", *new)
    for rows, header, words in (
        (("red.png,What?",), "image,question", "no column answer"),
        (("red.png,What?,",), "image,question,answer", "line 2 of table.csv lacks"),
        (("blue.png,What?,x",), "image,question,answer", "1 of the pictures"),
    ):
        assert words in mistake("data", "from", table(tmp_path, *rows, header=header), *new)
    assert "call it new.json" in mistake("data", "from", classes, "--output", "new.jsonl")
    (tmp_path / "new.json").touch()
    assert "exists already" in mistake("data", "from", classes, *new)
