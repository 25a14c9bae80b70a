"""CLIP, DINOv2 and BiomedCLIP compute what the released modules compute."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from openmova.experts.clip import resize_positions
from openmova.model.layers import resize_map

from .comparing import close, recorded, tokens
from .encoders import built, clip, dinov2, inputs, vit
from .golden import GoldenSet, find, ids

pytestmark = pytest.mark.parity

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
    encoder = built(
        dinov2,
        golden.part("w."),
        heads=golden.config["heads"],
        size=golden.config["image_size"],
        view_size=x.shape[-1],
    )
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
