"""How a run shows that it goes on: a bar on a terminal, otherwise a line for each of the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm

Tell = Callable[[str], None]


class Progress:
    """begun: the step that the run goes on from. bar: show one, of the samples of the run, in place
    of the lines of single steps."""

    def __init__(
        self, tell: Tell, *, begun: int, steps: int, samples_a_step: int, bar: bool
    ) -> None:
        self.tell = tell
        self.steps = steps
        self.samples_a_step = samples_a_step
        self._bar: Any = None
        if bar:
            self._bar = tqdm(
                total=steps * samples_a_step,
                initial=begun * samples_a_step,
                unit=" samples",
                dynamic_ncols=True,
            )

    def advance(self) -> None:
        """A step is done."""
        if self._bar is not None:
            self._bar.update(self.samples_a_step)

    def show(self, entry: Mapping[str, Any]) -> None:
        """An entry of the run's log."""
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
