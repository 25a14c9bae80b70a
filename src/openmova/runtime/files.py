"""What is written is there whole or not at all, and a full disk is told from other errors; a folder
has one writer."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from openmova.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Writers of tensors wrap the system's error: then only its text tells a full disk.
_FULL_TEXTS = (
    "No space left",
    "quota exceeded",
    "File too large",
    "enforce fail at inline_container",
)


def flush(path: Path) -> None:
    """A file or folder to the disk; before a rename, so that a power cut leaves no empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole, or as it was before."""
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    flush(unfinished)
    unfinished.replace(path)


def append_text(path: Path, text: str) -> None:
    """One write at the end of a file, so that several processes may share it."""
    data = text.encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(handle, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(handle)


def check_output(path: Path, suffixes: Collection[str]) -> None:
    """Raises UserError where a file of one of these kinds can't be written, before any work."""
    if path.suffix.lower() not in suffixes:
        raise output_error(path, f"end its name with {', '.join(suffixes)}")
    try:
        if path.is_dir():
            raise output_error(path, "it is a folder, add the name of a file")
        if not path.parent.is_dir():
            raise output_error(path, f"there is no folder {str(path.parent)!r}, make it first")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise output_error(path, "no permission to write there, give another path")
    except OSError as error:  # such as a name that is too long
        raise output_error(path, f"{error.strerror}, give another path") from error


def write_output(path: Path, data: bytes) -> None:
    """Raises UserError if it can't be written."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise output_error(path, f"{error.strerror}, give another path") from error


def output_error(path: Path, reason: str) -> UserError:
    return UserError(f"cannot write {str(path)[:200]!r}: {reason}")


def checksum(file: Path) -> str:
    """The SHA-256 of a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def claimed(folder: Path, remedy: str) -> Iterator[None]:
    """Hold a folder, which is made, for this process; the system frees it when the process ends.

    Raises UserError if another process holds it or it can't be made; remedy: what to do then.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"another run is writing into {str(folder)!r}: wait for its end, or {remedy}"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write into {str(folder)!r} ({reason}): {remedy}") from error
    with lock:
        yield


def is_full(error: Exception) -> bool:
    """Whether an error says that the disk, or a quota on it, is full."""
    number = error.errno if isinstance(error, OSError) else None
    return number in FULL or any(text in str(error) for text in _FULL_TEXTS)
