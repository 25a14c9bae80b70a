"""Public checkpoints are read as they are: our encoder then says what the published one says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Pix2StructConfig,
    Pix2StructForConditionalGeneration,
    PreTrainedModel,
    SamConfig,
    SamModel,
)

from checkpoints import public
from commands import fault
from openmova.checkpoints.encoders import EncoderParts, encoder_conversion, read_encoder
from openmova.checkpoints.mova_specs import CLIP, EXPERTS, SAM_SIZES
from openmova.checkpoints.plan import Drop, resize_table
from openmova.checkpoints.tensors import Tensors
from openmova.errors import UserError
from openmova.experts import Expert, build_expert
from tiny import tiny_model

SAM = public.SAM_SPEC
Save = Callable[[PreTrainedModel, Path], None]


def as_safetensors(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder)


@pytest.fixture(params=[as_safetensors, public.save_as_pickle], ids=["safetensors", "bin"])
def save(request: pytest.FixtureRequest) -> Save:
    return request.param


def loaded(parts: EncoderParts) -> Expert:
    """Our encoder with the weights that the parts name; every one of them is there."""
    encoder = build_expert(parts.spec)
    state = {}
    for key, place in parts.key_map.items():
        if isinstance(place, str):
            tensor = parts.tensors.read(key)
            if place in parts.resizable:
                tensor = resize_table(tensor, parts.expected[place].shape)
            state[place] = tensor
    encoder.load_state_dict(state)
    assert parts.key_map.keys() == parts.tensors.keys()
    return encoder


def dropped(parts: EncoderParts) -> dict[str, str]:
    return {key: drop.reason for key, drop in parts.key_map.items() if isinstance(drop, Drop)}


def taken(parts: EncoderParts) -> set[str]:
    return {place for place in parts.key_map.values() if isinstance(place, str)}


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def to_map(tokens: Tensor, side: int) -> Tensor:
    """[B, 1 + n * n or n * n, C] -> [B, C, n, n]"""
    return tokens[:, -(side * side) :].transpose(1, 2).unflatten(2, (side, side))


def hidden(model: Any, view: Tensor) -> Tensor:
    """The map [B, C, n, n] of the last hidden state but one."""
    return to_map(model(view, output_hidden_states=True).hidden_states[-2], 4)


PUBLISHED: dict[str, tuple[Callable[[], Any], Callable[[Any, Tensor], Tensor], tuple[int, ...]]] = {
    "clip": (public.clip, lambda model, view: hidden(model.vision_model, view), (2, 3, 28, 28)),
    "dinov2": (public.dinov2, hidden, (2, 3, 28, 28)),
    "sam": (public.sam, lambda m, view: m.vision_encoder(view).last_hidden_state, (1, 3, 64, 64)),
    "pix2struct": (
        public.pix2struct,
        lambda model, patches: to_map(model.encoder(patches).last_hidden_state, 3),
        (1, 9, 770),
    ),
}
"""The published model, its map of a view, and the view's shape."""


@torch.no_grad()
@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_published_model_gives_the_map_that_it_gives_there(
    kind: str, tmp_path: Path, save: Save
) -> None:
    build, theirs, shape = PUBLISHED[kind]
    model, view = build(), noise(*shape)
    if kind == "pix2struct":  # rows and columns of patches
        view[..., :2] = torch.arange(1, 4).repeat_interleave(3)[:, None]
    save(model, tmp_path)
    parts = read_encoder(tmp_path, changes={"max_patches": 9} if kind == "pix2struct" else None)
    assert_close(loaded(parts)(view), theirs(model, view), atol=1e-5, rtol=0)
    assert parts.spec["heads"] in (2, 3, 4)  # by config.json: the shapes would not tell


def test_what_is_left_out_has_a_reason(tmp_path: Path) -> None:
    public.clip().save_pretrained(tmp_path / "clip")
    reasons = dropped(read_encoder(tmp_path / "clip"))
    assert reasons["text_projection.weight"] == "not of this encoder"
    assert "hidden state -2" in reasons["vision_model.encoder.layers.2.mlp.fc1.bias"]
    assert "hidden state -2" in reasons["vision_model.post_layernorm.weight"]
    public.dinov2().save_pretrained(tmp_path / "dinov2")
    left = dropped(read_encoder(tmp_path / "dinov2"))
    assert {"embeddings.mask_token", "layernorm.weight"} <= left.keys()


