"""A training recipe: everything that decides what a run computes. A YAML file under recipes/.

Nothing but the text is looked at here. The recipe as it was resolved is written into the run
folder, and a run goes on only with the same one.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from openmova.errors import UserError
from openmova.train.lora import LoraSettings
from openmova.train.stages import STAGES

SCHEDULES = ("cosine", "linear", "constant_with_warmup")
PRECISIONS = ("float32", "bfloat16")
SHARDINGS = ("none", "fsdp")
EXPERTS = ("annotated", "all", "none")
TRACKERS = ("tensorboard", "wandb")
QUANTIZED = ("4bit", "8bit")


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """One file, folder or dataset of the mixture."""

    path: str
    """What `openmova data check` takes; or "synthetic", nano's generated images."""
    weight: float = 1.0
    """How often an epoch goes through it."""
    images: str | None = None
    """The folder that pictures' paths start in; the data's own."""
    format: str | None = None
    """Of the data; found out."""
    samples: int | None = None
    """Of synthetic data: how many to generate."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Of the evaluation while a model learns."""

    data: tuple[DataSource, ...]
    """Samples that training never sees."""
    steps: int = 500
    """Between two evaluations; the last comes at the end."""
    samples: int = 200


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """The choices of one run. Raises UserError for what can't be meant."""

    stage: str
    """Which parts train: a name of STAGES."""
    model: str
    """The start: "nano", the folder of a checkpoint, a repository; "tiny", random weights."""
    data: tuple[DataSource, ...]
    experts: str | tuple[str, ...] = "annotated"
    """Which experts see a sample: those of its annotation, "all", "none", or these names."""
    unannotated: Literal["all", "none"] = "none"
    """Which experts see a sample without an annotation, where the annotation decides."""
    random_experts: float = 0.0
    """Share of the samples that a random subset of the pool sees in place of these: for one model
    that annotates in place of all probes."""

    learning_rate: float
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    """Of single parts, in place of learning_rate; 0 leaves a part as it is."""
    schedule: str = "cosine"
    warmup: float = 0.03
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = 0.0
    clip: float = 1.0
    """Largest norm of the gradient."""

    lora: LoraSettings = field(default_factory=LoraSettings)

    epochs: float = 1.0
    steps: int | None = None
    """In place of epochs."""
    batch: int = 8
    """Samples a device takes at once; a step has batch x accumulation x devices."""
    accumulation: int = 1
    max_tokens: int = 2048
    """Of a sample, image tokens included; what is beyond is cut."""
    precision: str = "bfloat16"
    """Of the computation; the weights that train are float32."""
    gradient_checkpointing: bool = False
    sharding: str = "none"
    """Over several processes: "fsdp", each keeps its share of weights, gradients and optimizer."""
    deepspeed: str | None = None
    """A file with a configuration of DeepSpeed, which then shards instead (its stages 0 to 2)."""
    seed: int = 0
    workers: int = 0
    """Processes a device that prepare samples."""

    bad_share: float = 0.01
    """Of samples that can't be used; more of them stop the run."""
    save_steps: int = 500
    keep: int = 2
    """Checkpoints."""
    log_steps: int = 10
    report: tuple[str, ...] = ()
    """Where else the log goes: "tensorboard", "wandb"."""
    evaluation: EvaluationSettings | None = None

    def __post_init__(self) -> None:
        _choice("stage", self.stage, STAGES)
        _choice("schedule", self.schedule, SCHEDULES)
        _choice("precision", self.precision, PRECISIONS)
        _choice("sharding", self.sharding, SHARDINGS)
        _choice("unannotated", self.unannotated, ("all", "none"))
        if isinstance(self.experts, str):
            _choice("experts", self.experts, EXPERTS)
        for part in self.learning_rates:
            _choice(f"part of learning_rates in the stage {self.stage}", part, STAGES[self.stage])
        if not self.data:
            raise UserError("the recipe's data is empty: name at least one source")
        for tracker in self.report:
            _choice("tracker in report", tracker, TRACKERS)
        if self.evaluation is not None:
            for name in ("steps", "samples"):
                if getattr(self.evaluation, name) < 1:
                    raise UserError(f"the recipe's evaluation.{name} must be 1 or more")
            if not self.evaluation.data:
                raise UserError("the recipe's evaluation.data is empty: name at least one source")
        at_least = {
            **dict.fromkeys(("batch", "accumulation", "save_steps", "keep", "log_steps"), 1),
            **dict.fromkeys(("max_tokens",), 1),
            **dict.fromkeys(("warmup", "weight_decay", "workers", "bad_share", "seed"), 0),
        }
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise UserError(f"the recipe's {name} must be {least} or more")
        if self.warmup >= 1:
            raise UserError("the recipe's warmup must be below 1: it is a share of the steps")
        for name in ("learning_rate", "clip", "epochs"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"the recipe's {name} must be above 0, not {getattr(self, name)}")
        if not 0 <= self.random_experts <= 1:
            raise UserError(
                "the recipe's random_experts must be from 0 to 1: a share of the samples"
            )
        if self.lora.rank < 1:
            raise UserError("the recipe's lora.rank must be 1 or more")
        if self.deepspeed is not None and self.sharding != "none":
            raise UserError("the recipe has both sharding and deepspeed: remove one of them")
        if self.lora.quantize is not None:
            _choice("lora.quantize", self.lora.quantize, QUANTIZED)
            if self.stage != "lora":
                raise UserError(
                    "the recipe's lora.quantize is for the stage lora: quantised weights can't "
                    f"learn in the stage {self.stage}"
                )
            if self.sharding != "none":
                raise UserError(
                    "the recipe has both sharding and lora.quantize, but quantised weights can't "
                    "be split: remove one of them"
                )
        if self.steps is not None and self.steps < 1:
            raise UserError("the recipe's steps must be 1 or more")

    def to_dict(self) -> dict[str, Any]:
        """Plain types, as they stand in a YAML file."""
        return _plain(asdict(self))


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> TrainingRecipe:
    """Read a YAML file; overrides are "key=value", with dots into lists and mappings
    ("data.0.weight=2"), their values as in YAML.

    Raises:
        UserError: the file can't be read, or a key or value is not one of a recipe.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"there is no recipe {str(path)!r}: give a YAML file") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"the recipe {path.name} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"the recipe {path.name} holds no keys such as stage")
    for override in overrides:
        _override(content, override)
    return recipe_from_dict(content)


def recipe_from_dict(content: Mapping[str, Any]) -> TrainingRecipe:
    """The recipe of plain types. Raises UserError as `load_recipe` does."""
    if isinstance(content, Mapping) and isinstance(content.get("stage"), str):
        # Before what is missing: a misspelt stage is what the user has to hear of first.
        _choice("stage", content["stage"], STAGES)
    recipe: TrainingRecipe = _built(TrainingRecipe, content, "")
    return recipe


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two recipes' `to_dict`, as "key: old -> new"."""
    before, after = _flat(old), _flat(new)
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key, MISSING) != after.get(key, MISSING)
    ]


