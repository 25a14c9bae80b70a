"""PyTorch's files are read without running anything of them, tensor by tensor."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from openmova.checkpoints import pickles
from openmova.checkpoints.pickles import PickleFile
from openmova.errors import UserError


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
    file = PickleFile(saved(tmp_path, state, _use_new_zipfile_serialization=zipped))
    assert list(file.names()) == list(state)
    for name, tensor in state.items():
        read = file.read(name)
        assert read.dtype == tensor.dtype and read.is_contiguous()
        assert torch.equal(read, tensor)
        assert file.names()[name].shape == tuple(tensor.shape)
    file.read("alias").zero_()
    assert torch.equal(file.read("alias"), flat)


def test_the_pickle_alone_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, {"a": torch.randn(1000), "b": torch.randn(10)})
    loads: list[str] = []
    load = torch.load
    monkeypatch.setattr(
        pickles.torch, "load", lambda *a, **k: loads.append(k["map_location"]) or load(*a, **k)
    )
    counts: list[int] = []
    read = pickles.read_bytes
    monkeypatch.setattr(
        pickles, "read_bytes", lambda p, s, count: counts.append(count) or read(p, s, count)
    )
    PickleFile(path).read("b")
    assert loads == ["meta"] and counts == [len(pickles.ZIP), 40]


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module"])
def test_a_training_checkpoint_is_unwrapped(tmp_path: Path, wrapper: str) -> None:
    path = saved(tmp_path, {"epoch": 3, wrapper: {"a": torch.ones(2)}, "optimizer": {"x": [1]}})
    assert list(PickleFile(path).names()) == ["a"]


def test_a_compressed_file_is_loaded_as_a_whole(tmp_path: Path) -> None:
    path = saved(tmp_path, {"a": torch.arange(50.0)})
    packed = tmp_path / "packed.bin"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    assert torch.equal(PickleFile(packed).read("a"), torch.arange(50.0))


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
        PickleFile(path)
    assert not mark.exists()


def test_a_bare_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "was_here"
    path = tmp_path / "weights.bin"
    path.write_bytes(pickle.dumps(Attack(mark)))
    with pytest.raises(UserError, match=r"weights\.bin was not loaded.* asks for something"):
        PickleFile(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02", b"hello", b"\0" * 1000])
def test_a_file_of_something_else_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.bin is damaged"):
        PickleFile(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [10, 100, 300, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_told(tmp_path: Path, zipped: bool, kept: float) -> None:
    state = {name: torch.randn(200) for name in "abc"}
    path = saved(tmp_path, state, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
    with pytest.raises(UserError, match=r"weights\.bin is damaged"):
        PickleFile(path)


@pytest.mark.parametrize("content", [[torch.ones(1)], {}, {"a": 3}, torch.ones(2), 5])
def test_no_tensors_by_name(tmp_path: Path, content: Any) -> None:
    with pytest.raises(UserError, match="holds no tensors by name"):
        PickleFile(saved(tmp_path, content))


def test_what_is_no_plain_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"weights\.bin: b is no tensor \(int\)"):
        PickleFile(saved(tmp_path, {"a": torch.ones(1), "b": 3}))
    with pytest.raises(UserError, match="b is a sparse or quantised tensor"):
        PickleFile(saved(tmp_path, {"b": torch.ones(2, 2).to_sparse()}))


def test_a_tensor_lies_in_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever place is computed for it: another one would be other numbers."""
    path = saved(tmp_path, {"a": torch.ones(8), "b": torch.zeros(4)})
    load = torch.load

    def shifted(*arguments: Any, **options: Any) -> Any:
        state = load(*arguments, **options)
        state["a"].untyped_storage()._checkpoint_offset += 64
        return state

    monkeypatch.setattr(pickles.torch, "load", shifted)
    with pytest.raises(UserError, match="does not hold a where it says"):
        PickleFile(path)


def test_a_file_that_lies_about_its_size_is_told(tmp_path: Path) -> None:
    """A view beyond its storage would read another tensor's bytes, or beyond the end."""
    tensor = torch.ones(8)
    path = saved(tmp_path, {"a": tensor})
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"K\x08", b"K\xff"))
    with pytest.raises(UserError, match=r"weights\.bin is damaged"):
        PickleFile(path)
