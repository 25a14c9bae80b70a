"""A checkpoint of any usual form gives its names, shapes and tensors, and runs nothing."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from commands import fault
from openmova.checkpoints.tensors import Tensors, join, open_tensors, read_manifest

STATE = {
    "a.weight": torch.randn(3, 5).bfloat16(),
    "a.bias": torch.randn(5),
    "steps": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "half": torch.randn(2, 2).half(),
}


def save(state: dict[str, Tensor], file: Path) -> None:
    save_file(state, file) if file.suffix == ".safetensors" else torch.save(state, file)


def same(tensors: Tensors, state: dict[str, Tensor]) -> bool:
    read = {name: tensors.read(name) for name in tensors}
    return list(read) == list(state) and all(
        read[name].dtype == t.dtype and read[name].is_contiguous() and torch.equal(read[name], t)
        for name, t in state.items()
    )


def shards(folder: Path, kind: str, index: bool = True) -> Path:
    """The state in two files, with their index."""
    folder.mkdir()
    stem, suffix = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    weight_map = {}
    for number, names in enumerate((["a.bias", "a.weight"], ["empty", "half", "steps"]), 1):
        file = folder / f"{stem}-{number:05d}-of-00002.{suffix}"
        save({name: STATE[name] for name in names}, file)
        weight_map |= dict.fromkeys(names, file.name)
    if index:
        name = f"{stem}.{suffix}.index.json"
        (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("name", ["model.safetensors", "weights.bin", "weights.pth", "w.pt"])
def test_a_file_and_a_folder_with_one_file_give_the_same(tmp_path: Path, name: str) -> None:
    state = dict(sorted(STATE.items()))
    save(state, tmp_path / name)
    for tensors in (open_tensors(tmp_path / name), open_tensors(tmp_path)):
        assert same(Tensors(dict(sorted(tensors.items()))), state)
        assert tensors.files == dict.fromkeys(tensors, name)
        assert tensors.sizes == {name: (tmp_path / name).stat().st_size}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("index", [True, False])
def test_shards_are_one(tmp_path: Path, kind: str, index: bool) -> None:
    tensors = open_tensors(shards(tmp_path / "c", kind, index))
    assert same(Tensors(dict(sorted(tensors.items()))), dict(sorted(STATE.items())))
    assert "00002-of-00002" in tensors.files["steps"]
    assert len(tensors.sizes) == 2


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    save({"old": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    save({"new": torch.ones(1)}, tmp_path / "model.safetensors")
    assert set(open_tensors(tmp_path)) == {"new"}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_missing_shard_is_named(tmp_path: Path, kind: str) -> None:
    folder = shards(tmp_path / "c", kind)
    (file,) = folder.glob("*-00002-of-*")
    file.unlink()
    assert f"lacks {file.name}" in fault(open_tensors, folder)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        *((text, "index.json is no index") for text in ("", "[]", "{}", '{"weight_map": 3}')),
        ('{"weight_map": {"a": 1}}', "lacks 1"),
        ('{"weight_map": {"a": "../weights.bin"}}', "lacks ../weights.bin"),
        ('{"weight_map": {"a": "/weights.bin"}}', "lacks /weights.bin"),
        ('{"weight_map": {"a": ".."}}', "lacks .."),
        ('{"weight_map": {"b": "one.bin"}}', "one.bin lacks b, which the index promises"),
    ],
)
def test_an_index_names_tensors_of_files_beside_it(tmp_path: Path, content: str, told: str) -> None:
    for folder in (tmp_path, tmp_path / "c"):
        folder.mkdir(exist_ok=True)
        save({"a": torch.ones(1)}, folder / ("one.bin" if folder.name == "c" else "weights.bin"))
    (tmp_path / "c" / "model.safetensors.index.json").write_text(content)
    assert told in fault(open_tensors, tmp_path / "c")


def test_a_key_in_two_shards_without_an_index_is_an_error(tmp_path: Path) -> None:
    for number in (1, 2):
        save({"a": torch.ones(1)}, tmp_path / f"m-{number:05d}-of-00002.safetensors")
    assert "a is in m-00001-of-00002" in fault(open_tensors, tmp_path)


def test_no_weights_and_too_many(tmp_path: Path) -> None:
    assert "no file and no folder" in fault(open_tensors, tmp_path / "nothing")
    assert "holds no weights" in fault(open_tensors, tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    assert "is no file of weights" in fault(open_tensors, tmp_path / "notes.txt")
    for name in ("one.bin", "two.bin", "optimizer.bin"):
        save(STATE, tmp_path / name)
    assert "several files of weights (one.bin, two.bin)" in fault(open_tensors, tmp_path)


def test_a_git_pointer_is_told(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "Git LFS pointer" in fault(open_tensors, tmp_path)


def test_several_checkpoints_are_read_as_one(tmp_path: Path) -> None:
    save(STATE, tmp_path / "sam.pth")
    joined = join({"sam": open_tensors(tmp_path), "fresh": Tensors(STATE)})
    assert torch.equal(joined.read("sam:a.bias"), joined.read("fresh:a.bias"))
    assert joined.files["sam:a.bias"] == "sam/sam.pth"
    assert joined.files["fresh:a.bias"] == "fresh/memory"
    assert list(joined.sizes) == ["sam/sam.pth"]
    assert len(joined) == 2 * len(STATE)


def test_a_manifest_has_names_but_no_values(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({"tensors": {"a": {"shape": [2, 3]}}}))
    (tensor,) = read_manifest(file).values()
    assert tensor.is_meta and (tensor.shape, tensor.dtype) == ((2, 3), torch.bfloat16)
    assert read_manifest(file).files == {"a": "manifest.json"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tensors": [1]}', '{"tensors": {"a": {}}}'])
def test_a_broken_manifest_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.json").write_text(content)
    assert "m.json is no manifest" in fault(read_manifest, tmp_path / "m.json")


# PyTorch's own files


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def saved(tmp_path: Path, content: Any, zipped: bool = True) -> Path:
    file = tmp_path / "weights.bin"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file


@pytest.mark.parametrize("zipped", [True, False])
def test_every_kind_of_tensor_comes_back_equal(tmp_path: Path, zipped: bool) -> None:
    flat = torch.randn(24)
    state = OrderedDict(
        plain=torch.randn(4, 6),
        parameter=nn.Parameter(torch.randn(3)),
        scalar=torch.tensor(2.5, dtype=torch.float64),
        flags=torch.tensor([True, False]),
        empty=torch.zeros(2, 0),
        part=flat[6:12].view(2, 3),  # the same storage,
        alias=flat,  # twice,
        turned=flat.view(4, 6).T,  # in another order,
        every_second=flat[::2],
        spread=torch.ones(1).expand(3, 2),
    )
    assert same(open_tensors(saved(tmp_path, state, zipped)), state)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module"])
def test_a_training_checkpoint_is_unwrapped(tmp_path: Path, wrapper: str) -> None:
    path = saved(tmp_path, {"epoch": 3, wrapper: {"a": torch.ones(2)}, "optimizer": {"x": [1]}})
    assert list(open_tensors(path)) == ["a"]


def test_a_compressed_file_is_loaded_as_a_whole(tmp_path: Path) -> None:
    path = saved(tmp_path, {"a": torch.arange(50.0)})
    packed = tmp_path / "packed.bin"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    assert torch.equal(open_tensors(packed).read("a"), torch.arange(50.0))


@pytest.mark.parametrize("kind", ["zipped", "older", "bare"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, kind: str, wrapped: bool) -> None:
    mark = tmp_path / "was_here"
    content: Any = {"a": torch.ones(2), "b": Attack(mark)}
    path = saved(tmp_path, {"state_dict": content} if wrapped else content, kind == "zipped")
    if kind == "bare":
        path.write_bytes(pickle.dumps(Attack(mark)))
    message = fault(open_tensors, path)
    assert "weights.bin was not loaded" in message
    assert f"asks for {'something' if kind == 'bare' else 'posix.system'}" in message
    assert not mark.exists()


HEADERS = (
    b"no json",
    b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
    b'{"a": {"dtype": "F32", "shape": [99], "data_offsets": [0, 396]}}',
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("w.bin", some) for some in (b"", b"PK\x03\x04", b"\x80\x02", b"hello", b"\0" * 1000)),
        *(("w.safetensors", len(h).to_bytes(8, "little") + h + b"\0" * 8) for h in HEADERS),
    ],
)
def test_a_file_of_something_else_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"{name} is damaged" in fault(open_tensors, tmp_path / name)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [10, 100, 300, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_told(tmp_path: Path, zipped: bool, kept: float) -> None:
    path = saved(tmp_path, {name: torch.randn(200) for name in "abc"}, zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
    assert "weights.bin is damaged" in fault(open_tensors, path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        *((none, "holds no tensors by name") for none in ([torch.ones(1)], {}, {"a": 3}, 5)),
        (torch.ones(2), "holds no tensors by name"),
        ({"a": torch.ones(1), "b": 3}, "weights.bin: b is no tensor (int)"),
        ({"b": torch.ones(2, 2).to_sparse()}, "b is a sparse or quantised tensor"),
    ],
)
def test_what_is_no_plain_tensor_is_named(tmp_path: Path, content: Any, told: str) -> None:
    assert told in fault(open_tensors, saved(tmp_path, content))
