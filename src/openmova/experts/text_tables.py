"""The numbers of a table with the heads of their columns: `Cook | Frequency: 7 | Percent: 12.5%`.

A small causal language model can't count columns; it reads a number whose name stands beside it.
A table is at least two columns of numbers, below a row of heads, in rows that begin with a name.
"""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from openmova.experts.text_lines import LEVEL, Line

CELLS_APART = " | "
"""Put between the cells of a row."""
HEADS, STEP = 3, 2.6
"""Rows of heads at most; how far apart rows of a table stand, of a line's height."""
BESIDE = 3.0
"""How far from its column a head may stand, of a line's height."""
OVER = 0.35
"""Of the narrower of a head and a column: what they share if the one stands over the other."""
OFF = 2.5
"""How far heads of one line may be off their columns, of its height."""
LONGEST = 40
"""Characters of a head: more is a sentence."""
_NUMBER = re.compile(r"[-+−(]?[$€£₹¥]?[-+−]?(\d[\d.,']*|[.,]\d+)([eE][-+]?\d+)?[%)]?[€$£]?")
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}")
_LETTER = re.compile(r"[^\W\d_]")


class Span(NamedTuple):
    """A text and where it stands from left to right."""

    left: float
    right: float
    text: str


def is_number(text: str) -> bool:
    """Whether a cell is a number or a date of numbers, as statistics and bills print them."""
    return any(pattern.fullmatch(text) for pattern in (_NUMBER, _DATE))


def name_cell(head: str, cell: str) -> str:
    """A number as it is said below its head."""
    return f"{head}: {cell}" if head and is_number(cell) else cell


