"""openmova eval: the offline suites."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openmova.cli.console import MODEL_HELP, YES_HELP, fetched, quiet_libraries, status
from openmova.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLES = """\b
Examples:
  openmova eval --suite nano
  openmova eval --suite nano --seed 7 --n 100 --json
  openmova eval --suite open-world --model path/to/checkpoint"""
SUITES = ("nano", "open-world")
FIGURES = ("routed", "base_only", "all_experts", "majority", "routing_accuracy")


def evaluate(
    suite: Annotated[str, typer.Option(help=f"Which suite: {' or '.join(SUITES)}.")] = "nano",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "nano",
    seed: Annotated[int, typer.Option(help="Of all that the suite draws.")] = 0,
    n: Annotated[
        int | None,
        typer.Option(help="Of nano: questions for each group. [default: 50]", min=1),
    ] = None,
    batch: Annotated[int, typer.Option(help="Questions answered at once.", min=1)] = 8,
    as_json: Annotated[
        bool, typer.Option("--json", help="The last line is one JSON object with all figures.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help=YES_HELP)] = False,
) -> None:
    """Measure a model offline; every share comes with its 95% interval.

    nano: held-out images and phrasings. Every question is answered routed, with the base encoder
    alone, and with all experts.

    open-world: 105 questions, each of which needs one of seven imagined experts that the training
    data of `openmova data open-world` does not hold. The router chooses by their descriptions.
    """
    if suite not in SUITES:
        raise UserError(f"unknown suite {suite!r}: the suites are {', '.join(SUITES)}")
    if suite != "nano" and n is not None:
        raise UserError(f"the suite {suite} always asks all of its questions: leave --n out")
    folder = fetched(model, yes=yes)
    with status(f"loading {model}"):
        from openmova.evaluate import nano_suite, open_world_suite
        from openmova.mova import Mova

        quiet_libraries()
        mova = Mova.from_pretrained(folder)
    if suite == "nano":
        report = nano_suite.run(mova, seed=seed, n=50 if n is None else n, batch=batch)
    else:
        report = open_world_suite.run(mova, seed=seed, batch=batch)
    if as_json:
        typer.echo(json.dumps(report))
        return
    from rich.console import Console

    table, summary = _nano(report) if suite == "nano" else _open_world(report)
    console = Console()
    console.print(table)
    console.print(
        f"{report['n']} questions, seed {seed}; {summary}; {report['seconds']:.0f} s",
        highlight=False,
    )


def _nano(report: dict[str, Any]) -> tuple[Table, str]:
    from rich.table import Table

    table = Table("group", *(name.replace("_", " ") for name in FIGURES))
    for group, shares in report["domains"].items():
        table.add_row(group, *(_cell(shares[name]) for name in FIGURES))
    gain = 100 * report["gain_over_base"]
    return table, f"routed minus base only, mean over domains: {gain:+.1f} points"


def _open_world(report: dict[str, Any]) -> tuple[Table, str]:
    from rich.table import Table

    table = Table("expert", "exact")
    for name, share in report["experts"].items():
        table.add_row(name, _cell(share))
    table.add_row("all", _cell(report["exact"]))
    return table, (
        f"the right one, others or not: {_cell(report['included'])}; nobody: "
        f"{_cell(report['none'])}; chance: {100 * report['chance']:.1f}"
    )


def _cell(share: dict[str, Any]) -> str:
    low, high = share["ci95"]
    return f"{100 * share['value']:.1f} ({100 * low:.0f} to {100 * high:.0f})"
