"""openmova train: a recipe to a trained model, or what that would need and cost."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from openmova.cli.console import quiet_libraries, report, status
from openmova.cli.options import AsJson
from openmova.errors import UserError
from openmova.train.devices import DEVICES, GIB, Device, find_device, measure_device

if TYPE_CHECKING:
    from openmova.train.estimate import Estimate

HOUR = 3600
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
        from openmova.train.estimate import estimate
        from openmova.train.preparation import check_sources, is_first_process
        from openmova.train.training import train as train_

        quiet_libraries(downloads=True)
    if dry_run:
        priced = accelerator or measure_device(parsed.precision)
        with status("looking at model and data"):
            found = estimate(parsed, devices=devices, samples=samples, text_tokens=tokens)
        cost = _cost(found, priced, devices, utilisation, price)
        if as_json:
            typer.echo(json.dumps({**found.to_dict(), **cost}))
        else:
            _show(found, cost)
        check_sources([s.fault for s in found.sources if s.fault], len(found.sources))
        return
    assert output is not None
    final = train_(parsed, output, resume=resume, tell=_tell, bar=sys.stderr.isatty())
    if is_first_process():
        report({"folder": str(final)}, str(final), as_json)


def _tell(line: str) -> None:
    """On standard error, above a bar if there is one."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)


def _cost(
    found: Estimate, device: Device, devices: int, utilisation: float, price: float | None
) -> dict[str, Any]:
    """What the time is reckoned with, and what it comes to. price: of one device for an hour."""
    speed = found.samples_a_second(device, devices=devices, utilisation=utilisation)
    hours = None if found.samples is None else found.samples / speed / HOUR
    return {
        "device": device.title,
        "devices": devices,
        "utilisation": utilisation,
        "fits": found.total_bytes <= device.memory,
        "samples_a_second": speed,
        "tokens_a_second": speed * found.average.tokens,
        "hours": hours,
        "price": None if hours is None or price is None else hours * devices * price,
    }


def _show(found: Estimate, cost: dict[str, Any]) -> None:
    console = Console()
    sources = Table("data", "samples", "tokens", "answered", "experts")
    for source in found.sources:
        if source.fault is not None:
            sources.add_row(source.source, "can't be used", "", "", "")
            continue
        seen = None if source.experts is None else sum(source.experts.values())
        bad = f" ({source.bad} of {source.looked_at} looked at are bad)" if source.bad else ""
        numbers = (_number(n) for n in (source.tokens, source.answered, seen))
        sources.add_row(source.source, f"{source.samples:,}{bad}", *numbers)
    sources.caption = "tokens and experts of a sample, on average"
    console.print(sources)

    average = found.operations_a_sample()
    unit, size = ("TFLOP", 1e12) if average > 1e12 else ("GFLOP", 1e9)
    parts = Table("part", "forward", "gradients", "samples")
    for part in found.parts:
        share = f"{found.shares.get(part.name, 1.0):.0%}"
        parts.add_row(part.name, f"{part.forward / size:.3f}", f"{part.backward / size:.3f}", share)
    parts.add_section()
    parts.add_row("a sample, on average", f"{average / size:.3f}", "", "")
    basis = "counted in the data" if found.measured else "assumed"
    parts.caption = (
        f"{unit} of a sample of {found.average.tokens} tokens, {found.average.answered} of them "
        f"answered ({basis})"
    )
    console.print(parts)

    memory = Table("memory of a device", "GiB")
    for name, size in found.bytes.items():
        memory.add_row(name, f"{size / GIB:.2f}")
    memory.add_section()
    memory.add_row("all", f"{found.total_bytes / GIB:.2f}")
    console.print(memory)

    lines = [
        f"stage {found.stage}: {found.parameters_that_learn / 1e6:,.1f} M of "
        f"{found.parameters / 1e6:,.1f} M parameters learn",
        f"a step has {found.samples_a_step:,} samples"
        + ("" if found.steps is None else f", the run {found.steps:,} steps"),
        f"{cost['devices']} x {cost['device']}: it {'fits' if cost['fits'] else 'does not fit'}; "
        f"at {cost['utilisation']:.0%} of the peak {cost['samples_a_second']:,.1f} samples or "
        f"{cost['tokens_a_second']:,.0f} tokens a second",
    ]
    if cost["hours"] is None:
        lines.append("how long it takes depends on the data: state its size with --samples")
    else:
        price = "" if cost["price"] is None else f", {cost['price']:,.0f} in money"
        hours = cost["hours"]
        time = f"{hours:,.1f} hours" if hours >= 1 else f"{60 * hours:,.1f} minutes"
        lines.append(f"{found.samples:,} samples take {time}{price}")
    typer.echo("\n".join(lines))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
