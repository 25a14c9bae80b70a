"""Writes the checkpoint that a plan describes, tensor by tensor, whole or not at all.

A file is written under another name, flushed and renamed; the folder grows as "<target>.partial"
and gets its name at the very end, with config.json as its last file. So a conversion that was
stopped, by whatever, leaves no folder that loads, and the same conversion run again takes over the
files that were finished. The memory needed is that of about one tensor.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

from openmova.checkpoints.alignment import STORED, aligned_order, header
from openmova.checkpoints.plan import MAKES, Entry, Plan
from openmova.checkpoints.tensor_file import Tensors, raw_bytes, torch_dtype
from openmova.errors import UserError
from openmova.runtime.cache import size_text
from openmova.runtime.files import flush, is_full, write_text

REPORT = "conversion.json"
FORMAT = 1
"""Of the report and the files: what a killed conversion of another one wrote is not taken over."""
JOURNAL = "conversion.partial.json"
LOCK = ".lock"
INDEX = "model.safetensors.index.json"


def write_checkpoint(
    plan: Plan,
    tensors: Tensors,
    target: Path,
    *,
    last: tuple[str, str],
    about: Mapping[str, Any],
    finish: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Write the plan's files into the new folder `target`, and return the report of it.

    last: name and text of the file that makes the folder loadable (config.json); about: what the
    report says of the source, plain JSON types; finish(folder): writes the small files.
    The report, conversion.json, has each tensor's source key, file, shape, dtype and SHA-256, and
    what was dropped and why.
    Raises UserError if the target exists, another conversion is writing it, the disk is full or
    can't be written, or the source can't be read; the partial folder is kept to go on with.
    """
    check_target(target)
    partial = partial_folder(target)
    with _writing(target):
        partial.mkdir(parents=True, exist_ok=True)
        with _locked(partial):
            check_target(target)  # another one may have finished it
            journal = _Journal(partial, _fingerprint(plan, tensors, about))
            _check_room(partial, plan, journal)
            _write_files(plan, tensors, partial, journal)
            _write_index(plan, partial)
            if finish is not None:
                finish(partial)
            report = _report(plan, tensors, about, journal.files)
            write_text(partial / REPORT, json.dumps(report, indent=1))
            write_text(partial / last[0], last[1])
            journal.remove()
            for file in partial.rglob("*"):
                flush(file)
            (partial / LOCK).unlink()
            partial.rename(target)
            flush(target.parent)
    return report


def partial_folder(target: Path) -> Path:
    """Where a target is built."""
    return target.with_name(f"{target.name}.partial")


def check_target(target: Path) -> None:
    """Raises UserError if the target is there, unless it is an empty folder."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(
            f"{target.name!r} exists already: give another folder, or remove it (--verify compares "
            "it with its source)"
        )


def read_report(folder: Path) -> dict[str, Any]:
    """The report of a converted folder. Raises UserError if it has none."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if isinstance(report["tensors"], dict):
            return report
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{folder.name!r} has no {REPORT} that can be read: convert the source again")


def made(entry: Entry, tensors: Tensors) -> Tensor:
    """The tensor of an entry: read, changed, in its dtype. Raises UserError as `read` does."""
    tensor = tensors.read(entry.source)
    if entry.make is not None:
        tensor = MAKES[entry.make](tensor, entry.shape)
    return tensor.to(torch_dtype(entry.dtype)).contiguous()


def checksum(tensor: Tensor) -> str:
    """SHA-256 of a tensor's bytes."""
    return hashlib.sha256(raw_bytes(tensor)).hexdigest()


def progress(total: int, done: int, what: str) -> tqdm:
    """A bar of bytes on standard error, if that is a terminal."""
    return tqdm(
        total=total, initial=done, desc=what, unit="B", unit_scale=True, disable=None, leave=False
    )


class _Journal:
    """Which files of a partial folder are finished; emptied if it is of another conversion."""

    def __init__(self, folder: Path, fingerprint: str):
        self._path = folder / JOURNAL
        self._fingerprint = fingerprint
        self.files: dict[str, dict[str, Any]] = {}
        noted = self._read()
        if noted.get("fingerprint") != fingerprint:
            _empty(folder)
            return
        for name, fields in noted["files"].items():
            path = folder / name
            if path.is_file() and path.stat().st_size == fields["size"]:
                self.files[name] = fields

    def add(self, file: str, size: int, checksums: Mapping[str, str]) -> None:
        """A file is finished: its size, and the checksums of its tensors."""
        self.files[file] = {"size": size, "sha256": dict(checksums)}
        content = {"fingerprint": self._fingerprint, "files": self.files}
        write_text(self._path, json.dumps(content))

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            noted = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}


