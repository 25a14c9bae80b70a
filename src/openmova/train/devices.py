"""What a run may be priced for: this machine's device, as measured, or an accelerator, as its maker
states: memory, and the products of matrices in bfloat16 that it does in a second, not sparse."""

from __future__ import annotations

import time
from typing import NamedTuple

from openmova.errors import UserError, nearest

GIB = 2**30
PRODUCT = 1024
"""Rows of the matrices that a device is measured with."""


class Device(NamedTuple):
    """One accelerator, or a processor."""

    title: str
    """With what is known about it."""
    operations: float
    """Floating-point operations a second."""
    memory: int
    """Bytes."""


DEVICES = {
    "a100": Device("NVIDIA A100, 80 GB", 312e12, 80 * GIB),
    "a100-40": Device("NVIDIA A100, 40 GB", 312e12, 40 * GIB),
    "h100": Device("NVIDIA H100 SXM, 80 GB", 989e12, 80 * GIB),
    "h200": Device("NVIDIA H200, 141 GB", 989e12, 141 * 10**9),
    "l40s": Device("NVIDIA L40S, 48 GB", 362e12, 48 * GIB),
    "mi300x": Device("AMD MI300X, 192 GB", 1307e12, 192 * GIB),
    "rtx3090": Device("NVIDIA RTX 3090, 24 GB", 71e12, 24 * GIB),
    "rtx4090": Device("NVIDIA RTX 4090, 24 GB", 165e12, 24 * GIB),
}


def find_device(name: str) -> Device:
    """The device of that name. Raises UserError, with the nearest names, if there is none."""
    if name not in DEVICES:
        raise UserError(f"there is no device {name!r}: {nearest(name, DEVICES)}")
    return DEVICES[name]


def measure_device(precision: str) -> Device:
    """The device that a run on this machine would have: the accelerator, or else the processor, and
    the most operations of products in this precision ("bfloat16") that it did in a second now."""
    import psutil
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    device = torch.device("cpu") if found is None else found
    dtype = getattr(torch, precision)
    left, right = torch.ones(2, PRODUCT, PRODUCT, dtype=dtype, device=device)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        float((left @ right)[0, 0])  # waits for it
        seconds.append(time.perf_counter() - began)
    operations = 2 * PRODUCT**3 / min(seconds)
    if device.type == "cpu":
        name = f"processor ({torch.get_num_threads()} threads)"
        memory = psutil.virtual_memory().total
    else:
        name, (_, memory) = f"{device.type} device", torch.accelerator.get_memory_info()
    title = f"this machine's {name}, measured at {operations / 1e12:.3g} TFLOP/s in {precision}"
    return Device(title, operations, memory)
