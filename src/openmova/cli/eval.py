"""openmova eval: the offline suites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openmova.cli.console import MODEL_HELP, YES_HELP, fetched, quiet_libraries, status
from openmova.errors import UserError
from openmova.evaluate.journal import Journal, fingerprint

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLES = """\b
Examples:
  openmova eval --suite nano
  openmova eval --suite nano --seed 7 --n 100 --json
  openmova eval --suite nano --output runs/eval
  openmova eval --suite open-world --model path/to/checkpoint"""
SUITES = ("nano", "open-world")
OUTPUT_HELP = "Keep every answer there; the same command goes on where it was stopped."
FIGURES = ("routed", "base_only", "all_experts", "majority", "routing_accuracy")


def evaluate(
    suite: Annotated[str, typer.Option(help=f"Which suite: {' or '.join(SUITES)}.")] = "nano",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "nano",
    seed: Annotated[int, typer.Option(help="Of all that the suite draws.")] = 0,
    n: Annotated[
        int | None,
        typer.Option(help="Of nano: questions for each group. [default: 50]", min=1),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help=OUTPUT_HELP),
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

    With --output a run that was stopped goes on, and a finished one shows its result again; DIR has
    every answer, and the model, checksum, versions and command.
    """
    if suite not in SUITES:
        raise UserError(f"unknown suite {suite!r}: the suites are {', '.join(SUITES)}")
    if suite != "nano" and n is not None:
        raise UserError(f"the suite {suite} always asks all of its questions: leave --n out")
    if suite == "nano" and n is None:
        n = 50
    settings: dict[str, Any] = {"suite": suite, "seed": seed, "n": n}
    folder = fetched(model, yes=yes)
    if output is not None:
        with status(f"reading {model}"):
            settings["weights"] = _weights(folder)
    with Journal.opened(output, settings, model=model) as journal:
        report = journal.result
        if report is None:
            report = _measured(folder, suite, seed=seed, n=n, batch=batch, journal=journal)
            journal.finish(report)
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


def _weights(model: str) -> str:
    """The checksum of the checkpoint."""
    from openmova.checkpoints.locate import checkpoint_folder

    return fingerprint(checkpoint_folder(model))


def _measured(
    model: str, suite: str, *, seed: int, n: int | None, batch: int, journal: Journal
) -> dict[str, Any]:
    with status(f"loading {model}"):
        from openmova.evaluate import nano_suite, open_world_suite
        from openmova.mova import Mova

        quiet_libraries()
        mova = Mova.from_pretrained(model)
    if suite == "nano":
        assert n is not None
        return nano_suite.run(mova, seed=seed, n=n, batch=batch, journal=journal)
    return open_world_suite.run(mova, seed=seed, batch=batch, journal=journal)


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
