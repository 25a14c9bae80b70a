"""openmova chat: a conversation about an image, in the terminal."""

import sys
from typing import Annotated

import typer

from openmova.cli.chat_terminal import ChatTerminal
from openmova.cli.console import silence_stderr, status
from openmova.cli.options import ExpertNames, MaxNewTokens, ModelOptions, takes_model
from openmova.images.opening import load_image

EXAMPLES = """\b
Examples:
  openmova chat
  openmova chat photo.jpg
  openmova chat chart.png --experts chart,text
  openmova chat photo.jpg --model path/to/mova-8b --quantize 4bit
  openmova chat form.png < questions.txt"""


@takes_model
def chat(
    model_options: ModelOptions,
    image: Annotated[
        str | None, typer.Argument(metavar="[IMAGE]", help="Path of the image.")
    ] = None,
    experts: ExpertNames = None,
    max_new_tokens: MaxNewTokens = 256,
) -> None:
    """Talk about an image: answers appear as they are written, and see what was said before.

    A conversation is about one image or none: another one (/image FILE) starts a new conversation,
    unless it is shown beside (/add FILE). The experts are chosen for every question anew. /help
    lists the commands; Ctrl-C stops an answer, /quit or Ctrl-D end.

    Without a terminal: one question or command a line on standard input, one answer a line.
    """
    picture = None
    if image is not None:
        with silence_stderr():
            picture = load_image(image)
    mova = model_options.load()
    with status("starting"):
        from openmova.inference.engine import Engine
    engine = Engine(mova, max_batch_size=1)
    try:
        terminal = ChatTerminal(engine, experts=experts, max_new_tokens=max_new_tokens)
        if picture is not None:
            terminal.open(picture)
        if sys.stdin.isatty() and sys.stdout.isatty():
            terminal.run_interactive(model_options.model, image)
        else:
            terminal.run_lines(sys.stdin)
    finally:
        engine.close()
