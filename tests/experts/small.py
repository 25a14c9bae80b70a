"""Small experts of every built-in kind of this project's own, with random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from openmova.experts import build_expert

TRANSFORMER = {"width": 24, "layers": 3, "heads": 3, "mlp": 40, "patch": 8, "size": 40}
SIZES: dict[str, dict[str, Any]] = {
    "lite2": {"size": 64, "stages": [3], "neck": 16, "grid": (5, 6)},
    "clip": TRANSFORMER,
    "dinov2": TRANSFORMER | {"mlp": 64, "table": 5, "view_size": 40},
    "vit": TRANSFORMER | {"view_size": 40},
    "sam": TRANSFORMER | {"heads": 2, "size": 64, "window": 3, "global_layers": [1], "neck": 12},
    "codetr": {
        "width": 16,
        "layers": 3,
        "heads": 2,
        "mlp": 20,
        "patch": 4,
        "size": 32,
        "table": 8,
        "view_size": 24,
        "window": 4,
        "global_layers": [1],
        "neck": 6,
        "output_grid": 5,
    },
    "pix2struct": {
        "width": 20,
        "layers": 2,
        "heads": 3,
        "head_dim": 8,
        "mlp": 28,
        "positions": 40,
        "patch": 4,
        "max_patches": 36,
    },
}


@torch.no_grad()
def randomise(module: nn.Module) -> None:
    """Every parameter random, so that none may be forgotten; scales near one."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in module.named_parameters():
        is_scale = parameter.ndim == 1 and name.endswith(("weight", "lambda1"))
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + is_scale)


def small_spec(kind: str, **keywords: Any) -> dict[str, Any]:
    return {"kind": kind, "name": kind, "descriptions": ["sees"], **SIZES[kind], **keywords}


def small_expert(kind: str, **keywords: Any) -> Any:
    """With every parameter random, so that none may be forgotten."""
    expert = build_expert(small_spec(kind, **keywords))
    randomise(expert)
    return expert
