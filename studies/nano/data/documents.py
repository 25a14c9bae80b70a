# ruff: noqa: E501 - tables of words
"""Documents as blocks: what is written where, and what can be asked of it.

A document is drawn from a seed by the makers of `papers` and `windows`; it is read as lines (`rows`)
for the samples without a picture, and rendered as a page by `html`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from openmova.experts.text_tables import CELLS_APART, is_number, name_cell
from studies.nano.data.fields import FIELDS
from studies.nano.data.phrases import ask
from studies.nano.data.record import Question
from studies.nano.data.tasks import UNKNOWN
from studies.nano.data.words import Words


@dataclass(frozen=True)
class Heading:
    """level 0 is the document's title."""

    text: str
    level: int = 1


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Lines:
    """Short lines that stand for themselves: an address, a list, a footer. style: address, list,
    menu, footer, sign, code or total."""

    texts: tuple[str, ...]
    style: str = "address"


@dataclass(frozen=True)
class Entry:
    """A field: key of FIELDS, the label as printed, the value."""

    key: str
    label: str
    value: str


@dataclass(frozen=True)
class Fields:
    """layout: inline (label: value), pair (label left, value right), stacked (value under label),
    header (labels in a row, values in the next), form (value in a box)."""

    entries: tuple[Entry, ...]
    layout: str = "pair"
    separator: str = ":"


@dataclass(frozen=True)
class Column:
    """A table's column; key of FIELDS or "", the label as printed, how people ask for it."""

    key: str
    label: str
    noun: str


@dataclass(frozen=True)
class Table:
    """The first column names the rows. header: whether the columns' labels are shown."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    header: bool = True


@dataclass(frozen=True)
class Choices:
    """Options of which one is selected. style: radio (all are shown, only a picture tells which one
    is selected) or select (only that one is shown)."""

    label: str
    options: tuple[str, ...]
    selected: int
    style: str = "radio"


@dataclass(frozen=True)
class Buttons:
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """Blocks side by side."""

    parts: tuple[tuple[Block, ...], ...]


Block = Heading | Paragraph | Lines | Fields | Table | Choices | Buttons | Columns


@dataclass(frozen=True)
class Ask:
    """What can be asked: `key` of PHRASES with its slots."""

    task: str
    key: str
    slots: dict[str, str]
    answer: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """kind: what people call it (`an invoice`); language: of its labels; asks: beside those that
    follow from the blocks; window: on a screen, with its title in a bar; narrow: a slip."""

    kind: str
    language: str
    blocks: tuple[Block, ...]
    asks: tuple[Ask, ...] = ()
    window: bool = False
    narrow: bool = False


Row = tuple[str, ...]
"""What stands on one height of the page, from left to right."""


def rows(blocks: tuple[Block, ...]) -> list[Row]:
    """The text of blocks in reading order."""
    found: list[Row] = []
    for block in blocks:
        found += _rows(block)
    return found


def with_names(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """The blocks, in which each row of a table is one text with the heads of its numbers, as the
    text expert says it."""
    return tuple(_named(b) if isinstance(b, Table) and b.header else b for b in blocks)


def _named(table: Table) -> Table:
    numbers = [[is_number(cell) for cell in row] for row in table.rows]
    if not all(1 < sum(row) < len(row) for row in numbers):
        return table
    said = [
        CELLS_APART.join(
            filter(None, (name_cell(c.label, v) for c, v in zip(table.columns, row, strict=True)))
        )
        for row in table.rows
    ]
    return replace(table, rows=tuple((text,) for text in said))


def _rows(block: Block) -> list[Row]:
    match block:
        case Heading(text=text):
            return [(text,)]
        case Paragraph(text=text):
            return [(text,)]
        case Lines(texts=texts):
            return [(text,) for text in texts]
        case Fields():
            return _field_rows(block)
        case Table(columns=columns, rows=cells, header=header):
            return [tuple(c.label for c in columns), *cells] if header else list(cells)
        case Choices(label=label, options=options, style="select"):
            return [(label, options[block.selected])]
        case Choices(label=label, options=options):
            return [(label,), *((option,) for option in options)]
        case Buttons(texts=texts):
            return [texts]
        case Columns(parts=parts):
            sides = [rows(part) for part in parts]
            height = max(map(len, sides))
            # A short side ends earlier: what is left of the others goes on alone.
            padded = [side + [()] * (height - len(side)) for side in sides]
            return [
                tuple(text for cell in line for text in cell) for line in zip(*padded, strict=True)
            ]


def _field_rows(block: Fields) -> list[Row]:
    entries, mark = block.entries, block.separator
    if block.layout == "inline":
        return [(f"{e.label}{mark} {e.value}",) for e in entries]
    if block.layout == "stacked":
        return [row for e in entries for row in ((e.label,), (e.value,))]
    if block.layout == "header":
        return [tuple(e.label for e in entries), tuple(e.value for e in entries)]
    return [(f"{e.label}{mark}", e.value) for e in entries]


def flat(blocks: tuple[Block, ...]) -> Iterator[Block]:
    """All blocks; those of columns too."""
    for block in blocks:
        if isinstance(block, Columns):
            for part in block.parts:
                yield from flat(part)
        else:
            yield block


def entry(words: Words, key: str, value: str | None = None) -> Entry:
    """A field of `key`, with one of its labels in the document's language."""
    kind = FIELDS[key]
    return Entry(
        key,
        words.rng.choice(kind.labels[words.language]),
        kind.value(words) if value is None else value,
    )


