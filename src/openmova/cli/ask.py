"""openmova ask: questions about images."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from openmova.cli.console import routing_table, silence_stderr, status
from openmova.cli.options import ExpertNames, MaxNewTokens, ModelOptions, takes_model
from openmova.errors import UserError
from openmova.images.drawing import Region, check_target, draw_regions, save_picture
from openmova.images.opening import load_image
from openmova.inference.limits import check_question

STANDARD_INPUT = "-"
EXAMPLES = """\b
Examples:
  openmova ask photo.jpg "What is shown?"
  openmova ask invoice.png "What is the total?" "Who sent it?" --show-routing
  openmova ask page-1.png page-2.png page-3.png "What is the heading?"
  openmova ask chart.png "Which bar is the tallest?" --experts chart --json
  openmova ask page.png "What is the heading?" --budget 0.5s
  openmova ask photo.jpg "Where is the dog? Give its bounding box." --draw dog.png
  openmova ask page.png - < questions.txt
  openmova ask photo.jpg "What is shown?" --model path/to/mova-8b --quantize 4bit --offload"""


@takes_model
def ask(
    image: Annotated[str, typer.Argument(metavar="IMAGE [IMAGE...]", help="Paths of images.")],
    questions: Annotated[
        list[str],
        typer.Argument(
            metavar="QUESTION",
            help="What to ask of each image; '-' reads one question per line from standard input. "
            "The questions begin with the first argument that is no file.",
        ),
    ],
    model_options: ModelOptions,
    experts: ExpertNames = None,
    max_experts: Annotated[
        int | None, typer.Option(help="At most so many of the router's choice.", min=0)
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="What its choice may cost together, 0.5s or 20G operations; the best set is taken."
        ),
    ] = None,
    max_new_tokens: MaxNewTokens = 128,
    max_seconds: Annotated[
        float | None, typer.Option(help="Cut an answer short after so many seconds.")
    ] = None,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json",
            help="One JSON object per answer: image, question, answer, confidence (of a calibrated "
            "model), boxes and polygons in pixels, routing, gates, timings.",
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
        ),
    ] = None,
) -> None:
    """Answer questions about images; the answers come one to a line.

    With several questions each answer follows its question and a tab; with several images, also its
    image and a tab before them. Every question is asked of every image. "(unsure)" stands beside an
    answer that the model is not sure of.
    """
    images, questions = _split(image, questions)
    questions = [q if q == STANDARD_INPUT else check_question(q) for q in questions]
    if draw is not None:
        if len(images) > 1:
            raise UserError("--draw writes one image: ask about one")
        check_target(draw, Path(images[0]))
    with silence_stderr():
        pictures = {path: load_image(path) for path in images}
    mova = model_options.load()
    regions: list[tuple[str, tuple[Region, ...]]] = []
    several = len(questions) > 1 or STANDARD_INPUT in questions
    for question in _read(questions):
        for path, picture in pictures.items():
            with status("thinking"):
                answer = mova.ask(
                    picture,
                    question,
                    experts=experts,
                    max_experts=max_experts,
                    budget=budget,
                    max_new_tokens=max_new_tokens,
                    max_seconds=max_seconds,
                )
            if budget is not None and answer.routing.left_out:
                left_out = ", ".join(answer.routing.left_out)
                rest = "" if answer.routing.experts else "; the base encoder answers alone"
                typer.echo(f"openmova: the budget has no room for {left_out}{rest}", err=True)
            regions.append((question, (*answer.boxes, *answer.polygons)))
            if json_lines:
                line = {"image": path, "question": question, **answer.to_dict()}
                typer.echo(json.dumps(line, ensure_ascii=False))
            else:
                columns = [path] * (len(pictures) > 1) + [question] * several
                text = " ".join(str(answer).splitlines()) if columns else str(answer)
                typer.echo("\t".join([*columns, text]))
                if show_routing:
                    Console().print(routing_table(answer, mova.experts))
            sys.stdout.flush()
    if draw is not None:
        save_picture(draw_regions(pictures[image], regions), draw)
        if not any(found for _, found in regions):
            typer.echo(f"openmova: no box or polygon to draw: {draw} is the image alone", err=True)


def _split(image: str, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The images, and the questions: what follows from the first argument that is no file on."""
    others = list(takewhile(os.path.isfile, arguments))
    if len(others) == len(arguments):
        raise UserError(f"there is no question after {others[-1]!r}: ask something of the images")
    return [image, *others], list(arguments[len(others) :])


def _read(questions: Sequence[str]) -> Iterator[str]:
    """The questions, with the lines of standard input, as they come, in the place of '-'."""
    count = 0
    for question in questions:
        lines = sys.stdin if question == STANDARD_INPUT else [question]
        for line in filter(str.strip, lines):
            count += 1
            yield check_question(line)
    if not count:
        raise UserError("no question on standard input: write one per line")
