"""Screens: windows and web pages of our own, and HTML manuals of packages in a browser."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from studies.nano.data.browser import visit
from studies.nano.data.documents import Ask, line_asks
from studies.nano.data.kind import kind_questions
from studies.nano.data.phrases import ask
from studies.nano.data.record import Item, Question, Word
from studies.nano.data.rendering import rendered, squeezed
from studies.nano.data.sources import SOURCES, licence
from studies.nano.data.windows import screen
from studies.nano.data.words import Words
from studies.nano.packages import debian


def make(rng: random.Random) -> Item:
    """A screen with up to five questions."""
    return _manual(rng) if rng.random() < 0.3 else _window(rng)


def _window(rng: random.Random) -> Item:
    document = screen(Words(rng))
    image, words, asked = rendered(document, rng, rng.randint(2, 4), paper=False)
    if not asked:
        return _window(rng)
    return Item(
        domain="screen",
        source="templates",
        licence="Apache-2.0",
        questions=(*asked, *kind_questions(rng, "screenshot", 0.15)),
        image=image,
        words=words,
        truth={"language": document.language, "screen": document.kind},
    )


def _manual(rng: random.Random) -> Item:
    """A window's height of a manual, from its top or further down."""
    package = rng.choice([name for name, s in SOURCES.items() if s.what == "HTML manual"])
    file = rng.choice(files(package))
    width, height = rng.choice(((800, 600), (900, 700), (1024, 640), (720, 900), (600, 800)))
    top = rng.choice((0, 0, rng.randrange(3000)))
    known, image, words = visit(file.as_uri(), width=width, top=top, height=height)
    if len(words) < 15:
        return _manual(rng)
    read = _lines(words)
    asks = list(line_asks([(line,) for line in read], rng))
    titles = [text for tag, text, y in known if tag == "H1" and 0 <= y < height]
    heads = [text for tag, text, y in known if tag == "H2" and 0 <= y < height]
    text = squeezed(" ".join(word.text for word in words))
    if len(titles) == 1 and squeezed(titles[0]) in text:
        asks.append(Ask("title", "title", {}, titles[0]))
    if len(heads) == 1 and squeezed(heads[0]) in text:
        asks.append(Ask("heading", "heading", {}, heads[0]))
    chosen = rng.sample(asks, min(len(asks), rng.randint(2, 4)))
    asked = [
        Question(task=a.task, question=ask(rng, a.key, **a.slots), answer=a.answer) for a in chosen
    ]
    if not asked:
        return _manual(rng)
    return Item(
        domain="web page",
        source=package,
        licence=licence(package),
        questions=(*asked, *kind_questions(rng, "screenshot", 0.15)),
        image=image,
        words=words,
        truth={"file": file.name},
    )


def _lines(words: Sequence[Word]) -> list[str]:
    """The text of words that are in reading order; a new line begins further down or far away."""
    found: list[list[Word]] = []
    for word in words:
        if found and _continues(found[-1][-1], word):
            found[-1].append(word)
        else:
            found.append([word])
    return [" ".join(word.text for word in line) for line in found]


def _continues(before: Word, word: Word) -> bool:
    """They overlap in height and lie less than two heights apart."""
    _, top, right, bottom = before.box
    left, upper, _, lower = word.box
    overlap = min(bottom, lower) - max(top, upper)
    height = min(bottom - top, lower - upper)
    return overlap > 0.5 * height and -height < left - right < 2 * height


@cache
def files(package: str) -> tuple[Path, ...]:
    """The package's pages that have some text; no indices."""
    found = [
        file
        for file in debian(package).rglob("*.html")
        if file.is_file() and file.stat().st_size > 4000 and "index" not in file.name.lower()
    ]
    return tuple(sorted(found))
