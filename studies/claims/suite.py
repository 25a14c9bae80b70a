"""The mini suite: asks what the journal lacks, and makes the tables and verdicts of what it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Drawn

from openmova.errors import UserError
from openmova.evaluate.intervals import Mean, percent
from openmova.evaluate.suites import Load, SuiteOptions
from openmova.runtime.run_store import Journal, Row
from studies.claims.answers import Asker
from studies.claims.claims import Claim, Results, claims, router_claims
from studies.claims.questions import GROUPS, questions
from studies.claims.report import points, write_report
from studies.claims.routing import Rights, by_grid, in_open_world, in_own_pool
from studies.claims.rows import TABLES, TableSpec
from studies.claims.training import finished, variant_file
from studies.toy.loop import read_metadata

DEFAULT_N = 40
ALL = "all"
EXACT = "exact"
OWN = "the model's own"
ROUTERS = {
    "language model": OWN,
    "MiniLM": "not trained",
    "MLP": "2,000 questions, 50 epochs",
}


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row of a table, ready to be written."""

    name: str
    trained: str
    """On what, or that it was not."""
    seeds: tuple[int, ...]
    cells: Mapping[str, Any]
    """By column, as `Mean.to_dict`; empty if the row was not run."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, ready to be written."""

    number: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[TableRow]


def measure(load: Load, journal: Journal, options: SuiteOptions) -> dict[str, Any]:
    """From the journal and what it lacks, as further variants may have been trained meanwhile."""
    if options.variants is None:
        raise UserError("the suite mini needs --variants, what python -m studies.claims trained")
    assert options.n is not None
    report = run(
        load, options.variants, journal, seed=options.seed, n=options.n, batch=options.batch
    )
    if journal.path is not None:
        write_report(report, journal.path)
    return report


def show(console: Console, report: Mapping[str, Any], folder: Path | None) -> None:
    """Print the tables and the verdicts of a report."""
    written = None if folder is None else folder / "results.md"
    for content in report["tables"]:
        title = f"Table {content['number']}: {content['title']}"
        table = Drawn("", *content["columns"], title=title, title_justify="left")
        for row in content["rows"]:
            cells = [percent(row["cells"][c]) if row["cells"] else "" for c in content["columns"]]
            table.add_row(row["name"] if row["cells"] else f"{row['name']}: not trained", *cells)
        console.print(table)
    table = Drawn("claim", "verdict", "points", title="Claims", title_justify="left")
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


def run(
    load: Load,
    folder: Path,
    journal: Journal,
    *,
    seed: int,
    n: int,
    batch: int = 8,
) -> dict[str, Any]:
    """Answers the suite; returns the JSON object that `openmova eval --suite mini` prints.

    load: gives the model whose router and language model are used; it is called when the journal
    lacks something. folder: of the variants, with routers/<name> for further checkpoints whose
    router is asked. n: questions for each group. Raises UserError if the folder has no variants.
    """
    there = finished(folder)
    asked = questions(seed, n)
    asker = Asker(load, folder, asked, journal, batch=batch)
    routed = asker.routed()
    results = Results(_outcomes(asker, routed, there), [question.group for question in asked])
    own, unseen = in_own_pool(asker, routed), in_open_world(asker, seed)
    tables = [
        *(_answer_table(results, spec, folder, there) for spec in TABLES),
        _open_world_table(unseen),
        _pool_table("14", "Routers over nano's own pool: exactly the experts needed", own, results),
        _pool_table("16", "Image tokens that the router sees", by_grid(asker), results, OWN),
    ]
    found = [*claims(results), *router_claims(own, unseen)]
    return {
        "suite": "mini",
        "seed": seed,
        "n": len(asked),
        "tables": [asdict(table) for table in tables],
        "claims": [_told(claim) for claim in found],
        "seconds": round(sum(row["seconds"] for row in journal.rows.values()), 1),
    }


def _outcomes(
    asker: Asker, routed: Sequence[Row], there: Mapping[str, Sequence[int]]
) -> dict[tuple[str, str], dict[int, list[bool]]]:
    """Whether every question was answered rightly, by side and seed; all of one seed come first."""
    found: dict[tuple[str, str], dict[int, list[bool]]] = {}
    rows = {(row.variant, row.choice): row for table in TABLES for row in table.rows}
    wanted = [(s, side) for side in rows for s in there.get(side[0], ())]
    for seed, side in sorted(wanted, key=lambda pair: pair[0]):
        routings = [
            rows[side].routing(routing, key=question.key, seed=seed)
            for routing, question in zip(routed, asker.asked, strict=True)
        ]
        name = f"{side[0]}, {side[1]}, seed {seed}"
        answers = asker.answered(side[0], seed, routings, name)
        found.setdefault(side, {})[seed] = [row["right"] for row in answers]
    return found


def _answer_table(
    results: Results, spec: TableSpec, folder: Path, there: Mapping[str, Sequence[int]]
) -> Table:
    rows = []
    for row in spec.rows:
        seeds = tuple(there.get(row.variant, ()))
        cells: dict[str, Any] = {}
        if seeds:
            side = (row.variant, row.choice)
            cells = {group: results.mean(side, group).to_dict() for group in GROUPS}
            cells[ALL] = results.mean(side).to_dict()
        trained = _trained(folder, row.variant, seeds)
        rows.append(TableRow(name=row.name, trained=trained, seeds=seeds, cells=cells))
    return Table(number=str(spec.number), title=spec.title, columns=(*GROUPS, ALL), rows=rows)


def _trained(folder: Path, variant: str, seeds: Sequence[int]) -> str:
    """What the files say of their training."""
    if not seeds:
        return "not trained"
    files = [read_metadata(variant_file(folder, variant, seed)) for seed in seeds]
    told = {
        f"{int(file['parameters']) / 1e6:.1f} M parameters, {file['steps']} steps x "
        f"{file['batch']} of {int(file['images']):,} images"
        for file in files
    }
    return "; ".join(sorted(told))


def _pool_table(
    number: str, title: str, rights: Rights, results: Results, trained: str | None = None
) -> Table:
    """Shares of right routings by group. trained: the same of all rows, if it is."""
    rows = []
    for name, right in rights.items():
        cells = {group: Mean.of(right[:, results.groups == group]).to_dict() for group in GROUPS}
        cells[ALL] = Mean.of(right).to_dict()
        rows.append(_router_row(name, right, cells, trained))
    return Table(number=number, title=title, columns=(*GROUPS, ALL), rows=rows)


def _open_world_table(rights: Rights) -> Table:
    return Table(
        number="10",
        title="Open-world routing: the right expert of seven never seen, and no other",
        columns=(EXACT,),
        rows=[
            _router_row(name, right, {EXACT: Mean.of(right).to_dict()})
            for name, right in rights.items()
        ],
    )


def _router_row(
    name: str, right: Any, cells: dict[str, Any], trained: str | None = None
) -> TableRow:
    trained = trained or ROUTERS.get(name, "a checkpoint of its own")
    seeds = tuple(range(1, len(right) + 1)) if len(right) > 1 else ()
    return TableRow(name=name, trained=trained, seeds=seeds, cells=cells)


def _told(claim: Claim) -> dict[str, Any]:
    return {
        "claim": claim.text,
        "verdict": claim.verdict,
        "reason": "" if claim.parts else claim.reason,
        "parts": [
            {
                "what": part.what,
                "difference": part.difference.to_dict(),
                "verdict": part.verdict,
            }
            for part in claim.parts
        ],
    }
