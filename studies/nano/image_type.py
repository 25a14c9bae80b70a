"""Trains the head of the image type expert on stored base maps, and writes what it says of them.

    python -m studies.nano.image_type runs/nano-data

Needs DIR/base.npy of studies.nano.encode. The weights go to models/nano/image_type.safetensors in
float16. DIR/image_type.jsonl gets a line a picture, {"id": ..., "image_type": ...}, by a head that
did not learn from it: the language model should learn from mistakes as often as it meets them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from openmova.checkpoints.nano_spec import IMAGE_TYPES
from openmova.experts.image_type import ImageTypeHead, type_text
from openmova.runtime.files import new_file
from studies import new_parser
from studies.nano.data import record
from studies.nano.words import IMAGE_TYPE_WEIGHTS

PICTURES = (
    *("kinds", "figures", "gallery", "photos", "places", "signs", "pairs"),
    *("charts", "pages", "receipts", "screens", "reports"),
)
PLOTS = {
    "bar": "bar chart", "barh": "bar chart", "grouped": "bar chart", "line": "line chart",
    "lines": "line chart", "pie": "pie chart", "scatter": "scatter plot",
}  # fmt: skip
"""By the type of a chart of studies.nano.data.charts."""
TYPES = {
    "page": "document", "screen": "screenshot", "web page": "screenshot", "scene": "photo",
    "sign": "photo", "scene with text": "photo", "page with chart": "document",
}  # fmt: skip
"""By the domain of a picture; other domains are types themselves."""
FOLDS, EPOCHS, BATCH = 5, 60, 64
RATE, DECAY, NOISE = 1e-3, 1.0, 0.3
"""Of AdamW; the standard deviation of what is added to the features."""


def image_type(picture: Mapping[str, Any]) -> str:
    """Of a line of pictures.jsonl."""
    if chart := picture.get("chart"):
        return PLOTS[chart["type"]]
    domain = picture["domain"]
    return picture.get("chart_kind") or TYPES.get(domain, domain)


def fit_head(pooled: Tensor, targets: Tensor, seed: int = 0) -> ImageTypeHead:
    """Of pooled maps [N, 3 C] and their types [N]; rare types count as the root of their number."""
    torch.manual_seed(seed)
    head = ImageTypeHead(pooled.shape[1] // 3, len(IMAGE_TYPES))
    head.shift.copy_(pooled.mean(0))
    head.scale.copy_(1 / pooled.std(0).clamp(min=1e-3))
    normal = head.normalize(pooled)
    counts = torch.bincount(targets, minlength=len(IMAGE_TYPES)).clamp(min=1)
    weights = (len(targets) / len(IMAGE_TYPES) / counts).sqrt()
    optimizer = torch.optim.AdamW(head.linear.parameters(), RATE, weight_decay=DECAY)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(targets)).split(BATCH):
            seen = normal[chosen] + NOISE * torch.randn_like(normal[chosen])
            F.cross_entropy(head.linear(seen), targets[chosen], weights).backward()
            optimizer.step()
            optimizer.zero_grad()
    return head


@torch.no_grad()
def read(folder: Path) -> tuple[list[dict[str, Any]], Tensor]:
    """The pictures of a folder that have a stored map, and these pooled [N, 3 C]."""
    maps = np.load(folder / "base.npy", mmap_mode="r")[: int((folder / "base.done").read_text())]
    pictures = list(islice(record.read(folder / record.PICTURES), len(maps)))
    parts = np.array_split(maps, max(len(maps) // 16, 1))
    pooled = [ImageTypeHead.pool(torch.tensor(part, dtype=torch.float32)) for part in parts]
    return pictures, torch.cat(pooled)


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = [arguments.data / name for name in PICTURES]
    read_folders = [read(folder) for folder in folders]
    pictures = [picture for some, _ in read_folders for picture in some]
    pooled = torch.cat([some for _, some in read_folders])
    targets = torch.tensor([IMAGE_TYPES.index(image_type(picture)) for picture in pictures])
    rng = random.Random(0)
    folds = torch.tensor([rng.randrange(FOLDS) for _ in pictures])  # in which each is left out
    chances = torch.zeros(len(pictures), len(IMAGE_TYPES))
    for fold in range(FOLDS):
        own = folds == fold
        head = fit_head(pooled[~own], targets[~own])
        with torch.no_grad():
            chances[own] = head.linear(head.normalize(pooled[own])).softmax(-1)
    right = chances.argmax(1) == targets
    print(f"left out, the right type: {right.float().mean():.1%} of {len(right)}")
    for number, name in enumerate(IMAGE_TYPES):
        own = targets == number
        print(f"  {name}: {int(right[own].sum())} of {int(own.sum())}")
    told = iter(chances)
    for folder, (some, _) in zip(folders, read_folders, strict=True):
        with new_file(folder / "image_type.jsonl") as unfinished:
            lines = [
                json.dumps({"id": picture["id"], "image_type": type_text(IMAGE_TYPES, next(told))})
                for picture in some
            ]
            unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    state = {name: tensor.half() for name, tensor in fit_head(pooled, targets).state_dict().items()}
    with new_file(IMAGE_TYPE_WEIGHTS) as unfinished:
        save_file(state, unfinished)


if __name__ == "__main__":
    main()
