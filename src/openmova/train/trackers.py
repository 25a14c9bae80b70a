"""Where else a run's log goes: TensorBoard, Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker

from openmova.errors import UserError

EXTRAS = {"tensorboard": "train", "wandb": "wandb"}
"""Which extra of ours has the package of each."""


def check_trackers(names: Sequence[str]) -> None:
    """Raises UserError if the package of one is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise UserError(
                f"the recipe reports to {name}, which is not installed: "
                f"pip install 'openmova[{EXTRAS[name]}]'"
            )


def open_trackers(names: Sequence[str], folder: Path, step: int) -> list[GeneralTracker]:
    """What the first process of a run gives its log to; the run goes on from a step.

    TensorBoard reads FOLDER/tensorboard. wandb's own variables (WANDB_PROJECT, WANDB_MODE, ...)
    count where they are set.
    """
    opened: list[GeneralTracker] = []
    if "tensorboard" in names:
        # What a stopped run wrote after its checkpoint is written again: readers drop the first.
        opened.append(TensorBoardTracker("tensorboard", folder, purge_step=step + 1))
    if "wandb" in names:
        for variable, value in {"WANDB_NAME": folder.name, "WANDB_DIR": str(folder)}.items():
            os.environ.setdefault(variable, value)
        opened.append(WandBTracker(os.environ.get("WANDB_PROJECT", "openmova")))
    for tracker in opened:
        tracker.start()
    return opened
