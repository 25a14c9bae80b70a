"""Which tensors of a public checkpoint no map needs, and why."""

from __future__ import annotations

import pytest

from openmova.checkpoints import mova_specs
from openmova.checkpoints.encoder_layouts import recomputed, unused

FULL = {"clip": mova_specs.CLIP, **{spec["name"]: spec for spec in mova_specs.pool()}}


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