def name_cells(rows: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """The rows of lines, in which those of a table are one line each, every number named."""
    cells = [_cells(row) for row in rows]
    made = [list(row) for row in rows]
    for first, last in _tables(rows, cells):
        numbers = _columns([c for row in cells[first:last] for c in row if is_number(c.text)])
        if not _is_apart(cells[first:last], numbers):
            continue
        texts = _columns([c for row in cells[first:last] for c in row if not is_number(c.text)])
        columns = numbers + [t for t in texts if all(t[1] <= n[0] or t[0] >= n[1] for n in numbers)]
        columns.sort()
        names = _heads(rows[max(first - HEADS, 0) : first], columns, rows[first])
        heads = [names[columns.index(column)] for column in numbers]
        if sum(map(bool, heads)) < max(len(numbers) - 1, 2):
            continue
        for i in range(first, last):
            said = [name_cell(heads[_nearest(cell, numbers)], cell.text) for cell in cells[i]]
            made[i] = [_joined(rows[i], CELLS_APART.join(said))]
    return made


def _joined(row: Sequence[Line], text: str) -> Line:
    """One line in the place of a row."""
    left, right = row[0].box.bounds[0], max(line.box.bounds[2] for line in row)
    box = row[0].box._replace(x=(left + right) / 2, width=right - left)
    return Line(text, min(line.score for line in row), box)


def _words(line: Line) -> list[Span]:
    """Its words, each where its characters would be if all were as wide."""
    left, _, right, _ = line.box.bounds
    pitch = (right - left) / max(len(line.text), 1)
    return [
        Span(left + pitch * m.start(), left + pitch * m.end(), m[0])
        for m in re.finditer(r"\S+", line.text)
    ]


def _cells(row: Sequence[Line]) -> list[Span]:
    """The cells of a row: lines, parted between two numbers, but not within `1 234 567`."""
    found: list[Span] = []
    for line in row:
        own: list[Span] = []
        for word in _words(line):
            before = own[-1].text if own else ""
            numbers = own and is_number(word.text) and is_number(before.split()[-1])
            thousands = before.isdigit() and re.fullmatch(r"\d{3}([.,]\d\d)?", word.text)
            if own and (not numbers or thousands):
                own[-1] = Span(own[-1].left, word.right, f"{own[-1].text} {word.text}")
            else:
                own.append(word)
        # A name before a number in one piece, `Oslo 22.4 13.3`, stays a cell of its own.
        for cell in own:
            name, _, number = cell.text.rpartition(" ")
            if len(own) > 1 and cell is own[0] and name and is_number(number):
                middle = cell.right - (cell.right - cell.left) * len(number) / len(cell.text)
                found += [Span(cell.left, middle, name), Span(middle, cell.right, number)]
            else:
                found.append(cell)
    return found


def _tables(
    rows: Sequence[Sequence[Line]], cells: Sequence[Sequence[Span]]
) -> list[tuple[int, int]]:
    """First row and the one behind the last, of runs of rows with a name and numbers."""

    def fits(i: int) -> bool:
        level = all(line.box.tilt < LEVEL for line in rows[i])
        numbers = [is_number(cell.text) for cell in cells[i]]
        return level and sum(numbers) >= 2 and not all(numbers)

    found: list[tuple[int, int]] = []
    for i in filter(fits, range(1, len(rows))):
        last = found[-1][1] if found else 0
        # One row in between may have a cell's second line, or a number less.
        close = all(_step(rows[k - 1], rows[k]) < STEP for k in range(max(last, 1), i + 1))
        if found and i - last <= 1 and close:
            found[-1] = (found[-1][0], i + 1)
        else:
            found.append((i, i + 1))
    return found


def _step(above: Sequence[Line], below: Sequence[Line]) -> float:
    """How far a row is below another, of a line's height."""
    height = max(above[0].box.height, below[0].box.height)
    return abs(below[0].box.y - above[0].box.y) / height


def _columns(cells: Sequence[Span]) -> list[tuple[float, float]]:
    """Where cells overlap from left to right."""
    columns: list[tuple[float, float]] = []
    for left, right, _ in sorted(cells):
        if columns and left < columns[-1][1]:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _is_apart(rows: Sequence[Sequence[Span]], columns: Sequence[tuple[float, float]]) -> bool:
    """Whether there are two columns of numbers, and no two numbers of a row in one of them."""
    own = [[_nearest(c, columns) for c in row if is_number(c.text)] for row in rows]
    return len(columns) >= 2 and all(len(set(places)) == len(places) for places in own)


def _distance(span: Span, column: tuple[float, float]) -> float:
    return max(column[0] - span.right, span.left - column[1], 0.0)


def _share(span: Span, column: tuple[float, float]) -> float:
    """How much of the narrower of both they share."""
    shared = min(span.right, column[1]) - max(span.left, column[0])
    return shared / max(min(span.right - span.left, column[1] - column[0]), 1e-6)


def _nearest(span: Span, columns: Sequence[tuple[float, float]]) -> int:
    middle = (span.left + span.right) / 2
    return min(
        range(len(columns)),
        key=lambda k: (_distance(span, columns[k]), abs(sum(columns[k]) / 2 - middle)),
    )


def _heads(
    rows: Sequence[Sequence[Line]], columns: Sequence[tuple[float, float]], first: Sequence[Line]
) -> list[str]:
    """What stands over each column in the rows above a table: the lowest has the heads, others
    say more of them if they are no title, which is one line."""
    heads, below = [""] * len(columns), first
    for row in reversed(rows):
        found = _head_row(row, columns) if _step(row, below) < STEP else None
        if found is None or (any(heads) and len(row) == 1):
            break
        heads = [" ".join(filter(None, pair)) for pair in zip(found, heads, strict=True)]
        below = row
    heads = [head.replace("()", "").strip() if _LETTER.search(head) else "" for head in heads]
    return heads if all(len(head) <= LONGEST for head in heads) else [""] * len(columns)


def _head_row(row: Sequence[Line], columns: Sequence[tuple[float, float]]) -> list[str] | None:
    """The heads that one row gives to columns; none if it isn't a row of heads."""
    heads = [""] * len(columns)
    for line in row:
        words = _words(line)
        if line.box.tilt > LEVEL or not words or any(_is_numeral(word.text) for word in words):
            return None
        whole = Span(words[0].left, words[-1].right, line.text)
        over = [k for k, column in enumerate(columns) if _share(whole, column) > OVER]
        if not over:
            near = _nearest(whole, columns)
            over = [near] if _distance(whole, columns[near]) < BESIDE * line.box.height else []
            over = over if len(row) > 1 else []
        parts: list[str] | None = [line.text] * len(over)  # one head may stand over several
        if len(over) <= len(words):
            parts = _parted(words, [columns[k] for k in over], OFF * line.box.height)
        if parts is None:
            return None
        for k, part in zip(over, parts, strict=True):
            heads[k] = f"{heads[k]} {part}".strip()
    return heads if any(heads) else None


def _is_numeral(word: str) -> bool:
    return word[0].isdigit() or is_number(word)


def _parted(
    words: Sequence[Span], columns: Sequence[tuple[float, float]], most: float
) -> list[str] | None:
    """Words in as many groups as columns, in order, each group as near its column as can be; none
    if one is farther off than `most`. What is in brackets belongs to the word before."""
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, (0,))}
    for column in columns:
        grown: dict[int, tuple[float, tuple[int, ...]]] = {}
        for start, (cost, cuts) in best.items():
            for end in range(start + 1, len(words) + 1):
                off = _off(words[start], words[end - 1], column)
                bracket = end < len(words) and words[end].text.startswith("(")
                if off <= most and not bracket and cost + off < grown.get(end, (math.inf,))[0]:
                    grown[end] = (cost + off, (*cuts, end))
        best = grown
    if len(words) not in best:
        return None if columns else []
    cuts = best[len(words)][1]
    return [" ".join(word.text for word in words[a:b]) for a, b in pairwise(cuts)]


def _off(first: Span, last: Span, column: tuple[float, float]) -> float:
    """How far a head of some words is off its column: by their left, right or middle, the least."""
    left, right = first.left - column[0], last.right - column[1]
    return min(abs(left), abs(right), abs(left + right) / 2)
