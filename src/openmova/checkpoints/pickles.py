"""PyTorch's own files (.bin, .pth, .pt): the only place that reads a pickle.

The pickle is read with weights_only, which builds tensors and plain containers and runs nothing
else, and on the meta device, which gives names, shapes and the places of the bytes in the file.
The bytes are read tensor by tensor. Files that are not laid out so (older than PyTorch 1.6,
compressed, of the other byte order) are loaded as a whole.
"""

from __future__ import annotations

import re
import struct
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from openmova.checkpoints.tensor_file import (
    TensorInfo,
    Tensors,
    contiguous_strides,
    damaged,
    dtype_name,
    read_bytes,
)
from openmova.errors import UserError

WRAPPERS = ("state_dict", "model", "module")
"""Where a training checkpoint keeps its tensors."""
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
"""Of a record in a zip archive; the lengths of its name and of its extra field come last."""
ZIP = b"PK\x03\x04"
_ASKED = re.compile(r"GLOBAL ([\w.]+)|Unsupported (?:class|global):? ([\w.]+)")
_OPERAND = "Unsupported operand"


@dataclass(frozen=True, kw_only=True)
class _Place:
    start: int  # of the tensor's first element, in bytes of the file
    strides: tuple[int, ...]


class PickleFile(Tensors):
    """A file that torch.save wrote.

    Raises UserError that names the file where it is damaged or cut short, where its pickle asks for
    anything but tensors (nothing of it is run), and where it holds no tensors by name.
    """

    def __init__(self, path: Path):
        self.path = path
        self._places: dict[str, _Place] = {}
        self._whole: dict[str, Tensor] = {}
        streamed = _is_streamed(path)
        state = self._tensors(_load(path, "meta" if streamed else "cpu"))
        self._names = {
            name: TensorInfo(shape=tuple(t.shape), dtype=dtype_name(t.dtype))
            for name, t in state.items()
        }
        if not streamed:
            self._whole = state
            return
        self._records = _records(path)
        for name, tensor in state.items():
            self._places[name] = self._place(name, tensor)

    def names(self) -> Mapping[str, TensorInfo]:
        return self._names

    def read(self, name: str) -> Tensor:
        if name in self._whole:
            return self._whole[name].detach().clone(memory_format=torch.contiguous_format)
        info, place = self._names[name], self._places[name]
        dtype: torch.dtype = vars(torch)[info.dtype]
        count = _span(info.shape, place.strides)
        flat = read_bytes(self.path, place.start, count * dtype.itemsize).view(dtype)
        if place.strides == contiguous_strides(info.shape):
            return flat.view(info.shape)
        return flat.as_strided(info.shape, place.strides).contiguous()

    def file(self, name: str) -> str:
        return self.path.name

    def paths(self) -> dict[str, Path]:
        return {self.path.name: self.path}

    def _place(self, name: str, tensor: Tensor) -> _Place:
        """Where a tensor lies: within one record of the archive."""
        strides, width = tuple(tensor.stride()), tensor.element_size()
        record = tensor.untyped_storage()._checkpoint_offset
        start = int(tensor.storage_offset()) * width
        end = start + _span(tensor.shape, strides) * width
        if record is None or (end > start and end > self._records.get(record, 0)):
            raise damaged(self.path, f"it does not hold {name} where it says")
        return _Place(start=record + start, strides=strides)

    def _tensors(self, content: Any) -> dict[str, Tensor]:
        """The tensors by name, out of the wrapper of a training checkpoint if there is one."""
        while isinstance(content, Mapping):
            if any(isinstance(value, Tensor) for value in content.values()):
                return dict(self._checked(content))
            content = next((content[name] for name in WRAPPERS if name in content), None)
        raise UserError(f"{self.path.name} holds no tensors by name: give a state dict")

    def _checked(self, state: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in state.items():
            if not isinstance(name, str) or not isinstance(tensor, Tensor):
                raise UserError(
                    f"{self.path.name}: {name} is no tensor ({type(tensor).__name__}): give a "
                    "state dict"
                )
            if tensor.layout != torch.strided or tensor.is_quantized:
                raise UserError(
                    f"{self.path.name}: {name} is a sparse or quantised tensor: save it as a plain "
                    "one"
                )
            yield name, tensor


def _load(path: Path, device: str) -> Any:
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except UnpicklingError as error:
        raise _refused(path, str(error)) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError) as error:
        # What torch raises for a damaged file depends on where the damage is.
        raise damaged(path, "it can't be read as a PyTorch file, or is cut short") from error


def _refused(path: Path, reason: str) -> UserError:
    found = _ASKED.search(reason)
    if found is None and _OPERAND not in reason:
        return damaged(path, "its pickle is broken, or it is no PyTorch file")
    what = found[1] or found[2] if found else "something"
    return UserError(
        f"{path.name} was not loaded, because its pickle asks for {what}, which is no tensor and "
        "might run code: take the file from a source that you trust, as a state dict or safetensors"
    )


def _is_streamed(path: Path) -> bool:
    """Whether the tensors' bytes lie in the file as they are."""
    if not zipfile.is_zipfile(path) or bytes(read_bytes(path, 0, 4).tolist()) != ZIP:
        return False
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            return False
        order = [r for r in records if r.filename.rpartition("/")[2] == "byteorder"]
        return all(archive.read(record).decode() == sys.byteorder for record in order)


def _records(path: Path) -> dict[int, int]:
    """The bytes of every record of an archive, by where its content starts in the file."""
    sizes = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for record in archive.infolist():
            file.seek(record.header_offset)
            header = file.read(LOCAL_HEADER.size)
            if len(header) < LOCAL_HEADER.size:
                raise damaged(path, "it is cut short")
            *_, name_length, extra_length = LOCAL_HEADER.unpack(header)
            start = record.header_offset + LOCAL_HEADER.size + name_length + extra_length
            sizes[start] = record.file_size
    return sizes


def _span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many elements lie between a tensor's first and last, both counted."""
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
