"""Accelerators that people have, by what their makers state: memory, and the products of matrices
in bfloat16 that they can do in a second, without sparsity."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from openmova.errors import UserError

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Device:
    """One accelerator."""

    title: str
    operations: float
    """Floating-point operations a second."""
    memory: int
    """Bytes."""


DEVICES = {
    "a100": Device(title="NVIDIA A100, 80 GB", operations=312e12, memory=80 * GIB),
    "a100-40": Device(title="NVIDIA A100, 40 GB", operations=312e12, memory=40 * GIB),
    "h100": Device(title="NVIDIA H100 SXM, 80 GB", operations=989e12, memory=80 * GIB),
    "h200": Device(title="NVIDIA H200, 141 GB", operations=989e12, memory=141 * 10**9),
    "l40s": Device(title="NVIDIA L40S, 48 GB", operations=362e12, memory=48 * GIB),
    "mi300x": Device(title="AMD MI300X, 192 GB", operations=1307e12, memory=192 * GIB),
    "rtx3090": Device(title="NVIDIA RTX 3090, 24 GB", operations=71e12, memory=24 * GIB),
    "rtx4090": Device(title="NVIDIA RTX 4090, 24 GB", operations=165e12, memory=24 * GIB),
}


def find_device(name: str) -> Device:
    """The device of that name. Raises UserError, with the nearest names, if there is none."""
    if name not in DEVICES:
        near = difflib.get_close_matches(name.lower(), DEVICES, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(DEVICES)}"
        raise UserError(f"there is no device {name!r}: {hint}")
    return DEVICES[name]
