"""The stage grpo on TRL's GRPOTrainer: answers are sampled in groups, and the better ones learned.

TRL samples, trains, saves and resumes; what is ours comes in between. `AnswerTrainer` asks the
router and encodes the clean picture once a group, and gives these image tokens to every pass; it
can sample on noisy pictures (`noise.py`). `RoutingTrainer` samples the router's answer in place of
the answer, which is then written greedily under that routing: its reward is the router's.

Shapes: B answers of a batch (Q questions x G of a group), E experts of the pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from accelerate.utils import gather
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from trl import GRPOTrainer

from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.sample import Sample
from openmova.inference.feature_cache import FeatureMemory, ImageFeatures
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.pretrained import CACHE
from openmova.model.processing_mova import IGNORED
from openmova.model.two_pass import VISUAL_INPUTS, evaluating
from openmova.routing import expert_letters, parse_routing
from openmova.routing.decoding import answer_tokens
from openmova.routing.selection import ExpertSelection
from openmova.train.noise import add_noise, fused_advantages
from openmova.train.preparation import RunSetup
from openmova.train.shared_prompts import SharedPrompts
from openmova.train.training_recipe import GrpoSettings

PICTURES = ("pixel_values", "image_sizes")
QUESTION = ("question_input_ids", "question_attention_mask")
"""Of VISUAL_INPUTS: what image tokens are made of, beside the routing."""
NEVER = -1e4
"""The bias of a token that is not to be said: finite, as the gradient is."""


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
        group = self.settings.generations if self.settings.noise is None else 1
        with reading_once(self.mova, group):
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

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        first = self.accelerator.process_index * len(inputs)
        rewards = self.rewards[first : first + len(inputs)]
        output["advantages"] = routing_advantages(rewards, self.chosen, self.settings.generations)
        return output

    def _get_per_token_logps_and_entropies(
        self,
        model: nn.Module,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """As AnswerTrainer; a prompt is read once, for all of its routings."""
        all_given = self.given
        prompts = (input_ids[:, :-logits_to_keep], all_given["image_tokens"].flatten(start_dim=1))
        _, group = torch.cat(prompts, dim=1).unique(dim=0, return_inverse=True)
        shared = SharedPrompts(input_ids, attention_mask, logits_to_keep, group)
        self.given = {name: tensor[shared.first] for name, tensor in all_given.items()}
        self.given |= shared.decoder_inputs(self.mova.dtype)
        for name in (*PICTURES, "num_images"):  # the image tokens are given
            kwargs.pop(name, None)
        try:
            with letters_only(self.accelerator.unwrap_model(model)):
                found = super()._get_per_token_logps_and_entropies(
                    model, shared.ids, shared.seen, shared.behind, *args, **kwargs
                )
        finally:
            self.given = all_given
        return tuple(shared.of_rows(one) if one is not None else None for one in found)

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
        self.chosen = chosen
        answers = [[{"role": "assistant", "content": t}] for t in self._answers(prompts, chosen)]
        return super()._calculate_rewards(inputs, prompts, answers, completion_ids_list)

    def _answers(self, prompts: list[Any], chosen: Tensor) -> list[str]:
        """What is answered under each routing [B, E]; of equal ones in a group, once."""
        keys = [(r // self.settings.generations, *c) for r, c in enumerate(chosen.tolist())]
        row_of = {key: row for row, key in reversed(list(enumerate(keys)))}
        mova = self.mova
        inputs = self.processing_class.apply_chat_template(
            [prompts[row] for row in row_of.values()],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(mova.device)
        pictures = {group: ImageFeatures() for group, *_ in row_of}
        memory = FeatureMemory(mova, [pictures[group] for group, *_ in row_of])
        selections = [ExpertSelection(fixed=tuple(routing)) for _, *routing in row_of]
        with torch.no_grad(), evaluating(mova):
            ids, mask = inputs["input_ids"], inputs["attention_mask"]
            visual = mova.complete({n: inputs.get(n) for n in VISUAL_INPUTS}, chosen, ids, mask)
            context = mova.encode_images(visual, selections=selections, memory=memory)
            ids = mova.generate(
                ids,
                attention_mask=mask,
                image_tokens=context.tokens,
                do_sample=False,
                max_new_tokens=self.settings.tokens,
            )
        new = ids[:, inputs["input_ids"].shape[1] :]
        texts = self.processing_class.batch_decode(new, skip_special_tokens=True)
        said = dict(zip(row_of, texts, strict=True))
        return [said[key] for key in keys]


def routing_advantages(rewards: Tensor, chosen: Tensor, generations: int) -> Tensor:
    """Advantages [B] of routings bool [B, E] by their rewards [B], in groups of `generations`:
    what is better than the mean of a group's different routings, each of which has the same
    weight however often it was sampled."""
    found = []
    for reward, routings in zip(
        rewards.split(generations), chosen.to(rewards.device).split(generations), strict=True
    ):
        _, place, count = routings.unique(dim=0, return_inverse=True, return_counts=True)
        weight = generations / len(count) / count[place]  # their mean is 1
        found.append(weight * (reward - (weight * reward).mean()))
    return torch.cat(found)


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
def reading_once(model: MovaForConditionalGeneration, group: int) -> Iterator[None]:
    """Of each group of equal prompts in `generate` one is read, for all of them."""

    def is_prompt(kwargs: Mapping[str, Any]) -> bool:
        return bool(kwargs["input_ids"].shape[1] > 1)

    def take_first(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        if not is_prompt(kwargs):
            return None
        rows = {
            name: value[::group]
            for name, value in kwargs.items()
            if isinstance(value, Tensor) and (value.ndim > 1 or name == "pooled")
        }
        return args, kwargs | rows

    def repeat(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        if is_prompt(kwargs):
            output.logits = output.logits.repeat_interleave(group, dim=0)
            output[CACHE].batch_repeat_interleave(group)
        return output

    hooks = [
        model.register_forward_pre_hook(take_first, with_kwargs=True),
        model.register_forward_hook(repeat, with_kwargs=True),
    ]
    try:
        yield
    finally:
        for hook in hooks:
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
