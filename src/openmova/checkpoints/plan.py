"""The bookkeeping of a conversion: what becomes of every tensor of the source, and what is left.

A place is where a tensor of ours goes: the name of a parameter of the model
("model.adapter.position"), or "experts/<name>/<parameter>" for one in an expert's own file.
Everything is decided from names and shapes, before any weight is read.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from huggingface_hub import split_state_dict_into_shards_factory
from torch import Tensor

from openmova.checkpoints.tensors import TensorInfo, Tensors, join, torch_dtype
from openmova.errors import UserError
from openmova.experts.clip import resize_positions

SHARD_BYTES = 5_000_000_000
MAIN_FILE = "model.safetensors"
_SHOWN = 4

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Drop:
    """What becomes of a source key: it is left out, for this reason."""

    reason: str


KeyMap = Mapping[str, str | Drop]
"""Source key -> the place that it fills, or why it is left out. A key without an entry is
unknown."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tensor to write: where to, where from, and what it must be."""

    file: str
    name: str
    source: str
    shape: tuple[int, ...]
    dtype: str
    resized: bool = False
    """Whether it is a position table that has another shape in the source."""

    @property
    def info(self) -> TensorInfo:
        return TensorInfo(shape=self.shape, dtype=self.dtype)

    @property
    def nbytes(self) -> int:
        return self.info.nbytes

    @property
    def place(self) -> str:
        if self.file.startswith("experts/"):
            return f"{self.file.removesuffix('.safetensors')}/{self.name}"
        return self.name


@dataclass(kw_only=True)
class Plan:
    """The entries, and all that does not go smoothly.

    dropped: source key -> reason; unfilled: places that no key fills; mismatched: `{"key", "shape",
    "wanted"}` each; unknown: source keys that nobody knows.
    """

    entries: list[Entry] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    unfilled: list[str] = field(default_factory=list)
    mismatched: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def consumed(self) -> list[str]:
        """The source keys that the entries read, each once."""
        return list(dict.fromkeys(entry.source for entry in self.entries))

    @property
    def nbytes(self) -> int:
        return sum(entry.nbytes for entry in self.entries)

    @property
    def files(self) -> dict[str, list[Entry]]:
        """The entries of each file to write, in order."""
        files: dict[str, list[Entry]] = {}
        for entry in self.entries:
            files.setdefault(entry.file, []).append(entry)
        return files

    def to_dict(self) -> dict[str, Any]:
        """The bookkeeping as plain JSON types."""
        return {
            "consumed": self.consumed,
            "dropped": self.dropped,
            "unfilled": self.unfilled,
            "mismatched": self.mismatched,
            "unknown": self.unknown,
        }

    def check(self, tensors: Tensors) -> None:
        """Raises UserError, one line that names files and keys, if anything does not fit."""
        faults = []
        if self.mismatched:
            shown = [
                f"{tensors.file(wrong['key'])}: {wrong['key']} has the shape {wrong['shape']} "
                f"instead of {wrong['wanted']}"
                for wrong in self.mismatched[:_SHOWN]
            ]
            faults.append("; ".join(shown) + _more(self.mismatched))
        if self.unknown:
            shown = [f"{tensors.file(key)}: unknown key {key}" for key in self.unknown[:_SHOWN]]
            faults.append("; ".join(shown) + _more(self.unknown))
        if self.unfilled:
            files = ", ".join(sorted(tensors.sizes)[:_SHOWN]) or "the source"
            shown = [f"nothing in {files} fills {', '.join(self.unfilled[:_SHOWN])}"]
            faults.append("; ".join(shown) + _more(self.unfilled))
        if faults:
            raise UserError(
                "; ".join(faults)
                + ": the source is damaged, incomplete or of another model; download it again, or "
                "check its config.json"
            )