def questions(
    document: Document, rng: random.Random, count: int, *, picture: bool
) -> tuple[Question, ...]:
    """Up to `count` different questions. picture: also what only a picture shows may be asked."""
    by_task: dict[str, list[Ask]] = {}
    for candidate in (*document.asks, *candidates(document, rng)):
        if candidate.task in ("choice", "layout") and not picture:
            continue
        by_task.setdefault(candidate.task, []).append(candidate)
    found: dict[str, Question] = {}
    weights = {"field": 5, "cell": 5, "prose": 5, "row": 1.2, "next-words": 1.2, "line": 1.0,
               "title": 1.0, "heading": 0.5, "choice": 0.7, "missing": 0.4, "window": 1.0,
               "sign": 3, "transcript": 2, "summary": 0.5, "layout": 1.0}  # fmt: skip
    for _ in range(4 * count):
        if len(found) == count or not by_task:
            break
        tasks = sorted(by_task)
        task = rng.choices(tasks, [weights.get(t, 1.0) for t in tasks])[0]
        drawn = by_task[task].pop(rng.randrange(len(by_task[task])))
        if not by_task[task]:
            del by_task[task]
        question = ask(rng, drawn.key, **drawn.slots)
        found.setdefault(question, Question(task=task, question=question, answer=drawn.answer))
    return tuple(found.values())


def candidates(document: Document, rng: random.Random) -> Iterator[Ask]:
    """What follows from the blocks."""
    blocks = tuple(flat(document.blocks))
    lines = rows(document.blocks)
    entries = [e for b in blocks if isinstance(b, Fields) for e in b.entries]
    # A column with a field's name makes the field's question ambiguous, and so does a second one.
    keys = Counter(e.key for e in entries)
    columns = {c.key for b in blocks if isinstance(b, Table) for c in b.columns}
    labels = Counter(e.label for e in entries)
    for e in entries:
        if keys[e.key] == 1 and labels[e.label] == 1:
            yield from _field_asks(e, document.language, e.key not in columns, rng)
    for block in blocks:
        if isinstance(block, Table):
            yield from _table_asks(block, document.language, rng)
        if isinstance(block, Choices):
            slots = {"noun": block.label.lower(), "label": block.label}
            kind = "field" if block.style == "select" else "choice"
            yield Ask(kind, kind, slots, block.options[block.selected])
        if isinstance(block, Buttons):
            yield Ask("choice", "button", {}, ", ".join(block.texts))
    titles = [b.text for b in blocks if isinstance(b, Heading) and b.level == 0]
    if len(titles) == 1:
        task = "window" if document.window else "title"
        yield Ask(task, task, {}, titles[0])
    headings = [b.text for b in blocks if isinstance(b, Heading) and b.level == 1]
    if len(headings) == 1 and not document.window:
        yield Ask("heading", "heading", {}, headings[0])
    yield from _layout_asks(document, blocks)
    yield from line_asks(lines, rng)
    missing = rng.choice([k for k in FIELDS if k not in keys and k not in columns])
    if missing not in _RELATIVES or not _RELATIVES[missing] & (keys.keys() | columns):
        noun = rng.choice(FIELDS[missing].nouns)
        yield Ask("missing", "field", {"noun": noun, "label": noun}, UNKNOWN)


def _layout_asks(document: Document, blocks: tuple[Block, ...]) -> Iterator[Ask]:
    """What parts the page has; fields may look like a table, so they leave it open."""
    if document.window:
        return
    tables = sum(isinstance(b, Table) for b in blocks)
    fields = any(isinstance(b, Fields) for b in blocks)
    if tables:
        yield Ask("layout", "layout-is", {"part": "table"}, "yes")
    elif not fields:
        yield Ask("layout", "layout-is", {"part": "table"}, "no")
    if tables and not fields:
        yield Ask("layout", "layout-count", {"part": "table"}, str(tables))
    heads = sum(isinstance(b, Heading) and b.level == 1 for b in blocks)
    if heads > 1:
        yield Ask("layout", "layout-count", {"part": "section heading"}, str(heads))


