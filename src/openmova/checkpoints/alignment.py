"""Safetensors files whose tensors begin at round places, so that a loaded one stays in its file.

A mapped tensor at an odd address has to be copied before it is computed with (`pretrained._align`),
which costs time and the memory of a second model. The format leaves no holes between tensors, so
the header is filled up, and tensors that would leave the next one at an odd place come last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from openmova.checkpoints.tensor_file import (
    DTYPES,
    LENGTH_BYTES,
    SafetensorsFile,
    TensorInfo,
    dtype_name,
    raw_bytes,
)

ALIGNMENT = 64  # bytes; where torch's own tensors begin
STORED = {dtype_name(dtype): name for name, dtype in DTYPES.items()}
"""How safetensors calls the types that a `TensorInfo` names."""


def aligned_order(tensors: Mapping[str, TensorInfo]) -> list[str]:
    """The names, first those that fill whole places."""
    return sorted(tensors, key=lambda name: tensors[name].nbytes % ALIGNMENT != 0)


def header(order: Iterable[str], tensors: Mapping[str, TensorInfo]) -> bytes:
    """Length and JSON, filled with spaces so that the data begins at a round place."""
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name in order:
        info = tensors[name]
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


def align_file(path: Path) -> None:
    """Write a safetensors file anew, with the same tensors at round places."""
    source = SafetensorsFile(path)
    tensors = source.names()
    order = aligned_order(tensors)
    unfinished = path.with_name(f"{path.name}.tmp")
    with unfinished.open("wb") as file:
        file.write(header(order, tensors))
        for name in order:
            file.write(raw_bytes(source.read(name)))
    unfinished.replace(path)
