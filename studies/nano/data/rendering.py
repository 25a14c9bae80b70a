"""A document rendered as a picture, with the questions that the picture answers."""

from __future__ import annotations

import random
import re
import unicodedata

from PIL import Image

from studies.nano.data.browser import render
from studies.nano.data.documents import Document, questions
from studies.nano.data.html import page
from studies.nano.data.record import Question, Word

_UNREAD = ("missing", "summary", "kind", "choice", "layout")
"""Tasks whose answers need not stand in the picture as they are."""

LONGEST = 1600
"""The height of the longest picture, in pixels."""


def rendered(
    document: Document, rng: random.Random, count: int, *, paper: bool
) -> tuple[Image.Image, tuple[Word, ...], tuple[Question, ...]]:
    """The picture, its words, and up to `count` questions whose answers can be read in it."""
    drawn = page(document, rng, paper=paper)
    image, words = render(drawn.html, width=drawn.width, longest=LONGEST)
    text = squeezed(" ".join(word.text for word in words))
    asked = tuple(
        q
        for q in questions(document, rng, count, picture=True)
        if q.task in _UNREAD or squeezed(q.answer) in text
    )
    return image, words, asked


def squeezed(text: str) -> str:
    """Text without spaces, as answers are looked for: a browser may break lines anywhere."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFC", text))
