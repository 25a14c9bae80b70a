"""How the benchmarks measure: ways that take turns, what they compute, and what they hold."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from openmova.runtime.fake_run import COUNTS, PeakMemory

Ways = Mapping[str, Callable[[], Any]]


def timed(ways: Ways, repeats: int, *, warm: bool = True) -> dict[str, list[float]]:
    """Seconds of each way; they take turns. warm: a turn before all others does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + warm):
        for name, work in ways.items():
            began = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repeat or not warm:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def told(values: Sequence[float]) -> str:
    """ "0.31 (0.30 to 0.33)": the median, the least and the most."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def ratio(a: Sequence[float], b: Sequence[float]) -> str:
    """How many times b's seconds a took, turn by turn."""
    return told([x / y for x, y in zip(a, b, strict=True)])


class Cost(NamedTuple):
    operations: float
    """10^9 multiplications and additions, of matrices, convolutions and attention"""
    memory: float
    """MiB of tensors that were alive at once, beside those that were there before"""


def cost(work: Callable[[], Any], known: Iterable[Tensor]) -> Cost:
    """What a piece of work computes and holds. known: the weights."""
    counter = FlopCounterMode(display=False, custom_mapping=COUNTS)
    with PeakMemory(known) as memory, counter:
        work()
    return Cost(counter.get_total_flops() / 1e9, memory.peak / 2**20)


def product_speed(device: torch.device, dtype: torch.dtype) -> float:
    """10^9 operations a second of one large product of matrices, the best of many."""
    side = 8192 if device.type == "cuda" else 512  # bfloat16 is slow on many processors
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    seconds = timed({"product": lambda: a @ b}, 20)["product"]
    return 2 * side**3 / 1e9 / min(seconds)
