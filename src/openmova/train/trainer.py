"""MovaTrainer: transformers' Trainer with what a run of ours needs besides.

- What is trained comes from the stage, in groups with a learning rate each; all else holds still.
- Samples come in the order of the mixture: which one stands at a place is a function of the seed
  and the place, so a run that goes on sees what an uninterrupted one would.
- A checkpoint holds what learns, by the names in the model itself, and is whole or absent.
  (Trainer's own way goes through `save_pretrained`, which may rename what `load_state_dict` then
  passes over: a resumed run would silently start from the first weights again.)
- A loss or gradient that is no number stops the run before it can spoil a weight.
- What a run saw of each domain is in its log, and the log is drawn (`DomainStatistics`).

Every expert that a row of the batch was annotated with runs once, on these rows; no other is run
or even built (`MovaModel.encode_experts`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Sampler, SequentialSampler
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainingArguments,
)

from openmova.errors import UserError
from openmova.model.modeling_mova import MovaForConditionalGeneration, MovaOutput
from openmova.model.processing_mova import IGNORED
from openmova.train.collator import answer_positions
from openmova.train.dataset import TrainDataset
from openmova.train.deepspeed import deepspeed_file
from openmova.train.evaluation import Evaluation
from openmova.train.recipe import TrainingRecipe
from openmova.train.run_folder import RunFolder, writing
from openmova.train.sharding import Sharding, share
from openmova.train.stages import Trained, saved_buffers
from openmova.train.statistics import DomainStatistics, flat

WEIGHTS = "trained.safetensors"
SCHEDULER = "scheduler.pt"
DRAWN_EVERY = 60.0
"""Seconds between two pictures of the log, at least."""


def arguments(recipe: TrainingRecipe, folder: Path, steps: int) -> TrainingArguments:
    """The recipe in Trainer's words."""
    saving: dict[str, Any] = {}
    if recipe.gradient_checkpointing:
        saving["gradient_checkpointing"] = True
        saving["gradient_checkpointing_kwargs"] = {"use_reentrant": False}
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch,
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=math.ceil(recipe.warmup * steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip,
        bf16=recipe.precision == "bfloat16",
        seed=recipe.seed,
        dataloader_num_workers=recipe.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.accelerator.is_available(),
        remove_unused_columns=False,
        # A step without a sample that needs some expert leaves that expert's readers alone.
        ddp_find_unused_parameters=True,
        save_steps=recipe.save_steps,
        logging_steps=recipe.log_steps,
        logging_nan_inf_filter=False,
        report_to="none",
        deepspeed=None if recipe.deepspeed is None else deepspeed_file(recipe.deepspeed),
        disable_tqdm=True,
        **saving,
    )


