"""openmova export: a model whose language model is small and quick on a processor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openmova.cli.console import MODEL_HELP, fetch_model, report, status
from openmova.cli.options import AsJson, Yes

EXAMPLES = """\b
Examples:
  openmova export nano --output nano-8bit
  openmova ask --model nano-8bit photo.jpg "What is this?"
  openmova export path/to/mova-8b --bits 4 --output mova-8b-4bit"""


def export(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The new folder.")],
    bits: Annotated[int, typer.Option(help="Of a weight of the language model: 8 or 4.")] = 8,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Write a model with its language model in 8 or 4 bits, as ONNX graphs.

    onnxruntime runs them on the processor: less memory, and quicker answers, where that one has no
    products in bfloat16. The new folder is asked, served and evaluated as any other; it can't be
    trained.
    """
    folder = fetch_model(model, yes=yes)
    with status(f"looking at {model}"):
        from openmova.checkpoints.export import plan_export

        conversion = plan_export(folder, bits)
    conversion.write(output)
    sizes = [
        sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        for place in (folder, output)
    ]
    told = {"folder": str(output), "bits": bits, "bytes": sizes[1], "bytes_before": sizes[0]}
    before, after = (f"{size / 1e6:,.0f} MB" for size in sizes)
    report(told, f"{output}: {after} in the place of {before}", as_json)
