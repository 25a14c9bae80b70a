"""The text of real PDF pages as lines, without a picture: `text` of pages that people wrote."""

from __future__ import annotations

import random

from studies.nano.data.pages import page, questions, rows
from studies.nano.data.record import Item
from studies.nano.data.sources import licence
from studies.nano.data.text import LONGEST, misread


def make(rng: random.Random) -> Item:
    """A page's lines, or a part of them, with up to four questions."""
    package, file, number, text = page(rng)
    lines = list(text.lines)
    while sum(len(line.text) for line in lines) > LONGEST:
        lines.pop(rng.choice((0, -1)))
    part = type(text)(size=text.size, lines=tuple(lines))
    asked = questions(part, rng, rng.randint(2, 4), picture=False)
    if not asked:
        return make(rng)
    # A reader goes along the rows, or block by block.
    between = rng.choice((" ", "  ", "\n"))
    by_rows = [between.join(line.text for line in row) for row in rows(lines)]
    read = rng.choice((by_rows, [line.text for line in lines]))
    if rng.random() < 0.5:
        kept = {word for q in asked for word in q.answer.split()}
        rate = rng.choice((0.01, 0.02, 0.04))
        read = [misread(line, rng, rate, kept) for line in read]
    return Item(
        domain="page",
        source=package,
        licence=licence(package),
        questions=asked,
        text="\n".join(read),
        truth={"file": file.name, "page": number},
    )
