"""Every format gives the same samples; a damaged file costs its own samples and no others."""

from __future__ import annotations

import builtins
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.files import llava, messages, picture, shard_members, write_lines, write_tar
from openmova.data.bad import BadSample
from openmova.data.formats import read_samples
from openmova.data.sample import Sample
from openmova.data.samples import Samples
from openmova.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path_factory.mktemp("cache")))


def sort_out(samples: Samples) -> tuple[list[Sample], list[str]]:
    """The good samples, opened, and the reasons of the bad ones."""
    good, bad = [], []
    for index in range(len(samples)):
        try:
            good.append(samples[index].opened())
        except BadSample as error:
            assert error.source == samples.name
            assert error.id
            bad.append(error.reason)
    return good, bad


def write(kind: str, folder: Path, count: int) -> Path:
    rows = [llava(id=f"s{i}", experts=["sam"]) for i in range(count)]
    if kind == "jsonl":
        return write_lines(folder / "a.jsonl", rows)
    write_lines(folder / "metadata.jsonl", rows)
    if kind == "json":
        (folder / "a.json").write_text(json.dumps(rows))
        return folder / "a.json"
    if kind == "imagefolder":
        return folder
    if kind == "tar":
        members: dict[str, bytes] = {}
        for i, row in enumerate(rows):
            members |= {f"{i}.json": json.dumps(row).encode(), f"{i}.png": picture()}
        return write_tar(folder / "a.tar", members)
    datasets = pytest.importorskip("datasets")
    hf = [
        messages(id=f"s{i}", experts=["sam"], images=[{"bytes": picture(), "path": None}])
        for i in range(count)
    ]
    table = datasets.Dataset.from_list(hf)
    (folder / "metadata.jsonl").unlink()
    if kind == "parquet":
        table.to_parquet(str(folder / "a.parquet"))
        return folder / "a.parquet"
    if kind == "images":  # as trl's datasets are: the column is one of pictures
        feature = datasets.List(datasets.Image())
        table.cast_column("images", feature).to_parquet(str(folder / "a.parquet"))
        return folder
    table.save_to_disk(str(folder / "saved"))
    return folder / "saved"