@torch.no_grad()
def test_clips_vision_part_alone_under_both_of_its_names(tmp_path: Path) -> None:
    model = public.clip_vision()
    bare = {
        name.removeprefix("vision_model."): tensor for name, tensor in model.state_dict().items()
    }
    view = noise(1, 3, 28, 28)
    theirs = model(view, output_hidden_states=True).hidden_states[-2]
    for prefix in ("", "vision_model."):
        folder = tmp_path / f"named-{prefix}"
        folder.mkdir()
        model.config.save_pretrained(folder)
        state = public.under(prefix, bare | {"embeddings.position_ids": torch.arange(17)})
        torch.save(state, folder / "pytorch_model.bin")
        ours = loaded(read_encoder(folder))(view)
        assert_close(ours, to_map(theirs, 4), atol=1e-5, rtol=0)


@torch.no_grad()
def test_another_size_of_clip_resizes_the_positions_as_the_release_does(tmp_path: Path) -> None:
    model = public.clip_vision()
    model.save_pretrained(tmp_path)
    parts = read_encoder(tmp_path, changes={"size": 42})
    encoder = loaded(parts)
    table = model.state_dict()
    (name,) = (name for name in table if name.endswith("position_embedding.weight"))
    first, grid = table[name][:1], to_map(table[name][None], 4)
    resized = torch.nn.functional.interpolate(grid, (6, 6), mode="bicubic")[0].flatten(1).T
    ours = encoder.state_dict()["embeddings.position_embedding.weight"]
    assert_close(ours, torch.cat([first, resized]))
    assert encoder(noise(1, 3, 42, 42)).shape == (1, 32, 6, 6)


def test_a_clip_that_computes_otherwise_is_refused(tmp_path: Path) -> None:
    public.clip_vision().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"hidden_act": "gelu"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "hidden_act 'gelu'" in fault(read_encoder, tmp_path)


def test_dinov2_without_swiglu_is_refused(tmp_path: Path) -> None:
    public.dinov2(use_swiglu_ffn=False).save_pretrained(tmp_path)
    assert "use the kind hf" in fault(read_encoder, tmp_path)


VIT = {"width": 128, "layers": 2, "heads": 2, "mlp": 96, "size": 32}
CODETR = {"width": 128, "layers": 6, "heads": 2, "mlp": 40, "size": 64, "table": 4, "window": 2}
CODETR |= {"neck": 8, "output_grid": 3, "view_size": 48, "global_layers": [5]}
VARY = {**SAM, "downsample": 12}
OWN_NAMES: list[tuple[str, dict[str, Any], str, dict[str, tuple[int, ...]]]] = [
    ("sam", SAM, "image_encoder.", {}),
    *(
        ("vary", VARY, prefix, {"net_3.weight": (16, 12, 3, 3)})
        for prefix in ("", "model.vision_tower.", "model.vision_tower_high.")
    ),
    *(
        ("codetr", CODETR, prefix, {"rope_win.freqs_cos": (4, 64), "rope_glb.freqs_sin": (16, 64)})
        for prefix in ("", "module.", "backbone.")
    ),
    ("codetr", CODETR, "module.backbone.", {}),
    ("biomedclip", VIT, "visual.trunk.", {"head.weight": (4, 8)}),
]
"""An expert, its sizes, what stands before its names, and what it has beside what we take."""


@torch.no_grad()
@pytest.mark.parametrize(("name", "sizes", "prefix", "more"), OWN_NAMES)
def test_a_checkpoint_in_its_own_names(
    name: str,
    sizes: dict[str, Any],
    prefix: str,
    more: dict[str, tuple[int, ...]],
    tmp_path: Path,
) -> None:
    encoder = build_expert({**EXPERTS[name], "name": name, **sizes})
    public.random_weights(encoder)
    left = {prefix + key: torch.zeros(shape) for key, shape in more.items()}
    left |= {"text.layers.0.weight": torch.zeros(2)} if prefix else {}
    state = public.under(prefix, encoder.state_dict()) | left
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    parts = read_encoder(tmp_path / "weights.pth", name=name, changes=sizes)
    side = sizes.get("view_size", sizes["size"])
    view = noise(1, 3, side, side)
    assert_close(loaded(parts)(view), encoder(view))
    assert dropped(parts).keys() == left.keys()
    assert parts.spec["descriptions"] == EXPERTS[name]["descriptions"]


def test_the_view_of_an_open_clip_folder(tmp_path: Path) -> None:
    encoder = build_expert({**EXPERTS["biomedclip"], "name": "biomedclip", **VIT})
    state = public.under("visual.trunk.", encoder.state_dict())
    torch.save(state, tmp_path / "open_clip_pytorch_model.bin")
    view = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": view}))
    assert read_encoder(tmp_path, changes=VIT).spec.items() >= view.items()


def test_of_bert_the_encoder_is_taken_and_no_more(tmp_path: Path, save: Save) -> None:
    save(public.bert(), tmp_path)
    parts = read_encoder(tmp_path, kind="bert")
    assert parts.spec["hidden_size"] == 16
    assert all(key.startswith("cls.") for key in dropped(parts))
    assert "embeddings.LayerNorm.weight" in parts.expected
    assert taken(parts) == set(parts.expected)


