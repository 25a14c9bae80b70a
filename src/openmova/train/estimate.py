"""What a run would need and cost, before any weight is loaded: `openmova train RECIPE --dry-run`.

Operations and memory are counted by running the model's own code without numbers (dry_step.py); the
time follows from the operations and a share of a device's peak that is assumed. So they are
estimates, and say what they rest on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoProcessor

from openmova.checkpoints.memory import quantized_bytes, unloaded_model, weight_bytes
from openmova.checkpoints.sizes import find_config
from openmova.checkpoints.tiny import tiny_mova
from openmova.data.bad_samples import BadSample
from openmova.data.contact_sheet import evenly
from openmova.data.mixture import Mixture, WeightedSource
from openmova.errors import UserError
from openmova.experts.base import Expert
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import IGNORED, MovaProcessor
from openmova.train.collator import Collator, Row
from openmova.train.devices import Device
from openmova.train.dry_step import DryStep, PartOperations
from openmova.train.preparation import TINY, collator_of, give_lora, open_sources, stage_of
from openmova.train.sharding import units
from openmova.train.training_recipe import TrainingRecipe

LEARNING_BYTES = 4
"""What learns is float32, and so are its gradient and each of AdamW's two averages."""
LOOKED_AT = 16
"""Samples of each source, evenly spaced; of a stream the first."""


@dataclass(frozen=True, kw_only=True)
class SourceSummary:
    """What was found of one source."""

    source: str
    samples: int | None = None
    """None: it can't be opened."""
    fault: str | None = None
    """Why it can't be used."""
    looked_at: int = 0
    bad: int = 0
    tokens: float | None = None
    """Of a sample, on average, image tokens included."""
    answered: float | None = None
    """Tokens that are learned."""
    experts: dict[str, float] | None = None
    """Share of the samples that each expert sees."""


@dataclass(frozen=True, kw_only=True)
class AverageSample:
    """A sample as it is on average over the mixture."""

    tokens: int
    answered: int
    experts: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of one run. Bytes are of one device; operations are floating-point operations."""

    stage: str
    parameters: int
    """The experts' too."""
    parameters_that_learn: int
    sources: list[SourceSummary]
    samples: int | None
    """Of the run; None: the data is not there and nobody says."""
    samples_a_step: int
    steps: int | None
    average: AverageSample
    measured: bool
    """Whether the average is of the data, or assumed."""
    parts: list[PartOperations]
    shares: dict[str, float]
    """Of the samples, that an expert sees."""
    bytes: dict[str, int]

    @property
    def total_bytes(self) -> int:
        return sum(self.bytes.values())

    def operations_a_sample(self) -> float:
        """On average; what checkpointing computes again is not in it."""
        return sum(part.total * self.shares.get(part.name, 1.0) for part in self.parts)

    def samples_a_second(self, device: Device, *, devices: int, utilisation: float) -> float:
        """Of all devices, which do so large a share of their peak for the operations counted."""
        return devices * device.operations * utilisation / self.operations_a_sample()

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        totals = {"total_bytes": self.total_bytes}
        return {**asdict(self), **totals, "operations_a_sample": self.operations_a_sample()}


