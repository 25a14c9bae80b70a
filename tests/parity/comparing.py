"""Compares with what a golden set stores, also in the middle of a module."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

ROUNDED = 0.03
"""How far all of an output may lie from the stored one, as a share of it, where the numbers that
are computed in have fewer bits than float32."""


def close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    actual, expected = actual.cpu().float(), expected.cpu().float()
    if torch.get_default_dtype() != torch.float32:
        assert actual.shape == expected.shape
        assert (actual - expected).norm() <= ROUNDED * expected.norm()
        return
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def tokens(features: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, h * w, C], as the release stores maps."""
    return features.flatten(2).mT


def stored_part(found: Mapping[str, Tensor], name: str) -> Tensor:
    """What of an output a set stores by this name: all, every n-th of its second dimension, or
    moments over that."""
    if strided := re.fullmatch(r"(.+)_stride(\d+)", name):
        return found[strided[1]][:, :: int(strided[2])]
    if name.endswith("_channel_mean"):
        return found[name.removesuffix("_channel_mean")].mean(dim=1)
    if name.endswith("_channel_std"):
        return found[name.removesuffix("_channel_std")].std(dim=1)
    return found[name]


@contextmanager
def recorded(
    outputs: Mapping[str, nn.Module], inputs: Mapping[str, nn.Module] | None = None
) -> Iterator[dict[str, Tensor]]:
    """What modules return (the first of several), or take in, while the block runs."""
    seen: dict[str, Tensor] = {}

    def after(name: str) -> Any:
        def hook(module: nn.Module, args: Any, out: Any) -> None:
            seen[name] = out[0] if isinstance(out, tuple) else out

        return hook

    def before(name: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            seen[name] = args[0]

        return hook

    handles = [m.register_forward_hook(after(n)) for n, m in outputs.items()]
    handles += [m.register_forward_pre_hook(before(n)) for n, m in (inputs or {}).items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
