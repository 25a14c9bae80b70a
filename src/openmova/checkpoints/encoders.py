"""The public checkpoints of the paper's encoders: which is which, and its tensors under our names.

What a checkpoint holds beside its vision encoder (text tower, decoder, heads) is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel

from openmova.checkpoints import mova_specs
from openmova.checkpoints.conversion import Conversion
from openmova.checkpoints.encoder_layouts import BERT, LAYOUTS, Layout, config_sizes, unused
from openmova.checkpoints.plan import Drop, Part, Plan, Shapes
from openmova.checkpoints.source_files import is_release, optional_config, read_json
from openmova.checkpoints.tensors import Tensors, open_tensors
from openmova.errors import UserError, reason
from openmova.experts.registry import build_expert

SPEC_FILE = "spec.json"
"""In the folder of one converted encoder."""
NOT_THE_ENCODER = "not of this encoder"
POSITIONS = "embeddings.position_embedding.weight"
"""CLIP's table, the only one that the released code resizes when it builds the model."""
BERT_FIELDS = tuple(mova_specs.BERT_LARGE)
Spec = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class EncoderParts(Part):
    """An encoder's checkpoint, understood; the places are our parameters."""

    title: str
    kind: str
    spec: Spec
    """Of the expert, as in config.json; of BERT the keywords of its config."""

    def plan(self, dtype: str | None = None) -> Plan:
        """Of this encoder alone, into one file that has its name. dtype: default as it is."""
        plan = super().plan(dtype)
        file = f"{self.spec['name']}.safetensors"
        plan.entries = [replace(entry, file=file) for entry in plan.entries]
        return plan


def encoder_conversion(
    source: Path, *, kind: str | None = None, name: str | None = None, dtype: str | None = None
) -> Conversion:
    """Of an encoder alone, into a folder with spec.json, <name>.safetensors, conversion.json.

    kind, name: see `read_encoder`; dtype: default as in the source. Raises UserError as
    `read_encoder` does, and for a BERT.
    """
    parts = read_encoder(source, kind=kind, name=name)
    if parts.kind == BERT:
        raise UserError(
            f"{source.name} is a BERT, which needs no conversion: name it as gate_text_encoder in "
            "a recipe for openmova assemble"
        )
    text = json.dumps(parts.spec, indent=2)
    return Conversion(
        title=parts.title,
        plan=parts.plan(dtype),
        tensors=parts.tensors,
        about={"source": source.name, "layout": parts.title, "spec": parts.spec},
        prepare=lambda: lambda folder: (folder / SPEC_FILE).write_text(text, encoding="utf-8"),
    )


