"""openmova data routing: annotated data to routing instructions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openmova.cli.console import MODEL_HELP, fetch_model, report, status
from openmova.cli.options import AsJson, BadShare, DataFormat, ImageFolder, Yes
from openmova.errors import UserError

if TYPE_CHECKING:
    from openmova.data.descriptions import PoolDescriptions

EXAMPLES = """\b
Examples:
  openmova data routing annotated.json routing.json --model nano
  openmova data routing annotated.json routing.json --pool recipes/descriptions.yaml
  openmova data routing annotated.json as-it-is.json --model nano --no-augmentation"""


def routing(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Data with an experts list per sample, in any format of `openmova data check`.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new LLaVA JSON file.")],
    model: Annotated[
        str | None, typer.Option(help=f"Whose pool and instruction: {MODEL_HELP}")
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            help="Descriptions by expert, several each: paraphrases for --model, or the pool.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="At most so many instructions.", min=1)] = 2000,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.", min=0)] = 0,
    truncated: Annotated[
        float, typer.Option(help="How probable it is that a pool is cut.", min=0.0, max=1.0)
    ] = 0.5,
    augmentation: Annotated[
        bool, typer.Option("--augmentation/--no-augmentation", help="Or the pool as at inference.")
    ] = True,
    images: ImageFolder = None,
    format: DataFormat = None,
    bad_share: BadShare = 0.01,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Turn annotated samples into questions for the router, as data that any trainer can read.

    The answer is the letters of the annotated experts. Against learning by heart the names of
    models are removed from the descriptions, these are drawn of their paraphrases, and the pool is
    shuffled and at times cut. In training a picture of such a sample is the few pooled tokens that
    the router sees; the samples are marked with "routing": true.
    """
    if out.exists():
        raise UserError(f"{str(out)!r} exists already: give another file, or remove it")
    source = fetch_model(model, yes=yes) if model is not None else None
    with status(f"reading {file}"):
        from openmova.data.bad_samples import BadSamples
        from openmova.data.formats import read_samples
        from openmova.data.records import write_llava
        from openmova.data.routing_instructions import routing_instructions
        from openmova.routing.augment import UNCHANGED, Augmentation

        samples = read_samples(file, format=format, images=images)
        bad = BadSamples(share=bad_share)
        instructions = routing_instructions(
            samples,
            _pool(source, pool),
            bad=bad,
            count=count,
            seed=seed,
            augmentation=Augmentation(truncated=truncated) if augmentation else UNCHANGED,
        )
        write_llava(instructions, out)
    none = sum(sample.turns[1].text == "none" for sample in instructions)
    told = {"file": str(out), "instructions": len(instructions), "none": none, "bad": bad.bad}
    line = (
        f"{out}: {len(instructions):,} routing instructions, {none:,} of them answered with none; "
        f"{bad.bad:,} samples were bad"
    )
    report(told, line, as_json)


def _pool(source: Path | None, file: Path | None) -> PoolDescriptions:
    """The model's pool, with the file's texts if there is one; or the file's own."""
    from openmova.data.descriptions import PoolDescriptions

    if source is None:
        if file is None:
            raise UserError(
                "whose pool? Give --model (nano, or a folder), or --pool with a file of "
                "descriptions such as recipes/descriptions.yaml"
            )
        return PoolDescriptions.of_file(file)
    from openmova.model.configuration_mova import MovaConfig

    pool = PoolDescriptions.of_model(MovaConfig.from_pretrained(source))
    return pool.described_by(file) if file is not None else pool
