"""openmova train: a recipe to a trained model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from openmova.cli.console import quiet_libraries, status
from openmova.errors import UserError

EXAMPLES = """\b
Examples:
  openmova train recipes/smoke.yaml --output runs/smoke
  openmova train recipes/smoke.yaml stage=pretrain learning_rate=2e-4 --output runs/pretrain
  openmova train recipes/smoke.yaml --output runs/smoke --resume
  openmova train recipes/smoke.yaml --dry-run --json"""


def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A YAML file, such as recipes/smoke.yaml.")
    ],
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="In place of the recipe's, such as steps=100."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="The run's folder.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in DIR, if there is one.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Open model and data, say what would be done, stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The last line is one JSON object.")
    ] = False,
) -> None:
    """Train a model by a recipe; the result is in DIR/final.

    A run that was stopped, however, goes on with --resume and ends with the weights that it would
    have had. On several devices: torchrun --nproc-per-node N -m openmova train ...
    """
    if output is None and not dry_run:
        raise UserError("--output is missing: give the folder of the run")
    from openmova.train.recipe import load_recipe

    parsed = load_recipe(recipe, changes or ())
    with status("loading libraries"):
        from openmova.train.run import is_first_process, prepare
        from openmova.train.run import train as train_

        quiet_libraries(downloads=True)
    if dry_run:
        with status("opening model and data"):
            summary = prepare(parsed).summary()
        if as_json:
            typer.echo(json.dumps(summary))
        else:
            typer.echo("\n".join(f"{key.replace('_', ' ')}: {v}" for key, v in summary.items()))
        return
    assert output is not None
    final = train_(parsed, output, resume=resume, tell=_tell, bar=sys.stderr.isatty())
    if is_first_process():
        typer.echo(json.dumps({"folder": str(final)}) if as_json else str(final))


def _tell(line: str) -> None:
    """On standard error, above a bar if there is one."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
