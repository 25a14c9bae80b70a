"""Where a checkpoint's tensors lie, without loading it: a file, a folder of shards, a manifest.

`open_tensors` reads names and shapes only; `read` then takes one tensor from the disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from openmova.checkpoints.pickles import PickleFile
from openmova.checkpoints.tensor_file import (
    SafetensorsFile,
    TensorInfo,
    Tensors,
    check_pointer,
    dtype_name,
)
from openmova.errors import UserError

__all__ = [
    "JoinedTensors",
    "ManifestTensors",
    "MemoryTensors",
    "TensorInfo",
    "Tensors",
    "open_tensors",
]

PICKLES = (".bin", ".pth", ".pt")
USUAL_NAMES = (
    *("model.safetensors.index.json", "model.safetensors"),
    *("pytorch_model.bin.index.json", "pytorch_model.bin"),
)
"""What a checkpoint folder is looked through for, first come first taken."""
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)")
_NOT_WEIGHTS = ("training_args.bin", "optimizer", "scheduler", "rng_state")


def open_tensors(path: Path) -> Tensors:
    """The tensors of a file (.safetensors, .bin, .pth, .pt) or of a folder, by their names.

    A folder's index says which shards there are; without one, the shards' own numbers do.
    Raises UserError that names what is missing or damaged.
    """
    if path.is_file():
        return _open_file(path)
    if not path.is_dir():
        raise UserError(f"{path.name!r} is no file and no folder: check the path of the source")
    for name in USUAL_NAMES:
        if (path / name).is_file():
            return _indexed(path / name) if name.endswith(".json") else _open_file(path / name)
    if indices := sorted(path.glob("*.index.json")):
        return _indexed(indices[0])
    return _unindexed(path)


class ShardedTensors(Tensors):
    """Tensors of several files in one folder. The index, where there is one, is complete."""

    def __init__(self, shards: Mapping[str, Tensors], weight_map: Mapping[str, str] | None = None):
        self._shards = dict(shards)
        self._home: dict[str, str] = {}
        self._names: dict[str, TensorInfo] = {}
        listed = weight_map or {}
        for file, shard in self._shards.items():
            for name, info in shard.names().items():
                if listed.get(name, file) != file:
                    continue  # a copy: the index names the other file
                if name in self._home:
                    raise UserError(
                        f"{name} is in {self._home[name]} and in {file}: keep one of them"
                    )
                self._home[name], self._names[name] = file, info
        for name, file in listed.items():
            if self._home.get(name) != file:
                raise UserError(f"{file} lacks {name}, which the index promises: download it again")

    def names(self) -> Mapping[str, TensorInfo]:
        return self._names

    def read(self, name: str) -> Tensor:
        return self._shards[self._home[name]].read(name)

    def file(self, name: str) -> str:
        return self._home[name]

    def paths(self) -> dict[str, Path]:
        return {
            file: path for shard in self._shards.values() for file, path in shard.paths().items()
        }


class JoinedTensors(Tensors):
    """Several checkpoints as one: the key of a tensor is "part:name"."""

    def __init__(self, parts: Mapping[str, Tensors]):
        self._parts = dict(parts)
        self._names = {
            f"{part}:{name}": info
            for part, tensors in self._parts.items()
            for name, info in tensors.names().items()
        }

    def names(self) -> Mapping[str, TensorInfo]:
        return self._names

    def read(self, name: str) -> Tensor:
        part, _, own = name.partition(":")
        return self._parts[part].read(own)

    def file(self, name: str) -> str:
        part, _, own = name.partition(":")
        return f"{part}/{self._parts[part].file(own)}"

    def paths(self) -> dict[str, Path]:
        return {
            f"{part}/{file}": path
            for part, tensors in self._parts.items()
            for file, path in tensors.paths().items()
        }


class MemoryTensors(Tensors):
    """A state dict in memory."""

    def __init__(self, state: Mapping[str, Tensor], file: str = "memory"):
        self._state = dict(state)
        self._file = file

    def names(self) -> Mapping[str, TensorInfo]:
        return {
            name: TensorInfo(shape=tuple(t.shape), dtype=dtype_name(t.dtype))
            for name, t in self._state.items()
        }

    def read(self, name: str) -> Tensor:
        return self._state[name].detach().cpu().clone().contiguous()

    def file(self, name: str) -> str:
        return self._file


class ManifestTensors(Tensors):
    """Names and shapes that a manifest lists: `{"tensors": {name: {"shape": [...], ...}}}`."""

    def __init__(self, path: Path):
        self._file = path.name
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))["tensors"]
            self._names = {
                name: TensorInfo(
                    shape=tuple(int(size) for size in fields["shape"]),
                    dtype=fields.get("dtype_in_hub_checkpoint") or fields.get("dtype", "bfloat16"),
                )
                for name, fields in listed.items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"{path.name} is no manifest that can be read: it must hold "
                '{"tensors": {NAME: {"shape": [...]}}}'
            ) from error

    def names(self) -> Mapping[str, TensorInfo]:
        return self._names

    def read(self, name: str) -> Tensor:
        """Raises ValueError: a manifest holds no values."""
        raise ValueError(f"the manifest {self._file} holds no values of {name}")

    def file(self, name: str) -> str:
        return self._file


def _open_file(path: Path) -> Tensors:
    check_pointer(path)
    if path.suffix == ".safetensors":
        return SafetensorsFile(path)
    if path.suffix in PICKLES:
        return PickleFile(path)
    raise UserError(
        f"{path.name} is no file of weights: give one that ends in .safetensors, .bin, .pth or .pt"
    )


def _indexed(index: Path) -> Tensors:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted({str(file) for file in weight_map.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index.name} is no index of shards: download it again") from error
    for file in files:
        if Path(file).name != file:
            raise UserError(f"{index.name} names {file!r}, which is no file beside it")
        if not (index.parent / file).is_file():
            missing = [name for name in files if not (index.parent / name).is_file()]
            raise UserError(
                f"the checkpoint lacks {', '.join(missing)}, which {index.name} names: download it"
            )
    return ShardedTensors({file: _open_file(index.parent / file) for file in files}, weight_map)


def _unindexed(folder: Path) -> Tensors:
    """The shards whose names are numbered, or the folder's only file of weights."""
    for suffixes in ((".safetensors",), PICKLES):
        files = sorted(
            file
            for file in folder.iterdir()
            if file.suffix in suffixes and not file.name.startswith(_NOT_WEIGHTS)
        )
        shards = [file for file in files if _SHARD.fullmatch(file.name)]
        if shards:
            _check_numbers(shards)
            return ShardedTensors({file.name: _open_file(file) for file in shards})
        if len(files) == 1:
            return _open_file(files[0])
        if files:
            names = ", ".join(file.name for file in files[:4])
            raise UserError(f"{folder.name!r} holds several files of weights ({names}): name one")
    raise UserError(
        f"{folder.name!r} holds no weights (.safetensors, .bin, .pth, .pt): check the source"
    )


def _check_numbers(shards: list[Path]) -> None:
    """Raises UserError if a number is missing in `name-00001-of-00003.bin` and so on."""
    here = {file.name for file in shards}
    for file in shards:
        parts = _SHARD.fullmatch(file.name)
        assert parts is not None
        stem, count, suffix = parts["stem"], parts["count"], parts["suffix"]
        for number in range(1, int(count) + 1):
            name = f"{stem}-{number:05d}-of-{count}{suffix}"
            if name not in here:
                raise UserError(f"the checkpoint lacks {name}: download it")
