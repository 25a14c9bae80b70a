"""openmova annotate: which experts help with which sample."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from openmova.cli.console import MODEL_HELP, fetch_model, quiet_libraries, status
from openmova.cli.options import AsJson, BadShare, BatchSize, DataFormat, ImageFolder, Yes
from openmova.errors import UserError

if TYPE_CHECKING:
    from openmova.annotate.selection import AnnotationSettings

EXAMPLES = """\b
Examples:
  openmova annotate data.json --model runs/subsets/final --output annotation
  openmova annotate data.json --probe base=runs/m0/final --probe ocr=runs/m1/final -o annotation
  openmova annotate data.json --model nano --output annotation --shard 3/8
  openmova annotate data.json --model nano --output annotation --ray
  openmova annotate data.json --model nano --output annotation --combinations --dependency
  openmova annotate data.json --output annotation --merge"""


def annotate(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="In any format of `openmova data check`.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The annotation's folder.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help=f"One model for every probe that has none of its own: {MODEL_HELP}"),
    ] = None,
    probe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MODEL",
            help="The model trained with that expert; with none: base; with a set: ocr+chart.",
        ),
    ] = None,
    combinations: Annotated[
        bool,
        typer.Option(
            "--combinations", help="Compare sets of up to three experts, not single ones."
        ),
    ] = False,
    dependency: Annotated[
        bool,
        typer.Option(
            "--dependency",
            help="With --combinations: how far each answer depends on the picture and on experts.",
        ),
    ] = False,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Compute only this part; merge when all are there.")
    ] = "1/1",
    on_ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Compute on a Ray cluster: that of RAY_ADDRESS, or this machine as one."
        ),
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Compute nothing, join the shards in DIR.")
    ] = False,
    margin: Annotated[
        float,
        typer.Option(
            metavar="NATS",
            help="A chosen expert lowers the loss by more than this. 0 is the paper's.",
            min=0.0,
        ),
    ] = 0.0,
    batch: BatchSize = 8,
    max_tokens: Annotated[int, typer.Option(help="Of a sample; more are cut.", min=1)] = 2048,
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16. [default: as the checkpoint]")
    ] = None,
    images: ImageFolder = None,
    format: DataFormat = None,
    bad_share: BadShare = 0.01,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Find the experts that help with each sample, by the loss of its answer.

    An expert is useful if the loss with it is below that of the base alone; the three lowest are
    chosen. DIR/annotations.parquet has all losses and the choice, DIR/annotated.json the data with
    an experts list. If DATA had such lists, their agreement with the choice is told. What was
    stopped goes on when the same command is run again.

    --dependency: what the answer's probability loses without the picture (D), and without each
    chosen expert (D_e), rated 1 to 5; unknown where the model is not sure itself.
    """
    if merge and (model is not None or probe or on_ray):
        raise UserError("--merge joins what was computed: leave out --model, --probe and --ray")
    if dependency and not (combinations or merge):
        raise UserError("--dependency takes an expert out of a set: add --combinations")
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError('losses are kept as parquet: pip install "openmova[train]" first')
    if on_ray and importlib.util.find_spec("ray") is None:
        raise UserError('--ray needs Ray Data: pip install "openmova[ray]" first')
    tell = partial(typer.echo, err=True)
    named = _parse_probes(probe or ())
    model = str(fetch_model(model, yes=yes)) if model is not None else None
    with status(f"opening {data}"):
        from openmova.annotate.annotation import AnnotationFolder
        from openmova.annotate.losses import LocalLosses
        from openmova.annotate.shards import Shard
        from openmova.data.bad_samples import BadSamples
        from openmova.data.formats import read_samples

        quiet_libraries()
        part = Shard.parse(shard)
        if margin and part.count > 1 and not merge:
            raise UserError("--margin is of the choice, not of the losses: give it with --merge")
        opened = partial(read_samples, data, format=format, images=images)
        samples = opened()
        if not len(samples):
            raise UserError(f"{samples.name} has no samples: give another file")
    folder = AnnotationFolder(output)
    if not merge:
        settings = _settings(
            named,
            model,
            data=samples.name,
            samples=len(samples),
            combinations=combinations,
            dependency=dependency,
            batch=batch,
            max_tokens=max_tokens,
            dtype=dtype,
        )
        bad = BadSamples(folder.bad, share=bad_share)
        compute = LocalLosses(samples, settings, bad).compute
        if on_ray:
            from openmova.annotate.cluster import ClusterLosses

            compute = ClusterLosses(opened, settings, bad).compute
        folder.annotate(samples, settings, part, compute=compute, tell=tell)
        if part.count > 1:
            tell(f"shard {part.number} of {part.count} is there; join all of them with --merge")
            if as_json:
                typer.echo(json.dumps({"shard": shard, "merged": False}))
            return
    found = folder.merge(samples, margin=margin)
    if as_json:
        typer.echo(json.dumps({"shard": shard, "merged": True, **found}))
        return
    typer.echo(f"{folder.table}: {found['samples']:,} samples")
    typer.echo("chosen: " + ", ".join(f"{name} {n:,}" for name, n in found["experts"].items()))
    typer.echo(
        "experts each: " + ", ".join(f"{k}: {n:,}" for k, n in found["experts_each"].items())
    )
    if found["without_loss"]:
        typer.echo(f"{found['without_loss']:,} could not be used, see {folder.bad}")
    if found["agreement"]:
        _tell_agreement(found["agreement"], margin)
    if found["dependency"]:
        _tell_dependency(found["dependency"], list(found["experts"]), folder.sheet)