def estimate(
    recipe: TrainingRecipe, *, devices: int = 1, samples: int | None = None, text_tokens: int = 256
) -> Estimate:
    """Look at the recipe's data, and count what its model would take.

    samples: of the run, where the data is not there. text_tokens: of a sample, where the data or
    the model's tokenizer is not there; half are answers. No weight is read. Sources that can't be
    used are among `sources`, with their faults. Raises UserError for a model that can't be found,
    and for what does not fit together.
    """
    if recipe.grpo is not None:
        raise UserError(
            "a dry run counts steps on given answers, and the stage grpo samples its own: "
            "start it with a few steps instead (steps=2)"
        )
    model, experts, processor = _start(recipe)
    config = model.config
    collator = None if processor is None else collator_of(recipe, processor, config)
    sources, epoch, found = _summaries(recipe, collator)
    average = found or _assumed_sample(recipe, config, text_tokens)
    random = recipe.random_experts  # share of the samples of which an expert sees half
    shares = {name: (1 - random) * seen + random / 2 for name, seen in average.experts.items()}
    modules: list[nn.Module] = [model, *experts]
    parameters = sum(_numbers(module.parameters()) for module in modules)
    way = recipe.lora.quantize
    packed = {} if way is None else quantized_bytes(model, way)
    give_lora(model, recipe)
    trainable = stage_of(model, recipe)
    learning = _numbers(p for p in model.parameters() if p.requires_grad)
    used = [expert for expert in experts if shares[expert.name] > 0]
    held = _device_bytes(recipe, model, used, devices, packed)
    bfloat16 = recipe.precision == "bfloat16"
    if bfloat16 and _is_sharded(recipe, devices):
        model.to(torch.bfloat16)  # as it is put together
    step = DryStep(model, experts, bfloat16=bfloat16)
    parts = step.operations(tokens=average.tokens, answered=average.answered)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    trainable.eval_frozen()
    held["activations"] = step.activations(
        batch=recipe.batch,
        tokens=recipe.max_tokens,
        answered=max(round(recipe.max_tokens * average.answered / average.tokens), 1),
        chosen=_heaviest_experts(recipe, config, shares),
    )
    a_step = recipe.batch * recipe.accumulation * devices
    whole = samples if epoch is None else recipe.epochs * epoch
    steps = recipe.steps or (None if whole is None else math.ceil(whole / a_step))
    return Estimate(
        stage=recipe.stage,
        parameters=parameters,
        parameters_that_learn=learning,
        sources=sources,
        samples=None if steps is None else steps * a_step,
        samples_a_step=a_step,
        steps=steps,
        average=average,
        measured=found is not None,
        parts=parts,
        shares=shares,
        bytes=held,
    )


def _start(
    recipe: TrainingRecipe,
) -> tuple[MovaForConditionalGeneration, list[Expert], MovaProcessor | None]:
    """The model without memory for its weights, its experts, and its processor if it is there."""
    folder: Path | None = None
    processor: MovaProcessor | None = None
    if recipe.model == TINY:
        made, processor = tiny_mova(recipe.seed)
        config = made.config
    else:
        config, folder = find_config(recipe.model)
        if folder is not None and (folder / "processor_config.json").is_file():
            processor = AutoProcessor.from_pretrained(folder)
    model, experts = unloaded_model(config, folder)
    stored = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
    dtype = torch.float32 if recipe.precision == "float32" else stored
    return model.to(dtype), [expert.to(dtype) for expert in experts], processor


def _summaries(
    recipe: TrainingRecipe, collator: Collator | None
) -> tuple[list[SourceSummary], int | None, AverageSample | None]:
    """Every source of a recipe, those of its evaluation last, how many samples an epoch has, and
    what they are on average.

    The number is None where a source can't be used, the average also without a collator, which
    needs the model's tokenizer. Raises UserError for an annotation with an unknown expert.
    """
    held_out = () if recipe.evaluation is None else recipe.evaluation.data
    sources = (*recipe.data, *held_out)
    opened = open_sources(sources, recipe.seed)
    found = [
        SourceSummary(source=source.path, fault=str(samples))
        if isinstance(samples, UserError)
        else _summary(source.path, samples, collator)
        for source, samples in zip(sources, opened, strict=True)
    ]
    if any(summary.fault for summary in found):
        return found, None, None
    trained = [samples for samples in opened if isinstance(samples, WeightedSource)]
    mixture = Mixture(trained[: len(recipe.data)], seed=recipe.seed)
    if collator is None:
        return found, len(mixture), None
    shares = [(s, n / len(mixture)) for s, n in zip(found, mixture.counts, strict=False)]
    average = AverageSample(
        tokens=max(round(sum((s.tokens or 0.0) * share for s, share in shares)), 1),
        answered=max(round(sum((s.answered or 0.0) * share for s, share in shares)), 1),
        experts={
            name: sum((s.experts or {}).get(name, 0.0) * share for s, share in shares)
            for name in collator.experts
        },
    )
    return found, len(mixture), average


