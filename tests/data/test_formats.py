"""Every format gives the same samples; what holds no data is told in one line."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("nowhere.json", None, "there is no data"),
        ("*.jsonl", None, "there is no data"),
        ("a\0b.json", None, "there is no data"),
        ("broken.json", b"{", "broken.json is no JSON"),
        ("object.json", b'{"a": 1}', "no array of samples"),
        ("deep.json", b"[" * 200_000, "deep.json is no JSON"),
        ("latin.json", b'["\xe9"]', "is no JSON"),
        ("a.tar", b"hello", "no plain tar"),
        ("empty.tar", b"", "no plain tar"),
        ("a.csv", b"", "in no known format"),
        (".", None, "holds no data in a known format"),
        ("hub:nothing", None, "no dataset of the hub"),
    ],
)
def test_files_without_data(tmp_path: Path, path: str, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / path).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_samples(path if path.startswith("hub:") else tmp_path / path)
    assert told in str(caught.value)


def test_several_files_and_several_splits_are_no_source(tmp_path: Path) -> None:
    for name in ("a.json", "b.json", "dataset_dict.json"):
        (tmp_path / name).write_text("[]")
    with pytest.raises(UserError, match="each as a source of its own"):
        read_samples(tmp_path / "*.json")
    with pytest.raises(UserError, match="several splits"):
        read_samples(tmp_path)
