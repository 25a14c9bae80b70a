"""One file of named tensors, read one by one: what every kind of file answers, and safetensors.

Nothing is mapped into memory: a tensor's bytes are read when it is asked for, so a program that
goes through a checkpoint of any size needs room for one tensor.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from openmova.errors import UserError

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""How safetensors calls the types of torch."""
LENGTH_BYTES = 8
MOST_HEADER_BYTES = 100_000_000  # as the safetensors library allows
POINTER = b"version https://git-lfs"


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """A tensor's shape and its dtype's name, such as "bfloat16"."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * torch_dtype(self.dtype).itemsize


class Tensors(ABC):
    """Named tensors that lie somewhere."""

    @abstractmethod
    def names(self) -> Mapping[str, TensorInfo]:
        """Every tensor there is, in the order in which it is best read."""

    @abstractmethod
    def read(self, name: str) -> Tensor:
        """A fresh tensor on the CPU. Raises UserError where the file does not give it."""

    @abstractmethod
    def file(self, name: str) -> str:
        """The file that holds it, relative to the checkpoint, for messages."""

    def paths(self) -> dict[str, Path]:
        """The files that the tensors lie in, by the names that `file` gives; none in memory."""
        return {}

    def sizes(self) -> dict[str, int]:
        """The bytes of each of these files."""
        return {name: path.stat().st_size for name, path in self.paths().items()}


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of a name such as "bfloat16". Raises UserError for another word."""
    dtype = vars(torch).get(name)
    if not isinstance(dtype, torch.dtype):
        raise UserError(f"there is no dtype {name!r}: give bfloat16, float16 or float32")
    return dtype


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


class SafetensorsFile(Tensors):
    """A safetensors file. Raises UserError that names it where it is damaged or cut short."""

    def __init__(self, path: Path):
        self.path = path
        self._names: dict[str, TensorInfo] = {}
        self._starts: dict[str, int] = {}
        header, start = self._header()
        for name, fields in header.items():
            if name != "__metadata__":
                self._add(name, fields, start)

    def names(self) -> Mapping[str, TensorInfo]:
        return self._names

    def read(self, name: str) -> Tensor:
        info = self._names[name]
        raw = read_bytes(self.path, self._starts[name], info.nbytes)
        return raw.view(torch_dtype(info.dtype)).view(info.shape)

    def file(self, name: str) -> str:
        return self.path.name

    def paths(self) -> dict[str, Path]:
        return {self.path.name: self.path}

    def _header(self) -> tuple[dict[str, Any], int]:
        """The header, and where the data starts."""
        with opened(self.path) as file:
            head = file.read(LENGTH_BYTES)
            length = int.from_bytes(head, "little")
            if len(head) < LENGTH_BYTES or not 2 <= length <= MOST_HEADER_BYTES:
                raise damaged(self.path, "it does not begin as a safetensors file")
            text = file.read(length)
        if len(text) < length:
            raise damaged(self.path, "it is cut short")
        try:
            header = json.loads(text)
        except ValueError as error:
            raise damaged(self.path, "its header is no JSON") from error
        if not isinstance(header, dict):
            raise damaged(self.path, "its header is no list of tensors")
        return header, LENGTH_BYTES + length

    def _add(self, name: str, fields: Any, start: int) -> None:
        try:
            shape = tuple(int(size) for size in fields["shape"])
            first, last = (int(place) for place in fields["data_offsets"])
            stored = str(fields["dtype"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self.path, f"its header is wrong for {name}") from error
        if stored not in DTYPES:
            raise UserError(
                f"{self.path.name}: {name} has the type {stored}, which is not supported: save it "
                "as BF16, F16 or F32"
            )
        info = TensorInfo(shape=shape, dtype=dtype_name(DTYPES[stored]))
        if min(shape, default=0) < 0 or first < 0 or last - first != info.nbytes:
            raise damaged(self.path, f"its header is wrong for {name}")
        if start + last > self.path.stat().st_size:
            raise damaged(self.path, f"it is cut short before the end of {name}")
        self._names[name] = info
        self._starts[name] = start + first


def read_bytes(path: Path, start: int, count: int) -> Tensor:
    """Bytes of a file as a fresh uint8 tensor [count]. Raises UserError if the file ends before."""
    raw = torch.empty(count, dtype=torch.uint8)
    if not count:
        return raw
    with opened(path) as file:
        file.seek(start)
        view = raw.numpy().data
        while view:
            try:
                got = file.readinto(view)
            except OSError as error:
                raise _unreadable(path, error) from error
            if not got:
                raise damaged(path, "it is cut short")
            view = view[got:]
    return raw


def raw_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, without a copy."""
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data


def opened(path: Path) -> Any:
    """The file, opened to read without buffer. Raises UserError if that can't be."""
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise _unreadable(path, error) from error


def check_pointer(path: Path) -> None:
    """Raises UserError if a file is only Git's pointer to a large file."""
    with opened(path) as file:
        if file.read(len(POINTER)) == POINTER:
            raise UserError(
                f"{path.name} is a Git LFS pointer, not the weights: run git lfs pull in its folder"
            )


def damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path.name} is damaged, {reason}: download it again")


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"can't read {path.name} ({error.strerror}): check the source")


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a contiguous tensor of a shape."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
