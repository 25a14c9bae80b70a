"""The shared decode: rows written together, a token a step, which join and leave at any step.

Every row's prompt is padded on the left to the longest; keys and values lie in one cache. A row
that joins is read (prefilled) by itself and then laid beside the others; one that leaves takes its
part of the cache along, and padding that nobody needs any more goes too.

Shapes: B rows, P places of the cache, V vocabulary, N image tokens, D width.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import (
    DynamicCache,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

from openmova.inference.text_stream import TextStream
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.pretrained import CACHE
from openmova.model.splicing import drop_empty_tokens

PADDING = 128
"""Tokens. More padding than these takes longer than another call of the model on a processor."""


class SharedDecode:
    """The answers that are being written by one model.

    Takes from the checkpoint's generation_config.json what also changes greedy answers: penalties
    of repetition and suppressed tokens.
    """

    def __init__(self, model: MovaForConditionalGeneration) -> None:
        self.model = model
        self.rows: list[TextStream] = []
        self._prompts: list[Tensor] = []  # ids of each row's own prompt, without padding
        self._cache = DynamicCache()
        self._mask = torch.zeros(0, 0, dtype=torch.long, device=model.device)  # [B, P]
        self._processors = _processors(model)

    @torch.no_grad()
    def join(
        self,
        rows: Sequence[Sequence[TextStream]],
        input_ids: Tensor,
        attention_mask: Tensor,
        image_tokens: Tensor | None,
    ) -> None:
        """Read prompts and write the first token of their answers.

        input_ids and attention_mask [b, T], padded on the left; image_tokens [b, N, D], None if
        no prompt shows a picture; rows: the answers to each prompt, one or more.
        """
        if image_tokens is not None:
            input_ids, attention_mask, image_tokens = drop_empty_tokens(
                input_ids, attention_mask, image_tokens, self.model.config.image_token_id
            )
        groups = []
        for group, length in of_like_lengths(attention_mask.sum(dim=1).tolist()):
            new = type(self)(self.model)
            new._read(
                [rows[number] for number in group],
                input_ids[group, -length:],
                attention_mask[group, -length:],
                None if image_tokens is None else image_tokens[group],
            )
            groups.append(new)
        for new in groups:
            self._append(new)

    def _read(
        self,
        rows: Sequence[Sequence[TextStream]],
        input_ids: Tensor,
        attention_mask: Tensor,
        image_tokens: Tensor | None,
    ) -> None:
        """As `join`, into a decode that has no rows, in one call of the model."""
        self._mask = attention_mask
        logits = self._logits(input_ids, image_tokens)
        prompt = [number for number, answers in enumerate(rows) for _ in answers]
        index = torch.tensor(prompt, device=input_ids.device)
        self.rows = [row for answers in rows for row in answers]
        self._prompts = [input_ids[i][attention_mask[i].bool()] for i in prompt]
        self._select(index)
        self._write(logits[index])

    @torch.no_grad()
    def step(self) -> None:
        """Write the next token of every row; rows that have ended must have left."""
        last = torch.tensor([[row.ids[-1]] for row in self.rows], device=self._mask.device)
        self._mask = pad(self._mask, (0, 1), value=1)
        self._write(self._logits(last))

    def finish(self) -> None:
        """Write all answers to their ends."""
        while wanted := [row for row in self.rows if row.finish is None]:
            self.keep(wanted)
            self.step()
        self.keep([])

    def keep(self, wanted: Sequence[TextStream]) -> None:
        """All other rows leave."""
        kept = [number for number, row in enumerate(self.rows) if row in wanted]
        if len(kept) == len(self.rows):
            return
        self.rows = [self.rows[number] for number in kept]
        self._prompts = [self._prompts[number] for number in kept]
        if kept:
            self._select(torch.tensor(kept, device=self._mask.device))
        else:
            self._cache, self._mask = DynamicCache(), self._mask[:0, :0]

    def _logits(self, input_ids: Tensor, image_tokens: Tensor | None = None) -> Tensor:
        """[B, V] of the next token; the cache takes these places."""
        return self.model(
            input_ids=input_ids,
            attention_mask=self._mask,
            image_tokens=image_tokens,
            use_cache=True,
            logits_to_keep=1,
            **{CACHE: self._cache},
        ).logits[:, -1]

    def _write(self, logits: Tensor) -> None:
        """The next token of every row, from logits [B, V]."""
        for row, prompt, scores in zip(self.rows, self._prompts, logits, strict=True):
            said = torch.cat([prompt, prompt.new_tensor(row.ids)])
            row.add(self._processors(said[None], scores[None].float())[0])

    def _select(self, index: Tensor) -> None:
        """Rows by number, each as often as it is named, without padding that all of them have."""
        mask = self._mask[index]
        unused = int((mask.cumsum(dim=1) == 0).sum(dim=1).min())
        self._mask = mask[:, unused:]
        for layer in self._cache.layers:
            here = index.to(layer.keys.device)
            layer.keys = layer.keys[here, :, unused:]
            layer.values = layer.values[here, :, unused:]

    def _append(self, new: Self) -> None:
        """Lay other rows beside these."""
        if self.rows:
            places = max(self._mask.shape[1], new._mask.shape[1])
            here, there = (places - mask.shape[1] for mask in (self._mask, new._mask))
            self._mask = torch.cat([pad(self._mask, (here, 0)), pad(new._mask, (there, 0))])
            for layer, other in zip(self._cache.layers, new._cache.layers, strict=True):
                layer.keys = _beside(layer.keys, here, other.keys, there)
                layer.values = _beside(layer.values, here, other.values, there)
        else:
            self._mask, self._cache = new._mask, new._cache
        self.rows += new.rows
        self._prompts += new._prompts


def of_like_lengths(lengths: Sequence[int]) -> list[tuple[list[int], int]]:
    """Prompts by number that are read together, and the longest of each group.

    None is padded by more than PADDING: a page's prompt may be six times as long as a photo's.
    """
    groups: list[tuple[list[int], int]] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if not groups or groups[-1][1] - lengths[number] > PADDING:
            groups.append(([], lengths[number]))
        groups[-1][0].append(number)
    return groups


def _beside(a: Tensor, before_a: int, b: Tensor, before_b: int) -> Tensor:
    """Keys or values [rows, heads, places, width] of two caches, with so many places before."""
    return torch.cat([pad(a, (0, 0, before_a, 0)), pad(b, (0, 0, before_b, 0))])


def _processors(model: MovaForConditionalGeneration) -> LogitsProcessorList:
    settings, device = model.generation_config, str(model.device)
    suppressed = [model.config.image_token_id, *(settings.suppress_tokens or ())]
    processors = LogitsProcessorList([SuppressTokensLogitsProcessor(suppressed, device)])
    if settings.repetition_penalty not in (None, 1.0):
        processors.append(RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
    if settings.no_repeat_ngram_size:
        processors.append(NoRepeatNGramLogitsProcessor(settings.no_repeat_ngram_size))
    return processors
