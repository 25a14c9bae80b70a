"""Everything that a recipe names, opened and found to fit together before a run."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, set_seed
from transformers.utils import is_flash_attn_2_available

from openmova.checkpoints.loading import load_model
from openmova.checkpoints.locate import checkpoint_folder
from openmova.checkpoints.sizes import is_recipe
from openmova.checkpoints.tiny import tiny_mova
from openmova.data.bad_samples import BadSamples
from openmova.data.formats import read_samples
from openmova.data.mixture import Mixture, WeightedSource
from openmova.data.sources import Samples
from openmova.data.synthetic import SyntheticSamples
from openmova.errors import UserError
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.packing import SAMPLE_ATTENTION, looks_beyond_samples
from openmova.model.processing_mova import MovaProcessor
from openmova.train.collator import Collator
from openmova.train.evaluation import Evaluation
from openmova.train.language_lora import Lora, give_router_lora
from openmova.train.sharding import Sharding
from openmova.train.stages import TrainableParts, set_stage
from openmova.train.trackers import check_trackers
from openmova.train.training_recipe import DataSource, TrainingRecipe

TINY = "tiny"
SYNTHETIC = "synthetic"


@dataclass(frozen=True, kw_only=True)
class RunSetup:
    """Everything that a recipe names, opened and found to fit together."""

    recipe: TrainingRecipe
    model: MovaForConditionalGeneration
    processor: MovaProcessor
    collator: Collator
    mixture: Mixture
    held_out: Mixture | None
    trainable: TrainableParts
    lora: Lora | None
    sharding: Sharding | None
    dtype: torch.dtype
    """Of the weights as they were loaded, and will be stored."""
    steps: int
    samples_a_step: int

    def evaluation(self, bad: Path) -> Evaluation | None:
        """On the held-out samples, if there are any; bad ones are listed in the file `bad`."""
        recipe = self.recipe
        if self.held_out is None or recipe.evaluation is None:
            return None
        return Evaluation(
            self.held_out,
            self.collator,
            samples=recipe.evaluation.samples,
            batch=recipe.batch,
            bad=BadSamples(bad, share=recipe.bad_share),
        )


def prepare(recipe: TrainingRecipe) -> RunSetup:
    """Open model and data; the first samples are encoded, so that what does not fit shows now.

    Raises UserError.
    """
    mixture = Mixture(open_all(recipe.data, recipe.seed), seed=recipe.seed)
    held_out = None
    if recipe.evaluation is not None:
        seed = recipe.seed + 1  # generated samples are others than those of training
        held_out = Mixture(open_all(recipe.evaluation.data, seed), seed=seed)
    check_trackers(recipe.report)
    set_seed(recipe.seed)
    model, processor = load_start(recipe)
    collator = collator_of(recipe, processor, model.config)
    dtype = model.dtype
    compute = torch.bfloat16 if recipe.precision == "bfloat16" else None
    if recipe.pack:
        _prepare_packing(model, compute)
    lora = give_lora(model, recipe)
    # Before anything learns in float32: no process then holds more than its share of that.
    sharding = Sharding(model, compute) if recipe.sharding == "fsdp" and processes() > 1 else None
    trainable = stage_of(model, recipe)
    a_step = recipe.batch * recipe.accumulation * processes()
    answers = 1 if recipe.grpo is None else recipe.grpo.generations
    steps = recipe.steps or math.ceil(recipe.epochs * answers * len(mixture) / a_step)
    return RunSetup(
        recipe=recipe,
        model=model,
        processor=processor,
        collator=collator,
        mixture=mixture,
        held_out=held_out,
        trainable=trainable,
        lora=lora,
        sharding=sharding,
        dtype=dtype,
        steps=steps,
        samples_a_step=a_step,
    )


def _prepare_packing(model: MovaForConditionalGeneration, compute: torch.dtype | None) -> None:
    """Raises UserError for a language model that can't be trained on packed rows."""
    decoder = model.model.language_model
    if looks_beyond_samples(decoder):
        raise UserError(
            f"a sample in a packed row would see others in {type(decoder).__name__}, which makes "
            "its attention mask without positions: remove pack from the recipe"
        )
    if compute is not None and is_flash_attn_2_available():  # both compute nothing between samples
        decoder.set_attn_implementation("flash_attention_2")
    elif decoder.config._attn_implementation == "sdpa":
        decoder.set_attn_implementation(SAMPLE_ATTENTION)


