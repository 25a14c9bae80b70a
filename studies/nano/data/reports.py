"""Reports with headings, prose and tables: what parts has the page, and what do they say?"""

from __future__ import annotations

import random

from studies.nano.data.effects import worn
from studies.nano.data.kind import kind_questions
from studies.nano.data.papers import article
from studies.nano.data.record import Item
from studies.nano.data.rendering import rendered
from studies.nano.data.words import Words


def make(rng: random.Random) -> Item:
    """A page with up to six questions."""
    document = article(Words(rng, "en"))
    image, words, asked = rendered(document, rng, rng.randint(4, 6), paper=True)
    return Item(
        domain="page",
        source="templates, wordnet-base",
        licence="Apache-2.0, WordNet",
        questions=(*asked, *kind_questions(rng, "document", 0.1)),
        image=worn(image, rng) if rng.random() < 0.3 else image,
        words=words,
        truth={"language": document.language},
    )
