"""A training recipe: everything that decides what a run computes. A YAML file under recipes/.

Nothing but the text is looked at here. The recipe as it was resolved is written into the run
folder, and a run goes on only with the same one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from openmova.errors import UserError
from openmova.runtime.yaml_config import (
    Amount,
    Count,
    Must,
    Positive,
    Share,
    Whole,
    build,
    check_choice,
    read_yaml,
)
from openmova.train.language_lora import LoraSettings
from openmova.train.stages import STAGES


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """One file, folder or dataset of the mixture."""

    path: str
    """What `openmova data check` takes; or "synthetic", generated images."""
    weight: float = 1.0
    """How often an epoch goes through it."""
    images: str | None = None
    """The folder that pictures' paths start in; the data's own."""
    format: str | None = None
    """Of the data; found out."""
    samples: int | None = None
    """Of synthetic data: how many to generate."""


Sources = Annotated[tuple[DataSource, ...], Must("name at least one source", bool)]


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Of the evaluation while a model learns."""

    data: Sources
    """Samples that training never sees."""
    steps: Count = 500
    """Between two evaluations; the last comes at the end."""
    samples: Count = 200


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """The choices of one run. Raises UserError for those that don't go together."""

    stage: Literal["pretrain", "finetune", "probe", "lora", "router-lora", "expert"]
    """Which parts train: a name of STAGES."""
    model: str
    """The start: "nano", the folder of a checkpoint, a repository; "tiny", random weights."""
    data: Sources
    experts: Literal["annotated", "all", "none"] | tuple[str, ...] = "annotated"
    """Which experts see a sample: those of its annotation, "all", "none", or these names."""
    unannotated: Literal["all", "none"] = "none"
    """Which experts see a sample without an `experts` list, where the annotation decides. A run
    warns of such samples."""
    random_experts: Share = 0.0
    """Share of the samples that a random subset of the pool sees in place of these: for one model
    that annotates in place of all probes."""

    learning_rate: Positive
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    """Of single parts, in place of learning_rate; 0 leaves a part as it is. That of `gate` is a
    tenth of the adapter's, unless it is given."""
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup: Annotated[float, Must("be below 1, a share of the steps", lambda x: 0 <= x < 1)] = 0.03
    """Share of the steps in which the learning rate rises."""
    weight_decay: Amount = 0.0
    clip: Positive = 1.0
    """Largest norm of the gradient."""

    lora: LoraSettings = field(default_factory=LoraSettings)

    epochs: Positive = 1.0
    steps: Count | None = None
    """In place of epochs."""
    batch: Count = 8
    """Samples a device takes at once; a step has batch x accumulation x devices."""
    accumulation: Count = 1
    max_tokens: Count = 2048
    """Of a sample, image tokens included; what is beyond is cut."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the computation; the weights that train are float32."""
    gradient_checkpointing: bool = False
    sharding: Literal["none", "fsdp"] = "none"
    """Over several processes: "fsdp", each keeps its share of weights, gradients and optimizer."""
    deepspeed: str | None = None
    """A file with a configuration of DeepSpeed, which then shards instead (its stages 0 to 2)."""
    seed: Whole = 0
    workers: Whole = 0
    """Processes a device that prepare samples."""

    bad_share: Share = 0.01
    """Of samples that can't be used; more of them stop the run."""
    save_steps: Count = 500
    keep: Count = 2
    """Checkpoints."""
    log_steps: Count = 10
    report: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where else the log goes."""
    evaluation: EvaluationSettings | None = None

    def __post_init__(self) -> None:
        for part in self.learning_rates:
            check_choice(
                f"part of learning_rates in the stage {self.stage}", part, STAGES[self.stage]
            )
        if self.deepspeed is not None and self.sharding != "none":
            raise UserError("the recipe has both sharding and deepspeed: remove one of them")
        if self.stage == "expert" and (self.sharding != "none" or self.deepspeed is not None):
            raise UserError(
                "the stage expert trains one column of a gate, which can't be split: remove "
                "sharding and deepspeed"
            )
        if self.lora.quantize is not None and self.stage != "lora":
            raise UserError(
                "the recipe's lora.quantize is for the stage lora: quantised weights can't "
                f"learn in the stage {self.stage}"
            )
        if self.lora.quantize is not None and self.sharding != "none":
            raise UserError(
                "the recipe has both sharding and lora.quantize, but quantised weights can't "
                "be split: remove one of them"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain types, as they stand in a YAML file."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> TrainingRecipe:
    """Read a YAML file; overrides as in `read_yaml`.

    Raises UserError: the file can't be read, or a key or value is not one of a recipe.
    """
    return recipe_from_dict(read_yaml(path, overrides))


def recipe_from_dict(content: Mapping[str, Any]) -> TrainingRecipe:
    """The recipe of plain types. Raises UserError as `load_recipe` does."""
    return build(TrainingRecipe, content)
