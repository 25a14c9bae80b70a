"""openmova data open-world: routing instructions over imagined experts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from openmova.cli.console import MODEL_HELP, fetched, status
from openmova.cli.model_options import Yes, read_config
from openmova.errors import UserError

EXAMPLES = """\b
Examples:
  openmova data open-world open-world.json --model nano
  openmova data open-world open-world.json --model nano --count 500 --turns 4
  openmova data open-world one-pool.json --model nano --no-augmentation"""


def open_world(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new LLaVA JSON file.")],
    model: Annotated[
        str | None,
        typer.Option(help=f"Whose instruction the prompts begin with: {MODEL_HELP}"),
    ] = None,
    count: Annotated[int, typer.Option(help="How many instructions.", min=1)] = 2000,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.", min=0)] = 0,
    turns: Annotated[
        int,
        typer.Option(
            help="Questions asked of each pool, one after the other: more to learn from a prompt.",
            min=1,
        ),
    ] = 1,
    augmentation: Annotated[
        bool,
        typer.Option(
            "--augmentation/--no-augmentation",
            help="Or fixed pools of seven, each expert with one letter and one description.",
        ),
    ] = True,
    yes: Yes = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The last line is one JSON object: what was written.")
    ] = False,
) -> None:
    """Write practice for routing over experts never seen, as data that any trainer can read.

    Each sample shows a pool of described experts that nobody built and asks which of them a
    question needs. `openmova eval --suite open-world` asks about other experts. The pictures are
    generated pages that no question is about: they carry nothing, and are next to the file.
    """
    if out.exists():
        raise UserError(f"{str(out)!r} exists already: give another file, or remove it")
    source = fetched(model, yes=yes) if model is not None else None
    with status("writing routing instructions"):
        from openmova.data.open_world import open_world_instructions, write_pages
        from openmova.data.records import write_llava
        from openmova.routing import INSTRUCTION

        instruction = INSTRUCTION if source is None else read_config(source).routing.instruction
        pages = write_pages(out.with_name(f"{out.stem}-images"), seed=seed)
        instructions = open_world_instructions(
            pages,
            instruction=instruction,
            count=count,
            seed=seed,
            turns=turns,
            augmented=augmentation,
        )
        write_llava(instructions, out)
    answers = [turn.text for sample in instructions for turn in sample.turns[1::2]]
    none, two = answers.count("none"), sum("," in answer for answer in answers)
    if as_json:
        counts = {"instructions": len(instructions), "questions": len(answers)}
        typer.echo(json.dumps({"file": str(out), **counts, "none": none, "two": two}))
        return
    typer.echo(
        f"{out}: {len(instructions):,} routing instructions with {len(answers):,} questions, "
        f"{none:,} of them answered with none and {two:,} with two experts"
    )
