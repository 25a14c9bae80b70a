"""The command in this process; and the one line of a mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from openmova.errors import UserError

if TYPE_CHECKING:
    from typer.testing import Result


def run(*arguments: object, stdin: str = "") -> Result:
    from typer.testing import CliRunner  # which a bare machine lacks

    from openmova.cli import app

    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def output(*arguments: object, stdin: str = "") -> str:
    """What a command that goes well prints."""
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def mistake(*arguments: object, stdin: str = "") -> str:
    """The one line with which a command tells a user's mistake."""
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("openmova: ")
    assert result.stderr.count("\n") == 1 and result.stderr.endswith("\n")
    return result.stderr


def fault(act: Callable[..., object], *arguments: object, **options: object) -> str:
    """The one line of the UserError that a call raises."""
    with pytest.raises(UserError) as caught:
        act(*arguments, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)
