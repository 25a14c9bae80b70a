"""A YAML file to a dataclass: strictly, with the nearest name for one that is unknown.

A field's annotation says what it takes: bool, int, float, str, a Literal, another dataclass, a
tuple or Mapping of these, `| None` or any other union; `Annotated[..., Must(...)]` what else holds.

    @dataclass(frozen=True, kw_only=True)
    class Recipe:
        stage: Literal["pretrain", "finetune"]
        batch: Count = 8

    content = read_yaml(Path("recipe.yaml"), ["batch=16"])
    recipe = build(Recipe, content)
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import yaml

from openmova.errors import UserError, nearest, reason
from openmova.runtime.assets import shipped

Kind = TypeVar("Kind")


class Must(NamedTuple):
    """What holds for a value, beside its type."""

    words: str
    """After "must"."""
    holds: Callable[[Any], bool]


Count = Annotated[int, Must("be 1 or more", lambda value: value >= 1)]
Whole = Annotated[int, Must("be 0 or more", lambda value: value >= 0)]
Positive = Annotated[float, Must("be above 0", lambda value: 0 < value < math.inf)]
Amount = Annotated[float, Must("be 0 or more", lambda value: 0 <= value < math.inf)]
Share = Annotated[float, Must("be from 0 to 1", lambda value: 0 <= value <= 1)]


def read_yaml(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The keys of a recipe's file, as `shipped` finds it; overrides are "key=value", with dots into
    lists and mappings ("data.0.weight=2"), their values as in YAML.

    Raises UserError for a file that can't be read, and an override that fits nowhere.
    """
    try:
        content = yaml.safe_load(shipped(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"there is no recipe {str(path)!r}: give a YAML file") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"the recipe {path.name} can't be read: {reason(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"the recipe {path.name} holds no keys: write them as key: value")
    for override in overrides:
        _override(content, override)
    return content


def build(kind: type[Kind], content: Any, where: str = "") -> Kind:
    """A dataclass of plain types; where: what leads to it, with a dot at the end.

    Raises UserError for an unknown key, a value of another type and a key that is not there.
    """
    if not isinstance(content, Mapping):
        raise UserError(f"the recipe's {where.rstrip('.')} must hold keys, not {content!r}")
    own = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    for key in content:
        check_choice("key", key, own, where)
    needed = [n for n, f in own.items() if (f.default, f.default_factory) == (MISSING, MISSING)]
    hints = get_type_hints(kind, include_extras=True)
    given = {
        key: _value(hints[key], value, where + key)
        for key, value in content.items()
        if value is not None or key not in needed
    }
    if lacking := [where + name for name in needed if name not in given]:
        raise UserError(f"the recipe lacks {', '.join(lacking)}")
    return kind(**given)


def check_choice(what: str, given: Any, known: Iterable[str], where: str = "") -> None:
    """Raises UserError, with the nearest names, for one that is not known."""
    names = list(known)
    if given not in names:
        hint = nearest(str(given), names)
        raise UserError(f"the recipe has an unknown {what}, {where + str(given)!r}: {hint}")


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


def _value(hint: Any, value: Any, name: str) -> Any:
    """The value as the field's type. Raises UserError for one of another type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = _value(inner[0], value, name)
        for must in inner[1:]:
            if not must.holds(found):
                raise UserError(f"the recipe's {name} must {must.words}, not {value!r}")
        return found
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        fitting = [h for h in inner if (get_origin(h) is tuple) == isinstance(value, list)]
        return _value(fitting[0] if fitting else inner[0], value, name)
    if is_dataclass(hint):
        return build(hint, value, f"{name}.")  # type: ignore[arg-type]
    if origin is Literal and isinstance(value, str):
        check_choice(name, value, inner)
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], item, f"{name}.{i}") for i, item in enumerate(value))
    if origin is Mapping and isinstance(value, Mapping):
        return {str(k): _value(inner[1], item, f"{name}.{k}") for k, item in value.items()}
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 2e-5 for a text
        except ValueError:
            pass
    if hint is Any or (hint in (int, bool, str) and type(value) is hint):
        return value
    raise UserError(f"the recipe's {name} can't be {value!r}: give {_describe(hint)}")


def _describe(hint: Any) -> str:
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    origins = {tuple: "a list", Mapping: "keys with values", Literal: "one of its names"}
    return words.get(hint) or origins.get(get_origin(hint)) or "another value"
