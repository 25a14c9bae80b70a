"""The public checkpoints of the paper's encoders: which is which, and its tensors under our names.

What a checkpoint holds beside its vision encoder (text tower, decoder, heads) is left out. Sizes
come from config.json where there is one, and from the shapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel

from openmova.checkpoints import mova_specs
from openmova.checkpoints.encoder_layouts import BERT, LAYOUTS, Layout
from openmova.checkpoints.layouts import RECOMPUTED, encoder_sizes, recomputed, unused
from openmova.checkpoints.plan import Drop, Plan, Take, expert_place, plan_names
from openmova.checkpoints.tensors import Tensors, open_tensors
from openmova.checkpoints.writer import write_checkpoint
from openmova.errors import UserError
from openmova.experts.registry import build_expert
from openmova.runtime.hub import is_release

SPEC_FILE = "spec.json"
"""In the folder of one converted encoder."""
NOT_THE_ENCODER = "not of this encoder"
POSITIONS = "embeddings.position_embedding.weight"
"""CLIP's table, the only one that the released code resizes when it builds the model."""
_KEPT = ("config.json", "open_clip_config.json", "preprocessor_config.json")

Fates = dict[str, Take | Drop]
Shapes = dict[str, tuple[int, ...]]

_DEFAULTS = {spec["kind"]: spec for spec in (mova_specs.CLIP, *mova_specs.EXPERTS.values())}
_DEFAULTS |= {kind: mova_specs.EXPERTS[kind] for kind in ("sam", "pix2struct")}  # two have each
"""What a kind's spec says where neither shapes nor config.json nor the expert's name do."""


@dataclass(frozen=True, kw_only=True)
class EncoderParts:
    """An encoder's checkpoint, understood: nothing of it is loaded yet."""

    title: str
    kind: str
    spec: dict[str, Any]
    """Of the expert, as in config.json; of BERT the keywords of its config."""
    tensors: Tensors
    fates: Fates
    """For every key of the source the parameter of ours that it becomes, or why it is left out."""
    expected: Shapes
    """Our parameters."""

    def plan(self, dtype: str | None = None) -> Plan:
        """Of this encoder alone, into one file that has its name. dtype: default as it is."""
        name = self.spec["name"]
        fates = placed(self.fates, lambda ours: expert_place(name, ours))
        expected = {expert_place(name, ours): shape for ours, shape in self.expected.items()}
        plan = plan_names(self.tensors.names(), fates, expected, dtype=dtype)
        plan.entries = [replace(entry, file=f"{name}.safetensors") for entry in plan.entries]
        return plan


def placed(fates: Mapping[str, Take | Drop], place: Callable[[str], str]) -> Fates:
    """The same fates with our names replaced by places in a checkpoint."""
    return {
        key: replace(fate, place=place(fate.place)) if isinstance(fate, Take) else fate
        for key, fate in fates.items()
    }