@dataclass(frozen=True, kw_only=True)
class Part:
    """A checkpoint that is understood, nothing of which is loaded yet."""

    tensors: Tensors
    key_map: KeyMap
    expected: Shapes
    """Place -> shape: what it has to fill."""
    resizable: frozenset[str] = frozenset()
    """Places of position tables, which are made to fit."""

    @classmethod
    def of(cls, tensors: Tensors) -> Part:
        """Every tensor of these, at the place of its name."""
        names = tensors.names()
        expected = {name: info.shape for name, info in names.items()}
        return cls(tensors=tensors, key_map={name: name for name in names}, expected=expected)

    def at(self, start: str) -> Part:
        """The same with places that begin so."""
        return Part(
            tensors=self.tensors,
            key_map={k: p if isinstance(p, Drop) else start + p for k, p in self.key_map.items()},
            expected={start + place: shape for place, shape in self.expected.items()},
            resizable=frozenset(start + place for place in self.resizable),
        )

    def plan(self, dtype: str | None = None) -> Plan:
        """dtype: of the floating tensors written; default as they are."""
        names, resizable = self.tensors.names(), self.resizable
        return plan_keys(names, self.key_map, self.expected, resizable=resizable, dtype=dtype)


def join_parts(parts: Mapping[str, Part]) -> Part:
    """Several parts as one, whose keys are "part:name"."""
    return Part(
        tensors=join({name: part.tensors for name, part in parts.items()}),
        key_map={f"{n}:{key}": p for n, part in parts.items() for key, p in part.key_map.items()},
        expected={p: shape for part in parts.values() for p, shape in part.expected.items()},
        resizable=frozenset(place for part in parts.values() for place in part.resizable),
    )


def plan_keys(
    names: Mapping[str, TensorInfo],
    key_map: KeyMap,
    expected: Shapes,
    *,
    resizable: Container[str] = (),
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Plan:
    """Join what the source has with what the model wants.

    names: the source; expected: place -> shape, everything that must be filled, in the order of the
    files; resizable: places of position tables, which are made to fit.
    dtype: of the floating tensors written; default: as in the source.
    """
    plan = Plan()
    by_place: dict[str, str] = {}
    for key, info in names.items():
        place = key_map.get(key)
        if isinstance(place, Drop):
            plan.dropped[key] = place.reason
        elif place is None or place not in expected or place in by_place:
            plan.unknown.append(key)
        else:
            wanted = expected[place]
            if info.shape != wanted and place not in resizable:
                plan.mismatched.append(
                    {"key": key, "shape": list(info.shape), "wanted": list(wanted)}
                )
            by_place[place] = key
    for place, shape in expected.items():
        if place not in by_place:
            plan.unfilled.append(place)
            continue
        key = by_place[place]
        stored = names[key].dtype
        floating = torch_dtype(stored).is_floating_point
        file, name = _home(place)
        plan.entries.append(
            Entry(
                file=file,
                name=name,
                source=key,
                shape=tuple(shape),
                dtype=dtype if dtype and floating else stored,
                resized=names[key].shape != shape,
            )
        )
    plan.entries = _cut_into_shards(plan.entries, shard_bytes)
    return plan


def expert_place(expert: str, name: str) -> str:
    """The place of an expert's parameter."""
    return f"experts/{expert}/{name}"


def resize_table(table: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A position table [..., 1 + n * n, C] of another square grid, see `resize_positions`."""
    rows = table.reshape(table.shape[-2:])
    return resize_positions(rows, math.isqrt(shape[-2] - 1)).reshape(shape)


def _cut_into_shards(entries: list[Entry], most: int) -> list[Entry]:
    """The same entries with the main file's cut into files of at most `most` bytes, as the hub's
    library does it; one tensor larger than that has a file of its own."""
    split = split_state_dict_into_shards_factory(
        {entry.name: entry for entry in entries if entry.file == MAIN_FILE},
        get_storage_size=lambda entry: entry.nbytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=most,
    )
    files = split.tensor_to_filename
    return [replace(e, file=files[e.name]) if e.file == MAIN_FILE else e for e in entries]


def _home(place: str) -> tuple[str, str]:
    """The file (before it is cut) and the name in it."""
    if place.startswith("experts/"):
        _, expert, name = place.split("/", 2)
        return f"experts/{expert}.safetensors", name
    return MAIN_FILE, place


def _more(faults: list[Any]) -> str:
    return f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
