"""Photos of one thing: a cut-out on a real photo or alone, and drawings; what is it called?"""

from __future__ import annotations

import random

from PIL import Image

from studies.nano.data.kind import kind_questions
from studies.nano.data.phrases import PHRASES, ask
from studies.nano.data.pictures import article, cutouts
from studies.nano.data.record import Item, Question
from studies.nano.data.scene import Scene, empty, noisy, paste
from studies.nano.data.sources import licence
from studies.nano.data.tasks import UNKNOWN

_PLAIN = ("#ffffff", "#f4f4f4", "#e8e4da", "#cfd8dc", "#d7ccc8", "#333333", "#bcd4e6")


def make(rng: random.Random) -> Item:
    """A thing with up to four questions."""
    known = cutouts()
    # Every name as often as another, however many pictures it has.
    name = rng.choice(sorted({cutout.name for cutout in known}))
    thing = rng.choice([cutout for cutout in known if cutout.name == name])
    alone = thing.drawn or rng.random() < 0.3
    scene = _plain(rng) if alone else empty(rng)
    size = rng.uniform(0.55, 0.95) if alone else rng.uniform(0.4, 0.85)
    if thing.package == "sweethome3d-furniture":
        size = min(size, 0.6)  # its pictures are small
    centre = (rng.uniform(0.35, 0.65), rng.uniform(0.4, 0.65))
    box = paste(scene, thing, centre, size, rng)
    asked = [_object(rng, thing.name, thing.group) for _ in range(rng.choice((1, 2)))]
    if rng.random() < 0.35:
        what = "drawing" if thing.drawn else "photo"
        caption = f"A {what} of {article(thing.name)}."
        asked.append(Question(task="describe", question=ask(rng, "describe"), answer=caption))
    if rng.random() < 0.12:
        key = rng.choice(("unanswerable-other", "unanswerable-person"))
        asked.append(Question(task="unanswerable", question=ask(rng, key), answer=UNKNOWN))
    kind = kind_questions(rng, "drawing" if thing.drawn else "photo", 0.15)
    asked = list({q.question: q for q in asked}.values())
    image = scene.image if thing.drawn else noisy(scene.image, rng)
    return Item(
        domain="drawing" if thing.drawn else "photo",
        source=", ".join(scene.packages),
        licence=licence(*scene.packages),
        questions=(*asked, *kind),
        image=image,
        truth={"photo": not thing.drawn, "objects": [[thing.name, thing.coco, *box]]},
    )


def _plain(rng: random.Random) -> Scene:
    colour = rng.choice(_PLAIN)
    return Scene(
        image=Image.new("RGB", rng.choice(((640, 480), (500, 500), (480, 600))), colour),
        packages=[],
    )


def _object(rng: random.Random, name: str, group: str) -> Question:
    key = f"object-{group}"
    if key not in PHRASES or rng.random() < 0.5:
        key = "object"
    return Question(task="object", question=ask(rng, key), answer=name)
