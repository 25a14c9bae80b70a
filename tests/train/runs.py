"""Runs in processes of their own, which may be killed; quick, since a server has all imports."""

from __future__ import annotations

import multiprocessing
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from openmova.__main__ import main
from openmova.runtime.run_store import JsonLines
from openmova.train.loop import TrainingLoop
from openmova.train.run_folder import RunFolder
from openmova.train.training import train
from openmova.train.training_recipe import load_recipe

SMOKE = Path(__file__).parents[2] / "recipes" / "smoke.yaml"
ROOM = 50_000  # bytes that a file may have on a full disk: enough for a log, for no checkpoint
HELD_OUT = ["evaluation.data=[{path: synthetic, samples: 6}]", "evaluation.steps=2"]
FAST = ["steps=8", "save_steps=2", "batch=2", "data.0.samples=24"]


def run(output: Path, *changes: str, resume: bool = True) -> list[str]:
    """The smoke recipe in this process; returns what it said."""
    said: list[str] = []
    train(load_recipe(SMOKE, [*FAST, *changes]), output, resume=resume, tell=said.append)
    return said


@contextmanager
def stopped_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ctrl-C in the midst of the step that follows, out of the run inside."""
    original = TrainingLoop.train_step

    def step(self: TrainingLoop, batches: Any) -> float:
        if self.step == steps:
            raise KeyboardInterrupt
        return original(self, batches)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(TrainingLoop, "train_step", step)
        yield


def run_in_process(
    output: Path, changes: list[str], environment: dict[str, str], told: Path | None
) -> None:
    """What the process does: the run, and its words into a file."""
    os.environ |= {"ACCELERATE_USE_CPU": "1", **environment}
    torch.set_num_threads(1)
    RunFolder.draw = lambda self: None  # type: ignore[method-assign]

    def tell(line: str) -> None:
        if told is not None:
            with open(told, "a", encoding="utf-8") as file:
                file.write(line + "\n")

    train(load_recipe(SMOKE, changes), output, resume=True, tell=tell)


def run_command_until_full(output: Path, errors: Path) -> None:
    """What the process does: the command, on a disk that is full after the first checkpoint."""
    original = TrainingLoop.train_step

    def step(self: TrainingLoop, batches: Any) -> float:
        if self.folder.newest() is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))
        return original(self, batches)

    TrainingLoop.train_step = step  # type: ignore[method-assign]
    sys.stderr = errors.open("w", encoding="utf-8")
    os.environ["ACCELERATE_USE_CPU"] = "1"
    sys.argv = ["openmova", "train", str(SMOKE), *FAST, "--output", str(output)]
    main()


def start_process(target: Callable[..., None], *args: object) -> ForkServerProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["openmova.train.training", "torch._dynamo"])
    process = context.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def start(
    output: Path, changes: list[str], *, processes: int = 1, told: Path | None = None
) -> list[ForkServerProcess]:
    """The processes of a run that goes on, or begins."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        environment = {}
        if processes > 1:  # as torchrun tells it
            environment = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            environment |= {"WORLD_SIZE": str(processes)}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        said = None if rank else told
        started.append(start_process(run_in_process, output, changes, environment, said))
    return started


def finish(started: list[ForkServerProcess], seconds: float = 300) -> None:
    for process in started:
        process.join(seconds)
        assert process.exitcode == 0


def weights(output: Path) -> dict[str, Tensor]:
    return load_file(output / "final" / "model.safetensors")


def entries(output: Path) -> list[dict[str, Any]]:
    """Of the log."""
    return JsonLines(output / "log.jsonl").entries()


def assert_same(one: Path, two: Path) -> None:
    """To the bit."""
    expected, found = weights(one), weights(two)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def assert_close(one: Path, two: Path, atol: float = 2e-5) -> None:
    """Up to rounding."""
    torch.testing.assert_close(weights(two), weights(one), atol=atol, rtol=1e-4)


def assert_same_log(one: Path, two: Path) -> None:
    """Up to rounding: what was learned, and what was found of what is held out."""
    for was, found in zip(entries(one), entries(two), strict=True):
        domains, others = was.pop("domains", {}), found.pop("domains", {})
        assert others.keys() == domains.keys()
        for name, domain in domains.items():
            assert others[name]["samples"] == domain["samples"]
            assert others[name]["loss"] == pytest.approx(domain["loss"], rel=1e-3)
            assert others[name]["chosen"] == domain["chosen"]
        use, other_use = was.pop("experts", {}), found.pop("experts", {})
        assert other_use == {name: pytest.approx(use[name], abs=1e-3) for name in use}
        for entry in (was, found):
            entry.pop("samples_per_second", None)
        assert found == pytest.approx(was, rel=1e-3)
