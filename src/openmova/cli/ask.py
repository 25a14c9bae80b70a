"""openmova ask: questions about one image."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from openmova.cli.console import muted, status
from openmova.cli.model_options import (
    Device,
    DeviceMap,
    Dtype,
    ModelName,
    Offload,
    Quantize,
    Yes,
    loaded,
)
from openmova.cli.routing_table import routing_table
from openmova.errors import UserError
from openmova.images.drawing import Region, check_target, draw_regions, save_picture
from openmova.images.opening import load_image
from openmova.inference.limits import check_question

STANDARD_INPUT = "-"
EXAMPLES = """\b
Examples:
  openmova ask photo.jpg "What is shown?"
  openmova ask invoice.png "What is the total?" "Who sent it?" --show-routing
  openmova ask chart.png "Which bar is the tallest?" --experts chart --json
  openmova ask photo.jpg "Where is the dog? Give its bounding box." --draw dog.png
  openmova ask page.png - < questions.txt
  openmova ask photo.jpg "What is shown?" --model path/to/mova-8b --quantize 4bit --offload"""


def ask(
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="Path of the image.", show_default=False)
    ],
    questions: Annotated[
        list[str],
        typer.Argument(
            metavar="QUESTION",
            help="What to ask; '-' reads one question per line from standard input.",
        ),
    ],
    model: ModelName = "nano",
    experts: Annotated[
        str | None,
        typer.Option(
            help="Experts in place of the router's choice: names with commas, 'all' or 'none'.",
            show_default=False,
        ),
    ] = None,
    max_experts: Annotated[
        int | None,
        typer.Option(help="At most so many of the router's choice.", min=0, show_default=False),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.", min=1)] = 128,
    max_seconds: Annotated[
        float | None,
        typer.Option(help="Cut an answer short after so many seconds.", show_default=False),
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    quantize: Quantize = None,
    offload: Offload = False,
    device_map: DeviceMap = None,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json",
            help="One JSON object per question: answer, boxes and polygons in pixels, routing, "
            "gates, timings.",
        ),
    ] = False,
    show_routing: Annotated[
        bool, typer.Option("--show-routing", help="Show scores and gates of the experts.")
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the image with the boxes and polygons of all answers to this file.",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Answer questions about an image; the answers come one to a line.

    With several questions each answer follows its question and a tab.
    """
    given = [q if q == STANDARD_INPUT else check_question(q) for q in questions]
    if draw is not None:
        check_target(draw, Path(image))
    with muted():
        picture = load_image(image)
    mova = loaded(
        model,
        device=device,
        dtype=dtype,
        quantize=quantize,
        offload=offload,
        device_map=device_map,
        yes=yes,
    )
    from rich.console import Console

    named: list[tuple[str, tuple[Region, ...]]] = []
    several = len(given) > 1 or STANDARD_INPUT in given
    for question in _each(given):
        with status("thinking"):
            answer = mova.ask(
                picture,
                question,
                experts=experts,
                max_experts=max_experts,
                max_new_tokens=max_new_tokens,
                max_seconds=max_seconds,
            )
        named.append((question, (*answer.boxes, *answer.polygons)))
        if json_lines:
            line = {"image": image, "question": question, **answer.to_dict()}
            typer.echo(json.dumps(line, ensure_ascii=False))
        else:
            text = " ".join(answer.text.splitlines())
            typer.echo(f"{question}\t{text}" if several else answer.text)
            if show_routing:
                Console().print(routing_table(answer, mova.experts))
        sys.stdout.flush()
    if draw is not None:
        save_picture(draw_regions(picture, named), draw)
        if not any(regions for _, regions in named):
            typer.echo(f"openmova: no box or polygon to draw: {draw} is the image alone", err=True)


def _each(given: list[str]) -> Iterator[str]:
    """The questions, with the lines of standard input, as they come, in the place of '-'."""
    asked = False
    for question in given:
        if question != STANDARD_INPUT:
            asked = True
            yield question
            continue
        for line in sys.stdin:
            if line.strip():
                asked = True
                yield check_question(line)
    if not asked:
        raise UserError("no question on standard input: write one per line")
