"""What the encoders made of pictures that are asked about again, within a limit of bytes.

Who goes on with a conversation sends its picture again. A picture is known by its pixels, so nobody
has to say that it is the same one, and it may be another client that asks.

Shapes: C channels and h x w grid of a map.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import torch
from PIL import Image
from torch import Tensor

from openmova.adapter import ExpertMap
from openmova.passes import Encoders

MEGABYTE = 1_000_000
ENTRY = 1_000
"""Bytes that a picture counts without any map."""


def fingerprint(picture: Image.Image) -> bytes:
    """The same for pictures of the same pixels."""
    about = f"{picture.mode} {picture.width}x{picture.height} ".encode()
    return blake2b(about + picture.tobytes(), digest_size=32).digest()


@dataclass(eq=False)
class Maps:
    """What is known of one picture: maps [C, h, w]."""

    base: Tensor | None = None
    experts: dict[int, Tensor] = field(default_factory=dict)
    """by their index in the pool"""

    @property
    def size(self) -> int:
        """In bytes."""
        known = [*self.experts.values(), *([] if self.base is None else [self.base])]
        return ENTRY + sum(one.numel() * one.element_size() for one in known)


class Features:
    """The maps of pictures; beyond `most` bytes those go that were longest not asked about."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: OrderedDict[bytes, Maps] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(maps.size for maps in self._known.values())

    def of(self, keys: Sequence[bytes | None]) -> list[Maps]:
        """What is known of these pictures, to be added to; None: one that is not remembered."""
        found = []
        for key in keys:
            maps = Maps() if key is None else self._known.setdefault(key, Maps())
            if key is not None:
                self._known.move_to_end(key)
            found.append(maps)
        return found

    def trim(self) -> None:
        """Keep to the limit."""
        size = self.size
        while size > self.most:
            _, gone = self._known.popitem(last=False)
            size -= gone.size


class Remembering:
    """Encoders that run only for what is not known of a batch's pictures; rows: its Maps.

    Rows of the same picture share their Maps, and one run.
    """

    def __init__(self, encoders: Encoders, rows: Sequence[Maps]) -> None:
        self._encoders = encoders
        self._rows = rows

    def encode_base(self, pixel_values: Tensor, image_sizes: Tensor) -> Tensor:
        """As `MovaModel.encode_base`."""
        new = {id(maps): row for row, maps in enumerate(self._rows) if maps.base is None}
        if new:
            rows = list(new.values())
            made = self._encoders.encode_base(pixel_values[rows], image_sizes[rows])
            for row, base in zip(rows, made, strict=True):
                self._rows[row].base = base.clone()  # of its own, not a part of the batch
        return torch.stack([maps.base for maps in self._rows if maps.base is not None])

    def encode_experts(
        self, pixel_values: Tensor, image_sizes: Tensor, routing: Tensor
    ) -> dict[int, ExpertMap]:
        """As `MovaModel.encode_experts`."""
        chosen = [(row, expert, self._rows[row]) for row, expert in routing.nonzero().tolist()]
        new = {
            (id(maps), expert): row for row, expert, maps in chosen if expert not in maps.experts
        }
        missing = torch.zeros_like(routing)
        for (_, expert), row in new.items():
            missing[row, expert] = True
        made = self._encoders.encode_experts(pixel_values, image_sizes, missing)
        for expert, found in made.items():
            for row, one in zip(found.rows.tolist(), found.features, strict=True):
                self._rows[row].experts[expert] = one.clone()
        rows_of: dict[int, list[int]] = {}
        for row, expert, _ in chosen:
            rows_of.setdefault(expert, []).append(row)
        return {
            expert: ExpertMap(
                torch.tensor(rows, device=routing.device),
                torch.stack([self._rows[row].experts[expert] for row in rows]),
            )
            for expert, rows in sorted(rows_of.items())
        }
