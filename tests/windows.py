"""Windows' rules for files, on Linux: what stands in the way of code that was only tried here."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openmova.runtime import files


def open_files() -> Iterator[str]:
    """That this process has open or mapped."""
    for handle in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{handle}")
        except FileNotFoundError:
            continue  # that of the listing itself
    for line in Path("/proc/self/maps").read_text().splitlines():
        yield line.partition("/")[1] + line.partition("/")[2]


def forbid_in_use(path: Any) -> None:
    """As for a file that is open, and for a folder with one."""
    whole = os.path.abspath(os.fspath(path))
    if any(name == whole or name.startswith(f"{whole}/") for name in open_files()):
        raise PermissionError(errno.EACCES, "in use by another process", whole)


def enforce(patch: pytest.MonkeyPatch) -> None:
    """No folder can be opened, no reader flushes, no file in use is removed, renamed or replaced,
    and nothing is renamed to a name that is taken."""
    real: dict[str, Callable[..., Any]] = {
        name: getattr(os, name) for name in ("open", "fsync", "unlink", "rename", "replace")
    }

    def open_(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "it is a folder", path)
        return int(real["open"](path, flags, *rest, **options))

    def fsync(handle: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "opened to be read")
        real["fsync"](handle)

    def unlink(path: Any, **options: Any) -> None:
        forbid_in_use(path)
        real["unlink"](path, **options)

    def rename(source: Any, target: Any, **options: Any) -> None:
        if os.path.exists(target):
            raise FileExistsError(errno.EEXIST, "the name is taken", target)
        forbid_in_use(source)
        real["rename"](source, target, **options)

    def replace(source: Any, target: Any, **options: Any) -> None:
        forbid_in_use(source)
        forbid_in_use(target)
        real["replace"](source, target, **options)

    for stand_in in (fsync, unlink, rename, replace):
        patch.setattr(os, stand_in.__name__, stand_in)
    patch.setattr(os, "open", open_)
    patch.setattr(os, "remove", unlink)
    patch.setattr(shutil, "_use_fd_functions", False)
    patch.setattr(files, "FLUSHABLE", os.O_RDWR)
