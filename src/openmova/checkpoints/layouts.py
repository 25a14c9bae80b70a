"""What the shapes of an encoder's tensors say about its sizes, and which tensors no map needs.

Names are our own, which are those of the public checkpoint without its prefix (see each encoder).
A size is taken from what most layers say, so one wrong tensor is a wrong tensor and not another
model; what the shapes don't tell, or what is missing, comes from the full-size spec.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from openmova.experts.transformer import count_layers

Shapes = Mapping[str, tuple[int, ...]]
HEAD_DIM = 64  # of every encoder whose shapes don't tell it
RECOMPUTED = "recomputed when the model is built"
_RECOMPUTED = re.compile(
    r"(.*\.)?(position_ids|inv_freq|relative_position_index|(cos|sin)_cached|freqs_(cos|sin))"
)


def recomputed(name: str) -> bool:
    """Whether a tensor is a table that the model makes for itself."""
    return bool(_RECOMPUTED.fullmatch(name))


def encoder_sizes(kind: str, shapes: Shapes, default: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of an encoder of a kind, as keywords of its class.

    shapes: of its tensors by our names; default: the spec that gives what they don't tell.
    """
    found = _SIZES[kind](Measure(shapes), default)
    return {key: default[key] if value is None else value for key, value in found.items()}


def unused(kind: str, name: str, spec: Mapping[str, Any]) -> str | None:
    """Why an encoder does without one of its public checkpoint's tensors; None: it does not.

    name: ours; spec: of the encoder, for its layers.
    """
    if recomputed(name):
        return RECOMPUTED
    if kind not in _UNUSED:
        return None
    pattern, reason = _UNUSED[kind]
    if "select_layer" in spec:
        layer = re.match(r"encoder\.layers?\.(\d+)\.", name)
        built = count_layers(spec["name"], spec["layers"], spec["select_layer"])
        if layer and built <= int(layer[1]) < spec["layers"]:
            return reason.format(**spec)
    return reason.format(**spec) if re.fullmatch(pattern, name) else None


_LATE = "not used: the map is the hidden state {select_layer}"
_UNUSED: dict[str, tuple[str, str]] = {
    "clip": (r"post_layernorm\.(weight|bias)", _LATE),
    "dinov2": (r"layernorm\.(weight|bias)|embeddings\.mask_token", _LATE),
    "vit": (r"head\..*|fc_norm\..*", "not used: the map is made of the patches, before the head"),
    "sam": (r"net_3\..*", "not used: the map is what net_2 gives"),
}


class Measure:
    """Sizes that the shapes of a state dict tell; None where they tell nothing."""

    def __init__(self, shapes: Shapes):
        self.shapes = shapes

    def common(self, pattern: str, axis: int) -> int | None:
        """What most of the tensors whose names match have on an axis."""
        sizes = Counter(
            shape[axis]
            for name, shape in self.shapes.items()
            if re.fullmatch(pattern, name) and -len(shape) <= axis < len(shape)
        )
        return sizes.most_common(1)[0][0] if sizes else None

    def layers(self, pattern: str) -> int | None:
        """One more than the largest number in the names that match."""
        numbers = [
            int(match[1]) for name in self.shapes if (match := re.match(pattern, name)) is not None
        ]
        return 1 + max(numbers) if numbers else None

    def side(self, name: str, axis: int, extra: int = 0) -> int | None:
        """The side of the square grid that an axis lays out, after `extra` rows."""
        rows = self.common(re.escape(name), axis)
        return None if rows is None else _root(rows - extra)

    def where(self, pattern: str, rows: int) -> list[int]:
        """The layers whose tables have so many rows."""
        return sorted(
            {
                int(match[1])
                for name, shape in self.shapes.items()
                if (match := re.fullmatch(pattern, name)) and shape[0] == rows
            }
        )


def _clip(measure: Measure, default: Mapping[str, Any]) -> dict[str, Any]:
    width = measure.common(r"encoder\.layers\.\d+\.layer_norm[12]\.\w+", 0)
    patch = measure.common(r"embeddings\.patch_embedding\.weight", -1) or default["patch"]
    return {
        "width": width,
        "layers": measure.layers(r"encoder\.layers\.(\d+)\."),
        "heads": _ratio(width, HEAD_DIM),
        "mlp": measure.common(r"encoder\.layers\.\d+\.mlp\.fc1\.\w+", 0),
        "patch": patch,
        "size": _product(measure.side("embeddings.position_embedding.weight", 0, 1), patch),
        "select_layer": None,
    }


def _dinov2(measure: Measure, default: Mapping[str, Any]) -> dict[str, Any]:
    width = measure.common(r"encoder\.layer\.\d+\.norm[12]\.\w+", 0)
    projection = r"embeddings\.patch_embeddings\.projection\.weight"
    patch = measure.common(projection, -1) or default["patch"]
    table = measure.side("embeddings.position_embeddings", -2, 1)
    return {
        "width": width,
        "layers": measure.layers(r"encoder\.layer\.(\d+)\."),
        "heads": _ratio(width, HEAD_DIM),
        "mlp": measure.common(r"encoder\.layer\.\d+\.mlp\.weights_out\.weight", 1),
        "patch": patch,
        "size": _product(table, patch),
        "table": table,
        "view_size": None,
        "select_layer": None,
    }


