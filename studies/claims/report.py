"""The mini suite's report as files: results.md, .csv and .json, and results.png."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openmova.evaluate.intervals import percent
from openmova.runtime.files import write_text
from openmova.train.plot import can_draw

Report = Mapping[str, Any]
SIZE = (9.0, 2.8)
"""Inches of one panel."""
INTRODUCTION = """\
# The paper's tables in miniature

Written by `openmova eval --suite mini` from its journal; do not edit. {n} questions a row and seed,
as many of each group, drawn anew by seed {seed}: held-out pictures, generated pages, held-out
phrasings. `text+chart` are bars named by their letters, which need two experts at once.

Every row is another visual side of nano, trained alike: by nano's alignment, on the same images,
for the same steps, from each of the seeds named. They differ in which frozen encoders enter and
how they are fused, and in nothing after that. Nano's one router chooses the experts and its one
language model answers all of them, from the words that the image tokens are nearest to; neither was
trained for any of these sides. Numbers are percent exactly right, with the 95% interval of a
bootstrap over seeds and questions.
"""


def write_report(report: Report, folder: Path) -> None:
    """Write the files. Without matplotlib there is no picture."""
    picture = folder / "results.png"
    write_text(folder / "results.md", as_markdown(report, picture.name if can_draw() else None))
    write_text(folder / "results.csv", as_csv(report))
    write_text(folder / "results.json", json.dumps(report, indent=1))
    if can_draw():
        draw(report, picture)


def points(difference: Mapping[str, Any]) -> str:
    """ "+3.5 (-1.0 to +8.0)"."""
    low, high = difference["ci95"]
    return f"{100 * difference['value']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def as_markdown(report: Report, picture: str | None = None) -> str:
    """The whole report; picture: the name of a file beside it."""
    parts = [
        INTRODUCTION.format(n=report["n"], seed=report["seed"]),
        "## Claims\n",
        _lines(
            ("claim", "verdict", "differences in points (95% interval)"),
            [(c["claim"], f"**{c['verdict']}**", _parts(c)) for c in report["claims"]],
        ),
        "A claim holds or does not hold where the interval says so; otherwise it is undecided. "
        '"Matches" means at most 5 points below.\n',
    ]
    if picture:
        parts.append(f"![Every table as bars with their intervals]({picture})\n")
    for table in report["tables"]:
        parts.append(f"## Table {table['number']}: {table['title']}\n")
        rows = [
            (
                row["name"],
                *(percent(row["cells"][c]) if row["cells"] else "" for c in table["columns"]),
                row["trained"],
                ", ".join(map(str, row["seeds"])),
            )
            for row in table["rows"]
        ]
        parts.append(_lines(("", *table["columns"], "trained on", "seeds"), rows))
    parts.append(f"Answering and routing took {report['seconds'] / 60:.0f} minutes.\n")
    return "\n".join(parts)


def _parts(claim: Mapping[str, Any]) -> str:
    if not claim["parts"]:
        return str(claim["reason"])
    return "; ".join(f"{part['what']} {points(part['difference'])}" for part in claim["parts"])


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_csv(report: Report) -> str:
    """A line a cell: table, row, column, value, low, high, questions, seeds, trained."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["table", "row", "column", "value", "low", "high", "questions", "seeds", "trained"]
    )
    for number, row, column, cell in _cells(report):
        numbers = [cell["value"], *cell["ci95"], cell["n"]]
        seeds = " ".join(map(str, row["seeds"]))
        writer.writerow([number, row["name"], column, *numbers, seeds, row["trained"]])
    return text.getvalue()


def _cells(report: Report) -> Iterator[tuple[str, Mapping[str, Any], str, Mapping[str, Any]]]:
    for table in report["tables"]:
        for row in table["rows"]:
            for column, cell in row["cells"].items():
                yield table["number"], row, column, cell


def draw(report: Report, file: Path) -> None:
    """A panel a table: for each column a bar a row, with its interval; as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tables = [table for table in report["tables"] if any(row["cells"] for row in table["rows"])]
    figure = Figure(figsize=(SIZE[0], SIZE[1] * len(tables)), layout="constrained")
    FigureCanvasAgg(figure)
    for number, table in enumerate(tables, start=1):
        axes = figure.add_subplot(len(tables), 1, number)
        rows = [row for row in table["rows"] if row["cells"]]
        width = 0.8 / len(rows)
        for place, row in enumerate(rows):
            cells = [row["cells"][column] for column in table["columns"]]
            values = [100 * cell["value"] for cell in cells]
            low, high = zip(*(cell["ci95"] for cell in cells), strict=True)
            axes.bar(
                [column + (place - (len(rows) - 1) / 2) * width for column in range(len(cells))],
                values,
                width,
                yerr=[
                    [value - 100 * bound for value, bound in zip(values, low, strict=True)],
                    [100 * bound - value for value, bound in zip(values, high, strict=True)],
                ],
                label=row["name"],
                color=f"C{place % 10}",
                error_kw={"linewidth": 0.8},
            )
        axes.set_xticks(range(len(table["columns"])), table["columns"])
        axes.set_ylim(0, 103)
        axes.set_title(f"Table {table['number']}: {table['title']}", fontsize=10)
        axes.tick_params(labelsize=8)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    unfinished = file.with_name(f"{file.name}.tmp")
    figure.savefig(unfinished, format="png", dpi=110)
    unfinished.replace(file)
