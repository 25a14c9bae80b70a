"""A checkpoint of any usual form gives its names and shapes, and its tensors one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from openmova.checkpoints.tensors import (
    JoinedTensors,
    ManifestTensors,
    MemoryTensors,
    TensorInfo,
    Tensors,
    open_tensors,
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
        assert tensors.sizes() == {name: file.stat().st_size}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("index", [True, False])
def test_shards_are_one(tmp_path: Path, kind: str, index: bool) -> None:
    tensors = open_tensors(shards(tmp_path / "c", kind, index))
    assert same(tensors, STATE)
    assert "00001-of-00002" in tensors.file("steps")
    assert len(tensors.sizes()) == 2


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    torch.save({"old": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    save_file({"new": torch.ones(1)}, tmp_path / "model.safetensors")
    assert set(open_tensors(tmp_path).names()) == {"new"}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("index", [True, False])
def test_a_missing_shard_is_named(tmp_path: Path, kind: str, index: bool) -> None:
    folder = shards(tmp_path / "c", kind, index)
    (file,) = folder.glob("*-00002-of-*")
    file.unlink()
    with pytest.raises(UserError, match=f"lacks {file.name}"):
        open_tensors(folder)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("kept", [0, 5, 40, 200, 0.5, 0.99])
def test_a_truncated_shard_is_named(tmp_path: Path, kind: str, kept: float) -> None:
    folder = shards(tmp_path / "c", kind)
    (file,) = folder.glob("*-00002-of-*")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
    with pytest.raises(UserError, match=rf"{file.name} is damaged, .*: download it again"):
        open_tensors(folder)


def test_a_shard_cut_after_it_was_opened_is_named(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(STATE, file)
    tensors = open_tensors(file)
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"model\.safetensors is damaged, it is cut short"):
        for name in tensors.names():
            tensors.read(name)


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
        b"[1]",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [99], "data_offsets": [0, 396]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}',
    ],
)
def test_a_wrong_header_is_told(tmp_path: Path, header: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        open_tensors(file)


def test_an_unsupported_type_is_told(tmp_path: Path) -> None:
    header = b'{"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}'
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(UserError, match="a has the type F4"):
        open_tensors(file)


def test_several_checkpoints_are_read_as_one(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "sam.pth")
    joined = JoinedTensors({"sam": open_tensors(tmp_path), "fresh": MemoryTensors(STATE)})
    assert torch.equal(joined.read("sam:a.bias"), joined.read("fresh:a.bias"))
    assert joined.file("sam:a.bias") == "sam/sam.pth"
    assert joined.file("fresh:a.bias") == "fresh/memory"
    assert list(joined.sizes()) == ["sam/sam.pth"]
    assert len(joined.names()) == 2 * len(STATE)


def test_tensors_in_memory_are_handed_out_as_copies() -> None:
    state = {"a": torch.ones(2, 3).T}
    tensors = MemoryTensors(state)
    tensors.read("a").zero_()
    assert same(tensors, {"a": torch.ones(3, 2)})


def test_a_manifest_has_names_but_no_values(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({"tensors": {"a": {"shape": [2, 3]}}}))
    tensors = ManifestTensors(file)
    assert tensors.names() == {"a": TensorInfo(shape=(2, 3), dtype="bfloat16")}
    assert tensors.file("a") == "manifest.json"
    with pytest.raises(ValueError, match="holds no values of a"):
        tensors.read("a")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tensors": [1]}', '{"tensors": {"a": {}}}'])
def test_a_broken_manifest_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(UserError, match=r"m\.json is no manifest"):
        ManifestTensors(tmp_path / "m.json")
