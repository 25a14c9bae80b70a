"""Two processes with one batch each compute what one process does with two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from train.runs import FAST, SMOKE, finish, start, weights

# Dropout has other random numbers in each process; the gate's text encoder is the only one with it.
STILL = [*FAST, "learning_rates.gate_text=0", "steps=4"]


def assert_close(one: Path, two: Path) -> None:
    expected, found = weights(one), weights(two)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=2e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_two_processes_equal_one_with_twice_the_accumulation(tmp_path: Path, stage: str) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    changes = [*STILL, f"stage={stage}"]
    if stage == "pretrain":
        changes.remove("learning_rates.gate_text=0")
    finish(start(two, changes, processes=2))
    finish(start(one, [*changes, "accumulation=2"]))
    assert_close(one, two)


@pytest.mark.slow
def test_torchrun_and_the_command_do_the_same(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m"]
    command += ["openmova", "train", str(SMOKE), *STILL, "--output", str(two)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    source = str(Path(__file__).parents[2] / "src")
    subprocess.run(command, check=True, env={**environment, "PYTHONPATH": source}, timeout=300)
    finish(start(one, [*STILL, "accumulation=2"]))
    assert_close(one, two)
