"""Which line of a menu or a list is highlighted: it alone has another background.

A list is lines of like height that begin at one x, each close below the one before.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from openmova.experts.text_lines import LEVEL, Box, Line

MEMBERS, CELLS = 3, 2
"""Lines that a list has at least; lines that stand beside each other in one of its rows, at most:
more are a table, whose head has a colour of its own."""
SHIFT, LIKE, STEPS = 0.6, 0.65, (0.6, 2.6)
"""Of the height of a line: how far the next one may begin beside it, how high it is at least, and
how far below it stands."""
SAME, OTHER = 8.0, 30.0
"""The difference of a channel, 0 to 255, up to which backgrounds are one; and from which two."""
PLAIN = 0.3
"""Share of a box's pixels that have its background's colour: a screen is even, and a photo, where
light may fall off, is not."""
MARK = "highlighted, selected: "


def mark_highlights(picture: Tensor, rows: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """The rows of lines, in which the highlighted row of each list says so, in front: a causal
    language model can't look back to a line's begin from its end.

    picture: uint8 [3, h, w], in whose pixels the boxes are.
    """
    lines = [line for row in rows if len(row) <= CELLS for line in row if line.box.tilt < LEVEL]
    found = {_highlight(picture, boxes) for boxes in _lists([line.box for line in lines])}
    made = []
    for row in rows:
        first = next((line for line in row if line.box in found), None)
        made.append([_marked(line) if line is first else line for line in row])
    return made


def _marked(line: Line) -> Line:
    return line._replace(text=MARK + line.text)


def _lists(boxes: Sequence[Box]) -> list[list[Box]]:
    """Boxes that stand in columns, each from top to bottom."""
    rest, columns = sorted(boxes, key=lambda box: box.y), []
    while rest:
        column = [rest.pop(0)]
        for box in list(rest):
            before = column[-1]
            low, high = sorted((before.height, box.height))
            if (
                abs(box.bounds[0] - before.bounds[0]) < SHIFT * high
                and low > LIKE * high
                and STEPS[0] * high < box.y - before.y < STEPS[1] * high
            ):
                column.append(box)
                rest.remove(box)
        columns.append(column)
    return columns


def _highlight(picture: Tensor, boxes: Sequence[Box]) -> Box | None:
    """The box of a list whose background no other has, beside two that share one; the only one."""
    if len(boxes) < MEMBERS:
        return None
    backgrounds = [_background(picture, box) for box in boxes]
    colours = torch.stack([colour for colour, _ in backgrounds])
    apart = (colours[:, None] - colours).abs().amax(2)  # [boxes, boxes]
    alone = [i for i, row in enumerate(apart > OTHER) if row.sum() == len(boxes) - 1]
    if len(alone) != 1:
        return None
    i = alone[0]
    beside = [(i - 1, i + 1), (i - 2, i - 1), (i + 1, i + 2)]
    pairs = [(a, b) for a, b in beside if a >= 0 and b < len(boxes)]
    plain = [share > PLAIN for _, share in backgrounds]
    alike = any(apart[a, b] < SAME and plain[a] and plain[b] for a, b in pairs)
    return boxes[i] if alike and plain[i] else None


def _background(picture: Tensor, box: Box) -> tuple[Tensor, float]:
    """The most common colour of a box, float [3], and the share of its pixels that have it."""
    _, height, width = picture.shape
    left, top, right, bottom = (round(max(side, 0)) for side in box.bounds)
    top, left = min(top, height - 1), min(left, width - 1)
    pixels = picture[:, top : max(bottom, top + 1), left : max(right, left + 1)].flatten(1)
    red, green, blue = pixels.long() >> 4
    code = red << 8 | green << 4 | blue
    colour = pixels[:, code == code.bincount().argmax()].float().median(1).values
    return colour, ((pixels - colour[:, None]).abs().amax(0) < SAME).float().mean().item()
