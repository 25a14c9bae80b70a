"""The shapes of the released towers tell their sizes, whatever tensor is wrong or missing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from openmova.checkpoints import mova_specs
from openmova.checkpoints.layouts import HEAD_DIM, encoder_sizes, recomputed, unused
from openmova.experts import build_expert

FULL = {"clip": mova_specs.CLIP, **{spec["name"]: spec for spec in mova_specs.pool()}}
SMALL: dict[str, dict[str, Any]] = {
    "clip": {"width": 64, "layers": 3, "heads": 1, "mlp": 96, "patch": 7, "size": 28},
    "dinov2": {
        "width": 128,
        "layers": 4,
        "heads": 2,
        "mlp": 80,
        "patch": 7,
        "size": 21,
        "table": 3,
    },
    "vary": {
        "width": 64,
        "layers": 3,
        "heads": 2,
        "mlp": 80,
        "patch": 8,
        "size": 48,
        "window": 4,
        "global_layers": [1],
        "neck": 16,
        "downsample": 24,
    },
    "codetr": {
        "width": 64,
        "layers": 6,
        "heads": 1,
        "mlp": 50,
        "patch": 8,
        "table": 4,
        "neck": 12,
        "global_layers": [5],
    },
    "pix2struct": {
        "width": 64,
        "layers": 2,
        "heads": 1,
        "mlp": 96,
        "positions": 50,
        "patch": 8,
    },
    "deplot": {"width": 128, "layers": 1, "heads": 2, "mlp": 96, "positions": 40, "patch": 8},
    "biomedclip": {"width": 64, "layers": 2, "heads": 1, "mlp": 96, "patch": 8, "size": 32},
    "sam": {
        "width": 96,
        "layers": 2,
        "heads": 4,
        "mlp": 80,
        "patch": 8,
        "size": 32,
        "window": 3,
        "global_layers": [0],
        "neck": 16,
    },
}


def small(name: str) -> dict[str, Any]:
    return FULL[name] | SMALL[name]


def shapes(spec: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Of an encoder with all its layers, as its public checkpoint has them."""
    if "select_layer" in spec:
        spec = spec | {"select_layer": -1}
    with torch.device("meta"):
        state = build_expert(spec).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("name", SMALL)
def test_sizes_come_from_the_shapes(name: str) -> None:
    spec = small(name)
    told = encoder_sizes(spec["kind"], shapes(spec), FULL[name])
    assert FULL[name] | told == spec


@pytest.mark.parametrize("name", SMALL)
def test_any_single_tensor_may_be_missing(name: str) -> None:
    spec = small(name)
    whole = shapes(spec)
    for missing in whole:
        rest = {key: shape for key, shape in whole.items() if key != missing}
        told = encoder_sizes(spec["kind"], rest, spec)
        if "downsample" in spec and missing == "net_2.weight":
            told["downsample"] = spec["downsample"]
        assert spec | told == spec, missing


@pytest.mark.parametrize("name", SMALL)
def test_a_wrong_layer_changes_no_size(name: str) -> None:
    spec = small(name)
    whole = shapes(spec)
    for wrong in whole:
        if ".norm2." in wrong or ".attn.proj." in wrong or ".fc2." in wrong or ".wo." in wrong:
            others = whole | {wrong: tuple(size + 1 for size in whole[wrong])}
            assert FULL[name] | encoder_sizes(spec["kind"], others, FULL[name]) == spec, wrong


def test_codetr_reads_its_rotary_tables_if_they_are_there() -> None:
    spec = small("codetr") | {"heads": 4, "size": 64, "window": 3, "global_layers": [1, 2]}
    whole = shapes(spec)
    dim = spec["width"] // 4
    for part in ("cos", "sin"):
        whole[f"rope_win.freqs_{part}"] = (9, dim)
        whole[f"rope_glb.freqs_{part}"] = (64, dim)
        for layer in range(spec["layers"]):
            rows = 64 if layer in (1, 2) else 9
            whole[f"blocks.{layer}.attn.rope.freqs_{part}"] = (rows, dim)
    assert FULL["codetr"] | encoder_sizes("codetr", whole, FULL["codetr"]) == spec
    del whole["blocks.4.attn.rope.freqs_cos"]
    assert encoder_sizes("codetr", whole, FULL["codetr"])["global_layers"] == [5]
    assert (
        spec["width"] // encoder_sizes("codetr", shapes(spec), FULL["codetr"])["heads"] == HEAD_DIM
    )


def test_what_is_not_used_has_a_reason() -> None:
    clip = FULL["clip"]
    assert unused("clip", "encoder.layers.23.mlp.fc1.weight", clip) == (
        "not used: the map is the hidden state -2"
    )
    assert unused("clip", "encoder.layers.22.mlp.fc1.weight", clip) is None
    assert (
        unused("clip", "encoder.layers.24.mlp.fc1.weight", clip) is None
    )  # there is no such layer
    assert unused("clip", "post_layernorm.bias", clip)
    assert unused("dinov2", "encoder.layer.39.norm1.bias", FULL["dinov2"])
    assert unused("dinov2", "embeddings.mask_token", FULL["dinov2"])
    assert unused("vit", "head.proj.weight", FULL["biomedclip"])
    assert unused("sam", "net_3.weight", FULL["vary"])
    assert unused("pix2struct", "encoder.layer.3.mlp.wo.weight", FULL["deplot"]) is None


@pytest.mark.parametrize(
    "name",
    [
        "rope_win.freqs_cos",
        "blocks.3.attn.rope.freqs_sin",
        "embeddings.position_ids",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
    ],
)
def test_tables_are_recomputed(name: str) -> None:
    assert recomputed(name)
    assert not recomputed(name + ".weight")
