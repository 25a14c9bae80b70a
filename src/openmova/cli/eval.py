"""openmova eval: the offline suites."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from openmova.cli.console import MODEL_HELP, YES_HELP, fetched, quiet_libraries, status
from openmova.errors import UserError

EXAMPLES = """\b
Examples:
  openmova eval --suite nano
  openmova eval --suite nano --seed 7 --n 100 --json"""
FIGURES = ("routed", "base_only", "all_experts", "majority", "routing_accuracy")


def evaluate(
    suite: Annotated[str, typer.Option(help="Which suite: nano.")] = "nano",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "nano",
    seed: Annotated[int, typer.Option(help="Of the images and questions.")] = 0,
    n: Annotated[int, typer.Option(help="Questions for each group.", min=1)] = 50,
    batch: Annotated[int, typer.Option(help="Questions answered at once.", min=1)] = 8,
    as_json: Annotated[
        bool, typer.Option("--json", help="The last line is one JSON object with all figures.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help=YES_HELP)] = False,
) -> None:
    """Measure a model on held-out images and phrasings, offline.

    Every question is answered routed, with the base encoder alone, and with all experts; every
    share comes with its 95% interval.
    """
    if suite != "nano":
        raise UserError(f"unknown suite {suite!r}: the suites are nano")
    folder = fetched(model, yes=yes)
    with status(f"loading {model}"):
        from openmova.evaluate.nano_suite import run
        from openmova.mova import Mova

        quiet_libraries()
        mova = Mova.from_pretrained(folder)
    report = run(mova, seed=seed, n=n, batch=batch)
    if as_json:
        typer.echo(json.dumps(report))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("group", *(name.replace("_", " ") for name in FIGURES))
    for group, shares in report["domains"].items():
        table.add_row(group, *(_cell(shares[name]) for name in FIGURES))
    console = Console()
    console.print(table)
    console.print(
        f"{report['n']} questions, seed {seed}; routed minus base only, mean over domains: "
        f"{100 * report['gain_over_base']:+.1f} points; {report['seconds']:.0f} s"
    )


def _cell(share: dict[str, Any]) -> str:
    low, high = share["ci95"]
    return f"{100 * share['value']:.1f} ({100 * low:.0f} to {100 * high:.0f})"
