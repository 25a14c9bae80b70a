"""Builds our encoders from a golden set's released weights, with the sizes that their shapes say.

Shapes: what a name's tensor has; a size that no shape tells is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from openmova.experts.clip import ClipEncoder
from openmova.experts.codetr import CoDetrEncoder
from openmova.experts.dinov2 import Dinov2Encoder
from openmova.experts.pix2struct import Pix2StructEncoder
from openmova.experts.sam import SamEncoder
from openmova.experts.vit import VitEncoder

from .golden import GoldenSet

SPEC = {"name": "expert", "descriptions": ["sees"]}


def inputs(golden: GoldenSet) -> dict[str, Tensor]:
    """Every input of a set, stored or made by its recipe, by the first word of its name."""
    recipes = {
        name.split(" ")[0]: golden.recipe_input(recipe)
        for name, recipe in golden.spec.get("inputs", {}).items()
        if isinstance(recipe, dict)
    }
    return golden.part("in.") | recipes


def count(state: Mapping[str, Tensor], layers: str) -> int:
    """How many layers there are under a prefix such as `blocks.`."""
    depth = layers.count(".")
    return 1 + max(int(name.split(".")[depth]) for name in state if name.startswith(layers))


def sam(state: Mapping[str, Tensor]) -> SamEncoder:
    """SAM's encoder, or Vary's where there is a net_2."""
    _, grid, _, width = state["pos_embed"].shape
    patch = state["patch_embed.proj.weight"].shape[-1]
    tables = [state[f"blocks.{i}.attn.rel_pos_h"] for i in range(count(state, "blocks."))]
    windows = {len(table) // 2 + 1 for table in tables} - {grid}
    encoder = SamEncoder(
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
    encoder.load_state_dict(state)
    return encoder.freeze()


def codetr(
    state: Mapping[str, Tensor],
    *,
    heads: int,
    window_layers: Sequence[int],
    output_grid: int,
    size: int = 1280,
    window: int = 16,
) -> CoDetrEncoder:
    """Co-DETR's backbone; size and window are fixed in the release."""
    layers = count(state, "blocks.")
    encoder = CoDetrEncoder(
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
    encoder.load_state_dict({name: t for name, t in state.items() if "rope" not in name})
    return encoder.freeze()


def pix2struct(state: Mapping[str, Tensor], *, heads: int, max_patches: int) -> Pix2StructEncoder:
    """Pix2Struct's or Deplot's encoder."""
    width, pixels = state["embeddings.patch_projection.weight"].shape
    encoder = Pix2StructEncoder(
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
    encoder.load_state_dict(state)
    return encoder.freeze()


def clip(state: Mapping[str, Tensor], *, heads: int, select_layer: int = -2) -> ClipEncoder:
    """CLIP's vision transformer; the layers after the selected hidden state are left out."""
    state = {name.removeprefix("vision_model."): t for name, t in state.items()}
    width, _, _, patch = state["embeddings.patch_embedding.weight"].shape
    encoder = ClipEncoder(
        **SPEC,
        width=width,
        layers=count(state, "encoder.layers."),
        heads=heads,
        mlp=len(state["encoder.layers.0.mlp.fc1.weight"]),
        patch=patch,
        size=patch * math.isqrt(len(state["embeddings.position_embedding.weight"]) - 1),
        select_layer=select_layer,
    )
    encoder.load_state_dict({name: state[name] for name in encoder.state_dict()})
    return encoder.freeze()


def dinov2(
    state: Mapping[str, Tensor],
    *,
    heads: int,
    size: int = 518,
    view_size: int = 672,
    select_layer: int = -2,
) -> Dinov2Encoder:
    """DINOv2's vision transformer; the layers after the selected hidden state are left out."""
    width, _, _, patch = state["embeddings.patch_embeddings.projection.weight"].shape
    encoder = Dinov2Encoder(
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
    encoder.load_state_dict({name: state[name] for name in encoder.state_dict()})
    return encoder.freeze()


def vit(state: Mapping[str, Tensor], *, heads: int, view_size: int = 672) -> VitEncoder:
    """BiomedCLIP's vision transformer without its head."""
    state = {name.removeprefix("trunk."): t for name, t in state.items() if "head." not in name}
    width, _, _, patch = state["patch_embed.proj.weight"].shape
    encoder = VitEncoder(
        **SPEC,
        width=width,
        layers=count(state, "blocks."),
        heads=heads,
        mlp=len(state["blocks.0.mlp.fc1.weight"]),
        patch=patch,
        size=patch * math.isqrt(state["pos_embed"].shape[1] - 1),
        view_size=view_size,
    )
    encoder.load_state_dict(state)
    return encoder.freeze()
