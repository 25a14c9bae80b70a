"""A routing prompt is not read again where it begins as one that was: its keys and values are kept.

The routing prompts of a picture share what stands in front of the question, and those of all
pictures what stands in front of the picture: with nano the pool. What an image token is, no id
tells: beyond it only prompts of the same picture may be compared.

Shapes: B rows, T places, t tokens of one prompt, L layers, H heads, d width of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer


@dataclass(frozen=True, eq=False)
class ReadPrompt:
    """What the language model kept of one prompt: keys and values [L, 2, H, t, d]."""

    ids: list[int]
    kept: Tensor

    def before(self, token: int) -> "ReadPrompt":
        """What stands before the first of this token."""
        end = self.ids.index(token) if token in self.ids else len(self.ids)
        return ReadPrompt(self.ids[:end], self.kept[..., :end, :].clone())

    def same(self, ids: Sequence[int]) -> int:
        """How many tokens from the first on these ids have in common with the prompt's."""
        pairs = zip(self.ids, ids, strict=False)
        return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def read_prompts(
    cache: Cache | None, input_ids: Tensor, attention_mask: Tensor
) -> list[ReadPrompt] | None:
    """What was kept of each row of prompts [B, T], padded on the left.

    None for a language model that keeps something else than keys and values of all places, alike
    in all layers and on one device.
    """
    layers = [] if cache is None else cache.layers
    if any(type(layer) is not DynamicLayer for layer in layers):
        return None
    tensors = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
    if len({(tensor.shape, tensor.device) for tensor in tensors}) != 1:
        return None
    end = input_ids.shape[1]
    return [
        ReadPrompt(
            input_ids[row, blank:].tolist(),
            torch.stack([tensor[row, :, blank:end] for tensor in tensors]).unflatten(0, (-1, 2)),
        )
        for row, blank in enumerate(_blanks(attention_mask))
    ]


def begin(
    read: Sequence[ReadPrompt], input_ids: Tensor, attention_mask: Tensor, image_token_id: int
) -> DynamicCache | None:
    """The first places of prompts [B, T], padded on the left, from one prompt read before for each.

    So many places as are known of all rows, and at most T - 1: the last one is read for its logits.
    A picture is known whole, or not at all. None if there are no such places.
    """
    blanks = _blanks(attention_mask)
    places = [
        blank + prompt.same(ids[blank:])
        for prompt, ids, blank in zip(read, input_ids.tolist(), blanks, strict=True)
    ]
    first = min(*places, input_ids.shape[1] - 1)
    shown = (input_ids == image_token_id).any(dim=0)  # [T]
    if shown[first:].any():
        first = min(first, int(shown.nonzero()[0]))
    if first < 1:
        return None

    layers, both, heads, _, width = read[0].kept.shape
    cache = DynamicCache()
    for layer in range(layers):
        rows = read[0].kept.new_zeros(len(read), both, heads, first, width)
        for row, prompt, blank in zip(rows, read, blanks, strict=True):
            if blank < first:
                row[..., blank:, :] = prompt.kept[layer, ..., : first - blank, :]
        cache.update(rows[:, 0], rows[:, 1], layer)
    return cache


def _blanks(attention_mask: Tensor) -> list[int]:
    """How many places of padding each row [B, T] begins with."""
    return (attention_mask.cumsum(dim=1) == 0).sum(dim=1).tolist()
