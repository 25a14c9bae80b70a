"""Held-out questions about real pictures that others made: what an answering function gets right.

    python -m studies.nano.suite --model nano [--groups object,place] [--limit 40] [--output FILE]

The questions are in `suites/real`; the pictures are fetched from packages by name and never kept
here. A question says its form, and the form which experts can help (`EXPERTS`).
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from openmova import Mova
from openmova.errors import UserError
from openmova.evaluate.intervals import Share
from openmova.evaluate.judge import is_unsure, judge
from studies.nano import packages
from studies.nano.pictures import open_picture

SUITE = Path(__file__).parents[2] / "suites" / "real"
GROUPS = ("object", "reading", "chart", "place", "kind", "two", "none")
"""Names of things, strings and values, charts, is there / how many / where, kind of image, what
takes two experts, and what no expert can know."""

EXPERTS = {
    "name": {"object"},
    "text": {"text"},
    "extreme": {"chart", "text"},
    "value": {"chart", "text"},
    "count_marks": {"chart"},
    "label": {"text"},
    "presence": {"location"},
    "count": {"location"},
    "where": {"location"},
    "cell": {"layout", "text"},
    "part": {"layout", "text"},
    "sign": {"location", "text"},
    "neighbour": {"location", "object"},
    "image": set(),
    "medical": set(),
    "identity": set(),
    "absent": set(),
}
"""Form of a question → the experts whose knowledge it needs."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One line of questions.jsonl, with where its picture is."""

    picture: str
    group: str
    form: str
    question: str
    answers: tuple[str, ...]
    """The right answer, then the accepted others; none if it can't be told."""
    tolerance: float | None = None
    """How far a number read from a chart may be off: 5% of its axis."""
    package: str
    place: str

    @property
    def experts(self) -> set[str]:
        return EXPERTS[self.form]

    def is_right(self, reply: Reply) -> bool:
        """A question that can't be answered is right if the reply says so or is not confident."""
        if not self.answers:
            doubts = reply.confidence is not None and reply.confidence < UNSURE
            return doubts or is_unsure(reply.text)
        return judge(
            reply.text,
            self.answers,
            question=self.question,
            tolerance=self.tolerance,
            name=self.form in ("name", "neighbour", "image"),
        )


UNSURE = 0.5
"""A confidence below it is shown as "unsure"."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a model said, and if it tells: how sure it was, and which experts it chose."""

    text: str
    confidence: float | None = None
    experts: tuple[str, ...] | None = None


Ask = Callable[[Image.Image, str], Reply]


def load_questions(folder: Path = SUITE) -> list[Question]:
    """All questions, in the order of the file."""
    sources = {row["package"]: row["source"] for row in _read_table(folder / "packages.tsv")}
    places = {
        row["picture"]: (sources[row["package"]], row["place"])
        for row in _read_table(folder / "pictures.tsv")
    }
    lines = (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = []
    for line in lines:
        entry = json.loads(line)
        package, place = places[entry["picture"]]
        answers = tuple(entry.pop("answers"))
        questions.append(Question(**entry, answers=answers, package=package, place=place))
    return questions


def _read_table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))


@cache
def unpack(source: str) -> Path:
    """The folder of a package named `debian:NAME`, `pypi:NAME==VERSION` or `source:NAME==VERSION`.

    Raises UserError where it can't be fetched.
    """
    registry, _, rest = source.partition(":")
    if registry == "debian":
        return packages.debian(rest)
    name, _, version = rest.partition("==")
    return packages.pypi(name, version, source=registry == "source")


def run(ask: Ask, questions: Iterable[Question]) -> dict[str, Any]:
    """Asks every question whose picture can be had; the report has the rows and the shares.

    Per group and over all: right, and majority, the best constant answer of each group; where the
    replies name experts, routing, the share of the right set. Each with its 95% Wilson interval. A
    package that can't be had is named with what it says, and its questions are left out.
    """
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    asked: list[Question] = []
    for question in tqdm(list(questions), desc="asking"):
        try:
            picture = open_picture(unpack(question.package), question.place)
        except UserError as error:
            missing[question.package] = str(error)
            continue
        reply = ask(picture, question.question)
        asked.append(question)
        rows.append(
            {
                "picture": question.picture,
                "group": question.group,
                "form": question.form,
                "question": question.question,
                "expected": list(question.answers),
                "answer": reply.text,
                "right": question.is_right(reply),
                "confidence": reply.confidence,
                "experts": None if reply.experts is None else list(reply.experts),
            }
        )
    for row, constant in zip(rows, constant_answers(asked), strict=True):
        row["majority"] = constant
    for row, question in zip(rows, asked, strict=True):
        chosen = row["experts"]
        row["routing"] = None if chosen is None else set(chosen) == question.experts
    groups = {group: _shares([r for r in rows if r["group"] == group]) for group in GROUPS}
    return {
        "groups": {**groups, "all": _shares(rows)},
        "forms": _split(rows, [q.form for q in asked]),
        "packages": _split(rows, [f"{q.group} of {q.picture.split('/')[0]}" for q in asked]),
        "missing": missing,
        "rows": rows,
    }


def constant_answers(questions: Sequence[Question]) -> list[bool]:
    """Which questions the best constant answer to all of their group would get right."""
    best: dict[str, str] = {}
    for group in {q.group for q in questions}:
        same = [q for q in questions if q.group == group]
        tried = {
            answer: sum(q.is_right(Reply(text=answer)) for q in same)
            for answer in {a for q in same for a in q.answers}
        }
        best[group] = min(tried, key=lambda answer: (-tried[answer], answer), default="")
    return [bool(q.answers) and q.is_right(Reply(text=best[q.group])) for q in questions]


def _split(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    """The shares of the rows of each key."""
    return {
        wanted: _shares([row for row, key in zip(rows, keys, strict=True) if key == wanted])
        for wanted in sorted(set(keys))
    }


def _shares(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, object]]:
    """The shares of one group; those that no row tells are left out."""
    told = {
        name: [row[name] for row in rows if row[name] is not None]
        for name in ("right", "majority", "routing")
    }
    return {name: Share.of(outcomes).to_dict() for name, outcomes in told.items() if outcomes}


def draw_table(report: dict[str, Any]) -> Table:
    """The report as people read it: per cent with the 95% interval."""
    table = Table("group", "questions", "right %", "best constant %", "right experts %")
    for group, shares in report["groups"].items():
        if shares:
            cells = [_percent(shares.get(n)) for n in ("right", "majority", "routing")]
            table.add_row(group, str(shares["right"]["n"]), *cells)
    return table


def _percent(share: dict[str, Any] | None) -> str:
    if share is None:
        return "–"
    low, high = share["ci95"]
    return f"{100 * share['value']:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def answers_of(mova: Mova) -> Ask:
    """A model's replies, at most 32 tokens each."""

    def ask(picture: Image.Image, question: str) -> Reply:
        answer = mova.ask(picture, question, max_new_tokens=32)
        return Reply(text=answer.text, experts=answer.routing.experts)

    return ask


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--limit", type=int, help="so many questions, drawn over all groups")
    parser.add_argument("--output", type=Path, help="a JSON file for the whole report")
    given = parser.parse_args()
    questions = [q for q in load_questions() if q.group in given.groups.split(",")]
    if given.limit is not None:
        questions = random.Random(0).sample(questions, min(given.limit, len(questions)))
    report = run(answers_of(Mova.from_pretrained(given.model)), questions)
    if given.output:
        given.output.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    console = Console()
    console.print(draw_table(report))
    for package, said in report["missing"].items():
        console.print(f"left out: {package}: {said}")


if __name__ == "__main__":
    main()
