"""A training recipe: everything that decides what a run computes. A YAML file under recipes/.

Nothing but the text is looked at here. The recipe as it was resolved is written into the run
folder, and a run goes on only with the same one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
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
from openmova.train.noise import NoiseSettings
from openmova.train.rewards import EXPERT, VISUAL
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
class GrpoSettings:
    """Of the stage grpo: learning by reward, from answers that the model samples itself."""

    reward: Annotated[Mapping[str, float], Must("name at least one reward", bool)]
    """What an answer is worth: names of REWARDS, or "package.module:function", with a weight each.
    With `expert`, the price of an expert, the router learns in place of the answers."""
    generations: Annotated[int, Must("be 2 or more", lambda value: value >= 2)] = 4
    """Answers to a question: the group that they are compared in."""
    tokens: Count = 256
    """Of an answer."""
    temperature: Positive = 1.0
    """Of the sampling."""
    beta: Amount = 0.04
    """Weight of the KL divergence from the start; 0 needs no second model in memory."""
    epsilon: Positive = 0.2
    """How far a probability may move before its gradient is clipped."""
    tolerance: Amount = 0.05
    """Of the reward `number`: the share of the right number that an answer may be off."""
    noise: NoiseSettings | None = None
    """NoisyGRPO: noise on the pictures that answers are sampled on."""


GRPO_HAS_NO = (
    *("experts", "unannotated", "random_experts", "dependency", "learning_rates"),
    *("max_tokens", "pack", "sharding", "deepspeed", "workers"),
)
"""Keys of a recipe that mean nothing in the stage grpo."""


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """The choices of one run. Raises UserError for those that don't go together."""

    stage: Literal[
        "pretrain", "finetune", "probe", "lora", "router-lora", "grpo", "expert", "teach"
    ]
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

    dependency: Annotated[float, Must("be from 0 to below 1", lambda x: 0 <= x < 1)] = 0.0
    """How much of a sample's weight in the loss is its `dependency` on the picture, 0 where that is
    unknown; the rest is the same for all."""

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
    grpo: GrpoSettings | None = None

    epochs: Positive = 1.0
    steps: Count | None = None
    """In place of epochs."""
    batch: Count = 8
    """Samples (in the stage grpo: answers) a device takes at once; a step has batch x accumulation
    x devices."""
    accumulation: Count = 1
    max_tokens: Count = 2048
    """Of a sample, image tokens included; what is beyond is cut."""
    pack: Whole = 0
    """Tokens of a row at most, in which the decoder has several samples of a batch side by side; 0:
    a padded row for each. Nothing that is learned changes."""
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
        if 0 < self.pack < self.max_tokens:
            raise UserError(
                f"pack is {self.pack} tokens a row, but a sample may have max_tokens, "
                f"{self.max_tokens}: let pack be twice that or more"
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

        if (self.stage == "grpo") != (self.grpo is not None):
            raise UserError(
                "the stage grpo needs what its answers are worth, and no other stage has that: "
                "grpo: {reward: {exact: 1}}"
            )
        if self.grpo is not None:
            self._check_grpo(self.grpo)

    @property
    def learns_routing(self) -> bool:
        """Whether the router learns by reward."""
        return self.grpo is not None and EXPERT in self.grpo.reward

    def _check_grpo(self, grpo: GrpoSettings) -> None:
        unfit = (*GRPO_HAS_NO, *(() if self.learns_routing else ("lora",)))
        given = [f.name for f in fields(self) if f.name in unfit and not self._is_default(f)]
        if given:
            raise UserError(f"the stage grpo has no {', '.join(given)}: remove it from the recipe")
        if self.batch * self.accumulation % grpo.generations:
            raise UserError(
                f"batch x accumulation is {self.batch * self.accumulation} answers, and "
                f"grpo.generations ({grpo.generations}) does not divide it: change one of them"
            )
        rewards = set(grpo.reward) - {EXPERT}
        if self.learns_routing and (not rewards or VISUAL in rewards or grpo.noise is not None):
            raise UserError(
                "grpo.reward.expert is the price of the experts of a right answer: name a reward "
                "beside it, without visual and grpo.noise"
            )
        if grpo.noise is not None and grpo.generations % len(grpo.noise.levels):
            raise UserError(
                f"grpo.generations is {grpo.generations}, but grpo.noise has "
                f"{len(grpo.noise.levels)} levels: let it be a multiple of them"
            )

    def _is_default(self, of: Field[Any]) -> bool:
        default = of.default if of.default_factory is MISSING else of.default_factory()
        return bool(getattr(self, of.name) == default)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, as they stand in a YAML file."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> TrainingRecipe:
    """Read a YAML file, whose data may be one path; overrides as in `read_yaml`.

    Raises UserError: the file can't be read, or a key or value is not one of a recipe.
    """
    content = read_yaml(path, overrides)
    if isinstance(data := content.get("data"), str):
        content["data"] = [{"path": data}]
    return build(TrainingRecipe, content)
