"""Questions with a choice of answers, about pictures of which every encoder has told all it can.

A picture's folder is its domain. The wrong answers are those of other questions about the same
picture or, where these are too few, of other pictures' questions of the same kind.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.nano import said
from studies.nano.rows import read_lines
from studies.sides.side import EXPERTS

CHOICES = 4
DOMAINS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "object": {"photos": ("object",)},
    "location": {"places": ("is-there", "count", "where")},
    "text": {
        "signs": ("sign", "line"),
        "receipts": ("field", "cell", "row", "next-words", "line"),
    },
    "chart": {
        "charts": ("chart-value", "chart-label", "chart-largest", "chart-smallest", "chart-count"),
    },
    "page": {"pages": ("heading", "page-number", "caption"), "receipts": ("title", "layout")},
    "kind": {"kinds": ("kind",)},
}
"""Of each domain the data folders, and their tasks."""
OWN_KIND = ("object", "count", "where", "kind", "is-there", "layout", "chart-count")
"""Tasks whose wrong answers are those of other pictures."""
YES = {"yes": "no", "no": "yes"}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A question: `choices[0]` is right."""

    id: str
    domain: str
    folder: str
    number: int
    """Of the picture in its folder, and its file there."""
    image: str
    words: Mapping[str, str]
    """What each expert says of it."""
    experts: tuple[str, ...]
    """That the question needs, by its construction."""
    question: str
    choices: tuple[str, ...]


def read_choices(data: Path) -> list[Choice]:
    """All questions of data folders whose pictures have words, in a fixed order."""
    found = []
    for domain, folders in DOMAINS.items():
        for folder, tasks in folders.items():
            numbers = {
                picture["id"]: number
                for number, picture in enumerate(read_lines(data / folder / "pictures.jsonl"))
            }
            words = {row["id"]: row for row in read_lines(data / folder / "words.jsonl")}
            samples = list(read_lines(data / folder / "samples.jsonl"))
            found += list(_of_folder(domain, folder, tasks, samples, numbers, words))
    return found


def _of_folder(
    domain: str,
    folder: str,
    tasks: Sequence[str],
    samples: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, int],
    words: Mapping[str, Mapping[str, str]],
) -> Iterator[Choice]:
    of_task: dict[str, list[str]] = defaultdict(list)
    of_picture: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        of_task[sample["task"]].append(sample["answer"])
        of_picture[sample["images"][0]].append(sample["answer"])
    for sample in samples:
        name = Path(sample["images"][0]).stem
        if sample["task"] not in tasks or name not in words:
            continue
        rng = random.Random(sample["id"])
        near = [] if sample["task"] in OWN_KIND else of_picture[sample["images"][0]]
        choices = draw_choices(rng, sample["answer"], near, of_task[sample["task"]])
        if len(choices) > 1:
            yield Choice(
                id=f"{folder}/{sample['id']}",
                domain=domain,
                folder=folder,
                number=numbers[name],
                image=sample["images"][0],
                words={e: text for e, text in words[name].items() if e in EXPERTS},
                experts=tuple(e for e in sample["experts"] if e in EXPERTS),
                question=sample["question"],
                choices=choices,
            )


def draw_choices(
    rng: random.Random, answer: str, near: Sequence[str], others: Sequence[str]
) -> tuple[str, ...]:
    """The answer, then wrong ones: of the same picture first."""
    if answer in YES:
        return answer, YES[answer]
    wrong: list[str] = []
    for source in (near, others):
        drawn = rng.sample(source, min(len(source), 40))
        wrong += [text for text in drawn if text != answer and text not in (*wrong, *YES)]
    return (answer, *dict.fromkeys(wrong[: CHOICES - 1]))


def made_up(texts: Path) -> Iterator[Choice]:
    """Endless questions about words alone, from which the reader learns to read: samples.jsonl
    of `studies.nano.data text`, and what the experts of objects, places and charts might say."""
    rng = random.Random("made up")
    samples = list(read_lines(texts))
    recent: dict[str, list[str]] = defaultdict(list)
    number = 0
    while True:
        words, turns = _made_up_row(rng, samples)
        kind = "+".join(words)
        answers = [answer for _, answer in turns]
        for question, answer in turns:
            near = [] if kind in ("object", "location") and rng.random() < 0.5 else answers
            choices = draw_choices(rng, answer, near, recent[kind])
            if len(choices) > 1:
                number += 1
                yield Choice(
                    id=str(number), domain=kind, folder="", number=0, image="", words=words,
                    experts=tuple(words), question=question, choices=choices,
                )  # fmt: skip
        recent[kind] = (recent[kind] + answers)[-200:]


def _made_up_row(
    rng: random.Random, samples: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, str], list[tuple[str, str]]]:
    which = rng.randrange(6)
    if which < 2:
        sample = rng.choice(samples)
        turns = [(pair["question"], pair["answer"]) for pair in sample["qa"]]
        return {"text": sample["text"]}, turns
    if which == 2:
        text, turns = said.object_row(rng)
        return {"object": text}, turns
    if which == 3:
        text, turns = said.location_row(rng)
        return {"location": text}, turns
    words, turns = said.labels_row(rng) if which == 4 else said.chart_row(rng)
    return {"chart": words["chart"]}, turns


def split(choices: Iterable[Choice], held_out: float = 0.25) -> tuple[list[Choice], list[Choice]]:
    """For training and held out; a picture is in one of them."""
    parts: tuple[list[Choice], list[Choice]] = ([], [])
    for choice in choices:
        draw = random.Random(f"{choice.folder} {choice.number}").random()
        parts[draw < held_out].append(choice)
    return parts
