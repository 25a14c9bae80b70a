"""An annotation's losses from a cluster: chunks of rows go through Ray Data, one worker a GPU.

The workers only compute. What they find comes back to the process that asked, which writes it as
it would have written its own: the same files, of the same bytes, that any runner goes on with. A
worker opens data and models by the paths that were given here, from the same working folder.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any

import ray
import ray.data

from openmova.annotate.losses import Chunk, LocalLosses
from openmova.annotate.selection import AnnotationSettings
from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.sources import Samples
from openmova.errors import UserError
from openmova.runtime.ray_cluster import cluster


class ClusterLosses:
    """The losses, computed by the cluster that RAY_ADDRESS names or that runs on this machine;
    without one by a cluster of this machine alone, which ends with it.

    opened: reads the data, in each worker. Raises UserError as `LocalLosses` does, in the words of
    the worker, and if there is no cluster at RAY_ADDRESS.
    """

    def __init__(
        self, opened: Callable[[], Samples], settings: AnnotationSettings, bad: BadSamples
    ) -> None:
        self.opened = opened
        self.settings = settings
        self.bad = bad

    def compute(self, chunks: Sequence[Chunk]) -> Generator[Sequence[float]]:
        """Of each chunk, in order."""
        if not chunks:
            return
        _quiet()
        early: dict[tuple[str, int], dict[str, Any]] = {}  # what came before its turn
        with cluster(), closing(self._results(chunks)) as results:
            for probe, rows in chunks:
                while (probe.name, rows.start) not in early:
                    found = next(results)
                    if found["error"]:
                        raise UserError(found["error"])
                    early[found["probe"], found["start"]] = found
                found = early.pop((probe.name, rows.start))
                for _ in range(len(rows) - len(found["bad"])):
                    self.bad.add_good()
                for entry in found["bad"]:
                    self.bad.add(BadSample(**entry))
                yield [float(loss) for loss in found["losses"]]

    def _results(self, chunks: Sequence[Chunk]) -> Generator[dict[str, Any]]:
        """A row for each chunk, as `_Worker` returns it; nearly in their order."""
        items = [
            {"probe": probe.name, "start": rows.start, "stop": rows.stop} for probe, rows in chunks
        ]
        gpus = ray.cluster_resources().get("GPU", 0)
        results = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            _Worker,
            fn_constructor_args=(self.opened, self.settings, os.getcwd()),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=len(items)),
            num_gpus=1 if gpus else None,
            num_cpus=None if gpus else 1,
        )
        yield from results.iter_rows()


class _Worker:
    """Computes chunks in a process of the cluster; reads data and models with the first."""

    def __init__(
        self, opened: Callable[[], Samples], settings: AnnotationSettings, folder: str
    ) -> None:
        self.opened = opened
        self.settings = settings
        self.folder = folder
        self.probes = {probe.name: probe for probe in settings.probes}
        self.losses: LocalLosses | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The chunk's losses and bad samples; or the mistake, which an exception would wrap."""
        name, start, stop = (batch[key][0] for key in ("probe", "start", "stop"))
        bad = _Kept()
        losses: Sequence[float] = ()
        mistake = ""
        try:
            rows = range(int(start), int(stop))
            losses = self._losses(bad).chunk_losses(self.probes[str(name)], rows)
        except UserError as error:
            mistake = str(error)
        kept = [{"reason": b.reason, "id": b.id, "source": b.source} for b in bad.kept]
        found = {"probe": name, "start": start, "losses": losses, "bad": kept, "error": mistake}
        return {key: [value] for key, value in found.items()}

    def _losses(self, bad: BadSamples) -> LocalLosses:
        if self.losses is None:
            try:
                os.chdir(self.folder)
            except OSError as error:
                raise UserError(
                    f"a node of the cluster has no folder {self.folder!r}: start the command in "
                    "one that all nodes share"
                ) from error
            self.losses = LocalLosses(self.opened(), self.settings, bad)
        self.losses.bad = bad
        return self.losses


class _Kept(BadSamples):
    """Bad samples of one chunk: they are counted and listed where the cluster was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[BadSample] = []

    def add(self, bad: BadSample) -> None:
        self.kept.append(bad)


def _quiet() -> None:
    """Ray Data's own messages and bars are for its log."""
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # its file is kept
            handler.setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False
