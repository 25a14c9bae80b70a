"""Safetensors files whose tensors begin at round places, so that a loaded one stays in its file.

A mapped tensor at an odd address has to be copied before it is computed with (`pretrained._align`),
which costs time and the memory of a second model. The library writes them as they come. The format
leaves no holes between tensors, so here the header is filled up, and tensors that would leave the
next one at an odd place come last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, uint8

from openmova.checkpoints.tensors import TensorInfo, open_tensors
from openmova.runtime.files import new_file

ALIGNMENT = 64  # bytes; where torch's own tensors begin
LENGTH_BYTES = 8
STORED = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
"""How safetensors calls the types of torch."""


def write_aligned(
    path: Path, tensors: Mapping[str, TensorInfo], read: Callable[[str], Tensor]
) -> None:
    """Write a safetensors file tensor by tensor.

    tensors: name -> what it is; read(name): the tensor, contiguous on the CPU.
    """
    order = sorted(tensors, key=lambda name: tensors[name].nbytes % ALIGNMENT != 0)
    with path.open("wb") as file:
        file.write(_header({name: tensors[name] for name in order}))
        for name in order:
            file.write(raw_bytes(read(name)))


def align_file(path: Path) -> None:
    """Write a safetensors file anew, with the same tensors at round places."""
    source = open_tensors(path)
    with new_file(path) as unfinished:
        write_aligned(unfinished, source.names(), source.read)


def raw_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, without a copy."""
    return tensor.detach().reshape(-1).view(uint8).numpy().data


def _header(tensors: Mapping[str, TensorInfo]) -> bytes:
    """Length and JSON, filled with spaces so that the data begins at a round place."""
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, info in tensors.items():
        end = start + info.nbytes
        fields[name] = {
            "dtype": STORED[info.dtype],
            "shape": list(info.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-(LENGTH_BYTES + len(text)) % ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text
