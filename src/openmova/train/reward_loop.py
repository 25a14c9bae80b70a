"""A run of the stage grpo: `RewardLoop` is what it has in place of `TrainingLoop`.

TRL trains, saves and resumes; what a run logs and keeps is as in the other stages.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig

from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.mixture import Mixture
from openmova.errors import UserError
from openmova.train.grpo import AnswerTrainer, RoutingTrainer
from openmova.train.interrupt import Interrupt
from openmova.train.noise import noise_sheet
from openmova.train.preparation import TINY, RunSetup
from openmova.train.progress import Progress
from openmova.train.rewards import EXPERT, trl_rewards
from openmova.train.run_folder import RunFolder
from openmova.train.training_recipe import GrpoSettings, TrainingRecipe

LOOKED_AT = 8
"""Samples of each source, before a run."""
SHOWN = 4
"""Pictures on the sheet of noisy ones."""
LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "entropy": "entropy",
    "reward": "reward/all",
    "frac_reward_zero_std": "groups/without_spread",
    "kl": "kl/from_the_start",
    "completions/mean_length": "length/tokens",
}
"""TRL's names for what a run logs, and ours."""


class RewardLoop(TrainerCallback):
    """A run of the stage grpo; the interface is that of `TrainingLoop`.

    Raises UserError for a source of which no sample has a question and its solution.
    """

    unannotated = 0

    def __init__(
        self,
        setup: RunSetup,
        folder: RunFolder,
        bad: BadSamples,
        *,
        interrupt: Interrupt,
    ) -> None:
        recipe, settings = setup.recipe, setup.recipe.grpo
        assert settings is not None
        if settings.beta and recipe.model == TINY:
            raise UserError(
                "grpo.beta above 0 reads the start a second time, so it needs the folder of a "
                "checkpoint as model: train tiny without first, or set grpo.beta=0"
            )
        self.recipe = recipe
        self.folder = folder
        self.interrupt = interrupt
        self.steps = setup.steps
        self.part = setup.trainable.groups[0]["part"]
        """What learns."""
        check_solutions(setup.mixture)
        kind = RoutingTrainer if recipe.learns_routing else AnswerTrainer
        args = trl_config(setup, settings, folder)
        questions = self.steps * setup.samples_a_step // settings.generations
        self.trainer = kind(
            setup,
            settings,
            bad,
            reward_funcs=trl_rewards(settings.reward, tolerance=settings.tolerance),
            args=args,
            train_dataset=Dataset.from_dict({"place": list(range(questions))}),
        )
        self.trainer.remove_callback(PrinterCallback)
        self.evaluation = setup.evaluation(folder.bad)
        if settings.noise is not None and args.process_index == 0:
            first = range(min(len(setup.mixture), LOOKED_AT))
            samples = [setup.mixture.sample(0, index, BadSamples(share=1.0)) for index in first]
            pictures = [sample.image for sample in samples if sample.image is not None]
            with folder.writing():
                noise_sheet(pictures[:SHOWN], settings.noise.levels).save(folder.path / "noise.png")

    @property
    def step(self) -> int:
        done: int = self.trainer.state.global_step
        return done

    def run(self, checkpoint: Any, progress: Progress) -> None:
        """Go on from a checkpoint, or begin, to the end or until a signal asks to stop."""
        self.progress = progress
        self.trainer.add_callback(self)
        start = None if checkpoint is None else str(checkpoint)
        try:
            with self.folder.writing():
                self.trainer.train(resume_from_checkpoint=start)
        except UserError as error:
            raise UserError(f"{error}; {self._keep()}") from error
        progress.close()

    def evaluate(self) -> dict[str, float]:
        """Of the held-out samples, on their clean pictures."""
        assert self.evaluation is not None
        accelerator = self.trainer.accelerator
        mova = self.trainer.mova
        with accelerator.autocast():
            found = self.evaluation(mova, accelerator.process_index, accelerator.num_processes)
        mova.train()  # as TRL left it
        return found

    def _keep(self) -> str:
        """The state before a step that failed, as a checkpoint; says where it is."""
        if self.step and not self.folder.checkpoint(self.step).exists():
            self.trainer._save_checkpoint(self.trainer.model, trial=None)
            self.on_save()
        kept = self.folder.newest()
        return "nothing was kept" if kept is None else f"the state before it is {kept.name}"

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress.advance()
        if self.interrupt.requested:
            control.should_save = control.should_training_stop = True
        control.should_log |= control.should_save  # a run that goes on takes the log up there
        held_out = self.recipe.evaluation
        if held_out is not None and (self.step == self.steps or self.step % held_out.steps == 0):
            self.progress.log(self.step, self.evaluate())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any, **kwargs: Any) -> None:
        if "loss" not in logs:  # TRL's summary of a run
            return
        entry = {ours: logs[name] for name, ours in LOGGED.items() if logs.get(name) is not None}
        entry[f"learning_rate/{self.part}"] = logs["learning_rate"]
        for name, value in logs.items():
            if name.startswith(("reward_at_noise/", "groups/", "experts_a_question/")):
                entry[name] = value
            elif name.startswith("rewards/") and name.endswith("/mean"):
                entry[f"reward/{name.removeprefix('rewards/').removesuffix('/mean')}"] = value
        self.progress.log(self.step, entry)

    def on_save(self, *args: Any, **kwargs: Any) -> None:
        """The checkpoint of this step is whole."""
        accelerator, folder = self.trainer.accelerator, self.folder
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            with folder.writing():
                checkpoint = folder.checkpoint(self.step)
                folder.seal(checkpoint, self.step, processes=accelerator.num_processes)


def trl_config(setup: RunSetup, settings: GrpoSettings, folder: RunFolder) -> GRPOConfig:
    """The recipe in TRL's words."""
    recipe: TrainingRecipe = setup.recipe
    tokens, scale = settings.tokens, "group"
    if recipe.learns_routing:  # where no answer of a group is right, its spread is the price alone
        tokens, scale = setup.model.config.routing.max_new_tokens, "none"
    weights = [-w if name == EXPERT else w for name, w in settings.reward.items()]
    return GRPOConfig(
        output_dir=str(folder.path),
        use_cpu=not torch.accelerator.is_available(),
        bf16=recipe.precision == "bfloat16",
        seed=recipe.seed,
        max_steps=setup.steps,
        per_device_train_batch_size=recipe.batch,
        gradient_accumulation_steps=recipe.accumulation,
        gradient_checkpointing=recipe.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=math.ceil(recipe.warmup * setup.steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip,
        logging_steps=recipe.log_steps,
        logging_nan_inf_filter=False,
        save_steps=recipe.save_steps,
        save_total_limit=recipe.keep,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        shuffle_dataset=False,  # the mixture's order
        reward_weights=weights,
        num_generations=settings.generations,
        max_completion_length=tokens,
        generation_kwargs={"suppress_tokens": None},  # of pictures: the model does it
        temperature=settings.temperature,
        beta=settings.beta,
        epsilon=settings.epsilon,
        loss_type="grpo",
        scale_rewards=scale,
    )


def check_solutions(mixture: Mixture) -> None:
    """Raises UserError for a source whose first samples can't be used, all of them."""
    for source in mixture.sources:
        samples = source.samples
        first = [samples.get(index) for index in range(min(len(samples), LOOKED_AT))]
        if all(isinstance(sample, BadSample) for sample in first):
            raise UserError(
                f"no sample of {samples.name} can be used ({first[0]}): the stage grpo asks a "
                "question, and compares answers with the one that the sample ends with"
            )
