"""openmova data: training data, looked at before it costs anything."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from openmova.cli import data_from, data_routing
from openmova.cli.console import MODEL_HELP, fetch_model, silence_stderr, status
from openmova.cli.options import DATA_HELP, AsJson, BadShare, DataFormat, ImageFolder
from openmova.errors import UserError
from openmova.images.drawing import SUFFIXES, save_picture
from openmova.runtime.files import check_output

if TYPE_CHECKING:
    from openmova.data.check import DataReport, Measure

CHECK_EXAMPLES = """\b
Examples:
  openmova data check train.jsonl --images pictures
  openmova data check 'shards/*.tar' --model nano --sheet sheet.png
  openmova data check train.parquet --model path/to/checkpoint --json"""
SHOWN = 10
"""Bad samples in the table; all are in the JSON."""
SHEET = 24
"""Samples on the contact sheet."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Training data: of your own pictures; a look before training; routing instructions."""


app.command("from", epilog=data_from.EXAMPLES)(data_from.from_)
app.command("routing", epilog=data_routing.EXAMPLES)(data_routing.routing)


@app.command("check", epilog=CHECK_EXAMPLES)
def check(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help=DATA_HELP),
    ],
    images: ImageFolder = None,
    format: DataFormat = None,
    model: Annotated[
        str | None, typer.Option(help=f"Count tokens, check experts' names: {MODEL_HELP}")
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(help="Of a sample; training cuts what is longer.", min=1)
    ] = 2048,
    limit: Annotated[
        int | None, typer.Option(help="Look at only so many, evenly spaced.", min=1)
    ] = None,
    bad_share: BadShare = 0.01,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Write a contact sheet of some samples.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read every sample as training would, and tell what the data holds and what is wrong with it.

    Pictures are decoded, roles checked, lengths, domains, annotated experts and ratings of
    dependency counted; with --model also tokens.
    """
    if sheet is not None:
        check_output(sheet, SUFFIXES)
    source = fetch_model(model) if model is not None else None
    with status(f"opening {file}"):
        from openmova.data.check import check as check_
        from openmova.data.contact_sheet import contact_sheet, evenly
        from openmova.data.formats import read_samples

        samples = read_samples(file, format=format, images=images)
        if not len(samples):
            raise UserError(f"{samples.name} has no samples: give another file")
        experts, measure = _model(source) if source is not None else (None, None)
    from tqdm import tqdm

    indices = evenly(len(samples), limit or len(samples))
    with (
        os.fdopen(os.dup(2), "w") as terminal,
        silence_stderr(),
        tqdm(indices, unit=" samples", disable=None, leave=False, file=terminal) as progress,
    ):
        report = check_(
            samples, indices=progress, experts=experts, measure=measure, max_tokens=max_tokens
        )
    if sheet is not None:
        shown = [samples.get(index) for index in evenly(len(samples), SHEET)]
        save_picture(contact_sheet(shown), sheet)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        _show(report, max_tokens)
    if report.bad_share > bad_share:
        raise UserError(
            f"{len(report.bad)} of {report.looked_at} samples of {report.source} are bad, more "
            f"than the allowed share of {bad_share:g}: mend them, or raise --bad-share"
        )


def _model(folder: Path) -> tuple[Sequence[str], Measure]:
    """The names of a model's experts, and how it counts the tokens of a sample."""
    from openmova.data.sample import Sample
    from openmova.model.configuration_mova import MovaConfig
    from openmova.model.processing_mova import MovaProcessor
    from openmova.train.collator import Collator

    experts = MovaConfig.from_pretrained(folder).expert_names
    processor = MovaProcessor.from_pretrained(folder)
    collator = Collator(processor, experts, max_tokens=1_000_000_000)

    def measure(sample: Sample) -> tuple[int, int]:
        row = collator.row(sample)
        return len(row.input_ids), sum(label >= 0 for label in row.labels)

    return experts, measure


def _show(report: DataReport, max_tokens: int) -> None:
    good = report.looked_at - len(report.bad)
    typer.echo(
        f"{report.source}: {report.samples:,} samples, {report.looked_at:,} looked at, "
        f"{good:,} good, {len(report.bad):,} bad; {report.with_image:,} with a picture"
    )
    lengths = Table("", "least", "median", "95%", "most")
    for name, quantiles in report.numbers.items():
        lengths.add_row(name, *(f"{value:,}" for value in quantiles.values()))
    Console().print(lengths)
    counts = {
        "domain": report.domains,
        "experts each": report.experts_each,
        "expert": report.experts,
        "depends on its picture, 1 to 5": report.dependency,
    }
    for what, found in counts.items():
        if found:
            listed = ", ".join(f"{name} {count:,}" for name, count in found.items())
            typer.echo(f"{what}: {listed}")
    for count, what in (
        (report.routing, "routing instructions"),
        (report.repeated_ids, "with an id that came before (an annotation needs them unique)"),
        (report.over or 0, f"of more than {max_tokens:,} tokens, which training cuts"),
    ):
        if count:
            typer.echo(f"{count:,} {what}")
    for bad in report.bad[:SHOWN]:
        typer.echo(f"bad: {bad['id']}: {bad['reason']}")
    if len(report.bad) > SHOWN:
        typer.echo(f"... and {len(report.bad) - SHOWN:,} more bad ones (all with --json)")
