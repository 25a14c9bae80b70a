"""What kind of image it is: asked about every kind of picture now and then."""

from __future__ import annotations

import random

from studies.nano.data.phrases import ask
from studies.nano.data.record import Question


def kind_questions(rng: random.Random, kind: str, share: float) -> tuple[Question, ...]:
    """The question with `kind` as its answer, in `share` of the pictures."""
    if rng.random() >= share:
        return ()
    return (Question(task="kind", question=ask(rng, "kind"), answer=kind),)


SAME = {"photo": "photograph", "document": "page of text", "medical scan": "scan"}
NAMES = ("photo", "drawing", "map", "chart", "document", "screenshot", "diagram", "page of text",
         "receipt", "table", "painting", "logo", "photograph", "flag", "scan", "invoice",
         "form")  # fmt: skip
_EITHER = (
    *("Is this {a} or {b}?", "Is it {a}, {b} or {c}?", "Which kind of picture is this: {a}, {b} or"
      " {c}?", "Would you say {a} or {b}?", "Is this picture {a} or {b}?", "{a} or {b}?"),
    *("Which is it, {a}, {b} or {c}?", "What is this a picture of: {a}, {b} or {c}?"),
)  # fmt: skip


def either_question(rng: random.Random, kind: str) -> str:
    """Asks which of two or three kinds it is; the right one is among them."""
    others = rng.sample([n for n in NAMES if n not in (kind, SAME.get(kind))], 2)
    mode = rng.choice(_EITHER)
    named = [kind, *others[: 2 if "{c}" in mode else 1]]
    rng.shuffle(named)
    asked = mode.format(**dict(zip("abc", (f"a {name}" for name in named), strict=False)))
    return asked[:1].upper() + asked[1:]
