"""openmova add-expert: a model with one expert more."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from openmova.cli.console import MODEL_HELP, fetch_model, report, status
from openmova.cli.options import DATA_HELP, AsJson, Yes
from openmova.errors import UserError

EXAMPLES = """\b
Examples:
  openmova add-expert nano path/to/dinov2-small --output nano-dino \\
    --description "This model can tell natural objects from each other."
  openmova add-expert nano focus.yaml --description "This model ..." --output nano-focus
  openmova add-expert nano focus.yaml --description "This model ..." --output nano-focus \\
    --data labelled.json steps=200 batch=4"""


def add_expert(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    expert: Annotated[
        str,
        typer.Argument(
            help="A YAML or JSON file with its spec, the folder of a vision model, or the kind of "
            "an installed package."
        ),
    ],
    description: Annotated[
        str, typer.Option(help="What the router reads: what it is good at, not its name.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The new folder.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="With --data: of both trainings, such as steps=100."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Train the new expert's part of the adapter, and the router, on samples with an "
            f"experts list: {DATA_HELP}",
        ),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Add an expert to a model's pool.

    The router can choose it at once, by its description; all other routings give the same answers
    to the bit. What an expert says in words is read at once too, where the pool has others that do.
    What the adapter reads in other maps has to be trained, with --data, and nothing else learns but
    the router, in a LoRA that only the routing pass sees.
    """
    if changes and data is None:
        raise UserError(f"{changes[0]!r} is of the trainings, which need --data")
    folder = fetch_model(model, yes=yes)
    with status(f"looking at {expert}"):
        from openmova.checkpoints.add_expert import named_expert, plan_addition
        from openmova.checkpoints.conversion import check_target
        from openmova.routing import expert_letters

        check_target(output)
        conversion = plan_addition(folder, named_expert(expert, description))
    names = conversion.about["pool"]
    letter = expert_letters(len(names))[-1]
    trained: list[str] = []
    if data is None:
        conversion.write(output)
    else:
        from openmova.train.new_expert import train_new_expert

        tell = partial(typer.echo, err=True)
        trained = train_new_expert(conversion, output, data, changes or (), tell=tell)
    like = conversion.about["reads_like"]
    learnt = f"trained: {' and '.join(trained)}" if trained else "untrained, it adds nothing yet"
    if like is not None and not trained:
        learnt = f"what it says is read as what {like} says"
    told = {"folder": str(output), "experts": names, "letter": letter, "trained": trained}
    report(told, f"{output}: {names[-1]} is {letter} of the pool; {learnt}", as_json)
