"""MovaConfig: every size and choice of a MoVA model, as it stands in a checkpoint's config.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, get_args

from transformers import AutoConfig, BertConfig, PreTrainedConfig

from openmova.errors import UserError
from openmova.images.boxes import FRAMES, Frame
from openmova.model.adapter import AdapterConfig
from openmova.model.confidence import ConfidenceConfig
from openmova.routing import RoutingConfig

DefaultRouting = Literal["router", "all", "none"]
Runtime = Literal["transformers", "onnx"]


class MovaConfig(PreTrainedConfig):
    """Configuration of `MovaModel` and `MovaForConditionalGeneration`.

    text_config: any decoder language model of transformers (a config, or a dict with "model_type").
    base: the spec of the base encoder, `{"kind": ..., "name": ..., "descriptions": [...], ...}`.
    experts: the specs of the pool, in the order of their letters A, B, ...
    adapter: sizes of the MoV-Adapter.
    gate_text_config: the BERT-like encoder that reads the question for the adapter's gate.
    routing: how the routing pass is done.
    default_routing: the experts of a call of `forward` or `generate` that gives no routing: those
        that the router names ("router", asked without gradients), "all" or "none".
    image_token_id: the token that stands for one image token in `input_ids`.
    box_frame: what coordinates in an answer are fractions of, "pad" (the picture filled up to a
        square) or "image" (its own width and height).
    confidence: how an answer's confidence comes about; None: the model was never calibrated.
    runtime: what runs the language model, "transformers", or "onnx": the graphs of an exported
        folder, which learn nothing.

    Dicts become the dataclass or config that they describe; `to_dict` gives dicts again.
    """

    model_type = "openmova"
    sub_configs = {"text_config": AutoConfig, "gate_text_config": BertConfig}
    has_no_defaults_at_init = True
    # Of the class, not of a saved config: trl asks it for the Auto class of a model type that is
    # not transformers' own.
    auto_map = {"AutoModelForImageTextToText": "modeling_mova.MovaForConditionalGeneration"}

    # Any: a dict, or nothing, until __post_init__ has made the config or dataclass of it.
    text_config: Any = None
    base: Any = None
    experts: Any = None
    adapter: Any = None
    gate_text_config: Any = None
    routing: Any = None
    default_routing: DefaultRouting = "router"
    image_token_id: int = 0
    box_frame: Frame = "pad"
    confidence: Any = None
    runtime: Runtime = "transformers"
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        needed = ("text_config", "base", "experts", "adapter", "gate_text_config")
        if missing := [name for name in needed if self.__dict__.get(name) is None]:
            raise UserError(
                f"the configuration lacks {', '.join(missing)}: give a config.json that "
                "MovaConfig.save_pretrained wrote, or set them"
            )
        if isinstance(self.text_config, Mapping):
            fields = dict(self.text_config)
            if "model_type" not in fields:
                raise UserError('text_config lacks "model_type": name the language model\'s type')
            self.text_config = AutoConfig.for_model(**fields)
        if isinstance(self.gate_text_config, Mapping):
            self.gate_text_config = BertConfig(**self.gate_text_config)
        self.adapter = _built(AdapterConfig, "adapter", self.adapter)
        self.routing = _built(RoutingConfig, "routing", self.routing or {})
        if self.confidence is not None:
            self.confidence = _built(ConfidenceConfig, "confidence", self.confidence)
        self.tie_word_embeddings = (
            self.text_config.tie_word_embeddings and self.runtime == "transformers"
        )
        self._check()
        super().__post_init__(**kwargs)

    @property
    def expert_names(self) -> list[str]:
        """The pool's names in the order of their letters."""
        return [spec["name"] for spec in self.experts]

    @property
    def descriptions(self) -> list[str]:
        """What is said of each expert: the first of its descriptions."""
        return [spec["descriptions"][0] for spec in self.experts]

    @property
    def routing_pool(self) -> list[str]:
        """The descriptions that a routing prompt shows, in the order of the letters.

        With a `text_prior` experts at the end that the router never learned have no line: the
        texts choose them, and the router reads the prompt that it learned from.
        """
        rules = self.routing
        hidden = rules.unlearned if rules.text_prior else ()
        shown = [place for place, name in enumerate(self.expert_names) if name not in hidden]
        return self.descriptions[: max(shown, default=-1) + 1]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types only."""
        output = super().to_dict()
        output["adapter"] = asdict(self.adapter)
        output["routing"] = asdict(self.routing)
        if self.routing.lora is None:
            del output["routing"]["lora"]
        for name in ("text_prior", "unlearned"):
            if not output["routing"][name]:
                del output["routing"][name]
        if self.confidence is not None:
            output["confidence"] = asdict(self.confidence)
        if self.runtime == "transformers":
            output.pop("runtime", None)
        return output

    def _check(self) -> None:
        if self.box_frame not in FRAMES:
            raise UserError(f"box_frame is {self.box_frame!r}: give one of {', '.join(FRAMES)}")
        for name, kind in (("default_routing", DefaultRouting), ("runtime", Runtime)):
            if getattr(self, name) not in get_args(kind):
                raise UserError(
                    f"{name} is {getattr(self, name)!r}: give one of {', '.join(get_args(kind))}"
                )
        for spec in (self.base, *self.experts):
            if lacking := [key for key in ("kind", "name", "descriptions") if not spec.get(key)]:
                raise UserError(f"the expert {spec.get('name')!r} lacks {', '.join(lacking)}")
            if not re.fullmatch(r"[\w-][\w.-]*", spec["name"]):
                raise UserError(
                    f"the expert name {spec['name']!r} names a file: use letters, digits, "
                    "'.', '_' and '-'"
                )
        names = self.expert_names
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f"experts need different names, but {', '.join(doubled)} occurs twice")
        fitting = {
            "adapter.expert_channels": (len(self.adapter.expert_channels), "experts", len(names)),
            "adapter.output_width": (
                self.adapter.output_width,
                "text_config.hidden_size",
                self.text_config.hidden_size,
            ),
            "adapter.text_width": (
                self.adapter.text_width,
                "gate_text_config.hidden_size",
                self.gate_text_config.hidden_size,
            ),
        }
        for name, (is_, other, should) in fitting.items():
            if is_ != should:
                remedy = "change one of them"
                if other == "experts":
                    remedy = "make a model of other experts with: openmova assemble RECIPE DST"
                raise UserError(f"{name} ({is_}) must fit {other} ({should}): {remedy}")


def _built(
    kind: type[AdapterConfig] | type[RoutingConfig] | type[ConfidenceConfig], name: str, value: Any
) -> Any:
    """The dataclass itself, or the one that the dict describes."""
    if isinstance(value, kind):
        return value
    try:
        return kind(**value)
    except (TypeError, ValueError) as error:
        raise UserError(f"the configuration's {name}: {error}") from error


AutoConfig.register(MovaConfig.model_type, MovaConfig)
