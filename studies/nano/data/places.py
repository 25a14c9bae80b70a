"""Where things are and how many: classes that a detector knows, pasted on real photos."""

from __future__ import annotations

import random

from studies.nano.data.phrases import ask
from studies.nano.data.pictures import article, plural
from studies.nano.data.record import Item, Question
from studies.nano.data.scene import ZONES, Scene, by_class, empty, noisy, paste
from studies.nano.data.sources import licence

_UNSURE = {
    "boat",
    "potted plant",
    "bird",
    "cup",
    "person",
    "chair",
    "dining table",
    "bottle",
    "bench",
}
"""Classes that may be in the photos themselves: not asked for where they weren't pasted."""


def make(rng: random.Random) -> Item:
    """A scene with up to five questions."""
    scene = empty(rng)
    if rng.random() < 0.5:
        name, zone = _one_thing(scene, rng)
        where = Question(task="where", question=ask(rng, "where", one=name), answer=zone)
        asked = [*questions({name: 1}, rng), where]
    else:
        asked = questions(_some_things(scene, rng), rng)
    rng.shuffle(asked)
    boxes = [[cutout.name, cutout.coco, *box] for cutout, box in scene.boxes]
    return Item(
        domain="scene",
        source=", ".join(scene.packages),
        licence=licence(*scene.packages),
        questions=tuple(asked[:4]),
        image=noisy(scene.image, rng),
        truth={"photo": True, "objects": boxes},
    )


def _one_thing(scene: Scene, rng: random.Random) -> tuple[str, str]:
    """One thing in a zone, so that its place has one name; its class and the zone."""
    name, things = by_class(rng)
    zone = rng.choices(list(ZONES), (4, 4, 3, 3, 4, 1, 1, 1, 1))[0]
    x, y = ZONES[zone]
    at = (x + rng.uniform(-0.05, 0.05), y + rng.uniform(-0.05, 0.05))
    paste(scene, rng.choice(things), at, rng.uniform(0.22, 0.38), rng)
    return name, zone


def _some_things(scene: Scene, rng: random.Random) -> dict[str, int]:
    """Things of up to three classes in the cells of a grid; how many of each class."""
    columns, rows = (4, 3) if scene.image.width > scene.image.height else (3, 3)
    cells = [(c, r) for c in range(columns) for r in range(rows)]
    rng.shuffle(cells)
    counts: dict[str, int] = {}
    for _ in range(rng.choice((1, 2, 2, 3))):
        name, things = by_class(rng, but=set(counts))
        counts[name] = rng.choice((1, 1, 2, 2, 3, 4, 5)) if len(cells) > 5 else 1
        for _ in range(counts[name]):
            column, row = cells.pop()
            at = ((column + rng.uniform(0.4, 0.6)) / columns, (row + rng.uniform(0.4, 0.6)) / rows)
            paste(scene, rng.choice(things), at, rng.uniform(0.2, 0.3), rng)
    return counts


def questions(counts: dict[str, int], rng: random.Random) -> list[Question]:
    """Whether classes are there, and how many."""
    asked = []
    for name, count in counts.items():
        asked.append(_count(name, count, rng))
        if rng.random() < 0.8:
            asked.append(is_there(name, "yes", rng))
    # As often no as yes.
    for _ in range(rng.choice((1, 1, 1, 2))):
        absent, _ = by_class(rng, but=counts.keys() | _UNSURE)
        asked.append(is_there(absent, "no", rng))
        if rng.random() < 0.15:
            asked.append(_count(absent, 0, rng))
    return list({q.question: q for q in asked}.values())


def is_there(name: str, answer: str, rng: random.Random) -> Question:
    """Is there a thing of that class?"""
    question = ask(rng, "is-there", a=article(name), one=name, many=plural(name))
    return Question(task="is-there", question=question, answer=answer)


def _count(name: str, count: int, rng: random.Random) -> Question:
    return Question(task="count", question=ask(rng, "count", many=plural(name)), answer=str(count))
