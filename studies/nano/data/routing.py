# ruff: noqa: E501 - tables of words
"""Questions with the experts that they need, without a picture: for the router's language model.

The answer names the experts, or `none`. `openmova`'s routing instructions write letters of a pool
instead; they are made of the samples with pictures.
"""

from __future__ import annotations

import random

from studies.nano.data.fields import FIELDS, product
from studies.nano.data.phrases import PHRASES, ask
from studies.nano.data.pictures import article, plural
from studies.nano.data.record import Item, Question
from studies.nano.data.tasks import experts
from studies.nano.data.words import Words

_KEYS = {
    "cell-price": "cell", "beside": "cell", "row-end": "row", "line-first": "line", "line-last": "line", "line-with": "line",
    "button": "choice", "about": "prose", "layout-count": "layout", "layout-is": "layout", "layout-where": "layout", "chart-value-series": "chart-value",
    "chart-kind": "kind", "paper-kind": "kind", "object-animal": "object", "object-food": "object", "object-vehicle": "object", "object-plant": "object",
    "object-tool": "object", "is-and-text": "count-and-text", "unanswerable-person": "unanswerable",
    "unanswerable-medical": "unanswerable", "unanswerable-other": "unanswerable",
}  # fmt: skip
"""Keys of PHRASES that belong to a task of another name."""

_CLASSES = [
    "person",
    "dog",
    "cat",
    "car",
    "bicycle",
    "bus",
    "train",
    "truck",
    "boat",
    "bird",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "bottle",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "carrot",
    "pizza",
    "cake",
    "chair",
    "couch",
    "bed",
    "tv",
    "laptop",
    "mouse",
    "keyboard",
    "book",
    "clock",
    "vase",
    "scissors",
]
_PARTS = (
    "table",
    "figure",
    "picture",
    "heading",
    "column",
    "equation",
    "caption",
    "footer",
    "header",
)


def task_of(key: str) -> str:
    """The task that a key of PHRASES asks for."""
    return _KEYS.get(key, key[:-3] if key.endswith(("-de", "-fr", "-es")) else key)


def make(rng: random.Random) -> Item:
    """One question; every task as often as another."""
    by_task: dict[str, list[str]] = {}
    for key in PHRASES:
        by_task.setdefault(task_of(key), []).append(key)
    task = rng.choice(sorted(by_task))
    question = ask(rng, rng.choice(by_task[task]), **_slots(rng))
    answer = ", ".join(experts(task)) or "none"
    return Item(
        domain="routing",
        source="templates",
        licence="Apache-2.0",
        questions=(Question(task=task, question=question, answer=answer),),
    )


def _slots(rng: random.Random) -> dict[str, str]:
    """Something for every slot of any phrasing."""
    words = Words(rng, rng.choices(("en", "de", "fr", "es"), (85, 5, 5, 5))[0])
    kind = FIELDS[rng.choice(sorted(FIELDS))]
    one = rng.choice(_CLASSES)
    label = rng.choice(
        (words.country(), str(rng.randint(1990, 2026)), words.month(), product(words), words.city())
    )
    return {
        "noun": rng.choice(kind.nouns), "label": rng.choice((rng.choice(kind.labels[words.language]), label)), "column": rng.choice(kind.nouns), "row": label,
        "key": rng.choice(("name", "product", "city", "day")), "value": kind.value(words), "end": rng.choice(("first", "last")), "before": words.one("the words", "on the", "Please", words.made_up()),
        "left": label, "begin": words.made_up(), "topic": words.made_up(), "part": rng.choice(_PARTS), "item": rng.choice(("bar", "point", "slice", "line")), "series": words.made_up(), "axis": rng.choice(("x", "y", "horizontal", "vertical")),
        "one": one, "a": article(one), "many": plural(one),
    }  # fmt: skip