def _tell_dependency(found: dict[str, Any], pool: Sequence[str], sheet: Path) -> None:
    """The ratings, the histogram, and the means by domain and expert."""
    from openmova.analysis.report import number

    listed = ", ".join(f"{rating}: {n:,}" for rating, n in found["ratings"].items())
    typer.echo(f"depends on its picture, 1 to 5: {listed}; extremes in {sheet}")
    most = max((bin["n"] for bin in found["histogram"]), default=0) or 1
    for bin in found["histogram"]:
        if bin["n"]:
            typer.echo(f"{bin['from']:>5} {'#' * -(-40 * bin['n'] // most)} {bin['n']:,}")
    means = Table("domain", "samples", "D", *pool, "p, text only", "commonest answer")
    for domain, of in found["domains"].items():
        values = [of["dependency"]["mean"], *(of["experts"][name]["mean"] for name in pool)]
        cells = [number(value) for value in (*values, of["text_only"])]
        means.add_row(domain, str(of["samples"]), *cells, f"{of['commonest_answer']:.0%}")
    Console().print(means)


def _tell_agreement(found: dict[str, Any], margin: float) -> None:
    typer.echo(
        f"the same experts as the data had: {found['exact']:.1%} of {found['samples']:,} "
        f"(margin {margin:g}; {found['best_exact']:.1%} with {found['best_margin']:g})"
    )
    for name, of in found["experts"].items():
        precision, recall = (
            "-" if share is None else f"{share:.1%}" for share in (of["precision"], of["recall"])
        )
        typer.echo(f"  {name}: precision {precision}, recall {recall}")


def _parse_probes(given: Sequence[str]) -> dict[str, str]:
    """Probe -> model, of "name=model"."""
    named = {}
    for text in given:
        name, equals, source = text.partition("=")
        if not (name and equals and source):
            raise UserError(f"--probe {text!r} names no model: write it as ocr=path/to/model")
        if name in named:
            raise UserError(f"--probe {name} is given twice: leave out one")
        named[name] = source
    return named


def _settings(
    named: dict[str, str],
    model: str | None,
    *,
    combinations: bool,
    dependency: bool,
    **others: Any,
) -> AnnotationSettings:
    """What was asked for. Raises UserError if a probe has no model, or is none."""
    from openmova.annotate.selection import BASE, AnnotationSettings, probes_of
    from openmova.checkpoints.locate import checkpoint_folder
    from openmova.model.configuration_mova import MovaConfig

    first = named.get(BASE, model)
    if first is None:
        raise UserError(
            f"which model? Give --model, or a --probe for every expert and --probe {BASE}=MODEL"
        )
    pool = tuple(MovaConfig.from_pretrained(checkpoint_folder(first)).expert_names)
    kinds = {"combinations": combinations, "dependency": dependency}
    probes = [probe.name for probe in probes_of(pool, **kinds)]
    if unknown := [name for name in named if name not in probes]:
        raise UserError(f"there is no probe {unknown[0]!r}: they are {', '.join(probes)}")
    models = {name: named.get(name, model) for name in probes}
    if lacking := [name for name, source in models.items() if source is None]:
        raise UserError(
            f"no model for {', '.join(lacking)}: give a --probe for each, or --model for all others"
        )
    return AnnotationSettings(pool=pool, models=models, **kinds, **others)  # type: ignore[arg-type]
