"""What the model made of pictures that are asked about again, within a limit of bytes.

Who goes on with a conversation sends its picture again. A picture is known by its pixels, so nobody
has to say that it is the same one, and it may be another client that asks.

Shapes: C channels and h x w grid of a map.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from openmova.inference.prompt_cache import ReadPrompt, begin, read_prompts
from openmova.model.adapter import ExpertMap
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.vision_mova import MovaVision
from openmova.routing import RoutingResult

FEATURES = 256_000_000
"""Most bytes that are kept."""
ENTRY = 1_000
"""Bytes that a picture counts without anything known."""


@dataclass(eq=False)
class ImageFeatures:
    """What is known of one picture: maps [C, h, w], and its routing prompt."""

    base: Tensor | None = None
    experts: dict[int, Tensor] = field(default_factory=dict)
    """by their index in the pool"""
    prompt: ReadPrompt | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        kept = None if self.prompt is None else self.prompt.kept
        tensors = (self.base, kept, *self.experts.values())
        return ENTRY + sum(one.nbytes for one in tensors if one is not None)


class FeatureCache:
    """What is known of pictures; beyond `most` bytes what was longest not asked about goes.

    Prompts go before maps, which take little of the room and are dearer to make.
    """

    def __init__(self, most: int = FEATURES) -> None:
        self.most = most
        self._known: OrderedDict[bytes, ImageFeatures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(known.size for known in self._known.values())

    def of(self, keys: Sequence[bytes]) -> list[ImageFeatures]:
        """What is known of these pictures, by their fingerprints, to be added to."""
        for key in keys:
            self._known.setdefault(key, ImageFeatures())
            self._known.move_to_end(key)
        return [self._known[key] for key in keys]

    def trim(self) -> None:
        """Keep to the limit."""
        size = self.size
        for known in self._known.values():
            if size <= self.most:
                return
            size -= known.size
            known.prompt = None
            size += known.size
        while size > self.most:
            _, gone = self._known.popitem(last=False)
            size -= gone.size


class EncoderMemory:
    """Runs the encoders for what is not known of a batch's pictures, and adds it; rows: what is
    known of each.

    Rows of the same picture share what is known, and one run of each encoder.
    """

    def __init__(self, vision: MovaVision, rows: Sequence[ImageFeatures]) -> None:
        self._vision = vision
        self._rows = rows

    def encode_base(self, pixel_values: Tensor, image_sizes: Tensor) -> Tensor:
        """As `MovaVision.encode_base`."""
        new = {id(known): row for row, known in enumerate(self._rows) if known.base is None}
        if new:
            rows = list(new.values())
            made = self._vision.encode_base(pixel_values[rows], image_sizes[rows])
            for row, base in zip(rows, made, strict=True):
                self._rows[row].base = base.clone()  # of its own, not a part of the batch
        return torch.stack([known.base for known in self._rows if known.base is not None])

    def encode_experts(
        self, pixel_values: Tensor, image_sizes: Tensor, routing: Tensor
    ) -> dict[int, ExpertMap]:
        """As `MovaVision.encode_experts`."""
        chosen = [(row, expert, self._rows[row]) for row, expert in routing.nonzero().tolist()]
        new = {
            (id(known), expert): row for row, expert, known in chosen if expert not in known.experts
        }
        missing = torch.zeros_like(routing)
        for (_, expert), row in new.items():
            missing[row, expert] = True
        made = self._vision.encode_experts(pixel_values, image_sizes, missing)
        for expert, found in made.items():
            for row, one in zip(found.rows.tolist(), found.features, strict=True):
                self._rows[row].experts[expert] = one.clone()
        rows_of: dict[int, list[int]] = {}
        for row, expert, _ in chosen:
            rows_of.setdefault(expert, []).append(row)
        return {
            expert: ExpertMap(
                torch.tensor(rows, device=routing.device),
                torch.stack([self._rows[row].experts[expert] for row in rows]),
            )
            for expert, rows in sorted(rows_of.items())
        }


@dataclass(eq=False)
class PromptStart:
    """What stands before the picture in a model's routing prompts, where the pool does; as it was
    last read."""

    prompt: ReadPrompt | None = None


class FeatureMemory(EncoderMemory):
    """The same of the model's routing pass; start: shared by all pictures."""

    def __init__(
        self,
        model: MovaForConditionalGeneration,
        rows: Sequence[ImageFeatures],
        start: PromptStart | None = None,
    ) -> None:
        super().__init__(model.model, rows)
        self._model = model
        self._start = start or PromptStart()

    def route(
        self, rows: Sequence[int], input_ids: Tensor, attention_mask: Tensor, base_map: Tensor
    ) -> RoutingResult:
        """As the model's `route`, for these rows; prompts that are known are not read again."""
        known = [self._rows[row] for row in rows]
        read = [one.prompt is not None for one in known]
        parts = []
        for again in (False, True):
            if group := [at for at, before in enumerate(read) if before == again]:
                inputs = input_ids[group], attention_mask[group], base_map[group]
                parts.append((group, self._routed([known[at] for at in group], *inputs)))
        return _in_order(parts)

    def _routed(
        self,
        known: Sequence[ImageFeatures],
        input_ids: Tensor,
        attention_mask: Tensor,
        base_map: Tensor,
    ) -> RoutingResult:
        """Rows of whose pictures prompts are known, or of none of them."""
        config = self._model.config
        is_new = known[0].prompt is None
        either = [one.prompt or self._start.prompt for one in known]
        read = [prompt for prompt in either if prompt is not None]
        begun = None
        if read:
            begun = begin(read, input_ids, attention_mask, config.image_token_id)
        result = self._model.route(input_ids, attention_mask, base_map, past_key_values=begun)
        if not is_new:
            return result
        if made := read_prompts(result.past_key_values, input_ids, attention_mask):
            for one, prompt in zip(known, made, strict=True):
                one.prompt = prompt
            if config.routing.pool_first:
                self._start.prompt = made[0].before(config.image_token_id)
        return result


def _in_order(parts: Sequence[tuple[Sequence[int], RoutingResult]]) -> RoutingResult:
    """The rows of a batch from parts of it, each with the numbers of its rows."""
    rows = [row for group, _ in parts for row in group]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    routing, scores, tokens = (
        torch.cat([getattr(result, name) for _, result in parts])[order]
        for name in ("routing", "scores", "tokens")
    )
    texts = [text for _, result in parts for text in result.texts]
    return RoutingResult(routing, scores, [texts[row] for row in order], tokens)
