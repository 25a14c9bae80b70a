"""The training loop, on accelerate: the steps of a run, its log and its checkpoints.

- What is trained comes from the stage, in groups with a learning rate each; all else holds still.
- Samples come in the order of the mixture and learning rates from the step alone, so a run that
  goes on sees what an uninterrupted one would.
- A checkpoint holds what learns, by the names in the model itself, AdamW's averages and the random
  numbers, in a file for each process, and is whole or absent.
- A loss or gradient that is no number stops the run before it can spoil a weight.
- What a run saw of each domain is in its log, and the log is drawn (`DomainStatistics`).

Every expert that a row of the batch was annotated with runs once, on these rows; no other is run
or even built (`MovaVision.encode_experts`). With `pack` that batch is the pack: its samples lie
side by side in the decoder's rows, so a step learns the same from the same samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import get_scheduler

from openmova.data.bad_samples import BadSamples
from openmova.errors import UserError
from openmova.train.answer_loss import answer_loss, answer_positions
from openmova.train.collator import TrainDataset
from openmova.train.deepspeed import deepspeed_plugin
from openmova.train.domain_statistics import DomainStatistics, GateWatch
from openmova.train.interrupt import Interrupt
from openmova.train.preparation import RunSetup
from openmova.train.progress import Progress
from openmova.train.run_folder import RunFolder, step_of
from openmova.train.stages import saved_buffers
from openmova.train.training_recipe import TrainingRecipe

DRAWN_EVERY = 60.0
"""Seconds between two pictures of the log, at least."""
Batch = dict[str, Any]


def accelerator_of(recipe: TrainingRecipe) -> Accelerator:
    """The process' place among the others, and what adds up their gradients."""
    # A step without a sample that needs some expert leaves that expert's readers alone.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        cpu=not torch.accelerator.is_available(),
        gradient_accumulation_steps=recipe.accumulation,
        deepspeed_plugin=deepspeed_plugin(recipe),
        kwargs_handlers=[unused],
    )


