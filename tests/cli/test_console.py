"""What every command shares."""

from __future__ import annotations

import os

import pytest
from typer.testing import CliRunner

from commands import output
from openmova.cli import app
from openmova.cli.console import silence_stderr, status
from openmova.errors import UserError


def test_help_of_everything_has_an_example() -> None:
    assert "ask" in CliRunner().invoke(app, []).stdout
    commands = [[str(command.name)] for command in app.registered_commands]
    for command in (*commands, ["data", "check"], ["data", "routing"]):
        told = output(*command, "--help")
        assert "Example" in told
        assert f"openmova {' '.join(command)}" in told


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.2.3")
    assert CliRunner().invoke(app, ["--version"]).stdout == "openmova 1.2.3\n"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UserError("first\nsecond \x1b[31m"), 2, "openmova: first second ?[31m\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 1, ""),
        (RuntimeError("a bug"), 1, None),  # our own mistake keeps its traceback
    ],
    ids=["mistake", "Ctrl-C", "broken pipe", "bug"],
)
def test_endings(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str | None
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("openmova.cli.experts.fetch_model", fail)
    result = CliRunner().invoke(app, ["experts"])
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.exception is error if told is None else result.stderr == told


def test_silence_and_no_spinner_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with silence_stderr():
        os.write(2, b"noise\n")
    with status("loading"):
        os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
