"""The cache folder, and how something is put into it once, whole, by whoever comes first.

An entry is built in a temporary folder beside its place, written through to the disk, and renamed:
so an entry is either complete or absent. A lock lets one process build while the others wait; a
process that is killed leaves only a temporary folder, which the next builder removes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from openmova.runtime.files import check_room, new_folder, writing

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
    (versions, sizes) belongs into `name`: an entry is never rebuilt. Raises UserError if the cache
    folder cannot be written, or `needs_bytes` do not fit on its disk.
    """
    entry = cache_dir() / name
    if entry.is_dir():
        return entry
    with writing(entry.parent, REMEDY):
        entry.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{entry}.lock"):  # one process at a time builds an entry
            if not entry.is_dir():
                check_room(entry.parent, needs_bytes, REMEDY)
                with new_folder(entry) as partial:
                    build(partial)
    return entry
