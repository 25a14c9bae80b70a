"""openmova inspect: one answer, or those to a data set, looked at from all sides."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from openmova.cli.console import report, routing_table, silence_stderr, status
from openmova.cli.options import (
    DATA_HELP,
    AsJson,
    BatchSize,
    ImageFolder,
    MaxNewTokens,
    ModelOptions,
    SampleCount,
    measured,
    takes_model,
)
from openmova.errors import UserError
from openmova.images.opening import load_image
from openmova.inference.limits import check_question
from openmova.runtime.files import check_output, write_output, writing

if TYPE_CHECKING:
    from openmova.analysis.answer_inspection import Inspection
    from openmova.data.sources import Samples
    from openmova.runtime.run_store import Journal

EXAMPLES = """\b
Examples:
  openmova inspect chart.png "What value does bar L reach?" -o report.html
  openmova inspect chart.png "What value does bar L reach?" --json
  openmova inspect --data held-out.json -o report.html --samples 500
  openmova inspect --data held-out.json --dump activations.parquet
  openmova inspect --data 'shards/*.tar' --model path/to/checkpoint --json"""
ENDINGS = (".html", ".htm")
KEPT = ".run"
"""The ending of the folder beside a page that has the answers to its data."""


@takes_model
def inspect(
    model_options: ModelOptions,
    image: Annotated[str | None, typer.Argument(metavar="IMAGE", help="Path of the image.")] = None,
    question: Annotated[str | None, typer.Argument(metavar="QUESTION", help="What to ask.")] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help=f"In place of IMAGE and QUESTION: {DATA_HELP}"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="HTML",
            help="Write one page that needs nothing else. With --data the answers are kept beside "
            f"it, in a folder that ends with {KEPT}, and the same command goes on where it was "
            "stopped.",
        ),
    ] = None,
    dump: Annotated[
        Path | None,
        typer.Option(
            metavar="PARQUET",
            help="Of --data: write activations, gates and routing scores, and do nothing else.",
        ),
    ] = None,
    images: ImageFolder = None,
    samples: SampleCount = None,
    batch: BatchSize = 8,
    max_new_tokens: MaxNewTokens = 128,
    as_json: AsJson = False,
) -> None:
    """Show how an answer came about: routing, gates, attention, and what each expert is worth.

    One question: the routing prompt, the router's answer with scores, the gate weights of each
    block, where the adapter looks in each chosen expert's map, the answers with experts switched
    off, and the words that the image tokens are nearest to.

    --data: how often each expert is used and how it is weighed in each domain, annotated against
    chosen experts, the accuracy lost without each expert, and the calibration of the scores.
    """
    if output is not None:
        check_output(output, ENDINGS)
    if dump is not None:
        if data is None or image is not None or output is not None:
            raise UserError("--dump is of a data set alone: give --data, and leave out the others")
        _dump(model_options, data, images, samples, batch, dump, as_json)
        return
    if data is None:
        if image is None or question is None:
            raise UserError("what should be inspected? Give IMAGE and QUESTION, or --data FILE")
        if images is not None or samples is not None:
            raise UserError("--images and --samples belong to --data: leave them out")
        inspection = _one(model_options, image, question, max_new_tokens)
        found = {"image": image, **inspection.to_dict()}
    elif image is not None:
        raise UserError("give either IMAGE and QUESTION or --data, not both")
    else:
        settings = {
            "data": data,
            "images": None if images is None else str(images),
            "samples": samples,
            "max_new_tokens": max_new_tokens,
        }
        found = _many(model_options, settings, batch, output and output.with_suffix(KEPT))
    if output is not None:
        from openmova.analysis.report import data_page, question_page

        model = model_options.model
        page = (
            question_page(inspection, image=str(image), model=model)
            if data is None
            else data_page(found, data=data, model=model)
        )
        write_output(output, page.encode())
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    elif data is None:
        _show_one(inspection)
    else:
        _show_many(found)


def _dump(
    options: ModelOptions,
    data: str,
    images: Path | None,
    samples: int | None,
    batch: int,
    path: Path,
    as_json: bool,
) -> None:
    check_output(path, (".parquet",))
    if find_spec("pyarrow") is None:
        raise UserError('--dump writes parquet: pip install "openmova[train]" first')
    with status(f"opening {data}"):
        from openmova.analysis.activations import dump_activations
        from openmova.data.formats import read_samples

        found = read_samples(data, images=images)
    mova = options.load()
    with writing(path.parent, "make room, or give another path"):
        rows = dump_activations(mova, found, path, most=samples, batch=batch)
    report({"samples": rows}, f"{path}: {rows:,} samples", as_json)


def _one(options: ModelOptions, image: str, question: str, max_new_tokens: int) -> Inspection:
    question = check_question(question)
    with silence_stderr():
        picture = load_image(image)
    mova = options.load()
    from openmova.analysis.answer_inspection import inspect as inspect_

    with status("thinking"):
        return inspect_(mova, picture, question, max_new_tokens=max_new_tokens)


def _many(
    options: ModelOptions, settings: dict[str, Any], batch: int, folder: Path | None
) -> dict[str, Any]:
    def measure(samples: Samples, journal: Journal) -> dict[str, Any]:
        from openmova.analysis.data_inspection import inspect_data

        return inspect_data(
            options.load(),
            samples,
            most=settings["samples"],
            max_new_tokens=settings["max_new_tokens"],
            batch=batch,
            journal=journal,
        )

    return measured(options, settings, folder, measure)


def _show_one(found: Inspection) -> None:
    """The answer and what becomes of it; the router's scores and the gates."""
    console, answer = Console(), found.answer
    typer.echo(answer.text)
    console.print(routing_table(answer, tuple(found.pool)))
    others = Table("experts", "answer")
    for other in found.alternatives:
        others.add_row(other.what, other.text)
    console.print(others)


def _show_many(found: dict[str, Any]) -> None:
    """Accuracy and use of the experts by domain, and what each is worth."""
    from openmova.analysis.report import points
    from openmova.evaluate.intervals import percent

    console = Console()
    groups = [*found["domains"].items(), ("all samples", found["overall"])]
    exact = Table("exact answers", "n", "routed", "base only", "all experts")
    used = Table("chosen for", *found["pool"])
    for name, group in groups if len(groups) > 2 else groups[-1:]:
        accuracy = (percent(group["accuracy"][mode]) for mode in ("routed", "none", "all"))
        exact.add_row(name, str(group["n"]), *accuracy)
        chosen = (f"{100 * chosen['value']:.1f}" for chosen in group["chosen"].values())
        used.add_row(name, *chosen)
    console.print(exact)
    console.print(used)
    worth = Table("without", "points lost where chosen", "n", "points lost over all")
    for name, lost in found["overall"]["contribution"].items():
        where = points(lost["drop_where_chosen"]) if lost["chosen"] else ""
        worth.add_row(name, where, str(lost["chosen"]), points(lost["drop"]))
    console.print(worth)
    told = [f"{found['asked']} of {found['samples']} samples; all shares in per cent"]
    if left_out := found["left_out"]["n"]:
        told.append(f"{left_out} left out")
    if found["routing"]:
        told.append(f"routed as annotated: {percent(found['routing']['exact'])}")
    if found["calibration"]:
        told.append(f"calibration error of the scores: {found['calibration']['error']:.3f}")
    console.print("; ".join(told), highlight=False)
