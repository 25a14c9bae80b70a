"""What every command shares: errors of one line, quiet libraries, a sign of life while loading."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from openmova.errors import INTERRUPTED, UserError

if TYPE_CHECKING:
    from openmova.inference.answer import Answer

Result = TypeVar("Result")
MISUSED = 2
CHATTY = ("bitsandbytes", "torch.utils._pytree", "torchao")
"""Loggers of libraries that warn while they are imported, or at every step."""


class OneLineErrors(TyperGroup):
    """The group of commands: a user's mistake is one line on standard error and exit code 2.

    Ctrl-C exits with 130 and a reader that has gone with 1, both without a word. Anything else is
    our mistake and keeps its traceback.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            code = super().main(*arguments, **{**options, "standalone_mode": False})
            sys.stdout.flush()
        except UserError as error:
            code = _complain(str(error))
        except typer.TyperException as error:
            code = _complain(f"{error.format_message().rstrip('.')} (see --help)")
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            # What is still buffered has no reader: let the interpreter flush it into nothing.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> int:
    line = " ".join(message.split())
    printable = "".join(char if char.isprintable() else "?" for char in line)
    typer.echo(f"openmova: {printable}", err=True)
    return MISUSED


def quiet_libraries(*, downloads: bool = False) -> None:
    """No warnings and progress bars of the libraries: what the user sees is ours.

    downloads: on a terminal, leave the hub's bars.
    """
    warnings.simplefilter("ignore")
    from huggingface_hub.utils import disable_progress_bars
    from tqdm.auto import tqdm
    from transformers.utils import logging as transformers_logging

    if not (downloads and sys.stderr.isatty()):
        disable_progress_bars()
        # transformers reads GGUF files with a bar that has no switch; ours are tqdm.tqdm.
        tqdm.__init__ = partialmethod(tqdm.__init__, disable=True)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)


MODEL_HELP = "'nano', the folder of a checkpoint, or owner/name on the hub."
YES_HELP = "Don't ask before a released MoVA is downloaded and converted."


def fetch_model(model: str, *, yes: bool = False) -> Path:
    """The folder of the checkpoint that is meant.

    Comes before any other `status`: a download has bars of its own, and the release's asks first.
    """
    from openmova.checkpoints.locate import EMBEDDED, checkpoint_folder
    from openmova.checkpoints.nano_parts import fetch_parts
    from openmova.runtime.hub import HUB_ID

    if model == EMBEDDED and not Path(model).is_dir():
        fetch_parts()
    if not HUB_ID.fullmatch(model) or Path(model).exists():
        with status(f"looking at {model}"):
            quiet_libraries()
            return checkpoint_folder(model)
    quiet_libraries(downloads=True)
    return after_consent(lambda agreed: checkpoint_folder(model, yes=agreed), yes)


def after_consent(act: Callable[[bool], Result], yes: bool) -> Result:
    """What `act` returns; on a terminal, the user is asked about a large download that it needs.

    act(yes): raises DownloadNeedsYes where nobody said yes. yes: don't ask.
    """
    from openmova.checkpoints.locate import DownloadNeedsYes

    try:
        return act(yes)
    except DownloadNeedsYes as needed:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        if not typer.confirm(f"{needed.question}. Go on?", err=True):
            raise UserError("nothing was downloaded") from None
        return act(True)


@contextmanager
def status(text: str) -> Iterator[None]:
    """A spinner on standard error, if that is a terminal, while something takes its time."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(text):
        yield


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Drop what C libraries print on standard error, such as libtiff on a damaged file."""
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def report(found: Mapping[str, Any], line: str, as_json: bool) -> None:
    """What a command found or did: as JSON, or on a line for people."""
    typer.echo(json.dumps(found) if as_json else line)


def routing_table(answer: Answer, pool: Sequence[str]) -> Table:
    """Each expert, whether it ran, its score, and its gate in each block."""
    from openmova.routing import expert_letters

    routing, blocks = answer.routing, len(answer.gates)
    table = Table("", "expert", "runs", "score", *(f"gate {i + 1}" for i in range(blocks)))
    for letter, name in zip(expert_letters(len(pool)), pool, strict=True):
        chosen = name in routing.experts
        gates = answer.gates[:, routing.experts.index(name)].tolist() if chosen else []
        score = f"{routing.scores[name]:.3f}" if name in routing.scores else ""
        table.add_row(letter, name, "yes" if chosen else "", score, *(f"{g:.3f}" for g in gates))
    decided = f"the router wrote: {routing.raw!r}" if routing.scores else "chosen by you"
    sure = "" if answer.confidence is None else f"; confidence {answer.confidence:.2f}"
    table.caption = f"{decided}; {answer.timings['total']:.2f} s{sure}"
    return table
