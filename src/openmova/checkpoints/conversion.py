"""A conversion: what a source becomes, written tensor by tensor, whole or not at all; and verified.

The folder grows beside its place and gets its name at the very end, so a conversion that was
stopped, by whatever, leaves no folder; it starts again. The memory needed is that of about one
tensor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from openmova.checkpoints.alignment import STORED, raw_bytes, write_aligned
from openmova.checkpoints.plan import Entry, Plan, resize_table
from openmova.checkpoints.tensors import TensorInfo, Tensors, open_tensors, torch_dtype
from openmova.errors import UserError
from openmova.runtime.files import check_room, new_folder, writing

REPORT = "conversion.json"
FORMAT = 1
"""Of the report."""
INDEX = "model.safetensors.index.json"
AGAIN = "remove the folder and convert again"
NO_ROOM = "make room, or give a folder on another disk"


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A source that is understood to the last tensor, of which no weight was read yet."""

    title: str
    """What the source is, for people."""
    plan: Plan
    """What becomes of every tensor; not checked."""
    tensors: Tensors
    """The source's."""
    about: Mapping[str, Any]
    """What the report says of the source: plain JSON types."""
    prepare: Callable[[], Callable[[Path], object]]
    """Looks at what belongs into the folder beside the weights (config, tokenizer), and returns
    what writes it there. Raises UserError where the source lacks some of it."""

    def write(self, target: Path) -> dict[str, Any]:
        """Convert into the new folder `target`; returns the report of it.

        Raises UserError if the target exists, another process is writing it, the source does not
        fit or can't be read, or the disk is full or can't be written.
        """
        check_target(target)
        with writing(target, NO_ROOM):
            target.parent.mkdir(parents=True, exist_ok=True)
            with new_folder(target) as folder:
                return self.fill(folder)

    def fill(self, folder: Path) -> dict[str, Any]:
        """Write everything into an empty folder.

        The report, conversion.json, has each tensor's source key, file, shape, dtype and SHA-256,
        and what was dropped and why. Raises UserError as `write` does.
        """
        self.plan.check(self.tensors)
        for entry in self.plan.entries:
            if entry.dtype not in STORED:
                raise UserError(
                    f"{entry.source} is of the type {entry.dtype}: give a --dtype for it"
                )
        write_small_files = self.prepare()
        check_room(folder, self.plan.nbytes, NO_ROOM)
        checksums = self._write_weights(folder)
        report = {
            "format": FORMAT,
            **self.about,
            "source_files": self.tensors.sizes,
            "tensors": {
                entry.place: {
                    "source": entry.source,
                    "file": entry.file,
                    "shape": list(entry.shape),
                    "dtype": entry.dtype,
                    "sha256": checksums[entry.place],
                    **({"make": "resize_positions"} if entry.resized else {}),
                }
                for entry in self.plan.entries
            },
            "dropped": self.plan.dropped,
        }
        (folder / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
        write_small_files(folder)
        return report

    def verify(self, folder: Path) -> int:
        """Compare every tensor of a converted folder with the source, which are both read again.

        Files and dtypes are those of the folder's report, whose checksums must agree too. Returns
        the number of tensors. Raises UserError that names the first file and key that is missing,
        too many, or differs.
        """
        self.plan.check(self.tensors)
        noted = _read_report(folder)["tensors"]
        files: dict[str, list[Entry]] = {}
        for entry in self.plan.entries:
            if (fields := noted.get(entry.place)) is None:
                raise UserError(f"the report of {folder.name} lacks {entry.place}: {AGAIN}")
            written = replace(entry, file=fields["file"], dtype=fields["dtype"])
            files.setdefault(written.file, []).append(written)
        with _progress("comparing", self.plan) as bar:
            for file, entries in files.items():
                if not (folder / file).is_file():
                    raise UserError(f"{folder.name} lacks {file}: {AGAIN}")
                stored = open_tensors(folder / file)
                if extra := sorted(stored.names().keys() - {entry.name for entry in entries}):
                    raise UserError(f"{file} holds {extra[0]}, which the source has not: {AGAIN}")
                for entry in entries:
                    self._compare(entry, stored, noted[entry.place]["sha256"])
                    bar.update(entry.nbytes)
        return len(self.plan.entries)

    def _write_weights(self, folder: Path) -> dict[str, str]:
        """The files of the plan, with what transformers finds the shards by; returns checksums."""
        checksums: dict[str, Future[str]] = {}
        with _progress("converting", self.plan) as bar, ThreadPoolExecutor(1) as hashing:
            for file, entries in self.plan.files.items():
                by_name = {entry.name: entry for entry in entries}

                def read(name: str, by_name: Mapping[str, Entry] = by_name) -> Tensor:
                    entry = by_name[name]
                    tensor = made(entry, self.tensors)
                    if checksums:
                        next(reversed(checksums.values())).result()  # one tensor waits at most
                    checksums[entry.place] = hashing.submit(_checksum, tensor)
                    bar.update(entry.nbytes)
                    return tensor

                (folder / file).parent.mkdir(exist_ok=True)
                infos = {name: entry.info for name, entry in by_name.items()}
                write_aligned(folder / file, infos, read)
        homes = {e.name: e.file for e in self.plan.entries if e.place == e.name}
        if len(set(homes.values())) > 1:
            size = sum(entry.nbytes for entry in self.plan.entries if entry.name in homes)
            index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(homes.items()))}
            (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
        return {place: checksum.result() for place, checksum in checksums.items()}

    def _compare(self, entry: Entry, stored: Tensors, noted: str) -> None:
        found, wanted = stored.names().get(entry.name), entry.info
        where = f"{entry.file}: {entry.name}"
        if found != wanted:
            raise UserError(f"{where} is {_says(found)}, the source has {_says(wanted)}: {AGAIN}")
        ours = _checksum(stored.read(entry.name))
        if ours != _checksum(made(entry, self.tensors)):
            raise UserError(
                f"{where} differs from {entry.source} of {self.tensors.file(entry.source)}: {AGAIN}"
            )
        if ours != noted:
            raise UserError(f"{where} has not the checksum of the report: {AGAIN}")


def check_target(target: Path) -> None:
    """Raises UserError if the target is there, unless it is an empty folder."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(
            f"{target.name!r} exists already: give another folder, or remove it (--verify compares "
            "it with its source)"
        )


def made(entry: Entry, tensors: Tensors) -> Tensor:
    """The tensor of an entry: read, resized, in its dtype. Raises UserError as `read` does."""
    tensor = tensors.read(entry.source)
    if entry.resized:
        tensor = resize_table(tensor, entry.shape)
    return tensor.to(torch_dtype(entry.dtype)).contiguous()


def _read_report(folder: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if isinstance(report["tensors"], dict):
            return report
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{folder.name!r} has no {REPORT} that can be read: convert the source again")


def _checksum(tensor: Tensor) -> str:
    return hashlib.sha256(raw_bytes(tensor)).hexdigest()


def _progress(what: str, plan: Plan) -> tqdm:
    """A bar of bytes on standard error, if that is a terminal."""
    return tqdm(total=plan.nbytes, desc=what, unit="B", unit_scale=True, disable=None, leave=False)


def _says(info: TensorInfo | None) -> str:
    return "missing" if info is None else f"{info.dtype} {list(info.shape)}"
