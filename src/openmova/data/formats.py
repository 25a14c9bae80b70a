"""A path to its samples: which format it is, and the reader of that format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from openmova.data.hf_datasets import read_hub, read_parquet, read_saved
from openmova.data.sources import JsonLines, Samples, read_json
from openmova.data.tars import TarShards
from openmova.errors import UserError, reason

SINGLE: dict[str, Callable[[Path, str, Path], Samples]] = {
    "json": read_json,
    "jsonl": JsonLines,
    "saved": read_saved,
}
"""By the file's ending: (the file, the source's name, the folder of pictures) → its samples;
"saved" is a folder of `datasets`."""
SEVERAL: dict[str, Callable[[Sequence[Path], str, Path], Samples]] = {
    "parquet": read_parquet,
    "tar": TarShards,
}
"""The same for formats of which several files are one source."""
FOLDER_REMEDY = (
    "give a folder of .parquet or .tar files, one with metadata.jsonl, one that "
    "Dataset.save_to_disk wrote, or a single file"
)


def read_samples(
    path: str | Path, *, format: str | None = None, images: str | Path | None = None
) -> Samples:
    """The samples of a file, a folder, several files (`shards/*.tar`), or a dataset of the hub
    (`hub:owner/name/subset:split`; `stream:...` reads it as it goes).

    format: json, jsonl, parquet, tar or saved; default: told from the ending. images: the folder
    that relative paths of pictures start from; default: the folder of the data.
    Raises UserError if it is missing, can't be read, or is in no known format.
    """
    if str(path).startswith(("hub:", "stream:")):
        return read_hub(str(path), Path(images or "."))
    path = Path(path).expanduser()
    try:
        files, kind = _files(path, format)
        folder = Path(images) if images is not None else files[0].parent
        if not folder.is_dir():
            raise UserError(f"there is no folder of images {str(folder)!r}: check the path")
        # Many files are called train.json, so the source is called by its folder too.
        name = f"{path.parent.name}/{path.name}".removeprefix("/")
        if kind in SEVERAL:
            return SEVERAL[kind](files, name, folder)
        if kind not in SINGLE:
            raise UserError(
                f"{path.name!r} is in no known format: the ending, or format, must be one of "
                f"{', '.join([*SINGLE, *SEVERAL])}"
            )
        if len(files) > 1:
            raise UserError(f"{name} is {len(files)} files: give each as a source of its own")
        return SINGLE[kind](files[0], name, folder)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise UserError(f"cannot read {str(path)!r} ({reason(error)}): check the path") from error


def _files(path: Path, format: str | None) -> tuple[list[Path], str]:
    """The files that `path` means, and their format."""
    if path.is_dir():
        return _in_folder(path, format)
    files = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    if not files or not files[0].exists():
        raise UserError(f"there is no data {str(path)!r}: check the path")
    return files, format or files[0].suffix.lower().removeprefix(".")


def _in_folder(folder: Path, format: str | None) -> tuple[list[Path], str]:
    if (folder / "dataset_dict.json").is_file():
        raise UserError(f"{str(folder)!r} holds several splits: give the folder of one of them")
    if (folder / "dataset_info.json").is_file():
        return [folder], "saved"
    if (folder / "metadata.jsonl").is_file():
        return [folder / "metadata.jsonl"], "jsonl"
    for kind in [format] if format else SEVERAL:
        if files := sorted(folder.glob(f"*.{kind}")):
            return files, kind
    raise UserError(f"the folder {str(folder)!r} holds no data in a known format: {FOLDER_REMEDY}")
