"""Rows of nano's joint training (studies.nano.joint): a picture, what experts say, questions.

Shapes: none; all is text, and the place of a picture's stored map.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openmova.checkpoints import nano_spec as spec
from openmova.errors import UserError
from openmova.routing import expert_letters, format_routing
from studies.nano import said
from studies.nano.data.chart_questions import chart_questions
from studies.nano.data.documents import rows as text_rows
from studies.nano.data.kind import either_question
from studies.nano.data.noun_questions import label_question, unknown_question, written_question
from studies.nano.data.phrases import ask
from studies.nano.data.record import read
from studies.nano.data.scenes import neighbour_question, sign_question
from studies.nano.data.sheets import menu, sheet
from studies.nano.data.tasks import UNKNOWN
from studies.nano.data.words import Words
from studies.nano.image_type import PICTURES, image_type

TEXTS = {"text": ("receipts", "screens", "signs"), "page_text": ("pages",)}
"""Folders of texts without pictures, and whose pictures stand for theirs."""
MADE_UP = 6000
"""Rows each of what object and location expert might say, and of routing questions."""
UNTOLD = ("photos", "places", "kinds", "figures")
"""Folders whose pictures are asked for what they do not tell."""
WRITTEN = ("pages", "receipts", "screens", "reports")
"""Folders of pictures that are read, whatever is asked for."""
READ_TYPES = (
    *("screenshot", "document", "table", "form", "invoice", "receipt", "ticket", "letter"),
    *("label", "poster", "map", "diagram"),
)
"""Types of image that are read, too; their pictures lie in all folders."""
EXPERTS = spec.EXPERTS
CHART = ("chart",)
"""The experts of questions about a chart."""
KIND = ("image_type",)
"""The experts of questions about the kind of image."""
CHART_TASKS = ("chart-value", "chart-label", "chart-largest", "chart-smallest")
NEIGHBOURS = (
    *("person", "man", "woman", "dog", "cat", "car", "horse", "chair", "table", "giraffe", "bus"),
    *("tree", "boat", "bird", "bicycle", "player"),
)
NAMED = (
    *("building", "bird", "dog", "flower", "fruit", "vehicle", "boat", "plane", "tree", "tool"),
    *("animal", "insect", "fish", "food", "dish", "instrument", "cat", "plant", "machine", "toy"),
    *("furniture", "weapon", "hat", "shop", "bridge", "snake", "ship", "car", "truck", "vegetable"),
    *("monument", "church", "house", "structure", "aircraft", "monkey", "drink", "ball", "device"),
)
WHICH = (
    *(
        "What kind of {} is this?",
        "Which {} is it?",
        "What {} is this?",
        "What type of {} is that?",
    ),
    *("What sort of {} do you see?", "Which {} is shown here?", "Which {} is this?"),
    *("Which kind of {} is in the photo?", "what kind of {} is it", "Name the {}."),
)
PAPERS = ("receipt", "invoice", "form", "letter", "ticket")
Turn = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A picture's base map by folder and place, what the experts say, questions with answers."""

    source: str
    place: tuple[str, int | None]
    """None: any of the folder's."""
    words: Mapping[str, str]
    turns: tuple[Turn, ...]
    others: Mapping[str, str] = field(default_factory=dict)
    """What other experts would say."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows by source, and the questions with the letters that route them, by folder or by type of
    image."""

    answering: Mapping[str, list[Row]]
    routing: Mapping[str, list[Turn]]
    kinds: Mapping[str, list[str]]
    """Of every folder what kind of image each picture is that has a stored map."""


