"""A run that is killed at random moments, or whose disk fills, and then goes on.

OPENMOVA_KILLS: how many times a run is killed, where more than the tests' few are wanted. Of a full
disk the system itself refuses to write: a process may be given a largest size of its files.
"""

from __future__ import annotations

import os
import random
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from openmova.train.run_folder import RunFolder
from train.runs import (
    FAST,
    assert_same,
    finish,
    run_command_until_full,
    start,
    start_process,
    weights,
)


@pytest.mark.parametrize(
    ("kills", "processes", "sharding"),
    [
        (2, 1, "none"),
        pytest.param(1, 2, "none", marks=pytest.mark.slow),
        pytest.param(1, 2, "fsdp", marks=pytest.mark.slow),
    ],
)
def test_a_kill_changes_nothing(tmp_path: Path, kills: int, processes: int, sharding: str) -> None:
    """Several processes die together, as with their machine, at a random moment after they have
    written a checkpoint."""
    changes = [*FAST, f"sharding={sharding}"]
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    runs = killed = 0

    def start_and_wait(output: Path) -> list[ForkServerProcess]:
        """Until the run has written another checkpoint."""
        folder = RunFolder(output)
        before = folder.newest()
        started = start(output, changes, processes=processes)
        while folder.newest() == before and all(process.is_alive() for process in started):
            time.sleep(0.01)
        return started

    started = start_and_wait(tmp_path / "whole")
    began = time.monotonic()
    finish(started)
    rest = time.monotonic() - began
    while killed < int(os.environ.get("OPENMOVA_KILLS", kills)):
        broken = tmp_path / f"broken-{runs}"
        started = start_and_wait(broken)
        time.sleep(rng.uniform(0, rest / 2))
        if all(process.is_alive() for process in started):
            for process in started:
                process.kill()
            killed += 1
        for process in started:
            process.join()
        if (broken / "final").exists():  # too late: kill another run
            assert_same(tmp_path / "whole", broken)
            runs += 1
    broken = tmp_path / f"broken-{runs}"
    finish(start(broken, changes, processes=processes))
    assert_same(tmp_path / "whole", broken)
    print(f"seed {seed}: killed {killed} times")


def test_a_full_disk_ends_the_run_with_one_line_and_keeps_a_checkpoint(tmp_path: Path) -> None:
    output, errors, told = tmp_path / "run", tmp_path / "errors", tmp_path / "told"
    process = start_process(run_command_until_full, output, errors)
    process.join(300)
    said = errors.read_text()
    assert process.exitcode == 2, said
    (line,) = [line for line in said.splitlines() if not line.startswith("step ")]
    assert line.startswith(f"openmova: the disk of {str(output)!r} is full: free some room")
    assert [p.name for p in output.glob("checkpoint-*")] == ["checkpoint-2"]
    finish(start(output, FAST, told=told))
    assert told.read_text().splitlines()[0] == "going on from checkpoint-2"
    assert weights(output)
