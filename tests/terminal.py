"""A program in a terminal of its own: keys go in, what it shows comes out."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][0-9A-Z]?|\r")
TESTS = Path(__file__).parent
PATHS = [str(TESTS.parent / "src"), str(TESTS)]
PROGRAM = "import tiny; from openmova.__main__ import main; main()"
# The command as a process of its own, with the tests' kind of expert.
COMMAND = [sys.executable, "-c", f"import sys; sys.path[:0] = {PATHS}; {PROGRAM}"]
CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"


class Terminal:
    """A process whose three streams are one terminal."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._shown = ""

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def interrupt_until(self, text: str) -> str:
        """Ctrl-C, as often as a person would press it.

        Python's input() misses one that comes after it has written its prompt and before it waits
        for a key.
        """
        for _ in range(20):
            self.press(CTRL_C)
            try:
                return self.until(text, seconds=5)
            except TimeoutError:
                pass
        raise AssertionError(f"Ctrl-C does not lead to {text!r}: {self._shown!r}")

    def until(self, text: str, seconds: float = 120) -> str:
        """What is shown up to and with this text, from where the last call ended.

        Raises:
            TimeoutError: it does not come.
        """
        end = time.monotonic() + seconds
        while (place := self._shown.find(text)) < 0:
            ready, _, _ = select.select([self._master], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise TimeoutError(f"no {text!r} in {self._shown!r}")
            try:
                self._shown += CONTROL.sub("", os.read(self._master, 65536).decode())
            except OSError as error:  # the other end is closed
                raise AssertionError(f"ended without {text!r}: {self._shown!r}") from error
        shown, self._shown = self._shown[:place], self._shown[place + len(text) :]
        return shown + text

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
