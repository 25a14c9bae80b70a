"""openmova chat: a conversation about images, in the terminal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from openmova.cli.console import routing_table, silence_stderr, status
from openmova.cli.options import ExpertNames, MaxNewTokens, ModelOptions, takes_model
from openmova.errors import UserError
from openmova.images.opening import ImageSource, load_image
from openmova.inference.limits import GenerationLimits
from openmova.runtime.cache import cache_dir

if TYPE_CHECKING:
    from openmova.inference.answer import Answer
    from openmova.inference.engine import Engine, Reply
    from openmova.inference.session import Picture
    from openmova.routing.selection import ExpertSelection

EXAMPLES = """\b
Examples:
  openmova chat
  openmova chat photo.jpg
  openmova chat chart.png --experts chart,text
  openmova chat photo.jpg --model path/to/mova-8b --quantize 4bit
  openmova chat form.png < questions.txt"""
ROUTER = "router"
COMMANDS = {
    "/image FILE": "talk about another image; a new conversation",
    "/experts NAMES": "use these in place of the router's choice: names with commas, all or none",
    "/add FILE": "the next question shows this image, too; the conversation goes on",
    "/system TEXT": "what the model is told before the conversation; a new one",
    f"/experts {ROUTER}": "let the router choose again",
    "/routing": "how the last answer came about: scores and gates of the experts",
    "/reset": "forget what was said, and keep the image",
    "/help": "these commands",
    "/quit": "end (Ctrl-D, too)",
}
PROMPT = "> "
REMEMBERED = 1000
"""Lines of the history that are kept for the next time."""


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


class ChatTerminal:
    """A session with an engine, and its settings.

    experts: as `--experts`.
    """

    def __init__(self, engine: Engine, *, experts: str | None, max_new_tokens: int) -> None:
        from openmova.inference.session import Session

        self._engine = engine
        self._session = Session()
        self._pool = engine.mova.experts
        self._selection = self._select(experts)
        self._limits = GenerationLimits(max_new_tokens=max_new_tokens, max_seconds=None)
        self._last: Answer | None = None
        self._over = False

    def open(self, image: ImageSource) -> None:
        """A new conversation, about this image."""
        self._session.open(self._picture(image))
        self._last = None

    def _picture(self, image: ImageSource) -> Picture:
        from openmova.inference.session import Picture

        with silence_stderr():
            return Picture.of(image, self._engine.mova.processor)

    def run_lines(self, lines: Iterable[str]) -> None:
        """Each line, until /quit; a mistake ends it. Answers are one line each."""
        for line in lines:
            if line.strip():
                self._take(line, streamed=False)
            if self._over:
                return

    def run_interactive(self, model: str, image: str | None) -> None:
        """Lines from the keyboard, until /quit or Ctrl-D; mistakes are told, and it goes on."""
        about = f"about {image}" if image else "/image FILE opens an image"
        typer.echo(f"{model}, {about}; /help lists the commands")
        with _history(), _own_interrupts():
            while not self._over:
                try:
                    line = input(PROMPT)
                except EOFError:
                    typer.echo()
                    return
                except KeyboardInterrupt:
                    typer.echo("\n(/quit or Ctrl-D end)")
                    continue
                try:
                    if line.strip():
                        self._take(line, streamed=True)
                except UserError as error:
                    typer.echo(str(error), err=True)
                except KeyboardInterrupt:
                    typer.echo("\n(stopped; this question is not remembered)")

    def _take(self, line: str, *, streamed: bool) -> None:
        """Raises UserError for what is no command, and for what a command or question lacks."""
        if not line.startswith("/"):
            return self._answer(line, streamed=streamed)
        command, _, rest = line.strip().partition(" ")
        match command, rest.strip():
            case "/image", path if path:
                self.open(os.path.expanduser(_strip_quotes(path)))
            case "/add", path if path:
                self._session.show(self._picture(os.path.expanduser(_strip_quotes(path))))
            case "/system", text:
                self._session.instruct(text)
                self._last = None
            case "/experts", names:
                self._experts(names)
            case "/routing", "":
                self._routing()
            case "/reset", "":
                self._session.reset()
                self._last = None
            case "/help", "":
                width = max(map(len, COMMANDS))
                for name, does in COMMANDS.items():
                    typer.echo(f"{name:{width}}  {does}")
            case "/quit", "":
                self._over = True
            case _:
                raise UserError(f"{line.strip()[:80]!r} is no command: /help lists them")

    def _answer(self, question: str, *, streamed: bool) -> None:
        from openmova.inference.engine import Piece, Reply

        events = self._engine.converse(self._session, question, self._selection, self._limits)
        with closing(events):
            with status("thinking"):
                event = next(event for event in events if isinstance(event, Piece | Reply))
            while isinstance(event, Piece):
                if streamed:
                    sys.stdout.write(_remove_control(event.text))
                    sys.stdout.flush()
                event = next(e for e in events if isinstance(e, Piece | Reply))
        self._last = event.answer
        if streamed:
            typer.echo()
            typer.secho(self._in_short(event), dim=True)
        else:
            typer.echo(_remove_control(" ".join(str(event.answer).splitlines())))
            sys.stdout.flush()

    def _in_short(self, reply: Reply) -> str:
        """Whether it is unsure, which experts looked, and why it ended if it is not whole."""
        answer = reply.answer
        scores = answer.routing.scores
        named = [f"{n} {scores[n]:.2f}" if scores else n for n in answer.routing.experts]
        cut = "; cut short: see --max-new-tokens" if reply.finish == "length" else ""
        unsure = "unsure; " * answer.is_unsure
        return f"({unsure}{', '.join(named) or 'no expert'}; {answer.timings['total']:.1f} s{cut})"

    def _experts(self, names: str) -> None:
        if names:
            self._selection = self._select(None if names == ROUTER else names)
        fixed = self._selection.fixed
        chosen = [n for n, c in zip(self._pool, fixed or (), strict=False) if c]
        who = "the router chooses" if fixed is None else f"you chose {', '.join(chosen) or 'none'}"
        typer.echo(f"{who}; the pool is {', '.join(self._pool)}")

    def _select(self, experts: str | None) -> ExpertSelection:
        from openmova.routing.selection import ExpertSelection

        return ExpertSelection.of(experts, None, self._pool)

    def _routing(self) -> None:
        if self._last is None:
            raise UserError("there is no answer yet: ask something first")
        Console().print(routing_table(self._last, self._pool))


def _remove_control(text: str) -> str:
    """Without the characters that would command the terminal."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def _strip_quotes(path: str) -> str:
    """A path as terminals paste it, in quotes."""
    quoted = len(path) > 1 and path[0] == path[-1] and path[0] in "'\""
    return path[1:-1] if quoted else path


@contextmanager
def _history() -> Iterator[None]:
    """Earlier lines under the arrow keys, also those of the last time.

    A history that cannot be read or kept is no reason not to talk; on Windows the console has one.
    """
    try:
        import readline
    except ModuleNotFoundError:
        yield
        return
    file = cache_dir() / "chat-history"
    with suppress(OSError):
        readline.read_history_file(file)
    try:
        yield
    finally:
        readline.set_history_length(REMEMBERED)
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(file)
            file.chmod(0o600)


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Ctrl-C stops what is being done here, and the program ends as it otherwise would."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
