"""An encoder of another kind whose layers are an ONNX graph: what `openmova export` makes of it.

The spec holds that of the encoder, whose view the graph takes:
`{"kind": "onnx_encoder", "name": ..., "descriptions": [...], "path": "experts/clip.onnx",
"encoder": {"kind": "clip", ...}}`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from openmova.errors import UserError
from openmova.experts.onnx_session import OnnxSession
from openmova.experts.registry import build_expert, expert_class
from openmova.experts.spec_files import FileExpert, find_file, save_file

WEIGHTS = ".data"
"""Behind the name of a graph, that of the file with its weights."""


class OnnxEncoder(FileExpert):
    """The view of an encoder, and its map from a graph. It learns nothing.

    encoder: the encoder's own spec; path: of the graph, as in `openmova.experts.spec_files`.
    """

    files: ClassVar = {"path": ""}

    def __init__(
        self,
        *,
        name: str,
        descriptions: Sequence[str],
        path: str,
        encoder: Mapping[str, Any],
        folder: Path | None = None,
    ) -> None:
        kind = encoder.get("kind")
        if not isinstance(kind, str) or not expert_class(kind).on_meta:
            raise UserError(f"the onnx_encoder {name!r} needs the spec of an encoder, not {kind!r}")
        with torch.device("meta"):
            built = build_expert(encoder)
        super().__init__(name=name, descriptions=descriptions, channels=built.channels)
        self.frame = built.frame
        self._encoder = (built,)  # in a tuple, as its weights are no part of this one
        self._session, self._folder = OnnxSession(path, folder), folder

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """As the encoder's own."""
        return self._encoder[0].view(images, sizes)

    def forward(self, view: Tensor) -> Tensor:
        """A view [B, ...] -> float32 [B, channels, h, w], on its device."""
        rows = view.detach().cpu().numpy()
        maps = [self._session.run(rows[n : n + 1])[0] for n in range(len(rows))]
        return torch.from_numpy(np.concatenate(maps)).to(view.device)

    @classmethod
    def file_bytes(cls, keywords: Mapping[str, Any], *, folder: Path | None = None) -> int:
        """See Expert.file_bytes."""
        weights = find_file(keywords["path"] + WEIGHTS, folder)
        return super().file_bytes(keywords, folder=folder) + weights.stat().st_size

    def save_files(self, folder: Path) -> None:
        """See Expert.save_files."""
        self._session.save_file(folder)
        path = self._session.path + WEIGHTS
        save_file(path, find_file(path, self._folder), folder)
