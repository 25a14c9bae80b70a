"""Ctrl-C: the step is ended and kept; the run that goes on ends as if there had been none."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from openmova.train.loop import TrainingLoop
from openmova.train.run_folder import RunFolder
from openmova.train.training import train
from openmova.train.training_recipe import load_recipe
from train.runs import FAST, SMOKE, assert_same

CHANGES = [*FAST, "save_steps=4", "workers=1"]


@pytest.fixture(autouse=True)
def at_a_terminal() -> Iterator[None]:
    """A test run in the background of a shell is started with SIGINT ignored, and other tests leave
    a handler of SIGTERM behind."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ctrl-C in the midst of the step after `after`, so often, as the terminal sends it; or another
    signal."""

    def press(after: int, times: int, number: int = signal.SIGINT) -> None:
        original = TrainingLoop.train_step

        def step(self: TrainingLoop, batches: Any) -> float:
            if self.step == after:
                monkeypatch.undo()
                workers = [child.pid or 0 for child in torch.multiprocessing.active_children()]
                assert workers
                # A terminal's Ctrl-C reaches the workers too, a SIGTERM the run alone.
                reached = workers if number == signal.SIGINT else []
                for process in [*reached, *([os.getpid()] * times)]:
                    os.kill(process, number)
            return original(self, batches)

        monkeypatch.setattr(TrainingLoop, "train_step", step)

    return press


def run(output: Path, *changes: str) -> list[str]:
    said: list[str] = []
    try:
        train(load_recipe(SMOKE, [*CHANGES, *changes]), output, resume=True, tell=said.append)
    except KeyboardInterrupt:
        said.append("interrupted")
    return said


def test_the_step_is_ended_and_kept_and_the_end_is_the_same(tmp_path: Path, press: Any) -> None:
    run(tmp_path / "whole", "workers=0")
    press(after=5, times=1)
    said = run(tmp_path / "stopped")
    assert said[-4] == "stopping after this step, with a checkpoint; again: at once"
    assert run(tmp_path / "stopped")[0] == "going on from checkpoint-6"
    assert_same(tmp_path / "whole", tmp_path / "stopped")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("after", "times", "number", "step", "kept"),
    [
        (5, 1, signal.SIGTERM, 6, "--resume goes on from checkpoint-6"),  # as a cluster sends it
        (5, 2, signal.SIGINT, 5, "--resume goes on from checkpoint-4"),
        (1, 2, signal.SIGINT, 1, "nothing was kept"),
    ],
)
def test_a_second_one_stops_at_once_and_a_sigterm_loses_no_step(
    tmp_path: Path, press: Any, after: int, times: int, number: int, step: int, kept: str
) -> None:
    press(after, times, number)
    assert run(tmp_path)[-2:] == [f"stopped after step {step}: {kept}", "interrupted"]
    newest = RunFolder(tmp_path).newest()
    assert newest is None if "nothing" in kept else newest and kept.endswith(newest.name)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
