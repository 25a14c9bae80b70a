"""How an expert is found by the name of its kind, and built from its spec.

A spec is a plain dict, as it stands in config.json:
`{"kind": "hf", "name": "dinov2", "descriptions": ["..."], <keywords of the kind>}`.
Packages add kinds through the entry-point group `openmova.experts` (docs/experts.md).
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from openmova.errors import UserError, nearest
from openmova.experts.base import Expert

ENTRY_POINTS = "openmova.experts"

KINDS: dict[str, str] = {
    "lite2": "openmova.experts.lite:Lite2Encoder",
    "text": "openmova.experts.text:TextExpert",
    "chart": "openmova.experts.chart:ChartExpert",
    "layout": "openmova.experts.detector:LayoutExpert",
    "object": "openmova.experts.object:ObjectExpert",
    "location": "openmova.experts.location:LocationExpert",
    "image_type": "openmova.experts.image_type:ImageTypeExpert",
    "clip": "openmova.experts.clip:ClipEncoder",
    "dinov2": "openmova.experts.dinov2:Dinov2Encoder",
    "vit": "openmova.experts.vit:VitEncoder",
    "sam": "openmova.experts.sam:SamEncoder",
    "codetr": "openmova.experts.codetr:CoDetrEncoder",
    "pix2struct": "openmova.experts.pix2struct:Pix2StructEncoder",
    "hf": "openmova.experts.hf:HfExpert",
    "onnx": "openmova.experts.onnx:OnnxExpert",
    "onnx_encoder": "openmova.experts.onnx_encoder:OnnxEncoder",
}


def known_kinds() -> tuple[str, ...]:
    """Every kind that a spec may name: the built-in ones, then those of installed packages."""
    return (*KINDS, *(sorted(set(entry_points(group=ENTRY_POINTS).names) - set(KINDS))))


def expert_class(kind: str) -> type[Expert]:
    """The class of a kind. Raises UserError for an unknown kind or one that can't be imported."""
    if kind in KINDS:
        module, _, name = KINDS[kind].partition(":")
        loaded = getattr(importlib.import_module(module), name)
    else:
        points = list(entry_points(group=ENTRY_POINTS, name=kind))
        if not points:
            raise UserError(f"unknown kind of expert {kind!r}; {nearest(kind, known_kinds())}")
        try:
            loaded = points[0].load()
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"the expert kind {kind!r} ({points[0].value}) can't be imported: {error}; "
                "repair or uninstall the package that provides it"
            ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Expert)):
        raise UserError(f"the expert kind {kind!r} must name a subclass of openmova.experts.Expert")
    return loaded


def build_expert(
    spec: Mapping[str, Any], *, folder: Path | str | None = None, frozen: bool = True
) -> Expert:
    """Build the expert that a spec describes, with random weights unless its kind has a file.

    folder: the checkpoint folder, where relative paths in the spec start.
    frozen: no gradients and always in evaluation mode; False for a base that is trained.
    """
    keywords = dict(spec)
    kind = keywords.pop("kind", None)
    if not isinstance(kind, str):
        raise UserError(f'the spec of an expert needs a "kind"; {nearest("", known_kinds())}')
    cls = expert_class(kind)
    try:
        expert = cls.from_spec(keywords, folder=None if folder is None else Path(folder))
    except TypeError as error:
        raise UserError(f"the spec of the {kind!r} expert does not fit: {error}") from error
    return expert.freeze() if frozen else expert
