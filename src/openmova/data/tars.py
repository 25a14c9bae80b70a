"""WebDataset: tar shards whose members `key.json` and `key.jpg` make the sample `key`.

A shard is gone through once, for where its members lie; that index is kept in the cache, and the
samples are then read in any order by plain seeks.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from openmova.data.bad_samples import BadSample
from openmova.data.sources import Samples, read_record
from openmova.errors import UserError
from openmova.runtime.cache import build_once, cache_dir
from openmova.runtime.files import write_text

RECORD = "json"
PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "avif")
INDEX_VERSION = 1
BLOCK = 512
"""Bytes of a block of a tar; one of zeros ends it."""
Index = list[tuple[str, dict[str, list[int]]]]
"""Of a shard: each sample's key, and of each member's ending where it begins and how long it is.
What is wrong with the shard as a whole is a sample without members, whose key is the reason."""


class TarShards(Samples):
    """The samples of tar shards, in the order of the shards' names.

    A record's own `image` is the ending or the name of a member; without one it is the member that
    is a picture. A shard that is cut short has one sample more, which is bad and says so.
    """

    def __init__(self, shards: Sequence[Path], name: str, images: Path) -> None:
        super().__init__(name, images)
        self.shards = list(shards)
        self._indices = [shard_index(shard) for shard in self.shards]
        self._ends = list(accumulate(len(index) for index in self._indices))

    def __len__(self) -> int:
        return self._ends[-1]

    def label(self, index: int) -> str:
        shard, (key, members) = self._entry(index)
        return f"{shard.name}:{key}" if members else shard.name

    def record(self, index: int) -> Mapping[str, Any]:
        shard, (key, members) = self._entry(index)
        if not members:
            raise BadSample(key)
        if RECORD not in members:
            raise BadSample(f"it has no .{RECORD} member, only {', '.join(members)}")
        record = read_record(_read(shard, members[RECORD]))
        pictures = [ending for ending in members if ending.lower() in PICTURES]
        if len(pictures) > 1:
            raise BadSample(f"several images ({', '.join(pictures)}): one a sample is supported")
        rest = {name: value for name, value in record.items() if name not in ("image", "images")}
        if pictures:
            rest["image"] = _read(shard, members[pictures[0]])
        elif record.get("image") or record.get("images"):
            raise BadSample("its record names an image, but it has no member that is a picture")
        return rest

    def _entry(self, index: int) -> tuple[Path, tuple[str, dict[str, list[int]]]]:
        number = bisect_right(self._ends, index)
        before = self._ends[number - 1] if number else 0
        return self.shards[number], self._indices[number][index - before]


def shard_index(shard: Path) -> Index:
    """Where the samples of a shard lie; from the cache, if the file is as it was then.

    Raises UserError if it can't be read, or is no tar that can be read in any order.
    """
    try:
        stat = shard.stat()
        described = f"{INDEX_VERSION} {shard.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        name = f"tars/{hashlib.sha256(described.encode()).hexdigest()[:32]}"
        if not (cache_dir() / name).is_dir():
            text = json.dumps(_scan(shard, stat.st_size))
            build_once(name, lambda folder: write_text(folder / "index.json", text), len(text))
        return json.loads((cache_dir() / name / "index.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {str(shard)!r} ({error.strerror}): check it") from error


def _scan(shard: Path, size: int) -> Index:
    samples: dict[str, dict[str, list[int]]] = {}
    end, whole = 0, False
    with shard.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    end = member.offset_data + -(-member.size // BLOCK) * BLOCK
                    folder, _, name = member.name.rpartition("/")
                    stem, _, ending = name.partition(".")
                    if not member.isfile() or not stem or not ending:
                        continue
                    if member.offset_data + member.size <= size:
                        key = f"{folder}/{stem}" if folder else stem
                        place = [member.offset_data, member.size]
                        samples.setdefault(key, {})[ending] = place
            file.seek(end)
            whole = file.read(BLOCK) == bytes(BLOCK)
        except (tarfile.TarError, ValueError, OverflowError) as error:
            if not end:
                raise UserError(
                    f"{shard.name} is no plain tar ({error}): give one, unpacked if it is a .tar.gz"
                ) from error
    index = list(samples.items())
    if not whole:
        index.append((f"the shard is cut short after {len(index)} samples: get it again", {}))
    return index


def _read(shard: Path, place: list[int]) -> bytes:
    offset, size = place
    try:
        with shard.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise BadSample(f"cannot read {shard.name} ({error.strerror})") from error
