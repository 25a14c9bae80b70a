"""openmova roles: which encoder does what, by masking a checkpoint or over retrained sides."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from openmova.cli.options import (
    DATA_HELP,
    AsJson,
    BatchSize,
    ImageFolder,
    MaxNewTokens,
    ModelOptions,
    OutputFolder,
    SampleCount,
    measured,
    takes_model,
)
from openmova.errors import UserError
from openmova.runtime.files import write_text
from openmova.runtime.run_store import RunStore

if TYPE_CHECKING:
    from openmova.data.sources import Samples
    from openmova.runtime.run_store import Journal

EXAMPLES = """\b
Examples:
  openmova roles --model nano --data held-out.json --output runs/roles
  openmova roles --model path/to/checkpoint --data held-out.json --experts text,chart --zeros
  openmova roles runs/sides --output runs/sides-roles
  openmova roles sides.csv --json"""


@takes_model
def roles(
    model_options: ModelOptions,
    results: Annotated[
        Path | None,
        typer.Argument(
            metavar="RESULTS", help="Answers of retrained sides: a folder, JSON or CSV."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help=f"In place of RESULTS, questions to ask: {DATA_HELP}"),
    ] = None,
    experts: Annotated[
        str | None,
        typer.Option(help="Mask these alone, names with commas; others are never chosen."),
    ] = None,
    zeros: Annotated[
        bool, typer.Option("--zeros", help="Mask by a map of zeros, not by the routing.")
    ] = False,
    images: ImageFolder = None,
    samples: SampleCount = None,
    output: OutputFolder = None,
    batch: BatchSize = 8,
    max_new_tokens: MaxNewTokens = 128,
    as_json: AsJson = False,
) -> None:
    """Tell which encoder does what: Capacity, Necessity, CUR, the best sets, effective ranks.

    --data: every set of the model's experts answers your labelled questions, 2^E sets of E experts;
    encoders run once a picture. RESULTS: answers of models that were trained for each set
    (docs/roles.md has the format).

    DIR gets roles.json, roles.csv and the page roles.html.
    """
    from openmova.analysis.roles import roles as roles_
    from openmova.analysis.roles import table

    if (results is None) == (data is None):
        raise UserError("what should be compared? Give RESULTS, or --model and --data FILE")
    if results is not None:
        from openmova.analysis.sides import read_sides

        found = roles_(read_sides(results))
    else:
        settings = {
            "data": data,
            "images": None if images is None else str(images),
            "samples": samples,
            "experts": experts,
            "zeros": zeros,
            "max_new_tokens": max_new_tokens,
        }
        found = _masked(model_options, settings, batch, output)
    if output is not None:
        from openmova.analysis.report import roles_page

        lines = list(table(found))
        text = io.StringIO()
        writer = csv.DictWriter(text, lines[0])
        writer.writeheader()
        writer.writerows(lines)
        with RunStore(output).writing():
            output.mkdir(parents=True, exist_ok=True)
            write_text(output / "roles.json", json.dumps(found, ensure_ascii=False, indent=1))
            write_text(output / "roles.csv", text.getvalue())
            page = roles_page(found, model=model_options.model if results is None else "")
            write_text(output / "roles.html", page)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        _show(found)


def _masked(
    options: ModelOptions, settings: dict[str, Any], batch: int, output: Path | None
) -> dict[str, Any]:
    def measure(samples: Samples, journal: Journal) -> dict[str, Any]:
        from openmova.analysis.masking import mask_experts
        from openmova.analysis.roles import roles as roles_
        from openmova.routing.selection import ExpertSelection

        mova = options.load()
        chosen = ExpertSelection.of(settings["experts"] or "all", None, mova.experts).fixed
        pool = tuple(n for n, c in zip(mova.experts, chosen or (), strict=True) if c)
        if not pool:
            raise UserError("there is no expert to mask: give a model with experts")

        def tell(seconds: float) -> None:
            typer.echo(f"{2 ** len(pool)} sets of experts: {_duration(seconds)} left", err=True)

        answers = mask_experts(
            mova,
            samples,
            pool,
            zeros=settings["zeros"],
            most=settings["samples"],
            max_new_tokens=settings["max_new_tokens"],
            batch=batch,
            journal=journal,
            tell_seconds=tell,
        )
        return roles_(answers)

    return measured(options, settings, output, measure)


def _duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} minutes" if seconds >= 90 else f"about {seconds:.0f} s"


def _show(found: dict[str, Any]) -> None:
    """Roles and the best sets by domain, the ranks, and what could not be computed."""
    from openmova.analysis.report import number, points
    from openmova.evaluate.intervals import percent

    console = Console()
    groups = [*found["domains"].items(), ("all", found["overall"])]
    groups = groups if len(groups) > 2 else groups[-1:]
    scores = Table("score of", *(f"{name} ({group['n']})" for name, group in groups))
    for names in found["overall"]["scores"]:
        scores.add_row(names, *(percent(group["scores"][names]) for _, group in groups))
    console.print(scores)
    worth = Table("domain", "encoder", "Capacity", "Necessity, points", "CUR, per cent")
    for name, group in groups:
        for encoder, of in group["encoders"].items():
            numbers = percent(of["capacity"]), points(of["necessity"]), points(of["cur"])
            worth.add_row(name, encoder, *numbers)
    console.print(worth)
    for name, group in groups:
        console.print(
            f"{name}: information gap {points(group['information_gap'])} per cent; tau of the "
            f"rankings by Capacity and Necessity {number(group['tau']['value'])}",
            highlight=False,
        )
    best = Table("encoders", "best set", "score")
    for size in found["overall"]["sizes"]:
        best.add_row(str(size["size"]), ", ".join(size["best"]) or "none", percent(size["score"]))
    console.print(best)
    if pairs := found["overall"]["pairs"]:
        console.print(
            f"highest Capacities: {', '.join(pairs['top_two']['encoders'])} "
            f"{percent(pairs['top_two']['score'])}; best pair: "
            f"{', '.join(pairs['best']['encoders'])}, {points(pairs['best_over_top_two'])} over "
            f"them; all gain {points(pairs['all_over_best'])} over it",
            highlight=False,
        )
    ways = [(way, place) for way in ("alone", "joint") for place in ("before", "after")]
    ranks = Table("effective rank", *(" ".join(way) for way in ways), "residual, points")
    for name, of in found["ranks"]["encoders"].items():
        cells = [number(of[w][p]["rank"] if of[w][p] else None, "%.1f") for w, p in ways]
        rest = of["residual"]
        ranks.add_row(name, *cells, number(None if rest is None else 100 * rest, "%+.1f"))
    console.print(ranks)
    for note in found["notes"]:
        console.print(note, highlight=False)
