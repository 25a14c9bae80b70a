"""Which everyday things are in a photo, where, and how many: NanoDet-g, trained on COCO.

The file is made by studies/nano/convert_nanodet.py: 80 classes, 416 px, BGR.
"""

from typing import ClassVar

import torch
from torch import Tensor

from openmova.experts.base import IMAGENET_MEAN, IMAGENET_STD, square_view
from openmova.experts.detector import DetectorExpert

SIDE = 416
THINGS = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, "
    "fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, "
    "bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, "
    "ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, "
    "wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, "
    "hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, "
    "laptop, mouse, remote control, keyboard, phone, microwave, oven, toaster, sink, "
    "refrigerator, book, clock, vase, scissors, teddy bear, hair dryer, toothbrush"
)


class LocationExpert(DetectorExpert):
    """NanoDet-g. Its view is a square, padded with the mean colour."""

    classes = tuple(THINGS.split(", "))
    files: ClassVar = {"path": "experts/nanodet.onnx"}
    heads: ClassVar = {n: (f"scores_{n}", f"distances_{n}") for n in (8, 16, 32)}

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns float32 [B, 4, 416, 416]: blue, green, red, and a mask that is 1
        where the picture is."""
        size = (SIDE, SIDE)
        view = square_view(
            images, sizes, size=size, mean=IMAGENET_MEAN, std=IMAGENET_STD, mode="bilinear"
        )
        masks = view.new_zeros(len(view), 1, *size)
        for mask, (height, width) in zip(masks, sizes.tolist(), strict=True):
            corner = self._corner((height, width))
            moved = (corner + torch.tensor([0, 0, width, height])) * (SIDE / max(height, width))
            left, top, right, bottom = moved.round().int().tolist()
            mask[0, top : max(bottom, top + 1), left : max(right, left + 1)] = 1
        return torch.cat([view.flip(1), masks], 1)

    def inside(self, picture: Tensor) -> tuple[int, int, int, int]:
        rows, columns = ((picture[3] > 0).any(axis).nonzero()[:, 0] for axis in (1, 0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    @staticmethod
    def _corner(size: tuple[int, int]) -> Tensor:
        """Where the upper left corner of a picture is in its square, twice."""
        height, width = size
        side = max(size)
        return torch.tensor([(side - width) // 2, (side - height) // 2] * 2)
