"""What the encoders made of the pictures of vLLM's requests, in the process that runs the model.

A question costs several looks at its picture: for the routing pass, to see how many image tokens
the chosen experts give, and for the answer. The encoders run once for all of them, and once for
further questions about the picture.

Shapes: E experts of the pool, N image tokens, D width of the language model, t tokens of the
question as the gate reads it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from openmova.inference.feature_cache import FEATURES, EncoderMemory, FeatureCache
from openmova.model.splicing import filled_tokens
from openmova.model.vision_mova import MovaVision

PIXELS = ("pixel_values", "image_sizes")
QUESTION = ("question_input_ids", "question_attention_mask")
Look = Mapping[str, Tensor]
"""pixel_values uint8 [3, h, w], image_sizes [2], question_input_ids and _attention_mask [t],
routing bool [E]; fingerprint uint8 [32]: the picture's."""


class VisionMemory:
    """Image tokens by what is known of their pictures.

    most: bytes of maps, and of image tokens that wait for their request.
    """

    def __init__(self, vision: MovaVision, most: int = FEATURES) -> None:
        self._vision = vision
        self._known = FeatureCache(most)
        self._most = most
        self._waiting: OrderedDict[tuple[bytes, ...], Tensor] = OrderedDict()

    @torch.inference_mode()
    def image_tokens(self, looks: Sequence[Look]) -> list[Tensor]:
        """[N, D] of each look, empty ones as zeros."""
        keys = [_key(look) for look in looks]
        made = {key: self._waiting.pop(key) for key in set(keys) & self._waiting.keys()}
        new = {key: look for key, look in zip(keys, looks, strict=True) if key not in made}
        if new:
            made |= zip(new, self._encode(list(new.values())), strict=True)
        return [made[key] for key in keys]

    def count(self, look: Look) -> int:
        """How many image tokens this look gives; they are kept for the request that follows."""
        (tokens,) = self.image_tokens([look])
        self._waiting[_key(look)] = tokens
        while sum(one.nbytes for one in self._waiting.values()) > self._most:
            self._waiting.popitem(last=False)
        return int(filled_tokens(tokens).sum())

    def _encode(self, looks: Sequence[Look]) -> Tensor:
        pixels, sizes, *question = (
            stack([look[name] for look in looks]) for name in (*PIXELS, *QUESTION)
        )
        routing = torch.stack([look["routing"] for look in looks])
        memory = EncoderMemory(self._vision, self._known.of([_picture(look) for look in looks]))
        base_map = memory.encode_base(pixels, sizes)
        maps = memory.encode_experts(pixels, sizes, routing)
        tokens, _ = self._vision.fuse(base_map, maps, routing, *question)
        self._known.trim()
        return tokens


def stack(parts: Sequence[Tensor]) -> Tensor:
    """[B, ...] of tensors of different sizes, filled up with zeros at the end of each dimension."""
    sizes = torch.tensor([part.shape for part in parts])
    filled = parts[0].new_zeros(len(parts), *sizes.amax(dim=0).tolist())
    for row, part in zip(filled, parts, strict=True):
        row[tuple(slice(size) for size in part.shape)] = part
    return filled


def _key(look: Look) -> tuple[bytes, ...]:
    """The same for looks that give the same tokens."""
    asked = look["question_input_ids"][look["question_attention_mask"].bool()]
    return _picture(look), bytes(look["routing"].tolist()), str(asked.tolist()).encode()


def _picture(look: Look) -> bytes:
    return bytes(look["fingerprint"].tolist())
