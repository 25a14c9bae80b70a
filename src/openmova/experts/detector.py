"""Detectors as experts: where things of known classes are, and how many, in words too.

A detector is an ONNX graph for one picture, NanoDet or PicoDet. At each place of a grid it has a
score per class, and per side of the box a distribution over distances, whose mean counts in strides
(generalised focal loss, arXiv 2006.04388, section 3.2). Its map carries a short text in token codes
(openmova.experts.token_codes), which says how many there are of each class and where each one is.

Shapes: B batch, K classes, h w a grid, P = h * w its places, N boxes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from openmova.experts.onnx_session import OnnxSession
from openmova.experts.token_codes import WordExpert

LISTED = 12
"""So many things get a line of their own in the text, the largest first."""
OVERLAP = 0.5
"""Intersection over union from which the weaker of two boxes of one class is dropped."""


class Found(NamedTuple):
    """A thing in a picture: its class, score, and left, top, right, bottom in pixels."""

    label: int
    score: float
    box: tuple[float, float, float, float]

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


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
        return [
            thing._replace(
                box=clip((x0 - left, y0 - top, x1 - left, y1 - top), right - left, bottom - top)
            )
            for thing in find_things(self._run(view), self.threshold)
            for x0, y0, x1, y1 in [thing.box]
        ]

    def texts(self, view: Tensor) -> list[str]:
        """Of float [B, 3 or more, h, w]."""
        texts = []
        for picture in view:
            left, top, right, bottom = self.inside(picture)
            texts.append(self.text(self.things(picture), (bottom - top, right - left)))
        return texts

    def text(self, things: Sequence[Found], size: tuple[int, int]) -> str:
        """In words: "2 dog, 1 person", then a line a thing, the largest first: "dog top left".

        size: height and width of what the boxes lie in.
        """
        if not things:
            return "nothing"
        counts = Counter(self.classes[thing.label] for thing in things).most_common()
        lines = [", ".join(f"{count} {name}" for name, count in counts)]
        for thing in sorted(things, key=lambda thing: -thing.area)[:LISTED]:
            lines.append(f"{self.classes[thing.label]} {where(thing.box, size)}")
        return "\n".join(lines)

    def _run(self, picture: Tensor) -> list[tuple[Tensor, Tensor, int, int]]:
        """The levels for `find_things` of a view [3 or 4, h, w]."""
        arrays = self.session.run(picture[None, :3].float().cpu().numpy())
        outputs = [torch.from_numpy(array)[0] for array in arrays]
        width = picture.shape[-1]
        return [
            (scores, distances, -(-width // stride), stride)
            for stride, scores, distances in zip(
                self.heads, outputs[::2], outputs[1::2], strict=True
            )
        ]


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


def find_things(levels: Iterable[tuple[Tensor, Tensor, int, int]], threshold: float) -> list[Found]:
    """What a detector sees, by falling score; of overlapping boxes of a class the surest.

    levels: scores [P, K], distances [P, 4 * bins], width and stride of each grid.
    """
    scores, boxes = [], []
    for score, distances, width, stride in levels:
        sure = score.amax(1) > threshold
        scores.append(score[sure])
        boxes.append(decode_boxes(distances, width, stride)[sure])
    score, label = torch.cat(scores).max(1)
    order = score.argsort(descending=True, stable=True)
    score, label, box = score[order], label[order], torch.cat(boxes)[order]
    same = label[:, None] == label
    doubles = (same & (overlaps(box, box) > OVERLAP)).tolist()
    kept: list[int] = []
    for i, row in enumerate(doubles):
        if not any(row[j] for j in kept):
            kept.append(i)
    return [
        Found(int(label[i]), float(score[i]), (*map(float, box[i]),))  # type: ignore[arg-type]
        for i in kept
    ]


def overlaps(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [N, 4] and [M, 4]: [N, M]."""
    corner = torch.maximum(a[:, None, :2], b[:, :2])
    opposite = torch.minimum(a[:, None, 2:], b[:, 2:])
    shared = (opposite - corner).clamp(min=0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (a, b)]
    return shared / (areas[0][:, None] + areas[1] - shared)
