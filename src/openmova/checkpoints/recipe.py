"""A recipe: which public parts an untrained MoVA is assembled from. A YAML file under recipes/.

Nothing is downloaded or opened here; every mistake that can be seen in the text is told at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from openmova.checkpoints import mova_specs
from openmova.checkpoints.encoder_layouts import LAYOUTS
from openmova.checkpoints.templates import TEMPLATES
from openmova.errors import UserError
from openmova.experts.registry import known_kinds
from openmova.model.adapter import AdapterConfig
from openmova.routing import RoutingConfig
from openmova.runtime.yaml_config import build, check_choice, read_yaml

FROM_SOURCE = {None, "hf", *(layout.kind for layout in LAYOUTS)}
"""Kinds whose weights are a checkpoint's; of others the spec names files, or the class has them."""
OWN_TEMPLATE = "tokenizer"
"""The template of this name is the language model's own."""
FOLLOWS = ("width", "expert_channels", "text_width", "output_width")
"""Sizes of the adapter that follow from the parts, so a recipe does not give them."""


@dataclass(frozen=True, kw_only=True)
class EncoderEntry:
    """One encoder of a recipe."""

    name: str
    source: str
    """A file, a folder, or a repository of the hub; also a whole MoVA, for its encoder of the
    same name. May be left out, and is "" then, where the kind brings its weights."""
    kind: str | None = None
    """Of encoder; default: by the name, where the paper has one of that name, else whatever the
    source holds."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Everything else: keywords of the spec, such as descriptions or size."""

    def __post_init__(self) -> None:
        if self.kind is not None:
            check_choice(f"kind of {self.name}", self.kind, known_kinds())


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The parts and the few choices beside them. Raises UserError for what can't be meant."""

    language_model: str
    """Any causal language model of transformers: a folder, or a repository of the hub."""
    template: str = OWN_TEMPLATE
    """Of the prompts: a name of TEMPLATES, or "tokenizer" for the model's own."""
    base: EncoderEntry
    experts: tuple[EncoderEntry, ...]
    """In the order of their letters."""
    gate_text_encoder: str
    """A BERT with its tokenizer."""
    adapter: Mapping[str, Any] = field(default_factory=dict)
    """Of AdapterConfig, apart from what follows from the parts."""
    routing: Mapping[str, Any] = field(default_factory=dict)
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    seed: int = 0
    """Of the adapter's first weights."""
    image_token: str = "<image>"
    max_side: int = 4096
    """Of a picture, in pixels; larger ones are reduced."""

    def __post_init__(self) -> None:
        check_choice("template", self.template, [*TEMPLATES, OWN_TEMPLATE])
        for key in self.adapter:
            check_choice("key of adapter", key, _names(AdapterConfig, without=FOLLOWS))
        for key in self.routing:
            check_choice("key of routing", key, _names(RoutingConfig, without=["lora"]))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file; relative paths in it start where the command is run."""
        return cls.from_dict(read_yaml(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The recipe of plain types."""
        given = {key: value for key, value in content.items() if value is not None}
        if isinstance(given.get("base"), Mapping):
            given["base"] = encoder_entry({"name": "clip", **given["base"]})
        if isinstance(given.get("experts"), list):
            given["experts"] = [encoder_entry(item) for item in given["experts"]]
        return build(cls, given)


def encoder_entry(item: Any) -> Any:
    """The keys of an EncoderEntry, with the paper's kind and all other keys as `changes`."""
    if not isinstance(item, Mapping):
        return item
    own = {key: item[key] for key in ("name", "source", "kind") if key in item}
    changes = {key: value for key, value in item.items() if key not in own}
    name = own.get("name")
    known = mova_specs.CLIP if name == "clip" else mova_specs.EXPERTS.get(str(name))
    if isinstance(changes.get("descriptions"), str):
        changes["descriptions"] = [changes["descriptions"]]
    if own.get("kind") not in FROM_SOURCE:
        own.setdefault("source", "")
    if known is not None:
        own.setdefault("kind", known["kind"])
    elif name is not None and "descriptions" not in changes:
        raise UserError(
            f"the recipe's expert {name} lacks descriptions: what the router reads about it; only "
            f"{', '.join(mova_specs.EXPERTS)} have their own"
        )
    return {**own, "changes": changes}


def _names(dataclass_: Any, without: tuple[str, ...] | list[str]) -> list[str]:
    return [f.name for f in fields(dataclass_) if f.name not in without]