def _write_files(plan: Plan, tensors: Tensors, folder: Path, journal: _Journal) -> None:
    files = plan.files
    done = sum(entry.nbytes for file in journal.files for entry in files.get(file, ()))
    with progress(plan.nbytes, done, "converting") as bar, ThreadPoolExecutor(1) as hashing:
        for file, entries in files.items():
            if file in journal.files:
                continue
            path = folder / file
            path.parent.mkdir(exist_ok=True)
            unfinished = path.with_name(f"{path.name}.tmp")
            try:
                checksums = _write_file(unfinished, entries, tensors, bar, hashing)
                size = unfinished.stat().st_size
                unfinished.replace(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            journal.add(file, size, checksums)


def _write_file(
    path: Path, entries: Sequence[Entry], tensors: Tensors, bar: tqdm, hashing: ThreadPoolExecutor
) -> dict[str, str]:
    """One safetensors file; returns the checksums by name."""
    named = {entry.name: entry for entry in entries}
    for entry in entries:
        if entry.dtype not in STORED:
            raise UserError(f"{entry.source} is of the type {entry.dtype}: give a --dtype for it")
    infos = {name: entry.info for name, entry in named.items()}
    order = aligned_order(infos)
    checksums = {}
    with path.open("wb", buffering=0) as file:
        _write_all(file, header(order, infos))
        for entry in map(named.__getitem__, order):
            tensor = made(entry, tensors)
            if tuple(tensor.shape) != entry.shape:
                raise UserError(
                    f"{tensors.file(entry.source)}: {entry.source} has the shape "
                    f"{list(tensor.shape)} instead of {list(entry.shape)}"
                )
            data = raw_bytes(tensor)
            digest = hashing.submit(hashlib.sha256, data)
            _write_all(file, data)
            checksums[entry.name] = digest.result().hexdigest()
            bar.update(entry.nbytes)
        os.fsync(file.fileno())
    return checksums


def _write_all(file: Any, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _write_index(plan: Plan, folder: Path) -> None:
    """What transformers finds the shards by, if there are several."""
    homes = {entry.name: entry.file for entry in plan.entries if entry.place == entry.name}
    if len(set(homes.values())) > 1:
        size = sum(entry.nbytes for entry in plan.entries if entry.name in homes)
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(homes.items()))}
        write_text(folder / INDEX, json.dumps(index, indent=1))


def _report(
    plan: Plan, tensors: Tensors, about: Mapping[str, Any], files: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        **about,
        "source_files": tensors.sizes(),
        "tensors": {
            entry.place: {
                "source": entry.source,
                "file": entry.file,
                "shape": list(entry.shape),
                "dtype": entry.dtype,
                "sha256": files[entry.file]["sha256"][entry.name],
                **({"make": entry.make} if entry.make else {}),
            }
            for entry in plan.entries
        },
        "dropped": plan.dropped,
    }


def _fingerprint(plan: Plan, tensors: Tensors, about: Mapping[str, Any]) -> str:
    """Of all that the written bytes depend on."""
    sources = {
        name: (path.stat().st_size, path.stat().st_mtime_ns)
        for name, path in tensors.paths().items()
    }
    content = [[vars(entry) for entry in plan.entries], sources, about, FORMAT]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check_room(folder: Path, plan: Plan, journal: _Journal) -> None:
    needed = sum(entry.nbytes for entry in plan.entries if entry.file not in journal.files)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder.name} needs another {size_text(needed)} and its disk has {size_text(free)} "
            "free: make room, or give a folder on another disk"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One conversion at a time writes a folder; the lock of a killed one is free."""
    try:
        held = FileLock(folder / LOCK).acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"another conversion is writing {folder.name}: wait for it, or give another folder"
        ) from error
    with held:
        yield


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        partial = partial_folder(target).name
        if is_full(error):
            raise UserError(
                f"the disk is full while writing {partial}: make room and run the same command "
                "again, which goes on where it stopped"
            ) from error
        if isinstance(error, OSError):
            raise UserError(
                f"can't write {partial} ({error.strerror or error}): check the folder"
            ) from error
        raise


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
