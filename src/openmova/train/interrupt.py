"""Ctrl-C, or the SIGTERM of a cluster that takes its machine back: the step is ended, a checkpoint
written, the run stops. A second one stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """`requested`: whether one of them came while it was listened for."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """In the main thread, and to signals that would end us; elsewhere nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        process = os.getpid()
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        # None is a handler that Python does not know, and could not put back.
        before = {n: h for n, h in handlers.items() if h not in (None, signal.SIG_IGN)}

        def stop(number: int, frame: FrameType | None) -> None:
            if os.getpid() != process:
                return  # a worker that prepares samples lives on until its run has ended
            signal.signal(number, before[signal.Signals(number)])
            self.requested = True
            with suppress(RuntimeError):  # in the midst of another line
                self.tell("stopping after this step, with a checkpoint; again: at once")

        for number in before:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
