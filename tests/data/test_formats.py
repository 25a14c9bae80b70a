"""Every format gives the same samples; what holds no data is told in one line; of JSONL only the
broken lines are lost; generated samples."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.files import llava, picture, sort_out, write_lines, write_samples
from openmova.data.bad_samples import BadSample
from openmova.data.formats import read_samples
from openmova.data.synthetic import SyntheticSamples
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


def test_a_broken_line_is_the_only_one_lost(tmp_path: Path) -> None:
    nested = "[" * 200_000
    lines = [llava(id="a"), '{"id": "b", "conversa', "", "[1]", "\x00", nested, llava(id="c")]
    samples = read_samples(write_lines(tmp_path / "a.jsonl", lines))
    good, bad = sort_out(samples)
    assert [sample.id for sample in good] == ["a", "c"]
    assert len(bad) == 4
    assert bad[0].startswith("its record is no JSON")
    with pytest.raises(BadSample) as caught:
        samples[1]
    assert caught.value.id == "line 2"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_lines_never_raise_anything_else(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = write_lines(tmp_path / "a.jsonl", [llava(id=str(i)) for i in range(4)])
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.randint(1, len(data))])
    sort_out(read_samples(path))


def test_a_sample_is_a_function_of_seed_and_number() -> None:
    one, same, other = SyntheticSamples(9), SyntheticSamples(4), SyntheticSamples(9, seed=1)
    assert one[3] == same[3]
    assert one[3] != other[3]
    assert len(one) == 9
    with pytest.raises(IndexError):
        one[9]


def test_all_kinds_are_there_with_the_experts_that_they_need() -> None:
    samples = [SyntheticSamples(30)[i] for i in range(30)]
    assert {s.domain for s in samples} == {"text", "chart", "location"}
    named = {name for s in samples for name in s.experts or ()}
    assert named == {"text", "chart", "location"}
    assert any(s.experts == () for s in samples)
