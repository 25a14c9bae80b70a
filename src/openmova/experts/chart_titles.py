"""What is written around a plot: its title and what its axes are called.

Coordinates are pixels of the picture; x grows to the right, y downwards.
"""

from collections.abc import Sequence

from openmova.experts.chart_axis import fit_axis, is_tilted, number
from openmova.experts.text_lines import TURNED, Line

BESIDE, APART = 0.6, 1.3
"""Of a line's height: so near in y are lines of one row; so far apart are a title's two rows."""
LEFT, ASIDE = 0.35, 0.05
"""Of the picture's width: where the left axis is named; so far are a title's middles apart."""


def read_titles(lines: Sequence[Line], width: float) -> dict[str, str]:
    """ "title", "x axis" and "y axis" where they stand, of a picture `width` wide.

    Nothing is told of a picture without a value axis.
    """
    axis = fit_axis(lines, upwards=True) or fit_axis(lines, upwards=False)
    if axis is None:
        return {}
    ticks = [lines[i].box for i in axis.ticks]
    first, last = min(box.y for box in ticks), max(box.y for box in ticks)
    left, high = min(box.x for box in ticks), ticks[0].height
    is_level = last - first < high
    named = [line for line in lines if number(line.text) is None]
    level = [line for line in named if not is_tilted(line)]
    turned = [x for x in named if x.box.tilt > TURNED and len(x.text) > 2]
    beside = [x for x in turned if x.box.x < LEFT * width and x.box.y < last]
    beside.sort(key=lambda line: (line.box.x // high, -line.box.y))
    titles = {}
    over = [x for x in level if x.box.y < first - high / 2 and x.box.bounds[2] > left + high]
    if above := _top_rows(over, width):
        titles["title"] = " ".join(line.text for line in above)
    below = sorted((line for line in lines if line.box.y > last), key=lambda line: -line.box.y)
    if below:
        lowest = _row(below, below[0])
        is_alone = len(lowest) == 1 and lowest[0] in level and lowest[0].box.x > left
        # What names the marks stands between; without it the lowest row does.
        if is_alone and (len(below) > 1 or is_level):
            titles["x axis"] = lowest[0].text
    if beside:
        titles["y axis"] = " ".join(line.text for line in beside)
    return titles


def _row(lines: Sequence[Line], one: Line) -> list[Line]:
    """The lines beside one."""
    return [x for x in lines if abs(x.box.y - one.box.y) < BESIDE * one.box.height]


def _top_rows(lines: Sequence[Line], width: float) -> list[Line]:
    """The uppermost line if nothing is beside it, and a second one close below its middle."""
    ordered = sorted(lines, key=lambda line: line.box.y)
    rows: list[Line] = []
    for line in ordered[:2]:
        if len(_row(lines, line)) > 1:
            break
        if rows and (
            line.box.y - rows[0].box.y > APART * rows[0].box.height
            or abs(line.box.x - rows[0].box.x) > ASIDE * width
        ):
            break
        rows.append(line)
    return rows
