"""SAM, Vary, Co-DETR and Pix2Struct compute what the released modules compute."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor, nn

from openmova.experts.codetr import Rotary
from openmova.model.layers import resize_map

from .comparing import close, recorded, tokens
from .encoders import built, codetr, inputs, pix2struct, sam
from .golden import GoldenSet, ids, sets

pytestmark = pytest.mark.parity


def layers(encoder: nn.Module) -> dict[str, nn.Module]:
    """The modules whose output a set may store, by its name there."""
    blocks = encoder.get_submodule("blocks").named_children()
    return {f"block{i}": block for i, block in blocks} | {"neck": encoder.get_submodule("neck")}


@pytest.mark.parametrize("golden", sets("ImageEncoderViT"), ids=ids)
@torch.no_grad()
def test_sam_and_vary(golden: GoldenSet) -> None:
    encoder = built(sam, golden.part("w."))
    x = inputs(golden)["x"]
    with recorded(layers(encoder)) as found:
        found["y"] = tokens(encoder(x))
    stored = golden.part("out.")
    assert "y" in stored
    for name, expected in stored.items():
        close(found[name], expected, golden.tolerance)
    for i, picture in enumerate(x):
        close(tokens(encoder(picture[None]))[0], stored["y"][i], golden.tolerance)


@pytest.mark.parametrize("golden", sets("ViT02"), ids=ids)
@torch.no_grad()
def test_codetr(golden: GoldenSet) -> None:
    c, stored = golden.config, golden.part("out.")
    ends = {name: t for name, t in stored.items() if name.startswith("y_")}
    (output_grid,) = {math.isqrt(t.shape[1]) for t in ends.values()}
    encoder = built(
        codetr,
        golden.part("w."),
        heads=c["heads"],
        window_layers=c["window_blocks"],
        output_grid=output_grid,
        size=c["img_size"],
        window=c["window"],
    )
    found: dict[str, Tensor] = {}
    for name, x in inputs(golden).items():
        case = name.removeprefix("x_")
        with recorded(layers(encoder), {"resized": encoder.patch_embed}) as seen:
            seen["y"] = tokens(encoder(x))
        found |= {f"{part}_{case}": value for part, value in seen.items()}
    assert ends.keys() <= found.keys()
    for name, expected in stored.items():
        close(stored_part(found, name), expected, golden.tolerance)


def stored_part(found: dict[str, Tensor], name: str) -> Tensor:
    """What of an output a set stores: all, every n-th place of a grid, or the first row and column.

    Blocks have the channels last, maps the channels first.
    """
    if strided := re.fullmatch(r"(.+)_stride(\d+)", name):
        whole, n = found[strided[1]], int(strided[2])
        return whole[:, ::n, ::n] if name.startswith("block") else whole[..., ::n, ::n]
    if name.endswith("_first_row_col"):
        picture = found[name.removesuffix("_first_row_col")][0, 0]
        return torch.stack([picture[0], picture[:, 0]])
    return found[name]


@pytest.mark.parametrize("golden", sets("ViT02"), ids=ids)
def test_codetr_computes_the_rotary_tables_that_the_release_stores(golden: GoldenSet) -> None:
    tables = golden.part("w.rope_")
    if not tables:
        pytest.skip("the set stores no rotary tables")
    for kind in ("win", "glb"):
        count, head_dim = tables[f"{kind}.freqs_cos"].shape
        rotary = Rotary(math.isqrt(count), head_dim, torch.device("cpu"))
        close(rotary.cos, tables[f"{kind}.freqs_cos"], 1e-5)
        close(rotary.sin, tables[f"{kind}.freqs_sin"], 1e-5)


@pytest.mark.parametrize("golden", sets("Pix2StructVisionModel"), ids=ids)
@torch.no_grad()
def test_pix2struct(golden: GoldenSet) -> None:
    c, stored = golden.config, golden.part("out.")
    view = inputs(golden)["flattened_patches"]
    encoder = built(pix2struct, golden.part("w."), heads=c["heads"], max_patches=view.shape[1])
    features = encoder(view)
    assert features.shape[-2:] == (c["grid"], c["grid"])
    close(tokens(features), stored["last_hidden_state"], golden.tolerance)
    base_grid = (c["base_grid"], c["base_grid"])
    close(tokens(resize_map(features, base_grid)), stored["aligned"], golden.tolerance)
