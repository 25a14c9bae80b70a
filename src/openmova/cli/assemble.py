"""openmova assemble: an untrained MoVA from public parts."""

from pathlib import Path
from typing import Annotated

import typer

from openmova.cli.console import after_consent, quiet_libraries, report, status
from openmova.cli.options import AsJson, Yes

EXAMPLES = """\b
Examples:
  openmova assemble recipes/mova-8b.yaml mova-8b-untrained
  openmova assemble mine.yaml path/to/new-folder --json"""


def assemble(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A YAML file, such as recipes/mova-8b.yaml.")
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The new folder.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Build an untrained MoVA from parts as they are published.

    A recipe names the language model, the base encoder, the experts and the text encoder: files,
    folders, or repositories of the hub, which are downloaded. The adapter is fresh, so the model
    loads and answers, but has to be trained. DST appears when it is complete.
    """
    with status("reading the recipe"):
        from openmova.checkpoints.assemble import fetch, plan_assembly
        from openmova.checkpoints.conversion import check_target
        from openmova.checkpoints.recipe import Recipe

        quiet_libraries(downloads=True)
        parsed = Recipe.load(recipe)
        check_target(target)
    here = after_consent(lambda agreed: fetch(parsed, yes=agreed), yes)
    with status("looking at the parts"):
        conversion, config = plan_assembly(parsed, here)
    count, size = len(conversion.write(target)["tensors"]), conversion.plan.nbytes
    names = config.expert_names
    told = {"folder": str(target), "tensors": count, "bytes": size, "experts": names}
    line = f"{target}: {count:,} tensors, {size / 1e9:.1f} GB; the adapter has to be trained"
    report(told, line, as_json)
