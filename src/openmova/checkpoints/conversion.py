"""A conversion: what a source becomes, written tensor by tensor, whole or not at all; and verified.

The folder grows beside its place and gets its name at the very end, so a conversion that was
stopped, by whatever, leaves no folder; it starts again. The memory needed is that of about one
tensor.
"""

import fnmatch
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedConfig

from openmova.checkpoints.alignment import STORED, raw_bytes, write_aligned
from openmova.checkpoints.plan import Entry, Plan
from openmova.checkpoints.tensors import Tensors, dtype_name, open_tensors, torch_dtype
from openmova.errors import UserError, reason
from openmova.runtime.files import check_room, new_folder, writing

REPORT = "conversion.json"
FORMAT = 1
"""Of the report."""
INDEX = "model.safetensors.index.json"
SHARDS = "model*.safetensors"
AGAIN = "remove the folder and convert again"
NO_ROOM = "make room, or give a folder on another disk"


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A source that is understood to the last tensor, of which no weight was read yet."""

    title: str
    """What the source is, for people."""
    plan: Plan
    """What becomes of every tensor; not checked."""
    about: Mapping[str, Any]
    """What the report says of the source: plain JSON types."""
    write_small_files: Callable[[Path], object]
    """Writes what belongs into the folder beside the weights (config, tokenizer). Raises UserError
    where the source lacks some of it."""

    def write(self, target: Path) -> dict[str, Any]:
        """Convert into the new folder `target`; returns the report of it."""
        check_target(target)
        with writing(target, NO_ROOM):
            target.parent.mkdir(parents=True, exist_ok=True)
            with new_folder(target) as folder:
                return self.fill(folder)

    def fill(self, folder: Path) -> dict[str, Any]:
        """Write everything into an empty folder.

        The report, conversion.json, has each tensor's source key, file, shape, dtype and SHA-256,
        and what was dropped and why.
        """
        plan = self.plan
        plan.check()
        for entry in plan.entries:
            if entry.dtype not in STORED:
                raise UserError(
                    f"{entry.source} is of the type {dtype_name(entry.dtype)}: give a --dtype for "
                    "it"
                )
        self.write_small_files(folder)  # first: what lacks is known before the weights are read
        check_room(folder, plan.nbytes, NO_ROOM)
        checksums = self._write_weights(folder)
        report = {
            "format": FORMAT,
            **self.about,
            "source_files": plan.tensors.sizes,
            "tensors": {
                entry.place: {
                    "source": entry.source,
                    "file": entry.file,
                    "shape": list(entry.shape),
                    "dtype": dtype_name(entry.dtype),
                    "sha256": checksums[entry.place],
                    **({"make": "resize_positions"} if entry.resized else {}),
                }
                for entry in plan.entries
            },
            "dropped": plan.dropped,
        }
        (folder / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
        return report

    def verify(self, folder: Path) -> int:
        """Compare every tensor of a converted folder with the source, which are both read again.

        Files and dtypes are those of the folder's report, whose checksums must agree too. Returns
        the number of tensors.
        """
        self.plan.check()
        try:
            noted = json.loads((folder / REPORT).read_text(encoding="utf-8"))["tensors"]
            written = [
                replace(e, file=noted[e.place]["file"], dtype=torch_dtype(noted[e.place]["dtype"]))
                for e in self.plan.entries
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{folder.name!r} has no {REPORT} of all its tensors ({reason(error)}): {AGAIN}"
            ) from error
        files = replace(self.plan, entries=written).files
        with _progress("comparing", self.plan) as bar:
            for file, entries in files.items():
                if not (folder / file).is_file():
                    raise UserError(f"{folder.name} lacks {file}: {AGAIN}")
                stored = open_tensors(folder / file)
                for entry in entries:
                    self._compare(entry, stored, noted[entry.place]["sha256"])
                    bar.update(entry.blank.nbytes)
                if extra := stored.keys() - {entry.name for entry in entries}:
                    raise UserError(f"{file} holds {min(extra)}, which the source has not: {AGAIN}")
        return len(written)

    def _write_weights(self, folder: Path) -> dict[str, str]:
        """The files of the plan, with what transformers finds the shards by; returns checksums."""
        checksums: dict[str, Future[str]] = {}
        with _progress("converting", self.plan) as bar, ThreadPoolExecutor(1) as hashing:
            for file, entries in self.plan.files.items():
                by_name = {entry.name: entry for entry in entries}

                def read(name: str, by_name: Mapping[str, Entry] = by_name) -> Tensor:
                    entry = by_name[name]
                    tensor = self.plan.tensor(entry)
                    if checksums:
                        next(reversed(checksums.values())).result()  # one tensor waits at most
                    checksums[entry.place] = hashing.submit(_checksum, tensor)
                    bar.update(tensor.nbytes)
                    return tensor

                (folder / file).parent.mkdir(exist_ok=True)
                write_aligned(folder / file, {n: e.blank for n, e in by_name.items()}, read)
        main = [entry for entry in self.plan.entries if entry.place == entry.name]
        homes = {entry.name: entry.file for entry in main}
        if len(set(homes.values())) > 1:
            size = sum(entry.blank.nbytes for entry in main)
            index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(homes.items()))}
            (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
        return {place: checksum.result() for place, checksum in checksums.items()}

    def _compare(self, entry: Entry, stored: Tensors, noted: str) -> None:
        found, wanted = _says(stored.get(entry.name)), _says(entry.blank)
        where = f"{entry.file}: {entry.name}"
        if found != wanted:
            raise UserError(f"{where} is {found}, the source has {wanted}: {AGAIN}")
        ours = _checksum(stored.read(entry.name))
        if ours != _checksum(self.plan.tensor(entry)):
            source = f"{entry.source} of {self.plan.tensors.files[entry.source]}"
            raise UserError(f"{where} differs from {source}: {AGAIN}")
        if ours != noted:
            raise UserError(f"{where} has not the checksum of the report: {AGAIN}")


def check_target(target: Path) -> None:
    """Raises UserError if the target is there, unless it is an empty folder."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(
            f"{target.name!r} exists already: give another folder, or remove it (--verify compares "
            "it with its source)"
        )


def copy_small_files(
    source: Path, target: Path, plan: Plan, *, without: Iterable[str] = ()
) -> None:
    """All files of a checkpoint folder of ours but the weights that the plan writes anew, and those
    of these names."""
    written = {*without, *(Path(file).name for file in plan.files)}

    def ignored(_: str, names: list[str]) -> list[str]:
        hidden = [name for name in names if name.startswith(".")]
        return [*hidden, *({INDEX, REPORT, *written} & set(names)), *fnmatch.filter(names, SHARDS)]

    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)


def save_all(folder: Path, config: PreTrainedConfig, *others: Any) -> None:
    """What belongs into a folder beside the weights: what is given, and config.json."""
    for other in others:
        other.save_pretrained(folder)
    (folder / "config.json").write_text(config.to_json_string(), encoding="utf-8")


def _checksum(tensor: Tensor) -> str:
    return hashlib.sha256(raw_bytes(tensor)).hexdigest()


def _progress(what: str, plan: Plan) -> tqdm:
    """A bar of bytes on standard error, if that is a terminal."""
    return tqdm(total=plan.nbytes, desc=what, unit="B", unit_scale=True, disable=None, leave=False)


def _says(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"{dtype_name(tensor.dtype)} {list(tensor.shape)}"
