"""The cache folder, and how something is put into it once, whole, by whoever comes first.

An entry is built in a temporary folder beside its place, written through to the disk, and renamed:
so an entry is either complete or absent. A lock lets one process build while the others wait; a
process that is killed leaves only a temporary folder, which the next builder removes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from openmova.errors import UserError
from openmova.runtime.files import new_folder, writing

REMEDY = "set OPENMOVA_CACHE to a folder that has room and can be written"


def cache_dir() -> Path:
    """OPENMOVA_CACHE, else XDG_CACHE_HOME/openmova, else ~/.cache/openmova; not created here."""
    if own := os.environ.get("OPENMOVA_CACHE"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser().absolute() / "openmova"
    return Path.home() / ".cache" / "openmova"


def build_once(name: str, build: Callable[[Path], None], needs_bytes: int) -> Path:
    """The cached folder `name`; `build` fills it (an empty folder at first) if it is not there yet.

    Safe when several processes start at once and when a builder is killed. What `build` depends on
    (versions, sizes) belongs into `name`: an entry is never rebuilt.

    Raises:
        UserError: the cache folder cannot be written, or `needs_bytes` do not fit on its disk.
    """
    entry = cache_dir() / name
    if entry.is_dir():
        return entry
    with _turn(entry):
        if not entry.is_dir():
            _check_room(entry.parent, needs_bytes)
            with writing(entry.parent, REMEDY), new_folder(entry) as partial:
                build(partial)
    return entry


def build_in_place(name: str, build: Callable[[Path], object], needs_bytes: int) -> Path:
    """Like `build_once`, for a builder that takes care of itself: it is given the entry's own path,
    which it makes whole or not at all, and when it was killed it goes on where it was.

    Raises UserError as `build_once` does.
    """
    folder = cache_dir()
    entry = folder / name
    if entry.is_dir():
        return entry
    with _turn(entry):
        if not entry.is_dir():
            begun = sum(f.stat().st_size for f in folder.glob(f"{name}.*/**/*") if f.is_file())
            _check_room(folder, needs_bytes - begun)
            build(entry)
    return entry


@contextmanager
def _turn(entry: Path) -> Iterator[None]:
    """One process at a time builds an entry."""
    with writing(entry.parent, REMEDY):
        entry.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{entry}.lock").acquire()
    with lock:
        yield


def _check_room(folder: Path, needs_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needs_bytes:
        raise UserError(
            f"the cache {str(folder)!r} needs {size_text(needs_bytes)} and its disk has "
            f"{size_text(free)} free: {REMEDY}"
        )


def size_text(count: int) -> str:
    """A number of bytes for people to read."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
