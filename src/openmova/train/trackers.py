"""Where else a run's log goes: TensorBoard, Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from openmova.errors import UserError

EXTRAS = {"tensorboard": "train", "wandb": "wandb"}
"""Which extra of ours has the package of each."""
Track = Callable[[Mapping[str, float], int], None]
"""Takes numbers by name, and their step."""


def check_trackers(names: Sequence[str]) -> None:
    """Raises UserError if the package of one is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise UserError(
                f"the recipe reports to {name}, which is not installed: "
                f"pip install 'openmova[{EXTRAS[name]}]'"
            )


def open_trackers(names: Sequence[str], folder: Path, step: int) -> list[Track]:
    """What the first process of a run gives its log to; the run goes on from a step.

    TensorBoard reads FOLDER/tensorboard. wandb's own variables (WANDB_PROJECT, WANDB_MODE, ...)
    count where they are set.
    """
    opened: list[Track] = []
    if "tensorboard" in names:
        from torch.utils.tensorboard import SummaryWriter

        # What a stopped run wrote after its checkpoint is written again: readers drop the first.
        writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

        def write(numbers: Mapping[str, float], step: int) -> None:
            for name, number in numbers.items():
                writer.add_scalar(name, number, step)
            writer.flush()

        opened.append(write)
    if "wandb" in names:
        import wandb

        ours = {"WANDB_PROJECT": "openmova", "WANDB_NAME": folder.name, "WANDB_DIR": str(folder)}
        for variable, value in ours.items():
            os.environ.setdefault(variable, value)
        run = wandb.init()
        opened.append(lambda numbers, step: run.log(dict(numbers), step=step))
    return opened


def tracker_names(entry: Mapping[str, float]) -> dict[str, float]:
    """Names as trackers group them: train/loss, eval/exact."""
    return {
        f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}": n
        for name, n in entry.items()
    }
