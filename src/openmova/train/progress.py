"""How a run shows that it goes on: a bar on a terminal, otherwise a line every log_steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

Tell = Callable[[str], None]


class Progress(TrainerCallback):
    """bar: show one, of the samples of the run, in place of the lines of single steps."""

    def __init__(self, tell: Tell, *, samples_a_step: int, bar: bool) -> None:
        self.tell = tell
        self.samples_a_step = samples_a_step
        self.wants_bar = bar
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero and self.wants_bar:
            self._bar = tqdm(
                total=state.max_steps * self.samples_a_step,
                initial=state.global_step * self.samples_a_step,
                unit=" samples",
                dynamic_ncols=True,
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # A checkpoint has a line of the log at its step, so that a run that goes on from there
        # takes up the log where it ends.
        control.should_log |= control.should_save
        if self._bar is not None:
            self._bar.update(self.samples_a_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, float], **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        step = f"step {state.global_step}/{state.max_steps}"
        if "loss" in logs and self._bar is not None:
            self._bar.set_postfix_str(f"{step}, loss {logs['loss']:.4f}")
        elif "loss" in logs:
            self.tell(
                f"{step}  loss {logs['loss']:.4f}  "
                f"gradient {logs['grad_norm']:.3f}  learning rate {logs['learning_rate']:.2e}"
            )

        elif "eval_loss" in logs:
            shares = {"exact answers": "eval_exact", "routing as annotated": "eval_routing"}
            found = [f"{name} {logs[key]:.3f}" for name, key in shares.items() if key in logs]
            self.tell("  ".join([f"{step}  held out: loss {logs['eval_loss']:.4f}", *found]))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()
