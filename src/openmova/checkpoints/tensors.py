"""A checkpoint's named tensors, wherever they lie: a file, a folder of shards, memory, a manifest.

Files are mapped, not loaded: safetensors by its own library, PyTorch's (.bin, .pth, .pt) by
`torch.load` with weights_only, which builds tensors and plain containers and runs nothing else.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from openmova.errors import UserError, reason

PICKLES = (".bin", ".pth", ".pt")
WRAPPERS = ("state_dict", "model", "module")
"""Where a training checkpoint keeps its tensors."""
USUAL_NAMES = (
    *("model.safetensors.index.json", "model.safetensors"),
    *("pytorch_model.bin.index.json", "pytorch_model.bin"),
)
"""What a checkpoint folder is looked through for, first come first taken."""
POINTER = b"version https://git-lfs"
_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.\w+")
_NOT_WEIGHTS = ("training_args.bin", "optimizer", "scheduler", "rng_state")
_REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)|Unsupported (?:class|global):? ([\w.]+)")
_REFUSED_OPERAND = "Unsupported operand"


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """A tensor's shape and its dtype's name, such as "bfloat16"."""

    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, tensor: Tensor) -> TensorInfo:
        return cls(shape=tuple(tensor.shape), dtype=dtype_name(tensor.dtype))

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * torch_dtype(self.dtype).itemsize


class Tensors:
    """Named tensors, mapped from files or in memory.

    state: not to be written to. file: the file that holds them, relative to the checkpoint, for
    messages, or one for each name; sizes: the bytes of each file.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        file: str | Mapping[str, str] = "memory",
        sizes: Mapping[str, int] | None = None,
    ):
        self.sizes = dict(sizes or {})
        self._state = dict(state)
        self._names = {name: TensorInfo.of(tensor) for name, tensor in state.items()}
        self._files = dict.fromkeys(state, file) if isinstance(file, str) else dict(file)

    def names(self) -> Mapping[str, TensorInfo]:
        """Every tensor there is."""
        return self._names

    def read(self, name: str) -> Tensor:
        """The tensor on the CPU, not to be written to."""
        return self._state[name].detach().cpu().contiguous()

    def file(self, name: str) -> str:
        return self._files[name]


def join(parts: Mapping[str, Tensors]) -> Tensors:
    """Several checkpoints as one: the key of a tensor is "part:name"."""
    state, files, sizes = dict[str, Tensor](), dict[str, str](), dict[str, int]()
    for part, tensors in parts.items():
        for name in tensors.names():
            state[f"{part}:{name}"] = tensors._state[name]
            files[f"{part}:{name}"] = f"{part}/{tensors.file(name)}"
        sizes |= {f"{part}/{file}": size for file, size in tensors.sizes.items()}
    return Tensors(state, files, sizes)


def read_manifest(path: Path) -> Tensors:
    """Names and shapes that a manifest lists: `{"tensors": {name: {"shape": [...], ...}}}`.

    The tensors have no values. Raises UserError for another file.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["tensors"]
        state = {
            name: torch.empty(
                fields["shape"],
                dtype=torch_dtype(
                    fields.get("dtype_in_hub_checkpoint") or fields.get("dtype", "bfloat16")
                ),
                device="meta",
            )
            for name, fields in listed.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path.name} is no manifest that can be read: it must hold "
            '{"tensors": {NAME: {"shape": [...]}}}'
        ) from error
    return Tensors(state, path.name)


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of a name such as "bfloat16". Raises UserError for another word."""
    dtype = vars(torch).get(name)
    if not isinstance(dtype, torch.dtype):
        raise UserError(f"there is no dtype {name!r}: give bfloat16, float16 or float32")
    return dtype


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def open_tensors(path: Path) -> Tensors:
    """The tensors of a file (.safetensors, .bin, .pth, .pt) or of a folder, by their names.

    A folder's index says which shards there are; without one, all that are numbered are taken.
    Raises UserError that names what is missing or damaged.
    """
    if path.is_file():
        return _open_file(path)
    if not path.is_dir():
        raise UserError(f"{path.name!r} is no file and no folder: check the path of the source")
    for name in USUAL_NAMES:
        if (path / name).is_file():
            return _open_index(path / name) if name.endswith(".json") else _open_file(path / name)
    if indices := sorted(path.glob("*.index.json")):
        return _open_index(indices[0])
    return _open_numbered(path)


