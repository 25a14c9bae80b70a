"""The folder of a run: one run at a time, checkpoints that are whole or absent, the final model.

DIR/recipe.yaml         the recipe as it was resolved; a run goes on only with the same
DIR/checkpoint-<step>/  what resuming needs, with the checksums of its files in whole.json
DIR/bad.jsonl           samples that could not be used
DIR/log.jsonl           loss, gradient norm, learning rates, statistics of the domains by step
DIR/plot.png            the log as a picture
DIR/final/              the trained model, a checkpoint folder as any other
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from openmova.errors import UserError
from openmova.runtime.files import checksum, claim, flush, is_full, write_text
from openmova.train.plot import can_draw, draw_log
from openmova.train.recipe import differences
from openmova.train.run_log import RunLog

PREFIX = "checkpoint-"
SEAL = "whole.json"
NO_ROOM = "free some room, or give another --output; the run goes on with --resume"


class RunFolder:
    """Where a run writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.final = path / "final"
        self.bad = path / "bad.jsonl"
        self.log = RunLog(path / "log.jsonl")
        self.partial = path / ".partial"
        """What is being written; whoever comes next removes it."""

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the folder for this process; the system gives it back when the process ends.

        Raises UserError if another run holds it.
        """
        with claim(self.path, "give another --output"):
            yield

    def begin(self, recipe: Mapping[str, Any], *, resume: bool) -> None:
        """Note the recipe, or find that it is the one of the run that goes on.

        What ended before its first checkpoint is no run to go on with.
        Raises UserError for a folder with a run where resume was not asked for, and for another
        recipe than the run's.
        """
        noted = self.path / "recipe.yaml"
        if noted.exists() and (self._checkpoints() or self.final.exists()):
            if not resume:
                raise UserError(
                    f"{str(self.path)!r} holds a run already: go on with it with --resume, or "
                    "give another --output"
                )
            old = yaml.safe_load(noted.read_text(encoding="utf-8"))
            if changed := differences(old, recipe):
                raise UserError(
                    f"the run in {str(self.path)!r} has another recipe ({'; '.join(changed)}): "
                    "resume with the run's own, its recipe.yaml, or give another --output"
                )
            return
        with writing(self.path):
            self.bad.unlink(missing_ok=True)
            text = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)
            write_text(noted, text)

    def clear_partial(self) -> None:
        """Make room for what is written next."""
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir()

    def seal(self, folder: Path, step: int, *, keep: int, processes: int) -> Path:
        """Make a checkpoint of a folder that was filled: flushed, checked, renamed into place.

        Older ones than `keep` go.
        """
        for file in folder.rglob("*"):
            flush(file)
        files = {
            str(file.relative_to(folder)): checksum(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        seal = {"step": step, "processes": processes, "files": files}
        write_text(folder / SEAL, json.dumps(seal, indent=1))
        target = self.path / f"{PREFIX}{step}"
        if target.exists():  # a torn one
            shutil.rmtree(target)
        folder.rename(target)
        flush(self.path)
        for old in self._checkpoints()[keep:]:
            shutil.rmtree(old)
        return target

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
            with writing(self.path):
                draw_log(self.log.entries(), self.path / "plot.png")

    def write_final(self, write: Callable[[Path], None]) -> None:
        """Let `write` fill a folder that becomes final/ when it is whole."""
        with writing(self.path):
            self.clear_partial()
            write(self.partial)
            for file in self.partial.rglob("*"):
                flush(file)
            self.partial.rename(self.final)
            flush(self.path)

    def _checkpoints(self) -> list[Path]:
        """Newest first."""
        found = [p for p in self.path.glob(f"{PREFIX}*") if p.name[len(PREFIX) :].isdigit()]
        return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name[len(PREFIX) :])


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A system's error while writing into the folder, as the user's: a full disk, mostly."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write into {str(folder)!r} ({reason}): {NO_ROOM}") from error
    except Exception as error:
        if not is_full(error):
            raise
        raise UserError(f"the disk of {str(folder)!r} is full: {NO_ROOM}") from error


def _seal(checkpoint: Path) -> dict[str, Any] | None:
    """What `seal` noted, if every file is still as it was then."""
    try:
        seal: dict[str, Any] = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
        whole = all(checksum(checkpoint / name) == sum_ for name, sum_ in seal["files"].items())
    except (OSError, ValueError):
        return None
    return seal if whole else None
