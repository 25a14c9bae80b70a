"""What the base encoder's frozen layers make of the pictures of data folders, once and for all.

    python -m studies.nano.encode runs/nano-data/photos runs/nano-data/pages --count 400

Writes DIR/base.npy, float16 [pictures, 472, 24, 24]: stages 5 and 7 of EfficientNet-Lite2 at 448
pixels, of the first pictures of pictures.jsonl. A run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from openmova.experts.lite import Lite2Encoder, convert_lite
from openmova.images.opening import load_image
from studies import new_parser
from studies.nano.data.record import PICTURES, read
from studies.nano.pictures import as_batch
from studies.nano.words import lite2_state

GRID = (24, 24)
STAGES = (5, 7)
SIDE = 448


def base_encoder(side: int = SIDE) -> Lite2Encoder:
    """The frozen part of nano's base encoder, which takes pictures of `side` pixels."""
    return frozen_lite2(size=side, stages=STAGES, grid=GRID)


def frozen_lite2(**keywords: Any) -> Lite2Encoder:
    """EfficientNet-Lite2 with the package's weights."""
    encoder = Lite2Encoder(name="lite2", descriptions=[""], **keywords)
    encoder.load_state_dict(convert_lite(lite2_state()), strict=False)
    encoder.freeze()
    return encoder


@torch.no_grad()
def encode(folder: Path, count: int, name: str = "base", side: int = SIDE) -> None:
    """Add to DIR/NAME.npy what is not there yet of the first `count` pictures."""
    encoder = base_encoder(side)
    pictures = list(read(folder / PICTURES))[:count]

    def see(place: int) -> Tensor:
        image = load_image(folder / pictures[place]["image"])
        return encoder(encoder.view(*as_batch(image)))[0]

    store(folder / f"{name}.npy", (len(pictures), encoder.channels, *GRID), see)


def store(file: Path, shape: tuple[int, ...], make: Callable[[int], Tensor]) -> NDArray[np.float16]:
    """Fill a file, mapped, with one tensor after the other; a run that was stopped goes on."""
    done = file.with_suffix(".done")
    start = int(done.read_text()) if done.is_file() else 0
    stored = open_memmap(file, "r+" if start else "w+", np.float16, shape)
    for place in tqdm(range(start, len(stored)), desc=file.parent.name, unit=" pictures"):
        stored[place] = make(place).numpy()
        if place % 50 == 49 or place + 1 == len(stored):
            stored.flush()
            done.write_text(str(place + 1))
    return stored


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for folder in arguments.folders:
        encode(folder, arguments.count)


if __name__ == "__main__":
    main()
