"""The command line: one small file per command, joined here.

Commands import torch and transformers inside their functions, so that `--help` is quick.
"""

from typing import Annotated

import typer

from openmova.cli import (
    add_expert,
    annotate,
    ask,
    assemble,
    chat,
    convert,
    data,
    doctor,
    experts,
    export,
    roles,
    serve,
    setup,
    train,
    ui,
)
from openmova.cli import eval as eval_
from openmova.cli import inspect as inspect_
from openmova.cli.console import OneLineErrors

app = typer.Typer(
    name="openmova",
    cls=OneLineErrors,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"openmova {version('openmova')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def openmova(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Ask about images: a mixture of vision experts, chosen by the question."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command("ask", epilog=ask.EXAMPLES)(ask.ask)
app.command("setup", epilog=setup.EXAMPLES)(setup.setup)
app.command("chat", epilog=chat.EXAMPLES)(chat.chat)
app.command("assemble", epilog=assemble.EXAMPLES)(assemble.assemble)
app.command("add-expert", epilog=add_expert.EXAMPLES)(add_expert.add_expert)
app.command("export", epilog=export.EXAMPLES)(export.export)
app.command("experts", epilog=experts.EXAMPLES)(experts.experts)
app.command("convert", epilog=convert.EXAMPLES)(convert.convert)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.add_typer(data.app, name="data")
app.command("annotate", epilog=annotate.EXAMPLES)(annotate.annotate)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)
app.command("serve", epilog=serve.EXAMPLES)(serve.serve)
app.command("eval", epilog=eval_.EXAMPLES)(eval_.evaluate)
app.command("inspect", epilog=inspect_.EXAMPLES)(inspect_.inspect)
app.command("roles", epilog=roles.EXAMPLES)(roles.roles)
app.command("ui", epilog=ui.EXAMPLES)(ui.ui)
