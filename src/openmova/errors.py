"""How a program ends that the user has to do with: by a mistake, by Ctrl-C."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

INTERRUPTED = 128 + 2
"""The exit status after Ctrl-C, as shells report a program that ended by SIGINT."""


class UserError(Exception):
    """A mistake of the user; the message is one line and says what to do about it.

    The command line prints it and exits with 2. Whatever reads what a user gave raises it, which
    docstrings say only where it is not plain.
    """


def reason(error: Exception) -> str:
    """What the system or a library says went wrong, on one line."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split())[:300] or type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the most like it, or all."""
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known are {', '.join(names) or 'none'}"