def test_the_names_of_berts_first_release(tmp_path: Path) -> None:
    model = public.bert()
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in model.state_dict().items()
    }
    state |= {"bert.embeddings.position_ids": torch.arange(4)}
    state |= {"bert.pooler.dense.weight": torch.zeros(16, 16)}
    torch.save(state, tmp_path / "pytorch_model.bin")
    parts = read_encoder(tmp_path, kind="bert")
    assert taken(parts) == set(parts.expected)
    assert "bert.pooler.dense.weight" in dropped(parts)


@torch.no_grad()
def test_one_converted_alone_is_read_back_as_it_was(tmp_path: Path) -> None:
    public.clip_vision().save_pretrained(tmp_path / "public")
    source, target = tmp_path / "public", tmp_path / "ours"
    report = encoder_conversion(source, name="eyes").write(target)
    assert sorted(file.name for file in target.iterdir()) == [
        "conversion.json",
        "eyes.safetensors",
        "spec.json",
    ]
    assert "post_layernorm.weight" in " ".join(report["dropped"])
    again, before = read_encoder(target), read_encoder(source)
    assert again.spec == before.spec | {
        "name": "eyes",
        "descriptions": ["The encoder eyes."],
    }
    view = noise(1, 3, 28, 28)
    assert_close(loaded(again)(view), loaded(before)(view))


def test_bert_needs_no_conversion(tmp_path: Path) -> None:
    public.bert().save_pretrained(tmp_path / "public")
    with pytest.raises(UserError, match="needs no conversion"):
        encoder_conversion(tmp_path / "public")


def test_an_encoder_of_a_whole_model_of_ours(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path)
    for name in ("two", "base"):
        parts = read_encoder(tmp_path, name=name)
        loaded(parts)
        assert (parts.spec["name"], parts.kind) == (name, "tiny")
    assert "it has base, one, two, three" in fault(read_encoder, tmp_path, name="four")


# At full size


def full_size(name: str) -> PreTrainedModel:
    """The published model of a name, without its numbers."""
    spec = {"clip": CLIP, **EXPERTS}[name]
    sizes = {
        "hidden_size": spec["width"],
        "num_hidden_layers": spec["layers"],
        "num_attention_heads": spec["heads"],
    }
    with torch.device("meta"):
        if name == "clip":
            sizes |= {"intermediate_size": spec["mlp"], "image_size": 336, "patch_size": 14}
            return CLIPVisionModel(CLIPVisionConfig(**sizes))
        if name == "sam":
            sizes |= {"mlp_dim": spec["mlp"], "global_attn_indexes": spec["global_layers"]}
            return SamModel(SamConfig(vision_config=sizes))
        sizes |= {"d_ff": spec["mlp"]}
        return Pix2StructForConditionalGeneration(Pix2StructConfig(vision_config=sizes))


@pytest.mark.parametrize("name", ["clip", "sam", "pix2struct", "deplot"])
def test_the_published_models_are_the_papers_encoders(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = full_size(name)
    model.config.save_pretrained(tmp_path)
    tensors = Tensors(model.state_dict())
    monkeypatch.setattr("openmova.checkpoints.encoders.open_tensors", lambda _: tensors)
    parts = read_encoder(tmp_path, name=name, changes={"size": 672} if name == "clip" else None)
    wanted = CLIP if name == "clip" else {"name": name, **EXPERTS[name]}
    assert parts.spec == wanted
    parts.plan().check()


@pytest.mark.parametrize("width", SAM_SIZES)
@pytest.mark.parametrize("vary", [False, True])
def test_a_published_sam_is_known_by_its_width(
    width: int, vary: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = SAM_SIZES[width] | ({"downsample": 512} if vary else {})
    with torch.device("meta"):
        model = build_expert({**EXPERTS["sam"], "name": "any", **sizes})
    tensors = Tensors(model.state_dict())
    monkeypatch.setattr("openmova.checkpoints.encoders.open_tensors", lambda _: tensors)
    parts = read_encoder(tmp_path)
    assert parts.spec.items() >= sizes.items()
    parts.plan().check()


# Mistakes


def test_another_kind_than_asked_for(tmp_path: Path) -> None:
    public.clip_vision().save_pretrained(tmp_path)
    assert "holds CLIP (kind clip), not an encoder of the kind dinov2" in fault(
        read_encoder, tmp_path, kind="dinov2"
    )


def test_no_encoder_at_all(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    assert "holds no encoder of a known layout" in fault(read_encoder, tmp_path / "other.pth")
