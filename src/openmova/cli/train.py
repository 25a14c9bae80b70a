"""openmova train: a recipe to a trained model."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from openmova.cli.console import quiet_libraries, status
from openmova.cli.options import AsJson
from openmova.cli.train_dry_run import Costs
from openmova.cli.train_dry_run import dry_run as show
from openmova.errors import UserError
from openmova.train.devices import DEVICES, find_device, measure_device

EXAMPLES = """\b
Examples:
  openmova train recipes/smoke.yaml --output runs/smoke
  openmova train recipes/smoke.yaml stage=pretrain learning_rate=2e-4 --output runs/pretrain
  openmova train recipes/smoke.yaml --output runs/smoke --resume
  openmova train recipes/smoke.yaml --dry-run --json
  openmova train recipes/8b-finetune.yaml model=recipes/mova-8b.yaml --dry-run --devices 32 \\
    --device a100 --samples 1_600_000"""


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
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The run's folder.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in DIR, if there is one.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Look at data, memory and cost, and stop. Reads no weight."),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"With --dry-run: the cost is on {', '.join(DEVICES)}. "
            "[default: this machine's device, measured]",
        ),
    ] = None,
    devices: Annotated[int, typer.Option(help="With --dry-run: how many.", min=1)] = 1,
    utilisation: Annotated[
        float, typer.Option(help="With --dry-run: share of a device's peak.", min=0.01, max=1.0)
    ] = 0.4,
    price: Annotated[
        float | None, typer.Option(help="With --dry-run: of a device for an hour.", min=0.0)
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(help="With --dry-run: of the run, if the data is not there.", min=1),
    ] = None,
    tokens: Annotated[
        int, typer.Option(help="With --dry-run: of a sample's text, if nothing is there.", min=1)
    ] = 256,
    as_json: AsJson = False,
) -> None:
    """Train a model by a recipe; the result is in DIR/final.

    A run that was stopped, however, goes on with --resume and ends with the weights that it would
    have had. On several devices: torchrun --nproc-per-node N -m openmova train ...
    """
    if output is None and not dry_run:
        raise UserError("--output is missing: give the folder of the run")
    accelerator = None if device is None else find_device(device)
    from openmova.train.training_recipe import load_recipe

    parsed = load_recipe(recipe, changes or ())
    with status("loading libraries"):
        from openmova.train.preparation import is_first_process
        from openmova.train.training import train as train_

        quiet_libraries(downloads=True)
    if dry_run:
        priced = accelerator or measure_device(parsed.precision)
        costs = Costs(priced, devices, utilisation, price)
        show(parsed, costs, samples=samples, tokens=tokens, as_json=as_json)
        return
    assert output is not None
    final = train_(parsed, output, resume=resume, tell=_tell, bar=sys.stderr.isatty())
    if is_first_process():
        typer.echo(json.dumps({"folder": str(final)}) if as_json else str(final))


def _tell(line: str) -> None:
    """On standard error, above a bar if there is one."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
