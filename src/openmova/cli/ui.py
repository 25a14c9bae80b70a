"""openmova ui: a chat page in the browser."""

import importlib.util
import os
from functools import partial
from typing import Annotated

import typer

from openmova.cli.options import MaxNewTokens, ModelOptions, takes_model
from openmova.cli.serve import LOCAL, web_address
from openmova.errors import UserError

PASSWORD_VARIABLE = "OPENMOVA_UI_PASSWORD"
EXAMPLES = f"""\b
Examples:
  openmova ui
  openmova ui --model path/to/mova-8b --quantize 4bit --port 9000
  {PASSWORD_VARIABLE}=... openmova ui --host 0.0.0.0"""


@takes_model
def ui(
    model_options: ModelOptions,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 7860,
    max_new_tokens: MaxNewTokens = 256,
) -> None:
    """Show a page on which to talk about images.

    Beside an answer it shows which experts were chosen, how much of each, and where they were
    looked at; experts can be forced or forbidden, and answers compared. Nothing is fetched from
    elsewhere, and nothing is sent there. With OPENMOVA_UI_PASSWORD set, visitors are asked for it.
    SIGTERM or Ctrl-C end it.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the page needs more packages: pip install 'openmova[ui]'")
    from openmova.inference.model_thread import load_apart
    from openmova.serve.http.http_server import bound_socket, run

    with bound_socket(host, port) as listening:
        mova = load_apart(model_options.load)
        from openmova.serve.ui.page_server import create_page, page_server

        password = os.environ.get(PASSWORD_VARIABLE, "")
        if host not in LOCAL and not password:
            typer.echo(
                f"openmova: without a password ({PASSWORD_VARIABLE}), whoever reaches this port "
                "may ask",
                err=True,
            )
        page = create_page(
            mova,
            model=model_options.model,
            max_new_tokens=max_new_tokens,
            hosts=LOCAL[:2] if host in LOCAL[:2] else (),
            password=password,
        )
        address = web_address(host, listening.getsockname()[1])
        started = partial(typer.echo, f"openmova: the page is at {address}", err=True)
        run(page_server(page, started), listening)
