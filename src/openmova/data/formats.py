"""A path to its samples: which format it is, and the reader of that format."""

from __future__ import annotations

from pathlib import Path

from openmova.data.json_files import JsonLines, read_json
from openmova.data.samples import Reader, Samples
from openmova.errors import UserError

READERS: dict[str, Reader] = {
    "json": read_json,
    "jsonl": JsonLines,
}


def read_samples(
    path: str | Path, *, format: str | None = None, images: str | Path | None = None
) -> Samples:
    """The samples of a file or folder.

    format: a key of READERS; default: told from the file's ending. images: the folder that
    relative paths of pictures start from; default: the file's own.

    Raises:
        UserError: it is missing, can't be read, or is in no known format.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"there is no data {str(path)!r}: check the path")
    kind = format or path.suffix.lower().removeprefix(".")
    if kind not in READERS:
        raise UserError(
            f"{path.name} is in no known format: give one of {', '.join(READERS)}, "
            "as the file's ending or as format"
        )
    folder = Path(images) if images is not None else path.parent
    if not folder.is_dir():
        raise UserError(f"there is no folder of images {str(folder)!r}: check the path")
    try:
        return READERS[kind](path, folder)
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r} ({error.strerror}): check it") from error