class MovaTrainer(Trainer):
    """model: as the stage set it; trained: what that was; dataset: the run's samples; keep: how
    many checkpoints stay; evaluation: on what is held out, where a
    callback asks for it; callbacks: who watches besides."""

    optimizer: torch.optim.Optimizer | None
    control: TrainerControl

    def __init__(
        self,
        model: MovaForConditionalGeneration,
        settings: TrainingArguments,
        trained: Trained,
        dataset: TrainDataset,
        folder: RunFolder,
        *,
        keep: int,
        sharding: Sharding | None = None,
        evaluation: Evaluation | None = None,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        self.sharding = sharding
        super().__init__(
            model,
            settings,
            data_collator=dataset.collator,
            train_dataset=dataset,
            compute_loss_func=self._answer_loss,
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)
        self.trained = trained
        self.folder = folder
        self.keep = keep
        if sharding is not None:
            # All that accelerate does besides copying the whole model to every process.
            self.accelerator.prepare_model(model, device_placement=False, evaluation_mode=True)
            model._is_accelerate_prepared = True
        self.evaluation = evaluation
        self.statistics = DomainStatistics(dataset.collator.experts)
        self._whole_rates = {group["part"]: group["lr"] for group in trained.groups}
        self._seen: list[str] = []  # the samples of the step, for when it fails
        self._batch: dict[str, Any] = {}  # what the statistics need of the batch being learned
        self._said: tuple[int, float] | None = None  # step and time of the last line of the log
        self._drawn = time.monotonic()

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        if self.sharding is None:  # else it is there
            super()._move_model_to_device(model, device)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return SequentialSampler(self.train_dataset)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            kind, keywords = self.get_optimizer_cls_and_kwargs(self.args)
            self.optimizer = kind(self.trained.groups, **keywords)
        return self.optimizer

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        self._said = self._said or (self.state.global_step, time.monotonic())
        self._seen += inputs.pop("names")
        if self.sharding is not None:
            self.sharding.share_buffers()
            self.sharding.chose(inputs["routing"])
        self._batch = {"domains": inputs.pop("domains"), "routing": inputs["routing"]}
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._check_number("loss", loss)
        return loss

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        self.trained.hold_still()  # Trainer has just said train() to everything
        # A vocabulary is wide and most of a sample is no answer.
        kept = answer_positions(inputs["labels"])
        self._batch["rows"] = kept.nonzero()[:, 0]
        return super().compute_loss(model, {**inputs, "logits_to_keep": kept}, *args, **kwargs)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        if self.sharding is None:
            return super()._clip_grad_norm(model)
        self.sharding.forget_unused()
        return super()._clip_grad_norm(model).full_tensor()

    def _answer_loss(
        self, outputs: MovaOutput, labels: Tensor, num_items_in_batch: Tensor
    ) -> Tensor:
        """The model's own loss, token by token on the way, of logits [M, V] and labels [B, T]."""
        assert outputs.logits is not None and outputs.gates is not None
        targets = labels[:, 1:]
        losses = F.cross_entropy(
            outputs.logits.float(), targets[targets != IGNORED], reduction="none"
        )
        self.statistics.add(losses=losses, gates=outputs.gates, **self._batch)
        return losses.sum() / num_items_in_batch

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """To whoever watches, and a step's also into the run's log."""
        domains = {}
        if "loss" in logs:
            assert self._said is not None
            domains = self.statistics.collect()
            (before, then), now = self._said, (self.state.global_step, time.monotonic())
            samples = (now[0] - before) * self.get_total_train_batch_size(self.args)
            logs["samples_per_second"] = round(samples / (now[1] - then), 3)
            logs |= self._rates(logs["learning_rate"])
            self._said = now
        if {"loss", "eval_loss"} & logs.keys() and self.is_world_process_zero():
            entry = {"step": self.state.global_step, **logs}
            if domains:
                entry["domains"] = domains
            with writing(self.folder.path):
                self.folder.log.add(entry)
        super().log({**logs, **flat(domains)}, start_time)
        self.state.log_history.clear()  # the run's log has it, and no checkpoint needs it

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """What `Evaluation` finds, also into the log."""
        assert self.evaluation is not None
        with self.accelerator.autocast():
            if self.sharding is None:
                share_of = (self.args.process_index, self.args.world_size)
                found = self.evaluation(self.model, *share_of)
            else:  # every process runs every layer, so all ask the same
                self.model.unshard()
                found = self.evaluation(self.model, 0, 1)
                self.model.reshard()
        self.log(dict(found))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def _rates(self, first: float) -> dict[str, float]:
        """The learning rate of each part, given that of the first: they keep their proportions."""
        whole = next(iter(self._whole_rates.values()))
        return {
            f"learning_rate/{part}": first * rate / whole
            for part, rate in self._whole_rates.items()
        }

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self._check_number("gradient", norm)
        self._seen.clear()
        return norm

    def _check_number(self, what: str, value: Any) -> None:
        if not math.isfinite(value):
            samples = ", ".join(dict.fromkeys(self._seen))
            raise UserError(
                f"the {what} of step {self.state.global_step + 1} is {float(value)}, with the "
                f"samples {samples}: look at them, or begin again with a lower learning_rate; the "
                f"checkpoints in {str(self.folder.path)!r} are from before"
            )

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        step = self.state.global_step
        with writing(self.folder.path):
            if self.args.should_save:
                self.folder.clear_partial()
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                filled = self.folder.partial / f"checkpoint-{step}"
                self.folder.seal(filled, step, keep=self.keep, processes=self.args.world_size)
                if time.monotonic() - self._drawn > DRAWN_EVERY:
                    self.folder.draw()
                    self._drawn = time.monotonic()
        self.accelerator.wait_for_everyone()

    def _get_output_dir(self, trial: Any) -> str:
        """Where Trainer fills a checkpoint, before it is moved to its place."""
        return str(self.folder.partial)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self.args.should_save and self.sharding is None:
            folder = Path(output_dir or self.folder.partial)
            folder.mkdir(parents=True, exist_ok=True)
            save_file(_learned(self.model), folder / WEIGHTS)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.sharding is None:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        assert self.optimizer is not None
        self.sharding.save(Path(output_dir), _learned(self.model), self.optimizer)
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self.sharding is None or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        assert self.optimizer is not None
        self.sharding.load_optimizer(Path(checkpoint), self.optimizer)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        if self.sharding is None:
            stored = load_file(folder / WEIGHTS)
        else:
            stored = self.sharding.load_weights(folder)
        own = _learned(self.model)
        if stored.keys() != own.keys():
            odd = sorted(stored.keys() ^ own.keys())
            raise UserError(
                f"the checkpoint {folder.name} is of another model "
                f"({', '.join(odd[:4])}): resume with the model that the run began with"
            )
        for name, tensor in own.items():
            share(tensor).copy_(stored[name])


def _learned(model: nn.Module) -> dict[str, Tensor]:
    """What a run changes, by the names in the model: parameters that learn, and saved buffers."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    parameters = {name: p.detach() for name, p in model.named_parameters() if name not in frozen}
    return {n: t.contiguous() for n, t in (parameters | saved_buffers(model)).items()}
