"""Every encoder computes what the released module computes."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor, nn

from openmova.experts.clip import resize_positions
from openmova.experts.codetr import Rotary
from openmova.experts.transformer import resize_map

from .comparing import close, recorded, tokens
from .encoders import built, clip, codetr, dinov2, inputs, pix2struct, sam, vit
from .golden import GoldenSet, find, ids, sets

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
        with recorded(layers(encoder), {"resized": encoder.patch_embed["proj"]}) as seen:
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


CLIP_SETS = find(lambda module: "CLIPVisionModel" in module)
DINOV2_SETS = find(lambda module: "Dinov2Model" in module)
BIOMEDCLIP_SETS = find(lambda module: "TimmModel" in module)


def stored(golden: GoldenSet, pattern: str) -> tuple[Tensor, int]:
    """The one output whose name fits, and n where the set keeps every n-th place of it."""
    fits = [
        (tensor, int(match["n"] or 1))
        for name, tensor in golden.part("out.").items()
        if (match := re.fullmatch(rf"(?:{pattern})(?:_stride(?P<n>\d+))?", name))
    ]
    assert len(fits) == 1, f"{golden.path.name} has {len(fits)} outputs {pattern}"
    return fits[0]


@pytest.mark.parametrize("golden", CLIP_SETS, ids=ids)
@torch.no_grad()
def test_clips_feature(golden: GoldenSet) -> None:
    c = golden.config
    encoder = built(clip, golden.part("w."), heads=c["heads"], select_layer=c["select_layer"])
    assert encoder.view_size == c["img"]
    expected, n = stored(golden, "feature")
    close(tokens(encoder(inputs(golden)["x"]))[:, ::n], expected, golden.tolerance)


@pytest.mark.parametrize("golden", CLIP_SETS, ids=ids)
@torch.no_grad()
def test_every_hidden_state_of_clip(golden: GoldenSet) -> None:
    c, x = golden.config, inputs(golden)["x"]
    for layer in range(c["layers"] + 1):
        encoder = built(clip, golden.part("w."), heads=c["heads"], select_layer=layer)
        expected, n = stored(golden, f"hidden{layer}")  # the class token is its first
        close(tokens(encoder(x))[:, n - 1 :: n], expected[:, 1:], golden.tolerance)


@pytest.mark.parametrize("golden", CLIP_SETS, ids=ids)
def test_clips_position_table_for_a_finer_grid(golden: GoldenSet) -> None:
    name = "embeddings.position_embedding.weight"
    (before,) = (t for key, t in golden.part("w_before_resize.").items() if key.endswith(name))
    (after,) = (t for key, t in golden.part("w.").items() if key.endswith(name))
    (coarse,) = golden.part("in.pos_embed_").values()
    (fine,) = golden.part("out.pos_embed_").values()
    for table, expected in ((before, after), (coarse, fine)):
        grid = int((len(expected) - 1) ** 0.5)
        close(resize_positions(table, grid), expected, golden.spec["tolerance_pos_embed"])


@pytest.mark.parametrize("golden", DINOV2_SETS, ids=ids)
@torch.no_grad()
def test_dinov2(golden: GoldenSet) -> None:
    c, x = golden.config, inputs(golden)["x"]
    encoder = built(
        dinov2, golden.part("w."), heads=c["heads"], size=c["image_size"], view_size=x.shape[-1]
    )
    with recorded({}, {"resized": encoder.embeddings.patch_embeddings["projection"]}) as found:
        features = encoder(x)
    expected, n = stored(golden, r"resized\d+")
    close(found["resized"][..., ::n, ::n], expected, golden.tolerance)
    expected, n = stored(golden, r"feature_\d+x\d+")
    close(tokens(features)[:, ::n], expected, golden.tolerance)
    expected, n = stored(golden, "aligned")
    aligned = resize_map(features, (c["base_grid"], c["base_grid"]))
    close(tokens(aligned)[:, ::n], expected, golden.tolerance)


@pytest.mark.parametrize("golden", DINOV2_SETS, ids=ids)
@torch.no_grad()
def test_dinov2_on_another_grid_than_its_position_table(golden: GoldenSet) -> None:
    x = inputs(golden)["x_small"]
    sizes = {"heads": golden.config["heads"], "size": golden.config["image_size"]}
    encoder = built(dinov2, golden.part("w."), **sizes, view_size=x.shape[-1])
    expected, n = stored(golden, "small_feature")
    close(tokens(encoder(x))[:, ::n], expected, golden.tolerance)


@pytest.mark.parametrize("golden", BIOMEDCLIP_SETS, ids=ids)
@torch.no_grad()
def test_biomedclip(golden: GoldenSet) -> None:
    c, x = golden.config, inputs(golden)["x"]
    encoder = built(vit, golden.part("w."), heads=c["heads"], view_size=x.shape[-1])
    with recorded({}, {"resized": encoder.patch_embed["proj"]}) as found:
        features = encoder(x)
    expected, n = stored(golden, r"resized\d+")
    close(found["resized"][..., ::n, ::n], expected, golden.tolerance)
    expected, n = stored(golden, r"tower_\d+")  # the class token is its first
    close(tokens(features)[:, n - 1 :: n], expected[:, 1:], golden.tolerance)
    expected, n = stored(golden, "aligned")
    aligned = resize_map(features, (c["base_grid"], c["base_grid"]))
    close(tokens(aligned)[:, ::n], expected, golden.tolerance)
