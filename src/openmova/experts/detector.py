"""Detectors as experts: where things of known classes are, and how many, in words too.

A detector is an ONNX graph for one picture whose heads are those of openmova.experts.boxes. Its map
carries a short text in token codes (openmova.experts.token_codes), which says how many there are of
each class and where each one is; beside it the neck's features and, at their place, the scores of
the classes.

Shapes: B batch, K classes, h w the map.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor

from openmova.experts.boxes import Found, find_things
from openmova.experts.onnx_session import OnnxSession
from openmova.experts.token_codes import WordExpert, WordOptions

LISTED = 12
"""So many things get a line of their own in the text, the largest first."""


class Heads(NamedTuple):
    """Names of a graph's tensors."""

    scores: tuple[str, ...]
    """By growing stride: [1, h * w, K]."""
    distances: tuple[str, ...]


class DetectorExpert(WordExpert):
    """A frozen detector; a subclass names its classes, heads and view.

    Args:
        path: of the graph; None: the kind's usual one.
        threshold: score from which a thing is counted.
        words: see WordExpert.
    """

    classes: ClassVar[tuple[str, ...]]
    heads: ClassVar[Heads]
    strides: ClassVar[tuple[int, ...]]
    usual_threshold: ClassVar[float]

    def __init__(
        self,
        *,
        path: str | None = None,
        threshold: float | None = None,
        **words: Unpack[WordOptions],
    ) -> None:
        super().__init__(**words)
        self.threshold = self.usual_threshold if threshold is None else threshold
        outputs = [*self.heads.scores, *self.heads.distances]
        self.session = OnnxSession(path or self.files["path"], words.get("folder"), outputs)

    def save_files(self, folder: Path) -> None:
        super().save_files(folder)
        self.session.save_file(folder)

    def inside(self, picture: Tensor) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of where the picture lies in its view [channels, h, w]."""
        return 0, 0, picture.shape[-1], picture.shape[-2]

    @abstractmethod
    def place(self, box: Tensor, size: tuple[int, int]) -> Tensor:
        """Boxes [N, 4] of the view -> of the picture with this height and width."""

    def texts(self, view: Tensor) -> list[str]:
        """Of float [B, 3 or more, h, w]."""
        texts = []
        for picture in view:
            levels = self._run(picture)
            left, top, right, bottom = self.inside(picture)
            width, height = right - left, bottom - top
            things = [
                thing._replace(box=clip((x0 - left, y0 - top, x1 - left, y1 - top), width, height))
                for thing in find_things(levels, self.threshold)
                for x0, y0, x1, y1 in [thing.box]
            ]
            texts.append(self.text(things, (height, width)))
        return texts

    def find(self, images: Tensor, sizes: Tensor) -> list[list[Found]]:
        """What is in each picture; boxes in its pixels.

        images: uint8 [B, 3, H, W]; sizes: integer [B, 2].
        """
        found = []
        for view, (height, width) in zip(self.view(images, sizes), sizes.tolist(), strict=True):
            things = find_things(self._run(view), self.threshold)
            boxes = torch.tensor([thing.box for thing in things]).view(-1, 4)
            placed = [
                clip(box, width, height) for box in self.place(boxes, (height, width)).tolist()
            ]
            found.append([t._replace(box=b) for t, b in zip(things, placed, strict=True)])
        return found

    def text(self, things: Sequence[Found], size: tuple[int, int]) -> str:
        """In words: "2 dog, 1 person", then a line a thing, the largest first: "dog top left".

        size: height and width of what the boxes lie in.
        """
        if not things:
            return "nothing"
        counts = Counter(self.classes[thing.label] for thing in things).most_common()
        lines = [", ".join(f"{count} {name}" for name, count in counts)]
        for thing in sorted(things, key=_area, reverse=True)[:LISTED]:
            lines.append(f"{self.classes[thing.label]} {where(thing.box, size)}")
        return "\n".join(lines)

    def _run(self, picture: Tensor) -> list[tuple[Tensor, Tensor, int, int]]:
        """The levels for `find_things` of a view [3 or 4, h, w]."""
        arrays = self.session.run(picture[None, :3].float().cpu().numpy())
        outputs = [torch.from_numpy(array) for array in arrays]
        count = len(self.strides)
        widths = [-(-picture.shape[-1] // stride) for stride in self.strides]
        return [
            (scores[0], distances[0], width, stride)
            for scores, distances, width, stride in zip(
                outputs[:count], outputs[count:], widths, self.strides, strict=True
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


def _area(thing: Found) -> float:
    left, top, right, bottom = thing.box
    return (right - left) * (bottom - top)