_GROUPS = (
    {"date", "due-date", "delivery-date", "modified", "check-in", "check-out", "appointment", "birthday", "best-before", "year"},
    {"total", "subtotal", "price", "cash", "tax", "admission", "rent", "salary", "deposit", "shipping", "discount", "change", "tip"},
    {"seller", "brand", "employer", "publisher", "product", "store"},
    {"name", "customer", "contact", "passenger", "sender", "receiver", "chair", "author", "doctor", "winner", "first-name", "surname", "cashier", "user"},
    {"address", "city", "location", "from", "to", "birthplace", "country", "origin", "nationality", "room", "postcode", "school"},
    {"invoice-number", "order-number", "customer-number", "reference", "receipt-number", "booking", "policy", "member", "passport", "serial", "lot", "model", "version", "error-code", "iban", "card", "vat-id", "isbn", "edition"},
    {"start", "end", "hours", "departure", "arrival", "boarding", "duration", "nights"},
    {"phone", "fax"}, {"quantity", "items", "pages", "copies", "capacity-people"}, {"file", "folder", "subject"},
    {"language", "licence"}, {"file-size", "free-space", "memory", "capacity", "size", "area"}, {"status", "score"},
    {"train", "flight", "gate", "platform", "seat", "table-number", "till"}, {"job", "department", "gender-neutral-title"},
    {"host", "network", "ip", "port", "website", "os", "processor"}, {"temperature", "energy"}, {"brand", "model"},
)  # fmt: skip
_RELATIVES = {
    key: set().union(*(group for group in _GROUPS if key in group))
    for key in set().union(*_GROUPS)
}  # fmt: skip
"""Fields that might be taken for one another: one is not asked for as missing where another is."""


def _field_asks(e: Entry, language: str, alone: bool, rng: random.Random) -> Iterator[Ask]:
    kind = FIELDS[e.key]
    label = e.label.rstrip(":.")
    slots = {"noun": rng.choice(kind.nouns), "label": label}
    if language != "en" and rng.random() < 0.35:
        yield Ask("field", f"field-{language}", {"label": label}, e.value)
    elif alone and kind.asks and rng.random() < 0.3:
        yield Ask("field", "plain", {"text": rng.choice(kind.asks)}, e.value)
    else:
        yield Ask("field", "field", slots, e.value)


def _table_asks(table: Table, language: str, rng: random.Random) -> Iterator[Ask]:
    key = table.columns[0]
    names = Counter(row[0] for row in table.rows)
    money = {"price", "total", "admission", "rent", "salary"}
    priced = [i for i, c in enumerate(table.columns) if c.key in money]
    for row in table.rows:
        if names[row[0]] > 1 or not row[0]:
            continue
        for index, (column, value) in enumerate(zip(table.columns, row, strict=True)):
            if index == 0 or not value:
                continue
            slots = {"row": row[0], "column": rng.choice((column.noun, column.label))}
            if not table.header:
                # Without names of columns only prices can be asked for.
                if priced == [index]:
                    yield Ask("cell", "cell-price", slots, value)
                continue
            if language != "en" and rng.random() < 0.3:
                yield Ask("cell", f"cell-{language}", {**slots, "column": column.label}, value)
            elif priced == [index] and column.key in ("price", "total") and rng.random() < 0.6:
                yield Ask("cell", "cell-price", slots, value)
            else:
                yield Ask("cell", "cell", slots, value)
            if sum(r[index] == value for r in table.rows) == 1:
                noun = rng.choice((column.noun, column.label))
                yield Ask("row", "row", {"key": key.noun, "column": noun, "value": value}, row[0])
    if len(table.rows) > 1:
        for end, row in (("first", table.rows[0]), ("last", table.rows[-1])):
            yield Ask("row", "row-end", {"end": end, "key": key.noun}, row[0])


def line_asks(lines: list[Row], rng: random.Random) -> Iterator[Ask]:
    """First and last line, a line by its beginning, and what follows some words; all of lines that
    have nothing beside them."""
    lines = [row for row in lines if any(row)]
    alone = [row[0] for row in lines if len(row) == 1]
    if not alone:
        return
    if len(lines[0]) == 1 and len(alone[0]) < 90:
        yield Ask("line", "line-first", {}, alone[0])
    if len(lines) > 2 and len(lines[-1]) == 1 and len(alone[-1]) < 90:
        yield Ask("line", "line-last", {}, alone[-1])
    everything = " ".join(" ".join(row) for row in lines)
    for line in rng.sample(alone, min(len(alone), 6)):
        parts = line.split()
        if not 3 <= len(parts) <= 250:
            continue
        start = rng.randrange(len(parts) - 2) if len(parts) > 3 else 0
        length = rng.randint(1, 3) if len(parts[start]) > 4 else rng.randint(2, 3)
        before, after = parts[start : start + length], parts[start + length :]
        phrase = " ".join(before)
        # The answer goes to the end of the line, or of the sentence in long lines.
        rest = re.split(r"(?<=[.!?;])\s", " ".join(after))[0]
        if after and everything.count(phrase) == 1 and len(rest) < 100 and '"' not in phrase:
            yield Ask("next-words", "next-words", {"before": phrase}, rest)
        head = " ".join(parts[:2])
        if len(line) < 100 and everything.count(head) == 1 and '"' not in head:
            yield Ask("line", "line-with", {"begin": head}, line)
