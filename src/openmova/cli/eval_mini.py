"""How `openmova eval --suite mini` shows its tables and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from openmova.evaluate.mini.report import points
from openmova.evaluate.statistics import percent


def show(console: Console, report: Mapping[str, Any], written: Path | None) -> None:
    """report: of the suite; written: where it also lies as a file."""
    for content in report["tables"]:
        title = f"Table {content['number']}: {content['title']}"
        table = Table("", *content["columns"], title=title, title_justify="left")
        for row in content["rows"]:
            cells = [percent(row["cells"][c]) if row["cells"] else "" for c in content["columns"]]
            table.add_row(row["name"] if row["cells"] else f"{row['name']}: not trained", *cells)
        console.print(table)
    table = Table("claim", "verdict", "points", title="Claims", title_justify="left")
    for claim in report["claims"]:
        gaps = [f"{part['what']}: {points(part['difference'])}" for part in claim["parts"]]
        table.add_row(claim["claim"], claim["verdict"], "\n".join(gaps) or claim["reason"])
    console.print(table)
    where = "" if written is None else f"; {written}"
    minutes = report["seconds"] / 60
    console.print(
        f"{report['n']} questions a row and seed, seed {report['seed']}; {minutes:.0f} min{where}",
        highlight=False,
    )
