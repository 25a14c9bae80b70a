"""A run killed at random moments and resumed ends with the weights of the uninterrupted one.

OPENMOVA_KILLS: how many times runs of two processes are killed; two keep the tests short.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from train.runs import FAST, assert_same, finish, start

CHANGES = [*FAST, "steps=24", "save_steps=3"]
KILLS = int(os.environ.get("OPENMOVA_KILLS", "2"))


def seconds_of(output: Path, processes: int, changes: list[str]) -> float:
    began = time.monotonic()
    finish(start(output, changes, processes=processes))
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("kills", "processes", "sharding"),
    [
        (3, 1, "none"),
        pytest.param(20, 1, "none", marks=pytest.mark.slow),
        pytest.param(KILLS, 2, "none", marks=pytest.mark.slow),
        pytest.param(KILLS, 2, "fsdp", marks=pytest.mark.slow),
    ],
)
def test_killed_runs_end_with_the_same_weights_bit_by_bit(
    tmp_path: Path, kills: int, processes: int, sharding: str
) -> None:
    """Several processes die together, as with their machine. Moments are drawn anew each time,
    until enough of them left a checkpoint to go on from."""
    changes = [*CHANGES, f"sharding={sharding}"]
    whole, told = tmp_path / "whole", tmp_path / "told"
    seconds_of(tmp_path / "warm-up", 1, CHANGES)  # the server of processes starts
    usual = seconds_of(whole, processes, changes)
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    told.touch()
    killed, runs = 0, 1
    while killed < kills or told.read_text().count("going on from") <= kills // 2:
        broken = tmp_path / f"broken-{runs}"
        started = start(broken, changes, processes=processes, told=told)
        time.sleep(rng.uniform(0, usual))
        if all(process.is_alive() for process in started):
            for process in started:
                process.kill()
            killed += 1
        for process in started:
            process.join()
        if (broken / "final").exists():  # too late: kill another run
            assert_same(whole, broken)
            runs += 1
    broken = tmp_path / f"broken-{runs}"
    finish(start(broken, changes, processes=processes))
    assert_same(whole, broken)
    print(f"seed {seed}: killed {killed} times, {told.read_text().count('going on from')} went on")
