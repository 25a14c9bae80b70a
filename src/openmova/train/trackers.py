"""Where else a run's log goes: TensorBoard, Weights & Biases. transformers' own callbacks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from transformers import TrainerCallback

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


def trackers(names: Sequence[str], folder: Path, step: int) -> list[TrainerCallback]:
    """What the first process of a run tells its log to; the run goes on from a step.

    TensorBoard reads FOLDER/tensorboard. wandb's own variables (WANDB_PROJECT, WANDB_MODE, ...)
    count where they are set.
    """
    made: list[TrainerCallback] = []
    if "tensorboard" in names:
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations import TensorBoardCallback

        # What a stopped run wrote after its checkpoint is written again: readers drop the first.
        writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        made.append(TensorBoardCallback(writer))
    if "wandb" in names:
        from transformers.integrations import WandbCallback

        ours = {"WANDB_PROJECT": "openmova", "WANDB_NAME": folder.name, "WANDB_DIR": str(folder)}
        for variable, value in ours.items():
            os.environ.setdefault(variable, value)
        made.append(WandbCallback())
    return made
