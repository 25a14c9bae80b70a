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
