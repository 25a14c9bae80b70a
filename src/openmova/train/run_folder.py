"""The folder of a run: one run at a time, checkpoints that are whole or absent, the final model.

DIR/recipe.yaml         the recipe as it was resolved; a run goes on only with the same
DIR/checkpoint-<step>/  what resuming needs, with the checksums of its files in whole.json
DIR/bad.jsonl           samples that could not be used
DIR/log.jsonl           loss, gradient norm, learning rates, statistics of the domains by step
DIR/plot.png            the log as a picture
DIR/noise.png           of the stage grpo with noise: pictures at each level
DIR/final/              the trained model, a checkpoint folder as any other
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import yaml

from openmova.errors import UserError
from openmova.runtime.files import checksum, claim, new_folder, write_text, writing
from openmova.runtime.run_store import JsonLines, differences
from openmova.train.plot import can_draw, draw_log

PREFIX = "checkpoint-"
SEAL = "whole.json"
OTHER = "give another --output"
NO_ROOM = "free some room, or give another --output; the run goes on with --resume"


class RunFolder:
    """Where a run writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.final = path / "final"
        self.bad = path / "bad.jsonl"
        self.log = JsonLines(path / "log.jsonl")
        """An entry has `step`, and `loss` or what an evaluation found (`eval_...`)."""

    def claim(self) -> AbstractContextManager[None]:
        """Hold the folder for this process. Raises UserError if another run holds it."""
        return claim(self.path, OTHER)

    def writing(self) -> AbstractContextManager[None]:
        """A system's error while writing into the folder, as the user's: a full disk, mostly."""
        return writing(self.path, NO_ROOM)

    def begin(self, recipe: Mapping[str, Any], *, resume: bool) -> None:
        """Note the recipe, or find that it is the one of the run that goes on.

        What ended before its first checkpoint is no run to go on with.
        Raises UserError for a folder with a run where resume was not asked for, and for another
        recipe than the run's.
        """
        noted = self.path / "recipe.yaml"
        if self._checkpoints() or self.final.exists():
            if not resume:
                raise UserError(
                    f"{str(self.path)!r} holds a run already: go on with it with --resume, or "
                    f"{OTHER}"
                )
            if not noted.is_file():
                raise UserError(f"the run in {str(self.path)!r} has lost recipe.yaml: {OTHER}")
            old = yaml.safe_load(noted.read_text(encoding="utf-8"))
            if changed := differences(old, recipe):
                raise UserError(
                    f"the run in {str(self.path)!r} has another recipe ({'; '.join(changed)}): "
                    f"resume with the run's own, its recipe.yaml, or {OTHER}"
                )
            return
        with self.writing():
            self.bad.unlink(missing_ok=True)
            text = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)
            write_text(noted, text)

    @contextmanager
    def new_checkpoint(self, step: int, *, keep: int, processes: int) -> Iterator[Path]:
        """A folder to fill, which becomes the checkpoint of a step, with checksums of its files.

        Older ones than `keep` go.
        """
        target = self.checkpoint(step)
        if target.exists():  # a torn one
            shutil.rmtree(target)
        with new_folder(target) as unfinished:
            yield unfinished
            self.seal(unfinished, step, processes=processes)
        for old in self._checkpoints()[keep:]:
            shutil.rmtree(old)

    def seal(self, checkpoint: Path, step: int, *, processes: int) -> None:
        """Note the checksums of a checkpoint's files: it is whole."""
        files = {
            str(file.relative_to(checkpoint)): checksum(file)
            for file in sorted(checkpoint.rglob("*"))
            if file.is_file() and not file.name.endswith(".lock")
        }
        seal = {"step": step, "processes": processes, "files": files}
        write_text(checkpoint / SEAL, json.dumps(seal, indent=1))

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.path / f"{PREFIX}{step}"

    def unfinished_checkpoint(self, step: int) -> Path:
        """What `new_checkpoint` fills, as other processes find it."""
        return self.path / f"{PREFIX}{step}.partial"  # of files.new_folder

    def latest(self, processes: int, tell: Callable[[str], None]) -> Path | None:
        """The newest whole checkpoint; torn ones are told of and passed over.

        Raises UserError if it was written by another number of processes.
        """
        for checkpoint in self._checkpoints():
            seal = _seal(checkpoint)
            if seal is None:
                tell(f"{checkpoint.name} is torn: taking the one before")
            elif seal["processes"] != processes:
                raise UserError(
                    f"the run in {str(self.path)!r} has {seal['processes']} processes, this one "
                    f"{processes}: resume with as many"
                )
            else:
                return checkpoint
        return None

    def newest(self) -> Path | None:
        """The checkpoint that was written last, not looked into."""
        return next(iter(self._checkpoints()), None)

    def draw(self) -> None:
        """The log as a picture, if there is something to draw with."""
        if can_draw():
            with self.writing():
                draw_log(self.log.entries(), self.path / "plot.png")

    def _checkpoints(self) -> list[Path]:
        """Newest first."""
        found = [p for p in self.path.glob(f"{PREFIX}*") if p.name[len(PREFIX) :].isdigit()]
        return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name[len(PREFIX) :])


def _seal(checkpoint: Path) -> dict[str, Any] | None:
    """What `new_checkpoint` noted, if every file is still as it was then."""
    try:
        seal: dict[str, Any] = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
        whole = all(checksum(checkpoint / name) == sum_ for name, sum_ in seal["files"].items())
    except (OSError, ValueError, KeyError):
        return None
    return seal if whole else None
