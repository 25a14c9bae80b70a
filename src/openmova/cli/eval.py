"""openmova eval: the offline suites."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openmova.cli.options import AsJson, BatchSize, ModelOptions, OutputFolder, takes_model
from openmova.errors import UserError
from openmova.evaluate.suites import SuiteOptions, find_suite, suite_names
from openmova.runtime.run_store import Journal

if TYPE_CHECKING:
    from openmova.inference.mova import Mova

EXAMPLES = """\b
Examples:
  openmova eval --suite nano
  openmova eval --suite nano --seed 7 --n 100 --json
  openmova eval --suite nano --output runs/eval
  openmova eval --suite open-world --model path/to/checkpoint
  openmova eval --suite mini --variants runs/mini --output runs/mini-eval"""


@takes_model
def evaluate(
    model_options: ModelOptions,
    suite: Annotated[
        str, typer.Option(help=f"Which suite: {' or '.join(suite_names())}.")
    ] = "nano",
    seed: Annotated[int, typer.Option(help="Of all that the suite draws.")] = 0,
    n: Annotated[
        int | None,
        typer.Option(
            help="Questions for each group, but in open-world. [default: nano 50, mini 40]", min=1
        ),
    ] = None,
    variants: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of mini: what python -m studies.claims trained."),
    ] = None,
    output: OutputFolder = None,
    batch: BatchSize = 8,
    as_json: AsJson = False,
) -> None:
    """Measure a model offline; every share comes with its 95% interval.

    nano: held-out images and phrasings. Every question is answered routed, with the base encoder
    alone, and with all experts.

    open-world: 105 questions, each of which needs one of seven imagined experts that no training
    data holds (docs/routing.md). The router chooses by their descriptions.

    mini: the paper's tables on nano's scale. One router and one language model, the model's, answer
    through visual sides that were trained alike: single encoders, plain fusion, MoVA and its parts.
    Writes results.md, results.csv and results.png into --output.

    With --output a run that was stopped goes on, and a finished one shows its result again; DIR has
    every answer, and the model, checksum, versions and command.
    """
    found = find_suite(suite)
    if found.DEFAULT_N is None and n is not None:
        raise UserError(f"the suite {suite} always asks all of its questions: leave --n out")
    if variants is not None and suite != "mini":
        raise UserError(f"--variants is of the suite mini, not of {suite}: leave it out")
    options = SuiteOptions(
        seed=seed, n=found.DEFAULT_N if n is None else n, batch=batch, variants=variants
    )
    settings: dict[str, Any] = {"suite": suite, "seed": seed, "n": options.n}
    if output is not None:
        settings |= model_options.settings()

    def load(path: Path | None) -> Mova:
        return (model_options if path is None else replace(model_options, model=str(path))).load()

    with Journal.opened(output, settings, model=model_options.model) as journal:
        report = found.measure(load, journal, options)
    if as_json:
        typer.echo(json.dumps(report))
        return
    from rich.console import Console

    found.show(Console(), report, output)