def _vit(measure: Measure, default: Mapping[str, Any]) -> dict[str, Any]:
    width = measure.common(r"blocks\.\d+\.norm[12]\.\w+", 0)
    patch = measure.common(r"patch_embed\.proj\.weight", -1) or default["patch"]
    return {
        "width": width,
        "layers": measure.layers(r"blocks\.(\d+)\."),
        "heads": _ratio(width, HEAD_DIM),
        "mlp": measure.common(r"blocks\.\d+\.mlp\.fc1\.\w+", 0),
        "patch": patch,
        "size": _product(measure.side("pos_embed", -2, 1), patch),
        "view_size": None,
    }


def _sam(measure: Measure, default: Mapping[str, Any]) -> dict[str, Any]:
    tables = r"blocks\.(\d+)\.attn\.rel_pos_[hw]"
    width = measure.common(r"blocks\.\d+\.norm[12]\.\w+", 0)
    patch = measure.common(r"patch_embed\.proj\.weight", -1) or default["patch"]
    rows = Counter(shape[0] for n, shape in measure.shapes.items() if re.fullmatch(tables, n))
    grid = measure.common(r"pos_embed", 1)
    if grid is None and len(rows) > 1:
        grid = (max(rows) + 1) // 2
    windows = [row for row, _ in rows.most_common() if grid and row != 2 * grid - 1]
    sizes: dict[str, Any] = {
        "width": width,
        "layers": measure.layers(r"blocks\.(\d+)\."),
        "heads": _ratio(width, measure.common(tables, 1) or HEAD_DIM),
        "mlp": measure.common(r"blocks\.\d+\.mlp\.lin1\.\w+", 0),
        "patch": patch,
        "size": _product(grid, patch),
        "window": (windows[0] + 1) // 2 if windows else None,
        "global_layers": None if grid is None else measure.where(tables, 2 * grid - 1),
        "neck": measure.common(r"neck\.\d\.\w+", 0),
    }
    if "net_2.weight" in measure.shapes:
        sizes["downsample"] = measure.common(r"net_2\.weight", 0)
    return sizes


def _codetr(measure: Measure, default: Mapping[str, Any]) -> dict[str, Any]:
    tables = r"(?:blocks\.(\d+)\.attn\.rope|rope_\w+)\.freqs_(?:cos|sin)"
    width = measure.common(r"blocks\.\d+\.norm[12]\.\w+", 0)
    patch = measure.common(r"patch_embed\.proj\.weight", -1) or default["patch"]
    layers = measure.layers(r"blocks\.(\d+)\.")
    whole = measure.common(r"rope_glb\.freqs_(cos|sin)", 0)
    own = r"blocks\.(\d+)\.attn\.rope\.freqs_cos"
    rows = {shape[0] for name, shape in measure.shapes.items() if re.fullmatch(own, name)}
    told = {row: measure.where(own, row) for row in rows}
    if whole in told and sum(map(len, told.values())) == layers:
        global_layers = told[whole]
    else:  # the tables of some layers were left out: the released rule
        global_layers = [layer for layer in range(layers or 0) if layer % 6 == 5]
    return {
        "width": width,
        "layers": layers,
        "heads": _ratio(width, measure.common(tables, 1) or HEAD_DIM),
        "mlp": measure.common(r"blocks\.\d+\.mlp\.w[12]\.\w+", 0),
        "patch": patch,
        "size": _product(None if whole is None else _root(whole), patch),
        "table": measure.side("pos_embed", -2, 1),
        "view_size": None,
        "window": measure.side("rope_win.freqs_cos", 0),
        "global_layers": global_layers if layers else None,
        "neck": measure.common(r"neck\.\d\.\w+", 0),
        "output_grid": None,
    }


def _pix2struct(measure: Measure, default: Mapping[str, Any]) -> dict[str, Any]:
    pixels = measure.common(r"embeddings\.patch_projection\.weight", 1)  # 3 * patch * patch
    inner = measure.common(r"encoder\.layer\.\d+\.attention\.(query|key|value)\.weight", 0)
    head_dim = default["head_dim"]
    if inner is not None and inner % head_dim:
        head_dim = inner
    return {
        "width": measure.common(r"encoder\.layer\.\d+\.pre_\w+_layer_norm\.weight", 0),
        "layers": measure.layers(r"encoder\.layer\.(\d+)\."),
        "heads": _ratio(inner, head_dim),
        "head_dim": head_dim,
        "mlp": measure.common(r"encoder\.layer\.\d+\.mlp\.wi_\d\.weight", 0),
        "positions": measure.common(r"embeddings\.(row|column)_embedder\.weight", 0),
        "patch": None if pixels is None else _root(pixels // 3),
        "max_patches": None,
    }


def _root(square: int) -> int | None:
    root = math.isqrt(max(square, 0))
    return root if root * root == square else None


def _ratio(whole: int | None, part: int) -> int | None:
    return None if whole is None else max(whole // part, 1)


def _product(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one * other


_SIZES: dict[str, Callable[[Measure, Mapping[str, Any]], dict[str, Any]]] = {
    "clip": _clip,
    "dinov2": _dinov2,
    "vit": _vit,
    "sam": _sam,
    "codetr": _codetr,
    "pix2struct": _pix2struct,
}
