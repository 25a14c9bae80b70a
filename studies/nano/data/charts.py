# ruff: noqa: E501 - tables of words
"""Charts of several libraries, with exact values and the pixels where they are drawn.

base R is held out whole: nothing here draws with it. `truth["chart"]` has the plot's box, for each
mark its value with its place (x, y, and base for bars) in pixels, and for pies centre and radius.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from studies.nano.data.chart_libraries import LIBRARIES, Library
from studies.nano.data.chart_spec import ChartSpec, Drawn
from studies.nano.data.effects import worn
from studies.nano.data.fields import product
from studies.nano.data.kind import kind_questions
from studies.nano.data.phrases import ask
from studies.nano.data.record import Item, Question
from studies.nano.data.words import LANGUAGES, WEEKDAYS, Words

_APART = 0.05
"""What is asked for differs from all else by this share of the axis at least."""

_NAMES = {
    "bar": "bar chart",
    "barh": "bar chart",
    "line": "line chart",
    "pie": "pie chart",
    "scatter": "scatter plot",
    "grouped": "bar chart",
    "lines": "line chart",
}
_ITEMS = {"bar": "bar", "barh": "bar", "line": "point", "pie": "slice"}


def make(rng: random.Random) -> Item:
    """A chart with up to five questions."""
    spec, library, drawn = draw_chart(rng)
    image = worn(drawn.image, rng) if rng.random() < 0.2 else drawn.image
    asked = questions(spec, rng)
    truth = {
        "library": library.name,
        "type": spec.kind,
        "labels": list(spec.labels),
        "series": list(spec.series),
        "values": [list(row) for row in spec.values],
        "titles": titles(spec),
        **drawn.geometry,
    }
    return Item(
        domain="chart",
        source=library.name,
        licence=library.licence,
        questions=(*asked, *kind_questions(rng, "chart", 0.1)),
        image=image,
        words=drawn.words,
        truth={"chart": truth},
    )


def titles(spec: ChartSpec) -> dict[str, str]:
    """What the chart expert may tell beside the data: title and axes, where they are written."""
    if spec.kind == "pie":
        return {}
    axes = (
        (spec.value_axis, spec.label_axis)
        if spec.kind == "barh"
        else (spec.label_axis, spec.value_axis)
    )
    named = zip(("title", "x axis", "y axis"), (spec.title, *axes), strict=True)
    return {place: text for place, text in named if text}


def draw_chart(rng: random.Random) -> tuple[ChartSpec, Library, Drawn]:
    """A chart of any kind by any library that draws this kind."""
    spec = draw_spec(rng)
    library = rng.choice([entry for entry in LIBRARIES if spec.kind in entry.kinds])
    if library.name != "matplotlib":  # only there values are written at the marks
        spec = replace(spec, shown=False)
    return spec, library, library.draw(spec, rng)


class _Quantity(NamedTuple):
    """What is measured: title, axis label, range, digits."""

    name: str
    unit: str
    low: float
    high: float
    digits: int


_QUANTITIES = tuple(
    _Quantity(*quantity)
    for quantity in (
        ("Sales", "EUR", 10, 90000, 0), ("Visitors", "", 5, 50000, 0), ("Temperature", "°C", 1, 40, 1), ("Population", "million", 1, 140, 1), ("Rainfall", "mm", 2, 300, 0), ("Price", "USD", 1, 900, 2),
        ("Share", "%", 2, 100, 0), ("Votes", "", 10, 9000, 0), ("Output", "tonnes", 3, 8000, 0), ("Energy", "kWh", 20, 6000, 0), ("Score", "points", 1, 100, 0), ("Errors", "", 1, 60, 0), ("Time", "s", 0.5, 60, 1),
        ("Height", "m", 2, 800, 0), ("Speed", "km/h", 5, 320, 0), ("Weight", "kg", 1, 900, 1), ("Students", "", 5, 900, 0), ("Exports", "bn $", 0.5, 90, 1), ("Downloads", "thousand", 1, 900, 0), ("Orders", "", 3, 700, 0),
        ("Distance", "km", 1, 3000, 0), ("Growth", "%", 0.5, 15, 1), ("Cost", "£", 5, 20000, 0), ("Births", "", 10, 4000, 0), ("Memory", "MB", 8, 4096, 0), ("Frequency", "Hz", 10, 20000, 0), ("Count", "", 1, 50, 0), ("Profit", "k€", 1, 400, 0),
    )
)  # fmt: skip


def draw_spec(rng: random.Random) -> ChartSpec:
    """What the chart shows; how it looks is the library's part."""
    words = Words(rng, rng.choices(LANGUAGES, (85, 6, 5, 4))[0])
    kind = rng.choices(
        ("bar", "barh", "line", "pie", "scatter", "grouped", "lines"), (34, 18, 14, 12, 5, 10, 7)
    )[0]
    quantity = rng.choice(_QUANTITIES)
    what, labels = _labels(words, rng.randint(2, 7 if kind == "pie" else 10))
    series: tuple[str, ...] = ()
    if kind in ("grouped", "lines"):
        labels = labels[:5] if kind == "grouped" else labels
        _, series = _labels(words, rng.randint(2, 3))
        if set(series) & set(labels):
            series = ("Series A", "Series B", "Series C")[: len(series)]
    top = quantity.low * (quantity.high / quantity.low) ** rng.uniform(0.3, 1)
    values = []
    for _ in range(max(1, len(series))):
        spread = rng.choice((0.1, 0.1, 0.4))
        row = [max(quantity.low, top * rng.uniform(spread, 1)) for _ in labels]
        if kind in ("line", "lines") and rng.random() < 0.5:
            row = sorted(row, reverse=rng.random() < 0.4)
        values.append(tuple(round(v, quantity.digits) for v in row))
    axis = (
        f"{quantity.name} ({quantity.unit})"
        if quantity.unit
        else rng.choice((quantity.name, f"Number of {quantity.name.lower()}"))
    )
    title = rng.choice(
        (
            f"{quantity.name} by {what}",
            f"{quantity.name} in {words.city()}",
            f"{quantity.name} {rng.randint(1990, 2027)}",
            f"{words.company()}: {quantity.name.lower()}",
            f"{quantity.name} per {what}",
        )
    )
    return ChartSpec(
        kind=kind,
        labels=labels,
        series=tuple(series),
        values=tuple(values),
        title=title if rng.random() < 0.75 else "",
        label_axis=what.capitalize() if rng.random() < 0.55 else "",
        value_axis=axis if rng.random() < 0.75 else "",
        digits=quantity.digits,
        shown=rng.random() < 0.18,
    )


