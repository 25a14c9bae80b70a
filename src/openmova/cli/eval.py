"""openmova eval: the offline suites."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from openmova.cli.options import AsJson, BatchSize, ModelOptions, OutputFolder, takes_model
from openmova.errors import UserError
from openmova.evaluate.suites import SuiteOptions, find_suite, suite_names
from openmova.runtime.run_store import Journal

EXAMPLES = """\b
Examples:
  openmova eval --suite nano
  openmova eval --suite nano --seed 7 --n 100 --json
  openmova eval --suite nano --output runs/eval
  openmova eval --suite open-world --model path/to/checkpoint"""


@takes_model
def evaluate(
    model_options: ModelOptions,
    suite: Annotated[
        str, typer.Option(help=f"Which suite: {' or '.join(suite_names())}.")
    ] = "nano",
    seed: Annotated[int, typer.Option(help="Of all that the suite draws.")] = 0,
    n: Annotated[
        int | None,
        typer.Option(help="Questions for each group, but in open-world. [default: 50]", min=1),
    ] = None,
    output: OutputFolder = None,
    batch: BatchSize = 8,
    as_json: AsJson = False,
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
    if output is not None:
        settings |= model_options.settings()

    with Journal.opened(output, settings, model=model_options.model) as journal:
        report = found.measure(model_options.load, journal, options)
    if as_json:
        typer.echo(json.dumps(report))
        return
    found.show(Console(), report)
