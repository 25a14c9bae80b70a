"""Files and folders that are there whole or not at all, with one writer, and errors of writing that
say what to do."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from openmova.errors import UserError, reason

LOCK = ".lock"
"""In a folder that has one writer."""
FLUSHABLE = os.O_RDWR if sys.platform == "win32" else os.O_RDONLY
"""How a file is opened to be flushed: Windows flushes none that was opened to be read."""
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
    try:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else FLUSHABLE)
    except PermissionError:
        if path.is_dir():
            return  # Windows opens none
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A place to write a file that becomes `path`, flushed, if the block ends without an error.

    Until then `path` is as it was before. Several processes may write the same one.
    """
    unfinished = path.with_name(f"{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        yield unfinished
        flush(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which becomes `path`, flushed, if the block ends without an error.

    Until then `path` is not there, or empty. What a killed process left is removed.
    Raises UserError if another process is filling it.
    """
    partial = path.with_name(f"{path.name}.partial")
    lock = partial.with_name(f"{partial.name}{LOCK}")  # Windows renames no folder with an open file
    with _held(lock, partial, "give another folder"):
        try:
            if partial.exists():
                shutil.rmtree(partial)
            partial.mkdir()
            yield partial
            for file in partial.rglob("*"):
                if not file.is_symlink():  # what it leads to is flushed itself, or elsewhere
                    flush(file)
            if path.exists():
                path.rmdir()  # Windows renames to no name that is taken
            partial.rename(path)
            flush(path.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        finally:
            with suppress(PermissionError):  # on Windows it goes when it is let go
                lock.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole, or as it was before."""
    with new_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def append_text(path: Path, text: str) -> None:
    """One write at the end of a file, so that several processes may share it."""
    data = text.encode()
    with path.open("ab", buffering=0) as file:
        if file.write(data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


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


def output_error(path: Path, remedy: str) -> UserError:
    return UserError(f"cannot write {str(path)[:200]!r}: {remedy}")


def checksum(file: Path) -> str:
    """The SHA-256 of a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def claim(folder: Path, remedy: str) -> Iterator[None]:
    """Hold a folder, which is made, for this process; the system frees it when the process ends.

    Raises UserError if another process holds it or it can't be made; remedy: what to do then.
    """
    with _held(folder / LOCK, folder, remedy):
        yield


@contextmanager
def _held(file: Path, folder: Path, remedy: str) -> Iterator[None]:
    """Hold the lock of a folder; see `claim`."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"another run is writing into {str(folder)!r}: wait for its end, or {remedy}"
        ) from error
    except OSError as error:
        raise _unwritable(folder, error, remedy) from error
    with lock:
        yield


@contextmanager
def writing(folder: Path, remedy: str) -> Iterator[None]:
    """An error of the system while writing into a folder, told as a UserError with the remedy."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_full(error):
            raise UserError(f"the disk of {str(folder)!r} is full: {remedy}") from error
        if isinstance(error, OSError):
            raise _unwritable(folder, error, remedy) from error
        raise


def _unwritable(folder: Path, error: Exception, remedy: str) -> UserError:
    return UserError(f"cannot write into {str(folder)!r} ({reason(error)}): {remedy}")


def check_room(folder: Path, needs_bytes: int, remedy: str) -> None:
    """Raises UserError if the disk of a folder has not so many bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needs_bytes:
        raise UserError(
            f"{str(folder)!r} needs {size_text(needs_bytes)} and its disk has {size_text(free)} "
            f"free: {remedy}"
        )


def size_text(count: int) -> str:
    """A number of bytes for people to read."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def is_full(error: Exception) -> bool:
    """Whether an error says that the disk, or a quota on it, is full."""
    number = error.errno if isinstance(error, OSError) else None
    return number in FULL or any(text in str(error) for text in _FULL_TEXTS)
