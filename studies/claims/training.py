"""Trains the variants alike: by nano's alignment, on the same images, for the same steps.

DIR/encoders.safetensors          the frozen encoders that all of them see through
DIR/<variant>-<seed>.safetensors  a finished one; its metadata say what it was trained on
DIR/.training/                    what is being trained
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from openmova.errors import UserError
from studies.claims.encoders import FILE
from studies.claims.variants import VARIANTS
from studies.toy.align import Encoded, GateText, align
from studies.toy.loop import load_trained, read_metadata, read_tensors, write_tensors

BATCH = 16
"""In the same time a MoVA learned more from 400 batches of 16 than from 800 of 8."""
STEPS = 400
SEEDS = (1, 2, 3)
PROBED = 3
"""Steps of each variant that are timed before all of them begin."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all variants are trained on."""

    data: Encoded
    targets: Tensor
    """[words, D]"""
    gate: GateText
    steps: int = STEPS


def built(name: str, seed: int) -> nn.Module:
    """The variant before its training: a function of the seed."""
    torch.manual_seed(seed)
    return VARIANTS[name].build()


def variant_file(folder: Path, name: str, seed: int) -> Path:
    return folder / f"{name}-{seed}.safetensors"


def finished(folder: Path) -> dict[str, list[int]]:
    """The seeds of every variant that is there, in the order of VARIANTS.

    Raises UserError if there is none, or not their encoders.
    """
    found: dict[str, list[int]] = {}
    for name in VARIANTS:
        stems = [file.stem for file in folder.glob(f"{name}-*.safetensors")]
        numbers = [stem.removeprefix(f"{name}-") for stem in stems]
        if seeds := sorted(int(number) for number in numbers if number.isdigit()):
            found[name] = seeds
    if not (found and (folder / FILE).exists()):
        raise UserError(
            f"{str(folder)!r} has no trained variants: train them first, with python -m "
            "studies.claims"
        )
    return found


def load_variant(folder: Path, name: str, seed: int) -> nn.Module:
    """A finished variant, to be asked."""
    model = built(name, seed)
    load_trained(model, variant_file(folder, name, seed))
    return model.eval()


def missing(folder: Path, names: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """What is still to be trained; all variants of one seed come before the next seed."""
    wanted = [(name, seed) for seed in seeds for name in names]
    return [(name, seed) for name, seed in wanted if not variant_file(folder, name, seed).exists()]


def check_steps(folder: Path, steps: int) -> None:
    """Raises UserError if variants are there that were trained for other steps."""
    for file in sorted(folder.glob("*-*.safetensors")):
        if (there := read_metadata(file)["steps"]) != str(steps):
            raise UserError(
                f"{file.name} was trained for {there} steps: give --steps {there}, so that all are "
                "trained alike, or another folder"
            )


def seconds_of_a_step(names: Sequence[str], task: Task) -> dict[str, float]:
    """Of each variant, measured here and now; the first steps are the slowest."""
    found = {}
    for name in names:
        with TemporaryDirectory() as work:
            began = time.perf_counter()
            _align(name, built(name, 0), replace(task, steps=PROBED), 0, Path(work))
            found[name] = (time.perf_counter() - began) / PROBED
    return found


def train_variant(folder: Path, name: str, seed: int, task: Task) -> None:
    """Train one to its end, or go on with it; then its file is there, whole."""
    work = folder / ".training" / f"{name}-{seed}-{task.steps}"
    model = built(name, seed)
    _align(name, model, task, seed, work)
    tensors, _ = read_tensors(work / "alignment.safetensors")
    write_tensors(
        variant_file(folder, name, seed),
        {key: value for key, value in tensors.items() if key.startswith("model/")},
        variant=name,
        seed=str(seed),
        steps=str(task.steps),
        batch=str(BATCH),
        images=str(len(task.data)),
        parameters=str(sum(p.numel() for p in model.parameters() if p.requires_grad)),
    )
    shutil.rmtree(work)


def _align(name: str, model: nn.Module, task: Task, seed: int, folder: Path) -> None:
    align(
        model,
        task.data,
        task.targets,
        task.gate,
        steps=task.steps,
        folder=folder,
        seed=seed,
        batch=BATCH,
        gate_rate=VARIANTS[name].gate_rate,
    )