def _labels(words: Words, count: int) -> tuple[str, tuple[str, ...]]:
    """What the labels are, and `count` of them or fewer, each once."""
    rng = words.rng
    start = rng.randint(1985, 2015)
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    ways = {
        "year": lambda: [str(start + i) for i in range(count)],
        "month": lambda: months[rng.randrange(6) :],
        "day": lambda: [d[:3] if rng.random() < 0.5 else d for d in WEEKDAYS[words.language]],
        "quarter": lambda: ["Q1", "Q2", "Q3", "Q4"],
        "group": lambda: [f"{rng.choice(('Group', 'Class', 'Team', 'Type'))} {c}" for c in "ABCDEFGHIJ"],
        "country": lambda: [c for c in (words.country() for _ in range(30)) if len(c) < 12],
        "city": lambda: [c for c in (words.city() for _ in range(30)) if len(c) < 12],
        "product": lambda: [p for p in (product(words) for _ in range(20)) if len(p) < 14],
        "person": lambda: [words.first_name() for _ in range(count)],
        "brand": lambda: [words.made_up() for _ in range(count)],
        "category": lambda: rng.sample(["Food", "Rent", "Travel", "Books", "Games", "Sports", "Music", "Clothes", "Health", "Other", "Cars", "Tools", "Garden", "Pets", "Phones", "Taxes", "Gifts"], 10),
        "fuel": lambda: rng.sample(["Coal", "Gas", "Oil", "Wind", "Solar", "Hydro", "Nuclear", "Biomass", "Wood", "Peat"], 8),
        "colour": lambda: rng.sample(["red", "blue", "green", "yellow", "black", "white", "orange", "purple", "brown", "pink"], 8),
        "animal": lambda: rng.sample(["Dogs", "Cats", "Horses", "Birds", "Fish", "Cows", "Sheep", "Goats", "Pigs", "Bees"], 9),
    }  # fmt: skip
    what = rng.choice(list(ways))
    found = tuple(dict.fromkeys(ways[what]()))[:count]
    return (what, found) if len(found) > 1 else _labels(words, count)


def questions(spec: ChartSpec, rng: random.Random) -> tuple[Question, ...]:
    """Up to four questions that have one answer."""
    found: list[Question] = []

    def add(task: str, answer: str, key: str = "", **slots: str) -> None:
        question = ask(rng, key or task, **slots)
        found.append(Question(task=task, question=question, answer=answer))

    if spec.kind in _ITEMS:
        _single(spec, rng, add)
    elif spec.series:
        for _ in range(2):
            row, place = rng.randrange(len(spec.series)), rng.randrange(len(spec.labels))
            add("chart-value", spec.written(spec.values[row][place]), "chart-value-series", series=spec.series[row], label=spec.labels[place])  # fmt: skip
    if spec.title:
        add("chart-title", spec.title)
    horizontal = spec.kind == "barh"
    if spec.kind != "pie":
        for name, text in (("x", spec.label_axis), ("y", spec.value_axis)):
            if text:
                other = {"x": "y", "y": "x"}[name] if horizontal else name
                slot = rng.choice((other, {"x": "horizontal", "y": "vertical"}[other]))
                add("chart-axis", text, axis=slot)
    add("kind", _NAMES[spec.kind], "chart-kind")
    weights = [
        3.0 if q.task in ("chart-value", "chart-largest", "chart-smallest", "chart-label") else 1.0
        for q in found
    ]
    chosen: dict[str, Question] = {}
    for question in rng.choices(found, weights, k=rng.randint(3, 6)):
        chosen.setdefault(question.question, question)
    return tuple(chosen.values())[:4]


def _single(spec: ChartSpec, rng: random.Random, add: Callable[..., None]) -> None:
    """What is asked of one series."""
    values, labels, item = spec.values[0], spec.labels, _ITEMS[spec.kind]
    order = sorted(values)
    reach = max(order) if spec.kind != "pie" else sum(order)
    for place in rng.sample(range(len(labels)), min(2, len(labels))):
        alone = all(
            abs(values[place] - v) > _APART * reach for i, v in enumerate(values) if i != place
        )
        # A slice has no axis to read its value from, unless the value is written beside it.
        if spec.kind != "pie" or spec.shown:
            add("chart-value", spec.written(values[place]), label=labels[place])
            if alone:
                add("chart-label", labels[place], value=spec.written(values[place]), item=item)
    if order[-1] - order[-2] > _APART * reach:
        add("chart-largest", labels[values.index(order[-1])], item=item)
    if order[1] - order[0] > _APART * reach:
        add("chart-smallest", labels[values.index(order[0])], item=item)
    add("chart-count", str(len(labels)), item=item)
