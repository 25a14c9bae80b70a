"""Every format gives the same samples; what holds no data is told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.files import llava, picture, sort_out, write_lines, write_samples
from openmova.data.formats import read_samples
from openmova.errors import UserError

KINDS = ["json", "jsonl", "imagefolder", "tar", "parquet", "images", "saved"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_samples_in_any_order(kind: str, tmp_path: Path) -> None:
    samples = read_samples(write_samples(kind, tmp_path, 5))
    assert len(samples) == 5
    for index in (3, 0, 4, 3):
        sample = samples[index].open()
        assert sample.id == f"s{index}"
        assert [turn.text for turn in sample.turns] == ["What is this?", "A square."]
        assert sample.experts == ("sam",)
        assert sample.image.getpixel((0, 0)) == (255, 0, 0)  # type: ignore[union-attr]
    with pytest.raises(IndexError):
        samples[5]


def test_a_source_is_called_by_its_folder_and_file(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "train.jsonl", [llava()])
    assert read_samples(path).name == f"{tmp_path.name}/train.jsonl"


def test_pictures_may_lie_elsewhere(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [llava(image="blue.png")])
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "blue.png").write_bytes(picture("blue"))
    assert read_samples(path, images=tmp_path / "pictures")[0].open().image is not None
    with pytest.raises(UserError, match="no folder of images"):
        read_samples(path, images=tmp_path / "nowhere")


def test_pictures_that_are_none(tmp_path: Path) -> None:
    names = ["red.png", "text.png", "cut.png", "empty.png", "nowhere.png", ".", "http://a/b.png"]
    path = write_lines(tmp_path / "a.jsonl", [llava(image=name) for name in names])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes(picture(side=50)[:60])
    (tmp_path / "empty.png").touch()
    good, bad = sort_out(read_samples(path))
    assert (len(good), len(bad)) == (1, 6)


def make_bad(folder: Path) -> dict[str, tuple[Any, str]]:
    """name → (path, part of the error)."""
    (folder / "a.json").write_text("{")
    (folder / "b.json").write_text('{"a": 1}')
    (folder / "deep.json").write_text("[" * 200_000)
    (folder / "latin.json").write_bytes(b'["\xe9"]')
    (folder / "a.tar").write_bytes(b"hello")
    (folder / "empty.tar").touch()
    (folder / "a.csv").touch()
    (folder / "empty").mkdir()
    (folder / "splits").mkdir()
    (folder / "splits" / "dataset_dict.json").touch()
    return {
        "missing": (folder / "nowhere.json", "there is no data"),
        "no file of the pattern": (folder / "*.jsonl", "there is no data"),
        "several": (folder / "*.json", "each as a source of its own"),
        "null byte": ("a\0b.json", "there is no data"),
        "broken": (folder / "a.json", "a.json is no JSON"),
        "object": (folder / "b.json", "no array of samples"),
        "deep": (folder / "deep.json", "deep.json is no JSON"),
        "not utf-8": (folder / "latin.json", "is no JSON"),
        "tar": (folder / "a.tar", "no plain tar"),
        "empty tar": (folder / "empty.tar", "no plain tar"),
        "csv": (folder / "a.csv", "in no known format"),
        "empty folder": (folder / "empty", "holds no data in a known format"),
        "splits": (folder / "splits", "several splits"),
        "hub": ("hub:nothing", "no dataset of the hub"),
    }


CASES = ["missing", "no file of the pattern", "several", "null byte", "broken", "object", "deep"]
CASES += ["not utf-8", "tar", "empty tar", "csv", "empty folder", "splits", "hub"]


@pytest.mark.parametrize("case", CASES)
def test_files_that_hold_no_data(case: str, tmp_path: Path) -> None:
    path, part = make_bad(tmp_path)[case]
    with pytest.raises(UserError) as caught:
        read_samples(path)
    assert part in str(caught.value)
