"""What nano's encoders cost on this machine, and one encoder that costs as much as several.

Seconds of one picture in float32 on one thread, its view included: most experts run graphs, whose
operations are not counted.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor
from tqdm import tqdm

from openmova.images.opening import load_image
from openmova.runtime.files import new_file
from studies.nano.encode import SIDE, base_encoder
from studies.nano.pictures import as_batch
from studies.nano.words import say
from studies.sides.questions import Choice
from studies.sides.side import EXPERTS

EACH = 8
"""Pictures of a folder that are timed."""
Costs = Mapping[str, Mapping[str, float]]
"""Of each folder the mean seconds of each encoder."""


@torch.no_grad()
def measure_costs(run: Path, test: Sequence[Choice]) -> Costs:
    """Seconds of the base and every expert, of some held-out pictures of each folder; kept in
    RUN/seconds.json."""
    file = run / "seconds.json"
    if file.is_file():
        stored: Costs = json.loads(file.read_text())
        return stored
    base = base_encoder()
    runs: dict[str, Callable[[Tensor, Tensor], object]] = {
        "base": lambda images, sizes: base(base.view(images, sizes)),
        **{name: partial(say, name) for name in EXPERTS},
    }
    found: dict[str, dict[str, list[float]]] = {}
    images = {choice.image: choice for choice in test}
    some = [
        choice
        for folder in sorted({choice.folder for choice in test})
        for choice in [c for c in images.values() if c.folder == folder][:EACH]
    ]
    for choice in tqdm(some, desc="seconds", unit=" pictures"):
        pixels, sizes = picture(run, choice)
        for name, encode in runs.items():
            if name not in found.setdefault(choice.folder, {}):
                encode(pixels, sizes)  # warm
            began = time.perf_counter()
            encode(pixels, sizes)
            found[choice.folder].setdefault(name, []).append(time.perf_counter() - began)
    costs = {
        folder: {name: fmean(seconds) for name, seconds in own.items()}
        for folder, own in found.items()
    }
    with new_file(file) as unfinished:
        unfinished.write_text(json.dumps(costs, indent=1))
    return costs


def picture(run: Path, choice: Choice) -> tuple[Tensor, Tensor]:
    return as_batch(load_image(run / "data" / choice.folder / choice.image))


@torch.no_grad()
def side_of_cost(run: Path, test: Sequence[Choice], seconds: float) -> int:
    """Pixels of the side of a square at which the base encoder takes so long: its cost grows with
    the area, and is measured once more at what that gives. A multiple of 32."""

    def measure(side: int) -> float:
        encoder = base_encoder(side)
        pixels, sizes = picture(run, test[0])
        taken = []
        for _ in range(4):  # the first warms up
            began = time.perf_counter()
            encoder(encoder.view(pixels, sizes))
            taken.append(time.perf_counter() - began)
        return min(taken[1:])

    side = SIDE
    for _ in range(2):
        side = max(SIDE, 32 * round(side * math.sqrt(seconds / measure(side)) / 32))
    return side
