"""Signs on real photos: one or two boards with short texts, a little turned."""

from __future__ import annotations

import random

from studies.nano.data.effects import worn
from studies.nano.data.kind import kind_questions
from studies.nano.data.phrases import ask
from studies.nano.data.record import Item, Question
from studies.nano.data.scene import empty, put_sign
from studies.nano.data.sources import licence
from studies.nano.data.windows import sign_lines
from studies.nano.data.words import Words


def make(rng: random.Random) -> Item:
    """A sign with up to three questions."""
    words = Words(rng)
    scene = empty(rng)
    lines = sign_lines(words)
    width, height = scene.image.size
    margin = 0.06
    area = (margin * width, margin * height, (1 - margin) * width, (1 - margin) * height)
    if rng.random() < 0.6:
        part = rng.uniform(0.45, 0.75)
        left, top = (
            rng.uniform(margin, 0.94 - part) * width,
            rng.uniform(margin, 0.94 - part) * height,
        )
        area = (left, top, left + part * width, top + part * height)
    put_sign(scene, lines, area, rng)
    key = rng.choice(("sign", "sign", "transcript"))
    asked = [Question(task=key, question=ask(rng, key), answer=" ".join(lines))]
    if len(lines) > 1 and rng.random() < 0.5:
        end, line = rng.choice((("line-first", lines[0]), ("line-last", lines[-1])))
        asked.append(Question(task="line", question=ask(rng, end), answer=line))
    return Item(
        domain="sign",
        source=", ".join(scene.packages),
        licence=licence(*scene.packages),
        questions=(*asked, *kind_questions(rng, "photo", 0.1)),
        image=worn(scene.image, rng),
        words=tuple(scene.words),
        truth={"photo": True},
    )
