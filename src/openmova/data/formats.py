"""A path to its samples: which format it is, and the reader of that format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from openmova.data.hf_datasets import read_hub, read_parquet, read_saved
from openmova.data.json_files import JsonLines, read_json
from openmova.data.sources import Samples
from openmova.data.tars import TarShards
from openmova.errors import UserError

Reader = Callable[[Sequence[Path], str, Path], Samples]
"""(files of one format, the source's name, the folder of pictures) → their samples."""


def _single(read: Callable[[Path, str, Path], Samples]) -> Reader:
    def read_one(paths: Sequence[Path], name: str, images: Path) -> Samples:
        if len(paths) > 1:
            raise UserError(f"{name} is {len(paths)} files: give each as a source of its own")
        return read(paths[0], name, images)

    return read_one


READERS: dict[str, Reader] = {
    "json": _single(read_json),
    "jsonl": _single(JsonLines),
    "parquet": read_parquet,
    "tar": TarShards,
    "saved": _single(read_saved),
}
"""By the file's ending; "saved" is a folder of `datasets`."""
FOLDER_REMEDY = (
    "give a folder of .parquet or .tar files, one with metadata.jsonl, one that "
    "Dataset.save_to_disk wrote, or a single file"
)


def read_samples(
    path: str | Path, *, format: str | None = None, images: str | Path | None = None
) -> Samples:
    """The samples of a file, a folder, several files (`shards/*.tar`), or a dataset of the hub
    (`hub:owner/name/subset:split`; `stream:...` reads it as it goes).

    format: a key of READERS; default: told from the ending. images: the folder that relative paths
    of pictures start from; default: the folder of the data.

    Raises:
        UserError: it is missing, can't be read, or is in no known format.
    """
    if str(path).startswith(("hub:", "stream:")):
        return read_hub(str(path), Path(images or "."))
    path = Path(path).expanduser()
    try:
        paths, kind = _files(path, format)
        if kind not in READERS:
            raise UserError(
                f"{path.name!r} is in no known format: the ending, or format, must be one of "
                f"{', '.join(READERS)}"
            )
        folder = Path(images) if images is not None else paths[0].parent
        if not folder.is_dir():
            raise UserError(f"there is no folder of images {str(folder)!r}: check the path")
        return READERS[kind](paths, _name(path), folder)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UserError(f"cannot read {str(path)!r} ({reason}): check the path") from error


def _files(path: Path, format: str | None) -> tuple[list[Path], str]:
    """The files that `path` means, and their format."""
    if path.is_dir():
        return _in_folder(path, format)
    paths = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    if not paths or not paths[0].exists():
        raise UserError(f"there is no data {str(path)!r}: check the path")
    return paths, format or paths[0].suffix.lower().removeprefix(".")


def _in_folder(folder: Path, format: str | None) -> tuple[list[Path], str]:
    if (folder / "dataset_dict.json").is_file():
        raise UserError(f"{str(folder)!r} holds several splits: give the folder of one of them")
    if (folder / "dataset_info.json").is_file():
        return [folder], "saved"
    if (folder / "metadata.jsonl").is_file():
        return [folder / "metadata.jsonl"], "jsonl"
    kinds = [format] if format else ["parquet", "tar"]
    for kind in kinds:
        if paths := sorted(folder.glob(f"*.{kind}")):
            return paths, kind
    raise UserError(f"the folder {str(folder)!r} holds no data in a known format: {FOLDER_REMEDY}")


def _name(path: Path) -> str:
    """The source's name: many files are called train.json, so with the folder."""
    return f"{path.parent.name}/{path.name}".removeprefix("/")
