"""openmova inspect: the pages and the JSON from a checkpoint, and every mistake as one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from commands import mistake, output
from data.files import llava
from pages import Page


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "0.png"
    Image.effect_noise((40, 30), 60).save(path)
    return path


@pytest.fixture
def data(tmp_path: Path, picture: Path) -> Path:
    records = [
        llava(f"<image>\nWhich {number}?", "x", image=picture.name, experts=["chart"])
        for number in range(6)
    ]
    path = tmp_path / "data.json"
    path.write_text(json.dumps(records))
    return path


def test_one_question(model: Path, picture: Path, tmp_path: Path) -> None:
    options = ("--model", model, "--max-new-tokens", 4)
    page = tmp_path / "report.html"
    command = ("inspect", picture, "What is shown?", *options)
    told = json.loads(output(*command, "-o", page, "--json").splitlines()[-1])
    assert told["image"] == str(picture)
    assert [other["what"] for other in told["switched"]][-1] == "all experts"
    assert "What is shown?" in Page(page.read_text()).text
    assert next(iter(told["words"])) == "as routed"
    assert [len(grid) for grid in told["words"]["as routed"]["input"]] == [4]
    assert "the router wrote" in output(*command)


def test_a_data_set_goes_on_and_is_shown_again_without_the_model(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "report.html"
    options = ("--model", model, "--max-new-tokens", 3, "-o", page, "--json")
    command = ("inspect", "--data", data, *options)
    first = output(*command).splitlines()[-1]
    told = json.loads(first)
    assert (told["asked"], told["routing"]["n"]) == (6, 6)
    before = page.read_text()
    page.unlink()
    monkeypatch.setattr("openmova.inference.mova.Mova.from_pretrained", None)
    assert output(*command).splitlines()[-1] == first
    assert page.read_text() == before
    assert "samples: None -> 2" in mistake(*command, "--samples", 2)


def test_a_dump_is_written_and_nothing_else(model: Path, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "dump.parquet"
    options = ("--data", data, "--samples", 2, "--model", model)
    assert "2 samples" in output("inspect", *options, "--dump", path)
    assert path.exists()
    assert "--dump is of a data set alone" in mistake("inspect", "--dump", path)
    assert "end its name with .parquet" in mistake("inspect", *options, "--dump", "dump.csv")


def test_a_data_set_without_a_page_leaves_nothing(model: Path, data: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    options = ("--model", model, "--max-new-tokens", 3, "--samples", 2)
    assert "2 of 6 samples" in output("inspect", "--data", data, *options)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "Give IMAGE and QUESTION, or --data FILE"),
        (("PICTURE",), "Give IMAGE and QUESTION, or --data FILE"),
        (("PICTURE", "What?", "--data", "DATA"), "not both"),
        (("PICTURE", "What?", "--samples", "3"), "belong to --data"),
        (("PICTURE", " "), "the question is empty"),
        (("ghost.png", "What?"), "there is no file 'ghost.png'"),
        (("--data", "ghost.json"), "there is no data 'ghost.json'"),
        (("PICTURE", "What?", "--model", "nono"), "there is no model 'nono'"),
        (("PICTURE", "What?", "-o", "report.pdf"), "end its name with .html"),
        (("PICTURE", "What?", "-o", "ghost/report.html"), "there is no folder 'ghost'"),
        (("PICTURE", "What?", "-o", "FOLDER.html"), "it is a folder"),
    ],
)
def test_a_mistake_is_one_line(
    picture: Path, data: Path, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    folder = tmp_path / "folder.html"
    folder.mkdir()
    places = {"PICTURE": picture, "DATA": data, "FOLDER.html": folder}
    assert told in mistake("inspect", *(places.get(option, option) for option in options))
