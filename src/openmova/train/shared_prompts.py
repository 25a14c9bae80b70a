"""Rows of one prompt with all of its completions behind it: the prompt is read once for them.

Shapes: B completions of L tokens, Q prompts of T tokens, K completions of a prompt at most, and
S = T - 1 + K (1 + L) places of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor


class SharedPrompts:
    """The rows of a batch of completions.

    input_ids, attention_mask [B, T + L]: prompt and completion; length: L; group [B]: which of the
    prompts 0 to Q - 1 each has. A completion begins with a copy of the prompt's last token, which
    predicts its first, and sees the prompt and itself.
    """

    def __init__(
        self, input_ids: Tensor, attention_mask: Tensor, length: int, group: Tensor
    ) -> None:
        same = group[:, None] == group
        place = same.tril(diagonal=-1).sum(dim=1)
        self._at = (group, place)
        self.first = torch.stack([(group == q).int().argmax() for q in group.unique()])
        """[Q]: a row of each prompt."""
        self._shape = (len(self.first), int(place.max()) + 1, 1 + length)
        self.ids, self.seen = (self._in_rows(one, length) for one in (input_ids, attention_mask))
        """[Q, S]"""
        self.behind = self._shape[1] * self._shape[2]
        """Places of a row after what is shared."""

    def _in_rows(self, values: Tensor, length: int) -> Tensor:
        """[B, T + L] -> [Q, S], zero where a prompt has fewer completions."""
        completions = values.new_zeros(self._shape)
        completions[self._at] = values[:, -length - 1 :]
        return torch.cat([values[self.first, : -length - 1], completions.flatten(1)], dim=1)

    def decoder_inputs(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """attention_mask [Q, 1, S, S] of the dtype, to be added to scores; position_ids [Q, S]."""
        _, completions, length = self._shape
        shared = self.seen[:, : -self.behind]
        of = torch.arange(completions, device=shared.device).repeat_interleave(length) + 1
        of = torch.cat([of.new_zeros(shared.shape[1]), of])  # [S]; 0: the prompt
        sees = ((of == 0) | (of == of[:, None])).tril() & self.seen.bool()[:, None, :]
        sees |= torch.eye(len(of), dtype=torch.bool, device=of.device)
        mask = torch.zeros(sees.shape, dtype=dtype, device=of.device)
        mask.masked_fill_(~sees, torch.finfo(dtype).min)
        steps = torch.arange(length, device=of.device).repeat(completions)
        behind = shared.sum(dim=1, keepdim=True) + steps
        positions = torch.cat([(shared.cumsum(dim=1) - 1).clamp(min=0), behind], dim=1)
        return {"attention_mask": mask[:, None], "position_ids": positions}

    def of_rows(self, values: Tensor) -> Tensor:
        """What was found for the places behind the shared ones [Q, K (1 + L)], of the completions:
        [B, L]."""
        return values.unflatten(1, self._shape[1:])[self._at][:, 1:]
