"""How a run shows that it goes on: its log, trackers, and a bar on a terminal or else lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from accelerate.tracking import GeneralTracker
from tqdm import tqdm
from transformers.integrations import rewrite_logs

from openmova.train.domain_statistics import Statistics, flat
from openmova.train.preparation import RunSetup, is_first_process
from openmova.train.run_folder import RunFolder

Tell = Callable[[str], None]


class Progress:
    """begun: the step that the run goes on from. bar: show one, of the samples of the run, in place
    of the lines of single steps."""

    def __init__(
        self,
        setup: RunSetup,
        folder: RunFolder,
        tell: Tell,
        *,
        begun: int,
        trackers: Sequence[GeneralTracker],
        bar: bool,
    ) -> None:
        self.folder = folder
        self.tell = tell
        self.steps = setup.steps
        self.samples_a_step = setup.samples_a_step
        self.trackers = trackers
        self._bar: Any = None
        if bar:
            self._bar = tqdm(
                total=self.steps * self.samples_a_step,
                initial=begun * self.samples_a_step,
                unit=" samples",
                dynamic_ncols=True,
            )

    def advance(self) -> None:
        """A step is done."""
        if self._bar is not None:
            self._bar.update(self.samples_a_step)

    def log(self, step: int, numbers: Mapping[str, Any], seen: Statistics | None = None) -> None:
        """An entry of the run's log, in the first process."""
        if not is_first_process():
            return
        entry: dict[str, Any] = {"step": step, **numbers}
        if seen is not None:
            use = {n: {"chosen": e.chosen, "gate": e.gate} for n, e in seen.experts.items()}
            entry |= {"experts": use, "domains": seen.domains}
            numbers = {**numbers, **flat(use, seen.domains)}
        with self.folder.writing():
            self.folder.log.append(entry)
        self._show(entry)
        for tracker in self.trackers:
            tracker.log(rewrite_logs(numbers), step)

    def _show(self, entry: Mapping[str, Any]) -> None:
        step = f"step {entry['step']}/{self.steps}"
        if "eval_loss" in entry:
            shares = {"exact answers": "eval_exact", "routing as annotated": "eval_routing"}
            found = [f"{name} {entry[key]:.3f}" for name, key in shares.items() if key in entry]
            self.tell("  ".join([f"{step}  held out: loss {entry['eval_loss']:.4f}", *found]))
        elif self._bar is not None:
            self._bar.set_postfix_str(f"{step}, loss {entry['loss']:.4f}")
        elif "reward/all" in entry:
            self.tell(f"{step}  reward {entry['reward/all']:.4f}  loss {entry['loss']:.4f}")
        else:
            self.tell(
                f"{step}  loss {entry['loss']:.4f}  "
                f"gradient {entry['grad_norm']:.3f}  learning rate {entry['learning_rate']:.2e}"
            )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
