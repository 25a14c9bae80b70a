"""The public checkpoints of the paper's encoders: which is which, and its tensors under our names.

What a checkpoint holds beside its vision encoder (text tower, decoder, heads) is left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from openmova.checkpoints import mova_specs
from openmova.checkpoints.conversion import Conversion
from openmova.checkpoints.encoder_layouts import BERT, LAYOUTS, Layout, config_sizes, unused
from openmova.checkpoints.locate import MODEL_TYPE
from openmova.checkpoints.memory import unloaded_expert
from openmova.checkpoints.plan import Drop, Part
from openmova.checkpoints.source_files import is_release, optional_json, read_json
from openmova.checkpoints.tensors import Tensors, open_tensors
from openmova.errors import UserError, reason
from openmova.experts.base import Expert
from openmova.experts.pool import weights_file
from openmova.experts.registry import build_expert, expert_class
from openmova.experts.token_codes import TokenCodes

SPEC_FILE = "spec.json"
"""In the folder of one converted encoder."""
NOT_THE_ENCODER = "not of this encoder"
POSITIONS = "embeddings.position_embedding.weight"
"""CLIP's table, the only one that the released code resizes when it builds the model."""
Spec = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class EncoderParts(Part):
    """An encoder's checkpoint, understood; the places are our parameters."""

    title: str
    kind: str
    spec: Spec
    """Of the expert, as in config.json; of BERT the keywords of its config."""
    folder: Path | None = None
    """Where relative paths in the spec start; None: where the command is run."""
    built: Expert | None = None
    """Of a kind of one's own: with the token codes that the language model gave it, if any."""

    @property
    def channels(self) -> int:
        """Of the expert's map."""
        return unloaded_expert(self.spec, self.folder).channels

    def save_files(self, folder: Path) -> None:
        """Copy the files that the spec names by relative paths."""
        if expert_class(self.spec["kind"]).save_files is not Expert.save_files:
            (self.built or unloaded_expert(self.spec, self.folder)).save_files(folder)


