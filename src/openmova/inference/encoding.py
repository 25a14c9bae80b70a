"""The two passes as stages, each timed: what `Mova` and the server do with a batch of questions.

Prompts and pictures are prepared; the base encoder looks; the router names experts (the coarse
pass); the chosen experts look; the adapter fuses what they saw (the fine pass). What follows is
the answer itself. Shapes: B batch, E experts, N image tokens, D width of the language model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import BatchFeature, Cache

from openmova.errors import UserError
from openmova.images.boxes import Size, boxes_in, polygons_in
from openmova.inference.answer import Answer
from openmova.inference.request import Choice, Limits
from openmova.model.adapter import ExpertMap
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor
from openmova.model.vision_mova import PlainTokens
from openmova.routing import Routing, RoutingResult, limit_experts

Message = dict[str, Any]


def user_turn(question: str, picture: Any = None) -> Message:
    """A user's message, with the picture in front of the text if there is one."""
    shown = [] if picture is None else [{"type": "image", "image": picture}]
    return {"role": "user", "content": [*shown, {"type": "text", "text": question}]}


def assistant_turn(text: str) -> Message:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


@dataclass
class Clock:
    """Seconds by stage; waits for the device, so that work is counted where it was asked for."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[stage] = time.perf_counter() - start

    def total(self) -> float:
        return time.perf_counter() - self.started


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the answers are written from, and how it came about."""

    tokens: Tensor
    """[B, N, D]"""
    routing: list[Routing]
    gates: list[Tensor]
    """for each row [blocks, chosen experts]"""


class Encoders(Protocol):
    """What gives the maps of pictures, as `MovaModel` does."""

    def encode_base(self, pixel_values: Tensor, image_sizes: Tensor) -> Tensor: ...

    def encode_experts(
        self, pixel_values: Tensor, image_sizes: Tensor, routing: Tensor
    ) -> dict[int, ExpertMap]: ...


Route = Callable[[Sequence[int], Tensor, Tensor, Tensor], RoutingResult]
"""Asks the router about some rows of a batch: their numbers, and as `ask_router`."""


def ask_router(
    model: MovaForConditionalGeneration,
    input_ids: Tensor,
    attention_mask: Tensor,
    base_map: Tensor,
    past_key_values: Cache | None = None,
) -> RoutingResult:
    """As the model's `route`, with all experts that it names: each row has a limit of its own."""
    return model.route(
        None,
        None,
        input_ids,
        attention_mask,
        base_map=base_map,
        max_experts=len(model.config.expert_names),
        past_key_values=past_key_values,
    )


def check_room(model: MovaForConditionalGeneration, tokens: int, limits: Limits) -> None:
    """Raises UserError if a prompt of so many tokens leaves no room for the answer."""
    room = model.config.text_config.max_position_embeddings - limits.max_new_tokens
    if tokens > room:
        raise UserError(
            f"the prompt takes {tokens} tokens and the model has room for {max(room, 0)} "
            "beside the answer: shorten the question, start a new chat, or lower "
            "max_new_tokens"
        )


def prepare(
    model: MovaForConditionalGeneration,
    processor: MovaProcessor,
    conversations: Sequence[Sequence[Message]],
    choices: Sequence[Choice],
) -> BatchFeature:
    """The model's inputs for a batch of conversations, on its device: one processor call."""
    inputs = processor.apply_chat_template(
        conversations,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        processor_kwargs={"with_routing": any(choice.fixed is None for choice in choices)},
    )
    return inputs.to(model.device)


@torch.no_grad()
def look(
    model: MovaForConditionalGeneration,
    inputs: Mapping[str, Tensor],
    choices: Sequence[Choice],
    clock: Clock,
    encoders: Encoders | None = None,
    route: Route | None = None,
) -> Seen:
    """All that comes before the answers: base encoder, routing, experts, adapter.

    choices: who decides on the experts of each row; the router is asked about its rows alone.
    encoders: what looks at the pictures, if it is not the model itself; route: who asks the router.
    """
    encoders = encoders or model.model
    pictures = (inputs["pixel_values"], inputs["image_sizes"])
    with clock("base"):
        base_map = encoders.encode_base(*pictures)
    with clock("routing"):
        routing, told, plain = _route(model, inputs, choices, base_map, route)
    with clock("experts"):
        expert_maps = encoders.encode_experts(*pictures, routing)
    with clock("adapter"):
        tokens, gates = model.model.image_tokens(
            *pictures,
            routing,
            inputs["question_input_ids"],
            inputs["question_attention_mask"],
            base_map=base_map,
            expert_maps=expert_maps,
            plain=plain,
        )
    weights = [row[:, chosen].float().cpu() for row, chosen in zip(gates, routing, strict=True)]
    return Seen(tokens=tokens, routing=told, gates=weights)


def _route(
    model: MovaForConditionalGeneration,
    inputs: Mapping[str, Tensor],
    choices: Sequence[Choice],
    base_map: Tensor,
    route: Route | None,
) -> tuple[Tensor, list[Routing], PlainTokens | None]:
    """The experts of each row: bool [B, E], and with their scores; the tokens the router saw."""
    pool = model.config.expert_names
    nobody = (False,) * len(pool)
    fixed = [choice.fixed or nobody for choice in choices]
    routing = torch.tensor(fixed, device=model.device, dtype=torch.bool)
    told = [
        Routing(experts=tuple(n for n, c in zip(pool, row, strict=True) if c), scores={}, raw="")
        for row in fixed
    ]
    plain = None
    asked = [row for row, choice in enumerate(choices) if choice.fixed is None]
    if asked:
        prompts = inputs["routing_input_ids"][asked], inputs["routing_attention_mask"][asked]
        if route is None:
            result = ask_router(model, *prompts, base_map[asked])
        else:
            result = route(asked, *prompts, base_map[asked])
        plain = PlainTokens(torch.tensor(asked, device=model.device), result.tokens)
        for at, row in enumerate(asked):
            choice = choices[row]
            most = choice.max_experts
            most = model.config.routing.max_experts if most is None else most
            forced, forbidden = (
                torch.tensor([name in names for name in pool], device=model.device)
                for names in (choice.forced, choice.forbidden)
            )
            allowed = result.routing[at, None] & ~forbidden
            kept = limit_experts(allowed, result.scores[at, None], most)
            routing[row] = result.routing[at] = kept[0] | forced
            told[row] = result.row(at, pool)
    return routing, told, plain


def answer_from(
    model: MovaForConditionalGeneration,
    text: str,
    size: Size,
    routing: Routing,
    gates: Tensor,
    timings: dict[str, float],
) -> Answer:
    """The answer that a text is, about a picture of this size as it was given."""
    frame: Any = model.config.box_frame  # the config has checked it
    return Answer(
        text=text,
        boxes=boxes_in(text, size, frame),
        polygons=polygons_in(text, size, frame),
        routing=routing,
        gates=gates,
        timings=timings,
    )