def _summary(path: str, source: WeightedSource, collator: Collator | None) -> SourceSummary:
    samples = source.samples
    indices = evenly(len(samples), LOOKED_AT)
    if not samples.random_access:
        indices = list(range(len(indices)))
    rows: list[Row] = []
    faults: list[str] = []
    for index in indices:
        try:
            sample = samples[index].open()
            if collator is not None:
                rows.append(collator.row(sample))
        except BadSample as bad:
            faults.append(bad.reason)
    fault = None
    if len(faults) == len(indices):
        why = f"such as: {faults[0]}" if faults else "for it is empty"
        fault = f"{samples.name} has no sample that can be used, {why}"
    summary = SourceSummary(
        source=path,
        samples=len(samples),
        fault=fault,
        looked_at=len(indices),
        bad=len(faults),
    )
    if collator is None or not rows:
        return summary
    shares = np.mean([row.routing for row in rows], axis=0).tolist()
    return replace(
        summary,
        tokens=fmean(len(row.input_ids) for row in rows),
        answered=fmean(sum(label != IGNORED for label in row.labels[1:]) for row in rows),
        experts=dict(zip(collator.experts, shares, strict=True)),
    )


def _assumed_sample(recipe: TrainingRecipe, config: MovaConfig, text_tokens: int) -> AverageSample:
    """A sample with a picture and so much text, seen by as many experts as may be chosen."""
    names = config.expert_names
    fixed = _fixed_experts(recipe, names)
    share = min(config.adapter.top_k / max(len(names), 1), 1.0)
    pooled = recipe.stage == "router-lora"  # whose data are routing instructions
    picture = math.prod(config.routing.grid) if pooled else config.adapter.tokens
    return AverageSample(
        tokens=min(picture + text_tokens, recipe.max_tokens),
        answered=max(text_tokens // 2, 1),
        experts={n: share if fixed is None else float(n in fixed) for n in names},
    )


def _fixed_experts(recipe: TrainingRecipe, names: Sequence[str]) -> Sequence[str] | None:
    """The experts that see every sample; None, where the annotation decides."""
    known = {"all": tuple(names), "none": (), "annotated": None}
    return known[recipe.experts] if isinstance(recipe.experts, str) else recipe.experts


def _heaviest_experts(
    recipe: TrainingRecipe, config: MovaConfig, shares: dict[str, float]
) -> list[int]:
    """The experts that see a sample that takes the most memory: the widest that may be chosen."""
    seen = [j for j, name in enumerate(config.expert_names) if shares[name] > 0]
    if _fixed_experts(recipe, config.expert_names) is not None or recipe.random_experts:
        return seen
    seen.sort(key=lambda j: config.adapter.expert_channels[j], reverse=True)
    return sorted(seen[: config.adapter.top_k])


def _device_bytes(
    recipe: TrainingRecipe,
    model: MovaForConditionalGeneration,
    experts: Iterable[Expert],
    devices: int,
    packed: Mapping[Tensor, int],
) -> dict[str, int]:
    """Bytes of one device from the first step to the last; packed: of quantised weights."""
    frozen = [p for p in model.parameters() if not p.requires_grad]
    learning = [p for p in model.parameters() if p.requires_grad]
    gradients = LEARNING_BYTES * _numbers(learning)
    held = {
        "weights that learn": weight_bytes(learning),
        "frozen weights": weight_bytes(frozen, packed=packed),
        "gradients": gradients,
        "optimizer": 2 * gradients,
    }
    if _is_sharded(recipe, devices):
        held = {name: size // devices for name, size in held.items()}
        held["put together"] = _whole_bytes(model, 2 if recipe.precision == "bfloat16" else 4)
    elif devices > 1:
        held["gradients on their way"] = gradients  # each process' part of the sum
    if packed:
        held["put together"] = max(weight.nbytes for weight in packed)
    weights = (weight for expert in experts for weight in expert.parameters())
    return {**held, "experts": weight_bytes(weights)}


def _is_sharded(recipe: TrainingRecipe, devices: int) -> bool:
    return recipe.sharding == "fsdp" and devices > 1


def _whole_bytes(model: MovaForConditionalGeneration, item: int) -> int:
    """Bytes of what a device has whole at once where a model is sharded: what is in no unit, a unit
    and the one after it; and of the gradients that it gives away, of a unit and of the rest."""
    layers = [list(unit.parameters()) for unit in units(model)]
    in_layers = {p for layer in layers for p in layer}
    rest = [p for p in model.parameters() if p not in in_layers]
    whole = _numbers(rest) + 2 * max(_numbers(layer) for layer in layers)
    given = (
        _numbers(p for p in parameters if p.requires_grad)
        for parameters in (rest, max(layers, key=_numbers))
    )
    return item * whole + (item + LEARNING_BYTES) * sum(given)  # they are summed in float32


def _numbers(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)
