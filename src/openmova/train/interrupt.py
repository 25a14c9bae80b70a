"""Ctrl-C: the step is ended, a checkpoint written, the run stops. A second one stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from transformers import TrainerCallback


class Interrupt(TrainerCallback):
    """`asked`: whether Ctrl-C came while it was listened for."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """In the main thread, and where Ctrl-C is for us; elsewhere nothing changes."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return
        process = os.getpid()

        def stop(number: int, frame: FrameType | None) -> None:
            if os.getpid() != process:
                return  # a worker that prepares samples lives on until its run has ended
            signal.signal(signal.SIGINT, before)
            self.asked = True
            with suppress(RuntimeError):  # in the midst of another line
                self.tell("stopping after this step, with a checkpoint; Ctrl-C again: at once")

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.asked:
            control.should_save = control.should_training_stop = True
