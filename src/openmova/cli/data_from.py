"""openmova data from: a folder of pictures, or a table, to training data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openmova.cli.console import report
from openmova.cli.options import AsJson
from openmova.errors import UserError

EXAMPLES = """\b
Examples:
  openmova data from classes/ --output mydata.json    # classes/NAME/*.jpg
  openmova data from table.csv --output mydata.json   # image,question,answer"""


def from_(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder with a folder of pictures for each name, or a CSV file with the columns "
            "image, question and answer."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The new LLaVA JSON file.")
    ],
    as_json: AsJson = False,
) -> None:
    """Turn pictures that you have into training data, such as `openmova train` teaches nano.

    A picture of a folder is asked about in one of a dozen ways, and the answer is the folder's
    name. Pictures stay where they are.
    """
    from openmova.data.own_pictures import own_samples
    from openmova.data.records import write_llava

    if output.exists():
        raise UserError(f"{str(output)!r} exists already: give another file, or remove it")
    if output.suffix != ".json":
        raise UserError(f"{output.name!r} will be JSON: call it {output.stem}.json")
    samples = own_samples(source)
    write_llava(samples, output)
    answers = len({sample.solution for sample in samples})
    told = {"file": str(output), "samples": len(samples), "answers": answers}
    report(told, f"{output}: {len(samples):,} samples with {answers:,} answers", as_json)
