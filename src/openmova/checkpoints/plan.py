"""The bookkeeping of a conversion: what becomes of every tensor of the source, and what is left.

A place is where a tensor of ours goes: the name of a parameter of the model
("model.adapter.position"), or "experts/<name>/<parameter>" for one in an expert's own file.
Everything is decided from names and shapes, before any weight is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from torch import Tensor

from openmova.checkpoints.tensors import Tensors, join, torch_dtype
from openmova.errors import UserError
from openmova.experts.clip import resize_positions

SHARD_BYTES = 5_000_000_000
MAIN_FILE = "model.safetensors"
_SHOWN = 4


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
    dtype: torch.dtype
    resized: bool = False
    """Whether it is a position table that has another shape in the source."""

    @property
    def blank(self) -> Tensor:
        """What is written, without its numbers."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")

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

    tensors: Tensors
    """The source's."""
    entries: list[Entry] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    unfilled: list[str] = field(default_factory=list)
    mismatched: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return sum(entry.blank.nbytes for entry in self.entries)

    @property
    def files(self) -> dict[str, list[Entry]]:
        """The entries of each file to write, in order."""
        files: dict[str, list[Entry]] = {}
        for entry in self.entries:
            files.setdefault(entry.file, []).append(entry)
        return files

    def to_dict(self) -> dict[str, Any]:
        """The bookkeeping as plain JSON types; consumed: the keys that are read, each once."""
        return {
            "consumed": list(dict.fromkeys(entry.source for entry in self.entries)),
            "dropped": self.dropped,
            "unfilled": self.unfilled,
            "mismatched": self.mismatched,
            "unknown": self.unknown,
        }

    def check(self) -> None:
        """Raises UserError, one line that names files and keys, if anything does not fit."""
        files = self.tensors.files
        sources = ", ".join(sorted(self.tensors.sizes)[:_SHOWN]) or "the source"
        faults = [
            *_first(
                f"{files[wrong['key']]}: {wrong['key']} has the shape {wrong['shape']} instead of "
                f"{wrong['wanted']}"
                for wrong in self.mismatched
            ),
            *_first(f"{files[key]}: unknown key {key}" for key in self.unknown),
            *_first(f"nothing in {sources} fills {place}" for place in self.unfilled),
        ]
        if faults:
            raise UserError(
                "; ".join(faults)
                + ": the source is damaged, incomplete or of another model; download it again, or "
                "check its config.json"
            )

    def tensor(self, entry: Entry) -> Tensor:
        """What is written of an entry: read, resized, in its dtype."""
        tensor = self.tensors.read(entry.source)
        if entry.resized:
            tensor = resize_table(tensor, entry.shape)
        return tensor.to(entry.dtype).contiguous()


@dataclass(frozen=True, kw_only=True)
class Part:
    """A checkpoint that is understood, nothing of which is loaded yet."""

    tensors: Tensors
    key_map: KeyMap
    expected: Mapping[str, Tensor]
    """Place -> a tensor without numbers: everything to fill, in the order of the files."""
    resizable: Sequence[str] = ()
    """Places of position tables, which are made to fit."""

    @classmethod
    def of(cls, tensors: Tensors) -> Part:
        """Every tensor of these, at the place of its name."""
        return cls(tensors=tensors, key_map={name: name for name in tensors}, expected=tensors)

    def at(self, start: str) -> Self:
        """The same with places that begin so."""
        return replace(
            self,
            key_map={k: p if isinstance(p, Drop) else start + p for k, p in self.key_map.items()},
            expected={start + place: tensor for place, tensor in self.expected.items()},
            resizable=[start + place for place in self.resizable],
        )

    def plan(self, dtype: str | None = None, *, shard_bytes: int = SHARD_BYTES) -> Plan:
        """Join what the source has with what the model wants.

        dtype: of the floating tensors written; default as they are.
        """
        plan = Plan(tensors=self.tensors)
        keys: dict[str, str] = {}
        for key, tensor in self.tensors.items():
            place = self.key_map.get(key)
            if isinstance(place, Drop):
                plan.dropped[key] = place.reason
            elif place is None or place not in self.expected or place in keys:
                plan.unknown.append(key)
            else:
                keys[place] = key
                wanted = self.expected[place].shape
                if tensor.shape != wanted and place not in self.resizable:
                    plan.mismatched.append(
                        {"key": key, "shape": list(tensor.shape), "wanted": list(wanted)}
                    )
        plan.unfilled = [place for place in self.expected if place not in keys]
        entries = [
            _entry(place, keys[place], self.tensors[keys[place]], tensor.shape, dtype)
            for place, tensor in self.expected.items()
            if place in keys
        ]
        plan.entries = _cut_into_shards(entries, shard_bytes)
        return plan


def join_parts(parts: Mapping[str, Part]) -> Part:
    """Several parts as one, whose keys are "part:name"."""
    return Part(
        tensors=join({name: part.tensors for name, part in parts.items()}),
        key_map={f"{n}:{key}": p for n, part in parts.items() for key, p in part.key_map.items()},
        expected={p: tensor for part in parts.values() for p, tensor in part.expected.items()},
        resizable=[place for part in parts.values() for place in part.resizable],
    )


def expert_place(expert: str, name: str) -> str:
    """The place of an expert's parameter."""
    return f"experts/{expert}/{name}"


def resize_table(table: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A position table [..., 1 + n * n, C] of another square grid, see `resize_positions`."""
    rows = table.reshape(table.shape[-2:])
    return resize_positions(rows, math.isqrt(shape[-2] - 1)).reshape(shape)


def _entry(place: str, key: str, stored: Tensor, shape: torch.Size, dtype: str | None) -> Entry:
    """Of a place in a file that is not cut yet."""
    file, name = MAIN_FILE, place
    if place.startswith("experts/"):
        _, expert, name = place.split("/", 2)
        file = f"experts/{expert}.safetensors"
    return Entry(
        file=file,
        name=name,
        source=key,
        shape=tuple(shape),
        dtype=torch_dtype(dtype) if dtype and stored.is_floating_point() else stored.dtype,
        resized=stored.shape != shape,
    )


def _cut_into_shards(entries: Sequence[Entry], most: int) -> list[Entry]:
    """The same entries with the main file's cut into files of at most `most` bytes, as the hub's
    library does it; one tensor larger than that has a file of its own."""
    split = split_state_dict_into_shards_factory(
        {entry.name: entry for entry in entries if entry.file == MAIN_FILE},
        get_storage_size=lambda entry: entry.blank.nbytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=most,
    )
    files = split.tensor_to_filename
    return [replace(e, file=files[e.name]) if e.file == MAIN_FILE else e for e in entries]


def _first(faults: Iterable[str]) -> list[str]:
    """Of a long list of faults the first ones, and how many more."""
    told = list(faults)
    more = [f"and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
    return told[:_SHOWN] + more