def collator_of(recipe: TrainingRecipe, processor: MovaProcessor, config: MovaConfig) -> Collator:
    """What makes rows of samples. Raises UserError as `Collator` does."""
    return Collator(
        processor,
        config.expert_names,
        chosen=recipe.experts,
        unannotated=recipe.unannotated,
        max_tokens=recipe.max_tokens,
        dependency=recipe.dependency,
    )


def give_lora(model: MovaForConditionalGeneration, recipe: TrainingRecipe) -> Lora | None:
    """Put the matrices of a stage into a model; returned are those that are to be merged."""
    if recipe.stage == "router-lora" or recipe.learns_routing:
        give_router_lora(model, recipe.lora)
    return Lora(model, recipe.lora) if recipe.stage == "lora" else None


def stage_of(model: MovaForConditionalGeneration, recipe: TrainingRecipe) -> TrainableParts:
    """Let the recipe's parts learn."""
    return set_stage(
        model,
        "router-lora" if recipe.learns_routing else recipe.stage,
        learning_rate=recipe.learning_rate,
        learning_rates=recipe.learning_rates,
        weight_decay=recipe.weight_decay,
    )


def processes() -> int:
    """Of this run, as torchrun says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def open_all(sources: Sequence[DataSource], seed: int) -> list[WeightedSource]:
    """Every source. Raises UserError, which names each one that can't be opened."""
    opened = open_sources(sources, seed)
    check_sources([str(fault) for fault in opened if isinstance(fault, UserError)], len(opened))
    return [source for source in opened if isinstance(source, WeightedSource)]


def open_sources(sources: Sequence[DataSource], seed: int) -> list[WeightedSource | UserError]:
    """Every source; in the place of one that can't be opened, why."""
    opened: list[WeightedSource | UserError] = []
    for source in sources:
        try:
            opened.append(WeightedSource(samples=_samples(source, seed), weight=source.weight))
        except UserError as error:
            opened.append(error)
    return opened


def check_sources(faults: Sequence[str], count: int) -> None:
    """Raises UserError, with all of them, if there are faults in `count` sources."""
    if len(faults) == 1:
        raise UserError(faults[0])
    if faults:
        raise UserError(
            f"{len(faults)} of {count} sources of the data can't be used: {'; '.join(faults)}"
        )


def _samples(source: DataSource, seed: int) -> Samples:
    if source.path != SYNTHETIC:
        if source.samples is not None:
            raise UserError(f"samples is for synthetic data: remove it from {source.path}")
        return read_samples(source.path, format=source.format, images=source.images)
    if source.samples is None:
        raise UserError("synthetic data has no end: give its number as samples, such as 64")
    return SyntheticSamples(source.samples, seed=seed)


def load_start(recipe: TrainingRecipe) -> tuple[MovaForConditionalGeneration, MovaProcessor]:
    if recipe.model == TINY:
        if recipe.lora.quantize is not None:
            raise UserError(
                "lora.quantize needs the folder of a checkpoint as model: train tiny without first"
            )
        return tiny_mova(recipe.seed)
    if is_recipe(recipe.model):
        raise UserError(
            f"{recipe.model} is a recipe: openmova assemble {recipe.model} DIR, and give model=DIR"
        )
    folder = checkpoint_folder(recipe.model)
    if MovaConfig.from_pretrained(folder).runtime == "onnx":
        raise UserError(
            f"{recipe.model} is an exported model, which learns nothing: give the checkpoint that "
            "it was exported from"
        )
    # What stays frozen is kept as it is stored, unless all is to be computed in float32.
    dtype = torch.float32 if recipe.precision == "float32" else None
    model: Any
    if recipe.lora.quantize is None:
        model = MovaForConditionalGeneration.from_pretrained(folder, dtype=dtype or "auto")
    else:
        # Quantised weights don't move: the model has to be on this process' device from the start.
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else None
        model = load_model(folder, device=device, dtype=dtype, quantization=recipe.lora.quantize)
    return model, AutoProcessor.from_pretrained(folder)
