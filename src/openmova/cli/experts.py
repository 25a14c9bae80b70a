"""openmova experts: the pool of a model, as its router is told of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openmova.cli.console import fetched, status
from openmova.cli.model_options import ModelName, Yes, read_config

if TYPE_CHECKING:
    from openmova.model.configuration_mova import MovaConfig

EXAMPLES = """\b
Examples:
  openmova experts
  openmova experts --model path/to/checkpoint --json"""


def experts(
    model: ModelName = "nano",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per expert.")] = False,
    yes: Yes = False,
) -> None:
    """List the experts of a model: letter, name, kind, channels, description, weights."""
    fetched_model = fetched(model, yes=yes)
    with status(f"looking at {model}"):
        from openmova.checkpoints.locate import checkpoint_folder

        folder = checkpoint_folder(fetched_model)
        rows = _pool(read_config(fetched_model), folder)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

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
