"""What training sees of each domain: its loss, which experts looked, and how the gates weigh them.

Collected from the forward pass that learns, at the price of a few sums.
Shapes: B samples of a batch, M predicted tokens of all its answers, E experts of the pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

NO_DOMAIN = "none given"
Domains = Mapping[str, Mapping[str, Any]]
"""Of each domain: samples; tokens of answers; loss, their mean; chosen, the share of the samples
that each expert saw; gates, its mean weight in each block of the adapter, over these samples."""


class DomainStatistics:
    """Sums over the steps since the last `collect`."""

    def __init__(self, experts: Sequence[str]) -> None:
        self.experts = tuple(experts)
        self._held: list[tuple[Sequence[str], Tensor]] = []

    def add(
        self,
        domains: Sequence[str],
        losses: Tensor,
        rows: Tensor,
        routing: Tensor,
        gates: Tensor,
    ) -> None:
        """One batch: domains [B]; losses [M] of tokens and rows long [M], their samples; routing
        bool [B, E]; gates [B, blocks, E], 0 where an expert was not chosen."""
        tokens = torch.stack([torch.ones_like(losses), losses], dim=1).float()  # [M, 2]
        sums = tokens.new_zeros(len(domains), 2).index_add(0, rows, tokens)
        table = torch.cat([sums, routing.float(), gates.flatten(1).float()], dim=1)
        self._held.append((domains, table.detach()))  # kept on its device: nothing waits for it

    def collect(self) -> dict[str, dict[str, Any]]:
        """What was added in all processes; called in each of them. Begins anew."""
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
        return {domain or NO_DOMAIN: self._described(total[domain]) for domain in sorted(total)}

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
