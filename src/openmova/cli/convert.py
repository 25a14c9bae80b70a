"""openmova convert: a checkpoint of another layout to a folder of ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openmova.cli.console import quiet_libraries, report, status
from openmova.cli.options import AsJson
from openmova.errors import UserError

if TYPE_CHECKING:
    from openmova.checkpoints.plan import Plan

DTYPES = ("bfloat16", "float16", "float32")
EXAMPLES = """\b
Examples:
  openmova convert llama3-mova-8b mova-8b
  openmova convert zongzhuofan/llama3-mova-8b mova-8b --yes --verify
  openmova convert llama3-mova-8b --dry-run
  openmova convert --dry-run --manifest manifest.json --json
  openmova convert sam_vit_h_4b8939.pth sam --name sam"""


def convert(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SRC",
            help="The released MoVA, one encoder's public checkpoint, or a language model: a "
            "folder, a file, or owner/name on the hub.",
        ),
    ] = None,
    target: Annotated[
        Path | None, typer.Argument(metavar="DST", help="The folder to make.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help=f"Of the weights: {', '.join(DTYPES)}; as they are.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Of one encoder, such as sam; found out.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of one encoder, such as vary; its kind.")
    ] = None,
    question_tokenizer: Annotated[
        Path | None, typer.Option(help="Folder of the gate's tokenizer; BERT's, uncased.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what becomes of every tensor.")
    ] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="With --dry-run: a JSON file of names and shapes instead of SRC, "
            '{"tensors": {NAME: {"shape": [...]}}}.'
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compare DST with SRC afterwards, or if DST is there, only."),
    ] = False,
    as_json: AsJson = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before a download.")] = False,
) -> None:
    """Convert the released MoVA, or a part to assemble one from, into safetensors.

    It goes tensor by tensor. DST appears when it is complete; its conversion.json lists every
    tensor with its checksum, and what was left out and why.
    """
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"--dtype {dtype}: give one of {', '.join(DTYPES)}")
    if manifest is not None and (source is not None or not dry_run):
        raise UserError("--manifest stands for SRC in a --dry-run: give both, and no SRC")
    if source is None and manifest is None:
        raise UserError("SRC is missing: give a folder, a file, or owner/name on the hub")
    if target is None and not dry_run:
        raise UserError("DST is missing: give the folder to make")
    with status("reading names and shapes"):
        from openmova.checkpoints.release import plan_release
        from openmova.checkpoints.sources import find_conversion
        from openmova.checkpoints.tensors import read_manifest

        quiet_libraries(downloads=True)
    if manifest is not None:
        _tell(plan_release({}, read_manifest(manifest))[1], as_json)
        return
    assert source is not None
    path = _local(source, yes)
    conversion = find_conversion(
        path, kind=kind, name=name, dtype=dtype, question_tokenizer=question_tokenizer
    )
    if dry_run:
        _tell(conversion.plan, as_json)
        return
    assert target is not None
    told: dict[str, Any] = {"folder": str(target)}
    if not (verify and target.exists()):
        written = conversion.write(target)
        told |= {"tensors": len(written["tensors"]), "dropped": written["dropped"]}
        _say(
            f"{target}: {told['tensors']} tensors of {conversion.title}; "
            f"{len(told['dropped'])} were not needed, see conversion.json",
            as_json,
        )
    if verify:
        told["verified"] = conversion.verify(target)
        _say(f"{target}: {told['verified']} tensors equal those of {source}", as_json)
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))


def _local(source: str, yes: bool) -> Path:
    """The source here; on a terminal a download is asked about."""
    from openmova.runtime.hub import source_path

    here = Path(source).expanduser().exists()
    if not here and not yes and sys.stdin.isatty():
        typer.confirm(f"download {source} from the hub?", abort=True, err=True)
    return source_path(source)


def _tell(plan: Plan, as_json: bool) -> None:
    """The bookkeeping; what does not fit is an error, after it was told."""
    found = plan.to_dict()
    line = (
        f"{len(found['consumed'])} tensors are taken, {len(plan.dropped)} are not needed; "
        f"{len(plan.unfilled)} unfilled, {len(plan.mismatched)} mismatched, "
        f"{len(plan.unknown)} unknown; {plan.nbytes / 1e9:.1f} GB to write"
    )
    report(found, line, as_json)
    plan.check()


def _say(line: str, as_json: bool) -> None:
    if not as_json:
        typer.echo(line)
