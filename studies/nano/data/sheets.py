# ruff: noqa: E501 - tables of words
"""Sheets as programs print them: tables of statistics, lines that count, lists, menus, settings.

What they are about are any nouns, so that a question's own words tell what to look up.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from openmova.experts.text_marks import MARK
from studies.nano.data.documents import Ask, Block, Column, Document, Heading, Lines, Table
from studies.nano.data.noun_questions import DONE, NOUNS
from studies.nano.data.words import Words

_STATISTICS = (
    "N", "Mean", "Std. Dev.", "Minimum", "Maximum", "Frequency", "Percent", "Valid Percent", "Cumulative Percent", "Value", "df", "Sig.",
    "Residual", "Expected N", "Observed N", "Estimate", "Std. Error", "Variance", "Median", "Count", "P(>|t|)", "F", "R-squared", "Total",
)  # fmt: skip
_UNITS = ("mm", "c", "kg", "m/s", "%", "EUR", "ms", "MB", "km", "h", "USD", "litres")
_CELL = (
    "What is the {column} of {row}?", "How high is the {column} of {row}?", "How much {column} did {row} get?", "How many {column} does {row} have?",
    "In the {title} table, what is the {column} of {row}?", "{row}: {column}?", "What {column} has {row}?", "How large is {row}'s {column}?",
    "What is {row}'s {column}?", "{column} for {row}?", "Which {column} is given for {row}?", "How much is the {column} in {row}?", "What {column} was measured for {row}?",
    "Look up the {column} for {row}.", "What is the {column} when {row} is taken?", "What does {row} have as {column}?", "How often does {row} occur? I mean the {column}.",
)  # fmt: skip
_EXTREME = (
    "Which {key} has the {end} {column}?", "Who or what has the {end} {column}?", "For which {key} is the {column} {end}?", "Where is the {column} {end}?",
    "Name the {key} with the {end} {column}.", "Which row has the {end} {column}?",
)  # fmt: skip
_KEY = (
    "What is the {key}?", "Which {key} is given?", "Tell me the {key}.", "{key}?", "What {key} is set?", "What is set as {key}?", "How is the {key} given?", "Read the {key}.",
    "How large is the {key}?", "Which {key} do you see?", "What value has the {key}?", "What has been entered as {key}?", "What is the value of {key}?", "Name the {key}.",
)  # fmt: skip
_NTH = (
    "What is entry number {n} of the list?", "What is number {n}?", "Which item has the number {n}?", "What is section {n} called?", "Read item {n}.", "What stands at {n}?", "Which is the entry {n}?",
    "What is point {n}?", "Name number {n} of the contents.", "What is the title of chapter {n}?",
)  # fmt: skip
_SELECTED = (
    "Which entry is selected?", "Which {noun} is selected?", "Which {noun} is highlighted?", "What is selected?", "Which menu entry is highlighted?", "Which line is highlighted?",
    "Which option is chosen?", "Which {noun} is chosen?", "What is the selected {noun}?", "Which {noun} is active?", "Which item of the list is marked?", "What has been selected?",
    "Which {noun} is marked?", "Tell me the highlighted {noun}.", "What is highlighted?", "Which of them is selected?", "Which {noun} is currently selected?", "Name the selected entry.",
)  # fmt: skip
_ENDS = {
    "first": ("What is the first entry of the list?", "Which {noun} comes first?", "What is the first {noun}?", "What is at the top of the list?", "Which {noun} is at the top?", "Name the first entry of the menu.", "What does the menu begin with?", "What stands on the top line?"),
    "last": ("What is the last entry of the list?", "Which {noun} comes last?", "What is the last {noun}?", "What is at the bottom of the list?", "Which {noun} is at the bottom?", "What is the last entry of this menu?", "What does the menu end with?", "What stands on the bottom line?"),
    "after": ("What comes after {other}?", "Which {noun} is below {other}?", "What is right under {other}?", "Which entry follows {other}?", "What does the line after {other} say?"),
    "before": ("What comes before {other}?", "Which {noun} is above {other}?", "What is right above {other}?", "Which entry is in front of {other}?", "What does the line before {other} say?"),
}  # fmt: skip
_ACTIONS = (
    "New", "Open...", "Open Recent", "Save", "Save As...", "Export...", "Print...", "Close", "Quit", "Undo", "Redo", "Cut", "Copy", "Paste", "Delete", "Select All", "Find...",
    "Replace...", "Preferences", "Zoom In", "Zoom Out", "Full Screen", "Help", "About", "Properties", "New Window", "Close All", "Rename...", "Import...", "Settings", "Refresh",
    "Log Out", "Restart", "Shut Down", "Install", "Advanced options", "Rescue mode", "Back", "Continue", "Go Back", "Cancel", "Details", "Add to Favorites", "Exit", "Automatic",
)  # fmt: skip
_LEADS = (
    "Select your {noun}", "Choose the {noun} to be used.", "The selected {noun} will be used for the {other}.", "Please select a {noun}. If you do not know which {other} is best, keep {name}.",
    "{name} is usually a good choice.", "{noun}:", "This is a shortlist; choose another {noun} if yours is not listed.", "The highlighted {noun} starts in 30 seconds.", "{other} menu", "Applications",
)  # fmt: skip
_BUTTONS = (
    "Screenshot",
    "Go Back",
    "Continue",
    "OK",
    "Cancel",
    "Help",
    "Apply",
    "Close",
    "Next",
    "Back",
    "Reset",
)
_MANY = (
    "How many {noun}s are {done}?", "How many {noun}s were {done}?", "How many are {done}?", "Number of {done} {noun}s?", "How many {done} {noun}s are there?", "What number of {noun}s is {done}?",
)  # fmt: skip


@dataclass(frozen=True)
class _Part:
    blocks: tuple[Block, ...]
    asks: tuple[Ask, ...]


def sheet(words: Words) -> Document:
    """One to three parts under a title."""
    rng = words.rng
    words = Words(rng, "en")
    blocks: list[Block] = []
    asks: list[Ask] = []
    title = f"{rng.choice(NOUNS)} {rng.choice(NOUNS)}".capitalize()
    if rng.random() < 0.7:
        blocks.append(Heading(title, 0))
    for make in rng.choices(
        (_statistics, _counts, _numbered, _settings), (6, 1.5, 1.5, 3), k=rng.randint(1, 3)
    ):
        part = make(words)
        # A name that stands twice would be asked for ambiguously.
        if not {a.slots["text"] for a in part.asks} & {a.slots["text"] for a in asks}:
            blocks += part.blocks
            asks += part.asks
    return Document(kind="a page", language="en", blocks=tuple(blocks), asks=tuple(asks))


def _ask(rng: random.Random, phrases: tuple[str, ...], answer: str, **slots: str) -> Ask:
    text = rng.choice(phrases).format(**slots)
    text = text[:1].upper() + text[1:]
    if rng.random() < 0.1:
        text = text.rstrip("?.").lower()
    return Ask("cell", "plain", {"text": text}, answer)


def _name(words: Words) -> str:
    rng = words.rng
    draw = rng.randrange(6)
    if draw < 3:
        return rng.choice(NOUNS)
    return (words.city, words.made_up, words.first_name)[draw - 3]()


def _number(words: Words) -> str:
    rng = words.rng
    digits = rng.choice((0, 0, 1, 2, 3))
    text = f"{rng.choice((1, 1, 1, -1)) * 10 ** rng.uniform(-1, 4.5):.{digits}f}"
    if rng.random() < 0.15 and text.lstrip("-").startswith("0."):
        text = text.replace("0.", ".", 1)  # as some programs print it
    return text + "%" if rng.random() < 0.1 else text


def _statistics(words: Words) -> _Part:
    """A table of numbers; a column in a unit, rows with a running number before them."""
    rng = words.rng
    heads = rng.sample(_STATISTICS, rng.randint(1, 5))
    if rng.random() < 0.5:
        heads = list(dict.fromkeys(rng.choice(NOUNS).capitalize() for _ in heads))
    nouns = [head.lower() if rng.random() < 0.7 else head for head in heads]
    heads = [f"{head} ({rng.choice(_UNITS)})" if rng.random() < 0.15 else head for head in heads]
    names = list(dict.fromkeys(_name(words) for _ in range(rng.randint(2, 8))))
    column = rng.choice(
        (_number, lambda w: w.number(0, 9999), lambda w: f"{w.rng.uniform(0, 100):.1f}")
    )
    cells = [[column(words) for _ in heads] for _ in names]
    start = rng.choice((0, 1))
    shown = [f"{start + i} {name}" for i, name in enumerate(names)] if rng.random() < 0.2 else names
    title = f"{rng.choice(NOUNS)} {rng.choice(NOUNS)}"
    key = rng.choice(NOUNS)
    columns = (
        Column("", key.capitalize() if rng.random() < 0.6 else "", key),
        *(Column("", h, n) for h, n in zip(heads, nouns, strict=True)),
    )
    table = Table(columns, tuple((name, *row) for name, row in zip(shown, cells, strict=True)))
    asks = []
    for _ in range(6):
        r, c = rng.randrange(len(names)), rng.randrange(len(heads))
        asks.append(_ask(rng, _CELL, cells[r][c], row=names[r], column=nouns[c], title=title))
    return _Part(
        (Heading(title.capitalize(), 2), table), (*asks, *_extremes(rng, names, nouns, cells, key))
    )


def _extremes(
    rng: random.Random, names: list[str], nouns: list[str], cells: list[list[str]], key: str
) -> list[Ask]:
    """Which row has most or least of a column, where the numbers differ."""
    c = rng.randrange(len(nouns))
    values = [float(row[c].rstrip("%").replace(",", "")) for row in cells]
    if len(set(values)) < len(values):
        return []
    found = []
    for ends, pick in ((("highest", "largest", "greatest"), max), (("lowest", "smallest"), min)):
        place = values.index(pick(values))
        found.append(
            _ask(rng, _EXTREME, names[place], key=key, end=rng.choice(ends), column=nouns[c])
        )
    return found


def _counts(words: Words) -> _Part:
    """A line that counts what was done, and among other lines perhaps."""
    rng = words.rng
    noun, done = rng.choice(NOUNS), rng.sample(DONE, rng.randint(1, 4))
    counts = [str(rng.choice((0, rng.randint(1, 20), rng.randint(20, 5000)))) for _ in done]
    parts = [
        f"{n} {noun}s {d}" if i == 0 or rng.random() < 0.2 else f"{n} {d}"
        for i, (n, d) in enumerate(zip(counts, done, strict=True))
    ]
    asks = [
        _ask(rng, _MANY[:4] if len(done) > 1 else _MANY, n, noun=noun, done=d)
        for n, d in zip(counts, done, strict=True)
    ]
    return _Part((Lines((", ".join(parts) + rng.choice(("", ".")),)),), tuple(asks))


def _numbered(words: Words) -> _Part:
    """A numbered list: contents, steps."""
    rng = words.rng
    names = [
        f"{rng.choice(NOUNS)} {rng.choice(DONE + NOUNS)}".capitalize()
        for _ in range(rng.randint(3, 10))
    ]
    mark = rng.choice((". ", " ", ") ", ""))
    lines = tuple(f"{n}{mark}{name}" for n, name in enumerate(names, 1))
    chosen = rng.sample(range(len(names)), 2)
    return _Part(
        (Lines(lines, "list"),), tuple(_ask(rng, _NTH, names[n], n=str(n + 1)) for n in chosen)
    )


def menu(words: Words) -> Document:
    """A menu or a list to choose from; most often one of its lines is highlighted."""
    rng = words.rng
    words = Words(rng, "en")
    noun = rng.choice((*NOUNS, "entry", "item", "option", "line", "menu entry"))
    maker = rng.choice(
        (
            lambda: rng.choice(_ACTIONS),
            lambda: rng.choice(_ACTIONS),
            lambda: rng.choice(NOUNS).capitalize(),
            lambda: f"{rng.choice(NOUNS)} {rng.choice(DONE + NOUNS)}".capitalize(),
            words.city,
            words.name,
            words.website,
            words.company,
        )
    )
    names = list(dict.fromkeys(maker() for _ in range(rng.randint(3, 12))))
    keys = rng.random() < 0.25
    lines = [
        f"{name} Ctrl+{rng.choice('ABCDEFGHIKLNOPQSTUVWXYZ')}"
        if keys and rng.random() < 0.6
        else name
        for name in names
    ]
    asks = []
    if rng.random() < 0.75:
        chosen = rng.randrange(len(names))
        lines[chosen] = MARK + lines[chosen]
        asks += [_ask(rng, _SELECTED, names[chosen], noun=noun) for _ in range(3)]
    asks += [_ask(rng, _ENDS["first"], names[0], noun=noun)]
    asks += [_ask(rng, _ENDS["last"], names[-1], noun=noun)]
    place = rng.randrange(1, len(names)) if len(names) > 1 else 0
    if place:
        asks += [_ask(rng, _ENDS["after"], names[place], noun=noun, other=names[place - 1])]
        asks += [_ask(rng, _ENDS["before"], names[place - 1], noun=noun, other=names[place])]
    lead = [
        rng.choice(_LEADS).format(noun=noun, other=rng.choice(NOUNS), name=rng.choice(names))
        for _ in range(rng.choice((0, 0, 1, 2, 3)))
    ]
    buttons = rng.sample(_BUTTONS, rng.randint(2, 3)) if rng.random() < 0.4 else []
    heading = (Heading(noun.capitalize(), 2),) if rng.random() < 0.4 else ()
    blocks = (*heading, Lines(tuple(lead)), Lines(tuple(lines), "list"))
    if buttons:
        blocks = (*blocks, Lines((" | ".join(buttons),)))
    return Document(kind="a screen", language="en", blocks=blocks, asks=tuple(asks))


def _settings(words: Words) -> _Part:
    """Any key with any value: after a colon, beside it, or under it."""
    rng = words.rng
    keys = list(
        dict.fromkeys(
            f"{rng.choice((*NOUNS, *DONE))} {rng.choice(NOUNS)}"
            if rng.random() < 0.6
            else rng.choice(NOUNS)
            for _ in range(rng.randint(2, 8))
        )
    )
    makers = (
        _number,
        Words.name,
        Words.company,
        Words.website,
        Words.date,
        Words.made_up,
        Words.city,
        lambda w: w.money(w.amount()),
        lambda w: w.code("AA-9999"),
        lambda w: f"{w.number(1, 900)} {w.rng.choice(_UNITS)}",
    )
    values = [rng.choice(makers)(words) for _ in keys]
    shown = [key.capitalize() for key in keys]
    asks = tuple(_ask(rng, _KEY, value, key=key) for key, value in zip(keys, values, strict=True))
    layout = rng.choice(("colon", "beside", "under", "header"))
    if layout == "colon":
        return _Part((Lines(tuple(f"{k}: {v}" for k, v in zip(shown, values, strict=True))),), asks)
    if layout == "under":
        return _Part(
            (Lines(tuple(line for pair in zip(shown, values, strict=True) for line in pair)),), asks
        )
    if layout == "beside":
        columns = (Column("", "", ""), Column("", "", ""))
        return _Part((Table(columns, tuple(zip(shown, values, strict=True)), header=False),), asks)
    head = tuple(Column("", k, k) for k in shown[:4])
    return _Part((Table(head, (tuple(values[:4]),)),), asks[:4])