class TrainingLoop:
    """step: how many are done."""

    def __init__(
        self,
        setup: RunSetup,
        accelerator: Accelerator,
        folder: RunFolder,
        bad: BadSamples,
        *,
        interrupt: Interrupt,
    ) -> None:
        recipe = setup.recipe
        self.recipe = recipe
        self.model = setup.model
        self.trainable = setup.trainable
        self.sharding = setup.sharding
        self.accelerator = accelerator
        self.folder = folder
        self.interrupt = interrupt
        self.step = 0
        self.unannotated = 0
        """Samples of this process that had no experts list."""
        self.steps = setup.steps
        self.samples_a_step = setup.samples_a_step
        self.dataset = TrainDataset(
            setup.mixture, setup.collator, bad, random_experts=recipe.random_experts
        )
        self.evaluation = setup.evaluation(folder.bad)
        self.statistics = DomainStatistics(setup.collator.experts)
        if recipe.gradient_checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        groups = self.trainable.groups
        self.gate_watch = GateWatch(
            max([g["lr"] for g in groups if g["part"] == "gate"], default=0)
        )
        self.rates = [group["lr"] for group in groups]
        self.parameters = [p for group in groups for p in group["params"]]
        self.optimizer: Any = torch.optim.AdamW(groups, fused=True)
        schedule: Any = get_scheduler(
            recipe.schedule,
            self.optimizer,
            num_warmup_steps=math.ceil(recipe.warmup * self.steps),
            num_training_steps=self.steps,
        )
        self.rate_share = schedule.lr_lambdas[0]  # of its rate, what a part has in a step
        self.wrapped: Any = self.model
        if self.sharding is None:
            self.wrapped, self.optimizer = accelerator.prepare(self.model, self.optimizer)
        if recipe.deepspeed is None:  # else they are its own
            for p in self.parameters:  # from the first step, so that a checkpoint fits
                averages = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
                self.optimizer.state[p] = {"step": torch.zeros((), device=p.device), **averages}
        self._logged = (0, 0.0)  # step and time of the last line of the log
        self._drawn = time.monotonic()

    def run(self, checkpoint: Path | None, progress: Progress) -> None:
        """Go on from a checkpoint, or begin, to the end or until a signal asks to stop."""
        torch.manual_seed(self.recipe.seed)
        if checkpoint is not None:
            self._load(checkpoint)
        batches = self._batches()
        self._logged = (self.step, time.monotonic())
        while self.step < self.steps:
            of_step = list(islice(batches, self.recipe.accumulation))
            self._warn_of_unannotated(of_step, progress)
            norm = self.train_step(of_step)
            self.step += 1
            progress.advance()
            stops = self.interrupt.requested
            is_last = self.step == self.steps
            saves = stops or is_last or self.step % self.recipe.save_steps == 0
            # Also at every checkpoint, so that a run that goes on takes up the log where it ends.
            if saves or self.step % self.recipe.log_steps == 0:
                self._log_step(norm, progress)
            held_out = self.recipe.evaluation
            if held_out is not None and (is_last or self.step % held_out.steps == 0):
                self._evaluate(progress)
            if saves:
                self._save()
            if stops:
                break
        progress.close()

    def train_step(self, batches: Sequence[Batch]) -> float:
        """Learn from the batches of one step; returns the norm of its gradient."""
        self.model.train()
        self.trainable.eval_frozen()
        share = self.rate_share(self.step)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        device, processes = self.accelerator.device, self.accelerator.num_processes
        counts = [
            answer_positions(batch["labels"]).sum(dim=1).float() @ torch.tensor(batch["weights"])
            for batch in batches
        ]
        tokens: Any = self.accelerator.reduce(torch.stack(counts).sum().to(device))
        total = 0.0
        for batch in batches:
            if self.sharding is not None:
                self.sharding.share_buffers()
                self.sharding.note_routing(batch["routing"])
            with self.accelerator.accumulate(self.wrapped):
                loss = self.compute_loss(batch) / tokens
                # Gradients are averaged over processes and batches, and here they are to be added.
                self.accelerator.backward(loss * processes * len(batches))
            total = total + loss.detach()
        self._check_number("loss", total, batches)
        if self.sharding is not None:
            self.sharding.drop_unused_gradients()
        norm: Any = self.accelerator.clip_grad_norm_(self.parameters, self.recipe.clip)
        norm = float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
        self._check_number("gradient", norm, batches)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def compute_loss(self, batch: Batch) -> Tensor:
        """The sum over the answers' tokens of a batch, each with its sample's weight."""
        with self._autocast():
            found = answer_loss(self.wrapped, batch, pack=self.recipe.pack)
        self.statistics.add(batch["domains"], batch["routing"].to(found.losses.device), found)
        weights = torch.tensor(batch["weights"], device=found.losses.device)
        return found.losses.sum(dim=1) @ weights

    def _batches(self) -> Iterator[Batch]:
        """This process' batches from the next step on: those of a step lie side by side."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        size, accumulation = self.recipe.batch, self.recipe.accumulation
        first = range(self.step * accumulation, self.steps * accumulation)
        starts = [(number * processes + rank) * size for number in first]
        loader = DataLoader(
            self.dataset,
            batch_sampler=[list(range(start, start + size)) for start in starts],
            collate_fn=self.dataset.collator,
            num_workers=self.recipe.workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # its own, so that where a run began changes no chance
        )
        return iter(loader)

    def _warn_of_unannotated(self, batches: Sequence[Batch], progress: Progress) -> None:
        names = [name for batch in batches for name in batch["unannotated"]]
        if names and not self.unannotated:
            seen_by = {"none": "no expert", "all": "all experts"}[self.recipe.unannotated]
            progress.tell(
                f"warning: samples without an experts list, such as {names[0]}, are trained with "
                f"{seen_by}: openmova annotate makes such lists; the recipe's unannotated and "
                "experts say what else to do"
            )
        self.unannotated += len(names)

    def _evaluate(self, progress: Progress) -> None:
        assert self.evaluation is not None
        process = (self.accelerator.process_index, self.accelerator.num_processes)
        with self._autocast():
            if self.sharding is None:
                found = self.evaluation(self.model, *process)
            else:  # every process runs every layer, so all ask the same
                self.sharding.root.unshard()
                found = self.evaluation(self.model, 0, 1)
                self.sharding.root.reshard()
        progress.log(self.step, found)

    def _log_step(self, norm: float, progress: Progress) -> None:
        seen = self.statistics.collect()
        (before, then), now = self._logged, (self.step, time.monotonic())
        self._logged = now
        groups = self.optimizer.param_groups
        entry = {
            "loss": seen.loss,
            "grad_norm": norm,
            "learning_rate": groups[0]["lr"],
            **{f"learning_rate/{group['part']}": group["lr"] for group in groups},
            "samples_per_second": round(
                (now[0] - before) * self.samples_a_step / (now[1] - then), 3
            ),
        }
        progress.log(self.step, entry, seen)
        if warning := self.gate_watch.warning(seen.experts):
            progress.tell(warning)

    def _save(self) -> None:
        """A checkpoint: every process writes its share, the first makes it whole."""
        accelerator, folder = self.accelerator, self.folder
        is_first = accelerator.is_main_process
        filling: AbstractContextManager[Any] = nullcontext()
        if is_first:
            filling = folder.new_checkpoint(
                self.step, keep=self.recipe.keep, processes=accelerator.num_processes
            )
        with folder.writing(), filling:
            accelerator.wait_for_everyone()  # for the folder
            unfinished = folder.unfinished_checkpoint(self.step)
            self._save_share(unfinished)
            if self.recipe.deepspeed is not None:
                self.wrapped.save_checkpoint(str(unfinished), exclude_frozen_parameters=True)
            accelerator.wait_for_everyone()
        accelerator.wait_for_everyone()
        if is_first and time.monotonic() - self._drawn > DRAWN_EVERY:
            folder.draw()
            self._drawn = time.monotonic()

    def _save_share(self, folder: Path) -> None:
        """What this process alone holds; of what all hold, the first's is kept."""
        state = self._state()
        if self.sharding is None and not self.accelerator.is_main_process:
            state = {name: tensor for name, tensor in state.items() if name in _random_numbers()}
        share = self._share(folder, self.accelerator.process_index)
        save_file({n: _local(t).contiguous() for n, t in state.items()}, share)

    def _load(self, checkpoint: Path) -> None:
        """Raises UserError for a checkpoint of another model, or of another version."""
        ranks = {self.accelerator.process_index} | ({0} if self.sharding is None else set())
        stored: dict[str, Tensor] = {}
        for share in (self._share(checkpoint, rank) for rank in sorted(ranks)):
            if not share.is_file():
                raise UserError(
                    f"{str(checkpoint)!r} has no {share.name}, so another version of openmova "
                    "wrote it: resume with that version, or give another --output"
                )
            stored |= load_file(share)
        state = self._state()
        if odd := sorted({name.partition(" ")[0] for name in stored.keys() ^ state.keys()}):
            raise UserError(
                f"the checkpoint {checkpoint.name} is of another model "
                f"({', '.join(odd[:4])}): resume with the model that the run began with"
            )
        for name, tensor in state.items():
            _local(tensor).copy_(stored[name])
        if self.recipe.deepspeed is not None:
            self.wrapped.load_checkpoint(str(checkpoint), load_module_strict=False)
        for name, source in _random_numbers().items():
            source.set_rng_state(stored[name])
        self.step = step_of(checkpoint)

    def _state(self) -> dict[str, Tensor]:
        """All that a step changes, by name: the tensors themselves, but for random numbers."""
        named = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        state = {name: p.detach() for name, p in named.items()} | saved_buffers(self.model)
        if self.recipe.deepspeed is None:  # else the averages are its own
            for name, p in named.items():
                state |= {f"{name} {kind}": a for kind, a in self.optimizer.state[p].items()}
        return state | {name: source.get_rng_state() for name, source in _random_numbers().items()}

    def _share(self, folder: Path, rank: int) -> Path:
        return folder / f"share-{rank}.safetensors"

    def _autocast(self) -> torch.autocast:
        is_bfloat16 = self.recipe.precision == "bfloat16"
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=is_bfloat16)

    def _check_number(self, what: str, value: Any, batches: Sequence[Batch]) -> None:
        if not math.isfinite(value):
            samples = ", ".join(dict.fromkeys(name for batch in batches for name in batch["names"]))
            raise UserError(
                f"the {what} of step {self.step + 1} is {float(value)}, with the "
                f"samples {samples}: look at them, or begin again with a lower learning_rate; the "
                f"checkpoints in {str(self.folder.path)!r} are from before"
            )


def _random_numbers() -> dict[str, Any]:
    """Where a process' random numbers come from, by the names that a checkpoint has."""
    sources: dict[str, Any] = {"random numbers": torch}
    if torch.accelerator.is_available():
        sources["random numbers of the device"] = torch.get_device_module()
    return sources


def _local(tensor: Tensor) -> Tensor:
    """This process' share of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
