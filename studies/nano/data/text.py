# ruff: noqa: E501 - tables of words
"""Read texts without a picture: documents as lines, as a reader of characters would give them.

The language model learns to look things up in them before it sees a picture. Some have the reader's
errors: look-alike characters, words run together, accents and marks dropped, a lost space.
"""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import replace

from studies.nano.data.documents import Ask, Document, Paragraph, questions, rows, with_names
from studies.nano.data.papers import paper, report
from studies.nano.data.prose import paragraph
from studies.nano.data.record import Item
from studies.nano.data.sheets import sheet
from studies.nano.data.windows import screen, sign
from studies.nano.data.words import Words

LONGEST, QUESTIONS = 1600, (5, 7, 9)
"""Characters of the longest text: about 600 tokens; signs and labels may have ten. Questions of
one: many, for a text is read once for all of them."""
NAMED = 0.8
"""How often the numbers of tables have their heads, as the text expert gives them."""

_ALIKE = {
    "0": "O", "O": "0", "1": "l", "l": "1", "I": "l", "5": "S", "S": "5", "8": "B", "B": "8", "2": "Z",
    "rn": "m", "m": "rn", "cl": "d", "vv": "w", ",": ".", ".": ",", ":": ";", "-": "", "'": "", "e": "c",
    "g": "q", "u": "v", "n": "h", "t": "f", "6": "G", "ß": "B", "€": "E", "i": "l", "c": "e", "a": "o",
}  # fmt: skip


def make(rng: random.Random) -> Item:
    """A text with up to nine questions."""
    document = _document(Words(rng))
    lines = _lines(document, rng)
    asked = questions(document, rng, rng.choice(QUESTIONS), picture=False)
    if rng.random() < 0.5:
        kept = {word for q in asked for word in q.answer.split()}
        rate = rng.choice((0.01, 0.02, 0.05))
        lines = [misread(line, rng, rate, kept) for line in lines]
    domain = document.kind.removeprefix("an ").removeprefix("a ")
    return Item(
        domain=domain,
        source="templates, wordnet-base",
        licence="Apache-2.0, WordNet",
        questions=asked,
        text="\n".join(lines),
    )


def _document(words: Words) -> Document:
    rng = words.rng
    draw = rng.choices((paper, screen, sign, report, _prose, sheet), (34, 20, 4, 8, 10, 24))[0]
    document = draw(words)
    # Some pages hold several things one under the other.
    wanted = rng.choice((0, rng.randrange(LONGEST)))
    while _length(document) < wanted:
        english = words.language == "en"
        more = rng.choices((paper, report, _prose), (3, 2, 3) if english else (3, 0, 0))[0](words)
        asks, blocks = (*document.asks, *_prose_asks(more)), (*document.blocks, *more.blocks)
        document = replace(document, kind="a page", blocks=blocks, asks=asks)
    return document if _length(document) <= LONGEST else _document(Words(rng))


def _prose(words: Words) -> Document:
    text, asks = paragraph(words, words.rng.randint(2, 14))
    return Document(
        kind="a page", language=words.language, blocks=(Paragraph(text),), asks=tuple(asks)
    )


def _prose_asks(document: Document) -> tuple[Ask, ...]:
    """Of what stands further down: what is asked of sentences is still clear there."""
    return tuple(ask for ask in document.asks if ask.task == "prose")


def _length(document: Document) -> int:
    return sum(len(text) + 1 for row in rows(document.blocks) for text in row)


def _lines(document: Document, rng: random.Random) -> list[str]:
    """Rows as lines; what stands side by side is joined by spaces or as cells are, now so and now
    so, or each is a line of its own.

    A long paragraph is broken into lines of a width, as on the page.
    """
    between = rng.choices((" ", "\n", " | ", ""), (25, 10, 40, 25))[0]
    width = rng.randint(38, 110)
    lines: list[str] = []
    blocks = with_names(document.blocks) if rng.random() < NAMED else document.blocks
    for row in rows(blocks):
        line = ""
        for text in filter(None, row):
            apart = between or rng.choice((" ", " | ", " | "))
            line = f"{line}{apart}{text}" if line else text
        lines += _wrapped(line, width)
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for part in text.split("\n"):
        line = ""
        for word in part.split(" "):
            if line and len(line) + len(word) >= width and len(part) > 1.3 * width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}" if line else word
        lines.append(line)
    return lines


_MARKS = ".,:;()[]\"'"


def misread(line: str, rng: random.Random, rate: float, kept: set[str]) -> str:
    """The line with a reader's errors in about `rate` of its words.

    Words of `kept` (the answers) lose accents at most, or the space beside them.
    """
    bare = {word.strip(_MARKS) for word in kept}
    words = []
    for word in line.split(" "):
        if rng.random() < rate * 2:
            word = _plain(word)
        if word.strip(_MARKS) not in bare and rng.random() < rate * 3:
            word = _alike(word, rng)
        words.append(word)
    text = " ".join(words)
    # Two words run together, or a mark is lost at a word's end.
    text = re.sub(r"(?<=\w) (?=\w)", lambda _: "" if rng.random() < rate else " ", text)
    return re.sub(r"(?<=\w)[:.,](?= |$)", lambda m: "" if rng.random() < rate * 2 else m[0], text)


def _alike(word: str, rng: random.Random) -> str:
    found = [old for old in _ALIKE if old in word]
    if not found:
        return word
    old = rng.choice(found)
    return word.replace(old, _ALIKE[old], 1)


def _plain(word: str) -> str:
    """Without accents."""
    parts = unicodedata.normalize("NFD", word)
    return "".join(c for c in parts if not unicodedata.combining(c))
