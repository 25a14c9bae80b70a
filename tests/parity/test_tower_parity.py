"""The eight encoders together: the released tower's features, in the release's order.

The released tower runs every expert in a batch and fills the channels of an expert that it skips
with zeros. Ours runs the chosen ones, and the adapter aligns their maps.
"""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor

from openmova.experts import Expert
from openmova.experts.transformer import resize_map

from .comparing import close, stored_part
from .encoders import inputs, loaded, tower_specs, views
from .golden import GoldenSet, cases, find

pytestmark = pytest.mark.parity


def cached_shapes(golden: GoldenSet) -> dict[str, list[list[int] | None]]:
    """By case, [rows, tokens, channels] of every map before alignment, None if it was skipped."""
    cases = golden.spec["cases"].items()
    return {
        name: case["cached_shapes"]
        for name, case in cases
        if isinstance(case, dict) and "cached_shapes" in case
    }


TOWERS = find(lambda module: module.startswith("MoVAVisionTower"))


def build(golden: GoldenSet) -> list[Expert]:
    """The base and the seven experts, in the release's order."""
    c = golden.config
    states = [golden.part(f"w.vision_tower_{i}.") for i in range(8)]
    windowed = {
        int(match[1])
        for name, table in golden.spec["shared_buffers"].items()
        if "rope_win" in table and (match := re.search(r"blocks\.(\d+)\.", name))
    }
    codetr_tokens = next(shapes[3][1] for shapes in cached_shapes(golden).values() if shapes[3])
    max_patches = inputs(golden)["flattened_patches"].shape[1]
    specs = tower_specs(
        c,
        states,
        max_patches=max_patches,
        window_layers=sorted(windowed),
        output_grid=math.isqrt(codetr_tokens),
        view_size=c["img"],
    )
    return [loaded(spec, state) for spec, state in zip(specs, states, strict=True)]


@pytest.mark.parametrize(("golden", "name"), cases(TOWERS, cached_shapes))
@torch.no_grad()
def test_the_chosen_encoders_give_the_towers_features(golden: GoldenSet, name: str) -> None:
    shapes = cached_shapes(golden)[name]
    feature_shape = golden.spec["cases"][name]["feature_shape"]
    encoders, batch = build(golden), feature_shape[0]
    slices = golden.spec["channel_slices"]
    assert [encoder.channels for encoder in encoders] == [end - start for _, start, end in slices]

    maps: list[Tensor | None] = []
    given = views(golden, inputs(golden)["flattened_patches"])
    for encoder, view, shape in zip(encoders, given, shapes, strict=True):
        maps.append(None if shape is None else encoder(view[:batch]))
    base = maps[0]
    grid = (base.shape[2], base.shape[3])
    aligned = [
        base.new_zeros(batch, encoder.channels, *grid) if x is None else resize_map(x, grid)
        for encoder, x in zip(encoders, maps, strict=True)
    ]
    feature = torch.cat(aligned, dim=1).flatten(2).mT  # [B, N, channels of all]

    assert list(feature.shape) == feature_shape
    for i, (x, shape) in enumerate(zip(maps, shapes, strict=True)):
        if x is not None and i != 1:  # DINOv2's is kept aligned
            assert [batch, x.shape[2] * x.shape[3], x.shape[1]] == shape
    stored = golden.part(f"out.{name}.")
    assert stored
    for part, expected in stored.items():
        name = f"feature_{part.removeprefix('feature_')}"
        close(stored_part({"feature": feature}, name), expected, golden.tolerance)
