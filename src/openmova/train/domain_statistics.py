"""What training sees of each domain and expert: losses, which experts looked, how the gates weigh,
and whether these have collapsed: given all to one of several chosen experts, so that the others
learn nothing and it stays so (docs/training.md has figures).

Collected from the forward pass that learns, at the price of a few sums.
Shapes: B samples of a batch, T tokens, E experts of the pool.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from accelerate.utils import gather_object
from torch import Tensor

from openmova.train.answer_loss import AnswerLoss

NO_DOMAIN = "none given"
COLLAPSED = 0.02
"""An expert that gets less than this, or more than 1 minus this, on average over the blocks: in a
single block it may, since blocks divide the work."""
WINDOW = 256
"""Samples that saw it together with another expert, of which the average is."""
Domains = Mapping[str, Mapping[str, Any]]
"""Of each domain: samples; tokens of answers; loss, their mean; chosen, the share of the samples
that each expert saw; gates, its mean weight in each block of the adapter, over these samples."""


class ExpertUse(NamedTuple):
    """Of one expert, over all domains. A weight is the mean over the adapter's blocks."""

    chosen: float
    """Share of the samples."""
    gate: float
    """Mean weight where it was chosen; 0 where it never was."""
    joint: int
    """Samples that it saw together with another expert."""
    joint_gate: float
    """Sum of its weights there."""


class Statistics(NamedTuple):
    """What was learned from since the statistics before."""

    loss: float
    """Mean over the answers' tokens."""
    domains: dict[str, dict[str, Any]]
    experts: dict[str, ExpertUse]


class DomainStatistics:
    """Sums over the steps since the last `collect`."""

    def __init__(self, experts: Sequence[str]) -> None:
        self.experts = tuple(experts)
        self._batches: list[tuple[Sequence[str], Tensor]] = []

    def add(self, domains: Sequence[str], routing: Tensor, found: AnswerLoss) -> None:
        """One batch: domains [B]; routing bool [B, E]; its losses, and its gates, 0 where an expert
        was not chosen."""
        sums = torch.stack([found.answered.sum(dim=1), found.losses.sum(dim=1)], dim=1)  # [B, 2]
        joint = routing & (routing.sum(dim=1, keepdim=True) > 1)
        gates = found.gates.float().mT  # [B, E, blocks]
        counts = torch.stack([routing, joint, joint * gates.mean(dim=2)], dim=2)
        of_experts = torch.cat([counts, gates], dim=2).flatten(1)
        table = torch.cat([sums, of_experts], dim=1)
        self._batches.append((domains, table.detach()))  # kept on its device: nothing waits for it

    def collect(self) -> Statistics:
        """What was added in all processes; called in each of them. Begins anew."""
        sums: dict[str, Any] = defaultdict(float)
        for domains, table in self._batches:
            for domain, row in zip(domains, table.double().cpu(), strict=True):
                sums[domain] += torch.cat([row.new_ones(1), row])
        self._batches = []
        total: dict[str, Any] = defaultdict(float)
        for domain, row in (pair for own in gather_object([dict(sums)]) for pair in own.items()):
            total[domain] += row
        whole = torch.stack(list(total.values())).sum(dim=0)
        described = {d or NO_DOMAIN: self._domain(total[d]) for d in sorted(total)}
        return Statistics(float(whole[2] / whole[1]), described, self._use(whole))

    def _columns(self, row: Tensor) -> dict[str, list[float]]:
        """Of each expert, of sums [3 + E * (3 + blocks)]: samples; samples that others saw too, and
        the weights there; the weights in each block."""
        columns = row[3:].unflatten(0, (len(self.experts), -1)).tolist() if self.experts else []
        return dict(zip(self.experts, columns, strict=True))

    def _domain(self, row: Tensor) -> dict[str, Any]:
        """One domain's sums in words."""
        samples, tokens, loss = row[:3].tolist()
        columns = self._columns(row)
        return {
            "samples": int(samples),
            "tokens": int(tokens),
            "loss": round(loss / tokens, 6),
            "chosen": {name: round(count / samples, 4) for name, (count, *_) in columns.items()},
            "gates": {
                name: [round(block / count, 4) for block in blocks]
                for name, (count, _, _, *blocks) in columns.items()
                if count
            },
        }

    def _use(self, row: Tensor) -> dict[str, ExpertUse]:
        """Of each expert, of the sums of all domains."""
        return {
            name: ExpertUse(
                chosen=round(count / float(row[0]), 4),
                gate=round(sum(blocks) / len(blocks) / max(count, 1), 4),
                joint=int(joint),
                joint_gate=joint_gate,
            )
            for name, (count, joint, joint_gate, *blocks) in self._columns(row).items()
        }


def flat(experts: Mapping[str, Mapping[str, float]], domains: Domains) -> dict[str, float]:
    """One number a name, as trackers take them: chosen/chart, gate/chart; loss/text,
    chosen/text/chart, gate/text/chart/1."""
    numbers = {
        f"{what}/{name}": number for name, use in experts.items() for what, number in use.items()
    }
    for domain, found in domains.items():
        numbers[f"loss/{domain}"] = found["loss"]
        for name, share in found["chosen"].items():
            numbers[f"chosen/{domain}/{name}"] = share
        for name, blocks in found["gates"].items():
            for block, weight in enumerate(blocks, start=1):
                numbers[f"gate/{domain}/{name}/{block}"] = weight
    return numbers


class GateWatch:
    """Averages of each expert, over one window after the other.

    rate: the learning rate of the gates; 0 where they don't learn.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._sums: dict[str, tuple[int, float]] = {}
        self._warned: set[str] = set()

    def warning(self, experts: Mapping[str, ExpertUse]) -> str | None:
        """One line, where what was seen since the last call ends a window with a collapsed gate;
        once for each expert."""
        collapsed: dict[str, float] = {}
        for name, use in experts.items():
            samples, weights = self._sums.get(name, (0, 0.0))
            samples, weights = samples + use.joint, weights + use.joint_gate
            self._sums[name] = (samples, weights)
            if samples >= WINDOW:
                self._sums[name] = (0, 0.0)
                mean = weights / samples
                if not COLLAPSED <= mean <= 1 - COLLAPSED and name not in self._warned:
                    collapsed[name] = mean
        if not collapsed:
            return None
        self._warned |= collapsed.keys()
        shares = ", ".join(f"{name} {mean:.3f}" for name, mean in collapsed.items())
        remedy = (
            f"begin again with a lower one, such as learning_rates.gate={self.rate / 10:.0e}"
            if self.rate
            else "begin again with a model whose gates have not"
        )
        return (
            f"warning: the adapter's gates have collapsed: where others are chosen too, the mean "
            f"weight is {shares}; what gets nothing learns nothing: {remedy}, or annotate fewer "
            "experts"
        )