KINDS = ["json", "jsonl", "imagefolder", "tar", "parquet", "images", "saved"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_samples_in_any_order(kind: str, tmp_path: Path) -> None:
    samples = read_samples(write(kind, tmp_path, 5))
    assert len(samples) == 5
    for index in (3, 0, 4, 3):
        sample = samples[index].opened()
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
    assert read_samples(path, images=tmp_path / "pictures")[0].opened().image is not None
    with pytest.raises(UserError, match="no folder of images"):
        read_samples(path, images=tmp_path / "nowhere")


def test_a_streamed_dataset_gives_the_same_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from openmova.data.hf_datasets import KEPT_ROWS, StreamedRows

    count = 2 * KEPT_ROWS + 5
    path = str(write("parquet", tmp_path, count))
    rows = datasets.load_dataset("parquet", data_files=path, split="train", streaming=True)
    samples = StreamedRows("hub", rows, count, tmp_path)
    for index in [0, 1, 1, 4, 3, 50, 51, 2, *range(count), 0]:
        assert samples[index].id == f"s{index}"
    assert samples[7].opened().image is not None
    assert not samples.random_access


def test_a_stream_that_ends_early_is_told(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from openmova.data.hf_datasets import StreamedRows

    path = str(write("parquet", tmp_path, 3))
    rows = datasets.load_dataset("parquet", data_files=path, split="train", streaming=True)
    with pytest.raises(UserError, match="ended before its 9 samples"):
        StreamedRows("hub", rows, 9, tmp_path)[5]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A hub of one dataset of three samples; what was asked of it."""
    datasets = pytest.importorskip("datasets")
    load, path, asked = datasets.load_dataset, str(write("parquet", tmp_path, 3)), []

    def load_dataset(name: str, subset: str | None, *, split: str, streaming: bool) -> Any:
        asked.append((name, subset, split, streaming))
        if name == "o/unreachable":
            raise ConnectionError("no\nnetwork")
        cache = str(tmp_path / "hub")
        loaded = load(
            "parquet", data_files={split: path}, split=split, streaming=streaming, cache_dir=cache
        )
        if name != "o/unsized":
            splits = {split: {"name": split, "num_examples": 3}}
            loaded.info.splits = datasets.SplitDict.from_split_dict(splits)
        return loaded

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_dataset_of_the_hub_is_named_with_subset_and_split(hub: list[tuple[Any, ...]]) -> None:
    for address in ("hub:o/data", "hub:o/data/part", "stream:o/data:val", "hub:o/data/part:val"):
        samples = read_samples(address)
        assert (len(samples), samples.name) == (3, "o/data")
        assert samples[1].opened().id == "s1"
        assert samples.random_access == address.startswith("hub:")
    assert hub == [
        ("o/data", None, "train", False),
        ("o/data", "part", "train", False),
        ("o/data", None, "val", True),
        ("o/data", "part", "val", False),
    ]


def test_a_stream_that_does_not_know_its_length(hub: list[tuple[Any, ...]]) -> None:
    with pytest.raises(UserError, match=r"download it \(hub:o/unsized\)"):
        read_samples("stream:o/unsized")


def test_a_hub_that_cannot_be_reached(hub: list[tuple[Any, ...]]) -> None:
    with pytest.raises(UserError, match=r"o/unreachable can't be read \(no network\)"):
        read_samples("hub:o/unreachable")


def test_a_parquet_file_that_changed_is_read_again(tmp_path: Path) -> None:
    assert len(read_samples(write("parquet", tmp_path, 2))) == 2
    assert len(read_samples(write("parquet", tmp_path, 5))) == 5


def test_a_broken_line_is_the_only_one_lost(tmp_path: Path) -> None:
    lines = [llava(id="a"), '{"id": "b", "conversa', "", "[1]", "\x00", llava(id="c")]
    samples = read_samples(write_lines(tmp_path / "a.jsonl", lines))
    good, bad = sort_out(samples)
    assert [sample.id for sample in good] == ["a", "c"]
    assert len(bad) == 3
    assert bad[0].startswith("the line is no JSON")
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


def test_a_deeply_nested_line_is_a_bad_sample(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [llava(), "[" * 200_000])
    assert len(sort_out(read_samples(path))[1]) == 1


def test_pictures_that_are_none(tmp_path: Path) -> None:
    names = ["red.png", "text.png", "cut.png", "empty.png", "nowhere.png", ".", "http://a/b.png"]
    path = write_lines(tmp_path / "a.jsonl", [llava(image=name) for name in names])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes(picture(side=50)[:60])
    (tmp_path / "empty.png").touch()
    good, bad = sort_out(read_samples(path))
    assert (len(good), len(bad)) == (1, 6)


def test_a_shard_holds_the_samples_of_its_keys(tmp_path: Path) -> None:
    members = {
        **shard_members(1),
        "0002.png": picture(),
        "0003.json": b"{",
        "folder/0004.json": json.dumps(llava(id="s4")).encode(),
        "folder/0004.seg.PNG": b"another member",
        "folder/0004.JPG": picture(),
        "0005.json": json.dumps(llava(id="s5")).encode(),
        "0006.json": json.dumps(llava(id="s6")).encode(),
        "0006.png": picture(),
        "0006.jpg": picture(),
        "README": b"not a sample",
    }
    good, bad = sort_out(read_samples(write_tar(tmp_path / "a.tar", members)))
    assert [sample.id for sample in good] == ["s0", "s4"]
    for reason, part in zip(bad, ("no .json", "no JSON", "no member", "several"), strict=True):
        assert part in reason


def test_several_shards_are_one_source_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number, start in ((1, 3), (0, 0)):
        write_tar(tmp_path / f"shard-{number}.tar", shard_members(3, start))
    by_pattern, folder = read_samples(tmp_path / "shard-*.tar"), read_samples(tmp_path)
    assert [by_pattern[i].id for i in range(6)] == [f"s{i}" for i in range(6)]
    assert [folder[i].id for i in range(6)] == [f"s{i}" for i in range(6)]


@pytest.mark.parametrize("cut", range(600, 7168, 331))
def test_a_shard_that_is_cut_short_keeps_its_whole_samples(tmp_path: Path, cut: int) -> None:
    path = write_tar(tmp_path / "a.tar", shard_members(3))
    path.write_bytes(path.read_bytes()[:cut])
    good, bad = sort_out(read_samples(path))
    assert [sample.id for sample in good] == [f"s{i}" for i in range(len(good))]
    assert any("cut short" in reason for reason in bad) == (cut < 6144 + 512)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_shards_give_samples_bad_samples_or_one_error(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = write_tar(tmp_path / f"{seed}.tar", shard_members(3))
    data = bytearray(path.read_bytes()[:7168])
    for _ in range(rng.randint(1, 30)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.randint(1, len(data))])
    try:
        sort_out(read_samples(path))
    except UserError as error:
        assert "no plain tar" in str(error)


def test_the_index_of_a_shard_is_made_once_and_again_when_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openmova.data import tars

    scans: list[Path] = []
    scan = tars._scan
    monkeypatch.setattr(tars, "_scan", lambda p, size: scans.append(p) or scan(p, size))
    path = write_tar(tmp_path / "a.tar", shard_members(2))
    assert len(read_samples(path)) == len(read_samples(path)) == 2
    assert len(scans) == 1
    write_tar(path, shard_members(9))
    assert len(read_samples(path)) == 9


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
        "deep": (folder / "deep.json", "nested too deeply"),
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


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="can't be read"):
        read_samples(tmp_path / "a.parquet")


def test_without_the_optional_package_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.parquet").touch()
    plain = builtins.__import__

    def without_datasets(name: str, *rest: Any, **options: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return plain(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_datasets)
    with pytest.raises(UserError, match=r"pip install \"openmova\[train\]\""):
        read_samples(tmp_path / "a.parquet")
