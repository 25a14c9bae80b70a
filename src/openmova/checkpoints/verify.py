"""Compares a converted folder with its source, tensor by tensor: both are read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from openmova.checkpoints.plan import Entry, Plan
from openmova.checkpoints.tensors import TensorInfo, Tensors, open_tensors
from openmova.checkpoints.writer import checksum, made, progress, read_report
from openmova.errors import UserError

REMEDY = "remove the folder and convert again"


def verify_checkpoint(plan: Plan, tensors: Tensors, folder: Path) -> int:
    """Compare every tensor of a folder with what the plan makes of the source; returns their count.

    Files and dtypes are those of the folder's report, whose checksums must agree too.
    Raises UserError that names the first file and key that is missing, too many, or differs.
    """
    noted = read_report(folder)["tensors"]
    files: dict[str, list[Entry]] = {}
    for entry in plan.entries:
        fields = noted.get(entry.place)
        if fields is None:
            raise UserError(f"the report of {folder.name} lacks {entry.place}: {REMEDY}")
        written = replace(entry, file=fields["file"], dtype=fields["dtype"])
        files.setdefault(written.file, []).append(written)
    count = 0
    with progress(sum(e.nbytes for own in files.values() for e in own), 0, "comparing") as bar:
        for file, entries in files.items():
            if not (folder / file).is_file():
                raise UserError(f"{folder.name} lacks {file}: {REMEDY}")
            stored = open_tensors(folder / file)
            names = stored.names()
            if extra := sorted(set(names) - {entry.name for entry in entries}):
                raise UserError(f"{file} holds {extra[0]}, which the source has not: {REMEDY}")
            for entry in entries:
                wanted = TensorInfo(shape=entry.shape, dtype=entry.dtype)
                if names.get(entry.name) != wanted:
                    raise UserError(
                        f"{file}: {entry.name} is {_says(names.get(entry.name))}, the source has "
                        f"{_says(wanted)}: {REMEDY}"
                    )
                source = checksum(made(entry, tensors))
                ours = checksum(stored.read(entry.name))
                if ours != source:
                    raise UserError(
                        f"{file}: {entry.name} differs from {entry.source} of "
                        f"{tensors.file(entry.source)}: {REMEDY}"
                    )
                if noted[entry.place]["sha256"] != ours:
                    raise UserError(
                        f"{file}: {entry.name} has not the checksum of the report: {REMEDY}"
                    )
                count += 1
                bar.update(entry.nbytes)
    return count


def _says(info: TensorInfo | None) -> str:
    return "missing" if info is None else f"{info.dtype} {list(info.shape)}"
