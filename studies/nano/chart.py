"""Trains the head of the chart expert on frozen features of a data folder's charts.

    python -m studies.nano.chart runs/nano-chart --data runs/nano-data

FOLDER gets the features (float16, 1.6 MB a picture), encoded once: a run that was stopped goes on.
The last HELD_OUT charts are never learnt from. Pictures that are no chart, and charts without
marks, teach the head to be silent. The weights go to models/nano/chart.safetensors in float16.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from openmova.experts.chart_head import KINDS, STAGES, STRIDE, VIEW, ChartHead
from openmova.images.opening import load_image
from openmova.runtime.files import new_file
from studies import new_parser
from studies.nano.data.record import PICTURES, read
from studies.nano.encode import frozen_lite2, store
from studies.nano.pictures import as_batch
from studies.nano.words import CHART_WEIGHTS

HELD_OUT = 100
OTHERS = {"photos": 60, "pages": 40, "screens": 40, "receipts": 20, "kinds": 40, "signs": 20}
"""How many pictures of each folder are no chart."""
KIND_OF = {"bar": 0, "grouped": 0, "barh": 1, "line": 2, "lines": 2}
CELLS = VIEW // STRIDE


class Picture(NamedTuple):
    file: Path
    targets: list[tuple[int, float, float]]
    """Of each mark its kind and its x, y in pixels of the view."""


def pictures(data: Path) -> list[Picture]:
    """What the head learns from, in an order of chance that stays the same."""
    found = []
    for row in list(read(data / "charts" / PICTURES))[:-HELD_OUT]:
        chart = row["chart"]
        if chart["type"] in KIND_OF or row["number"] % 2:  # half of those without marks
            found.append(Picture(data / "charts" / row["image"], marks_of(row)))
    for name, count in OTHERS.items():
        others = islice(read(data / name / PICTURES), count)
        found += [Picture(data / name / row["image"], []) for row in others]
    random.Random(0).shuffle(found)
    return found


def marks_of(row: dict[str, Any]) -> list[tuple[int, float, float]]:
    """Kind, x and y in the view of a chart's marks."""
    width, height = row["size"]
    side = max(width, height)
    left, top = (side - width) // 2, (side - height) // 2
    chart = row["chart"]
    return [
        (KIND_OF[chart["type"]], (m["x"] + left) * VIEW / side, (m["y"] + top) * VIEW / side)
        for m in chart.get("marks", ())
    ]


@torch.no_grad()
def encode(folder: Path, some: Sequence[Picture]) -> NDArray[np.float16]:
    """The features [N, C, h, w] of pictures, written to the folder where they are missing."""
    built = frozen_lite2(size=VIEW, stages=STAGES)

    def see(number: int) -> Tensor:
        return built.features(built.view(*as_batch(load_image(some[number].file))))[0]

    return store(folder / "features.npy", (len(some), built.channels, CELLS, CELLS), see)


def targets(some: Sequence[Picture]) -> tuple[Tensor, Tensor, Tensor]:
    """Heat [B, K, h, w] that falls off around each mark; offsets [B, 2, h, w] in cells from a
    cell's middle to the mark, and where they count [B, h, w]."""
    heat = torch.zeros(len(some), len(KINDS), CELLS, CELLS)
    offset = torch.zeros(len(some), 2, CELLS, CELLS)
    counts = torch.zeros(len(some), CELLS, CELLS)
    places = torch.arange(CELLS) + 0.5
    for i, picture in enumerate(some):
        nearest = torch.full((CELLS, CELLS), torch.inf)
        for kind, x, y in picture.targets:
            dx, dy = x / STRIDE - places[None, :], y / STRIDE - places[:, None]
            distance = (dx**2 + dy**2).expand(CELLS, CELLS)
            heat[i, kind] = torch.maximum(heat[i, kind], torch.exp(-distance / (2 * 0.7**2)))
            row, column = (min(max(int(v / STRIDE), 0), CELLS - 1) for v in (y, x))
            heat[i, kind, row, column] = 1
            closer = (distance < nearest) & (dx.abs() <= 1) & (dy.abs() <= 1)
            nearest[closer] = distance[closer]
            offset[i, 0][closer] = dx.expand(CELLS, CELLS)[closer]
            offset[i, 1][closer] = dy.expand(CELLS, CELLS)[closer]
            counts[i][closer] = 1
    return heat, offset, counts


def loss_of(output: Tensor, heat: Tensor, offset: Tensor, counts: Tensor) -> Tensor:
    """Focal loss of the heat (arXiv 1904.07850, eq. 1) and L1 of the offsets, a mark."""
    logits = output[:, : len(KINDS)]
    sure = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    is_mark = heat == 1
    marks = is_mark.sum().clamp(min=1)
    hit = ((1 - sure) ** 2 * sure.log())[is_mark].sum()
    missed = ((1 - heat) ** 4 * sure**2 * (1 - sure).log())[~is_mark].sum()
    off = F.l1_loss(output[:, len(KINDS) :], offset, reduction="none").sum(1)
    return -(hit + missed) / marks + (off * counts).sum() / counts.sum().clamp(min=1)


def train(folder: Path, data: Path, epochs: int) -> None:
    some = pictures(data)
    features = encode(folder, some)
    torch.manual_seed(0)
    head = ChartHead(features.shape[1])
    head.fit_scale(torch.from_numpy(features[:64].astype(np.float32)))
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=1e-4)
    batch = 8
    steps = epochs * len(some) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    order: list[int] = []
    running = 0.0
    rng = random.Random(0)
    for step in tqdm(range(steps), desc="train"):
        if len(order) < batch:
            order += rng.sample(range(len(some)), len(some))
        drawn, order = sorted(order[:batch]), order[batch:]
        inputs = torch.from_numpy(np.stack([features[i] for i in drawn]).astype(np.float32))
        loss = loss_of(head(inputs), *targets([some[i] for i in drawn]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
        if step % 50 == 0:
            tqdm.write(f"step {step}: loss {running:.3f}")
    state = {name: tensor.half().contiguous() for name, tensor in head.state_dict().items()}
    with new_file(CHART_WEIGHTS) as unfinished:
        save_file(state, unfinished)
    print(f"{CHART_WEIGHTS}: {CHART_WEIGHTS.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    train(arguments.folder, arguments.data, arguments.epochs)


if __name__ == "__main__":
    main()
