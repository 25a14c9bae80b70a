"""openmova eval: the offline suites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openmova.cli.console import MODEL_HELP, YES_HELP, fetched, quiet_libraries, status
from openmova.errors import UserError
from openmova.runtime.run_store import Journal, fingerprint

if TYPE_CHECKING:
    from rich.table import Table

    from openmova.inference.mova import Mova

EXAMPLES = """\b
Examples:
  openmova eval --suite nano
  openmova eval --suite nano --seed 7 --n 100 --json
  openmova eval --suite nano --output runs/eval
  openmova eval --suite open-world --model path/to/checkpoint
  openmova eval --suite mini --variants runs/mini --output runs/mini-eval"""
SUITES = ("nano", "open-world", "mini")
DEFAULT_N = {"nano": 50, "mini": 40}
VARIANTS_HELP = "Of mini: what python -m openmova.train.mini trained."
OUTPUT_HELP = "Keep every answer there; the same command goes on where it was stopped."
FIGURES = ("routed", "base_only", "all_experts", "majority", "routing_accuracy")


def evaluate(
    suite: Annotated[str, typer.Option(help=f"Which suite: {' or '.join(SUITES)}.")] = "nano",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "nano",
    seed: Annotated[int, typer.Option(help="Of all that the suite draws.")] = 0,
    n: Annotated[
        int | None,
        typer.Option(
            help="Questions for each group, but in open-world. [default: nano 50, mini 40]", min=1
        ),
    ] = None,
    variants: Annotated[Path | None, typer.Option(metavar="DIR", help=VARIANTS_HELP)] = None,
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

    mini: the paper's tables on nano's scale. One router and one language model, the model's, answer
    through visual sides that were trained alike: single encoders, plain fusion, MoVA and its parts.
    Writes results.md, results.csv and results.png into --output.

    With --output a run that was stopped goes on, and a finished one shows its result again; DIR has
    every answer, and the model, checksum, versions and command.
    """
    if suite not in SUITES:
        raise UserError(f"unknown suite {suite!r}: the suites are {', '.join(SUITES)}")
    if suite == "open-world" and n is not None:
        raise UserError("the suite open-world always asks all of its questions: leave --n out")
    if (suite == "mini") != (variants is not None):
        raise UserError(
            "the suite mini needs --variants, what python -m openmova.train.mini trained"
            if suite == "mini"
            else f"--variants is of the suite mini, not of {suite}: leave it out"
        )
    n = DEFAULT_N.get(suite) if n is None else n
    settings: dict[str, Any] = {"suite": suite, "seed": seed, "n": n}
    folder = fetched(model, yes=yes)
    if output is not None:
        with status(f"reading {model}"):
            settings["weights"] = _weights(folder)
    with Journal.opened(output, settings, model=model) as journal:
        report = _measured(
            folder, suite, seed=seed, n=n, batch=batch, variants=variants, journal=journal
        )
    if as_json:
        typer.echo(json.dumps(report))
        return
    from rich.console import Console

    console = Console()
    if suite == "mini":
        from openmova.cli.eval_mini import show

        show(console, report, None if output is None else output / "results.md")
        return
    table, summary = _nano(report) if suite == "nano" else _open_world(report)
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
    model: str,
    suite: str,
    *,
    seed: int,
    n: int | None,
    batch: int,
    variants: Path | None,
    journal: Journal,
) -> dict[str, Any]:
    """What the suite finds; the model is loaded if the journal lacks something."""
    if suite == "mini":
        assert n is not None and variants is not None
        return _mini(model, seed=seed, n=n, batch=batch, variants=variants, journal=journal)
    if (report := journal.result) is not None:
        return report
    mova = _loaded(model)
    if suite == "nano":
        from openmova.evaluate import nano_suite

        assert n is not None
        report = nano_suite.run(mova, seed=seed, n=n, batch=batch, journal=journal)
    else:
        from openmova.evaluate import open_world_suite

        report = open_world_suite.run(mova, seed=seed, batch=batch, journal=journal)
    journal.finish(report)
    return report


def _mini(
    model: str, *, seed: int, n: int, batch: int, variants: Path, journal: Journal
) -> dict[str, Any]:
    """From the journal and what it lacks: further variants may have been trained meanwhile."""
    from openmova.evaluate.mini import report as files
    from openmova.evaluate.mini import suite as mini_suite

    report = mini_suite.run(
        lambda path: _loaded(model if path is None else str(path)),
        variants,
        journal,
        seed=seed,
        n=n,
        batch=batch,
    )
    if journal.path is not None:
        files.write_report(report, journal.path)
    return report


def _loaded(model: str) -> Mova:
    with status(f"loading {model}"):
        from openmova.inference.mova import Mova

        quiet_libraries()
        return Mova.from_pretrained(model)


def _nano(report: dict[str, Any]) -> tuple[Table, str]:
    from rich.table import Table

    from openmova.evaluate.statistics import percent

    table = Table("group", *(name.replace("_", " ") for name in FIGURES))
    for group, shares in report["domains"].items():
        table.add_row(group, *(percent(shares[name]) for name in FIGURES))
    gain = 100 * report["gain_over_base"]
    return table, f"routed minus base only, mean over domains: {gain:+.1f} points"


def _open_world(report: dict[str, Any]) -> tuple[Table, str]:
    from rich.table import Table

    from openmova.evaluate.statistics import percent

    table = Table("expert", "exact")
    for name, share in report["experts"].items():
        table.add_row(name, percent(share))
    table.add_row("all", percent(report["exact"]))
    return table, (
        f"the right one, others or not: {percent(report['included'])}; nobody: "
        f"{percent(report['none'])}; chance: {100 * report['chance']:.1f}"
    )
