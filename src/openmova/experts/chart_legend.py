"""The legend of a chart: which text stands beside a sample of a colour.

A sample is a swatch, or a line as thin as a pixel that is mixed with the paper. Coordinates are
pixels of the picture.

Shapes: N pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from openmova.experts.chart_curve import ALIKE, COLOURED, THIN
from openmova.experts.text_lines import Line

SWATCH = 8
"""So many pixels of a colour make a sample of it in a legend."""
INTO, AWAY = 0.75, 2.25
"""From so far inside a text's box, and to so far outside, a sample is looked for, of its height."""
WIDEST = 0.5
"""Of the picture's width, a name in a legend at most: what is wider is a title."""
OUTSIDE = 3
"""How much more a grey pixel outside the box counts than one inside."""


def read_legend(
    picture: Tensor, lines: Sequence[Line], of_series: Sequence[Tensor]
) -> dict[int, str]:
    """By the number of a colour the text with most of it, and least of the others', beside it.

    Takes a picture uint8 [3, h, w], its texts, and a colour float [3] for each series.
    """
    lines = [line for line in lines if line.box.width < WIDEST * picture.shape[2]]
    colours = torch.stack(list(of_series))  # [series, 3]
    is_colour = _is_colour(colours)

    def beside(line: Line, *, left: bool, first: float, last: float) -> Tensor:
        """Pixels of each colour on one side of a text, so far from its box, in heights of it."""
        height = line.box.height
        before, _, behind, _ = line.box.bounds
        away, reach = (first + last) / 2 * height, round((last - first) / 2 * height)
        x = before - away if left else behind + away
        ground = pixels(picture, line.box.x, line.box.y, round(line.box.width), round(height))
        patch = pixels(picture, x, line.box.y, reach, round(0.4 * height))
        return _count(patch, ground.median(1).values, colours)

    def score(line: Line, *, left: bool) -> Tensor:
        """For each series, pixels of its colour minus those of others, on one side of a text; 0
        for what stands in a series' colour itself, such as a line's point that was read as "o"."""
        half = line.box.width / line.box.height / 2
        own = beside(line, left=not left, first=-half, last=0)
        # The sample may lie in a box's end; what both ends have is the text.
        counts = beside(line, left=left, first=-INTO, last=AWAY)
        counts -= beside(line, left=not left, first=-INTO, last=AWAY)
        counts = counts.clamp(min=0) * (~is_colour | (own <= SWATCH) | (own < counts / 2))
        # Black letters are no sample: grey outside the box is surer.
        counts += OUTSIDE * beside(line, left=left, first=0.1, last=AWAY) * ~is_colour
        others = torch.where(is_colour, (counts * is_colour).sum(), counts.sum()) - counts
        return counts - others

    ways: list[dict[int, str]] = []
    for left in (True, False):  # all samples are on one side of their texts
        scores = [score(line, left=left) for line in lines]
        table = torch.stack(scores) if scores else torch.zeros(1, len(colours))  # [lines, series]
        names: dict[int, str] = {}
        while table.max() > SWATCH:
            i, k = divmod(int(table.argmax()), len(colours))
            names[k] = lines[i].text.strip(" —–_")  # a sample may be read with its text
            table[i], table[:, k] = 0, 0
        ways.append(names)
    return max(ways, key=len)


def _count(patch: Tensor, ground: Tensor, colours: Tensor) -> Tensor:
    """How many pixels of a patch [3, N] have each of the colours [series, 3], or most of one that
    is no grey: thin lines are mixed with the ground [3]. A pixel counts for one colour."""
    ink, found = colours - ground, patch.T - ground
    share = found @ ink.mT / ink.square().sum(1).clamp(min=1)  # [N, series]
    off = (found[:, None] - share[..., None] * ink).norm(dim=2)
    fits = (share > THIN) & (share < 2 - THIN) & (off < ALIKE * share.clamp(max=1))
    far = (patch.T[:, None] - colours).norm(dim=2)
    fits = torch.where(_is_colour(colours), fits, far < ALIKE)
    far = far.masked_fill(~fits, torch.inf)
    whose = far.argmin(1)[fits.any(1)]
    return torch.bincount(whose, minlength=len(colours)).float()


def _is_colour(colours: Tensor) -> Tensor:
    """bool [N]: which of the colours [N, 3] are no greys."""
    return colours.amax(1) - colours.amin(1) > COLOURED


def pixels(picture: Tensor, x: float, y: float, across: int, down: int) -> Tensor:
    """float [3, N]: the pixels of a picture uint8 [3, h, w] so near to a place."""
    height, width = picture.shape[1:]
    column, row = min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)
    rows = slice(max(row - down, 0), row + down + 1)
    columns = slice(max(column - across, 0), column + across + 1)
    return picture[:, rows, columns].float().flatten(1)
