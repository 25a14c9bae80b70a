"""What an expert costs on this machine: operations and seconds for one picture, a page of text.

Measured once, by running it, and remembered in the cache folder for experts of the same spec on the
same device, in the same numbers and with as many threads.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from openmova.errors import UserError
from openmova.experts.registry import expert_class
from openmova.runtime.cache import REMEDY, cache_dir
from openmova.runtime.fake_run import COUNTS
from openmova.runtime.files import write_text, writing

Look = Callable[[Tensor, Tensor], Tensor]
"""From pictures uint8 [B, 3, H, W] and their sizes [B, 2] to their maps."""
PAGE = (768, 1024)
"""Width and height of the picture, in pixels."""


@dataclass(frozen=True, kw_only=True)
class ExpertCost:
    """Of one picture, its view included; of the adapter nothing."""

    operations: int | None
    """None: it runs graphs, whose operations are not counted."""
    seconds: float

    def amount(self, unit: str, name: str) -> float:
        """Raises UserError if it is not known."""
        found: float | None = self.seconds if unit == "seconds" else self.operations
        if found is None:
            raise UserError(
                f"the operations of the expert {name} can't be counted, as it runs an ONNX graph: "
                "give the budget in seconds, such as 0.5s"
            )
        return found


def expert_cost(
    look: Look, spec: Mapping[str, Any], like: Tensor, folder: Path | None
) -> ExpertCost:
    """What an expert costs, as it was measured here before, or is measured now.

    look: runs it. like: a tensor on its device, in its dtype. folder: where relative paths of its
    spec start.
    """
    device = like.device
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    keywords = {key: value for key, value in spec.items() if key != "kind"}
    graphs = expert_class(spec["kind"]).file_bytes(keywords, folder=folder)
    settings = [dict(spec), graphs, str(like.dtype), where, torch.get_num_threads()]
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    file = cache_dir() / "expert-costs.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if key in known:
        return ExpertCost(**known[key])
    cost = _measure(look, device, counted=not graphs)
    with writing(file.parent, REMEDY):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps({**known, key: asdict(cost)}, indent=1))
    return cost


@torch.no_grad()
def _measure(look: Look, device: torch.device, *, counted: bool) -> ExpertCost:
    picture = page().to(device)
    sizes = torch.tensor([picture.shape[2:]], device=device)

    def run() -> None:
        look(picture, sizes)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with FlopCounterMode(display=False, custom_mapping=COUNTS) as counter:  # and it warms up
        run()
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    return ExpertCost(operations=counter.get_total_flops() if counted else None, seconds=seconds)


def page() -> Tensor:
    """Lines of text, uint8 [1, 3, H, W]: an expert that reads has something to do."""
    image = Image.new("RGB", PAGE, "white")
    lines = "\n".join(["The quick brown fox jumps over the lazy dog 0123456789."] * 24)
    ImageDraw.Draw(image).multiline_text((40, 40), lines, fill="black", font_size=24, spacing=12)
    return torch.from_numpy(np.array(image)).movedim(-1, 0)[None]
