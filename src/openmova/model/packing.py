"""Rows without what nobody attends to: the places of empty image tokens are left out, or samples of
a batch stand side by side, packed, each attending to itself alone.

While a model learns, the decoder can run on such rows in place of a padded row for each sample. How
long a sample is, is known when its image tokens are; so a batch is laid out in rows right before
the decoder, and what the decoder made of it is laid back. Nothing else knows of rows: not the
experts, nor a gate's question, nor the loss.

Shapes: B samples, T places of the padded batch, R rows of P places, L tokens in all.
"""

import heapq
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

SAMPLE_ATTENTION = "sample_sdpa"
"""Name in transformers of PyTorch's attention that computes nothing between packed samples."""


class Packing:
    """The layout of a batch with the tokens `seen`, bool [B, T], in rows of at most `limit` tokens.

    shape: (R, P). Raises ValueError for a sample that is longer than the limit.
    """

    def __init__(self, seen: Tensor, limit: int) -> None:
        lengths = seen.sum(dim=1).tolist()
        rows = samples_of_rows(lengths, limit)
        width = max(sum(lengths[i] for i in row) for row in rows)
        starts = [0] * len(lengths)
        bounds = {0}
        for number, row in enumerate(rows):
            place = number * width
            for i in row:
                starts[i] = place
                place += lengths[i]
                bounds.add(place)
            bounds.add((number + 1) * width)  # what a row is padded with
        self.shape = (len(rows), width)
        self._batch = tuple(seen.shape)
        self._bounds = torch.tensor(sorted(bounds), dtype=torch.int32)
        self._tokens = seen.flatten().nonzero()[:, 0]  # [L], of the B * T places
        first = torch.tensor(starts, device=seen.device)[:, None]
        self._places = (first + seen.cumsum(dim=1) - 1)[seen]  # [L], of the R * P places

    def into_rows(self, values: Tensor) -> Tensor:
        """[B, T, ...] -> [R, P, ...], zero where a row is padded."""
        return _moved(values, self._tokens, self._places, self.shape)

    def into_batch(self, values: Tensor) -> Tensor:
        """[R, P, ...] -> [B, T, ...], zero where the batch is padded."""
        return _moved(values, self._places, self._tokens, self._batch)

    def decoder_inputs(self, position_ids: Tensor) -> dict[str, Any]:
        """What tells a decoder of transformers where samples begin; position_ids [B, T].

        Without an attention mask and a cache its own mask confines attention to stretches of
        positions that go up by one. Flash attention, and `attend_in_samples`, have the bounds of
        the samples over all rows instead; what a row is padded with counts as one.
        """
        bounds, longest = self._bounds.to(position_ids.device), int(self._bounds.diff().max())
        return {
            "attention_mask": None,
            "position_ids": self.into_rows(position_ids),
            "use_cache": False,
            "cu_seq_lens_q": bounds,
            "cu_seq_lens_k": bounds,
            "max_length_q": longest,
            "max_length_k": longest,
        }


class Compaction:
    """The layout of a batch with the tokens `seen`, bool [B, T], each sample in a row of its own
    that begins with them: [B, P], as long as the longest."""

    def __init__(self, seen: Tensor) -> None:
        self._seen = seen
        longest = int(seen.sum(dim=1).max())
        self._tokens = (~seen).int().argsort(dim=1, stable=True)[:, :longest]
        self._places = (seen.cumsum(dim=1) - 1).clamp(min=0)

    def into_rows(self, values: Tensor) -> Tensor:
        """[B, T, ...] -> [B, P, ...]."""
        return _gather(values, self._tokens)

    def into_batch(self, values: Tensor) -> Tensor:
        """[B, P, ...] -> [B, T, ...]; a place that was left out has what the last one before it
        has, which predicts the same next token."""
        return _gather(values, self._places)

    def decoder_inputs(self, position_ids: Tensor) -> dict[str, Any]:
        """position_ids [B, T]."""
        return {
            "attention_mask": self.into_rows(self._seen.long()),
            "position_ids": self.into_rows(position_ids),
        }


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """Of values [B, N, ...] those at the places index [B, M] of their row: [B, M, ...]."""
    wide = index.view(*index.shape, *(1,) * (values.ndim - 2))
    return values.take_along_dim(wide, dim=1)


def attend_in_samples(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    cu_seq_lens_q: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """PyTorch's attention, in packed rows sample by sample: queries, keys and values [R, H, P, D]
    (H heads of width D; of keys and values fewer) -> [R, P, H, D]."""
    if attention_mask is not None or cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    lengths = cu_seq_lens_q.diff().tolist()
    heads = [x.transpose(0, 1).flatten(1, 2).split(lengths, 1) for x in (query, key, value)]
    samples = [
        sdpa_attention_forward(module, *(x[None] for x in sample), None, **options)[0][0]
        for sample in zip(*heads, strict=True)
    ]
    return torch.cat(samples).unflatten(0, (query.shape[0], query.shape[2])), None


def sample_mask(*, attention_mask: Tensor | None = None, **options: Any) -> Tensor | None:
    """That of PyTorch's attention; none in packed rows, unless a layer attends within a window."""
    is_packed = attention_mask is None and options.get("local_size") is None
    return None if is_packed else sdpa_mask(attention_mask=attention_mask, **options)


AttentionInterface.register(SAMPLE_ATTENTION, attend_in_samples)
AttentionMaskInterface.register(SAMPLE_ATTENTION, sample_mask)


@torch.no_grad()
def looks_beyond_samples(decoder: PreTrainedModel) -> bool:
    """Whether a sample in a row changes what the decoder makes of the next one; some of
    transformers take no positions for their mask."""
    embeddings = decoder.get_input_embeddings()
    tokens = torch.tensor([[[0, 1], [2, 3]], [[1, 0], [2, 3]]], device=decoder.device)
    packing = Packing(torch.ones_like(tokens[0], dtype=torch.bool), 4)
    inputs = packing.decoder_inputs(torch.arange(2, device=tokens.device).expand(2, 2))
    rows = [packing.into_rows(embeddings(samples)) for samples in tokens]
    first, other = (decoder(inputs_embeds=row, **inputs).last_hidden_state for row in rows)
    return not torch.equal(first[:, 2:], other[:, 2:])


def samples_of_rows(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """The samples of each row of at most `limit` tokens, so that the places, rows x the longest of
    them, are few: a function of the lengths.

    For each number of rows that may do, the longest sample comes first, each into the row with the
    fewest tokens. Raises ValueError for a sample that is longer than a row.
    """
    if max(lengths) > limit:
        raise ValueError(
            f"a sample has {max(lengths)} tokens, but a packed row {limit}: give longer rows"
        )
    longest_first = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    found: list[tuple[int, list[list[int]]]] = []
    for count in range(-(-sum(lengths) // limit), len(lengths) + 1):
        rows: list[list[int]] = [[] for _ in range(count)]
        tokens = [(0, number) for number in range(count)]  # a heap
        for i in longest_first:
            filled, number = tokens[0]
            heapq.heapreplace(tokens, (filled + lengths[i], number))
            rows[number].append(i)
        width = max(filled for filled, _ in tokens)
        if width <= limit:
            found.append((count * width, rows))
    return min(found, key=lambda candidate: candidate[0])[1]


def _moved(values: Tensor, source: Tensor, target: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What stands at the places `source` [L] of the values' first two dimensions, at the places
    `target` [L] of such ones of another shape."""
    moved = values.flatten(0, 1).index_select(0, source)
    places = moved.new_zeros(shape[0] * shape[1], *moved.shape[1:])
    return places.index_copy(0, target, moved).unflatten(0, shape)