def encoder_conversion(
    source: Path, *, kind: str | None = None, name: str | None = None, dtype: str | None = None
) -> Conversion:
    """Of an encoder alone, into a folder with spec.json, <name>.safetensors, conversion.json.

    kind, name: see `read_encoder`; dtype: default as in the source.
    """
    parts = read_encoder(source, kind=kind, name=name)
    if parts.kind == BERT:
        raise UserError(
            f"{source.name} is a BERT, which needs no conversion: name it as gate_text_encoder in "
            "a recipe for openmova assemble"
        )
    plan = parts.plan(dtype)
    file = f"{parts.spec['name']}.safetensors"
    plan.entries = [replace(entry, file=file) for entry in plan.entries]
    text = json.dumps(parts.spec, indent=2)
    return Conversion(
        title=parts.title,
        plan=plan,
        about={"source": source.name, "layout": parts.title, "spec": parts.spec},
        write_small_files=lambda folder: (folder / SPEC_FILE).write_text(text, encoding="utf-8"),
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
    """
    given = dict(changes or {})
    config = optional_json(path / "config.json")
    if is_release(config):
        raise UserError(
            f"{path.name} is a whole released MoVA: turn it into a folder of ours first, with: "
            "openmova convert SRC DST"
        )
    if (own := _own_encoder(path, config, name)) is not None:
        spec, tensors, prefix = own
        title = f"an encoder of openmova ({spec['kind']})"
        _check_kind(path, title, spec["kind"], kind)
        names = {key: key.removeprefix(prefix) for key in tensors if key.startswith(prefix)}
        return _parts(title, {**spec, **given}, tensors, names, folder=path)
    tensors = open_tensors(path)
    layout, prefix = _layout(path, tensors, kind)
    names = {k: layout.our_name(k[len(prefix) :]) for k in tensors if k.startswith(prefix)}
    settings = config.get("vision_config", config)
    if settings and layout.config is not None:
        computed = layout.config(**settings).to_dict()
        for key, ours in layout.fixed.items():
            if computed[key] != ours:
                raise UserError(
                    f"{path.name}: config.json says {key} {computed[key]!r}, but experts of the "
                    f"kind {layout.kind} compute with {ours!r}: use the kind hf for it"
                )
    stated = config_sizes(layout.kind, settings) if settings else {}
    if layout.kind == BERT:
        if settings.get("model_type", BERT) != BERT or "hidden_size" not in settings:
            raise UserError(
                f"{path.name}: the gate's text encoder must be a BERT with its config.json, not "
                f"{settings.get('model_type', 'weights alone')}"
            )
        return _parts(layout.title, stated, tensors, names, kind=BERT)
    shapes = {ours: tensors[key].shape for key, ours in names.items()}
    spec = _published_spec(layout.kind, name or layout.kind, shapes) | stated
    if layout.kind != "pix2struct":
        spec |= _stated_view(path)
    resizable = [POSITIONS] if layout.kind == "clip" and "size" in given else []
    return _parts(layout.title, spec | given, tensors, names, resizable=resizable)


def is_own_encoder(path: Path) -> bool:
    """Whether it is the folder of an encoder that was converted alone, or of a model of ours."""
    model_type = optional_json(path / "config.json").get("model_type")
    return (path / SPEC_FILE).is_file() or model_type == MODEL_TYPE


def own_kind(
    path: Path | None,
    kind: str,
    name: str,
    keywords: Mapping[str, Any],
    embedding: Tensor | None,
    folder: Path | None = None,
) -> EncoderParts:
    """An encoder of a kind that has no public checkpoint: a graph, or one that a package offers.

    path: its weights by the names of its parameters; None: those that its class gives it.
    embedding: of the language model, for an expert that says in words. folder: of a checkpoint,
    which may hold their codes.
    """
    spec = {"kind": kind, "name": name, **keywords}
    title = f"an encoder of the kind {kind}"
    if path is None:
        expert = _packaged_expert(spec, folder)
        if kind == "onnx":  # which would be asked of the graph at every start
            spec["channels"] = expert.channels
        part = Part.of(Tensors(expert.state_dict(), file=kind))
        parts = EncoderParts(**vars(part), title=title, kind=kind, spec=spec)
    else:
        expert = unloaded_expert(spec)
        tensors = open_tensors(path)
        parts = _parts(title, spec, tensors, {key: key for key in tensors})
    for codes in (module for module in expert.modules() if isinstance(module, TokenCodes)):
        if embedding is None:
            raise UserError(f"the kind {kind} needs a language model whose embedding is known")
        if not codes.step.any():
            codes.fit(embedding)
    return replace(parts, built=expert, folder=folder)


def _packaged_expert(spec: Spec, folder: Path | None) -> Expert:
    """The expert of a spec, whose class gives it its weights. Raises UserError if they are random:
    two of different seeds differ."""
    twice = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            expert = build_expert(spec, folder=folder)
        twice.append(expert.state_dict())
    first, second = twice
    for parameter, tensor in first.items():
        if not torch.equal(tensor, second[parameter]):
            raise UserError(
                f"the kind {spec['kind']} begins with random weights ({parameter}): give the file "
                "of its trained ones as source"
            )
    return expert


def _own_encoder(
    path: Path, config: Mapping[str, Any], name: str | None
) -> tuple[Spec, Tensors, str] | None:
    """Of an encoder that was converted alone, or is in a whole checkpoint of ours: its spec, its
    tensors, and what their names begin with. None of a source that is neither."""
    if (path / SPEC_FILE).is_file():
        spec = read_json(path / SPEC_FILE)
        if not isinstance(spec.get("kind"), str) or not isinstance(spec.get("name"), str):
            raise UserError(f"{path.name}/{SPEC_FILE} names no kind and name: convert it again")
        file = path / f"{spec['name']}.safetensors"
        return {**spec, **({"name": name} if name else {})}, open_tensors(file), ""
    if config.get("model_type") != MODEL_TYPE:
        return None
    specs = {spec["name"]: spec for spec in (config["base"], *config["experts"])}
    if name not in specs:
        raise UserError(
            f"{path.name} has no encoder {name!r}, it has {', '.join(specs)}: name one of them"
        )
    if specs[name] == config["base"]:
        return specs[name], open_tensors(path), "model.base."
    file = weights_file(path, specs[name]["name"])
    return specs[name], open_tensors(file) if file.is_file() else Tensors({}), ""


def _layout(path: Path, tensors: Tensors, kind: str | None) -> tuple[Layout, str]:
    """The layout of a checkpoint, of this kind if one is wanted, and what its keys begin with."""
    found = [
        (layout, prefix) for layout in LAYOUTS if (prefix := layout.prefix(tensors)) is not None
    ]
    if not found:
        known = ", ".join(layout.title for layout in LAYOUTS)
        raise UserError(f"{path.name} holds no encoder of a known layout; the layouts are: {known}")
    fitting = [pair for pair in found if kind in (None, pair[0].kind)]
    layout, prefix = (fitting or found)[0]
    _check_kind(path, layout.title, layout.kind, kind)
    return layout, prefix


def _check_kind(path: Path, title: str, found: str, wanted: str | None) -> None:
    if wanted not in (None, found):
        raise UserError(
            f"{path.name} holds {title} (kind {found}), not an encoder of the kind {wanted}: give "
            "another source"
        )


def _published_spec(kind: str, name: str, shapes: Mapping[str, torch.Size]) -> Spec:
    """The spec as published: of the paper's expert of this name, else of one of this kind.

    shapes: of the source, by our names: SAM has three published sizes, which its width tells.
    """
    known = {"clip": mova_specs.CLIP, **mova_specs.EXPERTS}
    of_kind = {spec["kind"]: spec for spec in known.values()} | known
    named = known.get(name, {"descriptions": [f"The encoder {name}."]})
    spec = {**(named if named.get("kind") == kind else of_kind[kind])}
    if kind == "clip":
        spec["size"] = mova_specs.CLIP_PUBLISHED_SIZE
    if kind == "sam":
        spec |= mova_specs.SAM_SIZES.get(shapes.get("patch_embed.proj.weight", (0,))[0], {})
        if "net_2.weight" in shapes:
            spec["downsample"] = mova_specs.EXPERTS["vary"]["downsample"]
    return {**spec, "name": name, "descriptions": list(named["descriptions"])}


def _stated_view(path: Path) -> Spec:
    """What the files beside the weights say of the pictures' mean and deviation."""
    preprocessor = optional_json(path / "preprocessor_config.json")
    open_clip = optional_json(path / "open_clip_config.json").get("preprocess_cfg", {})
    stated = {
        "mean": preprocessor.get("image_mean", open_clip.get("mean")),
        "std": preprocessor.get("image_std", open_clip.get("std")),
    }
    return {key: value for key, value in stated.items() if value is not None}


def _parts(
    title: str,
    spec: Spec,
    tensors: Tensors,
    names: Mapping[str, str],
    *,
    kind: str | None = None,
    resizable: list[str] | None = None,
    folder: Path | None = None,
) -> EncoderParts:
    """names: source key -> our name, of the encoder's own; a key that no spec has is unknown."""
    kind = kind or spec["kind"]
    expected = _expected(kind, spec, folder)
    key_map: dict[str, str | Drop] = {key: Drop(NOT_THE_ENCODER) for key in tensors.keys() - names}
    for key, ours in names.items():
        if ours in expected:
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
        resizable=resizable or [],
        folder=folder,
    )


def _expected(kind: str, spec: Spec, folder: Path | None) -> dict[str, Tensor]:
    """The parameters of ours that a spec asks for, without numbers."""
    try:
        if kind != BERT:
            return unloaded_expert(spec, folder).state_dict()
        with torch.device("meta"):
            return BertModel(BertConfig(**spec), add_pooling_layer=False).state_dict()
    except (TypeError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise UserError(
            f"no encoder of the kind {kind} has these sizes: {reason(error)}"
        ) from error