def read_rows(data: Path) -> Rows:
    """All rows in a fixed order. Raises UserError where the data folder has none."""
    answering: dict[str, list[Row]] = {}
    routing: dict[str, list[Turn]] = {}
    kinds: dict[str, list[str]] = {}
    for name in PICTURES:
        done = data / name / "base.done"
        if done.is_file():
            made = _of_pictures(data / name, name, int(done.read_text()))
            answering[name], routing[name], kinds[name] = made
            answering.setdefault("kind", []).extend(
                row for row in answering[name] if row.source == "kind"
            )
            answering[name] = [row for row in answering[name] if row.source != "kind"]
    if not kinds:
        raise UserError(f"{str(data)!r} has no rows: run studies/nano/data.sh first")
    for name, alike in TEXTS.items():
        answering[name] = [
            Row(source=name, place=(alike[number % len(alike)], None), words={"text": read["text"]},
                turns=tuple((pair["question"], pair["answer"]) for pair in read["qa"]))
            for number, read in enumerate(read_lines(data / name / "samples.jsonl"))
        ]  # fmt: skip
        for row in answering[name][::4]:  # some of them: there are many
            if row.place[0] in routing:
                routing[row.place[0]].append((row.turns[0][0], letters(("text",))))
    makers: dict[str, Callable[[random.Random], tuple[str, list[Turn]]]] = {
        "object": said.object_row,
        "location": said.location_row,
    }
    for name, make in makers.items():
        rng = random.Random(name)
        answering[name] = []
        for _ in range(MADE_UP):
            text, turns = make(rng)
            place = (rng.choice(("photos", "places", "kinds")), None)
            (other,) = makers.keys() - {name}
            row = Row(
                source=name, place=place, words={name: text}, turns=tuple(turns),
                others={other: makers[other](rng)[0]},
            )  # fmt: skip
            answering[name].append(row)
            routing["photos"] += [(question, letters((name,))) for question, _ in turns[:2]]
    rng = random.Random("neighbour")
    answering["neighbour"] = []
    for _ in range(MADE_UP // 4):
        both, turns = said.neighbour_row(rng)
        place = (rng.choice(("photos", "places")), None)
        row = Row(source="neighbour", place=place, words=both, turns=tuple(turns))
        answering["neighbour"].append(row)
    for name, make_both, count, routed in (
        ("values", said.chart_row, MADE_UP, 1),
        ("labels", said.labels_row, MADE_UP // 2, 2),
    ):
        rng = random.Random(name)
        answering[name] = []
        for _ in range(count):
            both, turns = make_both(rng)
            row = Row(
                source=name, place=("charts", None), words={"chart": both.pop("chart")},
                others=both, turns=tuple(turns),
            )  # fmt: skip
            answering[name].append(row)
            routing["charts"] += [(question, letters(CHART)) for question, _ in turns[:routed]]
    rng = random.Random("menus")
    answering["menus"] = []
    for _ in range(MADE_UP // 3):
        document = menu(Words(rng))
        lines = [" | ".join(filter(None, row)) for row in text_rows(document.blocks)]
        asked = tuple((ask.slots["text"], ask.answer) for ask in document.asks)
        row = Row(
            source="menus", place=("screens", None), words={"text": "\n".join(lines)}, turns=asked
        )
        answering["menus"].append(row)
        routing["screens"].append((asked[0][0], letters(("text",))))
    rng = random.Random("unknown")
    answering["unknown"] = []
    for _ in range(MADE_UP // 4):
        place = (rng.choice([name for name in UNTOLD if name in kinds]), None)
        asked = tuple((unknown_question(rng), UNKNOWN) for _ in range(4))
        answering["unknown"].append(Row(source="unknown", place=place, words={}, turns=asked))
        routing[place[0]] += [(question, letters(())) for question, _ in asked[:2]]
    _add_routing(data, routing)
    return Rows(answering=answering, routing=routing, kinds=kinds)


def _of_pictures(folder: Path, name: str, encoded: int) -> tuple[list[Row], list[Turn], list[str]]:
    """Rows of a folder's pictures, its questions with their letters, what kind each picture is."""
    rng = random.Random(name)
    pictures = list(read_lines(folder / "pictures.jsonl"))
    words = {row["id"]: row for row in read_lines(folder / "words.jsonl")}
    charts = {name_of: row.pop("read", None) for name_of, row in words.items()}
    for row in read_lines(folder / "image_type.jsonl"):
        words.setdefault(row["id"], {}).update(row)
    grouped: dict[tuple[int, tuple[str, ...]], list[Turn]] = {}
    routing: list[Turn] = []
    kinds: list[str] = []
    numbers = {picture["id"]: number for number, picture in enumerate(pictures)}
    for sample in read_lines(folder / "samples.jsonl"):
        name_of = Path(sample["images"][0]).stem
        experts = tuple(e for e in EXPERTS if e in sample["experts"])
        routing.append((sample["question"], letters(experts)))
        own = words.get(name_of, {})
        if sample["task"] == "kind" or (sample["task"] in CHART_TASKS and own.get("chart")):
            continue  # asked below, about what the expert said
        if all(own.get(e) for e in experts):
            answer = said.answer_from(sample, own, rng)
            if answer is not None:
                key = (numbers[name_of], experts)
                grouped.setdefault(key, []).append((sample["question"], answer))
    for number, picture in enumerate(pictures):
        if turns := list(_read_turns(rng, charts.get(picture["id"]))):
            grouped.setdefault((number, CHART), []).extend(turns)
            routing += [(question, letters(CHART)) for question, _ in turns[-2:]]
        if number < encoded:
            kinds.append(image_type(picture))
            turns = _kind_turns(rng, kinds[-1], is_chart=picture["domain"] == "chart")
            grouped.setdefault((number, KIND), []).extend(turns)
            routing += [(question, letters(KIND)) for question, _ in turns[-2:]]
    rows = []
    for (number, experts), turns in grouped.items():
        known = {e: text for e in EXPERTS if (text := words.get(pictures[number]["id"], {}).get(e))}
        rows.append(
            Row(
                source="kind" if experts == KIND else name,
                place=(name, number if number < encoded else None),
                words={e: known[e] for e in experts if e in known},
                others={e: text for e, text in known.items() if e not in experts},
                turns=tuple(turns),
            )
        )
    return rows, routing, kinds


def _read_turns(rng: random.Random, chart: Mapping[str, Any] | None) -> Iterator[Turn]:
    """Questions about what the chart expert read (`read` of studies.nano.words); the answers are
    what it said, whether or not that is right."""
    if chart is None:
        return
    for place, text in chart["titles"].items():
        if place == "title":
            yield ask(rng, "chart-title"), text
        else:
            slot = rng.choice({"x axis": ("x", "horizontal"), "y axis": ("y", "vertical")}[place])
            yield ask(rng, "chart-axis", axis=slot), text
    full = [i for i, _ in enumerate(chart["labels"]) if None not in [v[i] for v in chart["values"]]]
    labels = [chart["labels"][i] for i in full]
    values = [[row[i] for i in full] for row in chart["values"]]
    if len(full) < 2 or len({*labels}) < len(full):
        return
    for _ in range(2):
        yield from chart_questions(rng, labels, chart["series"], values, chart["span"])


def _kind_turns(rng: random.Random, own: str, *, is_chart: bool) -> list[Turn]:
    """Questions about a picture's image type."""
    kind = "chart" if is_chart else own
    turns = [(ask(rng, "kind"), kind), (ask(rng, "kind"), kind), (either_question(rng, kind), kind)]
    if is_chart:
        turns += [(ask(rng, "chart-kind"), own) for _ in range(3)]
    if kind in PAPERS:
        turns += [(ask(rng, "paper-kind"), kind) for _ in range(2)]
    return turns


def _add_routing(data: Path, routing: dict[str, list[Turn]]) -> None:
    """Questions of no picture: to the folder whose pictures they may be asked about."""
    places = {"object": "photos", "location": "places", "chart": "charts", "layout": "pages"}
    for sample in read_lines(data / "routing" / "samples.jsonl"):
        experts = sample["experts"]
        where = next((places[e] for e in places if e in experts), "receipts")
        turn = (sample["question"], letters(experts))
        for name in PICTURES if sample["task"] == "kind" else (where,):
            if name in routing:
                routing[name].append(turn)
    rng = random.Random("routing")
    for name in ("signs", "pairs", "photos"):
        routing[name] += [(label_question(rng), letters(("text",))) for _ in range(MADE_UP // 10)]
    for name in WRITTEN:
        routing[name] += [(written_question(rng), letters(("text",))) for _ in range(MADE_UP // 4)]
    for name in READ_TYPES:
        routing[name] = [(written_question(rng), letters(("text",))) for _ in range(MADE_UP // 8)]
        routing[name] += [(ask(rng, "kind"), letters(KIND)) for _ in range(MADE_UP // 40)]
    for _ in range(MADE_UP // 4):
        for cell in sheet(Words(rng)).asks[:2]:
            routing["table"].append((cell.slots["text"], letters(("text",))))
    for _ in range(MADE_UP // 10):
        for name in ("photos", "places", "kinds", "pairs"):
            which = rng.choice(WHICH).format(rng.choice(NAMED))
            routing[name].append((which, letters(("object",))))
        one = rng.choice(NEIGHBOURS)
        kind = rng.choice(("animal", "thing", "object", "vehicle", "person"))
        turns = (
            (neighbour_question(rng, kind, one), letters(("location", "object"))),
            (sign_question(rng, one), letters(("text", "location"))),
        )
        routing["places"] += turns
        routing["pairs"] += turns


def letters(experts: Sequence[str]) -> str:
    """The router's answer that names these experts."""
    return format_routing([EXPERTS.index(e) for e in experts], expert_letters(len(EXPERTS)))


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSON Lines file; none where it is not there."""
    if file.is_file():
        yield from read(file)
