"""openmova inspect: one answer, or those to a data set, looked at from all sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openmova.cli.console import fetched, muted, status
from openmova.cli.model_options import ModelName, ModelOptions, Yes
from openmova.cli.routing_table import routing_table
from openmova.errors import UserError
from openmova.images.opening import load_image
from openmova.inference.limits import check_question
from openmova.runtime.files import check_output, write_output

if TYPE_CHECKING:
    from openmova.analysis.answer_inspection import Inspection

EXAMPLES = """\b
Examples:
  openmova inspect chart.png "What value does bar L reach?" -o report.html
  openmova inspect chart.png "What value does bar L reach?" --json
  openmova inspect --data held-out.json -o report.html --samples 500
  openmova inspect --data 'shards/*.tar' --model path/to/checkpoint --json"""
ENDINGS = (".html", ".htm")
KEPT = ".run"
"""The ending of the folder beside a page that has the answers to its data."""


def inspect(
    image: Annotated[str | None, typer.Argument(metavar="IMAGE", help="Path of the image.")] = None,
    question: Annotated[str | None, typer.Argument(metavar="QUESTION", help="What to ask.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="In place of IMAGE and QUESTION: LLaVA JSON, JSONL, parquet, tar shards "
            "('shards/*.tar'), a folder of one of them, or hub:owner/name.",
        ),
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
    model: ModelName = "nano",
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Of --data: where paths of pictures start. [default: its folder]"
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Of --data: ask only so many, evenly spaced.", min=1)
    ] = None,
    batch: Annotated[int, typer.Option(help="Of --data: asked at once.", min=1)] = 8,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.", min=1)] = 128,
    as_json: Annotated[
        bool, typer.Option("--json", help="The last line is one JSON object with all figures.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Show how an answer came about: routing, gates, attention, and what each expert is worth.

    One question: the routing prompt, the router's answer with scores, the gate weights of each
    block, where the adapter looks in each chosen expert's map, and the answers with experts
    switched off.

    --data: how often each expert is used and how it is weighed in each domain, annotated against
    chosen experts, the accuracy lost without each expert, and the calibration of the scores.
    """
    if output is not None:
        check_output(output, ENDINGS)
    if data is None:
        if image is None or question is None:
            raise UserError("what should be inspected? Give IMAGE and QUESTION, or --data FILE")
        if images is not None or samples is not None:
            raise UserError("--images and --samples belong to --data: leave them out")
        _one(image, question, output, model, max_new_tokens, as_json=as_json, yes=yes)
        return
    if image is not None:
        raise UserError("give either IMAGE and QUESTION or --data, not both")
    options = {
        "data": data,
        "images": None if images is None else str(images),
        "samples": samples,
        "max_new_tokens": max_new_tokens,
    }
    _many(data, output, model, options, batch, as_json=as_json, yes=yes)


def _one(
    image: str,
    question: str,
    output: Path | None,
    model: str,
    max_new_tokens: int,
    *,
    as_json: bool,
    yes: bool,
) -> None:
    question = check_question(question)
    with muted():
        picture = load_image(image)
    mova = ModelOptions(model=model, yes=yes).load()
    from openmova.analysis.answer_inspection import inspect as inspect_

    with status("thinking"):
        found = inspect_(mova, picture, question, max_new_tokens=max_new_tokens)
    if output is not None:
        from openmova.analysis.report import question_page

        page = question_page(found, image=image, model=model)
        write_output(output, page.encode())
    if as_json:
        line = {"image": image, **found.to_dict()}
        typer.echo(json.dumps(line, ensure_ascii=False))
    else:
        _show_one(found)


def _many(
    data: str,
    output: Path | None,
    model: str,
    options: dict[str, Any],
    batch: int,
    *,
    as_json: bool,
    yes: bool,
) -> None:
    with status(f"opening {data}"):
        from openmova.analysis.data_inspection import inspect_data
        from openmova.checkpoints.locate import checkpoint_folder
        from openmova.data.formats import read_samples
        from openmova.runtime.run_store import Journal, fingerprint

        samples = read_samples(data, images=options["images"])
    folder = fetched(model, yes=yes)
    settings = dict(options)
    if output is not None:
        with status(f"reading {model}"):
            settings |= {
                "checksums": [fingerprint(path) for path in _files(data)],
                "weights": fingerprint(checkpoint_folder(folder)),
            }
    kept = None if output is None else output.with_suffix(KEPT)
    with Journal.opened(kept, settings, model=model) as journal:
        found = journal.result
        if found is None:
            found = inspect_data(
                ModelOptions(model=model, yes=yes).load(),
                samples,
                most=options["samples"],
                max_new_tokens=options["max_new_tokens"],
                batch=batch,
                journal=journal,
            )
            journal.finish(found)
    if output is not None:
        from openmova.analysis.report import data_page

        write_output(output, data_page(found, data=data, model=model).encode())
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        _show_many(found)


def _files(data: str) -> list[Path]:
    """The files that the data is in; none where it is on the hub."""
    if data.startswith(("hub:", "stream:")):
        return []
    path = Path(data).expanduser()
    return sorted(path.parent.glob(path.name)) if "*" in path.name else [path]


def _show_one(found: Inspection) -> None:
    """The answer and what becomes of it; the router's scores and the gates."""
    from rich.console import Console
    from rich.table import Table

    console, answer = Console(), found.answer
    typer.echo(answer.text)
    console.print(routing_table(answer, tuple(found.pool)))
    others = Table("experts", "answer")
    for other in found.alternatives:
        others.add_row(other.what, other.text)
    console.print(others)


def _show_many(found: dict[str, Any]) -> None:
    """Accuracy and use of the experts by domain, and what each is worth."""
    from rich.console import Console
    from rich.table import Table

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
