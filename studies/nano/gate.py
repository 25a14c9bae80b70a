"""Do the adapter's gates collapse where two experts are always chosen and both are needed?

    python -m studies.nano.gate            # 3 seeds x 4 ways, minutes of a core

A tiny MoV-Adapter (two blocks) learns to read two things of a picture at once. The chart expert
shows one of 16 bars, which a linear layer reads; the text expert shows two signs, and whether they
agree is the letter: nothing linear reads that, so this expert is of use late. The base sees noise.
What the gates give to the text expert is printed, the rest goes to the chart expert.

Shapes: B pictures, 16 channels, a grid of 2 x 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.model.adapter import AdapterConfig, ExpertMap, MoVAdapter
from openmova.train.domain_statistics import COLLAPSED
from openmova.train.stages import GATE_SHARE

STEPS, BATCH, RATE, WARMUP = 800, 32, 5e-3, 0.03
CHANNELS, WIDTH, LETTERS, BARS = 16, 32, 2, 16
GRID = (2, 2)


WAYS = {
    "the adapter's rate": (1.0, 0.0),
    f"{GATE_SHARE:g} of it, the default": (GATE_SHARE, 0.0),
    "the adapter's rate, after a third of the steps": (1.0, 1 / 3),
    "equal weights, never learned": (0.0, 0.0),
}
"""Of each the share of the learning rate that the gates have, and of the steps before they do."""


def draw(
    count: int, codes: tuple[Tensor, Tensor], chance: torch.Generator
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Maps of base, text and chart, by codes [2, 16] and [16, 16]; letters [B] and bars [B]."""

    def noise(channels: int, size: float) -> Tensor:
        return size * torch.randn(count, channels, *GRID, generator=chance)

    signs = 2.0 * torch.randint(2, (count, 2), generator=chance) - 1
    bars = torch.randint(BARS, (count,), generator=chance)
    text = (signs @ codes[0])[:, :, None, None] + noise(CHANNELS, 0.3)
    chart = codes[1][bars][:, :, None, None] + noise(CHANNELS, 1.0)
    return [noise(WIDTH, 0.5), text, chart], (signs.prod(dim=1) > 0).long(), bars


def measure(share: float, rest: float, seed: int) -> tuple[list[float], float, float]:
    """Mean weight of the text expert in each block; share of letters and of bars that are right."""
    torch.manual_seed(seed)
    config = AdapterConfig(
        width=WIDTH,
        expert_channels=(CHANNELS, CHANNELS),
        text_width=8,
        output_width=WIDTH,
        grid=GRID,
        blocks=2,
        head_dim=16,
    )
    adapter, head = MoVAdapter(config), nn.Linear(WIDTH, LETTERS + BARS)
    chance = torch.Generator().manual_seed(seed)
    text, chart = (torch.randn(n, CHANNELS, generator=chance) for n in (2, BARS))
    codes = (4 * F.normalize(text, dim=-1), 4 * F.normalize(chart, dim=-1))
    gates = [p for name, p in adapter.named_parameters() if ".gate." in name]
    others = [p for name, p in adapter.named_parameters() if ".gate." not in name]
    groups = [{"params": [*others, *head.parameters()]}, {"params": gates}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)

    def answer(maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        base, *experts = maps
        rows = torch.arange(len(base))
        seen = {j: ExpertMap(rows, features) for j, features in enumerate(experts)}
        everyone = torch.ones(len(base), 2, dtype=torch.bool)
        tokens, weights = adapter(base, seen, everyone, torch.zeros(len(base), 8))
        logits = head(tokens.mean(dim=1))
        return logits[:, :LETTERS], logits[:, LETTERS:], weights

    for step in range(STEPS):
        rate = RATE * min(1.0, (step + 1) / (WARMUP * STEPS))
        rate *= (1 + math.cos(math.pi * step / STEPS)) / 2
        optimizer.param_groups[0]["lr"] = rate
        optimizer.param_groups[1]["lr"] = rate * share * (step >= rest * STEPS)
        maps, letters, bars = draw(BATCH, codes, chance)
        letter_logits, bar_logits, _ = answer(maps)
        loss = F.cross_entropy(letter_logits, letters) + F.cross_entropy(bar_logits, bars)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*adapter.parameters(), *head.parameters()], 1.0)
        optimizer.step()
    with torch.no_grad():
        maps, letters, bars = draw(1000, codes, chance)
        letter_logits, bar_logits, weights = answer(maps)
    read = (letter_logits.argmax(1) == letters).float().mean().item()
    read_bars = (bar_logits.argmax(1) == bars).float().mean().item()
    return weights[:, :, 0].mean(dim=0).tolist(), read, read_bars


def main() -> None:
    torch.set_num_threads(1)
    print("| the gates learn at | seed | text expert in blocks 1, 2 | collapse | letters | bars |")
    print("|---|---|---|---|---|---|")
    for title, (share, rest) in WAYS.items():
        for seed in (1, 2, 3):
            blocks, letters, bars = measure(share, rest, seed)
            mean = sum(blocks) / len(blocks)
            collapse = "no" if COLLAPSED <= mean <= 1 - COLLAPSED else "yes"
            weights = ", ".join(f"{weight:.2f}" for weight in blocks)
            figures = f"{weights} | {collapse} | {letters:.0%} | {bars:.0%}"
            print(f"| {title} | {seed} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
