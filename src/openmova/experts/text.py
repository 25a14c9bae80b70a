"""Reads what is written in a picture: PP-OCRv6 of the package `rapidocr`, its map the words read.

Detector: differentiable binarization (arXiv 1911.08947). Recogniser: a line 48 pixels high, a
character or none every 8 pixels (CTC). Both take BGR in -1..1. The map carries the tokens of the
text in reading order (openmova.experts.token_codes), not by their place.

Shapes: B batch, S side of the view, L lines of one batch of the recogniser, T steps of a line.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openmova.experts.base import crop, resize
from openmova.experts.onnx_session import OnnxSession
from openmova.experts.text_lines import (
    CELL,
    TURNED,
    Box,
    Line,
    cut_out,
    find_boxes,
    pieces,
    reading_order,
)
from openmova.experts.text_marks import mark_highlights
from openmova.experts.text_tables import CELLS_APART, name_cells
from openmova.experts.token_codes import WordExpert

DETECTOR = "package:rapidocr/models/PP-OCRv6_det_small.onnx"
RECOGNISER = "package:rapidocr/models/PP-OCRv6_rec_small.onnx"
FEATURES = "p2o.pd_op.transpose.8.0"
CLASSES = ("linear_8.w_0", "linear_8.b_0")
"""The recogniser's last layer, which we compute for some of its 18,710 classes only."""
SIGNS = frozenset("€™…–—‘’“”•→←≤≥≈×÷−°′″†‡ﬁﬂαβγδεζηθικλμνξπρστφχψωΑΒΓΔΘΛΞΠΣΦΨΩ∑∞√∂∫≠±")
LATIN = 0x250
"""Code points below are Latin letters, digits and the usual signs."""

HEIGHT = 48
SQUEEZE = 0.85
"""Of a line's natural length that the recogniser is given."""
LARGEST = 2
"""So many times a small picture is enlarged at most: small print is found better then."""
LENGTHS = (32, 1600)
LENGTH_STEP, BATCH = 32, 8
SURE = 0.75
"""Mean probability of its characters from which a line is kept."""
WORDS_APART = " "
"""Put between the pieces of a row near each other; those far apart are cells of a table."""