def _join_shards(files: list[Path], weight_map: Mapping[str, str] | None = None) -> Tensors:
    """Tensors of several files in one folder. The index, where there is one, is complete."""
    listed = weight_map or {}
    state, homes, sizes = dict[str, Tensor](), dict[str, str](), dict[str, int]()
    for path in files:
        shard = _open_file(path)
        sizes |= shard.sizes
        for name in shard.names():
            if listed.get(name, path.name) != path.name:
                continue  # a copy: the index names the other file
            if name in homes:
                raise UserError(f"{name} is in {homes[name]} and in {path.name}: keep one of them")
            state[name], homes[name] = shard._state[name], path.name
    for name, file in listed.items():
        if name not in homes:
            raise UserError(f"{file} lacks {name}, which the index promises: download it again")
    return Tensors(state, homes, sizes)


def _open_file(path: Path) -> Tensors:
    if path.suffix not in (".safetensors", *PICKLES):
        raise UserError(
            f"{path.name} is no file of weights: give one that ends in .safetensors, .bin, .pth or "
            ".pt"
        )
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise UserError(
                f"{path.name} is a Git LFS pointer, not the weights: run git lfs pull in its folder"
            )
    read = _read_safetensors if path.suffix == ".safetensors" else _read_pickle
    return Tensors(read(path), path.name, {path.name: path.stat().st_size})


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Mapped tensors. Raises UserError that names a file which is damaged or cut short."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise damaged(path, reason(error)) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that torch.save wrote, mapped where it is laid out for that.

    Raises UserError that names the file where it is damaged or cut short, where its pickle asks for
    anything but tensors (nothing of it is run), and where it holds no tensors by name.
    """
    try:
        content = torch.load(path, map_location="cpu", mmap=_can_map(path), weights_only=True)
    except UnpicklingError as error:
        raise _refusal(path, str(error)) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError) as error:
        # What torch raises for a damaged file depends on where the damage is.
        raise damaged(path, "it can't be read as a PyTorch file, or is cut short") from error
    while isinstance(content, Mapping):
        if any(isinstance(value, Tensor) for value in content.values()):
            _check_state(path, content)
            return dict(content)
        content = next((content[name] for name in WRAPPERS if name in content), None)
    raise UserError(f"{path.name} holds no tensors by name: give a state dict")


def _can_map(path: Path) -> bool:
    """Whether the tensors' bytes lie in the file as they are."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(record.compress_type == zipfile.ZIP_STORED for record in archive.infolist())


def _check_state(path: Path, state: Mapping[Any, Any]) -> None:
    """Raises UserError if a state dict holds anything but plain tensors by name."""
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UserError(
                f"{path.name}: {name} is no tensor ({type(tensor).__name__}): give a state dict"
            )
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise UserError(
                f"{path.name}: {name} is a sparse or quantised tensor: save it as a plain one"
            )


def _refusal(path: Path, said: str) -> UserError:
    found = _REFUSED_GLOBAL.search(said)
    if found is None and _REFUSED_OPERAND not in said:
        return damaged(path, "its pickle is broken, or it is no PyTorch file")
    what = found[1] or found[2] if found else "something"
    return UserError(
        f"{path.name} was not loaded, because its pickle asks for {what}, which is no tensor and "
        "might run code: take the file from a source that you trust, as a state dict or safetensors"
    )


def damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path.name} is damaged, {what}: download it again")


def _open_index(index: Path) -> Tensors:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted({str(file) for file in weight_map.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index.name} is no index of shards: download it again") from error
    for file in files:
        if Path(file).name != file:
            raise UserError(f"{index.name} names {file!r}, which is no file beside it")
    if missing := [file for file in files if not (index.parent / file).is_file()]:
        raise UserError(
            f"the checkpoint lacks {', '.join(missing)}, which {index.name} names: download it"
        )
    return _join_shards([index.parent / file for file in files], weight_map)


def _open_numbered(folder: Path) -> Tensors:
    """The shards whose names are numbered, or the folder's only file of weights."""
    for suffixes in ((".safetensors",), PICKLES):
        files = sorted(
            file
            for file in folder.iterdir()
            if file.suffix in suffixes and not file.name.startswith(_NOT_WEIGHTS)
        )
        shards = [file for file in files if _SHARD.fullmatch(file.name)]
        if shards:
            return _join_shards(shards)
        if len(files) == 1:
            return _open_file(files[0])
        if files:
            names = ", ".join(file.name for file in files[:4])
            raise UserError(f"{folder.name!r} holds several files of weights ({names}): name one")
    raise UserError(
        f"{folder.name!r} holds no weights (.safetensors, .bin, .pth, .pt): check the source"
    )
