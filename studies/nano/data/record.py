"""What a generator writes: a folder with pictures and JSONL, item after item, resumable.

`samples.jsonl` has one line for each question (messages format, `docs/data.md`) or, for read
texts, one for each text with all its questions. `pictures.jsonl` has one line for each picture with
what is known of it: words with boxes in pixels, axes and values of charts, boxes of objects.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from openmova.runtime.files import append_text
from studies.nano.data.tasks import experts

SAMPLES = "samples.jsonl"
PICTURES = "pictures.jsonl"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with the answer that people expect; `task` is a key of TASKS."""

    task: str
    question: str
    answer: str


Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word and where it stands."""

    text: str
    box: Box


@dataclass(frozen=True, kw_only=True)
class Item:
    """A picture (or a read text) with its questions.

    domain: what statistics are kept by. source, licence: of what the picture was made of. words:
    all of the picture in reading order, where they are known. truth: what else is known of it.
    """

    domain: str
    source: str
    licence: str
    questions: tuple[Question, ...]
    image: Image.Image | None = None
    text: str | None = None
    words: tuple[Word, ...] | None = None
    truth: dict[str, Any] = field(default_factory=dict)


Maker = Callable[[random.Random], Item]
"""Makes an item of a random generator alone: the same seed gives the same item."""


def write(kind: str, make: Maker, folder: Path, *, count: int, seed: int) -> int:
    """Writes the items that the folder does not have yet; returns how many those were."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    done = _resume(folder)
    numbers = range(done, count)
    for number in tqdm(numbers, initial=done, total=count, desc=kind, unit="item", smoothing=0.05):
        item = make(random.Random(f"{kind}-{seed}-{number}"))
        _append(folder, f"{kind}-{seed}-{number:06d}", number, item)
    return len(numbers)


def read(file: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSONL file."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _resume(folder: Path) -> int:
    """How many items are whole; what a killed writer left of a further one is cut off.

    An item's line in `pictures.jsonl` comes last, so an item with it is whole.
    """
    done = _cut(folder / PICTURES)
    _cut(folder / SAMPLES, below=done)
    return done


def _cut(path: Path, below: int | None = None) -> int:
    """Cuts off a torn line and the items from `below` on; returns the next item's number."""
    whole, following = 0, 0
    if path.exists():
        with path.open("r+b") as file:
            for line in file:
                try:
                    number = json.loads(line)["number"]
                except ValueError:
                    break
                if below is not None and number >= below:
                    break
                whole, following = whole + len(line), number + 1
            file.truncate(whole)
    return following


def _append(folder: Path, name: str, number: int, item: Item) -> None:
    common = {
        "number": number,
        "domain": item.domain,
        "source": item.source,
        "licence": item.licence,
    }
    picture = None
    if item.image is not None:
        image = item.image.convert("RGB")
        # Photos as JPEG; what has flat colours is smaller and sharper as PNG.
        suffix = "jpg" if item.truth.get("photo") else "png"
        picture = f"images/{name}.{suffix}"
        if suffix == "jpg":
            image.save(folder / picture, quality=92)
        else:
            image.save(folder / picture)
    if item.text is not None:
        records = [_text_record(name, item, common)]
    else:
        records = [
            {
                "id": f"{name}-{index}",
                "messages": _messages(
                    [(question.question, question.answer)], with_image=picture is not None
                ),
                **({"images": [picture]} if picture else {}),
                "experts": experts(question.task),
                "task": question.task,
                "question": question.question,
                "answer": question.answer,
                **common,
            }
            for index, question in enumerate(item.questions)
        ]
    append_text(folder / SAMPLES, "".join(_line(record) for record in records))
    known = {"id": name, "image": picture, **common, **item.truth}
    if item.image is not None:
        known["size"] = list(item.image.size)
    if item.words is not None:
        known["words"] = [[w.text, *(round(x, 1) for x in w.box)] for w in item.words]
    append_text(folder / PICTURES, _line(known))


def _text_record(name: str, item: Item, common: dict[str, Any]) -> dict[str, Any]:
    turns = [(q.question, q.answer) for q in item.questions]
    first, answer = turns[0]
    return {
        "id": name,
        "messages": _messages([(f"{item.text}\n\n{first}", answer), *turns[1:]], with_image=False),
        "experts": [],  # without a picture none can help; what each question needs is beside it
        "text": item.text,
        "qa": [
            {
                "task": q.task,
                "question": q.question,
                "answer": q.answer,
                "experts": experts(q.task),
            }
            for q in item.questions
        ],
        **common,
    }


def _messages(turns: list[tuple[str, str]], *, with_image: bool) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for index, (question, answer) in enumerate(turns):
        content: Any = question
        if with_image and index == 0:
            content = [{"type": "image"}, {"type": "text", "text": question}]
        messages += [
            {"role": "user", "content": content},
            {"role": "assistant", "content": answer},
        ]
    return messages


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
