"""Safetensors files whose tensors begin at round places, so that a loaded one stays in its file.

A mapped tensor at an odd address has to be copied before it is computed with (`pretrained._align`),
which costs time and the memory of a second model. The library writes them as they come. The format
leaves no holes between tensors, so here the header is filled up, and tensors that would leave the
next one at an odd place come last.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from openmova.checkpoints.tensors import open_tensors
from openmova.runtime.files import new_file

ALIGNMENT = 64  # bytes; where torch's own tensors begin
LENGTH_BYTES = 8
STORED = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""How safetensors calls the types of torch."""


def write_aligned(path: Path, tensors: Mapping[str, Tensor], read: Callable[[str], Tensor]) -> None:
    """Write a safetensors file tensor by tensor.

    tensors: also without numbers; read(name): the tensor, contiguous on the CPU.
    """
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    order = sorted(tensors, key=lambda name: tensors[name].nbytes % ALIGNMENT != 0)
    start = 0
    for name in order:
        tensor, end = tensors[name], start + tensors[name].nbytes
        fields[name] = {
            "dtype": STORED[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    header = json.dumps(fields, separators=(",", ":")).encode()
    header += b" " * (-(LENGTH_BYTES + len(header)) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(LENGTH_BYTES, "little") + header)
        for name in order:
            file.write(raw_bytes(read(name)))


def align_file(path: Path) -> None:
    """Write a safetensors file anew, with the same tensors at round places."""
    with new_file(path) as unfinished:
        _copy_aligned(path, unfinished)


def _copy_aligned(path: Path, target: Path) -> None:
    """Whose end lets go of the file: Windows replaces none that is mapped."""
    source = open_tensors(path)
    write_aligned(target, source, source.read)


def raw_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, without a copy."""
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data