def _override(content: Any, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"{override!r} changes nothing: write key=value, such as steps=100")
    *way, last = key.split(".")
    try:
        for step in way:
            content = (
                content[int(step)] if isinstance(content, list) else content.setdefault(step, {})
            )
        value = yaml.safe_load(text)
        if isinstance(content, list):
            content[int(last)] = value
        else:
            content[last] = value
    except (LookupError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UserError(
            f"{override!r} fits no place of the recipe: write such as data.0.weight=2"
        ) from error


def _built(kind: Any, content: Any, where: str) -> Any:
    """A dataclass of plain types; `where` leads to it, with a dot at the end."""
    if not isinstance(content, Mapping):
        raise UserError(f"the recipe's {where.rstrip('.')} must hold keys, not {content!r}")
    names = {f.name: f for f in fields(kind)}
    for key in content:
        _choice("key", key, names, where)
    needed = [n for n, f in names.items() if (f.default, f.default_factory) == (MISSING,) * 2]
    if lacking := [where + name for name in needed if content.get(name) is None]:
        raise UserError(f"the recipe lacks {', '.join(lacking)}")
    hints = get_type_hints(kind)
    given = {key: _value(hints[key], value, where + key) for key, value in content.items()}
    return kind(**given)


def _value(hint: Any, value: Any, name: str) -> Any:
    """The value as the field's type. Raises UserError for one of another type."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _built(hint, value, f"{name}.")
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        fitting = [h for h in inner if (get_origin(h) is tuple) == isinstance(value, list)]
        return _value(fitting[0] if fitting else inner[0], value, name)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], item, f"{name}.{i}") for i, item in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {str(k): _value(inner[1], item, f"{name}.{k}") for k, item in value.items()}
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 2e-5 for a text
        except ValueError:
            pass
    if hint in (int, bool) and type(value) is hint:
        return value
    if (hint is str or origin is Literal) and isinstance(value, str):
        return value
    raise UserError(f"the recipe's {name} can't be {value!r}: give {_described(hint)}")


def _described(hint: Any) -> str:
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    origins = {tuple: "a list", Mapping: "keys with values", Literal: "one of its names"}
    return words.get(hint) or origins.get(get_origin(hint)) or "another value"


def _choice(what: str, given: Any, known: Iterable[str], where: str = "") -> None:
    """Raises UserError, with the nearest names, for one that is not known."""
    names = list(known)
    if given not in names:
        near = difflib.get_close_matches(str(given).lower(), names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
        raise UserError(f"the recipe has an unknown {what}, {where + str(given)!r}: {hint}")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _flat(value: Any, where: str = "") -> dict[str, Any]:
    """Nested plain types as dotted keys."""
    if isinstance(value, Mapping):
        pairs: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    else:
        return {where: value}
    flat: dict[str, Any] = {}
    for key, item in pairs:
        flat |= _flat(item, f"{where}.{key}" if where else str(key))
    return flat
