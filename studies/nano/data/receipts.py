"""Receipts, invoices, forms, tickets, labels, lists: rendered, half of them photographed."""

from __future__ import annotations

import random

from studies.nano.data.effects import photographed, worn
from studies.nano.data.kind import kind_questions
from studies.nano.data.papers import paper
from studies.nano.data.pictures import background
from studies.nano.data.record import Item
from studies.nano.data.rendering import rendered
from studies.nano.data.sources import licence
from studies.nano.data.words import Words


def make(rng: random.Random) -> Item:
    """A paper with up to five questions."""
    document = paper(Words(rng))
    image, words, asked = rendered(document, rng, rng.randint(2, 4), paper=True)
    if not asked:
        return make(rng)
    packages: list[str] = []
    way = rng.random()
    if way < 0.35:
        photo, package = background(rng)
        packages.append(package)
        image, words = photographed(image, words, photo, rng)
    elif way < 0.55:
        image = worn(image, rng)
    domain = document.kind.removeprefix("an ").removeprefix("a ")
    kind = kind_questions(rng, domain, 0.15)
    return Item(
        domain=domain,
        source=", ".join(("templates", *packages)),
        licence=", ".join(("Apache-2.0", *map(licence, packages))),
        questions=(*asked, *kind),
        image=image,
        words=words,
        truth={"photo": way < 0.55, "language": document.language},
    )
