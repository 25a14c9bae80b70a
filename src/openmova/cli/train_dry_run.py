"""openmova train --dry-run: what a run would need and cost, shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from openmova.cli.console import status

if TYPE_CHECKING:
    from openmova.train.devices import Device
    from openmova.train.estimate import Estimate
    from openmova.train.training_recipe import TrainingRecipe

HOUR = 3600


class Costs(NamedTuple):
    """What the time is reckoned with."""

    device: Device
    devices: int
    utilisation: float
    price: float | None
    """Of one device for an hour."""


def dry_run(
    recipe: TrainingRecipe, costs: Costs, *, samples: int | None, tokens: int, as_json: bool
) -> None:
    """Show the estimate. Raises UserError, afterwards, for data that can't be used."""
    with status("looking at model and data"):
        from openmova.train.estimate import estimate
        from openmova.train.preparation import check_sources

        found = estimate(recipe, devices=costs.devices, samples=samples, text_tokens=tokens)
    cost = _cost(found, costs)
    if as_json:
        typer.echo(json.dumps({**found.to_dict(), **cost}))
    else:
        _show(found, costs, cost)
    check_sources([s.fault for s in found.sources if s.fault], len(found.sources))


def _cost(found: Estimate, costs: Costs) -> dict[str, Any]:
    speed = found.samples_a_second(
        costs.device, devices=costs.devices, utilisation=costs.utilisation
    )
    hours = None if found.samples is None else found.samples / speed / HOUR
    price = None
    if hours is not None and costs.price is not None:
        price = hours * costs.devices * costs.price
    return {
        "device": costs.device.title,
        "devices": costs.devices,
        "utilisation": costs.utilisation,
        "fits": found.total_bytes <= costs.device.memory,
        "samples_a_second": speed,
        "tokens_a_second": speed * found.average.tokens,
        "hours": hours,
        "price": price,
    }


def _show(found: Estimate, costs: Costs, cost: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from openmova.train.devices import GIB

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
        f"{costs.devices} x {costs.device.title}: it {'fits' if cost['fits'] else 'does not fit'}; "
        f"at {costs.utilisation:.0%} of the peak {cost['samples_a_second']:,.1f} samples or "
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
