"""The program `openmova`, also `python -m openmova`: the command line, from its first import on."""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper
from types import FrameType

from openmova.errors import INTERRUPTED

WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""How the threads under torch's operations wait for each other; libgomp reads it when it loads."""


def main() -> None:
    """Run the command line; Ctrl-C ends it without a word, also in the midst of an import.

    There KeyboardInterrupt comes out of C code as some other error, so the signal is noted.
    """
    if not any(variable in os.environ for variable in WAIT_VARIABLES):
        # Asleep: a thread that spins keeps a busy machine from running the one it waits for.
        os.environ["OMP_WAIT_POLICY"] = "passive"
    interrupts: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    if isinstance(sys.stdout, TextIOWrapper):  # a console or pipe may know fewer characters
        sys.stdout.reconfigure(errors="backslashreplace")
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # otherwise Ctrl-C is not for us
        signal.signal(signal.SIGINT, note)
    try:
        from openmova.cli import app

        app()
    except BaseException:
        if interrupts:
            sys.exit(INTERRUPTED)
        raise
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    main()
