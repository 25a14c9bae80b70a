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
from torch import nn

from openmova.checkpoints.tensors import (
    TensorInfo,
    Tensors,
    join,
    open_tensors,
    read_manifest,
)
from openmova.errors import UserError

STATE = {
    "a.weight": torch.randn(3, 5).bfloat16(),
    "a.bias": torch.randn(5),
    "steps": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "half": torch.randn(2, 2).half(),
}


def same(tensors: Tensors, state: dict[str, torch.Tensor]) -> bool:
    read = {name: tensors.read(name) for name in tensors.names()}
    return read.keys() == state.keys() and all(
        read[name].dtype == t.dtype
        and read[name].shape == t.shape
        and read[name].is_contiguous()
        and torch.equal(read[name], t)
        for name, t in state.items()
    )


def shards(folder: Path, kind: str, index: bool = True) -> Path:
    """The state in two files, with their index."""
    folder.mkdir()
    stem, suffix = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    weight_map = {}
    for number, names in enumerate((["a.weight", "steps"], ["a.bias", "empty", "half"]), 1):
        file = folder / f"{stem}-{number:05d}-of-00002.{suffix}"
        state = {name: STATE[name] for name in names}
        save_file(state, file) if kind == "safetensors" else torch.save(state, file)
        weight_map |= dict.fromkeys(names, file.name)
    if index:
        name = f"{stem}.{suffix}.index.json"
        (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("name", ["model.safetensors", "weights.bin", "weights.pth", "w.pt"])
def test_a_file_and_a_folder_with_one_file_give_the_same(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    save_file(STATE, file) if name.endswith("safetensors") else torch.save(STATE, file)
    for tensors in (open_tensors(file), open_tensors(tmp_path)):
        assert same(tensors, STATE)
        assert tensors.names()["a.weight"] == TensorInfo(shape=(3, 5), dtype="bfloat16")
        assert tensors.file("a.weight") == name
        assert tensors.sizes == {name: file.stat().st_size}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("index", [True, False])
def test_shards_are_one(tmp_path: Path, kind: str, index: bool) -> None:
    tensors = open_tensors(shards(tmp_path / "c", kind, index))
    assert same(tensors, STATE)
    assert "00001-of-00002" in tensors.file("steps")
    assert len(tensors.sizes) == 2


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    torch.save({"old": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    save_file({"new": torch.ones(1)}, tmp_path / "model.safetensors")
    assert set(open_tensors(tmp_path).names()) == {"new"}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_missing_shard_is_named(tmp_path: Path, kind: str) -> None:
    folder = shards(tmp_path / "c", kind)
    (file,) = folder.glob("*-00002-of-*")
    file.unlink()
    with pytest.raises(UserError, match=f"lacks {file.name}"):
        open_tensors(folder)


def test_what_the_index_promises_is_there(tmp_path: Path) -> None:
    folder = shards(tmp_path / "c", "bin")
    index = folder / "pytorch_model.bin.index.json"
    fields = json.loads(index.read_text())
    fields["weight_map"]["b.bias"] = "pytorch_model-00002-of-00002.bin"
    index.write_text(json.dumps(fields))
    with pytest.raises(UserError, match=r"pytorch_model-00002-of-00002\.bin lacks b\.bias"):
        open_tensors(folder)


@pytest.mark.parametrize("file", ["../weights.bin", "/weights.bin", ".."])
def test_an_index_stays_in_its_folder(tmp_path: Path, file: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(UserError, match=r"which is no file beside it|lacks \.\."):
        open_tensors(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 1}}']
)
def test_a_broken_index_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(UserError, match=r"index\.json is no index|lacks 1"):
        open_tensors(tmp_path)


def test_a_key_in_two_shards_without_an_index_is_an_error(tmp_path: Path) -> None:
    for number in (1, 2):
        save_file({"a": torch.ones(1)}, tmp_path / f"m-{number:05d}-of-00002.safetensors")
    with pytest.raises(UserError, match="a is in m-00001-of-00002"):
        open_tensors(tmp_path)


def test_no_weights_and_too_many(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file and no folder"):
        open_tensors(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds no weights"):
        open_tensors(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="is no file of weights"):
        open_tensors(tmp_path / "notes.txt")
    for name in ("one.bin", "two.bin", "optimizer.bin"):
        torch.save(STATE, tmp_path / name)
    with pytest.raises(UserError, match=r"several files of weights \(one\.bin, two\.bin\)"):
        open_tensors(tmp_path)


def test_a_git_pointer_is_told(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match="Git LFS pointer"):
        open_tensors(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        b"no json",
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [99], "data_offsets": [0, 396]}}',
    ],
)
def test_a_wrong_header_is_told(tmp_path: Path, header: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        open_tensors(file)


def test_several_checkpoints_are_read_as_one(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "sam.pth")
    joined = join({"sam": open_tensors(tmp_path), "fresh": Tensors(STATE)})
    assert torch.equal(joined.read("sam:a.bias"), joined.read("fresh:a.bias"))
    assert joined.file("sam:a.bias") == "sam/sam.pth"
    assert joined.file("fresh:a.bias") == "fresh/memory"
    assert list(joined.sizes) == ["sam/sam.pth"]
    assert len(joined.names()) == 2 * len(STATE)


def test_a_manifest_has_names_but_no_values(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({"tensors": {"a": {"shape": [2, 3]}}}))
    tensors = read_manifest(file)
    assert tensors.names() == {"a": TensorInfo(shape=(2, 3), dtype="bfloat16")}
    assert tensors.file("a") == "manifest.json"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tensors": [1]}', '{"tensors": {"a": {}}}'])
def test_a_broken_manifest_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(UserError, match=r"m\.json is no manifest"):
        read_manifest(tmp_path / "m.json")


# PyTorch's own files


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def saved(tmp_path: Path, content: Any, **options: Any) -> Path:
    file = tmp_path / "weights.bin"
    torch.save(content, file, **options)
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
    file = open_tensors(saved(tmp_path, state, _use_new_zipfile_serialization=zipped))
    assert list(file.names()) == list(state)
    for name, tensor in state.items():
        read = file.read(name)
        assert read.dtype == tensor.dtype and read.is_contiguous()
        assert torch.equal(read, tensor)
        assert file.names()[name].shape == tuple(tensor.shape)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module"])
def test_a_training_checkpoint_is_unwrapped(tmp_path: Path, wrapper: str) -> None:
    path = saved(tmp_path, {"epoch": 3, wrapper: {"a": torch.ones(2)}, "optimizer": {"x": [1]}})
    assert list(open_tensors(path).names()) == ["a"]


def test_a_compressed_file_is_loaded_as_a_whole(tmp_path: Path) -> None:
    path = saved(tmp_path, {"a": torch.arange(50.0)})
    packed = tmp_path / "packed.bin"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    assert torch.equal(open_tensors(packed).read("a"), torch.arange(50.0))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_pickle_that_would_run_code_is_refused(
    tmp_path: Path, zipped: bool, wrapped: bool
) -> None:
    mark = tmp_path / "was_here"
    content: Any = {"a": torch.ones(2), "b": Attack(mark)}
    path = saved(
        tmp_path,
        {"state_dict": content} if wrapped else content,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(UserError, match=r"weights\.bin was not loaded.* asks for posix\.system"):
        open_tensors(path)
    assert not mark.exists()


def test_a_bare_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "was_here"
    path = tmp_path / "weights.bin"
    path.write_bytes(pickle.dumps(Attack(mark)))
    with pytest.raises(UserError, match=r"weights\.bin was not loaded.* asks for something"):
        open_tensors(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02", b"hello", b"\0" * 1000])
def test_a_file_of_something_else_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.bin is damaged"):
        open_tensors(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [10, 100, 300, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_told(tmp_path: Path, zipped: bool, kept: float) -> None:
    state = {name: torch.randn(200) for name in "abc"}
    path = saved(tmp_path, state, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
    with pytest.raises(UserError, match=r"weights\.bin is damaged"):
        open_tensors(path)


@pytest.mark.parametrize("content", [[torch.ones(1)], {}, {"a": 3}, torch.ones(2), 5])
def test_no_tensors_by_name(tmp_path: Path, content: Any) -> None:
    with pytest.raises(UserError, match="holds no tensors by name"):
        open_tensors(saved(tmp_path, content))


def test_what_is_no_plain_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"weights\.bin: b is no tensor \(int\)"):
        open_tensors(saved(tmp_path, {"a": torch.ones(1), "b": 3}))
    with pytest.raises(UserError, match="b is a sparse or quantised tensor"):
        open_tensors(saved(tmp_path, {"b": torch.ones(2, 2).to_sparse()}))
