"""What is written is there whole or not at all, and a full disk is told from other errors."""

from __future__ import annotations

import errno
import os
from pathlib import Path

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
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def is_full(error: Exception) -> bool:
    """Whether an error says that the disk, or a quota on it, is full."""
    number = error.errno if isinstance(error, OSError) else None
    return number in FULL or any(text in str(error) for text in _FULL_TEXTS)
