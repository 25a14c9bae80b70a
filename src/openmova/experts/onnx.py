"""Any ONNX graph as an expert, through onnxruntime (the extra `onnx`).

The spec names the file, which tensor of the graph is the map, and how the picture goes in:
`{"kind": "onnx", "name": ..., "descriptions": [...], "path": "package:rapidocr/models/x.onnx",
"output": "...", "size": 224, "mean": [...], "std": [...], "layout": "NCHW"}`.
The tensor may lie inside the graph, which is then cut off after it. The weights stay in the ONNX
file: a relative path means a file of the checkpoint folder.
"""

from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from openmova.errors import UserError
from openmova.experts.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    height_width,
    square_view,
    tokens_to_map,
)
from openmova.experts.onnx_session import OnnxSession
from openmova.experts.spec_files import FileExpert

NUMBERS: dict[str, type[np.floating[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


class OnnxExpert(FileExpert):
    """A graph with one picture input [B, 3, H, W] and a map somewhere in it."""

    files: ClassVar = {"path": ""}

    def __init__(
        self,
        *,
        name: str,
        descriptions: Sequence[str],
        path: str,
        output: str | None = None,
        size: int | Sequence[int] | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        channel_order: Literal["RGB", "BGR"] = "RGB",
        layout: Literal["NCHW", "tokens"] = "NCHW",
        channels: int | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        folder: Path | None = None,
    ) -> None:
        """See docs/experts.md for the keywords; folder: where relative paths start."""
        if layout not in ("NCHW", "tokens") or channel_order not in ("RGB", "BGR"):
            raise UserError(
                f"the onnx expert {name!r} knows the layouts NCHW and tokens and the channel "
                f"orders RGB and BGR, not {layout!r} and {channel_order!r}"
            )
        super().__init__(name=name, descriptions=descriptions, channels=channels or 0)
        self.mean, self.std = tuple(mean), tuple(std)
        self.channel_order, self.layout = channel_order, layout
        outputs = [] if output is None else [output]
        self.session = OnnxSession(path, folder, outputs, providers)
        self.size, self.batch, self.number = self._input(size)
        if channels is None:
            blank = torch.zeros(1, 3, *self.size)
            self.channels = self._run(blank).shape[1]

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """uint8 [B, 3, H, W], integer [B, 2] -> float32 [B, 3, *size], padded to a square."""
        view = square_view(images, sizes, size=self.size, mean=self.mean, std=self.std)
        return view.flip(1) if self.channel_order == "BGR" else view

    def forward(self, view: Tensor) -> Tensor:
        """float [B, 3, *size] -> float32 [B, channels, h, w], on the device of the view."""
        maps = self._run(view)
        if maps.shape[1] != self.channels:
            raise UserError(
                f"the map of the onnx expert {self.name!r} has {maps.shape[1]} channels, its spec "
                f'says {self.channels}; correct or leave out "channels"'
            )
        return maps.to(view.device)

    def save_files(self, folder: Path) -> None:
        self.session.save_file(folder)

    def _run(self, view: Tensor) -> Tensor:
        pictures = view.detach().float().cpu().numpy().astype(self.number)
        parts = np.split(pictures, len(pictures)) if self.batch == 1 else [pictures]
        outputs = np.concatenate([self.session.run(part)[0] for part in parts])
        maps = torch.from_numpy(outputs.astype(np.float32))
        if self.layout == "tokens" and maps.ndim == 3:
            maps = tokens_to_map(maps, _grid(maps.shape[1], self.size))
        if maps.ndim != 4:
            kind = "map" if self.layout == "NCHW" else "tokens"
            raise UserError(
                f"the output {self.session.outputs[0]!r} of the onnx expert {self.name!r} has the "
                f"shape {list(outputs.shape)}: no {kind}; choose another output or layout"
            )
        return maps

    def _input(
        self, size: int | Sequence[int] | None
    ) -> tuple[tuple[int, int], int | str | None, type[np.floating[Any]]]:
        """Size and batch of the graph's input and its kind of number."""
        inputs = self.session.inputs
        shape, kind = inputs[0].shape, inputs[0].type
        if len(inputs) != 1 or kind not in NUMBERS or len(shape) != 4 or not _may_be(shape[1], 3):
            raise UserError(
                f"the onnx expert {self.name!r} needs a graph with one float input [B, 3, H, W], "
                f"not {[(i.name, i.shape, i.type) for i in inputs]}"
            )
        if not _may_be(shape[0], 1):
            raise UserError(
                f"the graph of the onnx expert {self.name!r} is fixed to batches of {shape[0]}; "
                "export it with a batch of 1 or any"
            )
        fixed: list[int | None] = [side if isinstance(side, int) else None for side in shape[2:]]
        if size is None and None in fixed:
            raise UserError(f'the onnx expert {self.name!r} takes any size: give it a "size"')
        wanted = height_width(size if size is not None else [side or 0 for side in fixed])
        if not all(map(_may_be, shape[2:], wanted)):
            raise UserError(
                f"the graph of the onnx expert {self.name!r} is fixed to pictures of "
                f"{fixed[0]}x{fixed[1]}, its spec says {wanted[0]}x{wanted[1]}"
            )
        return wanted, shape[0], NUMBERS[kind]


def _may_be(side: int | str | None, number: int) -> bool:
    """Whether a side of a graph's shape, maybe a name for any number, fits this number."""
    return not isinstance(side, int) or side == number


def _grid(tokens: int, size: tuple[int, int]) -> tuple[int, int]:
    """The largest grid of the picture's proportions that the tokens fill."""
    height = isqrt(tokens * size[0] // size[1])
    return height, height * size[1] // size[0]
