"""A recipe: which public parts an untrained MoVA is assembled from. A YAML file under recipes/.

Nothing is downloaded or opened here; every mistake that can be seen in the text is told at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import yaml

from openmova.checkpoints import mova_specs
from openmova.checkpoints.templates import TEMPLATES
from openmova.errors import UserError
from openmova.experts.registry import known_kinds
from openmova.model.adapter import AdapterConfig
from openmova.routing import RoutingConfig

OWN_TEMPLATE = "tokenizer"
"""The template of this name is the language model's own."""
DTYPES = ("bfloat16", "float16", "float32")
FOLLOWS = ("width", "expert_channels", "text_width", "output_width")
"""Sizes of the adapter that follow from the parts, so a recipe does not give them."""


@dataclass(frozen=True, kw_only=True)
class EncoderEntry:
    """One encoder of a recipe."""

    name: str
    source: str
    """A file, a folder, or a repository of the hub; also a whole MoVA, for its encoder of the
    same name."""
    kind: str | None = None
    """Of encoder; default: by the name, where the paper has one of that name, else whatever the
    source holds."""
    changes: Mapping[str, Any]
    """Everything else: keywords of the spec, such as descriptions or size."""


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
    dtype: str = "bfloat16"
    seed: int = 0
    """Of the adapter's first weights."""
    image_token: str = "<image>"
    max_side: int = 4096
    """Of a picture, in pixels; larger ones are reduced."""

    def __post_init__(self) -> None:
        if self.template != OWN_TEMPLATE:
            _known([self.template], [*TEMPLATES, OWN_TEMPLATE], "template")
        if self.dtype not in DTYPES:
            raise UserError(f"the recipe's dtype {self.dtype!r} is none of {', '.join(DTYPES)}")
        own = [key for key in _names(AdapterConfig) if key not in FOLLOWS]
        _known(self.adapter, own, "key of adapter")
        learned = "lora"  # not assembled
        asked = [key for key in _names(RoutingConfig) if key != learned]
        _known(self.routing, asked, "key of routing")
        for entry in (self.base, *self.experts):
            if entry.kind is not None:
                _known([entry.kind], known_kinds(), f"kind of {entry.name}")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file; relative paths in it start where the command is run."""
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(f"there is no recipe {str(path)!r}: give a YAML file") from error
        except (OSError, ValueError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"the recipe {path.name} can't be read: {reason}") from error
        if not isinstance(content, dict):
            raise UserError(f"the recipe {path.name} holds no keys such as language_model")
        return cls.from_dict(content)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The recipe of plain types."""
        _known(content, _names(cls), "key")
        needed = [f.name for f in fields(cls) if (f.default, f.default_factory) == (MISSING,) * 2]
        if lacking := [name for name in needed if content.get(name) is None]:
            raise UserError(f"the recipe lacks {', '.join(lacking)}")
        given = dict(content)
        listed = given["experts"]
        if not isinstance(listed, list):
            raise UserError("the recipe's experts must be a list of {name: ..., source: ...}")
        given["experts"] = tuple(_entry(item, f"experts[{i}]") for i, item in enumerate(listed))
        given["base"] = _entry({"name": "clip", **_mapping(given["base"], "base")}, "base")
        for name in ("adapter", "routing"):
            given[name] = _mapping(given.get(name) or {}, name)
        for name in ("language_model", "gate_text_encoder", "template", "dtype", "image_token"):
            if not isinstance(given.get(name, ""), str):
                raise UserError(f"the recipe's {name} must be a text, not {given[name]!r}")
        for name in ("seed", "max_side"):
            if not isinstance(given.get(name, 0), int):
                raise UserError(f"the recipe's {name} must be a number, not {given[name]!r}")
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for the report."""
        return asdict(self)


def _entry(item: Any, where: str) -> EncoderEntry:
    given = dict(_mapping(item, where))
    if lacking := [key for key in ("name", "source") if not isinstance(given.get(key), str)]:
        raise UserError(f"the recipe's {where} lacks {', '.join(lacking)}")
    name, source, kind = given.pop("name"), given.pop("source"), given.pop("kind", None)
    if isinstance(given.get("descriptions"), str):
        given["descriptions"] = [given["descriptions"]]
    known = mova_specs.CLIP if name == "clip" else mova_specs.EXPERTS.get(name)
    if known is not None:
        kind = kind or known["kind"]
    elif "descriptions" not in given:
        raise UserError(
            f"the recipe's {where} ({name}) lacks descriptions: what the router reads about it; "
            f"only {', '.join(mova_specs.EXPERTS)} have their own"
        )
    return EncoderEntry(name=name, source=source, kind=kind, changes=given)


def _mapping(item: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise UserError(f"the recipe's {where} must hold keys, not {item!r}")
    return item


def _known(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raises UserError, with the nearest names, for one that is not known."""
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(str(name).lower(), names, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
            raise UserError(f"the recipe has an unknown {what}, {name!r}: {hint}")


def _names(dataclass_: Any) -> list[str]:
    return [f.name for f in fields(dataclass_)]
