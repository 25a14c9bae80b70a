"""The stage grpo on TRL's GRPOTrainer: answers are sampled in groups, and the better ones learned.

TRL samples, trains, saves and resumes; what is ours comes in between. `AnswerTrainer` asks the
router and encodes the clean picture once a group, and gives these image tokens to every pass; it
can sample on noisy pictures (`noise.py`). `RoutingTrainer` samples the router's answer in place of
the answer, which is then written greedily under that routing: its reward is the router's.
`RewardLoop` is what a run has in place of `TrainingLoop`.

Shapes: B answers of a batch (Q questions x G of a group), E experts of the pool.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from accelerate.utils import gather
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PrinterCallback, TrainerCallback

from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.mixture import Mixture
from openmova.data.sample import Sample
from openmova.errors import UserError
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import IGNORED
from openmova.model.two_pass import evaluating
from openmova.routing import expert_letters, parse_routing
from openmova.routing.decoding import answer_tokens
from openmova.train.interrupt import Interrupt
from openmova.train.noise import add_noise, fused_advantages, noise_sheet
from openmova.train.preparation import TINY, RunSetup
from openmova.train.progress import Progress
from openmova.train.rewards import EXPERT, trl_rewards
from openmova.train.run_folder import RunFolder
from openmova.train.training_recipe import GrpoSettings, TrainingRecipe

try:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer
except ImportError as error:
    raise UserError("the stage grpo needs trl: pip install 'openmova[train]'") from error

PICTURES = ("pixel_values", "image_sizes")
QUESTION = ("question_input_ids", "question_attention_mask")
"""Of VISUAL_INPUTS: what image tokens are made of, beside the routing."""
LOOKED_AT = 8
"""Samples of each source, before a run."""
NEVER = -1e4
"""The bias of a token that is not to be said: finite, as the gradient is."""
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


class AnswerTrainer(GRPOTrainer):
    """The language model learns to answer.

    The dataset has the numbers of items of the mixture; they are opened when they are needed.
    """

    def __init__(self, setup: RunSetup, settings: GrpoSettings, bad: BadSamples, **options: Any):
        self.mixture = setup.mixture
        self.frozen_parts = setup.trainable
        self.settings = settings
        self.bad = bad
        self.given: dict[str, Tensor] = {}
        """What TRL does not pass on to the model: of each answer of the batch, by name."""
        setup.model.processor = setup.processor  # a tiny model has no folder to read it from
        super().__init__(model=setup.model, processing_class=setup.processor, **options)

    @property
    def mova(self) -> MovaForConditionalGeneration:
        return self.accelerator.unwrap_model(self.model)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: a run's folder says what the run was."""

    def _send_telemetry(self) -> None:
        """Nothing: no run tells anybody of itself."""

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        self.frozen_parts.eval_frozen()
        return super()._prepare_inputs(generation_batch)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(self._opened(inputs))
        noise = self.settings.noise
        if noise is not None:
            levels = gather(torch.tensor(self._levels(len(inputs)), device=self.rewards.device))
            found = fused_advantages(
                self.rewards.view(-1, self.settings.generations),
                levels.view(-1, self.settings.generations),
                noise,
            )
            first = self.accelerator.process_index * len(inputs)
            output["advantages"] = found.values.flatten()[first : first + len(inputs)]
            self._note("groups/weight_of_the_noise", found.weights)
            for level in noise.levels:
                chosen = self.rewards[levels == level]
                self._note(f"reward_at_noise/{level:g}", chosen)
        return output | self.given

    def _opened(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows of a batch as TRL and the rewards read them; a group opens its picture once."""
        samples: dict[int, Sample] = {}
        for place in {row["place"] for row in inputs}:
            epoch, index = divmod(place, len(self.mixture))
            samples[place] = self.mixture.sample(epoch, index, self.bad, self._checked)
        return [
            {
                "prompt": [{"role": turn.role, "content": turn.text} for turn in sample.turns[:-1]],
                "images": [] if sample.image is None else [sample.image],
                "sample": sample,
            }
            for sample in (samples[row["place"]] for row in inputs)
        ]

    def _checked(self, sample: Sample) -> Sample:
        if sample.routing:
            raise BadSample("it is a routing instruction", id=sample.id, source=sample.source)
        return sample

    def _levels(self, answers: int) -> list[float]:
        """The noise of each answer."""
        noise = self.settings.noise
        levels = (0.0,) if noise is None else noise.levels
        return list(levels) * (answers // len(levels))

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: Mapping[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        fields = self._sampled_from(prompt_ids, multimodal_fields)
        return super()._generate_single_turn(prompt_ids, images, fields, *args, **kwargs)

    def _sampled_from(
        self, prompt_ids: list[list[int]], fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What answers are sampled from beside the prompts: image_tokens [B, N, D], noisy by their
        levels. `given` is set, to those of the clean pictures."""
        mova, group = self.mova, self.settings.generations
        shown = torch.tensor([mova.config.image_token_id in ids for ids in prompt_ids])
        if not shown.any():
            self.given = {}
            return dict(fields)
        prompts = [torch.tensor(row) for row in prompt_ids[::group]]
        ids, mask = (
            pad_sequence(rows, batch_first=True, padding_side="left").to(mova.device)
            for rows in (prompts, [torch.ones_like(prompt) for prompt in prompts])
        )
        first = torch.arange(len(prompt_ids)) % group == 0
        pictures = {name: fields[name][first[shown]].to(mova.device) for name in PICTURES}
        with torch.no_grad(), evaluating(mova), self.accelerator.autocast():
            visual = mova.complete(pictures, None, ids, mask)
            base_map = mova.model.encode_base(*map(visual.get, PICTURES))
            routing = mova.find_routing(visual, ids, base_map)
            of_all = {name: visual[name] for name in (*PICTURES, *QUESTION)}
            clean, _ = mova.model.image_tokens(routing=routing, base_map=base_map, **of_all)
            clean = clean.repeat_interleave(group, dim=0)
            self.given = {"image_tokens": clean}
            levels = torch.tensor(self._levels(len(prompt_ids)))
            noisy = ((levels > 0) & shown).nonzero().flatten()
            if not len(noisy):
                return self.given
            of_noisy = {n: None if t is None else t[noisy // group] for n, t in of_all.items()}
            pixels, sizes = map(of_noisy.get, PICTURES)
            assert pixels is not None and sizes is not None
            of_noisy["pixel_values"] = add_noise(pixels, sizes, levels[noisy].tolist())
            tokens, _ = mova.model.image_tokens(routing=routing[noisy // group], **of_noisy)
            return {"image_tokens": clean.index_copy(0, noisy.to(clean.device), tokens)}

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        rewards: Tensor = super()._calculate_rewards(*args, **kwargs)
        self.rewards = rewards @ self.reward_weights.to(rewards.device)  # of all processes
        return rewards

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        self.given = {name: inputs[name] for name in self.given}  # of this part of the batch
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(
        self, model: nn.Module, *args: Any, **kwargs: Any
    ) -> Any:
        with giving(model, self.given), scoring_labels_only(self.accelerator.unwrap_model(model)):
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)

    def _note(self, name: str, values: Tensor) -> None:
        """For the log: their mean."""
        self._metrics["train"][name].append(float(values.float().mean()))


class RoutingTrainer(AnswerTrainer):
    """The router learns which experts are worth their price; answers stay what they were."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """A routing that is better than its group counts as once, however often it was sampled.

        Else one that is sampled often and good enough outgrows a better one that is rare.
        """
        output = super()._generate_and_score_completions(inputs)
        found = output["advantages"]
        output["advantages"] = torch.where(found > 0, found / self.times.to(found), found)
        return output

    def _checked(self, sample: Sample) -> Sample:
        if sample.image is None:
            raise BadSample("no picture to route", id=sample.id, source=sample.source)
        return super()._checked(sample)

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        """The prompts of the routing pass."""
        _, images, fields = super()._tokenize_prompts(prompts)
        rows = zip(fields["routing_input_ids"], fields["routing_attention_mask"], strict=True)
        ids = [[i for i, seen in zip(*row, strict=True) if seen] for row in rows]
        return ids, images, fields

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        with letters_only(self.mova):
            return super()._generate_single_turn(*args, **kwargs)

    def _get_per_token_logps_and_entropies(
        self, model: nn.Module, input_ids: Tensor, attention_mask: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        """As AnswerTrainer, and a routing that was sampled several times is scored once."""
        all_given = self.given
        parts = (input_ids, attention_mask, all_given["image_tokens"].flatten(start_dim=1))
        _, places = torch.cat(parts, dim=1).unique(dim=0, return_inverse=True)
        first = (places == places.unique()[:, None]).int().argmax(dim=1)
        self.given = {name: tensor[first] for name, tensor in all_given.items()}
        for name in (*PICTURES, "num_images"):  # the image tokens are given
            kwargs.pop(name, None)
        try:
            with letters_only(self.accelerator.unwrap_model(model)):
                found = super()._get_per_token_logps_and_entropies(
                    model, input_ids[first], attention_mask[first], *args, **kwargs
                )
        finally:
            self.given = all_given
        return tuple(None if one is None or not one.ndim else one[places] for one in found)

    def _sampled_from(
        self, prompt_ids: list[list[int]], fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        mova, group = self.mova, self.settings.generations
        pixels, sizes = (fields[name][::group].to(mova.device) for name in PICTURES)
        nobody = torch.zeros(len(pixels), len(mova.model.experts), dtype=torch.bool)
        with torch.no_grad(), evaluating(mova), self.accelerator.autocast():
            tokens, _ = mova.model.image_tokens(pixels, sizes, nobody)
        self.given = {
            "image_tokens": tokens.repeat_interleave(group, dim=0),
            "pooled": torch.ones(len(prompt_ids), dtype=torch.bool),
        }
        return self.given

    def _calculate_rewards(
        self,
        inputs: list[dict[str, Any]],
        prompts: list[Any],
        completions: list[Any],
        completion_ids_list: list[list[int]],
    ) -> Tensor:
        letters = expert_letters(len(self.mova.model.experts))
        chosen = torch.zeros(len(prompts), len(letters), dtype=torch.bool)
        for row, completion in enumerate(completions):
            chosen[row, list(parse_routing(completion[0]["content"], letters))] = True
        self._note("experts_a_question/all", chosen.sum(dim=1))
        for name, column in zip(self.mova.config.expert_names, chosen.T, strict=True):
            self._note(f"experts_a_question/{name}", column)
        for example, experts in zip(inputs, chosen.sum(dim=1).tolist(), strict=True):
            example["experts"] = experts
        groups = chosen.view(-1, self.settings.generations, len(letters))
        equal = (groups[:, :, None] == groups[:, None]).all(dim=-1)
        self.times = equal.sum(dim=-1).flatten()
        answers = [[{"role": "assistant", "content": t}] for t in self._answers(prompts, chosen)]
        return super()._calculate_rewards(inputs, prompts, answers, completion_ids_list)

    def _answers(self, prompts: list[Any], chosen: Tensor) -> list[str]:
        """What is answered under each routing [B, E]; of equal ones in a group, once."""
        keys = [(r // self.settings.generations, *c) for r, c in enumerate(chosen.tolist())]
        row_of = {key: row for row, key in reversed(list(enumerate(keys)))}
        rows = list(row_of.values())
        mova = self.mova
        inputs = self.processing_class.apply_chat_template(
            [prompts[row] for row in rows],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(mova.device)
        with evaluating(mova):
            ids = mova.generate(
                **inputs,
                routing=chosen[rows],
                do_sample=False,
                max_new_tokens=self.settings.tokens,
            )
        new = ids[:, inputs["input_ids"].shape[1] :]
        texts = self.processing_class.batch_decode(new, skip_special_tokens=True)
        said = dict(zip(row_of, texts, strict=True))
        return [said[key] for key in keys]


@contextmanager
def giving(model: nn.Module, inputs: Mapping[str, Tensor]) -> Iterator[None]:
    """Each forward pass of a model gets the next rows of these inputs besides its own."""
    rows = {name: iter(tensor) for name, tensor in inputs.items()}

    def give(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        ids = kwargs["input_ids"]
        more = {name: torch.stack(list(islice(row, len(ids)))) for name, row in rows.items()}
        return args, {**kwargs, **{name: tensor.to(ids.device) for name, tensor in more.items()}}

    hook = model.register_forward_pre_hook(give, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def letters_only(model: MovaForConditionalGeneration) -> Iterator[None]:
    """Tokens that no routing answer has are not said, and have no part in a probability.

    Without this a temperature that tries other experts would say anything instead.
    """
    tokenizer, head = model.tokenizer, model.lm_head
    letters = tuple(expert_letters(len(model.model.experts)))
    end = model.generation_config.eos_token_id
    bias = torch.full((len(head.weight),), NEVER)
    bias[list(answer_tokens(tokenizer, len(tokenizer), letters))] = 0
    bias[[] if end is None else end] = 0
    head.register_parameter("bias", nn.Parameter(bias.to(head.weight), requires_grad=False))
    try:
        yield
    finally:
        head.register_parameter("bias", None)


@contextmanager
def scoring_labels_only(model: MovaForConditionalGeneration) -> Iterator[None]:
    """Logits are computed from the first label of the batch on.

    Where there is no Triton, TRL computes them of the whole prompt and drops these: on a processor
    more than half of a step.
    """
    first = 0

    def drop_labels(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        nonlocal first
        labels = kwargs.pop("labels")[:, 1:]
        first = int((labels != IGNORED).any(dim=0).int().argmax())
        return args, {**kwargs, "shift_labels": labels[:, first:]}

    def drop_states(module: nn.Module, args: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[:, first:-1]
        return output

    hooks = [
        model.register_forward_pre_hook(drop_labels, with_kwargs=True),
        model.model.register_forward_hook(drop_states),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


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
