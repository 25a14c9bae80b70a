"""Ids that mark a picture with one placeholder, as the released code takes them, to ours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from openmova.model.processing_mova import IGNORED


def expand_placeholders(
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    tokens: Sequence[int],
    image_token_id: int,
    placeholder: int = -200,
    max_length: int | None = None,
    padding_side: str = "right",
    pad_token_id: int = 0,
) -> dict[str, Tensor]:
    """Make room for the image tokens in ids that mark a picture with one placeholder.

    input_ids, attention_mask, labels [B, t]; tokens: image tokens of a picture, for each row.
    Padding is taken off, every placeholder becomes a run of image_token_id, a row is cut on the
    right to max_length, and padded again on padding_side. Labels are IGNORED on both.
    Returns input_ids, attention_mask and labels [B, T], all three.
    """
    rows = []
    for i, ids in enumerate(input_ids):
        real = torch.ones_like(ids, dtype=torch.bool)
        if attention_mask is not None:
            real = attention_mask[i].bool()
        targets = torch.full_like(ids, IGNORED) if labels is None else labels[i]
        is_image = ids[real] == placeholder
        repeats = torch.where(is_image, tokens[i], 1)
        ids = ids[real].masked_fill(is_image, image_token_id).repeat_interleave(repeats)
        targets = targets[real].masked_fill(is_image, IGNORED).repeat_interleave(repeats)
        rows.append((ids[:max_length], targets[:max_length]))
    longest = max(len(ids) for ids, _ in rows)
    expanded = {
        "input_ids": input_ids.new_full((len(rows), longest), pad_token_id),
        "attention_mask": input_ids.new_zeros(len(rows), longest),
        "labels": input_ids.new_full((len(rows), longest), IGNORED),
    }
    for i, (ids, targets) in enumerate(rows):
        at = slice(longest - len(ids), None) if padding_side == "left" else slice(len(ids))
        expanded["input_ids"][i, at] = ids
        expanded["attention_mask"][i, at] = 1
        expanded["labels"][i, at] = targets
    return expanded
