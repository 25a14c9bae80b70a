"""The specs of our encoders that a golden set's released weights fit, and encoders built of them.

A size that no tensor's shape tells is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from openmova.experts import build_expert

from .golden import GoldenSet

SPEC = {"name": "expert", "descriptions": ["sees"]}
Spec = dict[str, Any]


def inputs(golden: GoldenSet) -> dict[str, Tensor]:
    """Every input of a set, stored or made by its recipe, by the first word of its name."""
    recipes = {
        name.split(" ")[0]: golden.recipe_input(recipe)
        for name, recipe in golden.spec.get("inputs", {}).items()
        if isinstance(recipe, dict)
    }
    return golden.part("in.") | recipes


def views(golden: GoldenSet, patches: Tensor) -> list[Tensor]:
    """What the base and the seven experts take in, as the release's processors make it."""
    given = inputs(golden)
    for_clip, for_dinov2 = given["images"].chunk(2, dim=1)
    high = given["high_images"]
    return [for_clip, for_dinov2, high, high, patches, patches, for_clip, high]


def count(state: Mapping[str, Tensor], layers: str) -> int:
    """How many layers there are under a prefix such as `blocks.`."""
    depth = layers.count(".")
    return 1 + max(int(name.split(".")[depth]) for name in state if name.startswith(layers))


def built(sizes: Callable[..., Spec], state: Mapping[str, Tensor], **options: Any) -> Any:
    """The encoder of a spec (`sam`, `clip`, ...) with these weights."""
    return loaded(sizes(state, **options), state)


def loaded(spec: Spec, state: Mapping[str, Tensor]) -> Any:
    encoder = build_expert(spec)
    own = {
        name.removeprefix("vision_model.").removeprefix("trunk."): tensor
        for name, tensor in state.items()
    }
    encoder.load_state_dict({name: own[name] for name in encoder.state_dict()})
    return encoder.freeze()


def sam(state: Mapping[str, Tensor]) -> Spec:
    """SAM's encoder, or Vary's where there is a net_2."""
    _, grid, _, width = state["pos_embed"].shape
    patch = state["patch_embed.proj.weight"].shape[-1]
    tables = [state[f"blocks.{i}.attn.rel_pos_h"] for i in range(count(state, "blocks."))]
    windows = {len(table) // 2 + 1 for table in tables} - {grid}
    return dict(
        kind="sam",
        **SPEC,
        width=width,
        layers=len(tables),
        heads=width // tables[0].shape[1],
        mlp=len(state["blocks.0.mlp.lin1.weight"]),
        patch=patch,
        size=grid * patch,
        window=windows.pop() if windows else grid,
        global_layers=[i for i, table in enumerate(tables) if len(table) == 2 * grid - 1],
        neck=len(state["neck.0.weight"]),
        downsample=len(state["net_2.weight"]) if "net_2.weight" in state else None,
    )


def codetr(
    state: Mapping[str, Tensor],
    *,
    heads: int,
    window_layers: Sequence[int],
    output_grid: int,
    size: int = 1280,
    window: int = 16,
) -> Spec:
    """Co-DETR's backbone; size and window are fixed in the release."""
    layers = count(state, "blocks.")
    return dict(
        kind="codetr",
        **SPEC,
        width=state["pos_embed"].shape[2],
        layers=layers,
        heads=heads,
        mlp=len(state["blocks.0.mlp.w1.weight"]),
        patch=state["patch_embed.proj.weight"].shape[-1],
        size=size,
        table=math.isqrt(state["pos_embed"].shape[1] - 1),
        window=window,
        global_layers=[i for i in range(layers) if i not in window_layers],
        neck=len(state["neck.0.weight"]),
        output_grid=output_grid,
    )


def pix2struct(state: Mapping[str, Tensor], *, heads: int, max_patches: int) -> Spec:
    """Pix2Struct's or Deplot's encoder."""
    width, pixels = state["embeddings.patch_projection.weight"].shape
    return dict(
        kind="pix2struct",
        **SPEC,
        width=width,
        layers=count(state, "encoder.layer."),
        heads=heads,
        head_dim=len(state["encoder.layer.0.attention.query.weight"]) // heads,
        mlp=len(state["encoder.layer.0.mlp.wo.weight"][0]),
        positions=len(state["embeddings.row_embedder.weight"]),
        patch=math.isqrt(pixels // 3),
        max_patches=max_patches,
    )


def clip(state: Mapping[str, Tensor], *, heads: int, select_layer: int = -2) -> Spec:
    """CLIP's vision transformer; the layers after the selected hidden state are left out."""
    state = {name.removeprefix("vision_model."): t for name, t in state.items()}
    width, _, _, patch = state["embeddings.patch_embedding.weight"].shape
    return dict(
        kind="clip",
        **SPEC,
        width=width,
        layers=count(state, "encoder.layers."),
        heads=heads,
        mlp=len(state["encoder.layers.0.mlp.fc1.weight"]),
        patch=patch,
        size=patch * math.isqrt(len(state["embeddings.position_embedding.weight"]) - 1),
        select_layer=select_layer,
    )


def dinov2(
    state: Mapping[str, Tensor],
    *,
    heads: int,
    size: int = 518,
    view_size: int = 672,
    select_layer: int = -2,
) -> Spec:
    """DINOv2's vision transformer; the layers after the selected hidden state are left out."""
    width, _, _, patch = state["embeddings.patch_embeddings.projection.weight"].shape
    return dict(
        kind="dinov2",
        **SPEC,
        width=width,
        layers=count(state, "encoder.layer."),
        heads=heads,
        mlp=state["encoder.layer.0.mlp.weights_out.weight"].shape[1],
        patch=patch,
        size=size,
        table=math.isqrt(state["embeddings.position_embeddings"].shape[1] - 1),
        view_size=view_size,
        select_layer=select_layer,
    )


def vit(state: Mapping[str, Tensor], *, heads: int, view_size: int = 672) -> Spec:
    """BiomedCLIP's vision transformer without its head."""
    state = {name.removeprefix("trunk."): t for name, t in state.items() if "head." not in name}
    width, _, _, patch = state["patch_embed.proj.weight"].shape
    return dict(
        kind="vit",
        **SPEC,
        width=width,
        layers=count(state, "blocks."),
        heads=heads,
        mlp=len(state["blocks.0.mlp.fc1.weight"]),
        patch=patch,
        size=patch * math.isqrt(state["pos_embed"].shape[1] - 1),
        view_size=view_size,
    )


def tower_specs(
    c: Mapping[str, Any],
    states: Sequence[Mapping[str, Tensor]],
    *,
    max_patches: int,
    window_layers: Sequence[int] = (0,),
    output_grid: int = 37,
    view_size: int = 672,
    size: int = 518,
) -> list[Spec]:
    """Of the base and the seven experts, in the release's order; c: of a set, with their heads;
    size: of DINOv2."""
    windows = {"window_layers": window_layers, "output_grid": output_grid}
    return [
        clip(states[0], heads=c["clip"]["heads"]),
        dinov2(states[1], heads=c["dino"]["heads"], size=size, view_size=view_size),
        sam(states[2]),
        codetr(states[3], heads=c["codetr"]["heads"], **windows),
        pix2struct(states[4], heads=c["p2s"]["heads"], max_patches=max_patches),
        pix2struct(states[5], heads=c["deplot"]["heads"], max_patches=max_patches),
        vit(states[6], heads=c["bio"]["heads"], view_size=view_size),
        sam(states[7]),
    ]