class TextExpert(WordExpert):
    """Detector, recogniser, reading order.

    size: the longest side that a picture is brought to, but it is enlarged to twice its own at
    most; detector, recogniser: paths of the two graphs.
    """

    frame = "none"
    files: ClassVar = {"detector": DETECTOR, "recogniser": RECOGNISER}

    def __init__(
        self,
        *,
        size: int = 960,
        detector: str = DETECTOR,
        recogniser: str = RECOGNISER,
        **words: Any,
    ) -> None:
        super().__init__(**words)
        self.size = size
        self.detector = OnnxSession(detector, words.get("folder"))
        self.recogniser = OnnxSession(recogniser, words.get("folder"), [FEATURES])
        from openmova.experts.onnx_graph import weight  # of the extra, which a session asks for

        characters = ["", *self.recogniser.metadata["character"].split("\n")]
        graph = self.recogniser.file.read_bytes()
        weights, bias = (weight(graph, layer) for layer in CLASSES)
        characters += [" "] * (len(bias) - len(characters))
        kept = [
            i
            for i, c in enumerate(characters)
            if i == 0 or c in SIGNS or (len(c) == 1 and ord(c) < LATIN)
        ]
        self.characters = np.array([characters[i] for i in kept])
        self.weights, self.bias = weights[:, kept], bias[kept]

    def save_files(self, folder: Path) -> None:
        super().save_files(folder)
        for session in (self.detector, self.recogniser):
            session.save_file(folder)

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns uint8 [B, 4, S, S]: the picture in the upper left corner, and
        a mask that is 255 where it is."""
        views = images.new_zeros(len(images), 4, self.size, self.size)
        for view, picture in zip(views, crop(images, sizes), strict=True):
            scale = min(LARGEST, self.size / max(picture.shape[1:]))
            h, w = (max(round(side * scale), 1) for side in picture.shape[1:])
            view[:3, :h, :w] = resize(picture, (h, w)).round()
            view[3, :h, :w] = 255
        return views

    def texts(self, view: Tensor) -> list[str]:
        """Of uint8 [B, 4, S, S], in reading order; of a menu it says which line is highlighted, of
        a table the head of every number."""
        rows = [(without_mask(picture).cpu(), self.lines(picture)) for picture in view]
        return [self.text(name_cells(mark_highlights(picture, lines))) for picture, lines in rows]

    @staticmethod
    def text(rows: Sequence[Sequence[Line]]) -> str:
        """Rows of lines as one text; pieces of a row that stand apart are cells of a table."""
        written = []
        for row in rows:
            parts = [row[0].text]
            for before, line in pairwise(row):
                gap = line.box.bounds[0] - before.box.bounds[2]
                apart = gap > CELL * max(line.box.height, before.box.height)
                parts += [CELLS_APART if apart else WORDS_APART, line.text]
            written.append("".join(parts))
        return "\n".join(written)

    def lines(self, view: Tensor) -> list[list[Line]]:
        """The rows of lines of one view uint8 [4, S, S], in its pixels."""
        picture = without_mask(view).float().cpu()
        lines = self._surer(picture, self.recognise(picture, self._boxes(picture)))
        rows = reading_order([line.box for line in lines])
        return [[lines[i] for i in row] for row in rows]

    def _boxes(self, picture: Tensor) -> list[Box]:
        """Where lines are in a picture float [3, h, w] of 0..255."""
        h, w = picture.shape[1:]
        size = (max(round(h / 32), 1) * 32, max(round(w / 32), 1) * 32)  # the network's step
        probability = self.detector.run(_input(resize(picture, size)[None]))[0][0, 0]
        across, down = w / size[1], h / size[0]
        return [box.scaled(across, down) for box in find_boxes(probability)]

    def _surer(self, picture: Tensor, lines: Sequence[Line]) -> list[Line]:
        """The same lines; a character alone is higher than wide, as a line that was turned is, so
        it is read upright too."""
        turned = [line for line in lines if line.box.tilt > TURNED and len(line.text) == 1]
        upright = self.recognise(picture, [line.box.upright for line in turned])
        read = {line.box: line for line in upright}
        return [
            max(line, read.get(line.box.upright, line), key=lambda line: line.score)
            for line in lines
        ]

    def recognise(self, picture: Tensor, boxes: Sequence[Box]) -> list[Line]:
        """Reads boxes of a picture [3, h, w] of 0..255, each of them a line or cells side by side;
        lines of like length go through the recogniser together."""
        picture, lines = picture.float().cpu(), []
        natural = [HEIGHT * SQUEEZE * box.width / box.height for box in boxes]
        lengths = [int(np.clip(np.ceil(n / LENGTH_STEP) * LENGTH_STEP, *LENGTHS)) for n in natural]
        for length in sorted(set(lengths)):
            alike = [box for box, other in zip(boxes, lengths, strict=True) if other == length]
            for start in range(0, len(alike), BATCH):
                batch = alike[start : start + BATCH]
                crops = torch.stack([cut_out(picture, box, HEIGHT, length) for box in batch])
                (features,) = self.recogniser.run(_input(crops))  # [L, T, 120]
                for box, line in zip(batch, features, strict=True):
                    text, places, score = self._spell(line @ self.weights + self.bias)
                    if score >= SURE:
                        lines += pieces(Line(text, score, box), places)
        return lines

    def _spell(self, logits: NDArray[np.float32]) -> tuple[str, list[float], float]:
        """Characters of the steps [T, classes], where each stands in 0..1, and their mean
        probability: the best class of each step, repetitions and blanks left out."""
        best = logits.argmax(1)
        changes = np.flatnonzero(np.diff(best)) + 1
        starts, ends = np.array([0, *changes]), np.array([*changes, len(best)])
        written = best[starts] > 0
        if not written.any():
            return "", [], 0.0
        starts, ends = starts[written], ends[written]
        exps = np.exp(logits[starts] - logits[starts].max(1, keepdims=True))
        places = (starts + ends) / (2 * len(best))
        text = "".join(self.characters[best[starts]])
        return text, places.tolist(), float((1 / exps.sum(1)).mean())


def without_mask(view: Tensor) -> Tensor:
    """The picture uint8 [3, h, w] in one view uint8 [4, S, S]."""
    height, width = (int(view[3].amax(axis).count_nonzero()) for axis in (1, 0))
    return view[:3, :height, :width]


def _input(pictures: Tensor) -> NDArray[np.float32]:
    """float [N, 3, h, w] in 0..255, RGB -> what both networks take."""
    return (pictures.flip(1) / 127.5 - 1).numpy()
