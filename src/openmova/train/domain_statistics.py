"""What training sees of each domain: its loss, which experts looked, and how the gates weigh them.

Collected from the forward pass that learns, at the price of a few sums.
Shapes: B samples of a batch, T tokens, E experts of the pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from openmova.train.answer_loss import AnswerLoss

NO_DOMAIN = "none given"
Domains = Mapping[str, Mapping[str, Any]]
"""Of each domain: samples; tokens of answers; loss, their mean; chosen, the share of the samples
that each expert saw; gates, its mean weight in each block of the adapter, over these samples."""


class DomainStatistics:
    """Sums over the steps since the last `collect`."""

    def __init__(self, experts: Sequence[str]) -> None:
        self.experts = tuple(experts)
        self._held: list[tuple[Sequence[str], Tensor]] = []

    def add(self, domains: Sequence[str], routing: Tensor, found: AnswerLoss) -> None:
        """One batch: domains [B]; routing bool [B, E]; its losses, and its gates, 0 where an expert
        was not chosen."""
        sums = torch.stack([found.answered.sum(dim=1), found.losses.sum(dim=1)], dim=1)  # [B, 2]
        table = torch.cat([sums, routing.float(), found.gates.flatten(1).float()], dim=1)
        self._held.append((domains, table.detach()))  # kept on its device: nothing waits for it

    def collect(self) -> tuple[float, dict[str, dict[str, Any]]]:
        """The mean loss and the domains of what was added in all processes; called in each of them.

        Begins anew.
        """
        sums: dict[str, Tensor] = {}
        for domains, table in self._held:
            for domain, row in zip(domains, table.double().cpu(), strict=True):
                row = torch.cat([row.new_ones(1), row])  # samples, tokens, loss, chosen, gates
                sums[domain] = sums[domain] + row if domain in sums else row
        self._held = []
        total: dict[str, Tensor] = {}
        for own in gather_object([sums]):
            for domain, row in own.items():
                total[domain] = total[domain] + row if domain in total else row
        _, tokens, loss = torch.stack(list(total.values())).sum(dim=0)[:3].tolist()
        described = {d or NO_DOMAIN: self._described(total[d]) for d in sorted(total)}
        return loss / tokens, described

    def _described(self, row: Tensor) -> dict[str, Any]:
        """One domain's sums [3 + E + blocks * E] in words."""
        samples, tokens, loss = row[:3].tolist()
        experts = len(self.experts)
        chosen = row[3 : 3 + experts].tolist()
        gates = row[3 + experts :].unflatten(0, (-1, experts)).T.tolist() if experts else []
        return {
            "samples": int(samples),
            "tokens": int(tokens),
            "loss": round(loss / tokens, 6),
            "chosen": {
                name: round(count / samples, 4)
                for name, count in zip(self.experts, chosen, strict=True)
            },
            "gates": {
                name: [round(block / count, 4) for block in blocks]
                for name, count, blocks in zip(self.experts, chosen, gates, strict=True)
                if count
            },
        }


def flat(domains: Domains) -> dict[str, float]:
    """One number a name, as trackers take them: loss/text, chosen/text/chart, gate/text/chart/1."""
    numbers: dict[str, float] = {}
    for domain, found in domains.items():
        numbers[f"loss/{domain}"] = found["loss"]
        for name, share in found["chosen"].items():
            numbers[f"chosen/{domain}/{name}"] = share
        for name, blocks in found["gates"].items():
            for block, weight in enumerate(blocks, start=1):
                numbers[f"gate/{domain}/{name}/{block}"] = weight
    return numbers