def convert_encoder(
    source: Path,
    target: Path,
    *,
    kind: str | None = None,
    name: str | None = None,
    dtype: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write an encoder alone as a folder: spec.json, <name>.safetensors, conversion.json.

    Options as for `read_encoder`; dtype: default as in the source. Returns the report.
    Raises UserError as `read_encoder` and `write_checkpoint` do.
    """
    parts = read_encoder(source, kind=kind, name=name, changes=changes)
    if parts.kind == BERT:
        raise UserError(
            f"{source.name} is a BERT, which needs no conversion: name it as gate_text_encoder in "
            "a recipe for openmova assemble"
        )
    plan = parts.plan(dtype)
    plan.check(parts.tensors)
    about = {"source": source.name, "layout": parts.title, "spec": parts.spec}
    text = json.dumps(parts.spec, indent=2)
    return write_checkpoint(plan, parts.tensors, target, last=(SPEC_FILE, text), about=about)


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
    if (path / SPEC_FILE).is_file():
        return _converted(path, kind, name, changes or {})
    whole = _json(path / "config.json") if (path / "config.json").is_file() else {}
    if is_release(whole):
        raise UserError(
            f"{path.name} is a whole released MoVA: turn it into a folder of ours first, with: "
            "openmova convert SRC DST"
        )
    if whole.get("model_type") == "openmova":
        return _of_checkpoint(path, whole, kind, name, changes or {})
    tensors = open_tensors(path)
    keys = tensors.names()
    layout, prefix = _layout(path, keys, kind)
    settings, preprocessor = _settings(path)
    for key, ours in layout.fixed.items():
        if settings.get(key, ours) != ours:
            raise UserError(
                f"{path.name}: config.json says {key} {settings[key]!r}, but experts of the kind "
                f"{layout.kind} compute with {ours!r}: use the kind hf for it"
            )
    names = {key: layout.our_name(key[len(prefix) :]) for key in keys if key.startswith(prefix)}
    shapes = {ours: keys[key].shape for key, ours in names.items()}
    if layout.kind == BERT:
        spec = _bert_spec(path, settings)
        expected = expected_shapes(BERT, spec)
        fates = _fates(keys, names, expected, _unused_of_bert)
    else:
        spec = _spec(layout, name, shapes, settings, preprocessor, changes or {})
        expected = expected_shapes(layout.kind, spec)
        fates = _fates(keys, names, expected, lambda ours: unused(layout.kind, ours, spec))
    return EncoderParts(
        title=layout.title,
        kind=layout.kind,
        spec=spec,
        tensors=tensors,
        fates=fates,
        expected=expected,
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
        reason = " ".join(str(error).split())
        raise UserError(f"no encoder of the kind {kind} has these sizes: {reason}") from error
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


def _settings(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the files beside the weights say: of the vision part, and of its preprocessing."""
    whole, open_clip, preprocessor = (
        _json(path / name) if (path / name).is_file() else {} for name in _KEPT
    )
    settings = whole.get("vision_config", whole)
    open_clip = open_clip.get("preprocess_cfg", {})
    stated = {
        "mean": preprocessor.get("image_mean", open_clip.get("mean")),
        "std": preprocessor.get("image_std", open_clip.get("std")),
    }
    return settings, {key: value for key, value in stated.items() if value is not None}


def _spec(
    layout: Layout,
    name: str | None,
    shapes: Shapes,
    settings: Mapping[str, Any],
    preprocessor: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole spec: sizes, what the preprocessor says, then what was set by hand."""
    name = name or layout.kind
    known = mova_specs.CLIP if name == "clip" else mova_specs.EXPERTS.get(name, {})
    default = {**_DEFAULTS[layout.kind], **known, "name": name}
    told = {ours: settings[theirs] for ours, theirs in layout.sizes.items() if theirs in settings}
    sizes = encoder_sizes(layout.kind, shapes, {**default, **told, **changes}) | told
    view = preprocessor if layout.kind != "pix2struct" else {}
    return {
        "kind": layout.kind,
        "name": name,
        "descriptions": list(known.get("descriptions", [f"The encoder {name}."])),
        **sizes,
        **view,
        **changes,
    }


def _bert_spec(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of BERT, all of which its config.json tells."""
    lacking = [key for key in mova_specs.BERT_LARGE if key not in settings]
    if settings.get("model_type", BERT) != BERT or "hidden_size" in lacking:
        raise UserError(
            f"{path.name}: the gate's text encoder must be a BERT with its config.json, not "
            f"{settings.get('model_type', 'weights alone')}"
        )
    usual = BertConfig()
    return {key: settings.get(key, vars(usual)[key]) for key in mova_specs.BERT_LARGE}


def _unused_of_bert(name: str) -> str | None:
    if recomputed(name):
        return RECOMPUTED
    return "not used: the gate reads the first token itself" if name.startswith("pooler.") else None


def _fates(
    keys: Mapping[str, Any],
    names: Mapping[str, str],
    expected: Shapes,
    reason: Callable[[str], str | None],
) -> Fates:
    """What becomes of every key; a key without a fate is unknown."""
    fates: Fates = {}
    for key, info in keys.items():
        ours = names.get(key)
        if ours is None:
            fates[key] = Drop(reason=NOT_THE_ENCODER)
        elif ours in expected:
            resized = ours == POSITIONS and info.shape != expected[ours]
            fates[key] = Take(place=ours, make="resize_positions" if resized else None)
        elif why := reason(ours):
            fates[key] = Drop(reason=why)
    return fates


def _converted(
    path: Path, kind: str | None, name: str | None, changes: Mapping[str, Any]
) -> EncoderParts:
    """An encoder that was converted alone."""
    stored = _json(path / SPEC_FILE)
    if not isinstance(stored.get("kind"), str) or not isinstance(stored.get("name"), str):
        raise UserError(f"{path.name}/{SPEC_FILE} names no kind and name: convert it again")
    tensors = open_tensors(path / f"{stored['name']}.safetensors")
    return _ours(path, tensors, "", kind, {**stored, **({"name": name} if name else {}), **changes})


def _of_checkpoint(
    path: Path,
    config: Mapping[str, Any],
    kind: str | None,
    name: str | None,
    changes: Mapping[str, Any],
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


def _ours(
    path: Path, tensors: Tensors, prefix: str, kind: str | None, spec: dict[str, Any]
) -> EncoderParts:
    """Tensors that have our names already, some in front of a prefix."""
    if kind not in (None, spec["kind"]):
        raise UserError(
            f"{path.name} holds an encoder of the kind {spec['kind']}, not {kind}: give another "
            "source"
        )
    keys = tensors.names()
    names = {key: key.removeprefix(prefix) for key in keys if key.startswith(prefix)}
    expected = expected_shapes(spec["kind"], spec)
    fates = _fates(keys, names, expected, lambda ours: unused(spec["kind"], ours, spec))
    return EncoderParts(
        title=f"an encoder of openmova ({spec['kind']})",
        kind=spec["kind"],
        spec=spec,
        tensors=tensors,
        fates=fates,
        expected=expected,
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} is not readable as JSON: download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path.name} is not readable as JSON: download it again")
    return content
