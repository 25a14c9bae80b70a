"""openmova experts: the pool of a model, as its router is told of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from openmova.cli.console import MODEL_HELP, fetch_model, status
from openmova.cli.options import Yes

if TYPE_CHECKING:
    from openmova.model.configuration_mova import MovaConfig

EXAMPLES = """\b
Examples:
  openmova experts
  openmova experts --model path/to/checkpoint --json"""


def experts(
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "nano",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per expert.")] = False,
    yes: Yes = False,
) -> None:
    """List the experts of a model: letter, name, kind, channels, description, weights."""
    folder = fetch_model(model, yes=yes)
    with status(f"looking at {model}"):
        from openmova.model.configuration_mova import MovaConfig

        rows = _pool(MovaConfig.from_pretrained(folder), folder)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    table = Table("", "expert", "kind", "channels", "description", "weights", caption=str(folder))
    for row in rows:
        row["weights"] = Path(row["weights"]).relative_to(folder)
        table.add_row(*(str(cell) for cell in row.values()))
    Console().print(table)


def _pool(config: MovaConfig, folder: Path) -> list[dict[str, Any]]:
    """One row for each expert, in the order of the letters."""
    from openmova.experts.pool import EXPERTS_FOLDER
    from openmova.routing import expert_letters

    channels = config.adapter.expert_channels
    return [
        {
            "letter": letter,
            "name": spec["name"],
            "kind": spec["kind"],
            "channels": width,
            "description": spec["descriptions"][0],
            "weights": str(folder / EXPERTS_FOLDER / f"{spec['name']}.safetensors"),
        }
        for letter, spec, width in zip(
            expert_letters(len(channels)), config.experts, channels, strict=True
        )
    ]