def read_encoder(
    path: Path,
    *,
    kind: str | None = None,
    name: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> EncoderParts:
    """Find out what a public checkpoint, or an encoder that was converted before, holds.

    path: a file of weights or a folder, also that of a whole model of ours, which has an encoder
    of this name. kind: what it has to be, as in a spec, or "bert"; default:
    whatever it is. name: of the expert; default: its kind. changes: keywords of the spec that are
    set by hand, such as size=672 for CLIP, which resizes its position table.
    Raises UserError for a checkpoint of no known layout or of another kind.
    """
    given = dict(changes or {})
    if (path / SPEC_FILE).is_file():
        return _read_converted(path, kind, name, given)
    whole = optional_config(path)
    if is_release(whole):
        raise UserError(
            f"{path.name} is a whole released MoVA: turn it into a folder of ours first, with: "
            "openmova convert SRC DST"
        )
    if whole.get("model_type") == "openmova":
        return _in_checkpoint(path, whole, kind, name, given)
    tensors = open_tensors(path)
    layout, prefix = _layout(path, tensors.names(), kind)
    settings = whole.get("vision_config", whole)
    if settings and layout.config is not None:
        computed = layout.config(**settings).to_dict()
        for key, ours in layout.fixed.items():
            if computed[key] != ours:
                raise UserError(
                    f"{path.name}: config.json says {key} {computed[key]!r}, but experts of the "
                    f"kind {layout.kind} compute with {ours!r}: use the kind hf for it"
                )
    names = {
        key: layout.our_name(key[len(prefix) :])
        for key in tensors.names()
        if key.startswith(prefix)
    }
    if layout.kind == BERT:
        spec = _bert_spec(path, settings)
    else:
        shapes = {ours: tensors.names()[key].shape for key, ours in names.items()}
        published = _published_spec(layout.kind, name, shapes)
        stated = config_sizes(layout.kind, settings) if settings and layout.config else {}
        spec = {**published, **stated, **_view(path, layout.kind), **given}
    resized = layout.kind == "clip" and "size" in given
    return _parts(
        layout.title,
        layout.kind,
        spec,
        tensors,
        names,
        resizable=frozenset([POSITIONS] if resized else []),
    )


def expected_shapes(kind: str, spec: Mapping[str, Any]) -> Shapes:
    """The parameters of ours that a spec asks for, without building them.

    Raises UserError for a spec that describes nothing that can be built.
    """
    try:
        with torch.device("meta"):
            module = (
                BertModel(BertConfig(**spec), add_pooling_layer=False)
                if kind == BERT
                else build_expert(spec)
            )
    except (TypeError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise UserError(
            f"no encoder of the kind {kind} has these sizes: {reason(error)}"
        ) from error
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _layout(path: Path, keys: Mapping[str, Any], kind: str | None) -> tuple[Layout, str]:
    found = [(layout, prefix) for layout in LAYOUTS if (prefix := layout.prefix(keys)) is not None]
    fitting = [(layout, prefix) for layout, prefix in found if kind in (None, layout.kind)]
    if fitting:
        return fitting[0]
    if found:
        there = found[0][0]
        raise UserError(
            f"{path.name} holds {there.title} (kind {there.kind}), not an encoder of the kind "
            f"{kind}: give another source"
        )
    known = ", ".join(layout.title for layout in LAYOUTS)
    raise UserError(f"{path.name} holds no encoder of a known layout; the layouts are: {known}")


def _published_spec(kind: str, name: str | None, shapes: Shapes) -> Spec:
    """The spec as published: of the paper's expert of this name, else of one of this kind.

    shapes: of the source, by our names: SAM has three published sizes, which its width tells.
    """
    name = name or kind
    known = mova_specs.CLIP if name == "clip" else mova_specs.EXPERTS.get(name, {})
    usual = {spec["kind"]: spec for spec in (mova_specs.CLIP, *mova_specs.EXPERTS.values())}
    usual |= {kind: mova_specs.EXPERTS[kind] for kind in ("sam", "pix2struct")}  # two have each
    spec = {**usual[kind], **(known if known.get("kind") == kind else {})}
    if kind == "clip":
        spec["size"] = mova_specs.CLIP_PUBLISHED_SIZE
    if kind == "sam":
        spec |= mova_specs.SAM_SIZES.get(shapes.get("patch_embed.proj.weight", (0,))[0], {})
        if "net_2.weight" in shapes:
            spec["downsample"] = mova_specs.EXPERTS["vary"]["downsample"]
    descriptions = list(known.get("descriptions", [f"The encoder {name}."]))
    return {**spec, "kind": kind, "name": name, "descriptions": descriptions}


def _view(path: Path, kind: str) -> Spec:
    """What the files beside the weights say of the pictures' mean and deviation."""
    if kind == "pix2struct":
        return {}
    preprocessor, open_clip = (
        read_json(path / name) if (path / name).is_file() else {}
        for name in ("preprocessor_config.json", "open_clip_config.json")
    )
    open_clip = open_clip.get("preprocess_cfg", {})
    stated = {
        "mean": preprocessor.get("image_mean", open_clip.get("mean")),
        "std": preprocessor.get("image_std", open_clip.get("std")),
    }
    return {key: value for key, value in stated.items() if value is not None}


def _bert_spec(path: Path, settings: Mapping[str, Any]) -> Spec:
    """The sizes of BERT, all of which its config.json tells."""
    if settings.get("model_type", BERT) != BERT or "hidden_size" not in settings:
        raise UserError(
            f"{path.name}: the gate's text encoder must be a BERT with its config.json, not "
            f"{settings.get('model_type', 'weights alone')}"
        )
    stated = BertConfig(**settings).to_dict()
    return {key: stated[key] for key in BERT_FIELDS}


def _parts(
    title: str,
    kind: str,
    spec: Spec,
    tensors: Tensors,
    names: Mapping[str, str],
    resizable: frozenset[str] = frozenset(),
) -> EncoderParts:
    """names: source key -> our name, of the encoder's own; a key that no spec has is unknown."""
    expected = expected_shapes(kind, spec)
    key_map: dict[str, str | Drop] = {}
    for key in tensors.names():
        if (ours := names.get(key)) is None:
            key_map[key] = Drop(NOT_THE_ENCODER)
        elif ours in expected:
            key_map[key] = ours
        elif why := unused(kind, ours, spec):
            key_map[key] = Drop(why)
    return EncoderParts(
        title=title,
        kind=kind,
        spec=spec,
        tensors=tensors,
        key_map=key_map,
        expected=expected,
        resizable=resizable,
    )


def _read_converted(path: Path, kind: str | None, name: str | None, changes: Spec) -> EncoderParts:
    """An encoder that was converted alone."""
    stored = read_json(path / SPEC_FILE)
    if not isinstance(stored.get("kind"), str) or not isinstance(stored.get("name"), str):
        raise UserError(f"{path.name}/{SPEC_FILE} names no kind and name: convert it again")
    tensors = open_tensors(path / f"{stored['name']}.safetensors")
    return _ours(path, tensors, "", kind, {**stored, **({"name": name} if name else {}), **changes})


def _in_checkpoint(
    path: Path, config: Mapping[str, Any], kind: str | None, name: str | None, changes: Spec
) -> EncoderParts:
    """The encoder of this name in a whole checkpoint of ours."""
    for spec in config["experts"]:
        if spec["name"] == name:
            tensors = open_tensors(path / "experts" / f"{name}.safetensors")
            return _ours(path, tensors, "", kind, {**spec, **changes})
    if config["base"]["name"] == name:
        return _ours(path, open_tensors(path), "model.base.", kind, {**config["base"], **changes})
    names = ", ".join(spec["name"] for spec in (config["base"], *config["experts"]))
    raise UserError(f"{path.name} has no encoder {name!r}, it has {names}: name one of them")


def _ours(path: Path, tensors: Tensors, prefix: str, kind: str | None, spec: Spec) -> EncoderParts:
    """Tensors that have our names already, some in front of a prefix."""
    if kind not in (None, spec["kind"]):
        raise UserError(
            f"{path.name} holds an encoder of the kind {spec['kind']}, not {kind}: give another "
            "source"
        )
    names = {key: key.removeprefix(prefix) for key in tensors.names() if key.startswith(prefix)}
    title = f"an encoder of openmova ({spec['kind']})"
    return _parts(title, spec["kind"], spec, tensors, names)
